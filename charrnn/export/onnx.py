"""A network as one ONNX file, which onnxruntime runs in Python, C#, C++, Java, JavaScript, ...

    session = onnxruntime.InferenceSession("plays.onnx")
    logits, h, c = session.run(["logits", "next_h", "next_c"], {"ids": ids, "h": h, "c": c})

Temperature, top-k and the draw are the caller's.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charrnn.checkpoint.trained import Trained, metadata_of
from charrnn.errors import ConfigError, ExportError
from charrnn.export.place import check_file, check_package, write_file

LARGEST = 2**31 - 2**24
"""Bytes of a network's numbers: a file of Protocol Buffers, in which there is more than them, is
smaller than 2 GiB.
"""
DESCRIPTION = """\
A character-level recurrent network by charrnn, {summary}.
ids (T, N) and the state {states} (L, N, H) in; logits (T, N, V), which predict the symbol after
each id, and the state after the last step, {nexts}, out.
start_ids (S) and {starts} (S, L, 1, H) are constants: feed start_ids[s] with {starts} of s first.
about is JSON in UTF-8, with the same keys as the metadata: vocabulary, a list of the symbols by id;
unit; unknown, the id of a symbol never to be sampled; document_separator; and the origin."""


def export_onnx(
    trained: Trained, path: str | os.PathLike[str], *, force: bool = False
) -> list[Path]:
    """Write a network as an ONNX file (opset 17), atomically; returns its path. The same network
    gives the same bytes.

    Inputs: `ids` int64 (T, N) and the state, `h` and, unless the cell is a GRU or a plain RNN, `c`,
    float32 (L, N, H); T and N are free. Outputs: `logits` float32 (T, N, V), which predict the
    symbol after each id; `next_h` and `next_c`; and constants: `start_ids` int64 (S,), `start_h`
    and `start_c` float32 (S, L, 1, H), the states that a text may start from and the id that is
    read first from each, and `about` uint8 (K,), the file's metadata as JSON in UTF-8, for runtimes
    that cannot read metadata. The keys are those of `about_network`.

    `ExportError` without the package onnx, for a network whose weights are above 2 GiB, which one
    such file cannot hold, if there is a file already (unless `force`), or if it cannot be written.
    """
    if not isinstance(trained, Trained):
        raise ConfigError(f"`trained` must be a Trained, not {type(trained).__name__}")
    place = check_file(path, force)
    weights = sum(math.prod(tensor.disk_shape) for tensor in trained.model.parameters.tensors)
    size = 4 * weights + 2 * trained.opening.state.h.nbytes
    if size > LARGEST:
        raise ExportError(
            f"the network has {size / 2**30:.1f} GiB of numbers, but an ONNX file is smaller than "
            "2 GiB; export it to pytorch"
        )
    check_package("onnx", "an ONNX file")
    from charrnn.export.onnx_network import model_of, state_names

    about = about_network(trained)
    model = model_of(
        trained,
        {key: json.dumps(value) for key, value in about.items()},
        json.dumps(about, separators=(",", ":")).encode(),
        _description(trained, state_names(trained.model.config)),
    )
    write_file(place, model.SerializeToString(deterministic=True))
    return [place]


def about_network(trained: Trained) -> dict[str, Any]:
    """What an ONNX file says about its network, ready for JSON.

    `vocabulary`: the symbols by id, a list; `unit`: "char" or "byte", whose symbols are the
    characters U+0000 to U+00FF; `unknown`: the id of the symbol for rare characters, which is never
    to be sampled, or null; `document_separator`: a regular expression, after whose matches the
    state is zero, or null; `start_ids`; `texts`, `sha256`, `step`, `epoch` and `loss` (nats per
    character), where the network comes from; `model`: its settings.
    """
    metadata = metadata_of(trained)
    return {
        "vocabulary": list(trained.vocab.symbols),
        "unit": trained.vocab.unit,
        "unknown": trained.vocab.unknown,
        "document_separator": trained.corpus_config.document_separator,
        "start_ids": trained.opening.ids.tolist(),
        **{key: metadata[key] for key in ("texts", "sha256", "step", "epoch", "loss")},
        "model": asdict(trained.model.config),
    }


def _description(trained: Trained, names: tuple[str, ...]) -> str:
    states, nexts, starts = (
        " and ".join(prefix + name for name in names) for prefix in ("", "next_", "start_")
    )
    text = DESCRIPTION.format(
        summary=trained.model.summary, states=states, nexts=nexts, starts=starts
    )
    return text.replace("\n", " ")

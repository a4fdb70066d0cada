"""A network, or several that predict together, as one ONNX file, which onnxruntime runs in Python,
C#, C++, Java, JavaScript, ...

    session = onnxruntime.InferenceSession("plays.onnx")
    logits, h, c = session.run(["logits", "next_h", "next_c"], {"ids": ids, "h": h, "c": c})

Temperature, top-k and the draw are the caller's.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained, metadata_of
from charrnn.errors import ExportError
from charrnn.export.facts import form_of
from charrnn.export.networks import networks_of
from charrnn.export.place import check_file, check_package, write_file

LARGEST = 2**31 - 2**24
"""Bytes of all numbers: a file of Protocol Buffers, in which there is more than them, is smaller
than 2 GiB.
"""
DESCRIPTION = """\
{what}
ids (T, N) and the state {states} (L, N, H) in; logits (T, N, V), which predict the symbol after
each id, and the state after the last step, {nexts}, out.
start_ids (S) and {starts} (S, L, 1, H) are constants: feed start_ids[s] with {starts} of s first.
about is JSON in UTF-8, with the same keys as the metadata: vocabulary, a list of the symbols by id;
unit; unknown, the id of a symbol never to be sampled; document_separator; newlines and normalize,
which a text is given; networks, how many there are; and the origin."""
ONE = "A character-level recurrent network by charrnn, {}."
SEVERAL = "Character-level and recurrent, by charrnn: {}; softmax(logits) is the mean of theirs."


def export_onnx(
    trained: Trained | Sequence[Trained], path: str | os.PathLike[str], *, force: bool = False
) -> list[Path]:
    """Write a network, or several that are used together (`Mixture`), as an ONNX file (opset 17),
    atomically; returns its path. The same network gives the same bytes.

    Inputs: `ids` int64 (T, N) and the state, `h` and, unless the cell is a GRU or a plain RNN, `c`,
    float32 (L, N, H), with attention also `keys` (M, N, 64) and `read` (M, N, 1), 1 + id or 0; T
    and N are free. Outputs: `logits` float32 (T, N, V), which predict the symbol after each id;
    `next_h` and `next_c`; and constants: `start_ids` int64 (S,), `start_h` and `start_c` float32
    (S, L, 1, H), the states that a text may start from and the id that is read first from each, and
    `about` uint8 (K,), the file's metadata as JSON in UTF-8, for runtimes
    that cannot read metadata. The keys are those of `about_networks`. With K networks, the logits
    are the log of the mean of their probabilities, and a state has the layers of all of them after
    one another: L is K times the layers of one.

    `ExportError` without the package onnx, for weights above 2 GiB, which one such file cannot
    hold, for networks that are not of one run, if there is a file already (unless `force`), or if
    it cannot be written.
    """
    networks = networks_of(trained)
    place = check_file(path, force)
    model, opening = networks[0].model, networks[0].opening
    blocks = 4 / 3 if model.config.cell == "coupled" else 1  # it is written as an LSTM
    weights = sum(
        math.prod(tensor.disk_shape) * (blocks if tensor.name.startswith("rnn.") else 1)
        for tensor in model.parameters.tensors
    )
    size = len(networks) * (4 * weights + 2 * opening.state.h.nbytes)
    if size > LARGEST:
        raise ExportError(
            f"{networks.summary}: {size / 2**30:.1f} GiB of numbers, but an ONNX file is "
            "smaller than 2 GiB; export to pytorch"
        )
    check_package("onnx", "an ONNX file")
    from charrnn.export.onnx_network import model_of, state_parts

    about = about_networks(networks)
    made = model_of(
        networks,
        {key: json.dumps(value) for key, value in about.items()},
        json.dumps(about, separators=(",", ":")).encode(),
        _description(networks, (*state_parts(model.config),)),
    )
    write_file(place, made.SerializeToString(deterministic=True))
    return [place]


def about_networks(networks: Mixture) -> dict[str, Any]:
    """What an ONNX file says about its networks, ready for JSON.

    `vocabulary`: the symbols by id, a list; `unit`: "char" or "byte", whose symbols are the
    characters U+0000 to U+00FF; `unknown`: the id of the symbol for rare characters, which is never
    to be sampled, or null; `document_separator`: a regular expression, after whose matches the
    state is zero, or null; `newlines` and `normalize`, which a text is given before it is read, as
    in `CorpusConfig`; `start_ids`; `networks`: how many there are; `texts`, `sha256`, `step`,
    `epoch` and `loss` (nats per character), where they come from, as `Mixture.origin`; `model`: the
    settings of each network.
    """
    vocab, origin = networks.vocab, networks.origin
    return {
        "vocabulary": list(vocab.symbols),
        "unit": vocab.unit,
        "unknown": vocab.unknown,
        "document_separator": networks.corpus_config.document_separator,
        "newlines": "keep" if vocab.unit == "byte" else networks.corpus_config.newlines,
        "normalize": form_of(networks),
        "start_ids": networks[0].opening.ids.tolist(),
        "networks": len(networks),
        "texts": metadata_of(networks[0])["texts"],
        **{name: getattr(origin, name) for name in ("sha256", "step", "epoch", "loss")},
        "model": asdict(networks[0].model.config),
    }


def _description(networks: Mixture, names: tuple[str, ...]) -> str:
    states, nexts, starts = (
        " and ".join(prefix + name for name in names) for prefix in ("", "next_", "start_")
    )
    text = DESCRIPTION.format(
        what=(ONE if len(networks) == 1 else SEVERAL).format(networks.summary),
        states=states,
        nexts=nexts,
        starts=starts,
    )
    return text.replace("\n", " ")

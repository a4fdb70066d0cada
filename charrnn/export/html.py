"""A page in one file, on which a person writes together with a network, or several, in it.

Matrices stand in the page as int8 or bfloat16, as `charrnn sample` rounds them for
`precision`; everything else is float32, and start states are bfloat16, as in checkpoints. The page
writes what `charrnn sample` writes from the same start state, prime, seed and take.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError, ExportError
from charrnn.export.facts import facts, form_of
from charrnn.export.javascript import javascript_pattern
from charrnn.export.networks import networks_of
from charrnn.export.place import check_file, write_file
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.quantization import rounded, scales
from charrnn.network.arithmetic import to_bf16
from charrnn.network.model import Model
from charrnn.network.parameters import Floats, attention_biases, matrix_names
from charrnn.pages.writing import writing_page
from charrnn.text.documents import looks_ahead
from charrnn.text.endings import ABBREVIATIONS, NUMBERED
from charrnn.text.vocab import Vocab

Json = dict[str, Any]
Precision = Literal["int8", "bf16"]
ENGINE = (
    "random.js",
    "normalization.js",
    "vocabulary.js",
    "cells.js",
    "attention.js",
    "mogrifier.js",
    "network.js",
    "mixture.js",
    "sampling.js",
    "endings.js",
    "documents.js",
    "known_words.js",
    "continuing.js",
    "local_backend.js",
)
"""The scripts in `pages` that run a network, in order."""
POLICY = "worker-src blob:"
"""What they need of a page's content security policy; nothing that leaves the page."""
READ_AS = (
    range(0x09, 0x0E),
    range(0x20, 0x3400),
    range(0xF900, 0xFFF0),
    range(0x1D400, 0x1D800),
)
"""Characters that a page reads as the most similar ones that the network knows, if any. Those
elsewhere are of rare scripts.
"""
BYTES = {"int8": 1, "bf16": 2, "float32": 4}
"""Of a number in a page, before base64."""
LARGEST = 1 << 28
"""Bytes of a page: a browser's strings are not longer than twice this."""


def export_html(
    trained: Trained | Sequence[Trained],
    path: str | os.PathLike[str],
    *,
    precision: Precision = "int8",
    known_words: Lexicon | None = None,
    name: str = "",
    force: bool = False,
) -> list[Path]:
    """Write one HTML file in which a network runs, or several that are used together (`Mixture`),
    and a person writes with it; returns its path.

    It opens from disk, and no request leaves it. It writes what `generate` writes with
    `SamplingConfig(precision=precision)` from the same prime, seed and take. Its size is about
    1.4 bytes for each weight of a matrix with int8, 2.8 with bf16, and 5.4 for any other; K
    networks are K times as large and as slow.

    known_words: with them, the page can write these words only. They can be read in the file, and
        they are the author's: leave them out if the text may not be shown. name: the page's title,
        by default the name of the file. force: replace a file.

    `ExportError` for a document separator that JavaScript does not have, for a page that browsers
    could not open, for networks that are not of one run, and if the file cannot be written.
    """
    networks = networks_of(trained)
    if precision not in ("int8", "bf16"):
        raise ConfigError(f"`precision` must be int8 or bf16 in a page, not {precision!r:.40}")
    if known_words is not None and not isinstance(known_words, Lexicon):
        raise ConfigError(
            f"`known_words` must be a Lexicon, not {type(known_words).__name__}; "
            "Lexicon.of_text makes one"
        )
    place = check_file(path, force)
    if len(networks) * _size(networks[0].model, precision) > LARGEST:
        raise ExportError(f"{networks.summary}: too many for a web page; export to onnx or pytorch")
    title = name or place.stem
    about = facts(networks, title, precision=precision, has_known_words=known_words is not None)
    data = {"about": about, **page_data(networks, precision, known_words)}
    html = writing_page(title, backend=ENGINE, data=data, policy=POLICY)
    write_file(place, html.encode())
    return [place]


def page_data(
    trained: Trained | Sequence[Trained],
    precision: Precision,
    known_words: Lexicon | None = None,
) -> Json:
    """What the scripts need of networks, ready for JSON."""
    networks = Mixture.of(trained)
    vocab, separator = networks.vocab, networks.corpus_config.document_separator
    models, documents = [rounded(network.model, precision) for network in networks], None
    if separator is not None:
        source = javascript_pattern(separator, vocab)
        documents = {"source": source, "looksAhead": looks_ahead(separator)}
    return {
        "networks": [_network(model) | {"tensors": _tensors(model, precision)} for model in models],
        "vocabulary": _vocabulary(vocab),
        "normalize": form_of(networks),
        "starts": _starts(networks),
        "separator": documents,
        "endings": {"abbreviations": sorted(ABBREVIATIONS), "numbered": sorted(NUMBERED)},
        "knownWords": None if known_words is None else _automaton(known_words, vocab),
    }


def _network(model: Model) -> Json:
    config, cell = model.config, model.cell
    return {
        "cell": {
            "name": config.cell,
            "gates": cell.gates,
            "input": cell.input_gates,
            "recurrent": cell.recurrent_gates,
            "gated": cell.gated,
            "hasOutput": cell.has_output,
        },
        "symbols": config.vocab_size,
        "layers": config.layers,
        "hidden": config.hidden,
        "embedding": config.embedding,
        "activation": config.activation,
        "residual": config.residual,
        "attention": config.attention,
        "mogrifier": config.mogrifier,
        "layer_norm": bool(config.layer_norm),
        "zoneout_h": config.zoneout_h,
        "zoneout_c": config.zoneout_c if cell.has_memory else 0.0,
    }


def _tensors(model: Model, precision: str) -> dict[str, Json]:
    """All tensors in their shape on disk; the vectors of layer l as `vectors_l{l}` (K, H), trained
    or constant.
    """
    config, matrices = model.config, set(matrix_names(model.config))
    tensors = {
        name: _tensor(array, precision if name in matrices else "float32")
        for name, array in model.parameters.to_disk()
        if "peephole" not in name
    }
    if config.attention:
        del tensors["attention.bias"]
        tensors["attention.biases"] = _tensor(attention_biases(model.parameters, config))
    for layer in range(config.layers):
        vectors = model.vectors(layer)[:, : config.hidden]
        if len(vectors):
            tensors[f"vectors_l{layer}"] = _tensor(vectors)
    return tensors


def _size(model: Model, precision: str) -> int:
    """Characters of all tensors in a page, about."""
    matrices = set(matrix_names(model.config))
    sizes = (
        math.prod(tensor.disk_shape) * BYTES[precision if tensor.name in matrices else "float32"]
        for tensor in model.parameters.tensors
    )
    return sum(sizes) * 4 // 3  # as base64


def _tensor(array: Floats, kind: str = "float32") -> Json:
    """Numbers of a tensor in the shape on disk; a row of a matrix has one scale."""
    about: Json = {"shape": array.shape, "kind": kind}
    if kind == "bf16":
        return about | {"data": _base64(to_bf16(np.ascontiguousarray(array)))}
    if kind == "int8":
        each = scales(array.T)
        numbers = np.rint(array / each[:, None]).astype(np.int8)
        return about | {"data": _base64(numbers), "scales": _base64(each.astype("<f4"))}
    return about | {"data": _base64(array.astype("<f4"))}


def _vocabulary(vocab: Vocab) -> Json:
    known = vocab.index.keys()
    alike = {
        ch: other
        for ch in map(chr, (code for codes in READ_AS for code in codes))
        if ch not in known and (other := vocab.nearest(ch)) is not None
    }
    return {
        "symbols": list(vocab.symbols),
        "unit": vocab.unit,
        "unknown": vocab.unknown,
        "from": "".join(alike),
        "to": "".join(alike.values()),
    }


def _starts(networks: Mixture) -> Json:
    """The ids and, unless they are zero, the states that a text may start from: (K L, N, H), with
    the layers of all K networks after one another.
    """
    starts: Json = {"ids": networks[0].opening.ids.tolist(), "h": None, "c": None}
    if any(network.starts is not None for network in networks):
        hidden = networks[0].model.config.hidden
        for part in ("h", "c"):
            arrays = [getattr(each.opening.state, part)[..., :hidden] for each in networks]
            starts[part] = _base64(to_bf16(np.concatenate(arrays)))
    return starts


def _automaton(known_words: Lexicon, vocab: Vocab) -> Json:
    """The automaton of known words from a text's start on; the state that follows it is the one
    after a word that is not known (`WordGraph`).
    """
    whole = known_words.automaton(vocab)
    arrays = {
        "counts": np.diff(whole.first),
        "symbols": whole.symbols,
        "targets": whole.targets,
        "distance": whole.distance,
    }
    return {"start": whole.start, **{k: _base64(a.astype("<i4")) for k, a in arrays.items()}}


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

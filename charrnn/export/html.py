"""A page in one file, on which a person writes together with a network that runs in it.

The network's matrices stand in the page as int8 or bfloat16, as `charrnn sample` rounds them for
`precision`; everything else is float32, and start states are bfloat16, as in checkpoints. The page
writes what `charrnn sample` writes from the same start state, prime, seed and take.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.generation.quantization import rounded, scales
from charrnn.network.arithmetic import to_bf16
from charrnn.network.model import Model
from charrnn.network.parameters import Floats, matrix_names
from charrnn.text.vocab import Vocab

Json = dict[str, Any]
ENGINE = (
    "random.js",
    "vocabulary.js",
    "network.js",
    "sampling.js",
    "endings.js",
    "continuing.js",
    "local_backend.js",
)
"""The scripts in `pages` that run a network, in order."""
READ_AS = (range(0x20, 0x3000), range(0xFB00, 0xFFF0))
"""Characters which a page reads as the most similar ones that the network knows."""


def network_data(trained: Trained, precision: str) -> Json:
    """What the scripts need of a network, ready for JSON."""
    model = rounded(trained.model, precision)
    opening = trained.opening
    starts = {"ids": opening.ids.tolist(), "h": None, "c": None}
    if trained.starts is not None:
        hidden = model.config.hidden
        for name, array in (("h", opening.state.h), ("c", opening.state.c)):
            starts[name] = _base64(to_bf16(np.ascontiguousarray(array[..., :hidden])))
    return {
        "network": {
            **_network(model),
            "tensors": {
                **_tensors(model, precision),
                **{
                    f"vectors_l{layer}": _tensor(vectors)
                    for layer in range(model.config.layers)
                    if len(vectors := model.vectors(layer)[:, : model.config.hidden])
                },
            },
        },
        "vocabulary": _vocabulary(trained.vocab),
        "starts": starts,
        "separator": None,
        "knownWords": None,
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
        "layer_norm": bool(config.layer_norm),
        "zoneout_h": config.zoneout_h,
        "zoneout_c": config.zoneout_c if cell.has_memory else 0.0,
    }


def _tensors(model: Model, precision: str) -> dict[str, Json]:
    matrices = set(matrix_names(model.config))
    return {
        name: _tensor(array, precision if name in matrices else "float32")
        for name, array in model.parameters.to_disk()
        if "peephole" not in name
    }


def _tensor(array: Floats, kind: str = "float32") -> Json:
    """Numbers of a tensor in the shape on disk; a row of a matrix has one scale."""
    about: Json = {"shape": array.shape, "kind": kind}
    if kind == "bf16":
        return about | {"data": _base64(to_bf16(np.ascontiguousarray(array)))}
    if kind == "int8":
        powers = scales(array.T)
        numbers = (array / powers[:, None]).astype(np.int8)
        exponents = np.log2(powers).astype(np.int8)
        return about | {"data": _base64(numbers), "exponents": _base64(exponents)}
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


def _base64(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

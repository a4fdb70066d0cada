"""Recurrent layers as ONNX's operators LSTM, GRU and RNN, where these compute the cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig
from charrnn.export.onnx_graph import Graph, Value
from charrnn.network.cells import cell_named
from charrnn.network.parameters import Floats, round_names

OPERATORS = {
    **{"lstm": "LSTM", "peephole": "LSTM", "coupled": "LSTM"},
    **{"gru": "GRU", "gru-after": "GRU", "rnn": "RNN"},
}
"""Cell -> the operator that computes it."""
PHI = {"tanh": "Tanh", "softsign": "Softsign", "relu": "Relu"}
BLOCKS = {
    **{"lstm": (0, 3, 1, 2), "peephole": (0, 3, 1, 2), "coupled": (0, 2, 0, 1)},
    **{"gru": (1, 0, 2), "gru-after": (1, 0, 2), "rnn": (0,)},
}
"""Which block of a checkpoint stands in each place of the operator: of i o f c, or of z r h. The
first one of `coupled` is f negated, since i = 1 - sigmoid(f) = sigmoid(-f).
"""
States = dict[str, Value]
"""h, and c if the cell has one, by name: (1, N, H) for one layer."""


@dataclass(frozen=True)
class Layer:
    """A layer's parameters in a checkpoint's shapes, and its number from the lowest, 0.

    prefix: of the names of its network's tensors in the file.
    """

    config: ModelConfig
    index: int
    arrays: Mapping[str, Floats]
    prefix: str = ""

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[f"rnn.{name}_l{self.index}"]

    @property
    def place(self) -> str:
        """Where the names of its tensors in the file begin."""
        return f"{self.prefix}layers.{self.index}."

    @property
    def rounds(self) -> list[Floats]:
        """The matrices of the Mogrifier's rounds, which only the lowest layer has."""
        names = [] if self.index else round_names(self.config)
        return [self.arrays[name] for name in names]

    def constant(self, graph: Graph, name: str, array: NDArray[Any]) -> Value:
        """A tensor of this layer in the file."""
        return graph.constant(self.place + name, array)


class Outputs(NamedTuple):
    """What a layer returns: y (T, N, H) for the layer above, the state after the last step, and the
    memory m (T, N, H) for the layer above if the cell has one.
    """

    y: Value
    state: States
    m: Value | None = None


def is_native(layer: Layer) -> bool:
    """True if one of ONNX's operators computes the layer; zoneout acts in evaluation too."""
    config = layer.config
    zones_c = config.zoneout_c and cell_named(config.cell).has_memory
    return config.cell in OPERATORS and not (config.zoneout_h or zones_c or layer.rounds)


def native(graph: Graph, layer: Layer, x: Value, state: States) -> Outputs:
    """A layer over x (T, N, D) as one operator."""
    config, operator = layer.config, OPERATORS[layer.config.cell]
    phi = PHI[config.activation]
    activations = {"LSTM": ["Sigmoid", phi, phi], "GRU": ["Sigmoid", phi], "RNN": [phi]}[operator]
    options: dict[str, Any] = {"hidden_size": config.hidden, "activations": activations}
    if operator == "GRU":
        options["linear_before_reset"] = int(config.cell == "gru-after")
    weights = {
        "W": _in_order(layer, layer["weight_ih"]),
        "R": _in_order(layer, layer["weight_hh"]),
        "B": np.concatenate([_in_order(layer, layer["bias_ih"]), _second_bias(layer)]),
    }
    W, R, B = (layer.constant(graph, name, array[None]) for name, array in weights.items())
    inputs = [x, W, R, B, None, *state.values()]
    if config.cell == "peephole":
        p_i, p_f, p_o = layer["peephole"]
        inputs.append(layer.constant(graph, "P", np.concatenate([p_i, p_o, p_f])[None]))
    y, *after = graph.nodes(operator, *inputs, outputs=1 + len(state), **options)
    return Outputs(y.squeezed(1), dict(zip(state, after, strict=True)))


def _second_bias(layer: Layer) -> Floats:
    """The bias of the recurrent product: zero, unless a cell trains it."""
    if layer.config.cell == "gru-after":
        return _in_order(layer, layer["bias_hh"])
    return np.zeros(len(BLOCKS[layer.config.cell]) * layer.config.hidden, np.float32)


def _in_order(layer: Layer, array: Floats) -> Floats:
    """A weight or a bias with its blocks of H rows where the operator has them."""
    order = BLOCKS[layer.config.cell]
    blocks = array.reshape(-1, layer.config.hidden, *array.shape[1:])[list(order)]
    if layer.config.cell == "coupled":
        blocks[0] = -blocks[0]
    return blocks.reshape(-1, *array.shape[1:])

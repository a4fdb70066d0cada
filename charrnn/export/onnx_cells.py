"""Recurrent layers in ONNX.

What ONNX's operators LSTM, GRU and RNN compute is said with them, since every runtime is fast
there. All else is a Scan over the steps, whose body is the cell's equations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig
from charrnn.export.onnx_graph import Graph, Value
from charrnn.network.cells import cell_named
from charrnn.network.parameters import Floats

NATIVE = {"lstm": "LSTM", "peephole": "LSTM", "coupled": "LSTM"} | {
    "gru": "GRU",
    "gru-after": "GRU",
    "rnn": "RNN",
}
"""Cell -> the operator that computes it."""
PHI = {"tanh": "Tanh", "softsign": "Softsign", "relu": "Relu"}
BLOCKS = {"lstm": (0, 3, 1, 2), "peephole": (0, 3, 1, 2), "coupled": (0, 2, 0, 1)} | {
    "gru": (1, 0, 2),
    "gru-after": (1, 0, 2),
    "rnn": (0,),
}
"""Which block of a checkpoint stands at each place of the operator's: i o f c, and z r h. The first
one of `coupled`, i = 1 - f, is f negated.
"""


@dataclass(frozen=True)
class Layer:
    """A layer's parameters in a checkpoint's shapes, and its number from the lowest, 0."""

    config: ModelConfig
    index: int
    arrays: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[f"rnn.{name}_l{self.index}"]

    @property
    def is_one_hot(self) -> bool:
        """True if it reads characters without an embedding."""
        return self.index == 0 and not self.config.embedding

    def constant(self, graph: Graph, name: str, array: NDArray[Any]) -> Value:
        """A tensor of this layer in the file."""
        return graph.constant(f"layers.{self.index}.{name}", array)


class Outputs(NamedTuple):
    """What a layer returns: y (T, N, H); h and c after the last step, (1, N, H); and the memory m
    (T, N, H) for the layer above. What the cell has not is None.
    """

    y: Value
    h: Value
    c: Value | None
    m: Value | None


def is_native(config: ModelConfig) -> bool:
    """True if one of ONNX's operators computes the layers; zoneout acts in evaluation too."""
    zones_c = config.zoneout_c and cell_named(config.cell).has_memory
    return config.cell in NATIVE and not (config.zoneout_h or zones_c)


def native(graph: Graph, layer: Layer, x: Value, h: Value, c: Value | None) -> Outputs:
    """A layer as one operator: x (T, N, D), h and c (1, N, H) -> y, h, c."""
    config, operator = layer.config, NATIVE[layer.config.cell]
    phi = PHI[config.activation]
    options: dict[str, Any] = {
        "LSTM": {"activations": ["Sigmoid", phi, phi]},
        "GRU": {
            "activations": ["Sigmoid", phi],
            "linear_before_reset": int(config.cell == "gru-after"),
        },
        "RNN": {"activations": [phi]},
    }[operator]
    second = np.zeros(len(BLOCKS[config.cell]) * config.hidden, np.float32)
    if config.cell == "gru-after":
        second = _in_order(layer, layer["bias_hh"])
    inputs: list[Value | None] = [
        x,
        layer.constant(graph, "W", _in_order(layer, layer["weight_ih"])[None]),
        layer.constant(graph, "R", _in_order(layer, layer["weight_hh"])[None]),
        layer.constant(
            graph, "B", np.concatenate([_in_order(layer, layer["bias_ih"]), second])[None]
        ),
        None,
        h,
    ]
    if operator == "LSTM":
        inputs.append(c)
    if config.cell == "peephole":
        p_i, p_f, p_o = layer["peephole"]
        inputs.append(layer.constant(graph, "P", np.concatenate([p_i, p_o, p_f])[None]))
    made = graph.nodes(
        operator, *inputs, outputs=2 + (operator == "LSTM"), hidden_size=config.hidden, **options
    )
    return Outputs(made[0].squeezed(1), made[1], made[2] if operator == "LSTM" else None, None)


def _in_order(layer: Layer, array: Floats) -> Floats:
    """A weight or a bias with its blocks of H rows where the operator has them."""
    order = BLOCKS[layer.config.cell]
    blocks = array.reshape(-1, layer.config.hidden, *array.shape[1:])[list(order)]
    if layer.config.cell == "coupled":
        blocks[0] = -blocks[0]
    return blocks.reshape(-1, *array.shape[1:])


# The cells' equations
# --------------------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What a cell computes: the new h and c, what goes up if that is not h, and the memory that
    goes up. Each (N, H).
    """

    h: Value
    c: Value | None = None
    y: Value | None = None
    m: Value | None = None


@dataclass(frozen=True)
class Cell:
    """A layer inside the body of its Scan."""

    graph: Graph
    layer: Layer

    def phi(self, x: Value) -> Value:
        """The activation."""
        return self.graph.node(PHI[self.layer.config.activation], x)

    def over(self, h: Value, first: int = 0, last: int | None = None) -> Value:
        """h W_h, of these blocks of W_h."""
        H, W = self.layer.config.hidden, self.layer["weight_hh"]
        last = len(W) // H if last is None else last
        rows = W[first * H : last * H].T
        return h @ self.constant(f"W_h.{first}_{last}", rows)

    def vectors(self) -> list[Value]:
        """The peepholes, (H,) each."""
        return [self.constant(f"p.{k}", row) for k, row in enumerate(self.layer["peephole"])]

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """A tensor of this layer."""
        return self.layer.constant(self.graph, name, array)

    def number(self, number: float) -> Value:
        """A number, float32."""
        return self.constant(f"{number:g}", np.float32(number))


def _lstm(cell: Cell, a: Value, h: Value, c: Value, m: Value | None) -> Step:
    i, f, g, o = (a + cell.over(h)).blocks(4)
    c = f.sigmoid() * c + i.sigmoid() * cell.phi(g)
    return Step(o.sigmoid() * cell.phi(c), c)


def _peephole(cell: Cell, a: Value, h: Value, c: Value, m: Value | None) -> Step:
    p_i, p_f, p_o = cell.vectors()
    i, f, g, o = (a + cell.over(h)).blocks(4)
    i, f = (i + p_i * c).sigmoid(), (f + p_f * c).sigmoid()
    c = f * c + i * cell.phi(g)
    return Step((o + p_o * c).sigmoid() * cell.phi(c), c)


def _coupled(cell: Cell, a: Value, h: Value, c: Value, m: Value | None) -> Step:
    f, g, o = (a + cell.over(h)).blocks(3)
    g = cell.phi(g)
    c = g + f.sigmoid() * (c - g)
    return Step(o.sigmoid() * cell.phi(c), c)


def _gru(cell: Cell, a: Value, h: Value, c: Value | None, m: Value | None) -> Step:
    a_r, a_u, a_n = a.blocks(3)
    r, u = cell.over(h, 0, 2).blocks(2)
    r, u = (a_r + r).sigmoid(), (a_u + u).sigmoid()
    n = cell.phi(a_n + cell.over(r * h, 2, 3))
    return Step(n + u * (h - n))


def _gru_after(cell: Cell, a: Value, h: Value, c: Value | None, m: Value | None) -> Step:
    H = cell.layer.config.hidden
    a_r, a_u, a_n = a.blocks(3)
    r, u, k = cell.over(h).blocks(3)
    r, u = (a_r + r).sigmoid(), (a_u + u).sigmoid()
    n = cell.phi(a_n + r * (k + cell.constant("b_h", cell.layer["bias_hh"][2 * H :])))
    return Step(n + u * (h - n))


def _rnn(cell: Cell, a: Value, h: Value, c: Value | None, m: Value | None) -> Step:
    return Step(cell.phi(a + cell.over(h)))


def _clockwork(cell: Cell, a: Value, h: Value, c: Value, m: Value | None) -> Step:
    constants = cell_named("clockwork").constants
    assert constants is not None
    period = cell.constant("period", constants(cell.layer.config)[0])
    zero, passed = cell.number(0), c + cell.number(1)
    new = cell.phi(a + cell.over(h))
    return Step((zero < c).where_true(h, new), (passed < period).where_true(passed, zero))


def _depth_gated(cell: Cell, a: Value, h: Value, c: Value, m: Value) -> Step:
    p_i, p_f, p_o, w_c, w_m = cell.vectors()
    a_d, *along = a.blocks(5)
    i, f, g, o = (x + y for x, y in zip(along, cell.over(h).blocks(4), strict=True))
    d = (a_d + w_c * c + w_m * m).sigmoid()
    i, f = (i + p_i * c).sigmoid(), (f + p_f * c).sigmoid()
    c = d * m + f * c + i * cell.phi(g)
    return Step((o + p_o * c).sigmoid() * cell.phi(c), c, m=c)


def _grid(cell: Cell, a: Value, h: Value, c: Value, m: Value) -> Step:
    i, f, g, o, i_d, f_d, g_d, o_d = (a + cell.over(h)).blocks(8)
    c = f.sigmoid() * c + i.sigmoid() * cell.phi(g)
    m = f_d.sigmoid() * m + i_d.sigmoid() * cell.phi(g_d)
    return Step(cell.phi(o.sigmoid() * c), c, y=cell.phi(o_d.sigmoid() * m), m=m)


STEPS: dict[str, Callable[..., Step]] = {
    **{"lstm": _lstm, "peephole": _peephole, "coupled": _coupled},
    **{"gru": _gru, "gru-after": _gru_after, "rnn": _rnn, "clockwork": _clockwork},
    **{"depth-gated": _depth_gated, "grid": _grid},
}
"""step(cell, a, h, c, m): a = x W_x + b; h and c of the step before; m of the layer below."""


def scanned(
    graph: Graph, layer: Layer, a: Value, h: Value, c: Value | None, m: Value | None
) -> Outputs:
    """A layer as a Scan: a = x W_x + b (T, N, G H), h and c (1, N, H), m (T, N, H) -> y, h, c, m."""
    config, body = layer.config, Graph(graph)
    at, H = f"layers.{layer.index}.", config.hidden
    state, steps = [h, *([c] if c else [])], [a, *([m] if m else [])]

    def declared(name: str, size: int, value: Value | None) -> Value | None:
        return body.input(at + name, np.float32, ("N", size)) if value else None

    blocks = len(layer["bias_ih"]) // H
    h_in, c_in = declared("h", H, h), declared("c", H, c)
    a_in, m_in = declared("a", blocks * H, a), declared("m", H, m)
    cell = Cell(body, layer)
    step = STEPS[config.cell](cell, a_in, h_in, c_in, m_in)
    new_h = _zoneout(cell, h_in, step.h, config.zoneout_h)
    new_c = step.c
    if cell_named(config.cell).has_memory:
        new_c = _zoneout(cell, c_in, step.c, config.zoneout_c)
    returned = {"next_h": new_h, "next_c": new_c, "y": step.y or new_h, "next_m": step.m}
    returned = {name: value for name, value in returned.items() if value}
    for name, value in returned.items():
        body.output(at + name, np.float32, ("N", H), value)
    made = graph.nodes(
        "Scan",
        *(value.squeezed(0) for value in state),
        *steps,
        outputs=len(returned),
        body=body.made(f"layers.{layer.index}"),
        num_scan_inputs=len(steps),
    )
    by_name = dict(zip(returned, made, strict=True))
    return Outputs(
        by_name["y"],
        by_name["next_h"].unsqueezed(0),
        by_name["next_c"].unsqueezed(0) if c else None,
        by_name.get("next_m"),
    )


def _zoneout(cell: Cell, old: Value | None, new: Value | None, rate: float) -> Value | None:
    """Krueger et al. 2017: the mean of keeping the old value and not keeping it."""
    if not rate or old is None or new is None:
        return new
    return new + cell.number(rate) * (old - new)

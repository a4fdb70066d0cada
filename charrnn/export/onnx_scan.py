"""Recurrent layers as a Scan over the steps, whose body is the cell's equations: all that ONNX's
operators cannot say.

`docs/networks.md` has the equations and their sources; a = x W_x + b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.export.onnx_graph import Graph, Value
from charrnn.export.onnx_native import PHI, Layer, Outputs, States
from charrnn.network.cells import cell_named


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

    def mogrified(self, x: Value, h: Value) -> tuple[Value, Value]:
        """x W_x + b, and h, after the rounds in which x and h scale each other in turn (Melis,
        Kocisky & Blunsom 2020).
        """
        two = self.number(2)
        for number, matrix in enumerate(self.layer.rounds, 1):
            M = self.constant(f"M.{number}", matrix.T)
            if number % 2:
                x = two * (h @ M).sigmoid() * x
            else:
                h = two * (x @ M).sigmoid() * h
        weight = self.constant("W_x", self.layer["weight_ih"].T)
        return x @ weight + self.constant("b", self.layer["bias_ih"]), h

    def vectors(self) -> list[Value]:
        """The peepholes, (H,) each."""
        return [self.constant(f"p.{k}", row) for k, row in enumerate(self.layer["peephole"])]

    def constant(self, name: str, array: NDArray[Any]) -> Value:
        """A tensor of this layer."""
        return self.layer.constant(self.graph, name, array)

    def number(self, number: float) -> Value:
        """A number, float32."""
        return self.constant(f"{number}", np.array(number, np.float32))

    def zoneout(self, old: Value, new: Value, rate: float) -> Value:
        """Krueger et al. 2017: the mean of keeping the old value and not keeping it."""
        return new + self.number(rate) * (old - new) if rate else new


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


def scanned(graph: Graph, layer: Layer, fed: Mapping[str, Value], state: States) -> Outputs:
    """A layer over what it is fed: a = x W_x + b (T, N, G H), or x (T, N, E) if it has rounds; and
    m (T, N, H) if its cell reads that.
    """
    H, at, body = layer.config.hidden, layer.place, Graph(graph)
    widths = {"a": len(layer["bias_ih"]), "x": layer.config.embedding}
    sizes = {name: widths.get(name, H) for name in (*state, *fed)}
    read = {name: body.input(at + name, np.float32, ("N", size)) for name, size in sizes.items()}
    returned = _step(Cell(body, layer), **read)
    for name, value in returned.items():
        body.output(f"{at}next_{name}", np.float32, ("N", H), value)
    made = graph.nodes(
        "Scan",
        *(value.squeezed(0) for value in state.values()),
        *fed.values(),
        outputs=len(returned),
        body=body.made(at + "step"),
        num_scan_inputs=len(fed),
    )
    after = dict(zip(returned, made, strict=True))
    states = {name: after[name].unsqueezed(0) for name in state}
    return Outputs(after["y"], states, after.get("m"))


def _step(
    cell: Cell,
    h: Value,
    c: Value | None = None,
    a: Value | None = None,
    x: Value | None = None,
    m: Value | None = None,
) -> dict[str, Value]:
    """What a step returns, by name: the state first, then what goes up. It is fed a, or x if there
    are rounds; what zoneout keeps is h before them.
    """
    config = cell.layer.config
    a, scaled = cell.mogrified(x, h) if x else (a, h)
    step = STEPS[config.cell](cell, a, scaled, c, m)
    returned = {"h": cell.zoneout(h, step.h, config.zoneout_h)}
    if c is not None and step.c is not None:
        rate = config.zoneout_c if cell_named(config.cell).has_memory else 0.0
        returned["c"] = cell.zoneout(c, step.c, rate)
    returned["y"] = step.y or returned["h"]
    return returned | ({"m": step.m} if step.m else {})

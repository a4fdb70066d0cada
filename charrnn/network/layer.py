"""One layer at work: its buffers for a batch shape, and its way forward and back over a range of
the streams.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.calling import address_of
from charrnn.compiler.simd import padded, pitch
from charrnn.config.settings import ModelConfig
from charrnn.kernels import layers
from charrnn.kernels.recurrent import backward_layer, forward_layer
from charrnn.network.cells.cell import Cell
from charrnn.network.model import Model, Panels
from charrnn.network.parameters import Floats, Parameters, aligned
from charrnn.runtime.threads import ranges

Ids = NDArray[np.int32]
Starts = NDArray[np.bool_]
Jobs = list[tuple[Any, ...]]
NOTHING = np.zeros((0, 0), np.float32)
EMPTY = np.zeros((0, 0, 0), np.float32)
NO_PANELS = np.zeros(0, np.float32)


def layer_shapes(
    config: ModelConfig, cell: Cell, T: int, N: int, training: bool, layer: int
) -> dict[str, tuple[int, ...]]:
    """The buffers of a layer and their shapes."""
    H = padded(config.hidden)
    shapes: dict[str, tuple[int, ...]] = {
        "z": (T, N, pitch(len(cell.gates) * H)),
        "h": (T + 1, N, H),
        "c": (T + 1, N, H),
    }
    wanted = {
        "q": cell.gated > 0,
        "m": cell.keeps_memory,
        "y": cell.has_output,
        "out": (training and config.dropout > 0)
        or (config.residual and layer > 0)
        or config.layer_norm,
    }
    shapes |= {name: (T, N, H) for name, needed in wanted.items() if needed}
    drawn = T if training else 1
    masks = {
        "mask": (config.dropout if training else 0, 1 if config.locked_dropout else T),
        "keep_h": (config.zoneout_h, drawn),
        "keep_c": (config.zoneout_c if cell.has_memory else 0, drawn),
    }
    return shapes | {name: (steps, N, H) for name, (rate, steps) in masks.items() if rate > 0}


class Layer:
    """The buffers of one layer. `shared` lends z and c to a layer that is never to go back."""

    def __init__(
        self,
        model: Model,
        panels: Panels,
        index: int,
        shape: tuple[int, int],
        training: bool,
        shared: Layer | None,
    ) -> None:
        self.model, self.panels, self.index = model, panels, index
        self.cell, self.activation, self.borders = model.cell, model.activation, model.borders()
        self.shape = shape
        shapes = layer_shapes(model.config, model.cell, *shape, training, index)
        lent: dict[str, Floats] = {"z": shared.z, "c": shared.c} if shared is not None else {}
        own: dict[str, Floats] = {
            name: lent[name] if name in lent else aligned(*size) for name, size in shapes.items()
        }
        self.z: Floats = own["z"]
        self.h: Floats = own["h"]
        self.c: Floats = own["c"]
        self.q, self.m = own.get("q"), own.get("m")
        self.y = own.get("y", self.h[1:])
        self.mask, self.keep_h, self.keep_c = own.get("mask"), own.get("keep_h"), own.get("keep_c")
        self.out_buffer = own.get("out")
        self.out = self.y
        self.copied: Floats | None = None
        self.recurrent_mask: Floats | None = None
        self.normal_units = model.config.hidden if model.config.layer_norm else 0
        self.p = model.vectors(index)
        feed = layers.feed_layer if index else layers.feed_characters
        self.arithmetic = panels.arithmetic
        product = self.arithmetic.product_at
        self.functions = (
            product,
            address_of(feed),
            address_of(self.cell.prepare),
            address_of(self.cell.step),
        )
        self.functions_back = (
            product,
            address_of(self.cell.prepare_back),
            address_of(self.cell.step_back),
        )
        self.columns = len(self.cell.input_gates) * model.width

    def prepare_outputs(self, starts: Starts) -> None:
        """Outputs need a place of their own where states are set to zero behind them."""
        if not self.cell.has_output:
            if starts.size and self.copied is None:
                self.copied = aligned(self.shape[0], self.shape[1], self.model.width)
            self.y = self.h[1:] if not starts.size or self.copied is None else self.copied

    def forward(
        self,
        ids: Ids,
        factor: Floats,
        below: Floats | None,
        m_below: Floats | None,
        starts: Starts,
        steps: int,
        a: int,
        b: int,
    ) -> None:
        """Walk the streams a:b from the state in row 0 of h and c: the lowest layer reads ids times
        factor, others `below`.
        """
        h, cell, panels = self.h, self.cell, self.panels
        copies = int(starts.size > 0 and not cell.has_output)
        x, q, m_below = _or(h, below, self.q, m_below)
        y, m = _or(h, self.y if copies or cell.has_output else None, self.m)
        over, second, up = panels.over[self.index], panels.second[self.index], panels.up[self.index]
        kept = _or(EMPTY, self.keep_h, self.keep_c)
        fed = (
            x,
            ids,
            factor,
            panels.table,
            NO_PANELS if up is None else up,
            panels.bias[self.index],
            self.columns,
        )
        arrays = (
            self.z,
            h,
            self.c,
            q,
            m_below,
            y,
            m,
            self.p,
            self.activation,
            over,
            second,
            self.borders,
        )
        forward_layer(*self.functions, *fed, *arrays, copies, *kept, starts, steps, a, b)

    def hand_up(self, below: Floats | None, drops: bool, steps: int, a: int, b: int) -> None:
        """What the next layer reads: outputs, normalised, masked if it `drops`, and what came in
        added if it is residual.
        """
        mask = self.mask if drops and self.mask is not None else EMPTY
        added = below if below is not None and self.model.config.residual else EMPTY
        if mask.size or added.size or self.normal_units:
            assert self.out_buffer is not None
            layers.hand_up(self.y, mask, added, self.out_buffer, self.normal_units, steps, a, b)

    def choose_out(self, drops: bool) -> None:
        """Where the outputs will stand."""
        masked = drops and self.mask is not None
        differs = masked or self.normal_units > 0 or (self.model.config.residual and self.index > 0)
        self.out = self.out_buffer if differs and self.out_buffer is not None else self.y

    def draw_masks(self, key: int, steps: int, a: int, b: int) -> None:
        """This step's masks of dropout and zoneout for streams a:b."""
        config = self.model.config
        if self.mask is not None:
            rate, drawn = config.dropout, min(steps, len(self.mask))
            _draw(self.mask, (key, self.index), rate, np.float32(1 / (1 - rate)), drawn, a, b)
        for salt, keep, rate in (
            (1, self.keep_h, config.zoneout_h),
            (2, self.keep_c, config.zoneout_c),
        ):
            if keep is not None:
                _draw(keep, (key, self.index, salt), 1 - rate, np.float32(1), steps, a, b)

    def expect_masks(self, a: int, b: int) -> None:
        """Zoneout by its expectation, for evaluation (Krueger et al. 2017, section 3)."""
        for keep, rate in (
            (self.keep_h, self.model.config.zoneout_h),
            (self.keep_c, self.model.config.zoneout_c),
        ):
            if keep is not None:
                keep[:, a:b] = np.float32(rate)

    def draw_recurrent(self, key: int) -> Floats:
        """W_h with some of its weights dropped for a batch (DropConnect, Wan et al. 2013; as in
        Merity et al. 2018).
        """
        rate, weight = self.model.config.recurrent_dropout, self.panels.recurrent[self.index]
        if self.recurrent_mask is None:
            self.recurrent_mask = aligned(*weight.shape)
            self._dropped = aligned(*weight.shape)
        whole = self.recurrent_mask[None]
        _draw(whole, (key, self.index, 3), rate, np.float32(1 / (1 - rate)), 1, 0, weight.shape[0])
        np.multiply(weight, self.recurrent_mask, out=self._dropped)
        return self._dropped

    def backward(
        self,
        m_below: Floats | None,
        back: Backward,
        starts: Starts,
        steps: int,
        a: int,
        b: int,
        drops: bool = True,
    ) -> None:
        """Back over streams a:b: z becomes dz. back.up[1:] holds the derivative by the outputs
        `out`.
        """
        cell, dy = self.cell, back.up[1:]
        if self.index and self.model.config.residual:
            layers.copy_rows(back.kept, dy, steps, a, b)
        if self.mask is not None and drops:
            layers.drop_back(dy, self.mask, steps, a, b)
        if self.normal_units:
            layers.normal_back(dy, self.y, self.normal_units, steps, a, b)
        dh = back.up
        if cell.has_output:
            dh = back.time
            dh[:, a:b] = 0
        base = dy
        if starts.size:
            base = back.base
            base[:steps, a:b] = 0 if cell.has_output else dy[:steps, a:b]
        (m_below,) = _or(self.h, m_below)
        dm, dm_below = _or(dy, back.m, back.m_below)
        panels, second = self.panels.over_back[self.index], self.panels.second_back[self.index]
        arrays = (
            self.z,
            self.h,
            self.c,
            m_below,
            self.p,
            self.activation,
            dh,
            back.c,
            back.q,
            dy,
            dm,
            dm_below,
            base,
        )
        kept = _or(EMPTY, self.keep_h, self.keep_c)
        backward_layer(
            *self.functions_back, *arrays, panels, second, self.borders, *kept, starts, steps, a, b
        )
        if self.index:
            product, down = self.arithmetic.product_at, self.panels.down[self.index]
            layers.project_back(product, self.z, down, back.down[1:], self.columns, steps, a, b)
            if self.model.config.residual:
                layers.add_rows(back.down[1:], back.kept, steps, a, b)
        back.swap()

    def gradient_jobs(
        self, below: Floats, m_below: Floats | None, g: Parameters, steps: int, parts: int
    ) -> Jobs:
        """Calls that compute dW_x (from the second layer on), dW_h, db and the peepholes'
        gradients, over ranges of columns.

        A range lies within columns that have the same factors: W_x, W_h and W_q need not feed all
        of z.
        """
        dz, h = rows(self.z, 0, steps), rows(self.h, 0, steps)
        first, middle, last = (int(border) for border in self.borders)
        dw_x, dw_h = g[f"rnn.weight_ih_l{self.index}"], g[f"rnn.weight_hh_l{self.index}"]
        packed, weight_gradients = self.arithmetic.packed_at, self.arithmetic.weight_gradients
        cuts = sorted({0, first, middle, self.columns, last})
        jobs: Jobs = []
        for start, stop in pairwise(cuts):
            x = below if self.index and stop <= self.columns else NOTHING
            q = rows(self.q, 0, steps) if self.q is not None and start >= middle else h
            factor = q if start >= first else NOTHING
            arrays: tuple[Any, ...] = (packed, x, factor, dz, dw_x, dw_h, g.bias(self.index))
            for a, b in ranges(stop - start, parts, layers.COLUMNS):
                jobs.append((weight_gradients, arrays, (0, first, start + a, start + b)))
        for k, peephole in enumerate(self.cell.peepholes):
            memories = {"before": rows(self.c, 0, steps), "after": self.m, "below": m_below}
            memory = memories[peephole.reads]
            assert memory is not None
            column, width = (
                self.cell.gates.index(peephole.gate) * self.model.width,
                self.model.width,
            )
            arrays = (
                dz,
                rows(memory, 0, steps) if memory.ndim == 3 else memory,
                g[f"rnn.peephole_l{self.index}"][k],
                column,
            )
            jobs += [
                (layers.peephole_gradient, arrays, border)
                for border in ranges(width, parts, layers.COLUMNS)
            ]
        return jobs


class Backward:
    """What the way back needs beside the layers' own buffers; one for each range of streams shares
    the memory of all.
    """

    def __init__(self, arrays: dict[str, Floats]) -> None:
        self.up, self.down, self.c, self.q = (arrays[name] for name in ("up", "down", "c", "q"))
        self.m, self.m_below = arrays.get("m"), arrays.get("m_below")
        self.time, self.kept, self.base = (
            arrays.get(name, EMPTY) for name in ("time", "kept", "base")
        )

    def swap(self) -> None:
        """What went down comes up to the next layer."""
        self.up, self.down = self.down, self.up
        self.m, self.m_below = self.m_below, self.m

    @staticmethod
    def shapes(config: ModelConfig, cell: Cell, T: int, N: int) -> dict[str, tuple[int, ...]]:
        """The buffers and their shapes; `base`, for batches with documents, comes when it is
        needed.
        """
        H = padded(config.hidden)
        shapes: dict[str, tuple[int, ...]] = {
            "up": (T + 1, N, H),
            "down": (T + 1, N, H),
            "c": (2, N, H),
            "q": (N, H),
        }
        if cell.reads_below:
            shapes |= {"m": (T, N, H), "m_below": (T, N, H)}
        if cell.has_output:
            shapes["time"] = (T + 1, N, H)
        if config.residual:
            shapes["kept"] = (T, N, H)
        return shapes


def rows(cube: Floats, offset: int, steps: int) -> Floats:
    """Steps offset:offset+steps of (T, N, H) as a matrix (steps N, H), a view."""
    return cube[offset : offset + steps].reshape(-1, cube.shape[2])


def _or(default: Floats, *arrays: Floats | None) -> list[Floats]:
    """The arrays, with the default for those that a cell does not have."""
    return [default if array is None else array for array in arrays]


def _draw(
    mask: Floats, key: tuple[int, ...], rate: float, scale: np.float32, steps: int, a: int, b: int
) -> None:
    """mask = scale, or 0 with probability `rate`."""
    words = np.random.SeedSequence(list(key)).generate_state(1)
    threshold = np.uint32(min(math.floor(rate * 2**32), 2**32 - 1))
    layers.draw_mask(words[0], threshold, scale, mask, steps, a, b)

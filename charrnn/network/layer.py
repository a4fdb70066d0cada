"""One layer: its buffers for a batch shape, and its forward and backward pass over a range of
streams.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.calling import address_of, bind
from charrnn.compiler.simd import padded, pitch
from charrnn.config import ModelConfig
from charrnn.kernels import layers
from charrnn.kernels.recurrent import Ports, PortsBack, backward_layer, forward_layer
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, Panels, State
from charrnn.network.mogrifier import Mogrifier
from charrnn.network.parameters import EMPTY, NOTHING, Floats, Parameters, Shapes, aligned
from charrnn.runtime.threads import ranges

Ids = NDArray[np.int32]
Starts = NDArray[np.bool_]
Jobs = list[tuple[Callable[..., None], int, int]]
"""Calls function(start, stop) or, for products, function(scratch, start, stop), over columns."""


@dataclass(frozen=True)
class Batch:
    """The inputs of the passes over one batch, and the state, which is read and then written."""

    x: Ids
    y: Ids
    state: State
    starts: Starts
    """Where the state is set to zero before a character is read, (steps, N); (0, N) for none."""
    key: int | None
    """Draws all random masks; None disables dropout."""
    scale: np.float32
    """The loss to differentiate is the sum of all characters' losses times this."""
    smoothing: np.float32
    """Label smoothing; see `kernels.softmax`."""

    @property
    def drops(self) -> bool:
        """True if there are masks to draw."""
        return self.key is not None

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return len(self.x)


class Layer:
    """The buffers of one layer and its input: the layer below, or characters with their `memory`
    (T, N, H), which may be empty, and `factor` (T, N).

    z (T, N, GH): pre-activations, then gates, then dz
    h, c (T + 1, N, H): the state; row 0 is the one before the first step
    q, m, y (T, N, H): as in `kernels.recurrent`; empty for a cell without them
    copied (T, N, H): outputs h, if states are set to zero after a document; else empty
    handed (T, N, H): the layer's output, if it is not the cell's output; else empty
    mask, keep_h, keep_c: masks of dropout and zoneout, or empty
    recurrent_mask, dropped: a mask of W_h, and W_h times it, or empty
    out (T, N, H): what the next layer and the decoder read; one of the above

    A layer that `shares` has the z and c of the layer below.
    """

    z: Floats
    c: Floats

    def __init__(
        self,
        model: Model,
        panels: Panels,
        index: int,
        shape: tuple[int, int],
        training: bool,
        below: Layer | None,
        memory: Floats,
        factor: Floats,
        shares: bool = False,
    ) -> None:
        self.model, self.panels, self.index, self.shape = model, panels, index, shape
        self.config, self.cell, self.below = model.config, model.cell, below
        self._factor = factor
        shapes = self.shapes(model.config, shape, training, index)
        lent = {"z": below.z, "c": below.c} if shares and below is not None else {}
        arrays: list[Floats] = [
            lent[name] if name in lent else aligned(*size) for name, size in shapes.items()
        ]
        self.z, self.h, self.c, self.q, self.m, y, self.copied, self.handed, *masks = arrays
        self.mask, self.keep_h, self.keep_c, self.recurrent_mask, self.dropped = masks
        self.y = self.out = y if model.cell.has_output else self.h[1:]
        self.normal_units = model.config.hidden if model.config.layer_norm else 0
        self.columns = len(self.cell.input_gates) * model.width
        m_below = memory if below is None else below.m
        rounds = 0 if index else model.config.mogrifier or 0
        self.mogrifier = Mogrifier(model, panels, shape, training, self.h, rounds)
        self.ports = Ports(m_below=m_below, y=y, m=self.m, p=model.vectors(index))
        product, packed = panels.arithmetic.product_at, panels.layers[index]
        both = {
            "z": self.z,
            "h": self.h,
            "c": self.c,
            "activation": model.activation,
            "borders": model.borders(),
            "keep_h": self.keep_h,
            "keep_c": self.keep_c,
        }
        self._walk = bind(
            forward_layer,
            product=product,
            prepare=address_of(self.cell.prepare),
            step=address_of(self.cell.step),
            table=panels.table,
            up=packed.up.memory,
            bias=model.parameters.bias(index),
            columns=self.columns,
            q=self.q,
            ports=self.ports,
            over=packed.over.memory,
            second=packed.second.memory,
            factor=factor,
            mogrifier=panels.forward,
            last_x=self.mogrifier.last_x,
            last_h=self.mogrifier.last_h,
            rounds=self.mogrifier.forward,
            **both,
        )
        if training:
            packed = panels.layers_back[index]
            self._walk_back = bind(
                backward_layer,
                product=product,
                prepare_back=address_of(self.cell.prepare_back),
                step_back=address_of(self.cell.step_back),
                over=packed.over.memory,
                second=packed.second.memory,
                down=packed.up.memory,
                mogrifier=panels.back,
                columns=self.columns,
                d_h=self.mogrifier.d_h,
                rounds=self.mogrifier.backward,
                **both,
            )
            self._project_down = bind(
                layers.multiply,
                product=product,
                panels=packed.up.memory,
                depth=self.columns,
                columns=model.width,
                adds=False,
            )

    @staticmethod
    def shapes(
        config: ModelConfig,
        shape: tuple[int, int],
        training: bool,
        index: int,
        has_starts: bool = False,
    ) -> Shapes:
        """The shapes of its buffers; `has_starts`: batches have positions where the state is set to
        zero.
        """
        (T, N), H, cell = shape, padded(config.hidden), cell_named(config.cell)

        def cube(is_there: bool, steps: int = T) -> tuple[int, ...]:
            return (steps, N, H) if is_there else EMPTY.shape

        drops, drops_recurrent = (
            training and rate > 0 for rate in (config.dropout, config.recurrent_dropout)
        )
        weight = (H, len(cell.recurrent_gates) * H) if drops_recurrent else NOTHING.shape
        zoned = T if training else 1
        return {
            "z": (T, N, pitch(len(cell.gates) * H)),
            "h": (T + 1, N, H),
            "c": (T + 1, N, H),
            "q": cube(cell.gated > 0),
            "m": cube(cell.keeps_memory),
            "y": cube(cell.has_output),
            "copied": cube(has_starts and not cell.has_output),
            "handed": cube(drops or (config.residual and index > 0) or config.layer_norm),
            "mask": cube(drops, 1 if config.locked_dropout else T),
            "keep_h": cube(config.zoneout_h > 0, zoned),
            "keep_c": cube(config.zoneout_c > 0 and cell.has_memory, zoned),
            "recurrent_mask": weight,
            "dropped": weight,
        }

    def begin(self, batch: Batch) -> None:
        """Choose the buffer for the outputs of the next batch."""
        has_starts = batch.starts.size > 0
        if not self.cell.has_output:
            if has_starts and not self.copied.size:
                self.copied = aligned(*self.shape, self.model.width)
            self.y = self.copied if has_starts else self.h[1:]
        differs = (batch.drops and self.mask.size) or self.normal_units or self._added.size
        self.out = self.handed if differs else self.y

    def forward(self, batch: Batch, a: int, b: int) -> None:
        """Run streams a:b from the batch's state, set to zero at starts, and store the final state
        there. The lowest layer reads ids, the others the layer below. Outputs are normalized,
        masked if the batch drops, and the input is added to them if the layer is residual.
        """
        starts, steps = batch.starts, batch.steps
        states = (self.h, batch.state.h[self.index]), (self.c, batch.state.c[self.index])
        for ours, theirs in states:
            ours[0, a:b] = theirs[a:b]
            if starts.size:
                ours[0, a:b][starts[0, a:b]] = 0
        self._draw_masks(batch, a, b)
        x = EMPTY if self.below is None else self.below.out
        self.mogrifier.embed(batch.x, self._factor, steps, a, b)
        copied = self.copied if starts.size else EMPTY
        self._walk(ids=batch.x, x=x, copied=copied, starts=starts, steps=steps, start=a, stop=b)
        if self.out is not self.y:
            mask = self.mask if batch.drops else EMPTY
            layers.hand_up(self.y, mask, self._added, self.out, self.normal_units, steps, a, b)
        for ours, theirs in states:  # c may be lent to the next layer
            theirs[a:b] = ours[steps, a:b]

    @property
    def _added(self) -> Floats:
        """The input, if it is added to the outputs."""
        return self.below.out if self.below is not None and self.config.residual else EMPTY

    def _draw_masks(self, batch: Batch, a: int, b: int) -> None:
        """The masks of dropout and zoneout for streams a:b; without a key, the expected value of
        zoneout (Krueger et al. 2017, section 3).
        """
        config = self.config
        if batch.key is None:
            self.keep_h[:, a:b], self.keep_c[:, a:b] = config.zoneout_h, config.zoneout_c
            return
        key_of, steps = (batch.key, self.index), batch.steps
        _draw(self.mask, key_of, config.dropout, 1 / (1 - config.dropout), steps, a, b)
        _draw(self.keep_h, (*key_of, 1), 1 - config.zoneout_h, 1, steps, a, b)
        _draw(self.keep_c, (*key_of, 2), 1 - config.zoneout_c, 1, steps, a, b)

    def draw_recurrent(self, key: int) -> Floats:
        """Drop some weights of W_h for a batch (DropConnect, Wan et al. 2013; as in Merity et al.
        2018).
        """
        rate, weight = self.config.recurrent_dropout, self.model.recurrent[self.index]
        mask = self.recurrent_mask
        _draw(mask[None], (key, self.index, 3), rate, 1 / (1 - rate), 1, 0, len(weight))
        return np.multiply(weight, mask, out=self.dropped)

    def backward(self, back: Backward, batch: Batch, a: int, b: int) -> None:
        """Backward pass over streams a:b: z becomes dz; back.up[1:] is the derivative of `out`."""
        cell, dy, is_residual = self.cell, back.up[1:], self._added.size > 0
        starts, steps = batch.starts, batch.steps
        mask, kept = self.mask if batch.drops else EMPTY, back.kept if is_residual else EMPTY
        if mask.size or kept.size or self.normal_units:
            layers.hand_back(self.y, mask, kept, dy, self.normal_units, steps, a, b)
        dh = back.up
        if cell.has_output:
            dh = back.time
            dh[:, a:b] = 0
        if starts.size:
            back.base[:steps, a:b] = dh[1 : steps + 1, a:b]
        m_below, p, dy = self.ports.m_below, self.ports.p, dy if cell.has_output else EMPTY
        ports = PortsBack(m_below, p, dy, dm=back.m, dm_below=back.m_below)
        d_x = self.mogrifier.d_x
        walk = partial(
            self._walk_back, d_x=d_x, dh=dh, dc=back.c, dq=back.q, ports=ports, base=back.base
        )
        walk(starts=starts, steps=steps, start=a, stop=b)
        if self.below is not None:
            down = back.down[1:]
            self._project_down(x=self.z, z=down, first=0, last=steps, start=a, stop=b)
            if is_residual:
                layers.add_rows(down, back.kept, steps, a, b)
        back.swap()

    def add_gradient_jobs(
        self, g: Parameters, steps: int, parts: int, products: Jobs, sums: Jobs
    ) -> None:
        """Calls over ranges of columns that compute dW_x (from the second layer on), dW_h and db,
        with scratch memory, and the peepholes' gradients.

        Each range lies within columns that have the same factors: W_x, W_h and W_q need not feed
        all of z.
        """
        dz, h, arithmetic = rows(self.z, steps), rows(self.h, steps), self.panels.arithmetic
        x = rows(self.below.out, steps) if self.below is not None else NOTHING
        if self.mogrifier.count:
            x, h = rows(self.mogrifier.last_x, steps), rows(self.mogrifier.last_h, steps)
        first, middle, last = (int(border) for border in self.model.borders())
        for start, stop in pairwise(sorted({0, first, middle, self.columns, last})):
            is_fed = x.size > 0 and stop <= self.columns
            recurrent = rows(self.q, steps) if self.q.size and start >= middle else h
            product = bind(
                arithmetic.weight_gradients,
                product=arithmetic.packed_at,
                x=x if is_fed else NOTHING,
                h=recurrent if start >= first else NOTHING,
                dz=dz,
                dw_x=g[f"rnn.weight_ih_l{self.index}"],
                dw_h=g[f"rnn.weight_hh_l{self.index}"],
                db=g.bias(self.index),
                x_column=0,
                h_column=first,
            )
            products += by_columns(product, start, stop, parts)
        width = self.model.width
        read = {"before": self.c, "after": self.m, "below": self.ports.m_below}
        for k, peephole in enumerate(self.cell.peepholes):
            total = bind(
                layers.peephole_gradient,
                dz=dz,
                memory=rows(read[peephole.reads], steps),
                d=g[f"rnn.peephole_l{self.index}"][k],
                column=self.cell.gates.index(peephole.gate) * width,
            )
            sums += by_columns(total, 0, width, parts)


@dataclass
class Backward:
    """The buffers of the backward pass in addition to the layers'; ranges of streams share them.

    up, down (T + 1, N, H): rows 1 to T are the derivatives of a layer's outputs and inputs c (2, N,
    H), q (N, H): scratch of `kernels.recurrent`
    m, m_below (T, N, H): the derivatives of m and m_below; empty for a cell without them
    time (T + 1, N, H): the derivative of h, for a cell whose output is not h; else empty
    kept (T, N, H): the derivative of a residual layer's outputs; else empty
    base (T, N, H): as in `kernels.recurrent`, for batches with starts; else empty
    """

    up: Floats
    down: Floats
    c: Floats
    q: Floats
    m: Floats
    m_below: Floats
    time: Floats
    kept: Floats
    base: Floats

    def swap(self) -> None:
        """Make the derivatives of the inputs those of the outputs of the layer below."""
        self.up, self.down = self.down, self.up
        self.m, self.m_below = self.m_below, self.m

    @staticmethod
    def shapes(config: ModelConfig, shape: tuple[int, int], has_starts: bool = False) -> Shapes:
        """The shapes of its buffers; `has_starts` as for a layer."""
        (T, N), H, cell = shape, padded(config.hidden), cell_named(config.cell)
        memory = (T, N, H) if cell.reads_below else EMPTY.shape
        return {
            "up": (T + 1, N, H),
            "down": (T + 1, N, H),
            "c": (2, N, H),
            "q": (N, H) if cell.gated else NOTHING.shape,
            "m": memory,
            "m_below": memory,
            "time": (T + 1, N, H) if cell.has_output else EMPTY.shape,
            "kept": (T, N, H) if config.residual else EMPTY.shape,
            "base": (T, N, H) if has_starts else EMPTY.shape,
        }


def by_columns(call: Callable[..., None], start: int, stop: int, parts: int) -> Jobs:
    """A call for columns start:stop, divided into at most `parts`."""
    pieces = ranges(stop - start, parts, layers.COLUMNS)
    return [(call, start + a, start + b) for a, b in pieces]


def rows(cube: Floats, steps: int) -> Floats:
    """The first steps of (T, N, H) as a matrix (steps N, H), a view."""
    return cube[:steps].reshape(-1, cube.shape[2])


def _draw(
    mask: Floats, key: tuple[int, ...], rate: float, scale: float, steps: int, a: int, b: int
) -> None:
    """mask = scale, or 0 with probability `rate`; an empty mask stays empty."""
    if mask.size:
        words = np.random.SeedSequence(list(key)).generate_state(1)
        threshold = np.uint32(min(math.floor(rate * 2**32), 2**32 - 1))
        drawn = min(steps, len(mask))
        layers.draw_mask(words[0], threshold, np.float32(scale), mask, drawn, a, b)

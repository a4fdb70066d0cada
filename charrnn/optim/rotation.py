"""SOAP (Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam"): Adam in the
eigenbasis of the gradients' covariance, here that of a weight's inputs alone.

For a weight W (K, Z) with K inputs and the gradient G:

    L = 0.99^5 L + G G^T                         the covariance, from every fifth gradient
    R = the transposed eigenvectors of L         (K, K), one step of orthogonal iteration at a time
    G' = R G;  m, v and N by Adam from G'
    W -= rate R^T N

All gates of a weight share R. Biases, tables of characters and the decoder keep Adam's step. Adam's
slots `m` and `v` of a rotated weight are in the rotated space; `covariance` is L, `basis` is R.
"""

from __future__ import annotations

import operator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.compiler.calling import address_of
from charrnn.compiler.simd import LANES, NR
from charrnn.config import ModelConfig
from charrnn.kernels.product import GROUP
from charrnn.network.arithmetic import FLOAT32, Arithmetic
from charrnn.network.cells import cell_named
from charrnn.network.parameters import (
    Floats,
    Parameters,
    Shapes,
    Tensor,
    aligned,
    shapes_of,
    tensors_of,
)
from charrnn.runtime.threads import Workers, ranges

if TYPE_CHECKING:
    from charrnn.optim.optimizers import Rule

COVARIANCE, BASIS = "covariance", "basis"
MEMORY = 0.99
"""Decay of the covariance in a step."""
ADDED, TURNED, EARLY = 5, 10, 50
"""Every fifth gradient is added to the covariance, and the basis turns after every tenth; of the
first `EARLY` steps after each.
"""
RATE = np.float32(0.7)
"""Adam's rate for rotated weights, as a share of that of the others."""
ONE = np.float32(1)
Jobs = list[tuple[Any, ...]]
Scratch = tuple[Floats, Floats]
"""Panels and rotated gradients of GROUP columns."""


def squares_of(config: ModelConfig) -> tuple[Tensor, ...]:
    """The layout of `covariance` and `basis`: a table (K, K) by the name of each rotated weight.

    A weight that reads characters one-hot is not rotated, nor are weights some of which the cell
    holds at zero.
    """
    return tuple(
        Tensor(tensor.name, tensor.shape[0], tensor.shape[0], is_table=True)
        for tensor in tensors_of(config)
        if tensor.name.startswith("rnn.weight_")
        and tensor.pad_inputs
        and (cell_named(config.cell).recurrent_mask is None or "_ih_" in tensor.name)
    )


def rotation_slots(config: ModelConfig) -> dict[str, Parameters]:
    """`covariance`, zero, and `basis`, the identity."""
    slots = {name: Parameters(squares_of(config)) for name in (COVARIANCE, BASIS)}
    for table in slots[BASIS].views.values():
        np.fill_diagonal(table, ONE)
    return slots


def mean_squares(slots: dict[str, Parameters]) -> Parameters:
    """`v` in the space of the weights: the average squares of their gradients, if the rotated ones
    are independent of one another, as they are meant to be.
    """
    found = slots["v"].like()
    found.flat[:] = slots["v"].flat
    for name, basis in slots[BASIS].views.items():
        v, (K, Z) = slots["v"][name], slots["v"][name].shape
        panels = aligned(K * Z)
        FLOAT32.pack(v, panels, 0, Z, 0, Z)
        FLOAT32.multiply(np.ascontiguousarray(np.square(basis).T), panels, found[name])
    return found


class Rotation:
    """Makes the steps of the rotated weights; see the module.

    places, rest: the ranges of the flat parameters that are rotated, and the others
    scratch: of each thread
    """

    def __init__(
        self,
        parameters: Parameters,
        gradient: Parameters,
        slots: dict[str, Parameters],
        arithmetic: Arithmetic,
        workers: Workers,
    ) -> None:
        self.workers = workers
        names = [tensor.name for tensor in slots[BASIS].tensors]
        self._weights = [
            _Weight(name, parameters, gradient, slots, arithmetic, workers.threads)
            for name in names
        ]
        most = max((len(parameters[name]) for name in names), default=0)
        self.scratch = [
            (aligned(most * GROUP // arithmetic.density), aligned(most * GROUP))
            for _ in range(workers.threads)
        ]
        first, size = parameters.flat.ctypes.data, parameters.flat.size
        starts = [(parameters[name].ctypes.data - first) // 4 for name in names]
        self.places = sorted(
            (start, start + parameters[name].size)
            for start, name in zip(starts, names, strict=True)
        )
        cuts = [0, *(cut for place in self.places for cut in place), size]
        self.rest = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if a < b]

    @staticmethod
    def shapes(config: ModelConfig, density: int) -> Shapes:
        """The shapes of its buffers, except per-thread ones."""
        shapes = shapes_of(config)
        return {
            f"{tensor.name} {name}": shape
            for tensor in squares_of(config)
            for name, shape in _Weight.shapes(shapes[tensor.name], density).items()
        }

    def refresh(self) -> None:
        """Take over the slots as they are, after something else has changed them."""
        for weight in self._weights:
            weight.refresh()

    def step(self, rule: Rule, step: int) -> None:
        """Update the rotated weights by the gradient; the first step is 1. `rule` is Adam's."""
        weights = self._weights
        rule = (*rule[:5], rule[5] * RATE, rule[6])
        turns = step <= EARLY or step % TURNED == 0
        if turns or step % ADDED == 0:
            memory = np.float32(MEMORY ** (1 if step <= EARLY else ADDED))
            self._run(weight.packing(memory) for weight in weights)
            self._run(weight.adding() for weight in weights)
        if turns:
            self._run([(weight.turn,)] for weight in weights)
        jobs = [job for weight in weights for job in weight.moving(rule)]
        scratch = zip(jobs, cycle(self.scratch), strict=False)
        self._run([[(job, memory, a, b) for (job, a, b), memory in scratch]])

    def _run(self, jobs: Any) -> None:
        self.workers.run(operator.call, [job for own in jobs for job in own])


class _Weight:
    """A weight (K, Z), its gradient, slots and scratch memory."""

    def __init__(
        self,
        name: str,
        parameters: Parameters,
        gradient: Parameters,
        slots: dict[str, Parameters],
        arithmetic: Arithmetic,
        threads: int,
    ) -> None:
        from charrnn.kernels import soap

        self.w, self.gradient = parameters[name], gradient[name]
        self._kernels, self._arithmetic, self._threads = soap, arithmetic, threads
        self.covariance, self.basis = slots[COVARIANCE][name], slots[BASIS][name]
        self.m, self.v = slots["m"][name], slots["v"][name]
        shapes = self.shapes(self.w.shape, arithmetic.density).values()
        self._transposed, self._square, self._lengths, self._inverse, self._turned = (
            aligned(*shape) for shape in shapes
        )
        self.refresh()

    @staticmethod
    def shapes(shape: tuple[int, ...], density: int) -> Shapes:
        """The shapes of the buffers of a weight of this shape."""
        K, Z = shape
        return {
            "transposed": (K * Z // density,),
            "square": (K * K // density,),
            "lengths": (K,),
            "inverse": (K, K),
            "turned": (K, K),
        }

    def refresh(self) -> None:
        """Take over the basis as it is."""
        self._inverse[...] = self.basis.T

    def moving(self, rule: Rule) -> Jobs:
        """Adam's step in the rotated space, by ranges of columns: call(scratch, start, stop)."""
        kernel, arithmetic = self._kernels.rotated_step, self._arithmetic

        def move(scratch: Scratch, start: int, stop: int) -> None:
            K = len(self.w)
            panels, rotated = scratch[0], scratch[1][: K * GROUP].reshape(K, GROUP)
            matrices = self.basis, self._inverse, self.gradient, self.w, self.m, self.v
            addresses = arithmetic.product_at, address_of(arithmetic.pack)
            kernel(*addresses, *matrices, panels, rotated, rule, start, stop)

        return [(move, a, b) for a, b in ranges(self.w.shape[1], self._threads, GROUP)]

    def packing(self, memory: np.float32) -> Jobs:
        """Calls that pack the transposed gradient and let the covariance decay."""
        pack, (K, Z) = self._arithmetic.pack_transposed, self.w.shape
        packs = [
            (pack, self.gradient, self._transposed, 0, Z, a, b)
            for a, b in ranges(K, self._threads, NR)
        ]
        return [(self._kernels.decay, self.covariance.reshape(-1), memory), *packs]

    def adding(self) -> Jobs:
        """Calls that add G G^T to the covariance, by rows."""
        return [
            (self._multiply, self.gradient, self._transposed, self.covariance, a, b, True)
            for a, b in ranges(len(self.w), self._threads, LANES)
        ]

    def turn(self) -> None:
        """One step of orthogonal iteration: the basis becomes that of basis @ covariance, made
        orthonormal. The moments turn with it: m as it is, v as if the rotated gradients were
        independent. A direction must not inherit the small squares of another one: its step would
        be a hundred times too large.
        """
        K = len(self.w)
        self._replace(self.m, self._inverse)  # into the space of the weights
        self._pack(self.covariance, self._square)
        self._multiply(self.basis, self._square, self._turned, 0, K)
        self._kernels.orthonormalize(self._turned, self.basis, self._lengths)
        self._replace(self.m, self.basis)
        self._pack(self._inverse, self._square)
        self._multiply(self.basis, self._square, self._turned, 0, K)
        self._replace(self.v, np.square(self._turned, out=self._turned))
        self.refresh()

    def _pack(self, matrix: Floats, panels: Floats) -> None:
        columns = matrix.shape[1]
        self._arithmetic.pack(matrix, panels, 0, columns, 0, columns)

    def _replace(self, matrix: Floats, by: Floats) -> None:
        """matrix (K, Z) = by (K, K) @ matrix."""
        self._pack(matrix, self._transposed)
        self._multiply(by, self._transposed, matrix, 0, len(by))

    def _multiply(
        self, left: Floats, panels: Floats, out: Floats, a: int, b: int, adds: bool = False
    ) -> None:
        """Rows a:b of out =, or += if it adds, left @ the packed matrix."""
        depth, columns = left.shape[1], out.shape[1]
        to = out[a:].ctypes.data
        start = to if adds else 0
        self._arithmetic.product(
            left[a:].ctypes.data, depth, 0, panels, start, columns, 0, to, columns, 0, 1, b - a,
            depth, columns,
        )  # fmt: skip

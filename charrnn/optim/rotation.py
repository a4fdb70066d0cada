"""SOAP (Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam"): Adam in the
eigenbasis of the gradients' covariance, here that of a weight's inputs alone.

For a weight W (K, Z) with K inputs and the gradient G:

    L = 0.99 L + G G^T                           the covariance
    R = the transposed eigenvectors of L         (K, K), one step of orthogonal iteration at a time
    G' = R G;  m, v and N by Adam from G'
    W -= rate R^T N

All gates of a weight share R. Biases, tables of characters and the decoder keep Adam's step. Adam's
slots `m` and `v` of a rotated weight are in the rotated space; `covariance` is L, `basis` is R.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.compiler.simd import LANES, NR
from charrnn.config import ModelConfig
from charrnn.network.cells import cell_named
from charrnn.network.parameters import Floats, Parameters, Tensor, aligned, tensors_of
from charrnn.runtime.threads import Workers, ranges

if TYPE_CHECKING:
    from charrnn.network.arithmetic import Arithmetic
    from charrnn.optim.optimizers import Rule

COVARIANCE, BASIS = "covariance", "basis"
MEMORY = np.float32(0.99)
"""Decay of the covariance."""
EVERY, EARLY = 10, 50
"""Steps between two steps of the iteration; in the first `EARLY` steps each has one."""
RATE = np.float32(0.7)
"""Adam's rate for rotated weights, as a share of that of the others."""
ONE = np.float32(1)


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
        found[name][...] = np.square(basis).T @ slots["v"][name]
    return found


class Rotation:
    """Makes the steps of the rotated weights; see the module.

    places, rest: the ranges of the flat parameters that are rotated, and the others
    """

    def __init__(
        self,
        parameters: Parameters,
        gradient: Parameters,
        slots: dict[str, Parameters],
        arithmetic: Arithmetic,
        workers: Workers,
    ) -> None:
        from charrnn.kernels import soap

        self._kernels, self.workers = soap, workers
        names = [tensor.name for tensor in slots[BASIS].tensors]
        self._weights = [
            _Weight(name, parameters, gradient, slots, arithmetic, workers.threads)
            for name in names
        ]
        first, size = parameters.flat.ctypes.data, parameters.flat.size
        starts = [(parameters[name].ctypes.data - first) // 4 for name in names]
        self.places = sorted(
            (start, start + parameters[name].size)
            for start, name in zip(starts, names, strict=True)
        )
        cuts = [0, *(cut for place in self.places for cut in place), size]
        self.rest = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if a < b]

    def step(self, rule: Rule, step: int) -> None:
        """Update the rotated weights by the gradient, which is overwritten; the first step is 1.
        `rule` is Adam's.
        """
        adam, weights = self._kernels.rotated_adam, self._weights
        rule = (*rule[:5], rule[5] * RATE, rule[6])
        self._run(
            [*weight.packing(weight.gradient), *weight.packing_covariance(self._kernels.decay)]
            for weight in weights
        )
        covariance = [weight.covariance_products() for weight in weights]
        if step <= EARLY or step % EVERY == 0:
            self._run(covariance)
            self._run([(weight.turn, self._kernels.orthonormalize)] for weight in weights)
            covariance = []
        rotated = [weight.products(weight.basis, weight.rotated) for weight in weights]
        self._run([*covariance, *rotated])
        self._run(
            [
                (adam, weight.change, weight.change, weight.m, weight.v, rule, ONE, ONE, a, b)
                for a, b in ranges(weight.change.size, self.workers.threads, LANES)
            ]
            for weight in weights
        )
        self._run(weight.packing(weight.rotated) for weight in weights)
        self._run(weight.products(weight.inverse, weight.w, adds=True) for weight in weights)

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
        self.w, self.gradient = parameters[name], gradient[name]
        self._arithmetic, self._threads = arithmetic, threads
        self.covariance, self.basis = slots[COVARIANCE][name], slots[BASIS][name]
        self.moments = slots["m"][name]
        self.m, self.v = self.moments.reshape(-1), slots["v"][name].reshape(-1)
        (K, Z), density = self.w.shape, arithmetic.density
        self.panels, self._transposed = aligned(K * Z // density), aligned(Z * K // density)
        self._square = aligned(K * K // density)
        self.inverse, self._turned = np.ascontiguousarray(self.basis.T), aligned(K, K)
        self.rotated = aligned(K, Z)
        self.change = self.rotated.reshape(-1)

    def packing_covariance(self, decay: Callable[..., None]) -> list[tuple[Any, ...]]:
        """Calls that pack the transposed gradient and decay the covariance."""
        K, Z = self.w.shape
        return [
            (decay, self.covariance.reshape(-1), MEMORY),
            *(
                (self._arithmetic.pack_transposed, self.gradient, self._transposed, 0, Z, a, b)
                for a, b in ranges(K, self._threads, NR)
            ),
        ]

    def covariance_products(self) -> list[tuple[Any, ...]]:
        """Calls that add G G^T to the covariance."""
        return [
            (self._multiply, self.gradient, self._transposed, self.covariance, a, b, True)
            for a, b in ranges(len(self.w), self._threads, LANES)
        ]

    def packing(self, matrix: Floats) -> list[tuple[Any, ...]]:
        """Calls that pack a matrix (K, Z) as the right factor."""
        columns = matrix.shape[1]
        return [
            (self._arithmetic.pack, matrix, self.panels, 0, columns, a, b)
            for a, b in ranges(columns, self._threads, NR)
        ]

    def products(self, left: Floats, out: Floats, adds: bool = False) -> list[tuple[Any, ...]]:
        """Calls that make out (K, Z) =, or += if it adds, left (K, K) @ what `packing` packed."""
        return [
            (self._multiply, left, self.panels, out, a, b, adds)
            for a, b in ranges(len(left), self._threads, LANES)
        ]

    def _multiply(
        self, left: Floats, panels: Floats, out: Floats, a: int, b: int, adds: bool = False
    ) -> None:
        depth, columns = left.shape[1], out.shape[1]
        to = out[a:].ctypes.data
        start = to if adds else 0
        self._arithmetic.product(
            left[a:].ctypes.data, depth, 0, panels, start, columns, 0, to, columns, 0, 1, b - a,
            depth, columns,
        )  # fmt: skip

    def turn(self, orthonormalize: Callable[..., None]) -> None:
        """The basis becomes that of basis @ covariance, made orthonormal; m turns with it."""
        K, arithmetic = len(self.w), self._arithmetic
        self._unpacked(self.inverse, self.moments)  # m in the space of the weights
        arithmetic.pack(self.covariance, self._square, 0, K, 0, K)
        self._multiply(self.basis, self._square, self._turned, 0, K)
        orthonormalize(self._turned, self.basis)
        self.inverse[...] = self.basis.T
        self._unpacked(self.basis, self.moments)

    def _unpacked(self, left: Floats, matrix: Floats) -> None:
        """matrix (K, Z) = left (K, K) @ matrix."""
        self._arithmetic.pack(matrix, self._transposed, 0, matrix.shape[1], 0, matrix.shape[1])
        self._multiply(left, self._transposed, matrix, 0, len(left))

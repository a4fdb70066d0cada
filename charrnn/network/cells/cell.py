"""What the rest of the program knows of a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config.settings import ModelConfig


@dataclass(frozen=True)
class Peephole:
    """A trained vector that multiplies a memory, unit by unit, on its way into a gate.

    `reads` is the memory: "before", c of the step before; "after", c of this step; "below", m of
    the layer below.
    """

    gate: str
    reads: str


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: the blocks of z and what feeds them, its compiled steps, and how its
    parameters begin.

    gates: the blocks of z (N, G H) in the order of memory. W_x feeds the first of them,
    `input_gates`; W_h h' feeds the last, `recurrent_gates`; both name their blocks in the order of
    the disk, which is PyTorch's where it has the cell. Of the recurrent blocks, the last `gated`
    are fed by W_h q instead, with q made by `prepare`. step, step_back, prepare, prepare_back:
    kernels of the signatures in `kernels.recurrent`. initial_bias(hidden, forget_bias): float32 (G,
    H) in the order of memory. peepholes: trained vectors, the rows of p. constants(config): float32
    (K, H), rows of p that are not trained. has_memory: c is a memory that zoneout may keep.
    reads_below, keeps_memory: m_below and m of the time loop are there. has_output: what goes up is
    y, not h. recurrent_mask(config): bool (H in, H out), False where W_h is always zero.
    """

    gates: tuple[str, ...]
    input_gates: tuple[str, ...]
    recurrent_gates: tuple[str, ...]
    step: Any
    step_back: Any
    initial_bias: Callable[[int, float], NDArray[np.float32]]
    gated: int = 0
    prepare: Any = None
    prepare_back: Any = None
    peepholes: tuple[Peephole, ...] = ()
    constants: Callable[[ModelConfig], NDArray[np.float32]] | None = None
    has_memory: bool = True
    reads_below: bool = False
    keeps_memory: bool = False
    has_output: bool = False
    recurrent_mask: Callable[[ModelConfig], NDArray[np.bool_]] | None = None

    @property
    def first_recurrent(self) -> int:
        """The first block that W_h feeds."""
        return len(self.gates) - len(self.recurrent_gates)


def forget_bias_for(
    gates: tuple[str, ...], forget: tuple[str, ...] = ("f",)
) -> Callable[[int, float], NDArray[np.float32]]:
    """An `initial_bias` that is zero but for the forget gates (Gers et al. 2000; Jozefowicz et al.
    2015).
    """

    def initial_bias(hidden: int, forget_bias: float) -> NDArray[np.float32]:
        bias = np.zeros((len(gates), hidden), np.float32)
        for gate in forget:
            bias[gates.index(gate)] = forget_bias
        return bias

    return initial_bias

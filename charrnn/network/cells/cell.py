"""The interface of a cell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig


@dataclass(frozen=True)
class Peephole:
    """A trained vector that multiplies a memory, unit by unit, on its way into a gate.

    `reads` is the memory: "before", c of the previous step; "after", c of this step; "below", m of
    the layer below.
    """

    gate: str
    reads: str


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: the blocks of z and their inputs, its kernels, its initial parameters.

    gates: the blocks of z (N, G H) in the order of memory
    input_gates: the first of them, which W_x feeds, in the order of the disk
    recurrent_gates: the last of them, which W_h h' feeds, in the order of the disk
    step, step_back: kernels of the signatures in `kernels.recurrent`
    forget: the forget gates, whose bias has a separate initial value
    gated: the number of last recurrent blocks that W_h q feeds instead of W_h h'
    prepare, prepare_back: the kernels that make q and go back through it; None without such blocks
    peepholes: trained vectors, the rows of p
    constants(config): float32 (K, H), the rows of p where they are not trained
    has_memory: c is a memory, which zoneout may keep
    reads_below, keeps_memory: it reads m_below, it writes m
    has_output: the output to the next layer is y, not h recurrent_mask(config): bool (H in, H out),
    False where W_h is always zero
    """

    gates: tuple[str, ...]
    input_gates: tuple[str, ...]
    recurrent_gates: tuple[str, ...]
    step: Any
    step_back: Any
    forget: tuple[str, ...] = ("f",)
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

    def initial_bias(self, hidden: int, forget_bias: float) -> NDArray[np.float32]:
        """Zero except for the forget gates, float32 (G, H) in the order of memory (Gers et al.
        2000; Jozefowicz et al. 2015).
        """
        bias = np.zeros((len(self.gates), hidden), np.float32)
        for gate in self.forget:
            bias[self.gates.index(gate)] = forget_bias
        return bias

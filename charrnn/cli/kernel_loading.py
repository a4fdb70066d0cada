"""Importing the kernels, with progress while they are compiled."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from charrnn.cli.terminal import is_terminal, new_bar, say

if TYPE_CHECKING:
    from charrnn.compiler.companion import Companion

compile_seconds: list[float] = []
"""How long it took, each time that kernels were compiled, which happens once on a machine."""
FEW_KERNELS = 12
"""This many, such as those of one cell and of one optimiser, compile in a few seconds."""


def load_kernels(*names: str, training: bool = True, quiet: bool = False) -> None:
    """Import the kernels; while they are compiled, which happens once on a machine, show how far
    that is.

    `names`: cells, optimisers and the like whose kernels are among them (see
    `compiling.module_of`); without `training`, only what a network needs to write. To be called
    before anything of the library that computes is imported, and again for names that only a
    checkpoint tells. Silent when all come from the cache.
    """
    from charrnn.compiler import companion, compiling

    modules = compiling.kernel_modules(*names, training=training)
    needed = [
        kernel
        for module in modules
        if module not in sys.modules
        for kernel in compiling.kernels_in(module)
    ]
    missing = sum(not compiling.is_cached(kernel) for kernel in needed)
    above = (
        ("charrnn.training.loop",)
        if training
        else ("charrnn.checkpoint.trained", "charrnn.generation.generate")
    )
    start = time.monotonic()
    with companion.beside(modules, missing) as beside:
        shown = _Compiling(len(needed), missing, quiet, beside)
        compiling.listeners.append(shown.tick)
        try:
            for module in (*modules, *above):  # the companion goes through them backwards
                import_module(module)
        finally:
            compiling.listeners.remove(shown.tick)
            shown.close()
            if missing:
                compile_seconds.append(time.monotonic() - start)


@dataclass
class _Compiling:
    """Counts kernels; shows a bar, or off a terminal one line, when the first is compiled."""

    total: int
    missing: int
    quiet: bool
    beside: Companion | None = None
    begun: int = 0
    is_announced: bool = False
    bar: Any = None

    def tick(self, _: str, cached: bool) -> None:
        """A kernel is about to be compiled, or to come from the cache."""
        if not (cached or self.quiet or self.is_announced):
            self._announce()
        if self.bar is not None:
            done = self.begun + (self.beside.ahead() if self.beside is not None else 0)
            self.bar.update(min(done, self.total) - self.bar.n)
        self.begun += 1

    def _announce(self) -> None:
        self.is_announced = True
        if is_terminal(sys.stderr):
            self.bar = new_bar(
                self.total,
                desc="Compiling for this machine, once",
                bar_format="{desc}: {bar}  {n_fmt}/{total_fmt}",
                mininterval=0,
                miniters=1,
            )
            return
        needed = "about 20 s" if self.beside is None else "about 10 s"
        if self.missing <= FEW_KERNELS:
            needed = "a few seconds"
        say(f"compiling kernels for this machine (once, {needed})")

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()

"""Importing the kernels, with progress while they are compiled."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from charrnn.cli.terminal import is_terminal, say

if TYPE_CHECKING:
    from charrnn.compiler.companion import Companion

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
    from charrnn.compiler import companion
    from charrnn.compiler import compiling as kernels

    modules = kernels.kernel_modules(*names, training=training)
    needed = [
        kernel
        for module in modules
        if module not in sys.modules
        for kernel in kernels.kernels_in(module)
    ]
    missing = [kernel for kernel in needed if not kernels.is_cached(kernel)]
    above = (
        ("charrnn.training.loop",)
        if training
        else ("charrnn.checkpoint.trained", "charrnn.generation.generate")
    )
    with companion.beside(modules, len(missing)) as beside:
        shown = _Compiling(len(needed), len(missing), quiet, beside)
        kernels.listeners.append(shown.tick)
        try:
            for module in (*modules, *above):  # the companion goes through them backwards
                import_module(module)
        finally:
            kernels.listeners.remove(shown.tick)
            shown.close()


class _Compiling:
    """Counts kernels; shows a bar, or off a terminal one line, when the first is compiled."""

    def __init__(
        self, total: int, missing: int, quiet: bool, beside: Companion | None = None
    ) -> None:
        self._total, self._missing, self._quiet, self._beside = total, missing, quiet, beside
        self._begun = 0
        self._bar: Any = None
        self._is_announced = False

    def tick(self, _: str, cached: bool) -> None:
        done, self._begun = self._begun, self._begun + 1
        if self._quiet or (cached and not self._is_announced):
            return
        if not self._is_announced and not is_terminal(sys.stderr):
            say(f"compiling kernels for this machine (once, {self._time_needed()})")
        self._is_announced = True
        if not is_terminal(sys.stderr):
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total,
                desc="Compiling for this machine, once",
                file=sys.stderr,
                bar_format="{desc}: {bar}  {n_fmt}/{total_fmt}",
                leave=False,
                dynamic_ncols=True,
                mininterval=0,
                miniters=1,
            )
        if self._beside is not None:
            done += self._beside.ahead()
        self._bar.update(min(done, self._total) - self._bar.n)

    def _time_needed(self) -> str:
        if self._missing <= FEW_KERNELS:
            return "a few seconds"
        return "about 20 s" if self._beside is None else "about 10 s"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

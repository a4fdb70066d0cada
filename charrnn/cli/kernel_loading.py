"""Import the kernels, showing progress while they are compiled."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from charrnn.cli.terminal import is_terminal, new_bar, say

if TYPE_CHECKING:
    from charrnn.compiler.companion import Companion
    from charrnn.config import ModelConfig

compile_seconds: list[float] = []
"""How long it took, each time that kernels were compiled, which happens once on a machine."""
FEW_KERNELS = 12
"""At most this many, such as those of one cell and one optimizer, compile in a few seconds."""


def network_kernels(*models: ModelConfig) -> list[str]:
    """The names of the kernels of these networks, for `load_kernels`."""
    names = dict.fromkeys(each.cell for each in models)
    looks_back = any(each.attention != 0 for each in models)  # None: the recipe decides
    return [*names, *["attention", "blending"] * looks_back]


def load_kernels(
    *names: str, training: bool = True, network: bool = True, quiet: bool = False
) -> None:
    """Import the kernels. They are compiled once per machine; show progress while that happens.

    `names`: cells, optimizers and so on whose kernels are needed (see `compiling.module_of`);
        without `training`, only the kernels for sampling; without `network`, none but these.
        Call it before importing any part of the
        library that computes, and again for names that are only known once a checkpoint is read.
        Silent when all kernels come from the cache. One line says why the next start compiles
        again, if it does.
    """
    from charrnn.compiler import companion, compiling, target

    modules = [compiling.module_of(name) for name in names]
    if network:
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
        display = _Compiling(len(needed), missing, quiet, beside)
        compiling.listeners.append(display.tick)
        try:
            for module in (
                *modules,
                *(above if network else ()),
            ):  # the companion compiles them in reverse order
                import_module(module)
        finally:
            compiling.listeners.remove(display.tick)
            display.close()
            if missing:
                compile_seconds.append(time.monotonic() - start)
    if missing and not quiet:
        _say_trouble()
    if training and not quiet and target.is_slower():
        _say_once(
            "using code for any processor with AVX2; charrnn compile makes faster code for this one"
        )


def _say_trouble() -> None:
    """Why the next start compiles again, if it does."""
    from charrnn.compiler.target import FILES

    trouble = FILES.trouble
    if trouble is not None:
        _say_once(
            f"{trouble}, so every start compiles again; set CHARRNN_CACHE_DIR to a folder that can "
            "be written"
        )


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        say(text)


_said: set[str] = set()


@dataclass
class _Compiling:
    """Counts kernels; shows a bar (one line if not on a terminal) when the first is compiled."""

    total: int
    missing: int
    quiet: bool
    beside: Companion | None = None
    begun: int = 0
    is_announced: bool = False
    bar: Any = None

    def tick(self, _: str, cached: bool) -> None:
        """A kernel is about to be compiled or loaded from the cache."""
        if not (cached or self.quiet or self.is_announced):
            self._announce()
        if self.bar is not None:
            done = self.begun + (self.beside.ahead() if self.beside is not None else 0)
            self.bar.update(min(done, self.total) - self.bar.n)
        self.begun += 1

    def _announce(self) -> None:
        from charrnn.compiler.target import FILES

        self.is_announced = True
        once = ["once"] if FILES.prepare() else []
        if damaged := sorted(FILES.damaged):
            others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            say(f"{FILES.folder}: {damaged[0]}{others} not usable; compiled again")
        _say_trouble()
        if is_terminal(sys.stderr):
            self.bar = new_bar(
                self.total,
                desc=" ".join(["Compiling for this machine", *(f"({word})" for word in once)]),
                bar_format="{desc}: {bar}  {n_fmt}/{total_fmt}",
                mininterval=0,
            )
            return
        needed = "about 20 s" if self.beside is None else "about 10 s"
        if self.missing <= FEW_KERNELS:
            needed = "a few seconds"
        say(f"compiling kernels for this machine ({', '.join([*once, needed])})")

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()

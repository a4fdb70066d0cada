"""How kernels are compiled: once on a machine, into a cache whose name holds a hash of the kernels' sources.

Numba's own cache is keyed by the CPU and by one file's time stamp, not by edits in the files that a kernel was linked
with; the hash makes it right. Where no cache folder can be written, kernels are compiled anew in each process.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import llvmlite
import numba
from numba import njit
from numba.core import config
from platformdirs import user_cache_dir

from charrnn.kernels.bfloat16 import EMULATED, HAS_INSTRUCTION

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = ("kernels", "cells")

OPTIMIZER_MODULES = {
    **dict.fromkeys(("sgd", "momentum", "nesterov"), "descent"),
    **dict.fromkeys(("adagrad", "adadelta", "rmsprop"), "adaptive"),
    **dict.fromkeys(("adam", "adamw"), "adam"),
}
"""Where each optimiser's kernel is: modules that are imported only when they are needed."""

TRAINING_MODULES = {"bf16-training": "bfloat16_product"}
"""And where the products of training in other precisions are."""

SEPARATE = ("machine",)
"""Modules with kernels that no run needs."""

listeners: list[Callable[[str, bool], None]] = []
"""Called with a kernel's name, and whether the cache holds it, before it is compiled or loaded; for showing progress."""


def sources_hash() -> str:
    """Sixteen hexadecimal digits that change when a kernel, a cell, Numba, LLVM or Python does, or the environment changes code."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {sys.version_info[:2]}".encode())
    if EMULATED and HAS_INSTRUCTION:
        digest.update(b"bf16 emulated")
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder of compiled kernels for these sources, made if need be; None where none can be written."""
    root = os.environ.get("CHARRNN_CACHE_DIR") or user_cache_dir("charrnn", appauthor=False)
    folder = Path(root) / f"kernels-{sources_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def module_of(name: str) -> str:
    """The module with the kernels of the optimiser, the products, or else the cell, of this name."""
    if name in OPTIMIZER_MODULES:
        return f"charrnn.kernels.{OPTIMIZER_MODULES[name]}"
    if name in TRAINING_MODULES:
        return f"charrnn.kernels.{TRAINING_MODULES[name]}"
    return f"charrnn.cells.{name.replace('-', '_')}"


def count_kernels(*names: str) -> int:
    """How many kernels are loaded for every run, and for cells and optimisers of these names, told from the sources alone."""
    others = {*OPTIMIZER_MODULES.values(), *TRAINING_MODULES.values(), *SEPARATE}
    paths = {path for path in (PACKAGE / "kernels").glob("*.py") if path.stem not in others}
    paths |= {PACKAGE.parent / f"{module_of(name).replace('.', '/')}.py" for name in names}
    return sum(path.read_text(encoding="utf-8").count("\n@kernel(") for path in paths)


FOLDER = cache_folder()


@contextmanager
def _numba_cache() -> Iterator[None]:
    before = config.CACHE_DIR
    config.CACHE_DIR = str(FOLDER)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _is_cached(function: Callable) -> bool:
    """True if the function was compiled before, on this machine or one that shares the folder."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
    return FOLDER is not None and any(FOLDER.glob(f"*/{name}-*.nbi"))


def kernel(signature) -> Callable[[Callable], Callable]:
    """Compile a function for one signature now, without the GIL, from the cache if it is there."""

    def decorate(function: Callable) -> Callable:
        for listener in listeners:
            listener(function.__name__, _is_cached(function))
        with _numba_cache():
            # error_model="numpy": Python's zero test before each division would stop LLVM from vectorising
            return njit(signature, cache=FOLDER is not None, nogil=True, error_model="numpy", _nrt=False)(function)

    return decorate


inline = njit(nogil=True, error_model="numpy", _nrt=False)
"""For small functions that a kernel calls: compiled into it, not by themselves."""

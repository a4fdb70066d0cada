"""How kernels are compiled: once per machine, into a cache whose name contains a hash of everything
they depend on.

Numba's cache is keyed by the CPU and one file's time stamp, and misses edits in files that a kernel
is linked with; the hash fixes that. If no cache folder can be written, kernels are compiled in
every process. On an empty cache a second process may help: see `companion`.
"""

import hashlib
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import llvmlite
import numba
from llvmlite import binding
from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher

from charrnn.compiler.bfloat16 import EMULATED, HAS_INSTRUCTION
from charrnn.compiler.target import TARGET
from charrnn.runtime.cache import cache_root

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = ("compiler", "kernels", "network/cells")

OPTIMIZER_MODULES = {
    **dict.fromkeys(("sgd", "momentum", "nesterov"), "descent"),
    **dict.fromkeys(("adagrad", "adadelta", "rmsprop"), "adaptive"),
    **dict.fromkeys(("adam", "adamw"), "adam"),
}
"""The module of each optimizer's kernel; imported only when needed."""

TRAINING_MODULES = ("layers", "softmax")
"""Modules of kernels that sampling does not need."""

SEPARATE = ("machine",)
"""Modules of kernels that no run needs."""

LARGE_TEXTS = "utf8"
"""The name, and the module, of the kernels that only reading large texts needs."""

CHOSEN_MODULES = {
    **OPTIMIZER_MODULES,
    **dict.fromkeys(("bf16", "int8"), "rounded_product"),
    "bf16-training": "bfloat16_product",
    "dynamic": "adapting",
    LARGE_TEXTS: LARGE_TEXTS,
}
"""The modules for precisions in sampling and training, dynamic evaluation, and texts."""

listeners: list[Callable[[str, bool], None]] = []
"""Called with a kernel's name and whether it is cached, before it is compiled or loaded; used to
show progress.
"""


class Helper(Protocol):
    """Another process that compiles some of the kernels."""

    def take(self, name: str) -> bool:
        """True if this process should compile a kernel; False if it is now in the cache."""

    def finish(self, name: str) -> None:
        """Record that a kernel taken by this process is in the cache."""


helper: Helper | None = None
"""Asked before a kernel is compiled, unless None."""

deferred: dict[str, tuple[Any, Any]] | None = None
"""Unless None, kernels are not compiled: their dispatchers and signatures are collected here by
name, in order.
"""


def sources_hash() -> str:
    """Sixteen hexadecimal digits that change with the kernels, the cells, Numba, LLVM, Python, the
    processor or emulation.
    """
    versions = f"{numba.__version__} {llvmlite.__version__} {sys.version_info[:2]}"
    machine = f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()} {TARGET}"
    digest = hashlib.sha256(f"{versions} {machine}".encode())
    if EMULATED and HAS_INSTRUCTION:
        digest.update(b"bf16 emulated")
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder of compiled kernels for these sources, created if needed; None if it cannot be
    written.
    """
    folder = cache_root() / f"kernels-{sources_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def module_of(name: str) -> str:
    """The module with the kernels of this name: an optimizer, a precision, large texts, or else a
    cell.
    """
    if name in CHOSEN_MODULES:
        return f"charrnn.kernels.{CHOSEN_MODULES[name]}"
    return f"charrnn.network.cells.{name.replace('-', '_')}"


def kernel_modules(*names: str, training: bool = True) -> list[str]:
    """The modules with the kernels of every run, or only of sampling, and of these names."""
    others = {
        "__init__",
        *CHOSEN_MODULES.values(),
        *SEPARATE,
        *(() if training else TRAINING_MODULES),
    }
    stems = sorted({path.stem for path in (PACKAGE / "kernels").glob("*.py")} - others)
    modules = [f"charrnn.kernels.{stem}" for stem in stems]
    return list(dict.fromkeys([*modules, *map(module_of, names)]))


def kernels_in(module: str) -> list[str]:
    """The names, such as product.pack, of a module's kernels, found in its source."""
    text = (PACKAGE.parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    return [f"{module.rpartition('.')[2]}.{name}" for name in _KERNEL.findall(text)]


def is_cached(name: str) -> bool:
    """True if the kernel of this name was in the cache when this process started."""
    return name in _CACHED


_KERNEL = re.compile(
    r"(?:^@kernel\(.*?^def |^(?=\w+ = cell_kernel\())(\w+)", re.MULTILINE | re.DOTALL
)
FOLDER = cache_folder()
_CACHED = (
    {path.name.rpartition("-")[0] for path in FOLDER.glob("*/*.nbi")}
    if FOLDER is not None
    else set()
)


class _Cache(FunctionCache):
    """Numba's cache, except that loading does not prepare the compiler, which takes 0.25 s and only
    compiling needs.
    """

    def load_overload(self, sig, target_context):
        """The compiled function for this signature; None if it is not cached."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def kernel(signature) -> Callable[[Callable], Callable]:
    """Compile a function for one signature now, without the GIL, or load it from the cache.

    Kernels do not allocate arrays: without Numba's reference counts (`_nrt`) they compile faster.
    They are not passed as function values either, which are slow: see `calling`.
    """

    def decorate(function: Callable) -> Callable:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        # error_model="numpy": Python's zero test before each division would stop LLVM from
        # vectorizing
        options = {"nogil": True, "no_cfunc_wrapper": True, "_nrt": False}
        dispatcher = njit(error_model="numpy", **options)(function)
        if FOLDER is not None:
            before, config.CACHE_DIR = config.CACHE_DIR, str(FOLDER)
            try:
                dispatcher._cache = _Cache(function)
            finally:
                config.CACHE_DIR = before
        if deferred is not None:
            deferred[name] = dispatcher, signature
            return dispatcher
        for listener in listeners:
            listener(name, is_cached(name))
        taken = helper is not None and not is_cached(name) and helper.take(name)
        compile_now(dispatcher, signature)
        if taken:
            helper.finish(name)
        return dispatcher

    return decorate


def compile_now(dispatcher: Any, signature: Any) -> None:
    """Compile or load a dispatcher for this signature, and disable all others."""
    dispatcher.compile(signature)
    dispatcher.disable_compile()


class _Inline(CPUDispatcher):
    """A compiled function without the wrapper for calls from Python: such a call would crash, so it
    raises `TypeError`.
    """

    def __call__(self, *_):
        name = self.py_func.__name__
        raise TypeError(
            f"{name} is compiled into kernels, not for Python; to try it, call njit({name}.py_func)"
        )


def inline(function: Callable) -> Any:
    """For small functions that a kernel calls: compiled into it, 10 % faster without the wrapper
    for Python.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = njit(nogil=True, error_model="numpy", _nrt=False, **options)(function)
    dispatcher.__class__ = _Inline
    return dispatcher


spliced = njit(inline="always")
"""For large shared functions that take functions as arguments: inserted into the kernels' source,
since compiling them separately, as `inline` does, would optimize them twice.
"""

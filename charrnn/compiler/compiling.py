"""How kernels are compiled: once on a machine, into a cache whose name holds a hash of all that
they are made of.

Numba's own cache is keyed by the CPU and by one file's time stamp, not by edits in the files that a
kernel was linked with; the hash makes it right. Where no cache folder can be written, kernels are
compiled anew in each process. On an empty cache a second process may help: see `companion`.
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
"""Where each optimizer's kernel is: modules that are imported only when they are needed."""

TRAINING_MODULES = ("layers", "softmax")
"""Modules of kernels that a network which only writes does not need."""

SEPARATE = ("machine",)
"""Modules with kernels that no run needs."""

LARGE_TEXTS = "utf8"
"""The name of the kernels, and of their module, that only reading a large text needs."""

CHOSEN_MODULES = {
    **OPTIMIZER_MODULES,
    **dict.fromkeys(("bf16", "int8"), "rounded_product"),
    "bf16-training": "bfloat16_product",
    "dynamic": "adapting",
    LARGE_TEXTS: LARGE_TEXTS,
}
"""And those of precisions, of sampling and of training, of dynamic evaluation, and of texts."""

listeners: list[Callable[[str, bool], None]] = []
"""Called with a kernel's name, and whether the cache holds it, before it is compiled or loaded; for
showing progress.
"""


class Helper(Protocol):
    """Another process that compiles some of the kernels."""

    def take(self, name: str) -> bool:
        """True if this process is to compile a kernel; False if it is in the cache by now."""

    def finish(self, name: str) -> None:
        """A kernel that this process took is in the cache."""


helper: Helper | None = None
"""Asked before a kernel is compiled, where it is not None."""

deferred: dict[str, tuple[Any, Any]] | None = None
"""Where it is not None, kernels are not compiled: their dispatchers and signatures are put here by
name, in order.
"""


def sources_hash() -> str:
    """Sixteen hexadecimal digits that change when a kernel, a cell, Numba, LLVM, Python, the
    processor or what is emulated does.
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
    """The folder of compiled kernels for these sources, made if need be; None where none can be
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
    """The module with the kernels of the optimizer, the precision, of large texts, or else the cell
    of this name.
    """
    if name in CHOSEN_MODULES:
        return f"charrnn.kernels.{CHOSEN_MODULES[name]}"
    return f"charrnn.network.cells.{name.replace('-', '_')}"


def kernel_modules(*names: str, training: bool = True) -> list[str]:
    """The modules with the kernels of every run, or of one that only writes, and of what these
    names choose.
    """
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
    """The names, such as product.pack, of a module's kernels, told from its source alone."""
    text = (PACKAGE.parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    return [f"{module.rpartition('.')[2]}.{name}" for name in _KERNEL.findall(text)]


def is_cached(name: str) -> bool:
    """True if the kernel of this name was in the cache when this process began."""
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
    """Numba's cache, but loading does not first prepare the compiler, a quarter of a second that
    only compiling needs.
    """

    def load_overload(self, sig, target_context):
        """The compiled function for this signature; None if it is not there."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def kernel(signature) -> Callable[[Callable], Callable]:
    """Compile a function for one signature now, without the GIL, from the cache if it is there.

    Kernels make no arrays: without Numba's reference counts (`_nrt`) they compile in less time. Nor
    are they passed as function values, which are slow: see `calling`.
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
    """Compile a dispatcher for this signature, or load it, and let it accept no other."""
    dispatcher.compile(signature)
    dispatcher.disable_compile()


class _Inline(CPUDispatcher):
    """A compiled function without the wrapper that Python calls need: such a call would crash, so
    it raises `TypeError`.
    """

    def __call__(self, *_):
        name = self.py_func.__name__
        raise TypeError(
            f"{name} is compiled into kernels, not for Python; to try it, call njit({name}.py_func)"
        )


def inline(function: Callable) -> Any:
    """For small functions that a kernel calls: compiled into it, and a tenth sooner for not being
    called from Python.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = njit(nogil=True, error_model="numpy", _nrt=False, **options)(function)
    dispatcher.__class__ = _Inline
    return dispatcher


spliced = njit(inline="always")
"""For large functions that kernels share, and which take functions: put into their source, since
compiled apart, as `inline` does, they would be optimized twice.
"""

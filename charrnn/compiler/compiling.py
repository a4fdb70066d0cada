"""How kernels are compiled: once per machine, into a cache whose name contains a hash of everything
they depend on.

Numba's cache is keyed by the CPU and one file's time stamp, misses edits in files that a kernel is
linked with, believes every byte that it reads, and is not read where it cannot be written;
`kernel_files` takes its place. Kernels that cannot be stored are compiled in every process. On an
empty cache a second process may help: see `companion`.
"""

import os
import pickle
import re
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from numba import njit
from numba.core import caching
from numba.core.bytecode import FunctionIdentity
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from charrnn.compiler.kernel_files import PACKAGE
from charrnn.compiler.target import FILES

# Numba numbers functions from 1 in each process, and symbols are named by function and number. The
# kernels of several processes meet in one, where two functions of one name and number are taken for
# each other: those that `kernels.product.packers` makes for floats and for bfloat16 were, and
# gradients were NaN. So each process begins at a number of its own.
FunctionIdentity._unique_ids = count(int.from_bytes(os.urandom(7), "little"))

OPTIMIZER_MODULES = {
    **dict.fromkeys(("sgd", "momentum", "nesterov"), "descent"),
    **dict.fromkeys(("adagrad", "adadelta", "rmsprop"), "adaptive"),
    **dict.fromkeys(("adam", "adamw"), "adam"),
    "soap": "soap",
}
"""The module of each optimizer's kernel; imported only when needed."""

TRAINING_MODULES = ("layers", "softmax")
"""Modules of kernels that sampling does not need."""

SEPARATE = ("machine",)
"""Modules of kernels that no run needs."""

LARGE_TEXTS = "utf8"
"""The name, and the module, of the kernels that only reading large texts needs."""

COMPARING = "suffixes", "overlap", "copies"
"""The names, and the modules, of the kernels that find what a text shares with a corpus."""

CHOSEN_MODULES = {
    **OPTIMIZER_MODULES,
    "bf16": "rounded_product",
    "bf16-training": "bfloat16_product",
    "amx-training": "amx_product",
    "dynamic": "adapting",
    "counts": "counting",
    "trust": "trusting",
    "attention": "attention",
    "blending": "blending",
    "together": "together",
    LARGE_TEXTS: LARGE_TEXTS,
    **{name: name for name in COMPARING},
}
"""The modules for precisions in sampling and training, dynamic evaluation, counts and
whom to trust, attention, several networks that write together, and texts.
"""

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
    """True if the kernel of this name is in the cache, undamaged."""
    return FILES.holds(name)


_KERNEL = re.compile(
    r"(?:^@kernel\(.*?^def |^(?=\w+ = cell_kernel\())(\w+)", re.MULTILINE | re.DOTALL
)


class _Cache(caching._Cache):
    """The file of one kernel, for Numba. Loading prepares no compiler, which takes 0.25 s and only
    compiling needs.
    """

    cache_path = None

    def __init__(self, name: str) -> None:
        self._name = name

    def load_overload(self, sig, target_context):
        """The compiled function; None if it has to be compiled, for whatever reason."""
        payload = FILES.take(self._name)
        if payload is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(payload))
        except Exception:
            return None  # intact, but not for this program after all

    def save_overload(self, sig, cres):
        """Store the compiled function if it can be stored."""
        if not (cres.lifted or cres.library.has_dynamic_globals):
            FILES.store(self._name, dumps(cres._reduce()))

    def enable(self):
        """Part of Numba's interface; nothing calls it."""

    disable = flush = enable


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
        dispatcher._cache = _Cache(name)
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

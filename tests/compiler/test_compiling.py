"""How kernels come into the cache, with and without a second process, and out of it again."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from numba import float32, njit, void
from numba.core.bytecode import FunctionIdentity

from charrnn.compiler import companion, compiling
from charrnn.compiler.companion import Claims, Companion

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh process prints that runs this code."""
    options = {
        "env": {**os.environ, "PYTHONPATH": str(ROOT), **environment},
        "capture_output": True,
        "text": True,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.DEVNULL, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# A small package stands for the kernels: those of the project take long to compile
# ------------------------------------

SMALL = """
from numba import float32, void
from charrnn.compiler.compiling import inline, kernel
VECTOR = float32[::1]

@inline
def twice(x):
    return x + x

@inline
def doubled(x):
    double(x)
"""
KERNEL = """
@kernel(void(VECTOR))
def {name}(x):
    for u in range(x.size):
        x[u] = twice(x[u]){call}
"""
NAMES = [f"small.k{k}" for k in range(8)]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a module `small` of nine kernels; the last calls the first, directly and
    through an inline function.
    """
    kernels = [
        KERNEL.format(name=name, call="") for name in ("double", *(f"k{k}" for k in range(7)))
    ]
    kernels.append(KERNEL.format(name="k7", call="\n    double(x)\n    doubled(x)"))
    (tmp_path / "small.py").write_text(SMALL + "".join(kernels))
    return tmp_path


ALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from charrnn.compiler import companion, compiling
{before}
compiled = []
compile_now = compiling.compile_now
def noted(dispatcher, signature):
    compile_now(dispatcher, signature)
    compiled.append((dispatcher.py_func.__name__, not dispatcher.stats.cache_hits))
compiling.compile_now = noted
with companion.beside(["small"], {missing}) as beside:
    {within}
    import small
import numpy as np
for k in range(8):
    x = np.ones(5, np.float32)
    getattr(small, f"k{{k}}")(x)
    assert (x == (8 if k == 7 else 2)).all(), (k, x)
assert compiling.helper is None
fresh = [name for name, anew in compiled if anew]
print(json.dumps([beside is not None, fresh, [name for name, _ in compiled]]))
"""


def import_small(
    folder: Path, before: str = "", within: str = "", missing: int = 9
) -> tuple[bool, list[str], list[str]]:
    """In a fresh process: whether a companion was there, the kernels that were compiled here, and
    all in their order.
    """
    import json

    code = ALL.format(before=before, within=within, missing=missing)
    return tuple(json.loads(run(code, str(folder), CHARRNN_CACHE_DIR=str(folder / "cache"))))


TWO = "companion.available_threads = lambda: 2"
NAMED = ["double", *(f"k{k}" for k in range(8))]


def test_two_processes_compile_each_kernel_once(small: Path) -> None:
    """The first waits until the companion has begun, so that there is something to share."""
    wait = "import time\n    while not beside.ahead(): time.sleep(0.01)"
    beside, anew, named = import_small(small, TWO, wait)
    assert beside and named == NAMED
    assert "k7" not in anew and len(anew) < len(NAMED), (
        "the companion compiled nothing, or not from the end"
    )
    assert len(list((small / "cache").glob("*/*.kernel"))) == len(NAMED)
    assert import_small(small, TWO, missing=0) == (False, [], NAMED), (
        "the cache does not hold everything"
    )


def test_a_companion_that_dies_is_no_harm(small: Path) -> None:
    """Neither at once nor with a kernel in its hands."""
    dying = "companion._BEGIN = 'raise SystemExit'\n" + TWO
    claimed = "beside._claims.take('small.k3'); beside._process.wait()"
    assert import_small(small, dying, claimed) == (True, NAMED, NAMED)


@pytest.mark.parametrize(
    "before",
    [
        "companion.available_threads = lambda: 1",
        f"{TWO}; sys.executable = ''",
        f"{TWO}; sys.frozen = True",
        f"{TWO}; sys.executable = '/nowhere/python'",
        f"{TWO}; compiling.FILES.trouble = 'cannot write'",
        f"{TWO}; import tempfile; tempfile.tempdir = '/nowhere'",
    ],
)
def test_where_there_is_no_companion(small: Path, before: str) -> None:
    assert import_small(small, before) == (False, NAMED, NAMED)


def test_few_kernels_are_compiled_alone() -> None:
    with companion.beside(["nowhere"], companion.WORTH_IT - 1) as beside:
        assert beside is None and compiling.helper is None


def test_the_companion_ends_with_the_first(small: Path, tmp_path: Path) -> None:
    """However that ends: here it is killed while the companion waits for a kernel that will never
    be done.
    """
    claims = Claims(tmp_path)
    assert claims.take("small.double")
    code = f"""
import os, sys
sys.path.insert(0, {str(small)!r})
from charrnn.compiler import companion
process = companion._started({str(tmp_path)!r}, ["small"])
print(process.pid, flush=True)
import time
while not os.path.exists({str(tmp_path / "small.k7.begun")!r}): time.sleep(0.01)
os._exit(0)
"""
    pid = int(run(code, CHARRNN_CACHE_DIR=str(small / "cache")))
    until = time.monotonic() + 20
    while time.monotonic() < until and Path(f"/proc/{pid}").exists():
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
            return  # nobody asks for its status: it has ended all the same
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_the_companion_gets_to_know_every_kernel() -> None:
    """It imports their modules without compiling: what is done with a kernel at import would end
    it, unseen.
    """
    code = """
from importlib import import_module
from charrnn.config.settings import CELL_NAMES
from charrnn.compiler import compiling
compiling.deferred = {}
names = [*CELL_NAMES, *compiling.CHOSEN_MODULES]
modules = compiling.kernel_modules(*names)
for module in modules:
    import_module(module)
expected = [name for module in modules for name in compiling.kernels_in(module)]
assert sorted(compiling.deferred) == sorted(expected)
assert len(compiling.deferred) > 40
"""
    run(code)


# Claims, by hand
# --------------------------------------------------------------------------------------------------


class Process:
    """As little of a process as `Companion` looks at."""

    def __init__(self, status: int | None = None) -> None:
        self.poll = lambda: status


def test_each_kernel_is_taken_once(tmp_path: Path) -> None:
    ours, theirs = Claims(tmp_path), Claims(tmp_path)
    assert ours.take("a.b") and not theirs.take("a.b") and not ours.take("a.b")
    assert theirs.take("a.c")
    assert not ours.is_done("a.b")
    theirs.finish("a.b")
    assert ours.is_done("a.b") and not ours.is_done("a.c") and ours.done() == {"a.b"}


def test_the_first_waits_for_what_the_companion_took(tmp_path: Path) -> None:
    claims, beside = Claims(tmp_path), Companion(Claims(tmp_path), Process())
    assert beside.take("m.a")
    beside.finish("m.a")
    claims.take("m.z")
    claims.finish("m.z")
    claims.take("m.y")
    assert beside.ahead() == 1
    timer = threading.Timer(0.05, claims.finish, ["m.y"])
    timer.start()
    assert not beside.take("m.y")
    timer.join()
    assert claims.is_done("m.y"), "it did not wait"
    assert beside.ahead() == 1 and not beside.take("m.z") and beside.ahead() == 0


def test_the_first_does_not_wait_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Claims(tmp_path).take("m.a")
    assert Companion(Claims(tmp_path), Process(1)).take("m.a"), "it died with a kernel in its hands"
    monkeypatch.setattr(companion, "LONGEST_WAIT", 0.0)
    assert Companion(Claims(tmp_path), Process()).take("m.a"), "it hangs"
    Claims(tmp_path).finish("m.a")
    assert not Companion(Claims(tmp_path), Process(1)).take("m.a")


# The cache
# --------------------------------------------------------------------------------------------------


def test_loading_prepares_no_compiler() -> None:
    """That would take a third of the time to the first character."""
    code = """
import sys
from charrnn.cli.kernel_loading import load_kernels
load_kernels("lstm", training=False)
loaded = {name for name in sys.modules if name.startswith("charrnn.kernels.")}
assert not loaded & {"charrnn.kernels." + name for name in ("layers", "softmax", "adam")}, loaded
unwanted = ("numba.np.linalg", "numba.cpython.unicode", "rich", "tqdm")
heavy = [name for name in unwanted if name in sys.modules]
print(heavy)
"""
    run(code)  # now they are in the cache
    assert run(code) == "[]\n"


def test_names_from_the_sources_are_those_of_the_kernels() -> None:
    for module in compiling.kernel_modules("gru", "rmsprop"):
        functions = vars(sys.modules.get(module) or __import__(module, fromlist=["x"]))
        for name in compiling.kernels_in(module):
            assert functions[name.partition(".")[2]].signatures, name
    assert "product.pack" in compiling.kernels_in("charrnn.kernels.product")
    assert compiling.kernels_in("charrnn.network.cells.gru_after") == [
        "gru_after.step",
        "gru_after.step_back",
    ]


def test_a_kernel_takes_no_other_types() -> None:
    @njit
    def nothing(x):
        x[0] += 1

    compiling.compile_now(nothing, void(float32[::1]))
    with pytest.raises(TypeError, match="No matching definition"):
        nothing([1])


def test_functions_of_one_name_are_told_apart_across_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kernels from the cache of two processes once shared the name of an inner function, and one
    ran the other's: gradients were not numbers.
    """

    def adding(amount: int, name: str) -> tuple[Any, Any]:
        @njit
        def inner(x):  # type: ignore[no-untyped-def]
            return x + amount

        def outer(x):  # type: ignore[no-untyped-def]
            return inner(x)

        outer.__qualname__ = name
        return inner, njit(outer)

    names = []
    for amount, name in ((1, "one"), (2, "two")):
        inner, outer = adding(amount, name)
        # as in another process
        monkeypatch.setattr(compiling, "_compiled", itertools.count())
        monkeypatch.setattr(FunctionIdentity, "_unique_ids", itertools.count(1))
        compiling.compile_now(outer, (float32,))
        names += [found.fndesc.mangled_name for found in inner.overloads.values()]
    assert len(names) == len({*names}) == 2

"""A training step by part: products, gates, softmax, update, packing, Python, at three sizes and on
one thread and two.

Every kernel is clocked where Python calls it. Functions that are passed to a kernel as values, the
product and the cell's steps, are replaced by compiled ones that read the processor's time stamp
before and after; what is left of that kernel's time is its own. A thread's time outside of all
kernels is Python's while no jobs are out, and waiting while there are: for other threads, for the
interpreter, or for Python within a job. Shares are of all threads' time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections import defaultdict
from contextlib import closing
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from benchmarks.tables import Row, table_text
from charrnn.bench.machine import multiply_add_speed
from charrnn.bench.measure import TASKS, Shape, generated_corpus, multiplications, new_run
from charrnn.compiler.calling import address_of
from charrnn.runtime.threads import Workers
from charrnn.training.loop import train

SIZES, THREADS, SECONDS = (128, 256, 512), (1, 2), 2.0
PARTS = {
    "products": ("product", "product_packed"),
    "gates": ("step", "step_back"),
    "softmax": ("cross_entropy",),
    "update": ("adam", "square_sums", "penalize"),
    "packing": ("pack", "pack_transposed", "weight_gradients"),
    "look-up": ("look_up", "table_gradient"),
    "copies": ("project", "multiply", "forward_layer", "backward_layer"),
}
"""What a kernel's own time counts as. `weight_gradients` packs activations and dz; others are shown
by their names.
"""


@intrinsic
def ticks(typingctx):
    """The processor's time stamp."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", (), kind), [])

    return types.int64(), codegen


@intrinsic
def add_at(typingctx, place, amount):
    """Add to the int64 at an address, while other threads may do so too."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.atomic_rmw("add", pointer, args[1], "monotonic")
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


class Value:
    """A kernel in a form to be passed to another one, which counts the ticks that it takes."""

    def __init__(self, kernel: Dispatcher) -> None:
        self.name, self.ticks = kernel.__name__, np.zeros(1, np.int64)
        (signature,) = kernel.nopython_signatures
        names = ", ".join(f"a{k}" for k in range(len(signature.args)))
        body = (
            f"    start = ticks()\n    inner({names})\n    add_at({self.ticks.ctypes.data}, "
            "ticks() - start)"
        )
        space: dict[str, Any] = {"ticks": ticks, "add_at": add_at, "inner": kernel}
        exec(f"def clocked({names}):\n{body}", space)
        self.kernel = njit(types.void(*signature.args), nogil=True, error_model="numpy")(
            space["clocked"]
        )


class Clocked:
    """A kernel in its place in a module, which counts the seconds of its calls, and what the values
    that it is passed take.
    """

    def __init__(self, kernel: Dispatcher, addresses: dict[int, Dispatcher]) -> None:
        self.kernel, self.name, self.addresses = kernel, kernel.__name__, addresses
        self.seconds: dict[int, float] = defaultdict(float)
        self.values: dict[int, Value] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        arguments = tuple(self._address(one) if isinstance(one, int) else one for one in arguments)
        start = time.perf_counter()
        result = self.kernel(*arguments, **named)
        self.seconds[threading.get_ident()] += time.perf_counter() - start
        return result

    @property
    def overloads(self) -> Any:
        """Where `address_of` finds the kernel."""
        return self.kernel.overloads

    @property
    def py_func(self) -> Any:
        """Where `bind` finds the names of its arguments."""
        return self.kernel.py_func

    def _address(self, number: int) -> int:
        """The number, or if it is a kernel's address that of the one that is clocked."""
        kernel = self.addresses.get(number)
        if kernel is None:
            return number
        if number not in self.values:
            self.values[number] = Value(kernel)
        return address_of(self.values[number].kernel)

    def forget(self) -> None:
        """Count from zero."""
        self.seconds.clear()
        for value in self.values.values():
            value.ticks[0] = 0


class Profile:
    """While it is open, every kernel that Python reaches through a module is clocked, and so are
    parallel regions.
    """

    def __init__(self) -> None:
        self.kernels: dict[int, Clocked] = {}
        self.in_regions = 0.0
        self._places: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Profile:
        modules = [
            (name, module) for name, module in sys.modules.items() if name.startswith("charrnn.")
        ]
        kernels = {
            id(v): v
            for _, module in modules
            for v in vars(module).values()
            if isinstance(v, Dispatcher)
        }
        addresses = {
            address_of(kernel): kernel for kernel in kernels.values() if kernel.nopython_signatures
        }
        for name, module in modules:
            if not name.startswith("charrnn.network.cells"):
                for key, value in list(vars(module).items()):
                    if isinstance(value, Dispatcher) and value.nopython_signatures:
                        self._replace(
                            module,
                            key,
                            self.kernels.setdefault(id(value), Clocked(value, addresses)),
                        )
        run = Workers.run

        def clocked_run(workers: Workers, *arguments: Any) -> None:
            start = time.perf_counter()
            run(workers, *arguments)
            self.in_regions += time.perf_counter() - start

        self._replace(Workers, "run", clocked_run)
        return self

    def _replace(self, place: Any, name: str, value: Any) -> None:
        self._places.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    def __exit__(self, *_: object) -> None:
        for place, name, value in self._places:
            setattr(place, name, value)

    def forget(self) -> None:
        """Count from zero."""
        self.in_regions = 0.0
        for clocked in self.kernels.values():
            clocked.forget()

    def parts(self, tick: float) -> dict[str, float]:
        """Seconds of all threads together."""
        by_part, part_of = (
            dict.fromkeys(PARTS, 0.0),
            {name: part for part, names in PARTS.items() for name in names},
        )
        for clocked in self.kernels.values():
            taken = [
                (value.name, float(value.ticks[0]) * tick) for value in clocked.values.values()
            ]
            own = sum(clocked.seconds.values()) - sum(seconds for _, seconds in taken)
            for name, seconds in [(clocked.name, own), *taken]:
                part = part_of.get(name, name)
                by_part[part] = by_part.get(part, 0.0) + seconds
        return {part: seconds for part, seconds in by_part.items() if part in PARTS or seconds > 0}


def tick_seconds() -> float:
    """What the time stamp counts."""
    read = njit(types.int64())(lambda: ticks())
    start, first = time.perf_counter(), read()
    time.sleep(0.2)
    return (time.perf_counter() - start) / (read() - first)


def rows(
    sizes: tuple[int, ...] = SIZES, threads: tuple[int, ...] = THREADS, seconds: float = SECONDS
) -> list[Row]:
    tick = tick_seconds()
    return [
        profiled(Shape(2, hidden, 50, 50, count), seconds, tick)
        for hidden in sizes
        for count in threads
    ]


def profiled(shape: Shape, seconds: float, tick: float) -> Row:
    corpus = generated_corpus(shape)
    run = new_run(shape, corpus)
    work = TASKS["training"] * multiplications(run.model) * shape.batch_size * shape.seq_length
    peaks = [_peak(shape)]
    with closing(train(run, corpus, threads=shape.threads)) as reports:
        timed_steps(reports, 0.2)
        plain = timed_steps(reports, seconds / 2)
    with Profile() as profile, closing(train(run, corpus, threads=shape.threads)) as reports:
        timed_steps(reports, 0.2)
        profile.forget()
        times = timed_steps(reports, seconds)
    peak = statistics.fmean([*peaks, _peak(shape)])
    wall, parts = sum(times), profile.parts(tick)
    available = wall * shape.threads
    shares = {part: spent / available for part, spent in parts.items()}
    shares["Python"] = (wall - profile.in_regions) / wall
    shares["waiting"] = 1 - sum(shares.values())
    row: Row = {"network": f"{shape.layers} x {shape.hidden}", "threads": shape.threads}
    row |= {"ms a step": round(1000 * statistics.median(plain), 2)}
    row |= {"with clocks": round(1000 * statistics.median(times), 2)}
    row |= {part: f"{share:.1%}" for part, share in shares.items()}
    row["of peak"] = f"{work / statistics.median(plain) / peak:.1%}"
    row["products, of peak"] = (
        f"{work * len(times) / (parts['products'] / shape.threads) / peak:.1%}"
    )
    return row


def _peak(shape: Shape) -> float:
    with closing(Workers(shape.threads)) as workers:
        return multiply_add_speed(workers, 0.2)


def timed_steps(reports: Any, seconds: float) -> list[float]:
    """The seconds of each step of about so many, and at least two."""
    times: list[float] = []
    while sum(times) < seconds or len(times) < 2:
        start = time.perf_counter()
        next(reports)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--hidden", type=int, action="append", help="units of a layer (may be repeated)"
    )
    parser.add_argument("--threads", type=int, action="append", help="(may be repeated)")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = rows(tuple(options.hidden or SIZES), tuple(options.threads or THREADS), options.seconds)
    print(table_text(table, options.json))


if __name__ == "__main__":
    main()

"""This machine and its peak speeds, the reference of `measure`."""

import math
import platform
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from charrnn.compiler.emitter import VL
from charrnn.compiler.simd import LANES
from charrnn.compiler.target import TARGET
from charrnn.kernels import machine as kernels
from charrnn.network.parameters import aligned
from charrnn.runtime.threads import Workers, ranges

TRIES = 7
PEAK_SECONDS = 0.03
"""Time of one measurement of the peak: long against the hand-over to a thread, short against what
is measured beside it.
"""
WARM_UP_SECONDS = 0.2
"""A processor takes a while to settle on the clock rate that it keeps under vector instructions."""
MEMORY_READ = 256 << 20
"""Bytes, several times the size of the caches."""
SHORT_READ = 1 << 29
"""Bytes that are read in one measurement, if they are the same ones again: some 10 milliseconds."""


@dataclass(frozen=True)
class Machine:
    """A machine and its measured peaks, of float32 multiply-adds, each counted as two
    operations.

    `fma_peak_gflops` and `memory_bandwidth_gb_per_s` are of all `threads`.
    """

    cpu: str
    threads: int
    simd: str
    vector_bits: int
    fma_peak_gflops: float
    fma_peak_gflops_per_thread: float
    memory_bandwidth_gb_per_s: float
    versions: dict[str, str]


def measure_machine(threads: int | None = None) -> Machine:
    """Measure this machine with this number of threads, or all; takes about a second."""
    peaks = []
    for count in (1, threads):
        with closing(Workers(count)) as workers:
            multiply_add_speed(workers, WARM_UP_SECONDS)
            peaks.append(statistics.median(multiply_add_speed(workers) for _ in range(TRIES)))
            bandwidth = read_speed(workers)
    return Machine(
        cpu=processor(),
        threads=workers.threads,
        simd=SIMD_NAMES[TARGET.name],
        vector_bits=32 * VL,
        fma_peak_gflops=round(peaks[1] / 1e9, 1),
        fma_peak_gflops_per_thread=round(peaks[0] / 1e9, 1),
        memory_bandwidth_gb_per_s=round(bandwidth / 1e9, 1),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("numba", "llvmlite", "numpy")},
        },
    )


def multiply_add_speed(workers: Workers, seconds: float = PEAK_SECONDS) -> float:
    """Operations per second of all threads, for multiply-adds that do not access memory; takes
    about `seconds`.
    """
    turns = 10_000
    while True:
        start = time.perf_counter()
        workers.run(kernels.multiply_adds, [(turns, 0.5, 1.0)] * workers.threads)
        elapsed = time.perf_counter() - start
        if elapsed > seconds / 2:
            return workers.threads * turns * kernels.FLOPS / elapsed
        turns = math.ceil(turns * min(100.0, seconds / max(elapsed, 1e-6)))


def read_speed(workers: Workers, size: int = MEMORY_READ) -> float:
    """Bytes per second that all threads together read of `size` bytes, of which each reads a part
    again and again: from the caches, if they hold it. The median of several measurements.
    """
    step = LANES * kernels.READERS
    numbers, speeds = aligned(max(workers.threads, size // 4 // step) * step), []
    numbers[:] = 1  # zeros that were never written may not be backed by memory
    passes = max(1, SHORT_READ // numbers.nbytes)
    jobs = [(numbers, a, b, passes) for a, b in ranges(numbers.size, workers.threads, step)]
    for _ in range(TRIES):
        start = time.perf_counter()
        workers.run(kernels.read_through, jobs)
        speeds.append(passes * numbers.nbytes / (time.perf_counter() - start))
    return statistics.median(speeds)


SIMD_NAMES = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON", "sse": "SSE", "none": "none"}


def processor() -> str:
    """The processor's name, as reported by the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

"""The kernels that are a yardstick do what they are said to do, so that what is counted is what was
done.
"""

import json

import numpy as np
import pytest

from charrnn.bench import machine
from charrnn.compiler.emitter import VL
from charrnn.kernels import machine as kernels
from charrnn.network.parameters import aligned
from charrnn.runtime.threads import Workers


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_every_chain_makes_every_turn(turns):
    numbers = np.repeat(np.arange(kernels.CHAINS, dtype=np.float64), VL)
    for _ in range(turns):
        numbers = numbers * 3 + 2
    assert kernels.multiply_adds(turns, 3.0, 2.0) == numbers.sum()


@pytest.mark.parametrize("turns", [1, 2, 7])
def test_every_number_is_read(turns):
    size = turns * kernels.READERS * VL
    numbers = aligned(size + 3)
    numbers.view(np.int32)[:] = np.arange(size + 3)
    for start, passes in ((0, 1), (3, 2)):
        total = np.arange(start, start + size).sum()
        assert kernels.read_through(numbers, start, start + size, passes) == passes * total


def test_the_speed_counts_the_operations_of_all_threads(monkeypatch):
    class Still:
        """Two threads for which every call takes a tenth of a second."""

        threads, calls = 2, []

        def run(self, function, jobs):
            self.calls.append((function, jobs))

    ticks = iter(range(100))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks) / 10)
    speed = machine.multiply_add_speed(Still(), 0.05)
    ((function, jobs),) = Still.calls
    assert function is kernels.multiply_adds
    assert speed == pytest.approx(sum(turns for turns, _, _ in jobs) * kernels.FLOPS / 0.1)
    assert len(jobs) == 2


def test_a_fast_machine_is_measured_for_long_enough(monkeypatch):
    now = [0.0]
    workers = Workers(1)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(
        workers,
        "run",
        lambda function, jobs: now.__setitem__(0, now[0] + jobs[0][0] * kernels.FLOPS / 1e15),
    )
    assert machine.multiply_add_speed(workers, 0.03) == pytest.approx(1e15)
    assert now[0] > 0.03


def test_a_machine_is_described(monkeypatch):
    monkeypatch.setattr(machine, "MEMORY_READ", 1 << 20)
    monkeypatch.setattr(machine, "WARM_UP_SECONDS", 0.001)
    monkeypatch.setattr(machine, "PEAK_SECONDS", 0.001)
    found = machine.measure_machine(2)
    assert found.threads == 2
    assert found.vector_bits == 32 * VL
    assert found.cpu and found.simd in machine.SIMD_NAMES.values()
    assert (
        min(
            found.fma_peak_gflops, found.fma_peak_gflops_per_thread, found.memory_bandwidth_gb_per_s
        )
        > 0
    )
    assert set(found.versions) == {"python", "numpy", "numba", "llvmlite"}
    json.dumps(found.versions)

"""Products with one row, over float32 and over rounded weights; the rounding; and threads that
meet.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numba import njit

from charrnn.compiler import int8, target
from charrnn.compiler.barrier import meet
from charrnn.compiler.calling import address_of, caller
from charrnn.compiler.int8 import bits_of
from charrnn.config.sampling import PRECISIONS, SamplingConfig
from charrnn.config.settings import CELL_NAMES
from charrnn.generation.partition import (
    SHARE,
    blocks,
    by_share,
    product_of,
    rows_product_of,
    shares_of_stream,
)
from charrnn.generation.quantization import precision_of, rounded, scales
from charrnn.generation.work import Turns
from charrnn.generation.writer import Writer
from charrnn.kernels.int8_product import int8_block, numbers_of
from charrnn.kernels.product import pack, product
from charrnn.kernels.vector_product import VECTOR_PRODUCT, WIDE
from charrnn.network.arithmetic import from_bf16, to_bf16
from charrnn.network.model import Model, Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import aligned, matrix_names
from charrnn.runtime.threads import Workers
from tests.reference.small import plain_model

CANARY = np.float32(-777.25)
SIZES = [16, 32, 48, WIDE, WIDE + 16, 2 * WIDE, 2 * WIDE + 48]


def weights_of(precision: str, depth: int, columns: int) -> np.ndarray:
    weight = (
        np.random.default_rng(depth * columns).standard_normal((depth, columns)).astype(np.float32)
    )
    weight[:, 1] *= 1000
    weight[:, 2] = 0
    if precision == "bf16":
        return from_bf16(to_bf16(weight))
    return weight if precision == "float32" else np.rint(weight / scales(weight)) * scales(weight)


# The products
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_one_row_has_the_bits_of_the_product(precision: str) -> None:
    """At every remainder; nothing beside z is written."""
    for columns in SIZES:
        for depth in (2, 4, 16, 50):
            weight, x = (
                weights_of(precision, depth, columns),
                np.random.default_rng(1).standard_normal(depth),
            )
            x, panels, wanted = (
                x.astype(np.float32),
                np.zeros(weight.size, np.float32),
                np.zeros(columns, np.float32),
            )
            memory = np.full(64 + columns + 64, CANARY)
            z = memory[64:-64]
            z[:] = wanted[:] = np.random.default_rng(2).standard_normal(columns)
            pack(weight, panels, 0, columns, 0, columns)
            to = wanted.ctypes.data, columns, 0
            product(x.ctypes.data, depth, 0, panels, *to, *to, 1, 1, depth, columns)
            packed = blocks(weight, precision)
            product_of(precision)(x.ctypes.data, packed.ctypes.data, z.ctypes.data, depth, columns)
            np.testing.assert_array_equal(z, wanted)
            assert (memory[:64] == CANARY).all() and (memory[-64:] == CANARY).all()


def in_integers(x: np.ndarray, weight: np.ndarray, z: np.ndarray) -> np.ndarray:
    """z + x @ weight as int8 has it, rounded once for each operation."""
    scale, bits = scales(weight), bits_of(len(weight))
    q = np.rint(weight / scale).astype(np.int64)
    exponent = max(14, int(np.abs(x).max().view(np.uint32) >> 23)) - 126
    n = np.rint(x * 2.0 ** (bits - exponent)).astype(np.int64)
    total = n @ q
    assert np.abs(n).max(initial=0) <= 2**bits and np.abs(total).max() < 2**31
    return z + scale * np.float32(2.0 ** (exponent - bits)) * total.astype(np.float32)


def integer_cases() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Factors of every remainder and size; also the largest sums, zeros and tiny numbers."""
    rng, cases = np.random.default_rng(7), []
    for depth, columns in [(16, n) for n in SIZES] + [(48, 16), (1024, 80), (1040, 16), (4096, 16)]:
        x, z = (rng.standard_normal(n).astype(np.float32) for n in (depth, columns))
        cases.append((x, weights_of("int8", depth, columns), z))
        most = np.full(depth, np.nextafter(np.float32(2), np.float32(0)))
        cases.append((most, np.sign(rng.standard_normal((depth, columns))).astype(np.float32), z))
        cases.append((-most, np.ones((depth, columns), np.float32), z))
    for factor in (0, 1e-30, 1e-40, 1e30):
        cases.append(((cases[0][0] * factor).astype(np.float32), *cases[0][1:]))
    return cases


def test_int8_is_a_product_of_integers() -> None:
    """Of one row and of several, which have its bits; nothing beside z is written."""
    for x, weight, z in integer_cases():
        (depth, columns), packed = weight.shape, blocks(weight, "int8")
        memory = np.full((10, columns + 24), CANARY)
        rows = np.outer(np.arange(-4, 6), np.append(x, np.ones(3))).astype(np.float32)
        memory[:, :columns] = z
        at = memory.ctypes.data, memory.shape[1], 0
        shape = 1, len(rows), depth, columns
        rows_product_of("int8")(rows.ctypes.data, depth + 3, 0, packed, *at, *at, *shape)
        for row, found in zip(rows, memory, strict=True):
            one = z.copy()
            product_of("int8")(row.ctypes.data, packed.ctypes.data, one.ctypes.data, depth, columns)
            np.testing.assert_array_equal(one, in_integers(row[:depth], weight, z))
            np.testing.assert_array_equal(one, found[:columns])
            assert (found[columns:] == CANARY).all()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_int8_does_not_hide_that_a_number_is_not_finite(number: float) -> None:
    x, z = np.ones(32, np.float32), np.ones(16, np.float32)
    x[20] = number
    packed = blocks(weights_of("int8", 32, 16), "int8")
    product_of("int8")(x.ctypes.data, packed.ctypes.data, z.ctypes.data, 32, 16)
    assert np.isnan(z).all()


@pytest.mark.parametrize("instruction", [True, False])
def test_both_forms_of_int8_have_the_same_bits(instruction: bool) -> None:
    """With VNNI's instruction, if there is one, and without."""
    if instruction and not int8.HAS_INSTRUCTION:
        return
    slim, write = int8_block(instruction, 16), numbers_of(instruction)

    @njit
    def multiplied(x: int, numbers: int, unit: int, weights: int, z: int, depth: int, bits: int):
        write(x, numbers, unit, depth, bits)
        slim(numbers, unit, weights, z, depth)

    for x, weight, z in integer_cases():
        depth, packed = len(x), blocks(weight[:, :16], "int8")
        numbers, unit, found = aligned(depth), np.zeros(1, np.float32), z[:16].copy()
        arrays = (x, numbers, unit, packed, found)
        multiplied(*(array.ctypes.data for array in arrays), depth, bits_of(depth))
        np.testing.assert_array_equal(found, in_integers(x, weight[:, :16], z[:16]))


def test_a_kernel_is_called_by_its_address() -> None:
    call, place = caller(VECTOR_PRODUCT), address_of(product_of("float32"))

    @njit
    def called(x: int, weights: int, z: int) -> None:
        call(place, (x, weights, z, 2, 16))

    x, weight, z = (
        np.array([2, 3], np.float32),
        np.ones((2, 16), np.float32),
        np.ones(16, np.float32),
    )
    called(x.ctypes.data, weight.ctypes.data, z.ctypes.data)
    assert (z == 6).all()


# Rounding
# --------------------------------------------------------------------------------------------------


def test_bf16_is_the_nearest_and_of_two_the_even() -> None:
    bits = np.array(
        [0x3F800000, 0x3F808000, 0x3F808001, 0x3F818000, 0x3F817FFF, 0xBF818000, 0x0000FFFF],
        np.uint32,
    )
    found = from_bf16(to_bf16(bits.view(np.float32))).view(np.uint32)
    assert [hex(b) for b in found >> 16] == [
        "0x3f80",
        "0x3f80",
        "0x3f81",
        "0x3f82",
        "0x3f81",
        "0xbf82",
        "0x1",
    ]
    assert not (found & 0xFFFF).any()


def test_int8_has_the_least_scale_that_fits() -> None:
    weight = np.array([[127, 127.1, 0, 1e-30, -63.6], [-1, 3, 0, 0, 63]], np.float32)
    found = scales(weight)
    assert found[0] == 1 and found[2] == found[3] == 2.0**-60
    np.testing.assert_allclose(found[[1, 4]], np.array([127.1, 63.6]) / 127, rtol=2.0**-15)
    q = np.rint(weight / found)
    assert list(abs(q).max(0)) == [127, 127, 0, 0, 127]
    rounded = (q * found)[:, [0, 1, 4]]
    np.testing.assert_array_equal(rounded / found[[0, 1, 4]], q[:, [0, 1, 4]])
    np.testing.assert_array_equal(scales(rounded), found[[0, 1, 4]])


def test_a_forced_emulation_has_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    for emulated in (False, True):
        monkeypatch.setattr(target, "EMULATED_VNNI", emulated)
        folders.add(target.kernel_files(target.TARGET).folder)
    assert len(folders) == 2


def test_weights_are_packed_once() -> None:
    """Also when texts have ended and a writer goes on with fewer."""
    writer = Writer(model(), config(), streams=3)
    writer.read(np.array([1]))
    (share,) = writer._work._shares
    writer.keep([0, 2])
    assert writer._work._shares[0] is share


def test_auto_depends_on_the_network_alone() -> None:
    """int8, unless the largest weight of most columns is far above the others."""
    usual = model()
    assert precision_of(usual) == "int8" and precision_of(usual, "bf16") == "bf16"
    assert precision_of(model("grid")) == "float32"
    assert Writer(usual, config()).precision == "int8"
    usual.parameters["rnn.weight_hh_l1"][0] = 20
    assert precision_of(usual) == "float32"
    assert Writer(usual, config()).precision == "float32"
    usual.parameters["rnn.weight_hh_l1"][:] = 0
    assert precision_of(usual) == "int8"


def model(cell: str = "lstm", hidden: int = 40, **config: Any) -> Model:
    made = Model.initialized(
        plain_model(vocab_size=21, hidden=hidden, layers=3, cell=cell, **config), 1
    )
    made.parameters.flat[:] *= 3
    made.hold_zeros()
    return made


@pytest.mark.parametrize(("precision", "most"), [("bf16", 2.0**-8), ("int8", 1 / 127)])
def test_only_the_matrices_are_rounded(precision: str, most: float) -> None:
    before = model(skip=True)
    after = rounded(before, precision)
    for name, view in before.parameters.views.items():
        change = np.abs(after.parameters[name] - view).max()
        assert (
            (0 < change <= most * np.abs(view).max())
            if name in matrix_names(before.config)
            else change == 0
        ), name
    again = rounded(after, precision)
    np.testing.assert_array_equal(again.parameters.flat, after.parameters.flat)
    assert rounded(before, "float32") is before


# The writer
# --------------------------------------------------------------------------------------------------


def config(**settings: Any) -> SamplingConfig:
    """Settings, at temperature 1 unless another is given."""
    return SamplingConfig(**{"temperature": 1.0, **settings})


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small networks are divided among the threads."""
    monkeypatch.setattr("charrnn.generation.partition.SHARE", 1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.usefixtures("divided")
def test_writing_has_the_bits_of_evaluation(cell: str, precision: str) -> None:
    """One stream on any number of threads and several at once, of every cell, by the rounded
    weights.
    """
    others = {
        "skip": cell in ("lstm", "grid"),
        "layer_norm": cell in ("gru", "lstm", "depth-gated", "grid"),
    }
    m = model(cell, residual=True, zoneout_h=0.1, embedding=7, **others)
    texts, states = [], []
    for threads, streams in ((1, 1), (2, 1), (3, 1), (2, 3)):
        workers = Workers(threads, processors=threads)
        writer = Writer(m, config(precision=precision, seed=4), streams=streams, workers=workers)
        assert len(writer._work.own) == min(threads, 3)
        writer.read(np.array([1, 2, 3]))
        texts.append(np.concatenate([writer.write(k)[:, 0] for k in (1, 8, 11)]))
        states.append((writer.state.h[:, 0].copy(), writer.state.c[:, 0].copy()))
        workers.close()
    ids = np.concatenate([[1, 2, 3], texts[0]]).astype(np.int32)[:, None]
    network, state = Network(rounded(m, precision), len(ids), 1, Workers(1)), State(m, 1)
    network.evaluate(ids[:-1], ids[1:], state)
    evaluated = state.h[:, 0], state.c[:, 0]
    if precision == "int8":  # which rounds the other factors, too
        for part, wanted in zip(states[0], evaluated, strict=True):
            np.testing.assert_allclose(part, wanted, rtol=0.02, atol=0.02)
        evaluated = states[0]
    for text, parts in zip(texts, states, strict=True):
        np.testing.assert_array_equal(text, texts[0])
        for part, wanted in zip(parts, evaluated, strict=True):
            np.testing.assert_array_equal(part, wanted)


def test_how_a_stream_is_divided() -> None:
    m = model(hidden=300)  # 19 times 16 units
    size = m.parameters.flat.nbytes
    assert len(shares_of_stream(Panels(m, False), 1, "float32")) == 1
    assert len(shares_of_stream(Panels(m, False), 100, "float32")) == 19 < size / SHARE
    assert len(shares_of_stream(Panels(m, False), 100, "int8")) == pytest.approx(
        size / 4 / SHARE, abs=1
    )
    shares = shares_of_stream(Panels(m, False), 3, "float32")
    assert [share.units for share in shares] == [(0, 96), (96, 192), (192, 304)]
    assert [share.logits for share in shares] == [(0, 16), (16, 32), (32, 32)]
    assert all(
        share.weights.ctypes.data % 64 == 0 and (share.places % 16 == 0).all() for share in shares
    )
    row = np.arange(2 * 304, dtype=np.float32)[None]
    placed = by_share(row, shares, 304)[0]
    assert list(placed[[0, 95, 96, 191, 192, 287]]) == [0, 95, 304, 399, 96, 191]
    assert sorted(placed) == list(row[0])


def test_weights_are_of_the_size_that_is_read() -> None:
    m = model(hidden=64)
    full, half, quarter = (
        shares_of_stream(Panels(m, False), 1, p)[0].weights.size for p in PRECISIONS
    )
    assert half == full / 2 and full / 4 < quarter < full / 4 * 1.13


@pytest.mark.usefixtures("divided")
def test_a_job_that_cannot_start_lets_the_others_end() -> None:
    """An interrupt between handing out the shares and taking one's own, say: the others would wait
    for it for ever.
    """
    workers = Workers(2, processors=2)
    writer = Writer(model(), config(temperature=0), workers=workers)
    writer.read(np.array([1]))
    before = writer.state.h.copy()

    class Interrupted:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, place: Any) -> Any:
            if place.start == 1:  # this thread's own
                raise KeyboardInterrupt
            return self.jobs[place]

        def __init__(self, jobs: list[Any]) -> None:
            self.jobs = jobs

    run = workers.run
    workers.run = lambda function, jobs, release: run(function, Interrupted(jobs), release)  # type: ignore
    with pytest.raises(KeyboardInterrupt):
        writer.write(20)
    np.testing.assert_array_equal(writer.state.h, before)
    workers.run = run  # type: ignore[method-assign]
    alone = Writer(model(), config(temperature=0))
    alone.read(np.array([1]))
    np.testing.assert_array_equal(writer.write(20), alone.write(20))
    workers.close()


# Meeting
# --------------------------------------------------------------------------------------------------


@njit(nogil=True)
def add_in_turns(counter: int, sums: np.ndarray, own: int, threads: int, rounds: int) -> None:
    met = 0
    for _ in range(rounds):
        total = sums.sum()
        met += threads
        meet(counter, met)
        sums[own] += total % 7 + own
        met += threads
        meet(counter, met)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_meet_every_time(threads: int) -> None:
    """Each reads what all wrote, then writes: if one ran ahead or fell behind, the numbers would
    differ.
    """
    rounds, counter, sums = 300, np.zeros(2, np.int64), np.ones(threads, np.int64)
    arguments = [(counter.ctypes.data, sums, own, threads, rounds) for own in range(threads)]
    add_in_turns(np.full(2, 1 << 62).ctypes.data, sums.copy(), 0, 1, 1)
    running = [threading.Thread(target=add_in_turns, args=each) for each in arguments]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    wanted = np.ones(threads, np.int64)
    for _ in range(rounds):
        wanted += wanted.sum() % 7 + np.arange(threads)
    np.testing.assert_array_equal(sums, wanted)
    assert counter[0] == 2 * rounds * threads


def test_a_thread_that_waits_long_sleeps_and_tells_so() -> None:
    @njit(nogil=True)
    def come(counter: int) -> None:
        meet(counter, 2)

    come(np.full(2, 1 << 62).ctypes.data)
    counter = np.zeros(2, np.int64)
    waiting = threading.Thread(target=come, args=(counter.ctypes.data,))
    waiting.start()
    while not counter[1]:
        time.sleep(0.001)
    assert waiting.is_alive() and counter[0] == 1
    come(counter.ctypes.data)
    waiting.join(10)
    assert not waiting.is_alive() and counter[0] == 2


def test_a_call_in_vain_is_followed_by_some_alone() -> None:
    turns, calls = Turns(), []
    for contended in [False] * 3 + [True] * 60 + [False] * 67:
        calls.append("alone" if turns.is_alone() else "together")
        if calls[-1] == "together":
            turns.judge(100 if contended else 1, 80)
    tried = [k for k, call in enumerate(calls) if call == "together"]
    assert tried == [0, 1, 2, 3, 12, 29, 62, 127, 128, 129]


@pytest.mark.usefixtures("divided")
def test_a_text_is_the_same_when_it_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, calm = Workers(2, processors=2), Writer(model("gru"), config())
    writer = Writer(model("gru"), config(), workers=workers)
    turns = [False, True, True, False, True] * 2
    monkeypatch.setattr(writer._turns, "is_alone", lambda: turns.pop())
    for each in (writer, calm):
        each.read(np.array([1, 2]))
    texts = [np.concatenate([each.write(k) for k in (1, 2, 3, 4, 5, 6)]) for each in (writer, calm)]
    np.testing.assert_array_equal(*texts)
    assert (
        len(turns) < 5
        and writer._alone is not None
        and writer._alone.parts == 1 < writer._work.parts
    )
    workers.close()

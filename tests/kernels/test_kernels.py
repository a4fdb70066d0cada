"""Every kernel against NumPy float64, at every remainder, between canaries.

Tolerances of sums are the a-priori bound of Higham 2002, section 3.1: a chain of n float32
operations errs by at most n u / (1 - n u) times the sum of the magnitudes, u = 2^-24. What a kernel
must not read is NaN, what it must not write holds a canary.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from numba import int64, njit, void
from numba.core.cgutils import unpack_tuple
from numba.core.errors import TypingError

from charrnn import compiler, kernels
from charrnn.compiler import compiling, pointwise
from charrnn.compiler.calling import address_of, bind
from charrnn.compiler.compiling import CHOSEN_MODULES, OPTIMIZER_MODULES, SEPARATE
from charrnn.compiler.emitter import HAS_FMA, Emitter, emits
from charrnn.compiler.lanes import Lanes, Nonlinearity, exp, sigmoid
from charrnn.compiler.rows import MAXIMUM, SUM, Equation, equation, fill_row
from charrnn.compiler.rows import rows as over_rows
from charrnn.compiler.simd import LANES, MR, NR
from charrnn.config.settings import ACTIVATIONS, CELL_NAMES
from charrnn.kernels import adam, layers, product, softmax, update
from charrnn.kernels.product import pack, pack_transposed
from charrnn.kernels.recurrent import Ports, PortsBack, look_up, project
from charrnn.network import cells
from charrnn.network.cells import cell_named, lstm
from tests.reference import cells as reference_cells
from tests.reference import optimizers, tape
from tests.reference.small import plain_model

CANARY = np.float32(-777.25)
U = 2.0**-24
COLUMNS = range(16, 161, 16)
TANH, SOFTSIGN, RELU = range(len(ACTIVATIONS))


def bound(operations: int, magnitudes: np.ndarray) -> np.ndarray:
    return operations * U / (1 - operations * U) * magnitudes


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def packed(matrix: np.ndarray, tail: int = 64) -> np.ndarray:
    """The panels of a (K, N) matrix straight from their definition, and NaN behind them."""
    panels, n, N = [], 0, matrix.shape[1]
    while n < N:
        width = NR if N - n >= NR else LANES
        panels.append(matrix[:, n : n + width].ravel())
        n += width
    return np.concatenate([*panels, np.full(tail, np.nan, np.float32)])


def windows(
    memory: np.ndarray, step: int, row: int, column: int, shape: tuple[int, int, int]
) -> np.ndarray:
    """A view (steps, rows, columns) of flat memory with these strides, in floats."""
    return np.lib.stride_tricks.as_strided(memory, shape, [4 * step, 4 * row, 4 * column])


# What is a kernel
# --------------------------------------------------------------------------------------------------


def count_kernels(*names: str) -> int:
    return sum(len(compiling.kernels_in(module)) for module in compiling.kernel_modules(*names))


def kernels_in(module: str) -> list:
    """The compiled functions that a module defines."""
    return [
        value
        for value in vars(import_module(module)).values()
        if hasattr(value, "py_func")
        and not value._can_compile
        and value.py_func.__module__ == module
    ]


def test_every_kernel_is_counted_and_releases_the_gil() -> None:
    names = [
        f"{package.__name__}.{m.name}"
        for package in (compiler, kernels, cells)
        for m in iter_modules(package.__path__)
    ]
    found = {name.removeprefix("charrnn."): kernels_in(name) for name in names}
    assert all(
        kernel.targetoptions["nogil"] for of_module in found.values() for kernel in of_module
    )
    left = {name: len(of_module) for name, of_module in found.items() if of_module}
    for cell in CELL_NAMES:
        own = left.pop(f"network.cells.{cell.replace('-', '_')}")
        assert count_kernels(cell) - count_kernels() == own >= 2
    for name, module in CHOSEN_MODULES.items():
        assert count_kernels(name) - count_kernels() == left[f"kernels.{module}"] > 0
    for optimizer in OPTIMIZER_MODULES:
        assert count_kernels(optimizer, "gru") - count_kernels(optimizer) == 4
    for module in {*CHOSEN_MODULES.values(), *SEPARATE}:
        left.pop(f"kernels.{module}")
    assert sum(left.values()) == count_kernels() > 10
    assert all(name.startswith("kernels.") for name in left), (
        "a kernel beside the cells' own modules is not counted"
    )


# The product
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begins_with", ["zeros", "itself", "a row"])
def test_product_at_every_remainder(begins_with: str) -> None:
    rng = np.random.default_rng(1)
    numbers = rng.standard_normal(60_000, np.float32)
    for columns in COLUMNS:
        for depth in [*range(1, 14), 16, 31, 32, 33]:
            b = rng.standard_normal((depth, columns), np.float32)
            panels, bias = packed(b), rng.standard_normal(columns, np.float32)
            for rows in range(1, 2 * MR + 2):
                steps = 1 + (rows + depth) % 3
                a_row = depth + 3
                a_step = rows * a_row + depth + 5
                c_row = columns + 7
                c_step = rows * c_row + 9
                a_memory = np.full(steps * a_step, np.nan, np.float32)
                a = windows(a_memory, a_step, a_row, 1, (steps, rows, depth))
                a[:] = numbers[: a.size].reshape(a.shape)
                c_memory = np.full(64 + steps * c_step + 64, CANARY)
                c = windows(c_memory[64:], c_step, c_row, 1, (steps, rows, columns))
                c[:] = numbers[-c.size :].reshape(c.shape) if begins_with == "itself" else np.nan
                place = c_memory.ctypes.data + 4 * 64
                start, begin = {
                    "zeros": (np.zeros(c.shape), (0, 0, 0)),
                    "itself": (c.astype(np.float64), (place, c_row, c_step)),
                    "a row": (
                        np.broadcast_to(bias.astype(np.float64), c.shape),
                        (bias.ctypes.data, 0, 0),
                    ),
                }[begins_with]
                product.product(
                    a_memory.ctypes.data,
                    a_row,
                    a_step,
                    panels,
                    *begin,
                    place,
                    c_row,
                    c_step,
                    steps,
                    rows,
                    depth,
                    columns,
                )

                # A fused multiply-add rounds once; two roundings are allowed for machines without
                # it
                a64, b64 = a.astype(np.float64), b.astype(np.float64)
                magnitudes = np.abs(start) + np.abs(a64) @ np.abs(b64)
                wrong = np.abs(c - (start + a64 @ b64)) > bound(depth + 1, magnitudes)
                assert not wrong.any(), (rows, columns, depth, steps)
                c[:] = CANARY
                assert (c_memory == CANARY).all(), (
                    f"written outside C: {rows} rows, {columns} columns, {steps} steps"
                )


def test_the_bits_of_a_product_do_not_depend_on_its_tiles() -> None:
    """Nor on a cut of the depth: the same bits on any number of threads rest on this."""
    rows, depth, columns = 13, 33, 144
    a, b = normal(2, rows, depth), normal(3, depth, columns)

    def multiply(a: np.ndarray, b: np.ndarray, c: np.ndarray, accumulate: int) -> None:
        (rows, depth), columns = a.shape, b.shape[1]
        to, panels = (c.ctypes.data, columns, 0), packed(b)
        begin = to if accumulate else (0, 0, 0)
        product.product(
            a.ctypes.data, a.strides[0] // 4, 0, panels, *begin, *to, 1, rows, depth, columns
        )

    whole = np.zeros((rows, columns), np.float32)
    multiply(a, b, whole, 0)
    for m in range(rows):
        alone = np.empty((1, columns), np.float32)
        multiply(a[m : m + 1], b, alone, 0)
        assert np.array_equal(alone[0], whole[m])
    for n in range(0, columns, 16):
        narrow = np.empty((rows, 16), np.float32)
        multiply(a, np.ascontiguousarray(b[:, n : n + 16]), narrow, 0)
        assert np.array_equal(narrow, whole[:, n : n + 16])
    for cut in (1, 16, 32):
        sum_of_two = np.empty((rows, columns), np.float32)
        multiply(a[:, :cut], b[:cut], sum_of_two, 0)
        multiply(a[:, cut:], b[cut:], sum_of_two, 1)
        assert np.array_equal(sum_of_two, whole)


@pytest.mark.parametrize("first", [0, 16, 48])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("K", [1, 2, 33, 63, 64, 65, 130])
def test_pack(K: int, transposed: bool, first: int) -> None:
    """A range of a matrix's columns, or of its transpose's rows, whose neighbors are NaN."""
    for N in [*COLUMNS, 208]:
        matrix, kernel = normal(K * N, K, N), pack_transposed if transposed else pack
        wide = np.full(
            (N, first + K + 5) if transposed else (K, first + N + 16), np.nan, np.float32
        )
        wide[:, first : first + (K if transposed else N)] = matrix.T if transposed else matrix
        counted = K if transposed else N
        expected = packed(matrix, tail=0)
        for cut in range(0, N + NR, NR):
            panels = np.full(K * N + 32, CANARY)
            kernel(wide, panels, first, counted, min(cut, N), N)
            done = min(cut, N) * K
            assert (panels[:done] == CANARY).all() and (panels[K * N :] == CANARY).all()
            np.testing.assert_array_equal(panels[done : K * N], expected[done:])
            kernel(wide, panels, first, counted, 0, min(cut, N))
            np.testing.assert_array_equal(panels[: K * N], expected)


# Rows
# --------------------------------------------------------------------------------------------------


@over_rows("total", "a")
def scaled_sum(a: Lanes, factor: Lanes, b: Lanes) -> tuple[Lanes, Lanes]:
    return a + factor * b, b


@over_rows(fold=SUM)
def sum_of(a: Lanes) -> Lanes:
    return a


@over_rows("a", fold=MAXIMUM)
def doubled(a: Lanes) -> tuple[Lanes, Lanes]:
    return 2.0 * a, a


def chosen(made: Equation) -> Callable:
    """An intrinsic of an equation that takes phi, with its number and two rows."""

    @emits(void(int64, product.VECTOR, product.VECTOR))
    def call(emit: Emitter, phi: Any, *rows: Any) -> None:
        make = emit.context.make_array(product.VECTOR)
        arrays = [make(emit.context, emit.builder, row) for row in rows]
        (size,) = unpack_tuple(emit.builder, arrays[0].shape)
        data = dict(zip(made.rows, (array.data for array in arrays), strict=True))
        made.emit(emit, size, data, phi)

    return call


@chosen
@equation("y")
def squash(phi: Nonlinearity, x: Lanes) -> Lanes:
    return phi(x)


@chosen
@equation("a")
def through_squash(phi: Nonlinearity, a: Lanes, y: Lanes) -> Lanes:
    return a * phi.slope(y)


@over_rows("a")
def sigmoid_row(a: Lanes) -> Lanes:
    return sigmoid(a)


@over_rows("a")
def exp_row(a: Lanes) -> Lanes:
    return exp(a)


# What is called in a kernel cannot be called from Python
call_scaled_sum = njit(lambda a, factor, b, total: scaled_sum(a, factor, b, total))
call_sum = njit(lambda a: sum_of(a))
call_doubled = njit(lambda a: doubled(a))
call_fill = njit(lambda a, value: fill_row(a, value))
call_squash = njit(lambda phi, x, y: squash(phi, x, y))
call_slope = njit(lambda phi, a, y: through_squash(phi, a, y))
call_sigmoid = njit(lambda a: sigmoid_row(a))
call_exp = njit(lambda a: exp_row(a))


def on_rows(call: Callable[..., object], *arrays: np.ndarray) -> np.ndarray:
    """The last array after the call with copies of all, which end in ones up to whole LANES."""
    size = arrays[0].size
    padded = [np.concatenate([array, np.ones(-size % LANES, np.float32)]) for array in arrays]
    call(*padded)
    return padded[-1][:size]


@pytest.mark.parametrize("lanes", [0, 1, 2, 5])
def test_rows_are_read_before_they_are_written(lanes: int) -> None:
    """An array that is only written, one that is both, a number for all, and nothing else."""
    size = lanes * LANES
    memory = np.full((3, size + 64), CANARY)
    a, b, total = (row[32 : 32 + size] for row in memory)
    a[:], b[:] = normal(1, size), normal(2, size)
    before, second = a.copy(), b.copy()
    call_scaled_sum(a, np.float32(0.5), b, total)
    np.testing.assert_array_equal(total, before + np.float32(0.5) * second)
    np.testing.assert_array_equal(a, second)
    call_fill(b, 3)
    assert (b == 3).all()
    for row in (a, b, total):
        row[:] = CANARY
    assert (memory == CANARY).all()


def in_halves(a: np.ndarray) -> np.float32:
    """The sum of a row in the order that a fold promises."""
    partial = np.zeros(LANES, np.float32)
    for block in a.reshape(-1, LANES):
        partial += block
    while partial.size > 1:
        partial = partial[: partial.size // 2] + partial[partial.size // 2 :]
    return partial[0]


@pytest.mark.parametrize("lanes", [0, 1, 2, 3, 7])
def test_a_sum_has_one_order_whatever_the_vectors(lanes: int) -> None:
    for seed in range(20):
        a = normal(seed, lanes * LANES) * np.float32(1000)
        assert call_sum(a) == in_halves(a)


def test_the_largest_of_a_row() -> None:
    for place in range(3 * LANES):
        a = -np.abs(normal(place, 3 * LANES)) - 1
        a[place] = -0.5
        expected = 2 * a
        assert call_doubled(a) == -0.5
        np.testing.assert_array_equal(a, expected)
    assert call_doubled(np.zeros(0, np.float32)) == -np.inf


def test_a_wrong_call_is_an_error_while_compiling() -> None:
    a = np.zeros(LANES, np.float32)
    with pytest.raises(TypingError, match=r"fill_row\(a, value\) takes 2 arguments, not 3"):
        njit(lambda a: fill_row(a, 1.0, a))(a)
    with pytest.raises(
        TypingError,
        match=r"a of fill_row\(a, value\) must be a contiguous row of float32, not float64",
    ):
        njit(lambda a: fill_row(1.0, a))(a)
    for wrong in (a.astype(np.float64), a.reshape(4, 4), np.zeros(2 * LANES, np.float32)[::2]):
        with pytest.raises(
            TypingError,
            match=r"a of fill_row\(a, value\) must be a contiguous row of float32, not array",
        ):
            call_fill(wrong, 1.0)
    with pytest.raises(
        TypingError,
        match=r"value of fill_row\(a, value\) must be a contiguous row of float32 or a number, "
        r"not none",
    ):
        call_fill(a, None)
    with pytest.raises(
        TypingError,
        match=r"total of scaled_sum\(a, factor, b, total\) must be a contiguous row of float32, "
        r"not float64",
    ):
        call_scaled_sum(a, 1.0, a, 1.0)


def test_a_choice_that_there_is_not_writes_nothing() -> None:
    y = np.full(LANES, CANARY)
    call_squash(3, np.ones(LANES, np.float32), y)
    assert (y == CANARY).all()


# Nonlinearities
# --------------------------------------------------------------------------------------------------

SPECIAL = [
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    1e-40,
    -1e-39,
    1.17549435e-38,
    3.4e38,
    -3.4e38,
    np.inf,
    -np.inf,
    np.nan,
    9.0,
    -9.0,
]


def dense(low: float, high: float) -> np.ndarray:
    """Numbers at even distances and at even ratios, their neighbors in float32 at the clamps, and
    the special ones.
    """
    even = np.linspace(low, high, 400_001)
    ratios = np.concatenate(
        [s * np.geomspace(1e-44, abs(low), 100_001) for s in ((-1, 1) if high > 0 else (-1,))]
    )
    clamps = np.array(
        [8.999999, 9, 9.000001, 17.999998, 18, 18.000002, 86.99999, 87, 87.00001], np.float32
    )
    numbers = np.concatenate(
        [even, ratios, clamps * -1, clamps if high > 0 else [], SPECIAL]
    ).astype(np.float32)
    return numbers if high > 0 else numbers[~(numbers > 0)]


def test_what_is_only_for_kernels_says_so() -> None:
    """Called from Python it would end the process."""
    with pytest.raises(
        TypeError, match=r"tile_heights is compiled into kernels.*njit\(tile_heights.py_func\)"
    ):
        product.tile_heights(3)


@njit
def map_exp(x: np.ndarray) -> None:
    for k in range(x.size):
        x[k] = pointwise.exp(x[k])


def squashed(x: np.ndarray, phi: int) -> np.ndarray:
    return on_rows(lambda x, y: call_squash(phi, x, y), x, np.full_like(x, CANARY))


def slopes_at(y: np.ndarray, phi: int, factor: np.ndarray) -> np.ndarray:
    return on_rows(lambda y, a: call_slope(phi, a, y), y, factor)


def test_tanh() -> None:
    x = dense(-30, 30)
    y = squashed(x, TANH)
    exact = np.tanh(x.astype(np.float64))
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    assert np.nanmax(np.abs(y - exact)) < 3.1e-7
    # Near zero, where gates of a new network live, every digit counts; denormals may lose their
    # last bit
    assert np.nanmax(np.abs(y - exact) - 6e-7 * np.abs(exact)) <= 1.5e-45
    assert np.nanmax(np.abs(y)) <= 1
    assert np.array_equal(np.signbit(y[x == 0]), np.signbit(x[x == 0]))
    assert y[x == np.inf] >= 1 - U and y[x == -np.inf] <= U - 1
    finite = x[np.isfinite(x)]
    assert np.array_equal(squashed(finite, TANH), -squashed(-finite, TANH))


def test_softsign() -> None:
    x = dense(-1e6, 1e6)
    y, finite = squashed(x, SOFTSIGN), np.isfinite(x)
    assert np.isnan(y[~finite]).all(), "a network does not get over an infinity unseen"
    x, y = x[finite], y[finite]
    exact = x.astype(np.float64) / (1 + np.abs(x.astype(np.float64)))
    # the sum and the quotient are rounded once each; denormals may lose their last bit
    assert (np.abs(y - exact) <= bound(2, np.abs(exact)) + 1.5e-45).all()
    assert np.abs(y).max() == 1 and np.array_equal(squashed(-x, SOFTSIGN), -y)


def test_relu() -> None:
    x = dense(-30, 30)
    y = squashed(x, RELU)
    assert np.array_equal(y, np.where(x < 0, 0, x), equal_nan=True)
    assert np.isnan(y[np.isnan(x)]).all() and np.isnan(x).any() and y[x == np.inf] == np.inf


@pytest.mark.parametrize("phi", [TANH, SOFTSIGN, RELU])
def test_slopes(phi: int) -> None:
    """The derivative, told from the value: what it takes to go back without the number that was
    squashed.
    """
    x = np.linspace(-6, 6, 20_001)
    x = x[x != 0].astype(np.float32)
    y, x64 = squashed(x, phi), x.astype(np.float64)
    exact = [1 - np.tanh(x64) ** 2, (1 + np.abs(x64)) ** -2, np.where(x64 > 0, 1, 0)][phi]
    factor = normal(5, x.size)
    np.testing.assert_allclose(slopes_at(y, phi, factor), factor * exact, rtol=2e-6, atol=4e-6)
    at_zero = slopes_at(np.zeros(3, np.float32), phi, np.ones(3, np.float32))
    assert (at_zero == (0 if phi == RELU else 1)).all()
    assert ACTIVATIONS[phi] == ("tanh", "softsign", "relu")[phi]


def test_a_broken_slope_is_seen() -> None:
    for phi in (TANH, SOFTSIGN):
        slopes = slopes_at(np.array([np.nan, 0.5], np.float32), phi, np.ones(2, np.float32))
        assert np.isnan(slopes).tolist() == [True, False]


def test_sigmoid() -> None:
    x = dense(-60, 60)
    y = on_rows(call_sigmoid, x)
    exact = tape.sigmoid(tape.value(x)).data
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    assert np.nanmax(np.abs(y - exact)) < 2.2e-7  # half of tanh's error, and one rounding
    assert np.nanmin(y) >= 0 and np.nanmax(y) <= 1
    assert y[x == np.inf] == 1 and y[x == -np.inf] < U and (y[x == 0] == 0.5).all()


def test_exp() -> None:
    x = dense(-120, 0)
    y = on_rows(call_exp, x)
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    normal = x >= -87
    exact = np.exp(x[normal].astype(np.float64))
    assert np.abs(y[normal] / exact - 1).max() < (4 if HAS_FMA else 5) * U
    assert (y[x == 0] == 1).all() and (x == -np.inf).any()
    assert (y[x < -87] == 0).all() and (y[x == -87] > 0).all()
    one_by_one = x.copy()
    map_exp(one_by_one)
    np.testing.assert_array_equal(one_by_one, y)


def test_a_number_has_the_same_bits_in_every_lane() -> None:
    x = normal(4, 5 * LANES) * 4
    maps: list[Callable[[np.ndarray], object]] = [call_sigmoid, call_exp]
    maps += [lambda a, phi=phi: call_squash(phi, a, a) for phi in (TANH, SOFTSIGN, RELU)]
    for function in maps:
        x = -np.abs(x) if function is call_exp else x
        whole = on_rows(function, x)
        for start in range(1, 2 * LANES):
            assert np.array_equal(on_rows(function, x[start:]), whole[start:])


# The cells
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("H", [16, 48, 112])
def test_lstm_step_and_back(H: int) -> None:
    N, start, stop = 5, 1, 4
    z, h_before, c_before = normal(1, N, 4 * H) * 2, normal(2, N, H), normal(3, N, H)
    h, c, unused = np.full((N, H), CANARY), np.full((N, H), CANARY), np.zeros((0, 0), np.float32)
    gates, inside = z.copy(), slice(start, stop)
    lstm.step(gates, h_before, c_before, h, c, Ports(*[unused] * 4), TANH, start, stop)

    config, z_exact, c_exact = plain_model(hidden=H), tape.value(z), tape.value(c_before)
    zeros, nothing = np.zeros(4 * H), tape.value(np.zeros((4 * H, H)))
    layer = reference_cells.Layer(config, tape.value(np.eye(4 * H)), nothing, zeros, None, None)
    exact = reference_cells.lstm(layer, z_exact, tape.value(h_before), c_exact, None)
    i, f, g, o = z_exact.blocks(4)
    expected = np.hstack([part.data for part in map(tape.sigmoid, (i, f, 2 * g, o))])
    expected[:, 2 * H : 3 * H] = 2 * expected[:, 2 * H : 3 * H] - 1  # tanh(z)
    states = ("h", h, exact.h.data), ("c", c, exact.c.data)
    for name, found, wanted in (("gates", gates, expected), *states):
        np.testing.assert_allclose(
            found[inside], wanted[inside], rtol=1e-6, atol=1e-6, err_msg=name
        )
    outside = np.array([0, 4])
    assert np.array_equal(gates[outside], z[outside])
    assert (h[outside] == CANARY).all() and (c[outside] == CANARY).all()

    dh, dc, dc_before, left = normal(5, N, H), normal(6, N, H), normal(7, N, H), gates.copy()
    (exact.h * dh + exact.c * dc).sum().backward()
    dz, dc_exact = z_exact.grad, c_exact.grad
    wanted, kept, dh_before = dc_before + dc_exact, dc_before.copy(), np.full((N, H), np.nan, "f4")
    lstm.step_back(
        gates,
        h_before,
        c_before,
        dh_before,
        dc_before,
        dh,
        dc,
        PortsBack(*[unused] * 5),
        TANH,
        start,
        stop,
    )
    np.testing.assert_allclose(gates[inside], dz[inside], rtol=1e-6, atol=4e-6)
    np.testing.assert_allclose(dc_before[inside], wanted[inside], rtol=1e-6, atol=4e-6)
    assert np.isnan(dh_before).all()
    assert np.array_equal(gates[outside], left[outside]) and np.array_equal(
        dc_before[outside], kept[outside]
    )


@pytest.mark.parametrize("H", [16, 48, 112])
@pytest.mark.parametrize("name", CELL_NAMES)
def test_a_cell_keeps_to_its_streams(name: str, H: int) -> None:
    """Streams that are not its own are not read, being NaN, nor written; its own get the bits that
    they get among all. Ports that it says it has not are neither read nor written.
    """
    cell, N, inside, outside = cell_named(name), 5, slice(1, 4), [0, 4]
    rows = [
        f"{kind}{row}"
        for kind in ("", "d")
        for row in ("h_before", "c_before", "h", "c", "q", "m_below", "m", "y")
    ]
    whole = {row: normal(k, N, H) for k, row in enumerate(rows)}
    whole["z"] = normal(90, N, len(cell.gates) * H)
    if name == "clockwork":
        whole["c_before"] = np.random.default_rng(91).integers(3, size=(N, H)).astype(np.float32)
    p = normal(92, max(1, len(cell.peepholes)), H)
    if cell.constants is not None:
        p = cell.constants(plain_model(cell=name, hidden=H))
    part, vectors = {row: array.copy() for row, array in whole.items()}, p.copy()
    for array in part.values():
        array[outside] = np.nan
    has = {
        **dict.fromkeys(("m_below", "dm_below", "dm"), cell.reads_below),
        **dict.fromkeys(("y", "dy"), cell.has_output),
        "m": cell.keeps_memory,
        "q": cell.gated,
        "dq": cell.gated,
    }
    lacking = [row for row, is_there in has.items() if not is_there]
    poor = {row: array.copy() for row, array in whole.items()}
    for row in lacking:
        poor[row][:] = np.nan

    def walk(a: dict[str, np.ndarray], *streams: int) -> None:
        if cell.gated:
            cell.prepare(a["z"], a["h_before"], a["q"], *streams)
        cell.step(
            *(a[row] for row in ("z", "h_before", "c_before", "h", "c")),
            Ports(a["m_below"], a["y"], a["m"], p),
            SOFTSIGN,
            *streams,
        )
        rows = ("z", "h_before", "c_before", "dh_before", "dc_before", "dh", "dc")
        ports = PortsBack(a["m_below"], p, a["dy"], a["dm"], a["dm_below"])
        cell.step_back(*(a[row] for row in rows), ports, SOFTSIGN, *streams)
        if cell.gated:
            cell.prepare_back(a["z"], a["h_before"], a["dq"], a["dh_before"], *streams)

    before = {row: array.copy() for row, array in whole.items()}
    walk(whole, 0, N)
    walk(part, 1, 4)
    for row, array in part.items():
        assert np.array_equal(array[inside], whole[row][inside]), row
        assert np.isnan(array[outside]).all(), f"{row} of another stream was written"
    for row in ("h_before", "c_before", "m_below"):
        assert np.array_equal(whole[row], before[row]), f"{row} is only read"
    walk(poor, 0, N)
    for row, array in poor.items():
        wanted = np.full((N, H), np.nan) if row in lacking else whole[row]
        np.testing.assert_array_equal(array, wanted, row)
    assert np.array_equal(p, vectors) and not np.array_equal(whole["z"], before["z"])
    written = {
        row
        for row in ("h", "c", "y", "m", "dm_below")
        if not np.array_equal(whole[row], before[row])
    }
    assert {"y", "m", "dm_below"} & written == (
        ({"y"} if cell.has_output else set())
        | ({"m"} if cell.keeps_memory else set())
        | ({"dm_below"} if cell.reads_below else set())
    )
    assert "h" in written and ("c" in written or not cell.has_memory)


# Loss
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("symbols", [2, 3, 15, 16, 17, 33, 65, 130, 300])
def test_softmax_and_cross_entropy(symbols: int, smoothing: float) -> None:
    T, N, V, start, stop, steps = 4, 5, -(-symbols // 16) * 16, 1, 4, 3
    rng = np.random.default_rng(symbols)
    logits = np.full((T, N, V), np.nan, np.float32)
    logits[:, :, :symbols] = rng.standard_normal((T, N, symbols)) * 5
    logits[1, 2, :symbols] += 3000
    logits[2, 2, 0] += 80  # nearly certain
    y = rng.integers(symbols, size=(T, N)).astype(np.int32)
    y[2, 2] = symbols - 1
    losses, before = np.full((T, N), CANARY), logits.copy()
    softmax.cross_entropy(
        logits, y, losses, symbols, np.float32(0.25), np.float32(smoothing), steps, start, stop
    )

    part = np.s_[:steps, start:stop]
    exact = before[part][..., :symbols].astype(np.float64)
    nats = -np.take_along_axis(tape.log_softmax(exact), y[part][..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(losses[part], nats, rtol=1e-6, atol=1e-6)
    wanted = (1 - smoothing) * np.eye(symbols)[y[part]] + smoothing / symbols
    derivative = 0.25 * (np.exp(tape.log_softmax(exact)) - wanted)
    np.testing.assert_allclose(logits[part][..., :symbols], derivative, rtol=2e-6, atol=1e-7)
    assert (logits[part][..., symbols:] == 0).all()
    for found, kept in ((logits, before), (losses, np.full((T, N), CANARY))):
        found[part] = kept[part]
        assert np.array_equal(found, kept, equal_nan=True)


@pytest.mark.parametrize("place", [0, 1, 6])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_a_broken_logit_shows_in_the_loss(place: int, poison: float) -> None:
    """A network that diverged must not report a fair loss."""
    logits = np.zeros((1, 1, 16), np.float32)
    logits[0, 0, place] = poison
    losses = np.zeros((1, 1), np.float32)
    softmax.cross_entropy(
        logits, np.array([[3]], np.int32), losses, 7, np.float32(1), np.float32(0), 1, 0, 1
    )
    assert not np.isfinite(losses[0, 0])
    assert np.isnan(logits[0, 0, :7]).any()


# Layers
# --------------------------------------------------------------------------------------------------


def test_look_up() -> None:
    T, N, V, X, Z, start, stop, steps = 4, 5, 7, 48, 64, 1, 4, 3
    table, bias, factor = normal(1, V, X), normal(2, Z), normal(4, T, N)
    factor[:, ::2] = 1
    factor[0, 1] = factor[2, 3] = 0
    ids = np.random.default_rng(3).integers(V, size=(T, N)).astype(np.int32)
    z = np.full((T, N, Z), CANARY)
    look_up(table, bias, ids, factor, z, 0, steps, start, stop)
    part = np.s_[:steps, start:stop]
    exact = factor[part][..., None].astype(np.float64) * table[ids[part]]
    assert (
        np.abs(z[part][..., :X] - exact - bias[:X]) <= bound(2, np.abs(exact) + np.abs(bias[:X]))
    ).all()
    np.testing.assert_array_equal(
        z[part][:, 1, :X], table[ids[:steps, 2]] + bias[:X]
    )  # a factor of 1 rounds nothing
    np.testing.assert_array_equal(z[0, 1, :X], bias[:X])  # and one of 0 leaves the bias
    np.testing.assert_array_equal(
        z[part][..., X:], np.broadcast_to(bias[X:], (*ids[part].shape, Z - X))
    )
    z[part] = CANARY
    assert (z == CANARY).all()


@pytest.mark.parametrize("columns", [16, 64, 80])
def test_project_and_back(columns: int) -> None:
    """A product into the first columns of z, the rest of which holds the bias alone, and going back
    is not read.
    """
    T, N, D, Z, start, stop, steps = 5, 6, 32, 80, 1, 5, 4
    x, w, bias = normal(1, T, N, D), normal(2, D, columns), normal(3, Z)
    z, dx = np.full((T, N, Z), CANARY), np.full((T, N, D), CANARY)
    own = np.isin(np.arange(N), range(start, stop))[:, None]
    at, places = address_of(product.product), (0, steps, start, stop)
    only = np.where(own, x, np.nan)
    project(at, packed(w), bias, columns, z, only, *places)
    part = np.s_[:steps, start:stop]
    x64, w64, found = x[part].astype(np.float64), w.astype(np.float64), z[part][..., :columns]
    magnitudes = np.abs(x64) @ np.abs(w64) + np.abs(bias[:columns])
    assert (np.abs(found - (x64 @ w64 + bias[:columns])) <= bound(D + 2, magnitudes)).all()
    assert (z[part][..., columns:] == bias[columns:]).all()

    dz = np.where(own & (np.arange(Z) < columns), normal(4, T, N, Z), np.float32(np.nan))
    down = bind(
        layers.multiply,
        product=at,
        panels=packed(np.ascontiguousarray(w.T)),
        depth=columns,
        columns=D,
    )
    down(False, dz, dx, *places)
    dz64 = dz[part][..., :columns].astype(np.float64)
    assert (
        np.abs(dx[part] - dz64 @ w64.T) <= bound(columns + 1, np.abs(dz64) @ np.abs(w64.T))
    ).all()
    twice = dx.copy()
    down(True, dz, twice, *places)
    np.testing.assert_allclose(twice[part], 2 * dx[part], rtol=1e-5, atol=1e-5)
    later = np.full_like(dx, CANARY)
    down(False, dz, later, 2, *places[1:])
    assert np.array_equal(later[2:], dx[2:]) and (later[:2] == CANARY).all()
    z[part] = dx[part] = twice[part] = CANARY
    assert all((array == CANARY).all() for array in (z, dx, twice))


def weight_gradients(
    into: list[np.ndarray],
    x: np.ndarray,
    h: np.ndarray,
    dz: np.ndarray,
    *places: Any,
) -> None:
    dw_x, dw_h, (db,) = into
    layers.weight_gradients(address_of(product.product_packed), x, h, dz, dw_x, dw_h, db, *places)


@pytest.mark.parametrize(("x_column", "h_column"), [(0, 0), (0, 32), (16, 0)])
@pytest.mark.parametrize("K", [1, 2, 31, 255, 256, 257, 600])
@pytest.mark.parametrize(("D", "H"), [(0, 16), (48, 0), (16, 112), (112, 16)])
def test_weight_gradients(K: int, D: int, H: int, x_column: int, h_column: int) -> None:
    """Columns first to Z of dz, which stand x_column and h_column further left in the gradients;
    those have other columns too.
    """
    first = max(x_column, h_column)
    for Z in (16, 48, 64, 80, 144, 208):
        x, h, dz = normal(K, K, D), normal(K + 1, K, H), normal(K + 2, K, first + Z)
        used = dz[:, first:].copy()
        dz[:, :first] = np.nan
        exact = [a.T.astype(np.float64) @ used for a in (x, h, np.ones((K, 1)))]
        sizes = [np.abs(a).T.astype(np.float64) @ np.abs(used) for a in (x, h, np.ones((K, 1)))]
        places = [first - x_column, first - h_column, first]
        whole = [np.full((n, at + Z + 16), CANARY) for n, at in zip((D, H, 1), places, strict=True)]
        memory = np.full(layers.scratch_size(D, H) + 64, CANARY)
        arrays = x, h, dz, x_column, h_column, memory[: memory.size - 64]
        for start in range(0, Z, layers.COLUMNS):
            stop = min(start + layers.COLUMNS, Z)
            weight_gradients(whole, *arrays, first + start, first + stop)
            for w, at in zip(whole, places, strict=True):
                assert (w[:, at + stop :] == CANARY).all() and (w[:, :at] == CANARY).all()
        for found, at, wanted, size in zip(whole, places, exact, sizes, strict=True):
            assert (np.abs(found[:, at : at + Z] - wanted) <= bound(K + 1, size)).all(), (
                Z,
                found.shape,
            )
        assert (memory[-64:] == CANARY).all()
        # In one piece: the same bits, and a gradient that was not zero before is overwritten
        again = [np.where(w == CANARY, w, w + 1) for w in whole]
        weight_gradients(again, *arrays, first, first + Z)
        assert all(np.array_equal(a, w) for a, w in zip(again, whole, strict=True))


def test_table_gradient() -> None:
    K, V, Z = 200, 9, 80
    # the last symbol does not occur
    ids = np.random.default_rng(1).integers(V - 1, size=K).astype(np.int32)
    dz, factor = (
        normal(2, K, Z),
        np.random.default_rng(3).choice(np.array([0, 1, 1.25], np.float32), K),
    )
    d_table = np.full((V, Z), CANARY)
    layers.table_gradient(ids, factor, dz, d_table, 16, 64)
    assert (d_table[:, :16] == CANARY).all() and (d_table[:, 64:] == CANARY).all()
    seen = np.eye(V)[ids].T * factor
    assert (
        np.abs(d_table - seen @ dz)[:, 16:64] <= bound(K + 1, seen @ np.abs(dz))[:, 16:64]
    ).all()
    assert (d_table[-1, 16:64] == 0).all()


@pytest.mark.parametrize("K", [1, 31, 300])
@pytest.mark.parametrize("column", [0, 48, 96])
def test_peephole_gradient(K: int, column: int) -> None:
    """The sum over all steps and streams of dz, of one gate, times the memory that the gate saw."""
    H, start, stop = 48, 16, 48
    dz, memory, d = normal(1, K, 144), normal(2, K, H), np.full(H, CANARY)
    gate = dz[:, column : column + H].astype(np.float64)
    hidden = np.isin(np.arange(144), range(column + start, column + stop))
    layers.peephole_gradient(
        np.where(hidden, dz, np.float32(np.nan)), memory, d, column, start, stop
    )
    wanted, size = (gate * memory).sum(axis=0), np.abs(gate * memory).sum(axis=0)
    assert (d[:start] == CANARY).all()
    assert (np.abs(d - wanted)[start:stop] <= bound(K, size)[start:stop]).all()
    again = d + 1
    layers.peephole_gradient(dz, memory, again, column, start, stop)
    assert np.array_equal(again[start:stop], d[start:stop]), (
        "what stood there before is overwritten"
    )


# Dropout
# --------------------------------------------------------------------------------------------------


def murmur(key: int, shape: tuple[int, ...]) -> np.ndarray:
    """The hash of every place as its docstring states it, in 32 bits kept by hand."""
    u32, x = (1 << 32) - 1, np.arange(np.prod(shape), dtype=np.uint64)
    x = (x * 0x9E3779B1 + key) & u32
    for last in (key, 0):
        x = ((x ^ (x >> np.uint64(16))) * 0x85EBCA6B) & u32
        x = ((x ^ (x >> np.uint64(13))) * 0xC2B2AE35) & u32
        x = ((x ^ (x >> np.uint64(16))) + last) & u32
    return x.reshape(shape)


def mask_of(key: int, rate: float, shape: tuple[int, int, int]) -> np.ndarray:
    mask = np.full(shape, CANARY)
    layers.draw_mask(
        np.uint32(key),
        np.uint32(rate * 2**32),
        np.float32(1 / (1 - rate)),
        mask,
        shape[0],
        0,
        shape[1],
    )
    return mask


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("key", [0, 12345, 2**32 - 1])
def test_masks_drop_their_share(rate: float, key: int) -> None:
    shape = (16, 8, 256)
    mask = mask_of(key, rate, shape)
    scale = np.float32(1 / (1 - rate))
    np.testing.assert_array_equal(
        mask, np.where(murmur(key, shape) >= np.uint64(rate * 2**32), scale, 0)
    )
    deviation = (rate * (1 - rate) / mask.size) ** 0.5
    assert abs((mask == 0).mean() - rate) < 5 * deviation
    for axis in (
        (0, 1),
        (1, 2),
        (0, 2),
    ):  # no unit, step or stream is favoured: 7 deviations cover 280 tries
        share = (mask == 0).mean(axis=axis)
        assert np.abs(share - rate).max() < 7 * (rate * (1 - rate) * share.size / mask.size) ** 0.5


def test_masks_of_different_keys_and_neighboring_places_are_independent() -> None:
    shape = (16, 8, 256)
    first = mask_of(1, 0.5, shape) > 0
    others = [mask_of(key, 0.5, shape) > 0 for key in (2, 3, 1 + 0x9E3779B1, 2**31)]
    for agree in [
        *(first == other for other in others),
        first[1:] == first[:-1],
        first[:, :, 1:] == first[:, :, :-1],
    ]:
        assert abs(agree.mean() - 0.5) < 5 * 0.5 / agree.size**0.5


def test_a_mask_may_be_drawn_in_parts() -> None:
    whole, parts = mask_of(7, 0.5, (5, 6, 32)), np.full((5, 6, 32), CANARY)
    draw = np.uint32(7), np.uint32(2**31), np.float32(2)
    layers.draw_mask(*draw, parts, 4, 1, 3)
    assert (parts[:, [0, 3, 4, 5]] == CANARY).all() and (parts[4] == CANARY).all()
    for start, stop in ((0, 1), (3, 6), (1, 3)):
        layers.draw_mask(*draw, parts, 5, start, stop)
    assert np.array_equal(parts, whole)


EMPTY = np.zeros((0, 0, 0), np.float32)


@pytest.mark.parametrize("drawn", [0, 1, 4], ids=["unmasked", "one mask", "a mask a step"])
@pytest.mark.parametrize("residual", [False, True])
def test_hand_up_and_back(drawn: int, residual: bool) -> None:
    T, N, H, steps, start, stop = 4, 5, 32, 3, 1, 4
    own = np.isin(np.arange(N), range(start, stop))[:, None]
    y, mask, below = (
        np.where(own, normal(seed, T, N, H), np.float32(np.nan)) for seed in (1, 2, 3)
    )
    mask, out, part = (
        mask[:drawn] if drawn else EMPTY,
        np.full((T, N, H), CANARY),
        np.s_[:steps, start:stop],
    )
    layers.hand_up(y, mask, below if residual else EMPTY, out, 0, steps, start, stop)
    factor = mask[:steps, start:stop] if drawn else np.float32(1)
    np.testing.assert_array_equal(out[part], y[part] * factor + (below[part] if residual else 0))
    out[part] = CANARY
    assert (out == CANARY).all()
    dy, kept = normal(3, T, N, H), np.full((T, N, H), CANARY)
    before, expected, expected_kept = dy.copy(), dy.copy(), kept.copy()
    expected[part] *= factor
    if residual:
        expected_kept[part] = before[part]
    layers.hand_back(y, mask, kept if residual else EMPTY, dy, 0, steps, start, stop)
    np.testing.assert_array_equal(dy, expected)
    np.testing.assert_array_equal(kept, expected_kept)


@pytest.mark.parametrize("units", [17, 31, 32])
def test_outputs_are_normalized(units: int) -> None:
    """Against float64, there and back (the derivative by differences); behind the units there is
    nothing.
    """
    T, N, H, steps, start, stop = 3, 5, 32, 2, 1, 4
    part, own = np.s_[:steps, start:stop, :units], np.s_[:steps, start:stop]
    y, dy = (normal(seed, T, N, H) * np.float32(3) + np.float32(2) for seed in (1, 2))
    y[..., units:] = dy[..., units:] = 0

    def normalized(a: np.ndarray) -> np.ndarray:
        centred = a - a.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

    out = np.full((T, N, H), CANARY)
    layers.hand_up(y, EMPTY, EMPTY, out, units, steps, start, stop)
    np.testing.assert_allclose(
        out[part], normalized(y[part].astype(np.float64)), rtol=2e-6, atol=2e-6
    )
    assert (out[own][..., units:] == 0).all()
    out[own] = CANARY
    assert (out == CANARY).all()
    exact, found, step = y[part].astype(np.float64), dy.copy(), 1e-5
    expected = np.empty_like(exact)
    for u in range(units):
        moved = [exact + sign * step * (np.arange(units) == u) for sign in (1, -1)]
        expected[..., u] = ((normalized(moved[0]) - normalized(moved[1])) * dy[part]).sum(-1) / (
            2 * step
        )
    layers.hand_back(y, EMPTY, EMPTY, found, units, steps, start, stop)
    np.testing.assert_allclose(found[part], expected, rtol=1e-5, atol=1e-5)
    assert (found[own][..., units:] == 0).all()
    found[own] = dy[own]
    assert (found == dy).all()


def test_a_row_of_equal_numbers_is_normalized_to_zero() -> None:
    y, out = np.full((1, 1, 32), 0.7, np.float32), np.full((1, 1, 32), CANARY)
    layers.hand_up(y, EMPTY, EMPTY, out, 32, 1, 0, 1)
    assert (out == 0).all()


def test_rows_are_added() -> None:
    T, N, H, steps, start, stop = 4, 5, 32, 3, 1, 4
    part, before = np.s_[:steps, start:stop], normal(1, T, N, H)
    other = np.where(
        np.isin(np.arange(N), range(start, stop))[:, None], normal(2, T, N, H), np.float32(np.nan)
    )
    found, expected = before.copy(), before.copy()
    expected[part] = (before + other)[part]
    layers.add_rows(found, other, steps, start, stop)
    np.testing.assert_array_equal(found, expected)


# Updates
# --------------------------------------------------------------------------------------------------

# the numbers that the kernel gets
BETA1, BETA2, EPSILON = (float(np.float32(b)) for b in (0.9, 0.999, 1e-8))


def rule(step: int, learning_rate: float) -> tuple[np.float32, ...]:
    rate, correction = learning_rate / (1 - BETA1**step), 1 / (1 - BETA2**step) ** 0.5
    numbers = BETA1, 1 - BETA1, BETA2, 1 - BETA2, EPSILON, rate, correction
    return tuple(map(np.float32, numbers))


@pytest.mark.parametrize("size", [16, 4080, 4096, 4112, 10_000])
@pytest.mark.parametrize("clip_value", [np.inf, 0.5])
def test_square_sums(size: int, clip_value: float) -> None:
    gradient = normal(size, size)
    blocks = -(-size // update.BLOCK)
    sums = np.full(blocks + 2, -1.0)
    for start, stop in ((0, blocks // 2), (blocks // 2, blocks)):
        update.square_sums(gradient, np.float32(clip_value), sums, start, stop)
    clamped = np.clip(gradient.astype(np.float64), -clip_value, clip_value)
    for block in range(blocks):
        part = clamped[block * update.BLOCK : (block + 1) * update.BLOCK]
        assert sums[block] == pytest.approx(part @ part, rel=1e-12)
    assert (sums[blocks:] == -1).all()
    gradient[-1] = np.nan
    update.square_sums(gradient, np.float32(clip_value), sums, 0, blocks)
    assert np.isnan(sums[blocks - 1])


@pytest.mark.parametrize(
    ("clip_norm", "clip_value"), [(0.0, 0.0), (0.0, 0.3), (2.0, 0.0), (2.0, 0.3), (1e6, 0.0)]
)
def test_five_steps_of_adam(clip_norm: float, clip_value: float) -> None:
    size, learning_rate = 5008, 0.01
    w = normal(1, size)
    m, v = np.zeros(size, np.float32), np.zeros(size, np.float32)
    exact = w.astype(np.float64)
    slots: dict[str, np.ndarray] = {}
    settings = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON}
    limit = np.float32(clip_value or np.inf)
    sums = np.zeros(-(-size // update.BLOCK))
    for step in range(1, 6):
        gradient = normal(10 + step, size) * np.geomspace(1e-6, 10, size, dtype=np.float32)
        kept = gradient.copy()
        update.square_sums(gradient, limit, sums, 0, sums.size)
        norm = sums.sum() ** 0.5
        scale = np.float32(min(1, clip_norm / norm) if clip_norm else 1)
        for start, stop in ((0, 1000), (1000, 1000), (1000, size)):
            adam.adam(w, gradient, m, v, rule(step, learning_rate), limit, scale, start, stop)
        assert np.array_equal(gradient, kept)

        limited = float(limit) if clip_value else 0
        clipped = optimizers.clip({"w": gradient}, clip_norm, limited)["w"]
        exact = optimizers.step("adam", exact, clipped, slots, step, learning_rate, 1.0, **settings)
        # m is a sum of both signs: its error is relative to the largest gradient of its element,
        # sqrt(v) its measure
        size_of_m = np.sqrt(slots["v"] / (1 - BETA2))
        assert (np.abs(m - slots["m"]) <= 1e-6 * size_of_m).all()
        np.testing.assert_allclose(v, slots["v"], rtol=2e-6)
        # each step rounds w once, and moves it by at most some learning rates, right to 1e-5
        assert (np.abs(w - exact) <= step * (2 * U * np.abs(exact) + 1e-5 * learning_rate)).all()


def test_adam_leaves_the_rest_alone_and_passes_nan_on() -> None:
    w, gradient, m, v = (normal(seed, 64) for seed in range(4))
    v = np.abs(v)
    before = [a.copy() for a in (w, m, v)]
    gradient[20] = np.nan
    adam.adam(w, gradient, m, v, rule(1, 0.01), np.float32(1), np.float32(1), 16, 48)
    for found, kept in zip((w, m, v), before, strict=True):
        assert np.array_equal(found[:16], kept[:16]) and np.array_equal(found[48:], kept[48:])
        assert (found[16:48] != kept[16:48]).all()
        assert np.flatnonzero(np.isnan(found)).tolist() == [20]

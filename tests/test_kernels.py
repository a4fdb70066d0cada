"""Every kernel against NumPy float64, at every remainder, between canaries.

Tolerances of sums are the a-priori bound of Higham 2002, section 3.1: a chain of n float32 operations errs by at most
n u / (1 - n u) times the sum of the magnitudes, u = 2^-24. What a kernel must not read is NaN, what it must not write
holds a canary.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from numba import njit

from charrnn import cells, kernels
from charrnn.kernels import adam, layers, pointwise, product, softmax, update
from charrnn.kernels.compiling import count_kernels
from charrnn.kernels.product import pack, pack_transposed
from charrnn.kernels.simd import HAS_FMA, LANES, NR
from tests import reference

CANARY = np.float32(-777.25)
U = 2.0**-24
COLUMNS = range(16, 161, 16)


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


def windows(memory: np.ndarray, step: int, row: int, column: int, shape: tuple[int, int, int]) -> np.ndarray:
    """A view (steps, rows, columns) of flat memory with these strides, in floats."""
    return np.lib.stride_tricks.as_strided(memory, shape, [4 * step, 4 * row, 4 * column])


# What is a kernel ---------------------------------------------------------------------------------------------------


def test_every_kernel_is_counted_and_releases_the_gil() -> None:
    names = [f"{package.__name__}.{m.name}" for package in (kernels, cells) for m in iter_modules(package.__path__)]
    found = [
        value
        for module in map(import_module, names)
        for value in vars(module).values()
        if hasattr(value, "py_func") and not value._can_compile and value.py_func.__module__ == module.__name__
    ]
    each = [count_kernels(optimizer) - count_kernels() for optimizer in ("adam", "sgd", "rmsprop")]
    assert len(found) == count_kernels() + sum(each) > 10 and min(each) > 0
    assert all(kernel.targetoptions["nogil"] for kernel in found)


# The product --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("accumulate", [0, 1])
def test_product_at_every_remainder(transposed: bool, accumulate: int) -> None:
    rng = np.random.default_rng(1)
    numbers = rng.standard_normal(60_000, np.float32)
    for columns in COLUMNS:
        for depth in range(1, 34):
            b = rng.standard_normal((depth, columns), np.float32)
            panels = packed(b)
            for rows in range(1, 14):
                steps = 1 + (rows + depth) % 3
                a_row, a_col = (1, rows + 2) if transposed else (depth + 3, 1)
                a_step = rows * a_row + depth * a_col + 5
                c_row = columns + 7
                c_step = rows * c_row + 9
                a_memory = np.full(steps * a_step, np.nan, np.float32)
                a = windows(a_memory, a_step, a_row, a_col, (steps, rows, depth))
                a[:] = numbers[: a.size].reshape(a.shape)
                c_memory = np.full(64 + steps * c_step + 64, CANARY)
                c = windows(c_memory[64:], c_step, c_row, 1, (steps, rows, columns))
                c[:] = numbers[-c.size :].reshape(c.shape) if accumulate else np.nan
                start = c.astype(np.float64) * accumulate if accumulate else np.zeros(c.shape)

                product.product(
                    a_memory.ctypes.data, a_row, a_col, a_step, panels,
                    c_memory.ctypes.data + 4 * 64, c_row, c_step, steps, rows, depth, columns, accumulate,
                )  # fmt: skip

                # A fused multiply-add rounds once; two roundings are allowed for machines without it
                a64, b64 = a.astype(np.float64), b.astype(np.float64)
                magnitudes = np.abs(start) + np.abs(a64) @ np.abs(b64)
                wrong = np.abs(c - (start + a64 @ b64)) > bound(depth + 1, magnitudes)
                assert not wrong.any(), (rows, columns, depth, steps)
                c[:] = CANARY
                assert (c_memory == CANARY).all(), f"written outside C: {rows} rows, {columns} columns, {steps} steps"


def test_the_bits_of_a_product_do_not_depend_on_its_tiles() -> None:
    """Nor on a cut of the depth: what results that are the same on any number of threads rest on."""
    rows, depth, columns = 13, 33, 144
    a, b = normal(2, rows, depth), normal(3, depth, columns)

    def multiply(a: np.ndarray, b: np.ndarray, c: np.ndarray, accumulate: int) -> None:
        (rows, depth), columns = a.shape, b.shape[1]
        address, panels = c.ctypes.data, packed(b)
        row = a.strides[0] // 4
        product.product(a.ctypes.data, row, 1, 0, panels, address, columns, 0, 1, rows, depth, columns, accumulate)

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


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("K", [1, 2, 33, 63, 64, 65, 130])
def test_pack(K: int, transposed: bool) -> None:
    for N in [*COLUMNS, 208]:
        matrix = normal(K * N, K, N)
        source = np.ascontiguousarray(matrix.T) if transposed else matrix
        kernel = pack_transposed if transposed else pack
        expected = packed(matrix, tail=0)
        for cut in range(0, N + NR, NR):
            panels = np.full(K * N + 32, CANARY)
            kernel(source, panels, min(cut, N), N)
            done = min(cut, N) * K
            assert (panels[:done] == CANARY).all() and (panels[K * N :] == CANARY).all()
            np.testing.assert_array_equal(panels[done : K * N], expected[done:])
            kernel(source, panels, 0, min(cut, N))
            np.testing.assert_array_equal(panels[: K * N], expected)


# Nonlinearities -----------------------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-39, 1.17549435e-38, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 9.0, -9.0]


def dense(low: float, high: float) -> np.ndarray:
    """Numbers at even distances and at even ratios, their neighbours in float32 at the clamps, and the special ones."""
    even = np.linspace(low, high, 400_001)
    ratios = np.concatenate([s * np.geomspace(1e-44, abs(low), 100_001) for s in ((-1, 1) if high > 0 else (-1,))])
    clamps = np.array([8.999999, 9, 9.000001, 17.999998, 18, 18.000002, 86.99999, 87, 87.00001], np.float32)
    numbers = np.concatenate([even, ratios, clamps * -1, clamps if high > 0 else [], SPECIAL]).astype(np.float32)
    return numbers if high > 0 else numbers[~(numbers > 0)]


@njit
def map_exp(x: np.ndarray) -> None:
    for k in range(x.size):
        x[k] = pointwise.exp(x[k])


def test_tanh() -> None:
    x = dense(-30, 30)
    y = x.copy()
    pointwise.tanh_row(y)
    exact = np.tanh(x.astype(np.float64))
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    assert np.nanmax(np.abs(y - exact)) < 3.1e-7
    # Near zero, where gates of a new network live, every digit counts; denormals may lose their last bit
    assert np.nanmax(np.abs(y - exact) - 6e-7 * np.abs(exact)) <= 1.5e-45
    assert np.nanmax(np.abs(y)) <= 1
    assert np.array_equal(np.signbit(y[x == 0]), np.signbit(x[x == 0]))
    assert y[x == np.inf] >= 1 - U and y[x == -np.inf] <= U - 1
    row = -np.sort(-x[np.isfinite(x)])
    odd = -row
    pointwise.tanh_row(row), pointwise.tanh_row(odd)
    assert np.array_equal(row, -odd)


def test_sigmoid() -> None:
    x = dense(-60, 60)
    y = x.copy()
    pointwise.sigmoid_row(y)
    exact = reference.sigmoid(x.astype(np.float64))
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    assert np.nanmax(np.abs(y - exact)) < 2.2e-7  # half of tanh's error, and one rounding
    assert np.nanmin(y) >= 0 and np.nanmax(y) <= 1
    assert y[x == np.inf] == 1 and y[x == -np.inf] < U and (y[x == 0] == 0.5).all()


def test_exp() -> None:
    x = dense(-120, 0)
    y = x.copy()
    map_exp(y)
    exact = np.exp(np.maximum(x.astype(np.float64), -87))
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.isnan(x).any()
    assert np.nanmax(np.abs(y / exact - 1)) < (4 if HAS_FMA else 5) * U
    assert (y[x == 0] == 1).all()
    assert y[x == -np.inf] == y[x == -87][0] > 0


def test_rows_have_the_same_bits_wherever_they_start() -> None:
    """Vector code and the scalars at a loop's end must agree, or the padding would change results."""
    x = normal(4, 130) * 4
    for function in (pointwise.tanh_row, pointwise.sigmoid_row, map_exp):
        x = -np.abs(x) if function is map_exp else x
        whole = x.copy()
        function(whole)
        for start, stop in ((0, 1), (1, 17), (3, 34), (7, 130), (64, 79)):
            part = x[start:stop].copy()
            function(part)
            assert np.array_equal(part, whole[start:stop])


# The cell -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("H", [16, 48, 112])
def test_lstm_step_and_back(H: int) -> None:
    N, start, stop = 5, 1, 4
    z, h_before, c_before = normal(1, N, 4 * H) * 2, normal(2, N, H), normal(3, N, H)
    h, c = np.full((N, H), CANARY), np.full((N, H), CANARY)
    gates, inside = z.copy(), slice(start, stop)
    cells.lstm.step(gates, h_before, c_before, h, c, start, stop)

    exact = reference.lstm_step(z.astype(np.float64), c_before.astype(np.float64))
    expected = np.concatenate([exact.i, exact.f, exact.g, exact.o], axis=1)
    for name, found, wanted in (("gates", gates, expected), ("h", h, exact.h), ("c", c, exact.c)):
        np.testing.assert_allclose(found[inside], wanted[inside], rtol=1e-6, atol=1e-6, err_msg=name)
    outside = np.array([0, 4])
    assert np.array_equal(gates[outside], z[outside])
    assert (h[outside] == CANARY).all() and (c[outside] == CANARY).all()

    dh, dc, left = normal(5, N, H), normal(6, N, H), gates.copy()
    dh_before, dc_before = dh.copy(), dc.copy()
    cells.lstm.step_back(gates, h_before, c_before, h, c, dh, dc, start, stop)
    dz, dc_exact = reference.lstm_step_back(exact, dh.astype(np.float64), dc_before.astype(np.float64))
    np.testing.assert_allclose(gates[inside], dz[inside], rtol=1e-6, atol=4e-6)
    np.testing.assert_allclose(dc[inside], dc_exact[inside], rtol=1e-6, atol=4e-6)
    assert np.array_equal(dh, dh_before)
    assert np.array_equal(gates[outside], left[outside]) and np.array_equal(dc[outside], dc_before[outside])


# Loss ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbols", [2, 3, 15, 16, 17, 33, 65, 130, 300])
def test_softmax_and_cross_entropy(symbols: int) -> None:
    T, N, V, start, stop, steps = 4, 5, -(-symbols // 16) * 16, 1, 4, 3
    rng = np.random.default_rng(symbols)
    logits = np.full((T, N, V), np.nan, np.float32)
    logits[:, :, :symbols] = rng.standard_normal((T, N, symbols)) * 5
    logits[1, 2, :symbols] += 3000
    logits[2, 2, 0] += 80  # nearly certain
    y = rng.integers(symbols, size=(T, N)).astype(np.int32)
    y[2, 2] = symbols - 1
    losses, before = np.full((T, N), CANARY), logits.copy()
    softmax.cross_entropy(logits, y, losses, symbols, np.float32(0.25), steps, start, stop)

    part = np.s_[:steps, start:stop]
    exact = before[part][..., :symbols].astype(np.float64)
    nats = -np.take_along_axis(reference.log_softmax(exact), y[part][..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(losses[part], nats, rtol=1e-6, atol=1e-6)
    derivative = 0.25 * (np.exp(reference.log_softmax(exact)) - np.eye(symbols)[y[part]])
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
    softmax.cross_entropy(logits, np.array([[3]], np.int32), losses, 7, np.float32(1), 1, 0, 1)
    assert not np.isfinite(losses[0, 0])
    assert np.isnan(logits[0, 0, :7]).any()


# Layers -------------------------------------------------------------------------------------------------------------


def test_look_up() -> None:
    T, N, V, Z, start, stop, steps = 4, 5, 7, 48, 1, 4, 3
    table, bias = normal(1, V, Z), normal(2, Z)
    ids = np.random.default_rng(3).integers(V, size=(T, N)).astype(np.int32)
    z = np.full((T, N, Z), CANARY)
    layers.look_up(table, bias, ids, z, steps, start, stop)
    part = np.s_[:steps, start:stop]
    np.testing.assert_array_equal(z[part], table[ids[part]] + bias)
    z[part] = CANARY
    assert (z == CANARY).all()


@pytest.mark.parametrize("offset", [0, 1])
def test_project_and_back(offset: int) -> None:
    T, N, D, Z, start, stop, steps = 5, 6, 32, 80, 1, 5, 4
    x, w, bias = normal(1, T, N, D), normal(2, D, Z), normal(3, Z)
    z, dx = np.full((T, N, Z), CANARY), np.full((T, N, D), CANARY)
    layers.project(product.product, x, packed(w), bias, z, offset, steps, start, stop)
    part, source = np.s_[:steps, start:stop], np.s_[offset : offset + steps, start:stop]
    x64, w64, z_part = x[source].astype(np.float64), w.astype(np.float64), z[part].copy()
    assert (np.abs(z_part - (x64 @ w64 + bias)) <= bound(D + 2, np.abs(x64) @ np.abs(w64) + np.abs(bias))).all()

    dz = np.where(np.isin(np.arange(N), range(start, stop))[:, None], normal(4, T, N, Z), np.float32(np.nan))
    layers.project_back(product.product, dz, packed(np.ascontiguousarray(w.T)), dx, steps, start, stop)
    dz64 = dz[part].astype(np.float64)
    assert (np.abs(dx[part] - dz64 @ w64.T) <= bound(Z + 1, np.abs(dz64) @ np.abs(w64.T))).all()
    z[part] = dx[part] = CANARY
    assert (z == CANARY).all() and (dx == CANARY).all()


@pytest.mark.parametrize("K", [1, 2, 31, 127, 128, 129, 300])
@pytest.mark.parametrize(("D", "H"), [(0, 16), (48, 0), (16, 112), (112, 16)])
def test_weight_gradients(K: int, D: int, H: int) -> None:
    for Z in (16, 48, 64, 80, 144, 208):
        x, h, dz = normal(K, K, D), normal(K + 1, K, H), normal(K + 2, K, Z)
        exact = [a.T.astype(np.float64) @ dz for a in (x, h, np.ones((K, 1)))]
        sizes = [np.abs(a).T.astype(np.float64) @ np.abs(dz) for a in (x, h, np.ones((K, 1)))]
        whole = [np.full(shape, CANARY) for shape in ((D, Z), (H, Z), (1, Z))]
        memory = np.full(layers.DEPTH * (layers.COLUMNS + D + H) + 64, CANARY)
        scratch = memory[: memory.size - 64]
        for start in range(0, Z, layers.COLUMNS):
            stop = min(start + layers.COLUMNS, Z)
            later = [w[:, stop:].copy() for w in whole]
            layers.weight_gradients(product.product, x, h, dz, whole[0], whole[1], whole[2][0], scratch, start, stop)
            assert all((w[:, stop:] == kept).all() for w, kept in zip(whole, later, strict=True))
        for found, wanted, size in zip(whole, exact, sizes, strict=True):
            assert (np.abs(found - wanted) <= bound(K + 1, size)).all(), (Z, found.shape)
        assert (memory[-64:] == CANARY).all()
        # In one piece: the same bits, and a gradient that was not zero before is overwritten
        again = [w + 1 for w in whole]
        layers.weight_gradients(product.product, x, h, dz, again[0], again[1], again[2][0], scratch, 0, Z)
        assert all(np.array_equal(a, w) for a, w in zip(again, whole, strict=True))


def test_table_gradient() -> None:
    K, V, Z = 200, 9, 80
    ids = np.random.default_rng(1).integers(V - 1, size=K).astype(np.int32)  # the last symbol does not occur
    dz = normal(2, K, Z)
    d_table = np.full((V, Z), CANARY)
    layers.table_gradient(ids, dz, d_table, 16, 64)
    assert (d_table[:, :16] == CANARY).all() and (d_table[:, 64:] == CANARY).all()
    one_hot = np.eye(V)[ids].T
    assert (np.abs(d_table - one_hot @ dz)[:, 16:64] <= bound(K, one_hot @ np.abs(dz))[:, 16:64]).all()
    assert (d_table[-1, 16:64] == 0).all()


# Dropout ------------------------------------------------------------------------------------------------------------


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
    layers.draw_mask(np.uint32(key), np.uint32(rate * 2**32), np.float32(1 / (1 - rate)), mask, shape[0], 0, shape[1])
    return mask


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("key", [0, 12345, 2**32 - 1])
def test_masks_drop_their_share(rate: float, key: int) -> None:
    shape = (16, 8, 256)
    mask = mask_of(key, rate, shape)
    scale = np.float32(1 / (1 - rate))
    np.testing.assert_array_equal(mask, np.where(murmur(key, shape) >= np.uint64(rate * 2**32), scale, 0))
    deviation = (rate * (1 - rate) / mask.size) ** 0.5
    assert abs((mask == 0).mean() - rate) < 5 * deviation
    for axis in ((0, 1), (1, 2), (0, 2)):  # no unit, step or stream is favoured: 7 deviations cover 280 tries
        share = (mask == 0).mean(axis=axis)
        assert np.abs(share - rate).max() < 7 * (rate * (1 - rate) * share.size / mask.size) ** 0.5


def test_masks_of_different_keys_and_neighbouring_places_are_independent() -> None:
    shape = (16, 8, 256)
    first = mask_of(1, 0.5, shape) > 0
    others = [mask_of(key, 0.5, shape) > 0 for key in (2, 3, 1 + 0x9E3779B1, 2**31)]
    for agree in [*(first == other for other in others), first[1:] == first[:-1], first[:, :, 1:] == first[:, :, :-1]]:
        assert abs(agree.mean() - 0.5) < 5 * 0.5 / agree.size**0.5


def test_a_mask_may_be_drawn_in_parts() -> None:
    whole, parts = mask_of(7, 0.5, (5, 6, 32)), np.full((5, 6, 32), CANARY)
    draw = np.uint32(7), np.uint32(2**31), np.float32(2)
    layers.draw_mask(*draw, parts, 4, 1, 3)
    assert (parts[:, [0, 3, 4, 5]] == CANARY).all() and (parts[4] == CANARY).all()
    for start, stop in ((0, 1), (3, 6), (1, 3)):
        layers.draw_mask(*draw, parts, 5, start, stop)
    assert np.array_equal(parts, whole)


def test_drop_and_back() -> None:
    T, N, H, steps, start, stop = 4, 5, 32, 3, 1, 4
    h, mask, x = normal(1, T + 1, N, H), normal(2, T, N, H), np.full((T, N, H), CANARY)
    part = np.s_[:steps, start:stop]
    layers.drop(h, mask, x, steps, start, stop)
    np.testing.assert_array_equal(x[part], h[1 : steps + 1, start:stop] * mask[part])
    dx = normal(3, T, N, H)
    expected = dx.copy()
    expected[part] *= mask[part]
    layers.drop_back(dx, mask, steps, start, stop)
    np.testing.assert_array_equal(dx, expected)
    x[part] = CANARY
    assert (x == CANARY).all()


# Updates ------------------------------------------------------------------------------------------------------------

BETA1, BETA2, EPSILON = (float(np.float32(b)) for b in (0.9, 0.999, 1e-8))  # the numbers that the kernel gets


def rule(step: int, learning_rate: float) -> np.ndarray:
    rate, correction = learning_rate / (1 - BETA1**step), 1 / (1 - BETA2**step) ** 0.5
    return np.array([BETA1, BETA2, EPSILON, rate, correction], np.float32)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 10_000])
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


@pytest.mark.parametrize(("clip_norm", "clip_value"), [(0.0, 0.0), (0.0, 0.3), (2.0, 0.0), (2.0, 0.3), (1e6, 0.0)])
def test_five_steps_of_adam(clip_norm: float, clip_value: float) -> None:
    size, learning_rate = 5003, 0.01
    w = normal(1, size)
    m, v = np.zeros(size, np.float32), np.zeros(size, np.float32)
    exact, slots = {"w": w.astype(np.float64)}, {}
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

        clipped = reference.clip({"w": gradient}, clip_norm, float(limit) if clip_value else 0)
        exact, slots = reference.adam(exact, clipped, slots, step, learning_rate, BETA1, BETA2, EPSILON)
        # m is a sum of both signs: its error is relative to the largest gradient of its element, sqrt(v) its measure
        size_of_m = np.sqrt(slots["w"][1] / (1 - BETA2))
        assert (np.abs(m - slots["w"][0]) <= 1e-6 * size_of_m).all()
        np.testing.assert_allclose(v, slots["w"][1], rtol=2e-6)
        # each step rounds w once, and moves it by at most some learning rates, right to 1e-5
        assert (np.abs(w - exact["w"]) <= step * (2 * U * np.abs(exact["w"]) + 1e-5 * learning_rate)).all()


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

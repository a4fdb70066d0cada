"""The flat vector of parameters, its padding, and the way to disk and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from charrnn import parameters
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.kernels import simd
from charrnn.kernels.simd import padded
from charrnn.parameters import Parameters, Tensor, aligned, tensors_of
from tests import reference

SHAPES = [(V, E, H, L) for V in (2, 17) for E in (0, 1, 16, 20) for H in (1, 5, 16, 33) for L in (1, 3)]


def make(V: int, E: int, H: int, L: int) -> Parameters:
    return Parameters(tensors_of(ModelConfig(vocab_size=V, embedding=E, hidden=H, layers=L), gates=4))


def on_disk(V: int, E: int, H: int, L: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random arrays in PyTorch's shapes, none of them with a zero."""
    arrays = reference.random_parameters(np.random.default_rng(seed), V, E, H, L)
    return {name: np.where(array == 0, 1, array).astype(np.float32) for name, array in arrays.items()}


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 16), (15, 16), (16, 16), (17, 32), (160, 160), (161, 176)])
def test_padded(size: int, expected: int) -> None:
    assert padded(size) == simd.padded(size) == expected


def test_the_lanes_of_parameters_are_those_of_the_kernels() -> None:
    assert parameters.LANES == simd.LANES


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 16)])
def test_aligned(shape: tuple[int, ...]) -> None:
    kept = [aligned(*shape) for _ in range(20)]  # kept, so that each lies elsewhere
    for array in kept:
        assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous
        assert array.ctypes.data % 64 == 0 and not array.any()


@pytest.mark.parametrize(("V", "E", "H", "L"), SHAPES)
def test_disk_to_memory_and_back(V: int, E: int, H: int, L: int) -> None:
    arrays, memory = on_disk(V, E, H, L), make(V, E, H, L)
    memory.from_disk(arrays)
    written = dict(memory.to_disk())
    assert list(written) == list(arrays)  # the same names in the same order as the reference
    for name, array in arrays.items():
        assert written[name].flags.c_contiguous and written[name].dtype == np.float32
        np.testing.assert_array_equal(written[name], array, err_msg=name, strict=True)
        assert not np.shares_memory(written[name], memory.flat)
    numbers = sum(array.size for array in arrays.values())
    assert memory.count() == numbers
    assert np.count_nonzero(memory.flat) == numbers, "something was written into the padding, or over something else"
    assert memory.flat.astype(np.float64).sum() == pytest.approx(
        sum(array.sum(dtype=np.float64) for array in arrays.values()), abs=1e-9
    )


def test_a_weight_in_memory_is_transposed_with_every_gate_padded() -> None:
    V, E, H = 7, 3, 5
    arrays, memory = on_disk(V, E, H, 2), make(V, E, H, 2)
    memory.from_disk(arrays)
    for gate in range(4):
        rows, columns = slice(gate * H, gate * H + H), slice(gate * 16, gate * 16 + H)
        for layer, D in ((0, E), (1, H)):
            W_x, W_h = arrays[f"rnn.weight_ih_l{layer}"], arrays[f"rnn.weight_hh_l{layer}"]
            np.testing.assert_array_equal(memory[f"rnn.weight_ih_l{layer}"][:D, columns], W_x[rows].T)
            np.testing.assert_array_equal(memory[f"rnn.weight_hh_l{layer}"][:H, columns], W_h[rows].T)
            bias = arrays[f"rnn.bias_ih_l{layer}"]
            np.testing.assert_array_equal(memory[f"rnn.bias_ih_l{layer}"][columns], bias[rows])
    np.testing.assert_array_equal(memory["decoder.weight"][:H, :V], arrays["decoder.weight"].T)
    np.testing.assert_array_equal(memory["decoder.bias"][:V], arrays["decoder.bias"])
    np.testing.assert_array_equal(memory["embedding.weight"][:, :E], arrays["embedding.weight"])


def test_names_and_shapes_are_pytorchs() -> None:
    """As `torch.nn.LSTM(D, H, num_layers=2)` states them, `bias_hh` left out."""
    V, E, H = 7, 3, 5
    lstm = {"weight_ih_l0": (20, 3), "weight_hh_l0": (20, 5), "bias_ih_l0": (20,)}
    lstm |= {"weight_ih_l1": (20, 5), "weight_hh_l1": (20, 5), "bias_ih_l1": (20,)}
    expected = {f"rnn.{name}": shape for name, shape in lstm.items()}
    expected |= {"decoder.weight": (7, 5), "decoder.bias": (7,)}
    assert {t.name: t.disk_shape for t in make(V, E, H, 2).tensors} == {"embedding.weight": (7, 3)} | expected
    one_hot = expected | {"rnn.weight_ih_l0": (20, 7)}
    assert {t.name: t.disk_shape for t in make(V, 0, H, 2).tensors} == one_hot


def test_one_hot_rows_are_not_padded_and_everything_else_is() -> None:
    shapes = {name: view.shape for name, view in make(V=7, E=0, H=5, L=1).views.items()}
    assert shapes["rnn.weight_ih_l0"] == (7, 64)
    assert shapes["rnn.weight_hh_l0"] == (16, 64) and shapes["rnn.bias_ih_l0"] == (64,)
    assert shapes["decoder.weight"] == (16, 16) and shapes["decoder.bias"] == (16,)
    assert make(V=7, E=3, H=5, L=1)["rnn.weight_ih_l0"].shape == (16, 64)


@pytest.mark.parametrize("E", [0, 3])
def test_views_tile_the_flat_vector(E: int) -> None:
    memory = make(7, E, 5, 2)
    for number, view in enumerate(memory.views.values(), start=1):
        assert view.ctypes.data % 64 == 0
        assert not view.any(), "two views overlap"
        view[:] = number
    assert memory.flat.all(), "a part of the vector belongs to no tensor"


def test_like_is_zero_and_apart() -> None:
    memory = make(7, 3, 5, 2)
    memory.from_disk(on_disk(7, 3, 5, 2))
    before, other = memory.flat.copy(), memory.like()
    assert not other.flat.any()
    assert {n: v.shape for n, v in other.views.items()} == {n: v.shape for n, v in memory.views.items()}
    other.flat[:] = 1
    assert np.array_equal(memory.flat, before)


def test_three_gates_are_padded_one_by_one() -> None:
    """Another cell's number of gates: GRU's."""
    tensor, array = Tensor("w", 5, 2, gates=3), np.arange(1, 31, dtype=np.float32).reshape(15, 2)
    view = np.zeros(tensor.shape, np.float32)
    tensor.from_disk(array, view)
    assert tensor.shape == (16, 48) and np.count_nonzero(view) == 30
    assert view[1, 16:21].tolist() == [12, 14, 16, 18, 20]
    np.testing.assert_array_equal(tensor.to_disk(view), array)


def test_a_prefix_reads_an_optimisers_slots() -> None:
    arrays = on_disk(7, 3, 5, 1)
    memory = make(7, 3, 5, 1)
    memory.from_disk({f"optimizer.m.{name}": array for name, array in arrays.items()}, prefix="optimizer.m.")
    np.testing.assert_array_equal(dict(memory.to_disk())["decoder.weight"], arrays["decoder.weight"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rnn.weight_hh_l1", None, r"optimizer\.rnn\.weight_hh_l1 is missing"),
        ("decoder.bias", lambda a: a[:-1], r"decoder\.bias is float32 \(6,\).*float32 \(7,\)"),
        ("rnn.weight_ih_l0", lambda a: a.T, r"rnn\.weight_ih_l0 is float32 \(3, 20\).*\(20, 3\)"),
        ("decoder.bias", lambda a: a[None], r"decoder\.bias is float32 \(1, 7\)"),
        ("decoder.bias", lambda a: a[0], r"decoder\.bias is float32 \(\)"),
        ("decoder.weight", lambda a: a.astype(np.float64), r"decoder\.weight is float64"),
        ("decoder.weight", lambda a: a.astype(np.float16), r"decoder\.weight is float16"),
        ("decoder.weight", lambda a: a.astype(np.int32), r"decoder\.weight is int32"),
        ("embedding.weight", lambda a: np.where(a == a.max(), np.nan, a), r"embedding\.weight holds a NaN"),
        ("embedding.weight", lambda a: np.where(a == a.min(), -np.inf, a), r"embedding\.weight holds .* infinity"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str
) -> None:
    arrays = {f"optimizer.{n}": array for n, array in on_disk(7, 3, 5, 2).items()}
    array = arrays.pop(f"optimizer.{name}")
    if change:
        arrays[f"optimizer.{name}"] = change(array)
    with pytest.raises(CheckpointError, match=message) as caught:
        make(7, 3, 5, 2).from_disk(arrays, prefix="optimizer.")
    assert "\n" not in str(caught.value)


def test_unaligned_and_read_only_arrays_are_read() -> None:
    """As they come out of a memory-mapped file."""
    arrays = on_disk(7, 0, 5, 1)
    foreign = {}
    for name, array in arrays.items():
        memory = bytes(1) + array.tobytes()
        foreign[name] = np.frombuffer(memory, np.float32, offset=1).reshape(array.shape)
        assert not foreign[name].flags.writeable and not foreign[name].flags.aligned
    memory = make(7, 0, 5, 1)
    memory.from_disk(foreign)
    assert all(np.array_equal(array, arrays[name]) for name, array in memory.to_disk())

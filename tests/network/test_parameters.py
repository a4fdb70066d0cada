"""The flat vector of parameters, its padding, and the way to disk and back."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.compiler import simd
from charrnn.compiler.simd import padded
from charrnn.config.settings import CELL_NAMES, ModelConfig
from charrnn.network import parameters
from charrnn.network.cells import cell_named
from charrnn.network.model import Model
from charrnn.network.parameters import Parameters, Tensor, aligned, parameter_count, tensors_of
from tests.reference import cells as reference_cells
from tests.reference.small import plain_model

SHAPES = [
    (V, E, H, L) for V in (2, 17) for E in (0, 1, 16, 20) for H in (1, 5, 16, 33) for L in (1, 3)
]


EVERY_CELL = pytest.mark.parametrize("cell", CELL_NAMES)


def config_of(V: int, E: int, H: int, L: int, cell: str = "lstm") -> ModelConfig:
    return plain_model(vocab_size=V, embedding=E, hidden=H, layers=L, cell=cell)


def make(V: int, E: int, H: int, L: int, cell: str = "lstm") -> Parameters:
    return Parameters(tensors_of(config_of(V, E, H, L, cell)))


def on_disk(V: int, E: int, H: int, L: int, cell: str = "lstm") -> dict[str, np.ndarray]:
    """Random arrays in PyTorch's shapes, zero in no place but in those that the cell does not
    train.
    """
    config = config_of(V, E, H, L, cell)
    return reference_cells.random_parameters(np.random.default_rng(0), config)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0), (1, 16), (15, 16), (16, 16), (17, 32), (160, 160), (161, 176)]
)
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


@pytest.mark.parametrize("cell", ["lstm", "gru-after", "clockwork", "peephole", "grid"])
@pytest.mark.parametrize(("V", "E", "H", "L"), SHAPES)
def test_disk_to_memory_and_back(V: int, E: int, H: int, L: int, cell: str) -> None:
    arrays, memory = on_disk(V, E, H, L, cell), make(V, E, H, L, cell)
    memory.from_disk(arrays)
    written = dict(memory.to_disk())
    assert list(written) == list(arrays)  # the same names in the same order as the reference
    for name, array in arrays.items():
        assert written[name].flags.c_contiguous and written[name].dtype == np.float32
        np.testing.assert_array_equal(written[name], array, err_msg=name, strict=True)
        assert not np.shares_memory(written[name], memory.flat)
    numbers = sum(np.count_nonzero(array) for array in arrays.values())
    assert numbers == parameter_count(config_of(V, E, H, L, cell))
    assert np.count_nonzero(memory.flat) == numbers, (
        "something was written into the padding, or over something else"
    )
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
            np.testing.assert_array_equal(
                memory[f"rnn.weight_ih_l{layer}"][:D, columns], W_x[rows].T
            )
            np.testing.assert_array_equal(
                memory[f"rnn.weight_hh_l{layer}"][:H, columns], W_h[rows].T
            )
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
    assert {t.name: t.disk_shape for t in make(V, E, H, 2).tensors} == {
        "embedding.weight": (7, 3)
    } | expected
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
    assert {n: v.shape for n, v in other.views.items()} == {
        n: v.shape for n, v in memory.views.items()
    }
    other.flat[:] = 1
    assert np.array_equal(memory.flat, before)


def test_blocks_are_padded_one_by_one_and_stand_in_the_cells_order() -> None:
    """Memory holds the third, the first and the second block of the disk."""
    tensor = Tensor("w", 5, 2, order=(2, 0, 1), disk_blocks=3)
    array = np.arange(1, 31, dtype=np.float32).reshape(15, 2)
    view = np.zeros(tensor.shape, np.float32)
    tensor.from_disk(array, view)
    assert tensor.shape == (16, 48) and tensor.disk_shape == (15, 2)
    assert np.count_nonzero(view) == tensor.count == 30
    assert view[0, 0:5].tolist() == [21, 23, 25, 27, 29]
    assert view[1, 16:21].tolist() == [2, 4, 6, 8, 10]
    assert view[1, 32:37].tolist() == [12, 14, 16, 18, 20]
    np.testing.assert_array_equal(tensor.to_disk(view), array, strict=True)


@pytest.mark.parametrize("inputs", [0, 2])
def test_blocks_that_memory_does_not_have_are_zero_on_disk(inputs: int) -> None:
    """As the first two blocks of gru-after's second bias: they are neither read nor trained."""
    tensor = Tensor("b", 5, inputs, order=(2,), disk_blocks=3)
    array = np.arange(1, 15 * max(1, inputs) + 1, dtype=np.float32).reshape(tensor.disk_shape)
    view = np.zeros(tensor.shape, np.float32)
    tensor.from_disk(array, view)
    assert np.count_nonzero(view) == tensor.count == 5 * max(1, inputs)
    written = tensor.to_disk(view)
    assert not written[:10].any()
    np.testing.assert_array_equal(written[10:], array[10:])


def test_a_table_stands_in_memory_as_on_disk() -> None:
    tensor, array = (
        Tensor("t", 3, 5, is_table=True),
        np.arange(1, 16, dtype=np.float32).reshape(3, 5),
    )
    view = np.zeros(tensor.shape, np.float32)
    tensor.from_disk(array, view)
    assert tensor.shape == (3, 16) and tensor.disk_shape == (3, 5)
    np.testing.assert_array_equal(view[:, :5], array)
    assert np.count_nonzero(view) == tensor.count == 15
    np.testing.assert_array_equal(tensor.to_disk(view), array, strict=True)


def blocks(array: np.ndarray) -> list[np.ndarray]:
    """The blocks of H = 5 rows of an array on disk, (inputs, 5) or (5,) each."""
    return [array[k : k + 5].T for k in range(0, len(array), 5)]


def test_the_blocks_of_gru_after() -> None:
    """r z n on disk, as `torch.nn.GRU` has them; n r z from below and r z n from the past in
    memory, n's bias twice.
    """
    arrays, memory = on_disk(7, 3, 5, 1, "gru-after"), make(7, 3, 5, 1, "gru-after")
    memory.from_disk(arrays)
    orders = {"weight_ih": [2, 0, 1], "weight_hh": [0, 1, 2], "bias_ih": [2, 0, 1], "bias_hh": [2]}
    for name, order in orders.items():
        view, found = memory[f"rnn.{name}_l0"], blocks(arrays[f"rnn.{name}_l0"])
        assert view.shape[-1] == 16 * len(order)
        for place, block in enumerate(order):
            part = view[..., 16 * place : 16 * place + 5]
            np.testing.assert_array_equal(part[: len(found[block])], found[block], err_msg=name)
    assert {name: array.shape for name, array in arrays.items() if "_l0" in name} == {
        "rnn.weight_ih_l0": (15, 3),
        "rnn.weight_hh_l0": (15, 5),
        "rnn.bias_ih_l0": (15,),
        "rnn.bias_hh_l0": (15,),
    }


@EVERY_CELL
@pytest.mark.parametrize("E", [0, 3])
def test_weights_come_first_and_a_layers_biases_side_by_side(cell: str, E: int) -> None:
    memory, gates = make(7, E, 5, 2, cell), cell_named(cell).gates
    (start, border, weights), (after, stop, biases) = memory.regions
    assert (start, after, stop, weights, biases) == (0, border, memory.flat.size, True, False)
    for name, view in memory.views.items():
        place = (view.ctypes.data - memory.flat.ctypes.data) // 4
        assert (place >= border) == ("bias" in name), name
    for layer in (0, 1):
        bias = memory.bias(layer)
        assert bias.shape == (16 * len(gates),) and np.shares_memory(bias, memory.flat)
        bias[:] = layer + 1
    kept = {name: set(view.ravel()) for name, view in memory.views.items() if view.any()}
    assert kept == {name: {int(name[-1]) + 1} for name in memory.views if "rnn.bias" in name}


@EVERY_CELL
def test_a_bias_stands_in_the_order_of_the_gates(cell: str) -> None:
    """Each block of the disk's biases is that of one gate, and of no other."""
    arrays, memory, found = on_disk(7, 0, 5, 1, cell), make(7, 0, 5, 1, cell), cell_named(cell)
    memory.from_disk(arrays)
    fed = len(found.input_gates)
    for place, gate in enumerate(found.gates):
        if place < fed:
            wanted = blocks(arrays["rnn.bias_ih_l0"])[found.input_gates.index(gate)]
        else:
            wanted = blocks(arrays["rnn.bias_hh_l0"])[found.recurrent_gates.index(gate)]
        np.testing.assert_array_equal(memory.bias(0)[16 * place : 16 * place + 5], wanted)


V, H = 11, 6
COUNTS = {
    "lstm": 4 * (V * H + H * H + H) + 4 * (2 * H * H + H),
    "peephole": 4 * (V * H + H * H + H) + 4 * (2 * H * H + H) + 2 * 3 * H,
    "coupled": 3 * (V * H + H * H + H) + 3 * (2 * H * H + H),
    "gru": 3 * (V * H + H * H + H) + 3 * (2 * H * H + H),
    "gru-after": 3 * (V * H + H * H + H) + 3 * (2 * H * H + H) + 2 * H,
    "rnn": (V * H + H * H + H) + (2 * H * H + H),
    # three groups of two units: of 3 x 3 blocks of 2 x 2 weights, the three above the diagonal are
    # not there
    "clockwork": (V * H + 24 + H) + (H * H + 24 + H),
    "depth-gated": 5 * (V * H + H)
    + 4 * H * H
    + 5 * H
    + 5 * (H * H + H)
    + 4 * H * H
    + 5 * H
    + V * H,
    "grid": 8 * (V * H + H * H + H) + 8 * (2 * H * H + H) + V * H,
}


@EVERY_CELL
def test_counts_by_hand(cell: str) -> None:
    config = plain_model(vocab_size=V, hidden=H, layers=2, cell=cell, clockwork_groups=3)
    wanted = COUNTS[cell] + V * H + V
    assert parameter_count(config) == Model(config).count() == wanted
    masked = 2 * 12 if cell == "clockwork" else 0
    assert sum(t.count for t in make(V, 0, H, 2, cell).tensors) == wanted + masked, (
        "the layout holds the masked weights, at zero"
    )


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

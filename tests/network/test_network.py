"""The whole network, forward and backward, against the float64 reference; and what must never
change a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from charrnn.config.settings import CELL_NAMES
from charrnn.kernels import adam
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters
from charrnn.runtime.threads import Workers
from tests.reference import cells as reference
from tests.reference.small import plain_model

TWO = Workers(2, processors=2)


@dataclass(frozen=True)
class Case:
    """A model, a batch for it, a state to start from, and the same for the reference."""

    model: Model
    parameters: reference.Parameters
    x: np.ndarray
    y: np.ndarray
    states: reference.States

    def state(self, streams: slice = slice(None)) -> State:
        """A new State, padded, that holds the case's numbers."""
        state = State(self.model, len(self.states[0][0][streams]))
        for layer, (h, c) in enumerate(self.states):
            state.h[layer, :, : h.shape[1]], state.c[layer, :, : c.shape[1]] = (
                h[streams],
                c[streams],
            )
        return state

    def gradients(self, workers: Workers, key: int = 3) -> tuple[float, np.ndarray, State, Network]:
        """Loss, a copy of the flat gradient, final state, and the network that made them."""
        network, state = Network(self.model, *self.x.shape, workers, training=True), self.state()
        loss, gradient = network.gradients(self.x, self.y, state, key)
        return loss, gradient.flat.copy(), state, network


def make_case(
    V: int, E: int, H: int, L: int, dropout: float = 0.0, T: int = 7, N: int = 5, seed: int = 1
) -> Case:
    """A case with the reference's random weights, at which gates bend and rounding stays small."""
    rng = np.random.default_rng(seed)
    model = Model(plain_model(vocab_size=V, embedding=E, hidden=H, layers=L, dropout=dropout))
    parameters = reference.random_parameters(rng, model.config)
    model.parameters.from_disk(parameters)
    x, y = rng.integers(V, size=(2, T, N)).astype(np.int32)
    return Case(model, parameters, x, y, reference.random_states(rng, model.config, N))


def exact(
    case: Case, y: np.ndarray, masks: reference.Masks | None = None
) -> tuple[float, dict[str, np.ndarray], reference.States]:
    """The reference's loss, gradients and states of predicting y (T, N) from the case's first T
    steps.
    """
    config, x = case.model.config, case.x[: len(y)]
    return reference.gradients(config, case.parameters, x, y, case.states, masks=masks)


def close(found: np.ndarray, wanted: np.ndarray, name: str, tolerance: float = 1e-5) -> None:
    """Equal, relative to the largest element: a sum of terms of both signs is not better known than
    they are.
    """
    largest = np.abs(wanted).max()
    assert largest > 0, f"{name} has no influence: nothing was tested"
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * largest, err_msg=name)


def assert_padding_is_zero(parameters: Parameters, values: np.ndarray) -> None:
    real = parameters.like()
    real.from_disk({t.name: np.ones(t.disk_shape, np.float32) for t in parameters.tensors})
    assert not values[real.flat == 0].any()


def masks_of(network: Network) -> list[np.ndarray]:
    return [layer.mask for layer in network.layers if layer.mask.size]


def check(case: Case, network: Network, steps: int, key: int = 3) -> None:
    """Loss, state and gradients of the first `steps` steps against the reference, with the
    network's own masks.
    """
    H, state = case.model.config.hidden, case.state()
    x, y = case.x[:steps], case.y[:steps]
    loss, gradient = network.gradients(x, y, state, key)
    masks = [mask[:steps, :, :H] for mask in masks_of(network)]
    assert bool(masks) == (case.model.config.dropout > 0)
    wanted_loss, gradients, states = exact(case, y, reference.Masks(masks))
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    found = dict(gradient.to_disk())
    assert list(found) == list(gradients)
    for name, wanted in gradients.items():
        close(found[name], wanted, name)
    for layer, (h, c) in enumerate(states):
        close(state.h[layer, :, :H], h, f"h of layer {layer}", 3e-6)
        close(state.c[layer, :, :H], c, f"c of layer {layer}", 3e-6)
    assert not state.h[..., H:].any() and not state.c[..., H:].any()
    assert_padding_is_zero(case.model.parameters, gradient.flat)


# Against the reference
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("E", [0, 5, 16])
@pytest.mark.parametrize(
    ("V", "H", "T", "N"),
    [
        (2, 16, 7, 3), (2, 33, 3, 1), (7, 1, 9, 5), (7, 100, 5, 4), (65, 5, 11, 7), (65, 33, 5, 3),
        (65, 100, 3, 13), (130, 16, 5, 9), (130, 1, 5, 2), (130, 100, 7, 5), (7, 33, 31, 9),
    ],
)  # fmt: skip
def test_loss_state_and_gradients(
    V: int, E: int, H: int, L: int, T: int, N: int, dropout: float
) -> None:
    case = make_case(V, E, H, L, dropout, T, N)
    check(case, Network(case.model, T, N, TWO, training=True), steps=T)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("E", [0, 5])
def test_sequences_shorter_than_the_buffers(E: int, dropout: float) -> None:
    """And one after another through the same buffers, so that something is left in them."""
    case = make_case(V=20, E=E, H=33, L=2, dropout=dropout, T=9)
    network = Network(case.model, 9, 5, TWO, training=True)
    for key, steps in enumerate((9, 4, 1, 7)):
        check(case, network, steps, key)


def test_a_change_of_parameters_is_seen_after_refresh() -> None:
    case, other = make_case(20, 5, 33, 2), make_case(20, 5, 33, 2, seed=2)
    network = Network(case.model, 7, 5, TWO, training=True)
    case.model.parameters.from_disk(other.parameters)
    network.refresh()
    check(Case(case.model, other.parameters, case.x, case.y, case.states), network, 7)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("V", "E", "H", "L"), [(7, 0, 5, 1), (65, 5, 33, 3), (130, 16, 100, 2)])
def test_evaluation_is_without_dropout(V: int, E: int, H: int, L: int, training: bool) -> None:
    case = make_case(V, E, H, L, dropout=0.4)
    network, state = Network(case.model, 7, 5, TWO, training), case.state()
    if training:
        network.gradients(case.x, case.y, case.state(), key=0)
    losses = network.evaluate(case.x, case.y, state)
    trace = reference.forward(case.model.config, case.parameters, case.x, case.y, case.states)
    np.testing.assert_allclose(losses, trace.losses, rtol=1e-5, atol=1e-6)
    for layer, (h, c) in enumerate(trace.states):
        close(state.h[layer, :, :H], h, "h", 3e-6)
        close(state.c[layer, :, :H], c, "c", 3e-6)


def test_an_evaluation_in_between_does_not_disturb_training() -> None:
    case = make_case(20, 5, 33, 2, dropout=0.4)
    loss, gradient, _, network = case.gradients(TWO)
    network.evaluate(case.y, case.x, case.state())
    again, gradient_again = network.gradients(case.x, case.y, case.state(), key=3)
    assert again == loss and np.array_equal(gradient_again.flat, gradient)


# What must not change a bit
# -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("E", "L"), [(0, 1), (5, 3)])
def test_one_sequence_equals_three_chunks_with_carried_state(E: int, L: int) -> None:
    case = make_case(V=30, E=E, H=33, L=L, T=13)
    state, carried = case.state(), case.state()
    whole = Network(case.model, 13, 5, TWO).evaluate(case.x, case.y, state)
    network, chunks = Network(case.model, 6, 5, TWO), []
    for start, stop in ((0, 6), (6, 8), (8, 13)):
        chunks.append(network.evaluate(case.x[start:stop], case.y[start:stop], carried).copy())
    assert np.array_equal(np.concatenate(chunks), whole)
    assert np.array_equal(carried.h, state.h) and np.array_equal(carried.c, state.c)
    training, last = Network(case.model, 6, 5, TWO, training=True), case.state()
    losses = [
        training.gradients(case.x[a:b], case.y[a:b], last, 0)[0] * (b - a)
        for a, b in ((0, 6), (6, 8), (8, 13))
    ]
    assert sum(losses) / 13 == pytest.approx(whole.mean(dtype=np.float64), rel=1e-12)
    assert np.array_equal(last.h, state.h) and np.array_equal(last.c, state.c)


@pytest.fixture(scope="module")
def pools() -> Iterator[list[Workers]]:
    pools = [Workers(threads, processors=threads) for threads in (2, 3, 5)]
    yield pools
    for pool in pools:
        pool.close()


@pytest.mark.parametrize("N", [1, 2, 4, 11])
@pytest.mark.parametrize(
    ("V", "E", "H", "L", "dropout"),
    [(7, 0, 16, 1, 0.0), (130, 0, 33, 2, 0.3), (65, 5, 100, 2, 0.3)],
)
def test_any_number_of_threads_gives_the_same_bits(
    V: int, E: int, H: int, L: int, dropout: float, N: int, pools: list[Workers]
) -> None:
    case = make_case(V, E, H, L, dropout, T=9, N=N)
    loss, gradient, state, network = case.gradients(Workers(1))
    evaluated = network.evaluate(case.x, case.y, case.state()).copy()
    for workers in pools:
        for _ in range(2):  # a race would not show every time
            other_loss, other_gradient, other_state, other = case.gradients(workers)
            assert other_loss == loss
            assert np.array_equal(other_gradient, gradient)
            assert np.array_equal(other_state.h, state.h) and np.array_equal(other_state.c, state.c)
            for mask, other_mask in zip(masks_of(network), masks_of(other), strict=True):
                assert np.array_equal(mask, other_mask)
        assert np.array_equal(other.evaluate(case.x, case.y, case.state()), evaluated)


def test_threads_make_the_same_bits_over_many_updates(pools: list[Workers]) -> None:
    trained = [
        train(make_case(30, 5, 33, 2, dropout=0.3, T=9), workers, 6)
        for workers in (Workers(1), *pools)
    ]
    assert all(
        np.array_equal(other.parameters.flat, trained[0].parameters.flat) for other in trained[1:]
    )


@pytest.mark.parametrize("L", [1, 3])
def test_streams_do_not_influence_each_other(L: int) -> None:
    case = make_case(V=30, E=5, H=33, L=L, N=7)
    state, network = case.state(), Network(case.model, 7, 7, TWO)
    losses = network.evaluate(case.x, case.y, state).copy()
    rng = np.random.default_rng(5)
    for stream in range(7):
        x, y, touched = case.x.copy(), case.y.copy(), case.state()
        x[:, stream], y[:, stream] = rng.integers(30, size=(2, 7))
        touched.h[:, stream, :33], touched.c[:, stream, :33] = rng.normal(size=(2, L, 33))
        other = network.evaluate(x, y, touched)
        same = np.arange(7) != stream
        assert np.array_equal(other[:, same], losses[:, same]) and not np.array_equal(other, losses)
        assert np.array_equal(touched.h[:, same], state.h[:, same])
        assert np.array_equal(touched.c[:, same], state.c[:, same])


def test_a_stream_alone_gives_the_bits_that_it_gives_among_others() -> None:
    case = make_case(V=30, E=0, H=33, L=2, N=7)
    losses = Network(case.model, 7, 7, TWO).evaluate(case.x, case.y, case.state())
    alone, network = case.state(slice(4, 5)), Network(case.model, 7, 1, TWO)
    x, y = (np.ascontiguousarray(ids[:, 4:5]) for ids in (case.x, case.y))
    assert np.array_equal(network.evaluate(x, y, alone)[:, 0], losses[:, 4])


# Training
# --------------------------------------------------------------------------------------------------


def train(case: Case, workers: Workers, updates: int) -> Model:
    """Some updates by Adam, with the state carried on."""
    network, state, p = (
        Network(case.model, *case.x.shape, workers, training=True),
        case.state(),
        case.model.parameters,
    )
    m, v = p.like().flat, p.like().flat
    for step in range(1, updates + 1):
        _, gradient = network.gradients(case.x, case.y, state, key=step)
        rate, correction = 0.01 / (1 - 0.9**step), (1 - 0.999**step) ** -0.5
        rule = tuple(map(np.float32, (0.9, 0.1, 0.999, 0.001, 1e-8, rate, correction)))
        adam.adam(
            p.flat, gradient.flat, m, v, rule, np.float32(np.inf), np.float32(1), 0, p.flat.size
        )
        network.refresh()
    return case.model


@pytest.mark.parametrize(("V", "E", "H"), [(7, 0, 5), (20, 3, 33), (65, 0, 1)])
def test_padding_stays_zero_and_the_loss_falls(V: int, E: int, H: int) -> None:
    case = make_case(V, E, H, L=2, dropout=0.2)
    before = Network(case.model, *case.x.shape, TWO).evaluate(case.x, case.y, case.state()).mean()
    model = train(case, TWO, 40)
    assert_padding_is_zero(model.parameters, model.parameters.flat)
    after = Network(model, *case.x.shape, TWO).evaluate(case.x, case.y, case.state()).mean()
    assert after < before - 0.1


def test_the_gradient_of_the_sum_over_time() -> None:
    case = make_case(20, 3, 33, 2, T=7)
    loss, gradient, *_, network = case.gradients(TWO)
    other, summed = network.gradients(case.x, case.y, case.state(), 3, sums_over_time=True)
    assert other == loss
    close(summed.flat, 7 * gradient, "the gradient", tolerance=1e-5)


def test_the_gradient_with_smoothed_labels() -> None:
    """It is that of the cross-entropy with every symbol as the target in turn, mixed; the loss is
    the plain one.
    """
    case, V, share = make_case(20, 3, 33, 2), 20, 0.3
    network = Network(case.model, *case.x.shape, TWO, training=True)
    loss, gradient = network.gradients(case.x, case.y, case.state(), 3, smoothing=share)
    wanted_loss, wanted, _ = exact(case, case.y)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    others = [exact(case, np.full_like(case.y, v))[1] for v in range(V)]
    found = dict(gradient.to_disk())
    for name, array in wanted.items():
        mixed = (1 - share) * array + share / V * sum(other[name] for other in others)
        close(found[name], mixed, name)
    assert_padding_is_zero(case.model.parameters, gradient.flat)
    again, plain = network.gradients(case.x, case.y, case.state(), 3)
    assert again == loss and np.array_equal(plain.flat, case.gradients(TWO)[1]), (
        "it is not remembered"
    )


def test_a_nan_among_the_weights_reaches_the_loss() -> None:
    case = make_case(20, 0, 33, 2)
    case.model.parameters["rnn.weight_hh_l0"][3, 5] = np.nan
    loss, *_ = case.gradients(TWO)
    assert np.isnan(loss)


# Dropout
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.95])
def test_masks_of_the_network(rate: float) -> None:
    case = make_case(V=7, E=0, H=32, L=2, dropout=rate, T=15, N=10)
    masks = {}
    *_, network = case.gradients(TWO, key=0)
    for key in (0, 1, 2**40):
        network.gradients(case.x, case.y, case.state(), key)
        masks |= {(key, layer): mask.copy() for layer, mask in enumerate(masks_of(network))}
    for mask in masks.values():
        assert np.unique(mask).tolist() == [0, np.float32(1 / (1 - rate))]
        assert abs((mask == 0).mean() - rate) < 5 * (rate * (1 - rate) / mask.size) ** 0.5
    every = list(masks.values())
    for k, mask in enumerate(every):  # two masks agree as often as independent ones do
        for other in every[:k]:
            by_chance = rate**2 + (1 - rate) ** 2
            assert (
                abs((mask == other).mean() - by_chance)
                < 5 * (by_chance * (1 - by_chance) / mask.size) ** 0.5
            )
    network.gradients(case.x, case.y, case.state(), key=1)
    assert np.array_equal(masks_of(network)[1], masks[1, 1]), "the same key draws the same mask"


def test_dropout_is_drawn_and_used() -> None:
    """Not a mask that is drawn and then unused: losses differ by key, and a network without dropout
    has no masks.
    """
    case = make_case(V=7, E=0, H=32, L=2, dropout=0.5)
    *_, network = case.gradients(TWO)
    losses = {network.gradients(case.x, case.y, case.state(), key)[0] for key in range(5)}
    assert len(losses) == 5
    assert masks_of(make_case(V=7, E=0, H=32, L=2).gradients(TWO)[-1]) == []


# Initialization
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("V", "E", "H"), [(65, 0, 100), (65, 20, 100), (30, 7, 33)])
def test_initial_weights(V: int, E: int, H: int) -> None:
    """Xavier's bounds, reached and kept, and the variance of a uniform draw; biases by the cell."""
    config = plain_model(vocab_size=V, embedding=E, hidden=H, layers=2, forget_bias=1.5)
    model = Model.initialized(config, seed=7)
    arrays = dict(model.parameters.to_disk())
    fans = {
        "rnn.weight_ih_l0": E,
        "rnn.weight_hh_l0": H,
        "rnn.weight_ih_l1": H,
        "rnn.weight_hh_l1": H,
    }
    limits = {name: (6 / (fan_in + H)) ** 0.5 for name, fan_in in fans.items()}
    limits["decoder.weight"] = (6 / (H + V)) ** 0.5
    if not E:  # one-hot: of the deviation input_scale
        limits["rnn.weight_ih_l0"] = 3**0.5
    for name, limit in limits.items():
        for gate in np.split(arrays[name], 4) if name != "decoder.weight" else [arrays[name]]:
            assert 0.97 * limit < np.abs(gate).max() <= limit * (1 + 1e-7), name
            deviation = (
                4 / 45 / gate.size
            ) ** 0.5 * limit**2  # of the mean of squares of uniform numbers
            assert abs(np.mean(gate.astype(np.float64) ** 2) - limit**2 / 3) < 5 * deviation, name
            assert abs(gate.mean(dtype=np.float64)) < 5 * limit / (3 * gate.size) ** 0.5, name
    for layer in (0, 1):
        i, f, g, o = np.split(arrays[f"rnn.bias_ih_l{layer}"], 4)
        assert (f == 1.5).all() and not i.any() and not g.any() and not o.any()
    assert not arrays["decoder.bias"].any()
    if E:
        assert arrays["embedding.weight"].std() == pytest.approx(1, rel=0.15)
    assert_padding_is_zero(model.parameters, model.parameters.flat)
    assert sum(t.count for t in model.parameters.tensors) == sum(
        array.size for array in arrays.values()
    )


def initial(**settings: object) -> dict[str, np.ndarray]:
    """The first parameters as they stand on disk; padding is zero."""
    model = Model.initialized(
        plain_model(**({"vocab_size": 40, "layers": 2, "hidden": 100} | settings)), seed=7
    )
    assert_padding_is_zero(model.parameters, model.parameters.flat)
    return dict(model.parameters.to_disk())


def blocks_of(array: np.ndarray, rows: int = 100) -> list[np.ndarray]:
    return [array[k : k + rows].astype(np.float64) for k in range(0, len(array), rows)]


@pytest.mark.parametrize("cell", ["lstm", "gru-after", "rnn"])
def test_xavier_normal(cell: str) -> None:
    """The variance 2 / (fan_in + fan_out) block by block, and a normal distribution's tails."""
    arrays = initial(cell=cell, init="xavier-normal", embedding=25)
    fans = {
        "rnn.weight_ih_l0": 125,
        "rnn.weight_hh_l0": 200,
        "rnn.weight_ih_l1": 200,
        "rnn.weight_hh_l1": 200,
    }
    for name, sum_of_fans in (fans | {"decoder.weight": 140}).items():
        for block in blocks_of(arrays[name]):
            square = block**2 * sum_of_fans / 2
            assert abs(square.mean() - 1) < 5 * (2 / block.size) ** 0.5, name
            assert abs((square < 1).mean() - 0.6827) < 5 * (0.22 / block.size) ** 0.5, name
            assert abs(block.mean()) < 5 * (2 / sum_of_fans / block.size) ** 0.5, name


@pytest.mark.parametrize("init", ["xavier-uniform", "xavier-normal"])
def test_the_scale_of_what_characters_bring(init: str) -> None:
    """The deviation of embeddings, or of one-hot characters' weights; everything else is the same,
    and memories are small.
    """
    for name, settings in (("embedding.weight", {"embedding": 25}), ("rnn.weight_ih_l0", {})):
        one, half = (
            initial(init=init, input_scale=scale, cell="grid", **settings) for scale in (1.0, 0.5)
        )
        assert one[name].std() == pytest.approx(1, rel=0.1)
        np.testing.assert_allclose(half.pop(name), one.pop(name) / 2, rtol=1e-6)
        assert all(np.array_equal(half[other], array) for other, array in one.items())
        assert one["rnn.memory.weight"].std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("scale", [0.08, 0.5])
def test_uniform(scale: float) -> None:
    """All weights within +-init_scale, whatever their fans; embeddings are as ever."""
    arrays = initial(init="uniform", init_scale=scale, embedding=25, vocab_size=90)
    for name, array in arrays.items():
        if name.startswith(("rnn.weight", "decoder.weight")):
            assert 0.99 * scale < np.abs(array).max() <= scale * (1 + 1e-7), name
            assert array.std() == pytest.approx(scale / 3**0.5, rel=0.03), name
    assert arrays["embedding.weight"].std() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("cell", "count"),
    [("lstm", 4), ("gru", 3), ("gru-after", 3), ("rnn", 1), ("depth-gated", 4)],
)
def test_orthogonal_recurrent_weights(cell: str, count: int) -> None:
    """Each block is a rotation or a reflection of its own; the other weights keep their bounds."""
    arrays, same = initial(cell=cell, recurrent_init="orthogonal"), initial(cell=cell)
    every = [q for layer in (0, 1) for q in blocks_of(arrays[f"rnn.weight_hh_l{layer}"])]
    assert len(every) == 2 * count
    for k, q in enumerate(every):
        np.testing.assert_allclose(q.T @ q, np.eye(100), atol=1e-6)
        assert abs(np.trace(q)) < 6, "of random rotations, the trace is normal with deviation 1"
        assert not any(np.allclose(q, other) for other in every[:k])
    decoder = np.abs(arrays["decoder.weight"]).max()
    assert decoder == pytest.approx(np.abs(same["decoder.weight"]).max(), rel=0.02)


def test_orthogonal_blocks_are_not_all_reflections_or_all_rotations() -> None:
    """Of random ones half are; the Q of a decomposition is one or not by its size alone."""
    arrays = initial(cell="grid", recurrent_init="orthogonal", hidden=5, layers=4)
    signs = [
        np.sign(np.linalg.det(q))
        for k in range(4)
        for q in blocks_of(arrays[f"rnn.weight_hh_l{k}"], 5)
    ]
    assert len(signs) == 32 and 8 < signs.count(1) < 24
    corners = [q[0, 0] for k in range(4) for q in blocks_of(arrays[f"rnn.weight_hh_l{k}"], 5)]
    assert 8 < sum(corner > 0 for corner in corners) < 24, (
        "the decomposition's own sign is not random"
    )


@pytest.mark.parametrize("cell", ["lstm", "gru-after", "rnn"])
def test_identity_recurrent_weights(cell: str) -> None:
    arrays = initial(cell=cell, recurrent_init="identity")
    for layer in (0, 1):
        for block in blocks_of(arrays[f"rnn.weight_hh_l{layer}"]):
            assert np.array_equal(block, np.eye(100))
        assert len(np.unique(arrays[f"rnn.weight_ih_l{layer}"])) > 100


FORGET = {
    **dict.fromkeys(("lstm", "peephole", "coupled", "depth-gated"), ("f",)),
    **dict.fromkeys(("gru", "gru-after", "rnn", "clockwork"), ()),
    "grid": ("ft", "fd"),
}


@pytest.mark.parametrize("recurrent_init", ["same", "orthogonal", "identity"])
@pytest.mark.parametrize("name", CELL_NAMES)
def test_every_cell_begins_sensibly(name: str, recurrent_init: str) -> None:
    """Only forget gates have a bias, peepholes are zero, memories small, and what is masked is
    zero.
    """
    config = plain_model(
        vocab_size=40, cell=name, hidden=33, forget_bias=1.5, recurrent_init=recurrent_init
    )
    model, cell = Model.initialized(config, seed=7), cell_named(name)
    biased = set()
    for layer in (0, 1):
        for place, gate in enumerate(cell.gates):
            block = model.parameters.bias(layer)[48 * place : 48 * place + 33]
            assert (block == block[0]).all() and block[0] in (0, 1.5)
            biased |= {gate} if block[0] else set()
        if cell.peepholes:
            assert not model.parameters[f"rnn.peephole_l{layer}"].any()
        weight = model.parameters[f"rnn.weight_hh_l{layer}"]
        if cell.recurrent_mask is not None:
            reads = cell.recurrent_mask(config)
            assert not weight[:33, :33][~reads].any() and weight[:33, :33][reads].any()
    assert biased == set(FORGET[name])
    if cell.reads_below:
        assert model.parameters["rnn.memory.weight"][:, :33].std() == pytest.approx(0.1, rel=0.1)
    assert_padding_is_zero(model.parameters, model.parameters.flat)


def test_a_seed_fixes_the_weights() -> None:
    config = plain_model(vocab_size=30, embedding=5, hidden=20)
    first, again, other = (Model.initialized(config, seed).parameters.flat for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert (first != other).sum() > 0.9 * sum(
        t.count for t in Model(config).parameters.tensors
    ) - 2 * 80 - 30
    Model.initialized(config, seed=2**63 - 1)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_new_network_knows_nothing(cell: str) -> None:
    """Its loss is near ln V whatever its size."""
    for V, E, H, L in ((65, 0, 100, 2), (130, 20, 33, 3)):
        model = Model.initialized(
            plain_model(vocab_size=V, embedding=E, hidden=H, layers=L, cell=cell), seed=0
        )
        x, y = np.random.default_rng(0).integers(V, size=(2, 20, 10)).astype(np.int32)
        loss = Network(model, 20, 10, TWO).evaluate(x, y, State(model, 10)).mean()
        assert loss == pytest.approx(np.log(V), rel=0.05)


def test_state() -> None:
    case = make_case(7, 0, 5, 2)
    state, copy = case.state(), State(case.model, 5)
    assert state.h.shape == state.c.shape == (2, 5, 16) and not copy.h.any() and not copy.c.any()
    copy.copy_from(state)
    state.reset()
    assert not state.h.any() and not state.c.any()
    assert np.array_equal(copy.h, case.state().h) and np.array_equal(copy.c, case.state().c)

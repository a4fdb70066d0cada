"""Every cell with every option, compiled, against the float64 reference; and what must hold of each
of them.

The cases are chosen, not the full product: each cell meets each activation, depth, width, embedding
and kind of mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CELL_NAMES, CorpusConfig, ModelConfig
from charrnn.evaluation.evaluate import evaluate
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.training.run import Run
from charrnn.training.run_file import load_run, save_run
from tests.reference import cells as reference
from tests.reference.small import TEXT, adam, plain_model, trained

V, T, N = 11, 7, 4
EVERY_CELL = pytest.mark.parametrize("cell", CELL_NAMES)
WITH_CLOCK = (*reference.HAS_MEMORY, "clockwork")
"""The cells for which `state.c` means something."""

SETTINGS: dict[str, dict[str, Any]] = {
    "small": {"layers": 1, "hidden": 5},
    "dropped": {
        "layers": 3,
        "hidden": 16,
        "embedding": 3,
        "activation": "softsign",
        "residual": True,
        "dropout": 0.3,
    },
    "everything": {
        **{"layers": 2, "hidden": 33, "activation": "relu", "dropout": 0.2, "locked_dropout": True},
        **{"input_dropout": 0.2, "recurrent_dropout": 0.3, "zoneout_h": 0.2, "zoneout_c": 0.4},
    },
    "zoned": {
        **{
            "layers": 2,
            "hidden": 33,
            "embedding": 3,
            "residual": True,
            "zoneout_h": 0.3,
            "zoneout_c": 0.2,
        },
        **{"clockwork_groups": 3, "input_dropout": 0.3},
    },
    "deep": {
        "layers": 3,
        "hidden": 5,
        "activation": "softsign",
        "recurrent_dropout": 0.3,
        "clockwork_groups": 2,
    },
    "skipped": {"layers": 3, "hidden": 5, "skip": True, "dropout": 0.2, "residual": True},
    "normal": {
        "layers": 2,
        "hidden": 37,
        "layer_norm": True,
        "residual": True,
        "dropout": 0.2,
        "locked_dropout": True,
    },
    "wide": {"layers": 1, "hidden": 33, "embedding": 3, "activation": "relu"},
}
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS)


@dataclass(frozen=True)
class Case:
    """A model, a batch, a state to start from; parameters and states also as the reference takes
    them.
    """

    model: Model
    parameters: dict[str, Any]
    x: np.ndarray
    y: np.ndarray
    states: reference.States

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    def state(self) -> State:
        state = State(self.model, len(self.states[0][0]))
        for layer, (h, c) in enumerate(self.states):
            state.h[layer, :, : h.shape[1]], state.c[layer, :, : c.shape[1]] = h, c
        return state

    def gradients(self, workers: Workers, starts: Any = None) -> tuple[float, np.ndarray, State]:
        """The loss, a copy of the flat gradient, and the final state."""
        state = self.state()
        loss, gradient = Network(self.model, *self.x.shape, workers, training=True).gradients(
            self.x, self.y, state, 3, starts
        )
        return loss, gradient.flat.copy(), state


def make_case(
    cell: str, setting: str, T: int = T, N: int = N, seed: int = 1, **changes: Any
) -> Case:
    rng = np.random.default_rng(seed)
    model = Model(
        plain_model(
            **({"vocab_size": V, "cell": cell, "dropout": 0.0} | SETTINGS[setting] | changes)
        )
    )
    parameters = reference.random_parameters(rng, model.config)
    model.parameters.from_disk(parameters)
    x, y = rng.integers(V, size=(2, T, N)).astype(np.int32)
    return Case(model, parameters, x, y, reference.random_states(rng, model.config, N))


def random_starts(case: Case, share: float = 0.25) -> np.ndarray:
    """Some of them at the first step."""
    starts = np.random.default_rng(4).random(case.x.shape) < share
    starts[0, 0] = True
    return starts


def masks_of(network: Network, steps: int) -> reference.Masks:
    """What the network drew for so many steps, without padding; every mask is there exactly where
    an option asks for it.
    """
    config, H, layers = network.model.config, network.model.config.hidden, network.layers
    drawn: dict[str, list[Any]] = {}
    rates = {
        "mask": config.dropout,
        "keep_h": config.zoneout_h,
        "recurrent_mask": config.recurrent_dropout,
    }
    rates["keep_c"] = config.zoneout_c if config.cell in reference.HAS_MEMORY else 0.0
    for name, rate in rates.items():
        masks = [getattr(layer, name) for layer in layers]
        assert all((mask.size > 0) == (rate > 0) for mask in masks), name
        drawn[name] = masks if rate else []
    factor = network.factor if config.input_dropout > 0 else None
    assert factor is not None or (network.factor == 1).all()
    recurrent = network.model.parameters.like()
    for layer, mask in enumerate(drawn["recurrent_mask"]):
        recurrent[f"rnn.weight_hh_l{layer}"][:] = mask
    on_disk = dict(recurrent.to_disk())
    return reference.Masks(
        output=[mask[..., :H] for mask in drawn["mask"]],
        keep_h=[mask[..., :H] for mask in drawn["keep_h"]],
        keep_c=[mask[..., :H] for mask in drawn["keep_c"]],
        recurrent=[
            on_disk[f"rnn.weight_hh_l{layer}"] for layer in range(len(drawn["recurrent_mask"]))
        ],
        input=None if factor is None else factor[:steps],
    )


def close(found: np.ndarray, wanted: np.ndarray, name: str, tolerance: float = 2e-5) -> None:
    """Equal, relative to the largest element: a sum of terms of both signs is not better known than
    they are.
    """
    largest = np.abs(wanted).max()
    assert largest > 0, f"{name} has no influence: nothing was tested"
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * largest, err_msg=name)


def assert_states(case: Case, state: State, states: reference.States) -> None:
    H = case.config.hidden
    for layer, (h, c) in enumerate(states):
        close(state.h[layer, :, :H], h, f"h of layer {layer}", 1e-5)
        if case.config.cell in reference.HAS_MEMORY:
            close(state.c[layer, :, :H], c, f"c of layer {layer}", 1e-5)
        elif case.config.cell == "clockwork":
            assert np.array_equal(state.c[layer, :, :H], c), f"clocks of layer {layer}"
        assert np.isfinite(state.c).all()
    assert not state.h[..., H:].any()
    if case.config.cell in reference.HAS_MEMORY:
        assert not state.c[..., H:].any()


def assert_padding_is_zero(model: Model, values: np.ndarray) -> None:
    """Padding, and what is always zero: the first two blocks of GRU-after's second bias, what no
    clockwork unit reads.
    """
    real, H = model.parameters.like(), model.config.hidden
    ones = {
        name: np.ones(shape, np.float32) for name, shape in reference.shapes(model.config).items()
    }
    for name, array in ones.items():
        if "bias_hh" in name:
            array[: 2 * H] = 0
        if model.config.cell == "clockwork" and "weight_hh" in name:
            array *= reference.clockwork_reads(model.config).astype(np.float32)
    real.from_disk(ones)
    assert not values[real.flat == 0].any()


# Against the reference
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_starts", [False, True])
@EVERY_SETTING
@EVERY_CELL
def test_loss_gradients_and_states(cell: str, setting: str, has_starts: bool) -> None:
    """With the network's own masks. Two calls of different length and key, so that something is
    left in the buffers.
    """
    case = make_case(cell, setting)
    starts = random_starts(case) if has_starts else None
    network, state = (
        Network(case.model, T, N, Workers(2, processors=2), training=True),
        case.state(),
    )
    network.gradients(case.y, case.x, case.state(), 8)
    steps = T if has_starts else T - 2
    x, y = case.x[:steps], case.y[:steps]
    loss, gradient = network.gradients(x, y, state, 3, starts)
    exact, wanted, states = reference.gradients(
        case.config, case.parameters, x, y, case.states, starts, masks_of(network, steps)
    )
    assert loss == pytest.approx(exact, rel=2e-6)
    found = dict(gradient.to_disk())
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        close(found[name], array, name)
    assert_states(case, state, states)
    assert_padding_is_zero(case.model, gradient.flat)


@pytest.mark.parametrize("is_training", [False, True])
@EVERY_SETTING
@EVERY_CELL
def test_evaluation(cell: str, setting: str, is_training: bool) -> None:
    """No mask, and zoneout by its rates; on the network that trains as on one that only reads."""
    case = make_case(cell, setting)
    starts = random_starts(case) if is_training else None
    network, state = Network(case.model, T, N, Workers(1), training=is_training), case.state()
    if is_training:
        network.gradients(case.x, case.y, case.state(), 0)
    losses = network.evaluate(case.x, case.y, state, starts)
    trace = reference.forward(case.config, case.parameters, case.x, case.y, case.states, starts)
    np.testing.assert_allclose(losses, trace.losses, rtol=2e-5, atol=2e-6)
    assert_states(case, state, trace.states)


@EVERY_CELL
def test_without_a_key_nothing_is_dropped(cell: str) -> None:
    """Neither on a new network nor on one that has dropped before."""
    case = make_case(cell, "everything", input_dropout=0.2)
    fresh, used = (Network(case.model, T, N, Workers(1), training=True) for _ in range(2))
    used.gradients(case.x, case.y, case.state(), 3)
    loss, gradient = fresh.gradients(case.x, case.y, case.state(), None)
    assert used.gradients(case.x, case.y, case.state(), None)[0] == loss
    assert np.array_equal(used.gradient.flat, gradient.flat)
    losses = fresh.evaluate(case.x, case.y, case.state())
    assert loss == pytest.approx(losses.mean(dtype=np.float64), rel=1e-12)


@EVERY_CELL
def test_no_gradient_crosses_the_start_of_a_document(cell: str) -> None:
    """What precedes a start, whatever it was, changes neither what follows nor its part of the
    gradient.
    """
    case = make_case(cell, "deep", recurrent_dropout=0.0)
    starts = np.zeros((T, N), np.bool_)
    starts[4] = True
    other = replace(case, x=np.concatenate([(case.x[:4] + 1) % V, case.x[4:]]))
    network = Network(case.model, T, N, Workers(1), training=True)
    first, second = case.state(), case.state()
    losses = network.evaluate(case.x, case.y, first, starts).copy()
    assert np.array_equal(network.evaluate(other.x, other.y, second, starts)[4:], losses[4:])
    assert np.array_equal(first.h, second.h)
    _, both, _ = case.gradients(Workers(1), starts)
    before = replace(case, x=case.x[:4], y=case.y[:4]).gradients(Workers(1))[1]
    zero = [(np.zeros_like(h), np.zeros_like(c)) for h, c in case.states]
    after = replace(case, x=case.x[4:], y=case.y[4:], states=zero).gradients(Workers(1))[1]
    close(7 * both, 4 * before + 3 * after, "gradient", 1e-6)


@EVERY_CELL
def test_a_start_at_the_first_step_is_a_zero_state(cell: str) -> None:
    case = make_case(cell, "everything")
    starts = np.zeros((T, N), np.bool_)
    starts[0] = True
    zero = replace(case, states=[(np.zeros_like(h), np.zeros_like(c)) for h, c in case.states])
    loss, gradient, state = case.gradients(Workers(1), starts)
    wanted_loss, wanted_gradient, wanted = zero.gradients(Workers(1))
    assert loss == wanted_loss and np.array_equal(gradient, wanted_gradient)
    assert np.array_equal(state.h, wanted.h) and np.array_equal(state.c, wanted.c)


# What must not change a bit
# -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pools() -> Iterator[list[Workers]]:
    pools = [Workers(threads, processors=threads) for threads in (1, 2, 3)]
    yield pools
    for pool in pools:
        pool.close()


@pytest.mark.parametrize(
    ("cell", "setting"),
    [*((cell, "everything") for cell in CELL_NAMES), ("gru", "skipped")],
)
def test_any_number_of_threads_gives_the_same_bits(
    cell: str, setting: str, pools: list[Workers]
) -> None:
    case = make_case(cell, setting, N=5)
    starts = random_starts(case, 0.1)
    loss, gradient, state = case.gradients(pools[0], starts)
    losses = Network(case.model, T, 5, pools[0]).evaluate(case.x, case.y, case.state()).copy()
    for workers in pools[1:]:
        other_loss, other_gradient, other = case.gradients(workers, starts)
        assert other_loss == loss and np.array_equal(other_gradient, gradient)
        assert np.array_equal(other.h, state.h) and np.array_equal(other.c, state.c)
        assert np.array_equal(
            Network(case.model, T, 5, workers).evaluate(case.x, case.y, case.state()), losses
        )


@EVERY_CELL
@pytest.mark.parametrize("setting", ["small", "zoned"])
def test_one_sequence_equals_three_chunks_with_carried_state(cell: str, setting: str) -> None:
    case = make_case(cell, setting, T=13, input_dropout=0.0, zoneout_h=0.0, zoneout_c=0.0)
    whole_state, carried, trained_on = case.state(), case.state(), case.state()
    whole = Network(case.model, 13, N, Workers(1)).evaluate(case.x, case.y, whole_state)
    network, training = (
        Network(case.model, 6, N, Workers(1)),
        Network(case.model, 6, N, Workers(1), training=True),
    )
    chunks, total = [], 0.0
    for a, b in ((0, 6), (6, 8), (8, 13)):
        chunks.append(network.evaluate(case.x[a:b], case.y[a:b], carried).copy())
        total += training.gradients(case.x[a:b], case.y[a:b], trained_on, 0)[0] * (b - a)
    assert np.array_equal(np.concatenate(chunks), whole)
    assert total / 13 == pytest.approx(whole.mean(dtype=np.float64), rel=1e-12)
    for state in (carried, trained_on):
        assert np.array_equal(state.h, whole_state.h)
        assert cell not in WITH_CLOCK or np.array_equal(state.c, whole_state.c)


# A run
# --------------------------------------------------------------------------------------------------


def new_run(cell: str, corpus: Corpus, **settings: Any) -> Run:
    """Two layers, 9 units, all kinds of masks; 6 steps."""
    model = {
        "layers": 2,
        "hidden": 9,
        "dropout": 0.2,
        "zoneout_h": 0.1,
        "zoneout_c": 0.1,
        "recurrent_dropout": 0.1,
    }
    model |= {"embedding": 3, "input_dropout": 0.1, "clockwork_groups": 3}
    train = {
        "steps": 6,
        "batch_size": 3,
        "seq_length": 8,
        "eval_every": 3,
        "sample_every": 6,
        "learning_rate": 0.02,
    }
    return Run.new(corpus, plain_model(cell=cell, **(model | settings)), adam(**train))


@EVERY_CELL
def test_saved_and_resumed_it_ends_with_the_same_bits(cell: str, tmp_path: Path) -> None:
    corpus = Corpus.from_text(TEXT, CorpusConfig())
    whole = new_run(cell, corpus)
    reports = trained(whole, corpus, threads=1)
    run = new_run(cell, corpus)
    trained(run, corpus, steps=3, threads=2)
    save_run(tmp_path / "half", run)
    resumed = load_run(tmp_path / "half")
    assert np.array_equal(resumed.model.parameters.flat, run.model.parameters.flat)
    assert [report.loss for report in trained(resumed, corpus, threads=2)] == [
        report.loss for report in reports[3:]
    ]
    save_run(tmp_path / "whole", whole)
    save_run(tmp_path / "resumed", resumed)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()
    assert_padding_is_zero(whole.model, whole.model.parameters.flat)
    again = load_run(tmp_path / "whole")
    assert (
        evaluate(again.result, corpus.validation).nats_per_char
        == whole.history[-1]["validation_loss"]
    )


@EVERY_CELL
def test_training_lowers_the_loss(cell: str) -> None:
    corpus = Corpus.from_text(TEXT, CorpusConfig())
    run = new_run(
        cell,
        corpus,
        dropout=0.0,
        zoneout_h=0.0,
        zoneout_c=0.0,
        recurrent_dropout=0.0,
        input_dropout=0.0,
    )
    run.change(steps=60)
    before = evaluate(run.result, corpus.validation).nats_per_char
    assert before == pytest.approx(np.log(len(corpus.vocab)), rel=0.05), (
        "a new network knows nothing"
    )
    trained(run, corpus, threads=1)
    assert evaluate(run.result, corpus.validation).nats_per_char < before - 0.5


# Writing
# --------------------------------------------------------------------------------------------------


@EVERY_CELL
@pytest.mark.parametrize("setting", ["dropped", "zoned", "skipped"])
def test_writing_goes_through_the_states_and_logits_of_the_reference(
    cell: str, setting: str
) -> None:
    """A text drawn in two pieces ends in the reference's state; after each beginning of it,
    temperature 0 takes its best.
    """
    case = make_case(cell, setting)
    zero = [(np.zeros_like(h), np.zeros_like(c)) for h, c in case.states]
    logits = reference.forward(case.config, case.parameters, case.x, case.y, zero).logits
    case.parameters["decoder.bias"] -= logits.mean(
        (0, 1), np.float32
    )  # or one character may be the best after all others
    case.model.parameters.from_disk(case.parameters)
    prime = case.x[:, 0]
    writer = Writer(case.model, SamplingConfig(temperature=1.0, precision="float32"), streams=2)
    writer.read(prime)
    written = np.concatenate([writer.write(12), writer.write(8)])[:, 0]
    text = np.concatenate([prime, written])[:, None]
    alone = [(h[:1], c[:1]) for h, c in zero]
    trace = reference.forward(case.config, case.parameters, text[:-1], text[1:], alone)
    H = case.config.hidden
    for layer, (h, c) in enumerate(trace.states):
        close(writer.state.h[layer, :1, :H], h, f"h of layer {layer}", 5e-5)
        if cell in reference.HAS_MEMORY:
            close(writer.state.c[layer, :1, :H], c, f"c of layer {layer}", 5e-5)
    best = []
    for length, logits in enumerate(trace.logits[:, 0], 1):
        greedy = Writer(
            case.model, SamplingConfig(temperature=0, precision="float32"), panels=writer.panels
        )
        greedy.read(text[:length, 0])
        best.append(int(greedy.write(1)[0, 0]))
        assert logits[best[-1]] >= logits.max() - 1e-4
    assert len(set(best)) > 1, "always the same character would prove little"


@EVERY_CELL
def test_characters_are_drawn_as_evaluation_finds_them_probable(cell: str) -> None:
    """6,000 next characters after one text: chi-square of 10 degrees of freedom, of which 35 is one
    in ten thousand.
    """
    case, count = make_case(cell, "zoned"), 6000
    writer = Writer(
        case.model, SamplingConfig(temperature=1.0, seed=2, precision="float32"), streams=count
    )
    writer.read(case.x[:, 0])
    found = np.bincount(writer.write(1)[0], minlength=V)
    texts = [np.append(case.x[:, 0], symbol) for symbol in range(V)]
    expected = count * np.exp(
        [-evaluate(case.model, text).losses[-1].astype(np.float64) for text in texts]
    )
    assert expected.sum() == pytest.approx(count, rel=1e-5)
    assert ((found - expected) ** 2 / expected).sum() < 35


# Beginning
# --------------------------------------------------------------------------------------------------

FORGET_BLOCKS = {
    **{"lstm": (1,), "peephole": (1,), "coupled": (0,), "depth-gated": (2,), "grid": (1, 5)},
}


@EVERY_CELL
def test_initial_biases(cell: str) -> None:
    """Zero, but for the forget gates, whose place in the biases on disk is above."""
    config = plain_model(vocab_size=V, cell=cell, hidden=5, forget_bias=2.5)
    arrays = dict(Model.initialized(config, seed=7).parameters.to_disk())
    assert {name: array.shape for name, array in arrays.items()} == reference.shapes(config)
    for layer in (0, 1):
        blocks = arrays[f"rnn.bias_ih_l{layer}"].reshape(-1, 5)
        for k, block in enumerate(blocks):
            assert (block == (2.5 if k in FORGET_BLOCKS.get(cell, ()) else 0)).all(), k
        assert not arrays.get(f"rnn.bias_hh_l{layer}", np.zeros(1)).any()
        assert np.abs(arrays[f"rnn.weight_hh_l{layer}"]).max() > 0
    assert not arrays["decoder.bias"].any()


@EVERY_CELL
def test_a_new_network_has_nothing_where_it_has_no_weights(cell: str) -> None:
    for init in ("xavier-uniform", "xavier-normal", "uniform"):
        for recurrent in ("same", "orthogonal", "identity"):
            config = plain_model(
                vocab_size=V, cell=cell, hidden=9, embedding=3, init=init, recurrent_init=recurrent
            )
            model = Model.initialized(config, seed=1)
            assert_padding_is_zero(model, model.parameters.flat)
            assert np.isfinite(model.parameters.flat).all()


# Chance
# --------------------------------------------------------------------------------------------------


def masks_by_option(network: Network, steps: int) -> dict[str, list[np.ndarray]]:
    masks = masks_of(network, steps)
    found = {
        **{"dropout": masks.output, "zoneout_h": masks.keep_h, "zoneout_c": masks.keep_c},
        **{"recurrent_dropout": masks.recurrent, "input_dropout": [masks.input]},
    }
    return {name: [np.array(mask) for mask in drawn] for name, drawn in found.items()}


@pytest.mark.parametrize("is_locked", [False, True])
def test_masks_have_their_rates_and_differ(is_locked: bool) -> None:
    """By layer, by option and by key; kept connections are scaled up, zoneout's choices are 0 and
    1.
    """
    rates = {
        "dropout": 0.2,
        "input_dropout": 0.25,
        "recurrent_dropout": 0.3,
        "zoneout_h": 0.35,
        "zoneout_c": 0.4,
    }
    case = make_case(
        "lstm", "small", T=30, N=20, layers=2, hidden=33, locked_dropout=is_locked, **rates
    )
    network = Network(case.model, 30, 20, Workers(2, processors=2), training=True)
    drawn = []
    for key in (0, 1, 2**40, 1):
        network.gradients(case.x, case.y, case.state(), key)
        drawn.append(masks_by_option(network, 30))
    for name, rate in rates.items():
        scale, share = (1.0, 1 - rate) if "zoneout" in name else (1 / (1 - rate), rate)
        masks = [mask for by_key in drawn[:3] for mask in by_key[name]]
        # of what is drawn independently
        size = V * 20 if is_locked and name == "input_dropout" else masks[0].size
        for k, mask in enumerate(masks):
            assert set(np.unique(mask).tolist()) == {0.0, float(np.float32(scale))}, name
            assert abs((mask == 0).mean() - share) < 5 * (share * (1 - share) / size) ** 0.5, name
            assert not any(np.array_equal(mask, other) for other in masks[:k]), name
        assert all(map(np.array_equal, drawn[1][name], drawn[3][name])), (
            f"{name}: the same key draws the same mask"
        )
    assert not np.array_equal(drawn[0]["zoneout_h"][0], drawn[0]["zoneout_c"][0])


def test_locked_masks_are_drawn_once_for_all_steps() -> None:
    """Those of the outputs for every unit, those of the inputs for every kind of character; a
    stream has its own.
    """
    case = make_case(
        "lstm", "small", T=30, N=20, locked_dropout=True, dropout=0.3, input_dropout=0.3
    )
    network = Network(case.model, 30, 20, Workers(2, processors=2), training=True)
    network.gradients(case.x, case.y, case.state(), 0)
    assert all(
        len(layer.mask) == 1 and (layer.mask[0, 1:] != layer.mask[0, 0]).any()
        for layer in network.layers
    )
    kept = np.full((V, 20), np.nan)
    for ids, factors in zip(case.x, network.factor, strict=True):
        before = kept[ids, np.arange(20)]
        assert ((before == factors) | np.isnan(before)).all()
        kept[ids, np.arange(20)] = factors
    assert all(len(np.unique(row[~np.isnan(row)])) == 2 for row in kept), (
        "each kind is dropped in some streams only"
    )

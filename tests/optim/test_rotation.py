"""SOAP: against float64, its basis, and what it is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.model import Model
from charrnn.network.parameters import Parameters
from charrnn.optim import rotation
from charrnn.optim.optimizers import OPTIMIZERS, coefficients_of, new_slots, update_parameters
from charrnn.optim.rotation import Rotation, mean_squares, squares_of
from charrnn.runtime.threads import Workers
from charrnn.training.recipe import FEW_PASSES, optimizer_for, resolve
from charrnn.training.run import Run
from charrnn.training.run_file import load_run, save_run
from tests.reference.small import plain_model, small_corpus, small_run, trained

ONE = Workers(1)
UNCLIPPED = np.float32(np.inf), np.float32(1)
SMALL = {"vocab_size": 5, "hidden": 21, "layers": 2, "embedding": 7}


class Ours:
    """A network's parameters in SOAP's hands."""

    def __init__(self, config: ModelConfig, workers: Workers = ONE, **settings: Any) -> None:
        self.config = TrainConfig(optimizer="soap", weight_decay=0, **settings)
        self.w = Model.initialized(config, 0).parameters
        self.g, self.slots = self.w.like(), new_slots("soap", config)
        self.rotation = Rotation(self.w, self.g, self.slots, FLOAT32, workers)
        self.workers, self.t = workers, 0

    def step(self) -> None:
        self.t += 1
        optimizer, rate = OPTIMIZERS["soap"], coefficients_of(self.config).learning_rate
        rule = optimizer.rule(self.config, rate, self.t)
        update_parameters(
            optimizer, self.w, self.g, self.slots, rule, UNCLIPPED, self.workers,
            rotated=self.rotation, step=self.t,
        )  # fmt: skip


def gradients(like: Parameters, seed: int) -> Any:
    """Noise of which a few directions have the most, and what makes weights zero."""
    rng = np.random.default_rng(seed)
    mixing = {t.name: rng.normal(size=(t.inputs or 1, 3)) for t in like.tensors}

    def draw() -> dict[str, np.ndarray]:
        found = {}
        for tensor in like.tensors:
            noise = 0.3 * rng.normal(size=tensor.disk_shape)
            if tensor.inputs:
                rows = tensor.disk_shape[0]
                noise = noise + rng.normal(size=(rows, 3)) @ mixing[tensor.name].T
            found[tensor.name] = noise.astype(np.float32)
        return found

    return draw


def by_the_paper(w: np.ndarray, drawn: list[np.ndarray], rate: float) -> tuple[Any, ...]:
    """The steps of one weight (K, Z) in float64."""
    K = len(w)
    covariance, basis = np.zeros((K, K)), np.eye(K)
    m, v = np.zeros(w.shape), np.zeros(w.shape)
    for t, g in enumerate(drawn, 1):
        turns = t <= rotation.EARLY or t % rotation.TURNED == 0
        if turns or t % rotation.ADDED == 0:
            memory = rotation.MEMORY ** (1 if t <= rotation.EARLY else rotation.ADDED)
            covariance = memory * covariance + g @ g.T
        if turns:
            q, r = np.linalg.qr(covariance @ basis.T)
            q *= np.sign(np.diag(r))
            turn = q.T @ basis.T
            m, v, basis = turn @ m, turn**2 @ v, q.T
        turned = basis @ g
        m, v = 0.9 * m + 0.1 * turned, 0.999 * v + 0.001 * turned**2
        step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w = w - rate * float(rotation.RATE) * basis.T @ step
    return w, covariance, basis, v


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_the_papers(threads: int) -> None:
    """Sixty-three steps of a network, of which one weight is followed in float64; the others that
    are not rotated are Adam's.
    """
    ours = Ours(plain_model(**SMALL), Workers(threads, processors=threads), learning_rate=0.01)
    name, padded = "rnn.weight_hh_l1", 21
    start, drawn, draw = ours.w[name].astype(np.float64), [], gradients(ours.w, 1)
    others = {t: ours.w[t].copy() for t in ("decoder.weight", "rnn.bias_ih_l0")}
    for _ in range(63):
        ours.g.from_disk(draw())
        drawn.append(ours.g[name].astype(np.float64))
        ours.step()
    w, covariance, basis, v = by_the_paper(start[:padded], [g[:padded] for g in drawn], 0.01)
    np.testing.assert_allclose(
        ours.slots["covariance"][name][:padded, :padded], covariance, rtol=1e-3
    )
    np.testing.assert_allclose(ours.slots["basis"][name][:padded, :padded], basis, atol=0.02)
    np.testing.assert_allclose(ours.slots["v"][name][:padded], v, rtol=0.1, atol=2e-3)
    difference = np.linalg.norm(ours.w[name][:padded] - w) / np.linalg.norm(w - start[:padded])
    assert difference < 0.02
    assert not ours.w[name][padded:].any() and not ours.slots["v"][name][padded:].any()
    assert all((ours.w[t] != before).any() for t, before in others.items())


def test_the_basis_is_orthonormal_and_diagonalizes() -> None:
    ours = Ours(plain_model(**SMALL))
    draw = gradients(ours.w, 2)
    for _ in range(120):
        ours.g.from_disk(draw())
        ours.step()
    for tensor in ours.slots["basis"].tensors:
        basis = ours.slots["basis"][tensor.name].astype(np.float64)
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-4)
        turned = basis @ ours.slots["covariance"][tensor.name] @ basis.T
        rest = turned - np.diag(np.diag(turned))
        assert np.linalg.norm(rest) < 0.2 * np.linalg.norm(turned)


def test_threads_do_not_change_a_bit() -> None:
    runs = []
    for threads in (1, 3):
        ours = Ours(plain_model(**SMALL), Workers(threads, processors=threads))
        draw = gradients(ours.w, 3)
        for _ in range(12):
            ours.g.from_disk(draw())
            ours.step()
        runs.append((ours.w.flat, *(slot.flat for slot in ours.slots.values())))
    for one, three in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, three)


def test_a_valley_that_no_axis_follows() -> None:
    """Without noise the covariance spans more digits than float32 has: rows of the basis that were
    rounding errors, or squares that another direction had left, made the steps explode.
    """
    ours = Ours(plain_model(vocab_size=5, hidden=16, layers=1), learning_rate=0.01)
    rng, weight = np.random.default_rng(0), ours.w["rnn.weight_hh_l0"]
    turn, _ = np.linalg.qr(rng.normal(size=(16, 16)))
    hill = (turn * np.geomspace(1, 1e-4, 16)) @ turn.T
    target = rng.normal(size=weight.shape)
    losses = []
    for _ in range(400):
        ours.g["rnn.weight_hh_l0"][...] = hill @ (weight - target)
        losses.append(np.sum((weight - target) * (hill @ (weight - target))))
        ours.step()
    assert losses[-1] < 0.03 * losses[0] and max(losses) < 1.05 * losses[0]
    basis = ours.slots["basis"]["rnn.weight_hh_l0"].astype(np.float64)
    np.testing.assert_allclose(basis @ basis.T, np.eye(16), atol=1e-5)


def test_which_weights_are_rotated() -> None:
    def names(**settings: Any) -> set[str]:
        return {tensor.name for tensor in squares_of(plain_model(vocab_size=9, **settings))}

    over = {"rnn.weight_hh_l0", "rnn.weight_hh_l1"}
    assert names(hidden=8, layers=2) == {*over, "rnn.weight_ih_l1"}, "one-hot characters are rows"
    assert names(hidden=8, layers=2, embedding=4) == {*over, "rnn.weight_ih_l0", "rnn.weight_ih_l1"}
    clockwork = names(hidden=8, layers=2, cell="clockwork")
    assert clockwork == {"rnn.weight_ih_l1"}, "some weights are held at zero"


def test_squares_are_those_of_the_weights() -> None:
    """Dynamic evaluation divides by them."""
    ours = Ours(plain_model(**SMALL), beta2=0.99)
    draw, sums = gradients(ours.w, 4), ours.w.like()
    for _ in range(600):
        ours.g.from_disk(draw())
        sums.flat[:] += 0.01 * (np.square(ours.g.flat) - sums.flat)
        ours.step()
    found = mean_squares(ours.slots)
    for name in ("rnn.weight_hh_l1", "decoder.weight"):
        ratio = found[name][:21] / np.maximum(sums[name][:21], 1e-12)
        assert 0.7 < np.median(ratio[sums[name][:21] > 0]) < 1.4


def test_a_run_goes_on_to_the_same_bytes(tmp_path) -> None:
    corpus = small_corpus()
    whole, part = (small_run(corpus, optimizer="soap", steps=14) for _ in range(2))
    trained(whole, corpus)
    trained(part, corpus, steps=6)
    save_run(tmp_path / "part", part)
    again = load_run(tmp_path / "part")
    assert again.trained.squares is not None
    trained(again, corpus)
    for run, path in ((whole, tmp_path / "a"), (again, tmp_path / "b")):
        save_run(path, run)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_recipe_takes_it_for_few_passes() -> None:
    assert (optimizer_for(FEW_PASSES), optimizer_for(FEW_PASSES + 1)) == ("soap", "adamw")
    assert optimizer_for(1.0, is_fine_tuning=True) == "adamw"
    corpus = small_corpus()
    for epochs, expected in ((2, "soap"), (30, "adamw")):
        _, training = resolve(corpus, None, TrainConfig(epochs=epochs))
        assert training.optimizer == expected
    _, given = resolve(corpus, None, TrainConfig(epochs=2, optimizer="adamw"))
    assert given.optimizer == "adamw"


def test_a_network_without_rotated_weights_goes_on_too(tmp_path: Path) -> None:
    """Clockwork holds some recurrent weights at zero, and without an embedding no other is left."""
    corpus = small_corpus()
    model = ModelConfig(len(corpus.vocab), "clockwork", layers=1, hidden=8, embedding=0)
    config = TrainConfig(3, 8, optimizer="soap", steps=4)
    run = Run.new(corpus, model, config)
    trained(run, corpus)
    save_run(tmp_path / "run.safetensors", run)
    assert load_run(tmp_path / "run.safetensors").step == 4

"""A small text and small runs on it, for the tests of what surrounds the network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.training import loop
from charrnn.training.loop import train
from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder

TEXT = "".join(
    f"{n} green bottles hanging on the wall, and if {n % 7} should fall\n" for n in range(40)
)


PLAIN: dict[str, Any] = {
    "embedding": 0,
    "mogrifier": 0,
    "attention": 0,
    "layer_norm": False,
    "forget_bias": 1.0,
    "dropout": 0.0,
    "input_dropout": 0.0,
}
ADAM: dict[str, Any] = {
    "optimizer": "adam",
    "schedule": "inverse-sqrt",
    "warmup": 0,
    "clip_norm": 1.0,
    "precision": "float32",
}


def let_overflow(parameters: Any) -> None:
    """Give a decoder finite weights with which logits are not finite."""
    parameters["decoder.bias"][:2] = 3.4e38
    parameters["decoder.weight"][:, :2] = 0
    parameters["decoder.weight"][0, :2] = 3e38, -3e38


def plain_model(**settings: Any) -> ModelConfig:
    """A network of one-hot characters, in which nothing is normalised or dropped, but for these
    settings.
    """
    return ModelConfig(**(PLAIN | settings))


def adam(**settings: Any) -> TrainConfig:
    """Training with Adam, clipped, at a rate that falls from the first step on, but for these
    settings.
    """
    return TrainConfig(**(ADAM | settings))


def small_corpus(text: str | bytes = TEXT, **settings: Any) -> Corpus:
    return Corpus.from_text(text, CorpusConfig(**settings))


def small_run(corpus: Corpus, **settings: Any) -> Run:
    """Two layers with dropout, so that everything that a step depends on takes part."""
    model = {
        name: settings.pop(name)
        for name in ("layers", "hidden", "embedding", "dropout")
        if name in settings
    }
    given = {
        "steps": 12,
        "batch_size": 3,
        "seq_length": 8,
        "eval_every": 5,
        "learning_rate": 0.01,
    } | settings
    return Run.new(
        corpus,
        plain_model(**({"layers": 2, "hidden": 9, "dropout": 0.2} | model)),
        adam(**given),
    )


def trained(
    run: Run,
    corpus: Corpus,
    folder: RunFolder | None = None,
    steps: int | None = None,
    threads: int = 1,
) -> list[Report]:
    """Train to the end, or for so many steps and then stop as a user does."""
    reports = []
    iteration = train(run, corpus, folder=folder, threads=threads)
    if steps == 0:
        return reports
    for report in iteration:
        reports.append(report)
        if len(reports) == steps:
            break
    iteration.close()
    return reports


def digest(run: Run) -> str:
    """A hash of every number that training changes, and of the history."""
    bits, average = hashlib.sha256(), [] if run.average is None else [run.average]
    for parameters in (run.model.parameters, *run.slots.values(), *average):
        bits.update(parameters.flat.tobytes())
    bits.update(run.state.h.tobytes() + run.state.c.tobytes())
    bits.update(repr((run.step, run.history)).encode())
    return bits.hexdigest()


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """Every run in a folder is interrupted once it has made this many steps."""

    def killed(trainer: loop._Trainer) -> Report:
        if trainer.run.step == step and trainer.folder is not None:
            raise KeyboardInterrupt
        return real(trainer)

    real = loop._Trainer.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Trainer, "step", killed)
        yield

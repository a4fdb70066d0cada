"""Advice in plain words about a run: what is wrong with it and what to do, or nothing.

Every threshold lies between what healthy runs and runs with something wrong showed:
`benchmarks/advice.py`, whose results are in `benchmarks/results`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.config.fields import Value
from charrnn.inspection.health import layer_health
from charrnn.optim.optimizers import coefficients_of
from charrnn.optim.updates import usual_sizes
from charrnn.text.content_findings import SHORT
from charrnn.text.corpus import Corpus
from charrnn.text.occurrences import count_symbols
from charrnn.text.vocab import NOUNS, counted
from charrnn.training.entries import Entry
from charrnn.training.recipe import WIDTHS, learning_rate_for
from charrnn.training.run import Run

LARGE_UPDATE = 0.08
"""Of the usual size of a layer's weights, an update that is too large. Twenty healthy runs had at
most 0.04, the recipe's 0.02 to 0.04; at ten times the rate they had 0.17 to 0.37. Compared with the
weights as they are, both look alike, 0.014 and 0.018 after 200 steps, since large updates make
large weights.
"""
USUAL_UPDATE = 0.025
"""What the recipe's rate has, about."""
WITHOUT_MOMENTUM = 3.0
"""Times as large may the updates of optimizers without momentum be: theirs do not add up over ten
steps as Adam's do. RMSProp's of 0.2 learned better than those of 0.02 (1.74 and 2.41 nats).
"""
MOMENTUM = ("adam", "adamw", "soap", "momentum", "nesterov")
SHORT_WAY = 0.11
"""How far a run's updates can take weights, of their usual size, if that is too little: the size of
an update times the square root of the number of steps, as far as a random walk goes. Healthy runs
of 300 to 900 steps had at least 0.14, those with the recipe's rate 0.48 to 0.83; a tenth of that
rate, 0.06 to 0.10. Of a run shorter than `JUDGED` steps nobody expects much.
"""
JUDGED = 100
LEAST_RATE = 0.1
"""Updates are judged while the learning rate is at least this fraction of its peak, and as if it
were at the peak.
"""
FALLS = 2
"""Times that a run goes back before its rate is called too high: once can be chance."""
NOTHING_LEARNED, LEAST_STEPS, COUNTED = 0.05, 400, 1_000_000
"""A network has learned nothing if its loss after LEAST_STEPS is less than this below the loss of a
guess by frequency alone, which is counted in at most COUNTED characters. Healthy networks were a
nat below it.
"""
SATURATED = 0.88
"""Share of the time that a layer's gates are fully open or shut, if that is too much. Healthy runs
had up to 0.7 of it, in a GRU; at ten times their rate 0.86 to 0.99.
"""
STILL, DEAD = 1e-3, 0.1
"""A unit is dead if its output changes less than this (its standard deviation); that many of a
layer are too many. Healthy runs had none, but of 64 relus 23 had died.
"""
SHORT_LIST, ITEM = 5_000, 100
"""Characters that are enough where the text is a list: documents no longer than `ITEM`."""


@dataclass(frozen=True)
class Advice:
    """One thing that is wrong with a run.

    kind: "learning rate too high", "learning rate too low", "nothing learned", "overfitting",
        "saturated gates" or "saturated units", "dead units", "short text"
    text: what is wrong and what to do, in a sentence or two, with parameters in backticks
    settings: the values that the text advises, by name
    """

    kind: str
    text: str
    settings: Mapping[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line."""
        return f"{self.kind}: {self.text}"


def advice(run: Run, corpus: Corpus | None = None) -> list[Advice]:
    """What is wrong with a run as far as it has come, the most important first; nothing for a
    healthy one, and at most one `Advice` of each kind.

    It reads the run's history, which is complete while it trains and afterwards, and with a corpus,
    the run's own, also a thousand characters of the validation text, to see what gates and units
    do. That takes less than a training step. The run does not change.
    """
    found = [*_rate(run), *_overfitting(run)]
    if corpus is not None:
        if not found:
            found += _nothing_learned(run, corpus)
        if not any(each.kind.startswith("learning rate") for each in found):  # their cause
            found += _activity(run, corpus)
        found += _short_text(run, corpus)
    return found


def _rate(run: Run) -> Iterator[Advice]:
    """Whether the learning rate is too high or too low."""
    usual = usual_sizes(run.model.parameters.tensors)
    peak = coefficients_of(run.config).learning_rate
    falls = [e for e in run.history if "fell_back_from" in e]
    updates = [_updates(entry, usual, peak * run.fall_factor) for entry in run.validations]
    updates = [shares for shares in updates if shares]
    layer, size = _largest(max(updates, key=lambda shares: max(shares.values()), default={}))
    times = _times(run)
    if size > times * LARGE_UPDATE:
        rate = _better_rate(run, size)
        yield Advice(
            "learning rate too high",
            f"each step moves the weights of {layer} by {100 * size:.0f} % of their usual "
            f"size, and {times:.0f} to {4 * times:.0f} % is healthy. Start again with "
            f"`learning_rate` {rate:g}",
            {"learning_rate": rate},
        )
    elif len(falls) >= FALLS and run.progress.fall_backs >= FALLS:
        rate = _rounded(peak * run.fall_factor)
        yield Advice(
            "learning rate too high",
            f"the loss has exploded {len(falls)} times, and the run went back each time. Start "
            f"again with `learning_rate` {rate:g}",
            {"learning_rate": rate},
        )
    elif updates and run.anchor is None and run.total_steps >= JUDGED:
        layer, size = _largest(updates[0])
        if size * math.sqrt(run.total_steps) < SHORT_WAY:
            rate = _better_rate(run, size)
            yield Advice(
                "learning rate too low",
                f"each step moves the weights of {layer} by {100 * size:.1g} % of their usual "
                f"size, too little for a run of {counted(run.total_steps, 'step')}. Start again "
                f"with `learning_rate` {rate:g}",
                {"learning_rate": rate},
            )


def _updates(entry: Entry, usual: Mapping[str, float], peak: float) -> dict[str, float]:
    """The size of an update at the peak rate, of the usual size of each layer's weights. Nothing
    if the rate was too low to tell, or that of a time before it was lowered, or if a damaged file
    has something else there.
    """
    rate, updates = entry.get("learning_rate"), entry.get("updates")
    if not (isinstance(rate, int | float) and isinstance(updates, dict)):
        return {}
    if not 0 < LEAST_RATE * peak <= rate <= 1.01 * peak:
        return {}
    return {
        layer: updates[layer] / size * peak / rate
        for layer, size in usual.items()
        if isinstance(updates.get(layer), int | float)
    }


def _largest(updates: Mapping[str, float]) -> tuple[str, float]:
    """The layer with the largest update, as people call it, and its update."""
    layer = max(updates, key=updates.__getitem__, default="")
    return "the decoder" if layer == "decoder" else layer, updates.get(layer, 0.0)


def _better_rate(run: Run, size: float) -> float:
    """The recipe's rate, or for other optimizers one with updates of the usual size."""
    config, rate = run.config, coefficients_of(run.config).learning_rate
    if config.optimizer in ("adam", "adamw", "soap"):
        return learning_rate_for(run.model.config.hidden)
    return _rounded(rate * _times(run) * USUAL_UPDATE / size) if size > 0 else rate


def _times(run: Run) -> float:
    """Times that this optimizer's updates may be as large as Adam's."""
    return 1.0 if run.config.optimizer in MOMENTUM else WITHOUT_MOMENTUM


def _rounded(value: float) -> float:
    """To one significant digit."""
    return float(f"{value:.1g}")


def _overfitting(run: Run) -> Iterator[Advice]:
    """Whether the network has begun to overfit (`recovery.overfits`)."""
    if not any(entry.get("overfitting") is True for entry in run.validations):
        return
    config = run.model.config
    dropout = min(0.5, round(config.dropout + 0.2, 2))
    narrower = [width for width in WIDTHS if width < config.hidden]
    settings: dict[str, Value] = {"dropout": dropout} if dropout > config.dropout else {}
    settings |= {"hidden": narrower[-1]} if narrower else {}
    less = " or ".join(f"`{name}` {value:g}" for name, value in settings.items())
    yield Advice(
        "overfitting",
        "the validation loss rises while the training loss falls; the best checkpoint (step "
        f"{run.progress.best_step or 0:,}) is kept. More text would help"
        + (f", or {less} from the start" if less else "")
        + ("" if run.config.patience else "; `patience` 5 would end the run"),
        settings,
    )


def _nothing_learned(run: Run, corpus: Corpus) -> Iterator[Advice]:
    """Whether the loss is still that of a guess by frequency."""
    entries = run.validations
    losses: list[Any] = [entry.get("train_loss") for entry in entries[-2:]]
    if len(losses) < 2 or None in losses or run.step < LEAST_STEPS:
        return
    counts = count_symbols(corpus.train[:COUNTED], len(corpus.vocab))
    shares = counts[counts > 0] / counts.sum()
    guess = float(-(shares * np.log(shares)).sum())
    if min(losses) > guess - NOTHING_LEARNED:
        rate = _rounded(coefficients_of(run.config).learning_rate / 4)
        yield Advice(
            "nothing learned",
            f"after {run.step:,} steps the loss is {losses[-1]:.2f} nats, and a guess by frequency "
            f"has {guess:.2f}. Start again with `learning_rate` {rate:g}, or fewer `layers`",
            {"learning_rate": rate},
        )


def _activity(run: Run, corpus: Corpus) -> Iterator[Advice]:
    """Whether gates or units have stopped working."""
    ids, starts = corpus.validation, corpus.validation_starts
    if len(ids) < 2:
        ids, starts = corpus.train, corpus.train_starts
    if run.step <= 1 or len(ids) < 2:  # nothing has stopped yet
        return
    config = run.model.config
    layers = layer_health(run.result, ids, starts)
    shares = [layer.saturated for layer in layers]
    worst = int(np.argmax(shares))
    if shares[worst] > SATURATED:
        remedy = _against_saturation(run)
        what = "gates" if len(run.model.cell.gates) > 1 else "units"
        yield Advice(
            f"saturated {what}",
            f"in layer {worst + 1} they are fully open or shut {100 * shares[worst]:.0f} % of the "
            f"time, and so learn little. {_again(remedy)}",
            remedy,
        )
        return  # such gates may hold units still
    dead = [int((layer.spread < STILL).sum()) for layer in layers]
    worst = int(np.argmax(dead))
    if dead[worst] >= max(2, DEAD * config.hidden):
        settings: dict[str, Value] = {"activation": "tanh"}  # units of relu die at any rate
        if config.activation != "relu":
            settings = {"learning_rate": _rounded(coefficients_of(run.config).learning_rate / 3)}
        yield Advice(
            "dead units",
            f"{dead[worst]} of the {config.hidden} units of layer {worst + 1} never change, "
            f"whatever the network reads. {_again(settings)}",
            settings,
        )


def _again(settings: Mapping[str, Value]) -> str:
    """What to do."""
    [(name, value)] = settings.items()
    return f"Start again with `{name}` {value if isinstance(value, str) else f'{value:g}'}"


def _against_saturation(run: Run) -> dict[str, Value]:
    """What to change."""
    config = run.model.config
    if config.init == "uniform" and config.init_scale > 0.2:
        return {"init_scale": 0.08}
    if config.input_scale > 2:
        return {"input_scale": 1.0}
    return {"learning_rate": _rounded(coefficients_of(run.config).learning_rate / 3)}


def _short_text(run: Run, corpus: Corpus) -> Iterator[Advice]:
    """Whether there is too little to learn from."""
    characters, starts = len(corpus.train), corpus.document_starts
    is_list = starts is not None and len(corpus) <= ITEM * (len(starts) + 1)
    enough = SHORT_LIST if is_list else SHORT
    if characters < enough and run.anchor is None:
        text = counted(characters, NOUNS[corpus.vocab.unit])
        yield Advice(
            "short text",
            f"{text} to learn from, and a network begins to "
            f"{'invent' if is_list else 'spell'} at about {enough:,}. Add text, or start from a "
            "network that was trained on similar text (`init_from`)",
        )

"""A learning rate from a range test: the rate grows from tiny to huge within some hundred steps,
and where the loss falls and where it rises says which peak rate to train with (Smith 2017,
section 3.3, arXiv 1506.01186).
"""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace

import numpy as np

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError, CorpusError, DivergenceError
from charrnn.network.network import Network
from charrnn.optim.optimizers import (
    OPTIMIZERS,
    Clipper,
    coefficients_of,
    penalties_of,
    update_parameters,
)
from charrnn.optim.rotation import Rotation
from charrnn.runtime.interrupts import delayed_interrupt
from charrnn.runtime.progress import Progress
from charrnn.runtime.threads import Workers, check_threads
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import counted
from charrnn.training.run import Run, dropout_key
from charrnn.tuning.rate_test import Floats, RateTest

STEPS = 400
"""Steps from the lowest rate to the highest."""
DOWN, UP = 100.0, 1000.0
"""The lowest rate is the optimizer's usual one divided by the first; the highest, multiplied by the
second.
"""
LEAST_BATCHES = 8
"""Steps that a pass over the text must have: the loss of fewer says only how fast the network
memorizes them.
"""
RISE, LASTING = 0.8, 3
"""The test ends when the loss has been this many nats above the lowest for as many steps."""


def lr_find(
    corpus: Corpus,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    lowest: float | None = None,
    highest: float | None = None,
    range_steps: int = STEPS,
    threads: int | None = None,
    progress: Progress | None = None,
) -> RateTest:
    """Train a new network while the learning rate grows exponentially, until the loss diverges.

        rate_s = lowest (highest / lowest)^(s / (S - 1)),  s = 0 ... S - 1

    model, training: as for `Run.new`; what is None is the recipe's. Schedule, warm-up and weight
        average play no part, and weights decay as in a run at its planned rate.
    lowest, highest: of the rates; by default a hundredth of and a thousand times the optimizer's
        usual rate.
    range_steps: how many, if the loss does not diverge before.
    progress: called with the steps done and to be done.

    The same seed, text and settings give the same bits on any number of threads. `ConfigError` for
    rates and steps that make no test, `CorpusError` for a text of fewer than eight steps,
    `DivergenceError` for a loss that is not finite from the start.
    """
    check_threads(threads)
    run = Run.new(corpus, model, training)
    rates = _rates(run.config, lowest, highest, range_steps)
    per_pass = run.steps_per_epoch
    if per_pass < LEAST_BATCHES:
        raise CorpusError(
            f"the text is too short for a test of learning rates: its {len(corpus.train):,} "
            f"characters to train on are read in {counted(per_pass, 'step')}, and at least "
            f"{LEAST_BATCHES} are needed; use a longer text, or a smaller `batch_size` or "
            "`seq_length`"
        )
    planned = coefficients_of(run.config).learning_rate
    with closing(Workers(threads)) as workers:
        losses = _losses(run, corpus, rates, workers, progress)
    if len(losses) < 2:
        raise DivergenceError(
            "the loss is NaN or infinite at once: use a smaller `init_scale`, `input_scale` or "
            "`lowest`"
        )
    return RateTest(run.model.config, run.config, rates[: len(losses)], losses, planned)


def _rates(
    training: TrainConfig, lowest: float | None, highest: float | None, steps: int
) -> Floats:
    """The rates of the test; `ConfigError` if there can be none."""
    usual = OPTIMIZERS[training.optimizer].learning_rate
    low = usual / DOWN if lowest is None else lowest
    high = usual * UP if highest is None else highest
    if not 0 < low < high < math.inf:
        raise ConfigError(
            f"`lowest` and `highest` must be positive rates, the second one larger, not {low:g} "
            f"and {high:g}"
        )
    if not 20 <= steps <= 100_000:
        raise ConfigError(f"`range_steps` must be 20 to 100000, not {steps}")
    return np.geomspace(low, high, steps)


def _losses(
    run: Run, corpus: Corpus, rates: Floats, workers: Workers, progress: Progress | None
) -> Floats:
    """The loss of each step's batch before its update, until the loss diverges."""
    config, streams = run.config, run.streams(corpus)
    shape = config.seq_length, config.batch_size
    network = Network(run.model, *shape, workers, training=True, precision=config.precision)
    optimizer = OPTIMIZERS[config.optimizer]
    clipper = Clipper(run.model.parameters, workers, config.clip_value, config.clip_norm)
    penalties = penalties_of(config, coefficients_of(config).learning_rate)
    rotated = None
    if optimizer.rotates:
        arithmetic = network.panels.arithmetic
        places = run.model.parameters, network.gradient, run.slots
        rotated = Rotation(*places, arithmetic, workers)
    objective = config.reduction == "sum-over-time", config.label_smoothing
    losses: list[float] = []
    for step, rate in enumerate(rates):
        with delayed_interrupt():
            index = step % streams.steps
            if index == 0:
                run.state.reset()
            loss, gradient = network.gradients(
                *streams.batch(index),
                run.state,
                dropout_key(config.seed, step),
                streams.starts(index),
                *objective,
            )
            norm, scale = clipper.measure(gradient.flat)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                break
            losses.append(loss)
            if _has_diverged(losses):
                break
            update_parameters(
                optimizer,
                run.model.parameters,
                gradient,
                run.slots,
                optimizer.rule(config, float(rate), step + 1),
                (clipper.limit, scale),
                workers,
                penalties,
                rotated=rotated,
                step=step + 1,
            )
            network.refresh()
            run.progress = replace(run.progress, step=step + 1)
        if progress is not None:
            progress(step + 1, len(rates))
    return np.array(losses)


def _has_diverged(losses: list[float]) -> bool:
    """True if the last losses are all far above the lowest so far."""
    return len(losses) > LASTING and min(losses[-LASTING:]) > min(losses) + RISE

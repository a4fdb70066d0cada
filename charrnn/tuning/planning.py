"""What to train in a given time: size, dropout, batch and schedule, from the length of the text
and the speed of this machine.

A plan is an ordinary pair of configurations with a number of steps, which then follows the pace of
the run (`pacing`). Its rules come from measurements: docs/recipes.md.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import seconds_of
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate
from charrnn.network.parameters import parameter_count
from charrnn.optim.optimizers import coefficients_of
from charrnn.runtime.threads import Workers, usable_threads
from charrnn.text.corpus import Corpus
from charrnn.training.loop import VALIDATED, train
from charrnn.training.run import Run

WIDTHS = (32, 48, 64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024)
CELL = "gru"
MODEL = {"cell": CELL, "layers": 2, "embedding": 64}
TRAINING = {"optimizer": "adamw", "schedule": "cosine", "clip_norm": 5.0}
TYPICAL, OVERHEAD = 128, 56
"""The width whose speed is measured first; and that at which half of a step's time is not products,
to guess those of others.
"""
READ_PER_PARAMETER = 5.0
"""Characters that a network reads in training for each of its parameters, at least: a larger one
would not get far enough.
"""
PARAMETERS_PER_CHARACTER = 3.0
"""Of the training text, at most: a larger network would overfit it."""
MOST_EPOCHS, FEW_PARAMETERS = 40.0, 500_000
"""A text that has been read so often has no more to give, and to larger networks than this after
fewer passes.
"""
STEPS_AN_EPOCH = 50
"""Fewer streams are trained on a text that would otherwise take fewer steps than this."""
VALIDATION_SHARE, LEAST_VALIDATIONS, MOST_VALIDATIONS = 0.03, 4, 25
"""Of the time that validations may take, three times as much if there were fewer than four
otherwise; and how many at most.
"""
MARGIN = 0.03
"""Of the time that is not planned: the speed drifts."""
HELD = 0.1
"""Share of the steps before the learning rate falls."""
LEAST_SECONDS = 5.0
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class Plan:
    """A network and its training, the seconds that it will take, its speed, and in a line each what
    was chosen and why.

    `seconds` are those of steps, each of which takes `step_seconds`, and of validations with
    checkpoints, each of which takes `validation_seconds`. The run is to end at `deadline`, a time
    of `time.monotonic`, after no more than `most_steps`.
    """

    model: ModelConfig
    training: TrainConfig
    seconds: float
    chars_per_second: float
    reasons: tuple[str, ...]
    step_seconds: float
    validation_seconds: float
    deadline: float
    most_steps: int


def plan(
    corpus: Corpus,
    duration: str | float,
    *,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    threads: int | None = None,
    elapsed: Callable[[], float] | None = None,
) -> Plan:
    """The settings with which training on this corpus takes `duration`, "20m" or seconds,
    validations and checkpoints included.

    `model` and `training` hold settings that are fixed; the rest is chosen. The machine is measured
    for a few seconds, which count, as does what has passed already by `elapsed()`, by default since
    this call. `ConfigError` for a duration below 5 seconds or not understood, and for settings that
    contradict it (`steps`, `epochs`, `pace`, `max_time`).
    """
    seconds = duration if isinstance(duration, float | int) else seconds_of(duration)
    if seconds is None or not LEAST_SECONDS <= seconds < math.inf:
        raise ConfigError(
            f"`duration` must be at least {LEAST_SECONDS:g} seconds, such as 90s, 20m or 1.5h, not "
            f"{duration!r:.40}"
        )
    training = training or {}
    for name in ("steps", "epochs", "pace", "max_time"):
        if training.get(name) is not None:
            raise ConfigError(
                f"`duration` and `{name}` both say how long to train; give one of them"
            )
    start = time.monotonic()
    elapsed = elapsed or (lambda: time.monotonic() - start)
    chosen_model, chosen = {**MODEL, **(model or {})}, {**TRAINING, **training}
    return _Planner(corpus, seconds, threads, elapsed, chosen_model, chosen).plan()


def most_epochs_for(parameters: int) -> float:
    """Passes after which a text has no more to give: 40, and fewer for large networks, which
    remember more of each reading.
    """
    return MOST_EPOCHS * min(1.0, math.pow(FEW_PARAMETERS / parameters, 0.44))


def input_dropout_for(epochs: float) -> float:
    """Share of the characters that are not seen: none in a first reading, a tenth where a text is
    read a dozen times or more.
    """
    return round(min(0.1, 0.008 * epochs), 3) if epochs > 2 else 0.0


def weight_decay_for(epochs: float, rate: float, steps_an_epoch: int) -> float:
    """AdamW's decay, such that weights forget within 12 / epochs passes over the text, but not
    within less than four thirds.

    Measured in passes, this memory suits texts and batches of any size (Wang & Aitchison 2024).
    """
    return round(min(epochs / 12, 0.75) / (rate * steps_an_epoch), 4)


def dropout_for(epochs: float, parameters: int, characters: int) -> float:
    """Share of a layer's outputs to drop, where the two above are not enough: in large networks
    that read a short text often.
    """
    often = epochs * parameters / characters / 70
    return round(min(0.5, 0.1 * math.log2(often)), 2) if often > 1 else 0.0


def learning_rate_for(width: int) -> float:
    """The peak of Adam's rate: wide layers want smaller steps."""
    return round(0.012 * math.sqrt(TYPICAL / max(width, 64)), 4)


@dataclass(frozen=True)
class _Planner:
    """What is known, the clock, and what is fixed."""

    corpus: Corpus
    seconds: float
    threads: int | None
    elapsed: Callable[[], float]
    fixed_model: dict[str, Any]
    fixed: dict[str, Any]

    @property
    def characters(self) -> int:
        """Of the text to train on."""
        return len(self.corpus.train)

    def plan(self) -> Plan:
        width, reason = self._width()
        model, training = self._model(width), self._training(width)
        step = self._step_seconds(model, training, min(10.0, 0.02 * self.seconds))
        validation = self._validation_seconds(model)
        # at the end a checkpoint or two are written as well
        usable = (1 - MARGIN) * (self.seconds - self.elapsed()) - validation
        if usable < step + validation:
            raise ConfigError(
                f"in what is left of {self.seconds:g} seconds this network makes no step; give "
                "more time or a smaller `hidden`"
            )
        share = max(
            VALIDATION_SHARE, min(LEAST_VALIDATIONS * validation / usable, 3 * VALIDATION_SHARE)
        )
        validations = max(1, min(MOST_VALIDATIONS, math.floor(share * usable / validation + 1e-9)))
        per_epoch = Run.new(self.corpus, model, training).steps_per_epoch
        count = _count(model)
        most = math.ceil(most_epochs_for(count) * per_epoch)
        steps = min(most, math.floor((usable - validations * validation) / step))
        epochs, speed = steps / per_epoch, self.characters / per_epoch / step
        drops = {
            "dropout": dropout_for(epochs, count, self.characters),
            "input_dropout": input_dropout_for(epochs),
        }
        model = ModelConfig(**{**vars(model), **drops, **self.fixed_model})
        rate = coefficients_of(training).learning_rate
        every = -(-steps // validations)
        ends = {
            "steps": steps,
            "eval_every": every,
            "sample_every": 5 * every,
            "warmup": min(WARM_UP_STEPS, steps // 20),
            "decay_after": round(HELD * epochs, 6),
        }
        if training.optimizer == "adamw" and rate > 0:
            ends["weight_decay"] = weight_decay_for(epochs, rate, per_epoch)
        training = TrainConfig(**{**vars(training), **ends, **self.fixed})
        reasons = [
            reason,
            f"{speed:,.0f} characters a second here: {steps:,} steps, {epochs:.1f} passes over "
            "the text",
        ]
        if steps == most:
            reasons.append(
                "the text is short: more passes would only repeat it, so this takes less time "
                "than given"
            )
        decay = coefficients_of(training).weight_decay
        reasons.append(
            f"learning rate {rate:g}, {training.schedule}; against overfitting: input dropout "
            f"{model.input_dropout:g}, dropout {model.dropout:g}, weight decay {decay:g}"
        )
        return Plan(
            model=model,
            training=training,
            seconds=steps * step + validations * validation,
            chars_per_second=speed,
            reasons=tuple(reasons),
            step_seconds=step,
            validation_seconds=validation,
            deadline=time.monotonic() + self.seconds - self.elapsed(),
            most_steps=most,
        )

    def _model(self, width: int) -> ModelConfig:
        chosen = {"hidden": width, "vocab_size": len(self.corpus.vocab)}
        return ModelConfig(**{**chosen, **self.fixed_model})

    def _training(self, width: int) -> TrainConfig:
        streams = 32
        while streams > 4 and self.characters < STEPS_AN_EPOCH * streams * 64:
            streams //= 2
        chosen: dict[str, float] = {"batch_size": streams, "seq_length": 64}
        if self.fixed["optimizer"] in ("adam", "adamw"):
            chosen["learning_rate"] = learning_rate_for(width)
        return TrainConfig(**{**chosen, **self.fixed})

    def _width(self) -> tuple[int, str]:
        """Units of a layer: those that are fixed, or the most for which text and time are enough;
        and why.
        """
        if "hidden" in self.fixed_model:
            width = self.fixed_model["hidden"]
            return width, f"{width} units a layer, as asked"
        model, training = self._model(TYPICAL), self._training(TYPICAL)
        step = self._step_seconds(model, training, min(0.5, 0.01 * self.seconds))
        shape = Run.new(self.corpus, model, training).config
        typical = shape.batch_size * shape.seq_length / step * _count(model)
        typical *= 1 + OVERHEAD / TYPICAL
        best, reason = WIDTHS[0], "the largest that is planned"
        for width in WIDTHS:
            parameters = _count(self._model(width))
            most = most_epochs_for(parameters) * self.characters
            read = min(typical / parameters / (1 + OVERHEAD / width) * self.seconds, most)
            if parameters > PARAMETERS_PER_CHARACTER * self.characters:
                reason = f"{width} units would overfit a text of {self.characters:,} characters"
                break
            if read < READ_PER_PARAMETER * parameters:
                reason = f"{width} units would read too little of it in this time"
                break
            best = width
        return best, f"{best} units a layer: {reason}"

    def _step_seconds(self, model: ModelConfig, training: TrainConfig, seconds: float) -> float:
        """The time of a step, everything between two steps included, measured for `seconds`
        and at least three steps.
        """
        endless = replace(training, steps=10**9, eval_every=10**9, sample_every=0)
        run, done = Run.new(self.corpus, model, endless), 0
        with closing(train(run, self.corpus, threads=self.threads)) as reports:
            next(reports)
            start = time.perf_counter()
            while done < 3 or time.perf_counter() - start < seconds:
                next(reports)
                done += 1
            return (time.perf_counter() - start) / done

    def _validation_seconds(self, model: ModelConfig) -> float:
        """The time of a validation and a checkpoint."""
        text = self.corpus.validation[:VALIDATED]
        if len(text) < 2:
            return 0.05
        part, times = text[: max(4096, len(text) // 8)], []
        untrained = Run.new(self.corpus, model).model
        with closing(Workers(usable_threads(self.threads))) as workers:
            for _ in range(2):  # the first time buffers are made
                start = time.perf_counter()
                evaluate(untrained, part, workers=workers)
                times.append(time.perf_counter() - start)
        return min(times) * len(text) / len(part) + 0.05


def _count(model: ModelConfig) -> int:
    return parameter_count(model)

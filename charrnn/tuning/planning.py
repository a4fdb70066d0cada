"""What to train in a given time: how many units a layer, and how many steps, by the speed of this
machine on this text. All else is the recipe's (`training.recipe`).

A plan is an ordinary pair of configurations with a number of steps, which `pacing` corrects on the
way.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import seconds_of
from charrnn.config.training import LENGTH
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate
from charrnn.network.arithmetic import rounded_precision
from charrnn.network.parameters import parameter_count
from charrnn.optim.rotation import EARLY, TURNED
from charrnn.text.corpus import Corpus
from charrnn.text.streams import Streams
from charrnn.training import recipe
from charrnn.training.distributed import current
from charrnn.training.loop import train
from charrnn.training.run import Run
from charrnn.training.validation import VALIDATED

TYPICAL = 128
"""The width whose speed is measured first, to guess that of others."""
OVERHEAD, AMX_OVERHEAD = 56, 150
"""The width at which half of a step's time is not products, and with AMX."""
VALIDATION_SHARE, LEAST_VALIDATIONS, MOST_VALIDATIONS = 0.03, 4, 25
"""Of the time that validations may take, three times as much if there were fewer than four
otherwise; and how many at most.
"""
CLEARLY = 1.25
"""How many times as long a step takes that is measured no longer."""
MORE = 0.25
"""Share of the time of measuring AdamW's steps that those of SOAP may take besides."""
LEAST_SECONDS = 5.0
ENDLESS: dict[str, Any] = {
    **{"steps": 10**9, "eval_every": 10**9, "sample_every": 0, "learning_rate": 0.0},
    **dict.fromkeys(("epochs", "pace", "max_time", "patience", "save_every")),
}
"""The settings of a run whose steps are measured; its weights stay, so that it cannot diverge."""


@dataclass(frozen=True)
class Plan:
    """A network and its training, the seconds that it will take, its speed, and how often it reads
    the text.

    `seconds` are those of steps, each of which takes `step_seconds`, and of validations with
    checkpoints, each of which takes `validation_seconds`. The run is to end at `deadline`, a time
    of `time.monotonic`, after no more than `most_steps`. Of several networks, all this is for the
    first one; the last one is to end at `end`.
    """

    model: ModelConfig
    training: TrainConfig
    seconds: float
    chars_per_second: float
    passes: float
    step_seconds: float
    validation_seconds: float
    deadline: float
    most_steps: int
    end: float

    def __repr__(self) -> str:
        model = self.model
        return f"Plan({model.cell} {model.layers} x {model.hidden}, {self.seconds:.0f} s)"

    def for_next(self, left: int) -> "Plan":
        """The plan of the network that begins now: an equal share of the time left, if `left`
        networks are still to be trained.
        """
        now = time.monotonic()
        return replace(self, deadline=now + (self.end - now) / left)


def plan(
    corpus: Corpus,
    duration: str | float,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    is_fine_tuning: bool = False,
    threads: int | None = None,
    elapsed: Callable[[], float] | None = None,
) -> Plan:
    """The settings with which training on this corpus takes `duration`, "20m" or seconds,
    validations and checkpoints included.

    What is None in `model` and `training` is chosen: the units of a layer, the number of networks
    and of steps by the speed of this machine, the rest by the recipe. The machine is measured for a
    few seconds, which count, as does what has passed already by `elapsed()`, by default since this
    call.
    `ConfigError` for a duration below 5 seconds or not understood, and for settings that contradict
    it (`steps`, `epochs`, `pace`, `max_time`). `is_fine_tuning` as for `recipe.resolve`.
    """
    seconds = checked_duration(duration)
    model, training = model or ModelConfig(), training or TrainConfig()
    check_no_length(training)
    elapsed = elapsed or since_now()
    model = recipe.with_rounds(replace(model, vocab_size=len(corpus.vocab)))
    return Planner(corpus, seconds, threads, elapsed, model, training, is_fine_tuning).plan()


def planned_size(
    corpus: Corpus,
    duration: str | float,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    threads: int | None = None,
) -> tuple[int, float]:
    """The units of a layer that `plan` would choose for one network in this duration, and about how
    often it would read the text; takes a second, or a twentieth of a shorter one. Parameters and
    errors as for `plan`.
    """
    seconds, elapsed = checked_duration(duration), since_now()
    model = replace(model or ModelConfig(), vocab_size=len(corpus.vocab))
    model = recipe.with_rounds(model)
    training = replace(training or TrainConfig(), networks=1)
    planner = Planner(corpus, seconds, threads, elapsed, model, training, False)
    width, _, passes = planner.guess()
    return width, passes


def check_no_length(training: TrainConfig) -> None:
    """`ConfigError` if the settings say how long a run is, beside a duration."""
    for name in LENGTH:
        if getattr(training, name) is not None:
            raise ConfigError(
                f"`duration` and `{name}` both say how long to train; give one of them"
            )


def checked_duration(duration: str | float) -> float:
    """A duration in seconds; `ConfigError` below five or if it is not understood."""
    seconds = duration if isinstance(duration, float | int) else seconds_of("duration", duration)
    if not LEAST_SECONDS <= seconds < math.inf:
        raise ConfigError(
            f"`duration` must be at least {LEAST_SECONDS:g} seconds, such as 90s or 20m, not "
            f"{duration!r:.40}"
        )
    return seconds


def since_now() -> Callable[[], float]:
    """A clock of the seconds since this call."""
    start = time.monotonic()
    return lambda: time.monotonic() - start


@dataclass(frozen=True)
class Planner:
    """What is known, the clock, and what is asked for."""

    corpus: Corpus
    seconds: float
    threads: int | None
    elapsed: Callable[[], float]
    model: ModelConfig
    training: TrainConfig
    is_fine_tuning: bool

    @property
    def characters(self) -> int:
        """Of the text to train on."""
        return len(self.corpus.train)

    def plan(self) -> Plan:
        """Measure this machine and decide."""
        width, reach, _ = self.guess()
        found = self._planned(width, reach)
        chosen = found.training.precision, found.training.networks
        training = replace(self.training, precision=chosen[0], networks=chosen[1])
        with_these = replace(self, training=training)
        while self.model.attention is None:
            reach, steps = found.model.attention, found.training.planned_steps(found.most_steps)
            if steps >= reach:
                break
            # with less attention there is time for more steps, but hardly for twice as many
            nearer = recipe.attention_for(width, min(2 * steps, reach // 2))
            found = with_these._planned(width, nearer)
        return found

    def _planned(self, width: int, reach: int) -> Plan:
        """The plan for networks of this width and reach of attention."""
        model = replace(self.model, hidden=width, attention=reach)
        seconds = min(10.0, 0.02 * self.seconds)
        step, training = self.fastest(model, seconds)
        validation = self.validation_seconds(model)
        found = self._within(model, training, step, validation)
        is_soap = training.optimizer is None and found.training.optimizer == "soap"
        if is_soap and TURNED * step < seconds * MORE:  # its steps take longer
            training = replace(training, optimizer="soap")
            step = self._step_seconds(model, training, seconds * MORE)
            found = self._within(model, training, step, validation)
        return found

    def _within(
        self, model: ModelConfig, training: TrainConfig, step: float, validation: float
    ) -> Plan:
        """The plan for this network, from the seconds of a step and of a validation."""
        shape = recipe.batch_shape(self.characters, self.training)
        per_pass = Streams(self.corpus.train, *shape).steps
        passes = recipe.most_passes_for(parameter_count(model), self.is_fine_tuning)
        most, left = math.ceil(passes * per_pass), self.seconds - self.elapsed()
        networks = self._networks(lambda count: left / count / step / most)
        # at the end a checkpoint or two are written as well, and several are measured together
        together = validation * networks if networks > 1 else 0.0
        rest = self.seconds - self.elapsed() - together
        usable = rest / networks - validation
        if usable < step + validation:
            raise ConfigError(
                f"in what is left of {self.seconds:g} seconds this network makes no step; give "
                "more time or a smaller `hidden`"
            )
        share = max(
            VALIDATION_SHARE, min(LEAST_VALIDATIONS * validation / usable, 3 * VALIDATION_SHARE)
        )
        validations = max(1, min(MOST_VALIDATIONS, math.floor(share * usable / validation + 1e-9)))
        steps = min(most, math.floor((usable - validations * validation) / step))
        every = -(-steps // validations)
        training = training.filled(eval_every=every, networks=networks)
        model, training = recipe.resolve(
            self.corpus,
            model,
            replace(training, steps=steps),
            is_fine_tuning=self.is_fine_tuning,
        )
        now = time.monotonic()
        return Plan(
            model=model,
            training=training,
            seconds=steps * step + validations * validation,
            chars_per_second=self.characters / per_pass / step,
            passes=steps / per_pass,
            step_seconds=step,
            validation_seconds=validation,
            deadline=now + rest / networks,
            most_steps=most,
            end=now + rest,
        )

    def guess(self) -> tuple[int, int, float]:
        """Units of a layer, the most for which the text is enough, and the time that each of the
        networks has; how far attention reaches; and how often they read the text: all by the speed
        of one width.
        """
        model, measured = replace(self.model, hidden=TYPICAL, attention=0), 0.02 * self.seconds
        without, training = self.fastest(model, min(0.5, measured))
        attending = self._attending(model, training, min(0.5, measured), without)
        overhead = AMX_OVERHEAD if training.precision == "amx" else OVERHEAD
        read = math.prod(recipe.batch_shape(self.characters, self.training))
        without /= parameter_count(model) * (1 + overhead / TYPICAL)
        left = self.seconds - self.elapsed()

        def steps(width: int, parameters: int, networks: int) -> tuple[int, float]:
            """How far attention reaches, and for how many steps there is time."""
            step = without * parameters * (1 + overhead / width)

            def possible(seconds: float, reach: int) -> float:
                return seconds / networks / (step + attending * reach)

            reach = self._reach(width, partial(possible, left))
            return reach, possible(self.seconds, reach)

        def passes(width: int, parameters: int, networks: int) -> float:
            """How often each of the networks could read the text."""
            return steps(width, parameters, networks)[1] * read / self.characters

        def width_of(networks: int) -> int:
            if self.model.hidden is not None:
                return self.model.hidden

            def possible(width: int, parameters: int) -> float:
                most = recipe.most_passes_for(parameters)
                return min(passes(width, parameters, networks), most)

            return recipe.width_for(self.model, self.characters, self._in_a_row, possible)

        def size(networks: int) -> tuple[int, int]:
            width = width_of(networks)
            return width, parameter_count(replace(self.model, hidden=width))

        def share(networks: int) -> float:
            width, parameters = size(networks)
            return passes(width, parameters, networks) / recipe.most_passes_for(parameters)

        networks = self._networks(share)
        width, parameters = size(networks)
        most = recipe.most_passes_for(parameters)
        reach, _ = steps(width, parameters, networks)
        return width, reach, min(passes(width, parameters, networks), most)

    def _attending(
        self, model: ModelConfig, training: TrainConfig, seconds: float, without: float
    ) -> float:
        """What attention adds to the time of a step for each character that it reaches, measured
        for this network. `without`: the time of a step without.
        """
        usual = self._reach(model.hidden, lambda _: math.inf)
        if not usual:
            return 0.0
        added = self._step_seconds(replace(model, attention=usual), training, seconds) - without
        return max(0.0, added) / usual

    def _reach(self, width: int, steps: Callable[[int], float]) -> int:
        """How far the attention of a network with this many units in a layer reaches: no further
        than the steps for which there is time then.
        """
        if self.model.attention is not None:
            return self.model.attention
        reach = recipe.attention_for(width, self._in_a_row)
        while reach > max(0.0, steps(reach)):
            reach = recipe.attention_for(width, reach // 2)
        return reach

    @property
    def _in_a_row(self) -> float:
        return recipe.unbroken(self.corpus, self.training)

    def _networks(self, share: Callable[[int], float]) -> int:
        """How many networks; `share` as for `recipe.networks_for`."""
        if self.training.networks is not None:
            return self.training.networks
        # from the same weights, they would make the same mistakes
        return 1 if self.is_fine_tuning else recipe.networks_for(share)

    def fastest(self, model: ModelConfig, seconds: float) -> tuple[float, TrainConfig]:
        """The time of a step, and the training in the faster precision if that is auto.

        Which one is faster depends on the processor: AVX512-BF16 multiplies twice as fast as
        float32 on a Zen 4, and no faster on a Sapphire Rapids, which has AMX.
        """
        choices = [self.training]
        if self.training.precision == "auto":
            choices = [replace(self.training, precision="float32")]
            rounded = rounded_precision()
            if rounded is not None:
                choices.append(replace(self.training, precision=rounded))
        share, best = seconds / len(choices), (math.inf, self.training)
        for training in reversed(choices):
            step = self._step_seconds(model, training, share, CLEARLY * best[0])
            best = min(best, (step, training), key=lambda one: one[0])
        return best

    def _step_seconds(
        self, model: ModelConfig, training: TrainConfig, seconds: float, slow: float = math.inf
    ) -> float:
        """The time of a step, everything between two steps included, measured for `seconds`
        and at least three steps, but no longer where a step takes more than `slow`. Of SOAP's,
        whole turns of the basis are measured, as they are after the first ones.
        """
        endless = replace(training, **ENDLESS)
        run, done, turn = Run.new(self.corpus, model.filled(dropout=0.0), endless), 0, 1
        if run.config.optimizer == "soap":
            run.progress, turn = replace(run.progress, step=EARLY), TURNED
        with closing(train(run, self.corpus, threads=self.threads)) as reports:
            next(reports)
            # attention has something to look at, as it has in all but the first steps
            ids = run.state.ids
            ids[...] = np.resize(self.corpus.train[: ids.size], ids.shape)
            start = time.perf_counter()
            taken = 0.0
            while (
                done < 3
                or (done % turn and taken < seconds / MORE)
                or (taken < seconds and taken < slow * done)
            ):
                next(reports)
                done += 1
                taken = time.perf_counter() - start
            return taken / done

    def validation_seconds(self, model: ModelConfig) -> float:
        """The time of a validation and a checkpoint."""
        text = self.corpus.validation[:VALIDATED]
        if len(text) < 2:
            return 0.05
        part, times = text[: max(4096, len(text) // 8)], []
        untrained = Run.new(self.corpus, model).model
        with closing(current().idle_workers(self.threads)) as workers:
            for _ in range(2):  # the first time buffers are made
                start = time.perf_counter()
                evaluate(untrained, part, workers=workers)
                times.append(time.perf_counter() - start)
        return min(times) * len(text) / len(part) + 0.05

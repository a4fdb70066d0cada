"""A run: everything that training continues from, independent of clock and machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any

import numpy as np

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Origin, Text, Trained
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import CheckpointError, ConfigError, RunError
from charrnn.network.model import Model, State
from charrnn.network.parameters import Parameters
from charrnn.optim.optimizers import OPTIMIZERS, new_slots
from charrnn.optim.rotation import mean_squares
from charrnn.optim.schedules import Moment
from charrnn.text.corpus import Corpus
from charrnn.text.documents import follows_separator
from charrnn.text.sources import Source
from charrnn.text.streams import Streams
from charrnn.text.vocab import Vocab
from charrnn.training.curves import run_html
from charrnn.training.entries import Entry
from charrnn.training.recipe import resolve

FIXED = ("batch_size", "seq_length", "seed", "optimizer")
"""Settings that cannot change when a run resumes: its streams, slots and random draws depend on
them.
"""
STEERING = ("learning_rate", "clip_norm", "clip_value")
"""Settings that keep training from diverging: when one of them changes, the learning rate is no
longer lowered.
"""
SQUARES = {"adam": "v", "adamw": "v", "rmsprop": "s", "adadelta": "s", "adagrad": "s"}
"""The optimizer slots that hold sums or averages of squared gradients."""
FALL_FACTOR = 0.5
"""The learning rate is multiplied by this when a run falls back to its last good state."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come. Losses are in nats per character; `loss_sum` sums the losses of
    `since` steps.

    `falls` counts how often the plateau schedule has lowered the learning rate. The rest belongs to
    `recovery`: `good_step`, the step of the last good state; `calm_loss`, the lowest smoothed loss
    since then; `high_steps`, for how many steps in a row the loss has been far above it;
    `fall_backs`, how often the run went back, and `lost`, the total number of steps lost by that.
    `text_since` is the step since which the text is as it is (`grown_text`).
    """

    step: int = 0
    smoothed_loss: float | None = None
    loss_sum: float = 0.0
    since: int = 0
    best_loss: float | None = None
    best_step: int | None = None
    falls: int = 0
    good_step: int | None = None
    calm_loss: float | None = None
    high_steps: int = 0
    fall_backs: int = 0
    lost: int = 0
    text_since: int = 0

    def is_good_of(self, later: Progress) -> bool:
        """True if this is the progress of the last good state of a run whose progress is
        `later`.
        """
        return (self.step, self.lost) == (later.good_step, later.lost)


@dataclass
class Run:
    """A model in training: its settings, text, parameters, optimizer slots, carried state, progress
    and history.

    Two runs with the same seed, text and settings are equal to the last bit after the same number
    of steps, however often they were interrupted and however many threads they use. So are their
    checkpoints, which is why they contain no times. `anchor` holds the initial parameters of a run
    that started from a trained network: weight decay pulls towards them, or towards zero if
    `anchor` is None. `starts` are what a text may start from, as of the last validation that was
    the best so far, or the last sample. `good` is the last good state of a run trained without a
    folder; it is not saved in checkpoints. `session` is the iteration of `train` that goes on with
    it. `completing` receives what other ranks have of it (`complete`).
    """

    model: Model
    vocab: Vocab
    corpus_config: CorpusConfig
    config: TrainConfig
    sources: tuple[Source, ...]
    sha256: str
    slots: dict[str, Parameters]
    state: State
    progress: Progress = field(default_factory=Progress)
    history: list[Entry] = field(default_factory=list)
    steps_per_epoch: int = 1
    init_from: str | None = None
    average: Parameters | None = None
    anchor: Parameters | None = None
    starts: StartStates | None = None
    good: Run | None = field(default=None, repr=False, compare=False)
    session: object = field(default=None, repr=False, compare=False)
    completing: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Run({self.model.summary}, step {self.step:,} of {self.total_steps:,})"

    def _repr_html_(self) -> str:
        return run_html(repr(self), self.validations, np.zeros(0), self.vocab.unit)

    @classmethod
    def new(
        cls, corpus: Corpus, model: ModelConfig | None = None, config: TrainConfig | None = None
    ) -> Run:
        """A new run at step 0. The recipe sets every setting that is None and shrinks a batch that
        is too large for the text (`recipe.resolve`). `MemoryError` if it does not fit into this
        machine.
        """
        from charrnn.training.memory_estimate import check_memory  # loads the training's kernels

        model, config = resolve(corpus, model, config)
        check_memory(model, config)
        return cls._new(corpus, Model.initialized(model, config.seed), config)

    @classmethod
    def from_weights(
        cls,
        corpus: Corpus,
        weights: Trained,
        config: TrainConfig | None = None,
        *,
        dropout: float | None = None,
        input_dropout: float | None = None,
    ) -> Run:
        """A new run on a new text, starting from the weights of a trained network.

        The corpus must have been read with `extend=weights.vocab`: known symbols keep their ids and
        weights; new symbols get new rows, drawn like those of a new network, and start out
        improbable. Weight decay pulls every weight towards its initial value.
        """
        old = weights.model.config
        if corpus.vocab.symbols[: old.vocab_size] != weights.vocab.symbols:
            raise ConfigError(
                "the text was not read with the vocabulary of the weights; read it with "
                "extend=weights.vocab"
            )
        asked = old.reopened("dropout", "input_dropout")
        asked = asked.filled(dropout=dropout, input_dropout=input_dropout)
        model_config, config = resolve(corpus, asked, config, is_fine_tuning=True)
        model = Model.initialized(model_config, config.seed)
        weights_before = dict(weights.model.parameters.to_disk())
        for tensor in model.parameters.tensors:
            array = tensor.to_disk(model.parameters[tensor.name])
            before = weights_before[tensor.name]
            if tensor.name == "decoder.bias":
                # together, all new symbols are about as probable as the least probable old one
                array[:] = before.min() - np.log(max(1, len(array) - len(before)))
            array[tuple(slice(size) for size in before.shape)] = before
            tensor.from_disk(array, model.parameters[tensor.name])
        run = cls._new(corpus, model, config)
        run.anchor = model.parameters.copy()
        return run

    def another(self, corpus: Corpus, number: int) -> Run:
        """A new run of one of this run's `networks`, 2 or later: the same settings with other
        random numbers, and from the same weights if this run started from some.

        Networks that learned apart make different mistakes, so a `Mixture` of them predicts better
        than each of them.
        """
        config, weights = self.config.of_network(number), None
        if self.anchor is not None:
            weights = Model(self.model.config, self.anchor.copy())
        model = weights or Model.initialized(self.model.config, config.seed)
        run = self._new(corpus, model, config)
        run.anchor, run.init_from = self.anchor and self.anchor.copy(), self.init_from
        return run

    @classmethod
    def _new(cls, corpus: Corpus, model: Model, config: TrainConfig) -> Run:
        slots = new_slots(config.optimizer, model.config)
        text = corpus.vocab, corpus.config, config, corpus.sources, corpus.sha256
        run = cls(model, *text, slots, State(model, config.batch_size))
        run.steps_per_epoch = run.streams(corpus).steps
        run._begin_average()
        return run

    def _begin_average(self) -> None:
        """Start or drop the weight average, as the settings require; a new average starts at the
        current weights.
        """
        if self.config.average == 0:
            self.average = None
        elif self.average is None:
            self.average = self.model.parameters.copy()

    def complete(self) -> None:
        """While several ranks train it: receive from them the slots, the average and the state as
        of the last step. `trained`, `result` and saving do so by themselves.
        """
        if self.completing is not None:
            self.completing()

    @property
    def result(self) -> Model:
        """The network to evaluate and sample: with the averaged weights if the run has them, else
        `model`.
        """
        self.complete()
        return self.model if self.average is None else Model(self.model.config, self.average)

    @property
    def trained(self) -> Trained:
        """The network as it is now, for sampling and evaluation; it shares this run's arrays."""
        texts = tuple(Text(source.name, source.characters, source.part) for source in self.sources)
        losses = [e.get("validation_loss") for e in self.validations if e["step"] == self.step]
        loss = losses[-1] if losses else None
        origin = Origin(texts, self.sha256, self.step, self.epoch, loss)
        squares = self.slots.get(SQUARES.get(self.config.optimizer, ""))
        if OPTIMIZERS[self.config.optimizer].rotates:
            squares = mean_squares(self.slots)
        return Trained(self.result, self.vocab, self.corpus_config, origin, squares, self.starts)

    @property
    def step(self) -> int:
        """Updates made so far."""
        return self.progress.step

    @property
    def epoch(self) -> float:
        """Passes over the training text so far."""
        return self.step / self.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Total number of updates of the whole run."""
        return self.config.total_steps(self.steps_per_epoch)

    @property
    def former_ends(self) -> set[int]:
        """The steps at which the run had ended before it was given more."""
        changes, planned = self.config.changes, self.config.planned_steps(self.steps_per_epoch)
        totals = [planned, *(total for _, total, _ in changes)]
        steps = [step for step, _, _ in changes]
        return {step for step, total in zip(steps, totals, strict=False) if step == total}

    @property
    def moment(self) -> Moment:
        """Position of the next step in the run, for the learning rate schedule."""
        planned = self.config.planned_steps(self.steps_per_epoch)
        place = self.step, self.steps_per_epoch, planned, self.progress.falls
        return Moment(*place, self.config.changes)

    @property
    def fall_factor(self) -> float:
        """The factor that falling back has put on the planned learning rate."""
        return float(FALL_FACTOR**self.progress.fall_backs)

    @property
    def validations(self) -> list[Entry]:
        """The history's entries on the text as it is, except fall-backs."""
        since = self.progress.text_since
        return [
            entry
            for entry in self.history
            if "fell_back_from" not in entry and (entry["step"] > since or not since)
        ]

    @property
    def validations_since_best(self) -> int:
        """Number of validations since the one with the lowest loss."""
        best = self.progress.best_step or 0
        return sum(
            1
            for _ in takewhile(lambda entry: bool(entry["step"] > best), reversed(self.validations))
        )

    def ended_by(self, seconds: float = 0.0) -> str | None:
        """What has ended the run after `seconds` of training: steps, epochs, patience or time; None
        if it has not ended.
        """
        config = self.config
        if self.step >= self.total_steps:
            return "steps" if config.pace or config.steps == self.total_steps else "epochs"
        if config.patience is not None and self.validations_since_best >= config.patience:
            return "patience"
        return "time" if config.max_seconds is not None and seconds >= config.max_seconds else None

    @property
    def is_finished(self) -> bool:
        """True if no steps are left or patience has run out. A run does not know its training
        time.
        """
        return self.ended_by() is not None

    def streams(self, corpus: Corpus) -> Streams:
        """The training text as this run's parallel streams."""
        shape, starts = (self.config.batch_size, self.config.seq_length), corpus.train_starts
        before = corpus.separator_end if follows_separator(starts) else None
        return Streams(corpus.train, *shape, starts, self.config.reset_every, before)

    def check(self) -> None:
        """`RunError` unless all arrays have the shapes that the model and the settings require, on
        which the kernels rely.
        """
        model, tensors = self.model, self.model.parameters.tensors
        wanted = {
            name: s.tensors for name, s in new_slots(self.config.optimizer, model.config).items()
        }
        if self.slots.keys() != wanted.keys():
            raise RunError(f"`slots` are not those of the `optimizer` {self.config.optimizer}")
        others = {**self.slots, "average": self.average, "anchor": self.anchor}
        for name, other in others.items():
            if other is not None and other.tensors != wanted.get(name, tensors):
                raise RunError(f"the run's {name} belongs to a network of another shape")
        wanted_state = State.shapes(model.config, self.config.batch_size)
        if tuple(array.shape for array in self.state.arrays) != tuple(wanted_state.values()):
            raise RunError(f"the run's state is not that of {self.config.batch_size} streams")

    def check_text(self, corpus: Corpus) -> None:
        """`CorpusError` unless this is the text that the run was started on, with the same parts;
        `CheckpointError` if a pass over it takes another number of steps than the run's file says.
        """
        self.trained.check_text(corpus)
        steps = self.streams(corpus).steps
        if self.steps_per_epoch != steps:
            raise CheckpointError(
                f"the run has {self.steps_per_epoch:,} steps to a pass over its text, but this "
                f"text takes {steps:,}; the run's file is damaged"
            )

    def change(self, **settings: Any) -> None:
        """Change training settings, such as the number of epochs; `ConfigError` for those that are
        fixed.

        A new learning rate or clipping undoes the rate cuts of earlier fall-backs; a new number of
        steps or epochs clears `pace`.
        """
        for name, value in settings.items():
            if name in FIXED and value != getattr(self.config, name):
                raise ConfigError(
                    f"`{name}` cannot change when a run resumes: it was "
                    f"{getattr(self.config, name)}, not {value}; leave it out, or start a new run "
                    "with `init_from` and another `out`"
                )
        if "steps" in settings or "epochs" in settings:
            settings.setdefault("pace", None)
        if "steps" in settings and "epochs" not in settings:
            settings["epochs"] = None
        elif "epochs" in settings and "steps" not in settings:
            settings["steps"] = None
        before = self.config
        after = TrainConfig.from_mapping({**asdict(before), **settings})
        after.total_steps(self.steps_per_epoch)  # raises if no length is left
        if after.average != before.average:
            self.complete()
        self.config = replace(after, **{name: getattr(before, name) for name in after.undecided()})
        if any(getattr(before, name) != getattr(self.config, name) for name in STEERING):
            self.progress = replace(self.progress, fall_backs=0)
        self._begin_average()


def dropout_key(seed: int, step: int, part: int = 0) -> int:
    """The random key of the dropout masks of a part of a batch in a step."""
    place = [seed, 0xD409, step, part] if part else [seed, 0xD409, step]
    words = np.random.SeedSequence(place).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])

"""Training: steps of truncated backpropagation through time, with validation at intervals.

The state at the end of a batch is the initial state of the next; gradients stop there. Each pass
over the text, and each document if the text has several, starts from a zero state. Validation and
sampling use separate states. If the loss is NaN or infinite, or jumps, training goes back to the
last good state with half the learning rate (`recovery`).
"""

import time
from collections.abc import Callable, Generator
from dataclasses import replace

from charrnn.checkpoint.paths import check_no_run
from charrnn.config import SamplingConfig
from charrnn.errors import DivergenceError, RunError, UnstableStep
from charrnn.generation.generate import generate
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.model import Panels
from charrnn.optim.optimizers import coefficients_of
from charrnn.optim.schedules import rate_factor
from charrnn.optim.updates import sizes
from charrnn.runtime.interrupts import delayed_interrupt
from charrnn.runtime.threads import Workers, check_threads
from charrnn.text.corpus import Corpus
from charrnn.training import recovery
from charrnn.training.distributed import check_parts, current
from charrnn.training.records import Recorder
from charrnn.training.recovery import FallBack
from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.training.start_states import start_states
from charrnn.training.update import Update
from charrnn.training.validation import validation_loss

SMOOTHING = 0.98
SAMPLE_LENGTH, LAST_LENGTH = 240, 800
"""Characters of a sample, and of the last one, of a run that has ended."""
LIMITS = {"time": "max_time"}
"""The settings that end a run, where their names differ from `Report.ended`."""
FEW = 5
"""The first validations, each with a sample; after them, every fifth has one."""
EARLY = (1, 10, 100)
"""Steps with a sample, so that one sees noise become words, and something within seconds."""


def train(
    run: Run,
    corpus: Corpus,
    *,
    folder: RunFolder | None = None,
    threads: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Report, None, None]:
    """Train until the run is finished. Yields a report after each step; the caller may stop at any
    of them and resume later. Ctrl-C takes effect after the step, so that the run is never left in
    the middle of one. A later call with the same run ends this iteration (`RunError` at its next
    step): the weights that it has packed are no longer the run's.

    `RunError` if the run is finished already (`Run.change` gives it more steps), and for a new run
    in the folder of another; `CorpusError` if the corpus is not the run's text. All are raised by
    the call itself.

    With a folder, `last` is saved at the start, at every validation, every `save_every` steps, at
    the end, and when the iteration is closed early; `best` is saved whenever the validation loss is
    the lowest so far. The numbers of every step and the samples are recorded too (`RunRecord`). The
    caller must hold the folder's lock. The run's time limit counts the time on `clock` and, with a
    folder, the time of earlier sessions.

    Within `on_ranks`, the other ranks compute their share of the run's `parts`; `ConfigError` if
    there are fewer parts than ranks.

    When the loss or gradient is not finite, or the loss has jumped, the run goes back to its last
    good state, at most three times. After that it raises `DivergenceError`, with the run and `last`
    in that state.
    """
    check_threads(threads)
    check_parts(run.config.parts, current())
    run.check()
    run.check_text(corpus)
    ended = run.ended_by(folder.seconds_before if folder is not None else 0.0)
    if ended is not None:
        limit = LIMITS.get(ended, ended)
        raise RunError(
            f"the run is finished: its `{limit}` ended it at step {run.step:,}; to train it "
            f"further, change `{limit}`"
        )
    if folder is not None and run.step == 0 and run.progress.good_step is None:
        check_no_run(folder.path)  # a new run would overwrite it
    return _reports(run, corpus, folder, threads, clock)


def _reports(
    run: Run,
    corpus: Corpus,
    folder: RunFolder | None,
    threads: int | None,
    clock: Callable[[], float],
) -> Generator[Report, None, None]:
    run.session = session = object()
    trainer = _Trainer(run, corpus, folder, threads, clock)
    try:
        while trainer.ended is None:
            with delayed_interrupt():
                report = trainer.step()
            yield report
            if run.session is not session:
                raise RunError("another call of `train` has gone on with this run; use its reports")
    except BaseException as error:
        if run.session is session:  # else a later call may be in the middle of a step
            trainer.leave(error)
        raise
    finally:
        trainer.close()


class _Trainer:
    """The buffers of `train` and the body of its loop."""

    def __init__(
        self,
        run: Run,
        corpus: Corpus,
        folder: RunFolder | None,
        threads: int | None,
        clock: Callable[[], float],
    ) -> None:
        self.run, self.corpus, self.folder = run, corpus, folder
        self.workers, self._clock = Workers(threads), clock
        ranks = current()
        self.idle_workers = ranks.idle_workers(threads) if ranks.size > 1 else self.workers
        self.update = Update(run, run.streams(corpus), self.workers, ranks, threads)
        self._steering = _steering(run)
        self.saved: tuple[int, str | None] | None = None
        self.is_whole = True
        """False in the middle of an update."""
        self._sizes: dict[str, dict[str, float]] = {}
        """How large weights and the last update are, by layer, before a validation."""
        self._starts_step: int | None = None
        self._since = clock() - (folder.seconds_before if folder is not None else 0.0)
        self.ended = run.ended_by(self._seconds())
        self.record = None if folder is None else Recorder(folder.path, run.step)
        self.good = recovery.GoodState(run, folder)
        if not self.good.is_there:
            self.good.keep()
            self.save()  # so that a run killed in its first minute can be resumed

    def _seconds(self) -> float:
        """Training time so far, including earlier sessions."""
        return self._clock() - self._since

    def step(self) -> Report:
        start, at = time.perf_counter(), self.run.step + 1
        try:
            return self._step(start)
        except UnstableStep as failure:
            return self._fall_back(at, failure, start)

    def _step(self, start: float) -> Report:
        self.is_whole = False
        loss, norm, rate = self._update()
        self._advance(loss, norm)
        self.is_whole = True
        if self.record is not None:
            self.record.add_step(loss, norm, rate)
        try:
            return self._validate_and_save(self._report(start, loss, norm, rate))
        except DivergenceError:  # the network that is measured and sampled: averaged weights
            raise UnstableStep("outputs NaN or infinite", loss, norm) from None

    def _report(
        self, start: float, loss: float, norm: float, rate: float, fall: FallBack | None = None
    ) -> Report:
        """The report of the step that began at `start`."""
        run = self.run
        return Report(
            step=run.step,
            total_steps=run.total_steps,
            epoch=run.epoch,
            characters=run.config.batch_size * run.config.seq_length,
            seconds=time.perf_counter() - start,
            loss=loss,
            smoothed_loss=run.progress.smoothed_loss or loss,
            gradient_norm=norm,
            learning_rate=rate,
            fell_back=fall,
        )

    def _update(self) -> tuple[float, float, float]:
        run, rate = self.run, self._rate()
        if _steering(run) != self._steering:  # `Run.change`, since the last step
            self._steering = _steering(run)
            run.complete()
            self.update.take_over_settings()
        parameters = run.model.parameters
        before = parameters.copy() if self._is_validated(run.step + 1) else None
        loss, norm = self.update(run.step, rate)
        self._sizes = {}
        if before is not None:
            self._sizes = {"weights": sizes(parameters), "updates": sizes(parameters, before)}
        return loss, norm, rate

    def _is_validated(self, step: int) -> bool:
        """True if this step is one after which the run is validated, even if nothing ends it."""
        run = self.run
        interval = run.config.eval_interval(run.steps_per_epoch)
        return step % interval == 0 or step == run.total_steps or step in run.former_ends

    def _rate(self) -> float:
        """The learning rate of the next step."""
        run = self.run
        peak = coefficients_of(run.config).learning_rate
        return peak * rate_factor(run.moment, run.config) * run.fall_factor

    def _advance(self, loss: float, norm: float) -> None:
        run, before = self.run, self.run.progress
        smoothed = loss
        if before.smoothed_loss is not None:
            smoothed = SMOOTHING * before.smoothed_loss + (1 - SMOOTHING) * loss
        run.progress = replace(
            recovery.watched(before, loss, smoothed),
            step=before.step + 1,
            smoothed_loss=smoothed,
            loss_sum=before.loss_sum + loss,
            since=before.since + 1,
        )
        characters = run.config.batch_size * run.config.seq_length
        if run.progress.high_steps == recovery.long_enough(characters):
            if recovery.has_become_worse(run, self.good.load(), self.update):
                raise UnstableStep(f"loss {loss:.2f} after {before.calm_loss:.2f}", loss, norm)
            # only the text has become harder
            run.progress = replace(run.progress, high_steps=0, calm_loss=smoothed)

    def _fall_back(self, at: int, failure: UnstableStep, start: float) -> Report:
        """Go back to the last good state with a lower learning rate; `DivergenceError` if that has
        happened too often.
        """
        run, fall, self.saved, self.ended = self.run, None, None, None
        if run.progress.fall_backs < recovery.MOST_FALLS:
            fall = recovery.fall_back(run, self.good.load(), at, failure.reason)
        else:
            recovery.go_back(run, self.good.load())
        self.is_whole = True
        self._starts_step = None
        self.update.refresh()
        self.good.keep()
        self.save()
        if self.record is not None:  # now; a run killed before that is still at a later step
            self.record.cut(run.step)
        if fall is None:
            raise DivergenceError(recovery.failure_message(run, at, failure.reason))
        return self._report(start, failure.loss, failure.gradient_norm, self._rate(), fall)

    def _validate_and_save(self, report: Report) -> Report:
        config, step = self.run.config, self.run.step
        interval = config.eval_interval(self.run.steps_per_epoch)
        ended = self.run.ended_by(self._seconds())
        validates = ended is not None or self._is_validated(step)
        before, good = self.run.progress, self.run.good
        if validates:
            report = self._validate(report)
        self.ended = ended or self.run.ended_by()  # patience depends on this validation
        if self._is_sampled(interval):
            try:
                report = replace(report, sample=self._sample())
            except DivergenceError:  # so this network is neither good nor the best
                self.run.progress, self.run.good = before, good
                raise
            if self.record is not None:
                self.record.add_sample(step, report.epoch, report.sample or "")
        if report.is_best and self.folder is not None:
            self.folder.save_best(self.run)
        if validates or (config.save_every and step % config.save_every == 0):
            self.save()
        return replace(report, ended=self.ended)

    def _is_sampled(self, interval: int) -> bool:
        """True if this step's report has a sample: the first few validations are the whole of a
        short run.
        """
        step, every = self.run.step, self.run.config.sample_every
        if every is None:
            if step in EARLY:
                return True
            many = step >= FEW * interval
            every = FEW * interval if many else interval
        return every > 0 and (step % every == 0 or self.ended is not None)

    def _validate(self, report: Report) -> Report:
        """Measure the validation loss, add it to the history, and mark a good state."""
        run, before = self.run, self.run.progress
        if not recovery.is_finite(run):
            raise UnstableStep("weights not finite", report.loss, report.gradient_norm)
        train_loss = before.loss_sum / before.since if before.since else report.smoothed_loss
        loss = validation_loss(run.result, self.corpus, self.idle_workers, panels=self._panels())
        score = train_loss if loss is None else loss
        is_best = before.best_loss is None or score < before.best_loss
        run.progress = replace(before, loss_sum=0.0, since=0)
        if is_best:
            run.progress = replace(run.progress, best_loss=score, best_step=run.step)
        run.history.append(
            {
                "step": run.step,
                "epoch": run.epoch,
                "train_loss": train_loss,
                "validation_loss": loss,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                **self._sizes,
            }
        )
        overfitting = not any(e.get("overfitting") for e in run.history) and recovery.overfits(
            run.validations
        )
        if overfitting:
            run.history[-1]["overfitting"] = True
        stale = run.validations_since_best
        if run.config.schedule == "plateau" and stale and stale % run.config.plateau_patience == 0:
            run.progress = replace(run.progress, falls=run.progress.falls + 1)
        if recovery.is_good(run, is_best):
            self.good.keep()
        if is_best or run.ended_by(self._seconds()) is not None:
            self._find_starts()
        return replace(
            report,
            validation_loss=loss,
            train_loss=train_loss,
            is_best=is_best,
            overfitting=overfitting,
        )

    def _find_starts(self) -> None:
        """Let the run's start states be those of its present weights."""
        run, panels = self.run, self._panels()
        if self._starts_step != run.step:
            run.starts = start_states(run.result, self.corpus, self.idle_workers, panels)
            self._starts_step = run.step

    def _sample(self) -> str:
        run = self.run
        self._find_starts()
        panels = self._panels()
        if panels is not None and panels.arithmetic is not FLOAT32:
            panels = None
        length = SAMPLE_LENGTH if self.ended is None else LAST_LENGTH
        config = SamplingConfig(length=length, seed=run.step, unknown="skip")
        return "".join(generate(run.trained, "", config, workers=self.idle_workers, panels=panels))

    def _panels(self) -> Panels | None:
        """The packed weights of the run's result, unless it uses averaged weights."""
        return self.update.panels if self.run.average is None else None

    def leave(self, error: BaseException) -> None:
        """Leave the run as one that training can go on with, whatever has ended the iteration: save
        it, or, in the middle of an update, go back to the last good state.
        """
        if not self.is_whole:
            recovery.go_back(self.run, self.good.load())
            self.update.refresh()
        elif isinstance(error, GeneratorExit | KeyboardInterrupt):
            self.save()

    def close(self) -> None:
        """Let the run be whole on this rank alone, and stop the threads."""
        self.update.close()
        self.workers.close()
        self.idle_workers.close()

    def save(self) -> None:
        """Write `last`, unless it is already written or contains NaN or infinity."""
        run, folder, record = self.run, self.folder, self.record
        state = run.step, run.config.pace
        if folder is None or record is None:
            return
        if self.saved != state and recovery.is_finite(run):
            record.flush()
            folder.save_last(run)
            self.saved = state


def _steering(run: Run) -> tuple[object, ...]:
    """The settings of a run's updates."""
    config = run.config
    clipping, penalties = (config.clip_value, config.clip_norm), (config.l1, config.l2)
    of_the_loss = config.label_smoothing, config.reduction
    return coefficients_of(config), *clipping, *penalties, *of_the_loss, config.average

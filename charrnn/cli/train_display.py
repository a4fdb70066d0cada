"""What training shows: a picture of the run on a terminal, else a line per validation; JSON; and
the end.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.cli.live_bar import speed_text
from charrnn.cli.live_block import LiveBlock
from charrnn.cli.options import with_own_flags
from charrnn.cli.signals import STOPPING
from charrnn.cli.terminal import duration_text, json_text, loss_text, say
from charrnn.cli.train_view import GROWTH, View, picture, validation_text
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.cli.signals import Stop
    from charrnn.reporting.advice import Advice
    from charrnn.training.recovery import FallBack
    from charrnn.training.report import Report
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.training.run_record import RunRecord

ESTIMATED_AFTER = 2.0
"""Seconds of training before the time left is estimated."""
WHOLE = 40
"""Rows of the picture that stays on the terminal."""
HINT = "Ctrl-C saves and stops."
START_AGAIN = ("learning rate too high", "nothing learned")
"""Advice after which more training is of no use."""


class Display:
    """Shows the reports of one call of `train`; all on stderr but JSON, which goes to stdout.

    The picture shows the record of a resumed run too. place: the number of this network and how
    many the run has.
    """

    def __init__(
        self,
        run: Run,
        stop: Stop | None = None,
        *,
        quiet: bool = False,
        as_json: bool = False,
        verbose: bool = False,
        seconds_before: float = 0.0,
        record: RunRecord | None = None,
        place: tuple[int, int] = (1, 1),
    ) -> None:
        self._number, self._count = place
        self._run, self._json, self._verbose = run, as_json, verbose
        self._start, self._first_step = time.monotonic(), run.step
        limit = run.config.max_seconds
        self._limit = None if limit is None else max(0.0, limit - seconds_before)
        self._is_estimated = False
        self._characters = self._seconds = 0.0
        self._done = 0
        self._losses = array("f", [math.nan]) * run.step
        self._report: Report | None = None
        self._sample, self._sample_step, self._sample_since = "", 0, -math.inf
        if record is not None:
            self._losses = array("f", record.steps["loss"][: run.step].tolist())
            for sample in record.samples:
                self._sample, self._sample_step = sample["text"], sample["step"]
        foot = f"{self._which}. {HINT}" if self._count > 1 else HINT
        self._block = LiveBlock(sys.stderr, quiet=quiet, foot=foot)
        self._stop = stop
        if stop is not None and self._block.is_live:
            stop.notify = lambda: self._block.set_foot(STOPPING)

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.monotonic() - self._start

    @property
    def _which(self) -> str:
        return f"network {self._number} of {self._count}"

    @property
    def _speed(self) -> str:
        return speed_text(self._characters / max(self._seconds, 1e-9))

    def show(self, report: Report) -> None:
        """Show the report of one step."""
        self._report = report
        self._done += 1
        self._characters = 0.95 * self._characters + report.characters
        self._seconds = 0.95 * self._seconds + report.seconds
        if report.fell_back is None:
            self._losses.append(report.loss)
        else:
            del self._losses[report.step :]
            self._show_fall_back(report.fell_back)
        if report.train_loss is not None:
            self._show_validation(report, report.train_loss)
        if report.sample is not None:
            self._sample, self._sample_step = report.sample, report.step
            self._sample_since = time.monotonic()
        if not self._is_estimated and self.seconds >= ESTIMATED_AFTER:
            self._is_estimated = True
            left = self._left(report)
            if left > 1 and not self._block.is_live:
                speed = f", at {self._speed}" if self._verbose else ""
                self.say(f"about {duration_text(left)} left{speed}")
        looks = self._block.looks
        self._block.refresh(lambda columns, rows: picture(self._view(), columns, rows, looks))

    def say(self, text: str) -> None:
        """Print lines, above the picture if there is one."""
        self._block.say(text)

    def advise(self, advice: Advice) -> None:
        """Say what is wrong and what to do."""
        if self._json:
            settings = dict(advice.settings)
            event = {"event": "advice", "kind": advice.kind, "text": with_own_flags(advice.text)}
            self._print_json(step=self._run.step, **event, settings=settings)
        self.say(with_own_flags(str(advice)))

    def close(self) -> None:
        """Remove the picture."""
        self._block.close()

    def _view(self) -> View:
        report, run = self._report, self._run
        assert report is not None
        entries = [(entry["step"], entry.get("validation_loss")) for entry in run.validations]
        validation = [(step, loss) for step, loss in entries if loss is not None]
        return View(
            report.step,
            report.total_steps,
            self._left(report) if self._is_estimated else None,
            np.array(self._losses, np.float32),
            validation,
            run.progress.best_loss if validation else None,
            self._sample,
            self._sample_step,
            self._shown(),
            self._details(report) if self._verbose else "",
            self._count,
            self._number - 1,
        )

    def _shown(self) -> int | None:
        """Characters of the sample that are shown."""
        seconds = time.monotonic() - self._sample_since
        return None if math.isinf(seconds) else int(GROWTH * seconds)

    def _details(self, report: Report) -> str:
        return (
            f"{report.smoothed_loss / math.log(2):.2f} bits  step {report.step:,} of "
            f"{report.total_steps:,}  epoch {report.epoch:.1f}  {self._speed}  grad "
            f"{report.gradient_norm:.2f}  rate {report.learning_rate:.2g}"
        )

    def _show_validation(self, report: Report, train_loss: float) -> None:
        if self._json:
            self._print_json(
                step=report.step,
                epoch=report.epoch,
                train_loss=train_loss,
                validation_loss=report.validation_loss,
                learning_rate=report.learning_rate,
                gradient_norm=report.gradient_norm,
                is_best=report.is_best,
                overfitting=report.overfitting,
                sample=report.sample,
                seconds=round(self.seconds, 3),
            )
        if self._verbose or not self._block.is_live:
            self.say(self._validation_line(report, train_loss))

    def _validation_line(self, report: Report, train_loss: float) -> str:
        entry = {"step": report.step, "train_loss": train_loss}
        text = validation_text(
            {**entry, "validation_loss": report.validation_loss}, report.total_steps
        )
        if self._verbose:
            loss = train_loss if report.validation_loss is None else report.validation_loss
            text += f", {loss / math.log(2):.2f} bits, epoch {report.epoch:.1f}"
        return text + (", best so far" if report.is_best else "")

    def _show_fall_back(self, fall: FallBack) -> None:
        """Print one line: what went wrong at which step, and where and how training continues."""
        if self._json:
            self._print_json(
                event="fell back",
                step=fall.from_step,
                to_step=fall.to_step,
                rate_factor=fall.rate_factor,
                reason=fall.reason,
                seconds=round(self.seconds, 3),
            )
        self.say(
            f"step {fall.from_step}: {fall.reason}, back to step {fall.to_step}, rate x "
            f"{fall.rate_factor:g}"
        )

    def _left(self, report: Report) -> float:
        """Seconds until the last step or the time limit, and those of the networks after it."""
        step = self.seconds / self._done
        left = (report.total_steps - report.step) * step
        if self._limit is not None:
            left = min(left, max(0.0, self._limit - self.seconds))
        return left + (self._count - self._number) * report.total_steps * step

    def _print_json(self, **values: Any) -> None:
        if self._count > 1:
            values = {"network": self._number, **values}
        self._block.clear()  # both streams may be one terminal; it is drawn again soon
        print(json_text(values), flush=True)

    def end(self, folder: RunFolder, ended: str | None) -> None:
        """Leave the curve and ten lines of text on a terminal, unless a signal other than Ctrl-C
        came; print what ended the run (`ended` None: it was stopped), where the best checkpoint is,
        and what to do next; as JSON, one object.
        """
        from charrnn.text.vocab import NOUNS
        from charrnn.training.recipe import most_passes_for

        self._block.close()
        run = self._run
        has_best = run.progress.best_loss is not None  # otherwise it is of the text before it grew
        best = folder.best if has_best and folder.best.exists() else None
        validated = any(entry.get("validation_loss") is not None for entry in run.history)
        by_hand = self._stop is not None and self._stop.status == 128 + signal.SIGINT
        is_last = self._number == self._count
        if self._report is not None and (by_hand or (ended is not None and is_last)):
            columns, looks = self._block.size[0], self._block.looks
            self._sample_since = -math.inf
            lines = picture(self._view(), columns, WHOLE, looks, has_bar=False)
            self._block.leave(["", *lines, ""])
        if self._json:
            self._print_json(
                run=str(folder.path),
                best=str(best) if best else None,
                best_step=run.progress.best_step if best else None,
                validation_loss=run.progress.best_loss if validated else None,
                steps=run.step,
                seconds=round(self.seconds, 3),
                finished=ended is not None,
                ended=ended,
            )
        first = folder.path if self._number == 1 else folder.path.parent
        path, noun = quoted(first), NOUNS[run.vocab.unit]
        if self._count > 1 and ended is not None:
            if best is not None and not self._block.quiet:
                say(f"{self._which}: loss {loss_text(run.progress.best_loss, noun)}")
            return
        if ended is None:
            where = f" of {self._which}" if self._count > 1 else ""
            say(f"stopped at step {run.step:,}{where}; resume with: charrnn train --resume {path}")
        elif run.step > self._first_step:
            say(self._why(ended))
        if best is not None:
            kind = "validation loss" if validated else "training loss"
            say(f"best checkpoint: {best}, {kind} {loss_text(run.progress.best_loss, noun)}")
        if ended is not None and run.step > self._first_step and not self._block.quiet:
            advised = {entry["kind"] for entry in folder.advice_until(run.step)}
            most = most_passes_for(run.model.count())
            is_well = not advised & {*START_AGAIN} and run.epoch < 0.95 * most
            if is_well and ended in ("steps", "epochs") and run.progress.best_step == run.step:
                say(f"train it for longer: charrnn train --resume {path} --for 20m")
            say(f"see how it learned: charrnn report {path}")
        if best is not None:
            step = run.progress.best_step
            age = f" (step {step:,} of {run.step:,})" if step != run.step else ""
            say(f"sample from it{age}: charrnn sample {path}")

    def _why(self, ended: str) -> str:
        """One line about why the run ended."""
        step, config = f"ended at step {self._run.step:,}", self._run.config
        return {
            "steps": f"{step}, the last",
            "epochs": f"{step}, after {self._run.epoch:.1f} epochs",
            "patience": f"{step}: no new best in {config.patience} validations; resume with a "
            "larger --patience to continue",
            "time": f"{step}: reached --max-time {config.max_time}; resume with a larger one to "
            "continue",
        }[ended]

"""What a tuning shows: one bar for all of it, a line for each trial, and the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli.live_bar import bar_line, speed_text
from charrnn.cli.live_block import LiveBlock
from charrnn.cli.options import with_own_flags
from charrnn.cli.signals import STOPPING, Stop
from charrnn.cli.tables import Column, number_text, print_table
from charrnn.cli.terminal import duration_text, one_line, show
from charrnn.cli.time_left import TimeLeft

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from charrnn.tuning.trials import Trial
    from charrnn.tuning.tune import TuneEvent
    from charrnn.tuning.tuned import Tuned

SHOWN = 10
"""Trials in the table, the recipe's not counted."""
SHORT = {
    **{"learning_rate": "rate", "weight_decay": "decay"},
    **{"batch_size": "streams", "seq_length": "length"},
}
"""Headings of settings with long names."""


class Display:
    """Shows the events of a tuning on stderr. duration: seconds that all of it takes, if it is a
    time.
    """

    def __init__(self, folder: Path, duration: float | None, stop: Stop, quiet: bool) -> None:
        self._duration = duration
        self._block = LiveBlock(sys.stderr, quiet=quiet)
        if self._block.is_live:
            stop.notify = lambda: self._block.set_foot(STOPPING)
        self._time_left = TimeLeft()
        self._best: float | None = None
        self._trained: set[int] = set()
        self._folder: Path | None = folder

    def show(self, event: TuneEvent) -> None:
        """Show one event."""
        if event.tuned is not None:
            return
        if self._folder is not None:
            self._block.say(f"tuning into {one_line(str(self._folder))}; trial 1 is the recipe")
            self._folder = None
        fields = [(0, f"trial {event.number}")]
        left = self._left(event)
        if event.report is not None:
            self._trained.add(event.number)
            self._time_left.begin(event.share)
            fields += [
                (2, f"{event.report.smoothed_loss:.3f} nats"),
                (4, speed_text(event.report.chars_per_second)),
            ]
        if event.trial is not None and event.seed is not None:
            self._block.say(
                f"trial {event.number} again, from seed {event.seed}: "
                f"{number_text(event.trial.validation_loss, '.4f')} nats"
            )
        elif event.trial is not None:
            self._block.say(self._line(event.trial, left))
        if self._best is not None:
            fields.append((3, f"best {self._best:.3f}"))
        if left is not None:
            fields.insert(0, (1, f"{duration_text(left)} left"))
        looks = self._block.looks
        self._block.refresh(lambda columns, _: [bar_line(event.share, fields, columns, looks)])

    def _line(self, trial: Trial, left: float | None) -> str:
        """The end of a trial in one line."""
        is_best = trial.is_complete and (
            self._best is None or (trial.validation_loss or 0.0) < self._best
        )
        if is_best:
            self._best = trial.validation_loss
        loss = number_text(trial.validation_loss, ".4f")
        ended = {
            "complete": f"{loss} nats" + (", the best so far" if is_best else ""),
            "stopped": f"stopped at {trial.percent} %, {loss} nats",
            "diverged": "diverged",
            "failed": f"failed: {one_line(with_own_flags(trial.reason or ''))}",
        }[trial.ended]
        text = f"trial {trial.number}: {ended}; {settings_line(trial.settings)}"
        if trial.number not in self._trained and trial.ended != "failed":
            return f"{text} (already done)"
        if left and not self._block.is_live:
            text += f"; about {duration_text(left)} left"
        return text

    def _left(self, event: TuneEvent) -> float | None:
        """Seconds left for all trials together; None while unknown."""
        if self._duration is not None:
            return self._duration * (1 - event.share)
        return self._time_left.seconds(event.share)

    def close(self) -> None:
        """Remove the bar."""
        self._block.close()


def value_text(value: Any) -> str:
    """A value of a setting, in three digits if it is a fraction."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def heading_of(name: str) -> str:
    """The name of a setting in a table or a list."""
    return SHORT.get(name, name.replace("_", " "))


def settings_line(settings: Mapping[str, Any]) -> str:
    """Settings and their values in one line."""
    return ", ".join(f"{heading_of(name)} {value_text(v)}" for name, v in settings.items())


def print_trials(trials: Sequence[Trial]) -> None:
    """The best of the trials that came to their end on stdout, and the recipe."""
    from charrnn.text.vocab import counted
    from charrnn.tuning.trials import ranked

    ranking = [t for t in ranked(trials) if t.is_complete or t.number == 1]
    rows = [t for k, t in enumerate(ranking) if k < SHOWN or t.number == 1]
    names = list(dict.fromkeys(name for trial in trials for name in trial.settings))
    columns: list[Column[Trial]] = [
        (0, "trial", lambda t: f"{t.number}" + (" (recipe)" if t.number == 1 else "")),
        (1, "loss (nats)", _loss),
        *((2 + k, heading_of(name), _setting(name)) for k, name in enumerate(names)),
        (50, "passes", lambda t: number_text(t.passes, ".1f")),
        (51, "chars/s", lambda t: number_text(t.chars_per_second, ",.0f")),
    ]
    print_table(rows, columns)
    words = {"stopped": "stopped early", "diverged": "diverged", "failed": "failed"}
    counts = {kind: sum(t.ended == kind for t in trials) for kind in words}
    rest = [f"{counts[kind]} {text}" for kind, text in words.items() if counts[kind]]
    show(", ".join([counted(len(trials), "trial"), *rest]))


def print_tuned(tuned: Tuned, command: str) -> None:
    """The result on stdout. command: what to type to train with it."""
    print_trials(tuned.trials)
    if tuned.importance is None:
        show("importance: there are too few trials to tell; ten or more would do")
    else:
        shares = (f"{heading_of(n)} {share:.0%}" for n, share in tuned.importance.items())
        show(f"importance: {', '.join(shares)}")
    show(unseen_text(tuned))
    is_worse = tuned.unseen is not None and tuned.unseen.gain <= 0
    if tuned.best is not None and tuned.best.number != 1 and not is_worse:
        show(f"to train with the best: {command}")


def unseen_text(tuned: Tuned) -> str:
    """How far the best trial is from the recipe where tuning did not look."""
    from charrnn.text.vocab import counted

    unseen, best = tuned.unseen, tuned.best
    if best is None:
        return "no trial came to its end"
    if best.number == 1:
        where = ""
        if unseen is not None:
            where = (
                f", which reaches {unseen.best:.4f} nats on {unseen.characters:,} characters that "
                "tuning did not see"
            )
        return f"no trial was better than the recipe{where}: the recipe will do"
    if unseen is None:
        return (
            "no part of the text was kept away from tuning, so what it gained is not known: the "
            "losses above are too good, since the best was chosen by them"
        )
    better = "better" if unseen.gain >= 0 else "worse"
    again = ""
    if unseen.repeats:
        again = f", trained again from {counted(unseen.repeats, 'other seed')}"
    text = (
        f"on {unseen.characters:,} characters that tuning did not see{again}: {unseen.best:.4f} "
        f"nats, {abs(unseen.gain):.4f} {better} than the recipe's {unseen.recipe:.4f} "
        f"(standard error {unseen.error:.4f})"
    )
    if unseen.gain < -2 * unseen.error:
        text += "; use the recipe"
    elif unseen.gain < 2 * unseen.error:
        text += "; that is no clear gain: the recipe will do"
    elif unseen.repeats < 2:
        text += "; another seed may differ by as much"
    return text


def _loss(trial: Trial) -> str:
    is_diverged = trial.ended == "diverged"
    return "diverged" if is_diverged else number_text(trial.validation_loss, ".4f")


def _setting(name: str) -> Any:
    return lambda trial: value_text(trial.settings.get(name))

"""`charrnn watch`: a run that is trained elsewhere, as `charrnn train` shows it."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.checkpoint.paths import LAST, networks_of
from charrnn.cli import terminal
from charrnn.cli.live_block import LiveBlock
from charrnn.cli.options import json_option, with_own_flags
from charrnn.cli.train_view import GROWTH, View, picture, recent_loss, validation_text
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.training.run_record import RunRecord

EVERY = 0.5
"""Seconds between two looks at the run's folder, at least."""
SHARE = 0.02
"""Share of the time that reading it may take, at most."""
LONG_ENOUGH = 5.0
"""Seconds of watching after which the pace is what was seen, not the average of the whole run."""
PAGE, ROWS = 80, 30
"""Columns and rows of a picture in a pipe; rows of one that is not drawn again."""
LEAVE = "Ctrl-C leaves; the run goes on."

EPILOG = """\b
Examples:
  charrnn watch                          the newest run
  charrnn watch checkpoints/book
  charrnn watch checkpoints/book --once  what it looks like now
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, type=click.Path(readable=False))
@click.option("--once", is_flag=True, help="Print what it looks like now, and leave.")
@json_option("Print one JSON object: the present state.")
def watch(run: str | None, once: bool, as_json: bool) -> None:
    """Watch a run that is trained in another terminal: how far it is, a curve of its losses, and
    what it writes.

    RUN is a run's folder, by default the newest. Of several networks, it shows the one that is
    trained now, or was trained last. Of a run that is not being trained, it shows the
    last state, and says whether it is finished, was stopped or was killed. In a pipe it prints a
    line for each validation.
    """
    watched = Watched.read(run)
    record = watched.record
    if record.damage is not None:
        terminal.say(record.damage)
    if as_json:
        click.echo(terminal.json_text(_as_json(watched)))
        return
    block = LiveBlock(sys.stdout, foot=watched.foot)
    if not once:
        with closing(block):
            watched = _follow(watched, block)
    if once or block.is_live:
        columns = block.size[0] if block.is_live else PAGE
        for line in picture(_view(watched, _left(watched)), columns, ROWS, block.looks):
            click.echo(line)
    for entry in watched.record.advice if once else ():
        terminal.show(_advice_text(entry))
    terminal.show(_state_text(watched))


@dataclass(frozen=True)
class Watched:
    """A run's network that is trained now, or was trained last: its record, its number, and how
    many the run is to have. folder: of the run.
    """

    record: RunRecord
    folder: Path
    number: int = 1
    count: int = 1

    @classmethod
    def read(cls, run: str | Path | None) -> Watched:
        """As it is now; errors as for `RunRecord.read`."""
        from charrnn.training.run_record import RunRecord

        first = RunRecord.read(run)
        folders, count = networks_of(first.folder), first.config.networks or 1
        if len(folders) == 1:
            return cls(first, first.folder, count=count)
        records = [first, *map(RunRecord.read, folders[1:])]
        # the first one's folder is locked while any is trained, another's while it is itself
        busy = [n for n, each in enumerate(records) if n and each.is_running]
        begun = [n for n, each in enumerate(records) if not each.is_over]
        (at, *_) = [*busy, *begun, len(records) - 1]
        is_running = first.is_running or records[at].is_running
        record = replace(records[at], is_running=is_running)
        return cls(record, first.folder, at + 1, max(count, len(folders)))

    @property
    def name(self) -> str:
        """Its number, if there are several."""
        return f"network {self.number} of {self.count}" if self.count > 1 else ""

    @property
    def foot(self) -> str:
        """What stands below the picture."""
        return f"{self.name}. {LEAVE}" if self.name else LEAVE


def _follow(watched: Watched, block: LiveBlock) -> Watched:
    """Show the run until it is no longer trained; returns its last state."""
    from charrnn.training.run_record import RunRecord

    record = watched.record
    if not record.is_running:
        return watched
    begun, first, said = time.monotonic(), record.step, (0, 0)
    sample, since = _sample(record), 0.0
    while record.is_running:
        now = time.monotonic()
        if _sample(record) != sample:
            sample, since = _sample(record), now
        if block.is_live:
            left = _left(watched, now - begun, record.step - first)
            view = _view(watched, left, int(GROWTH * (now - since)))
            block.refresh(partial(picture, view, looks=block.looks))
        said = _tell(record, block, said)
        time.sleep(max(EVERY, (time.monotonic() - now) / SHARE))
        watched = Watched.read(watched.folder)
        if watched.record.folder != record.folder:  # the next network
            _tell(RunRecord.read(record.folder), block, said)
            begun, first, said = time.monotonic(), watched.record.step, (0, 0)
            block.set_foot(watched.foot)
            if not block.is_live:
                block.say(watched.name)
        record = watched.record
    _tell(record, block, said)
    return watched


def _tell(record: RunRecord, block: LiveBlock, said: tuple[int, int]) -> tuple[int, int]:
    """Print new validations (in a pipe) and new advice. said: how many of each were printed before;
    returns the same for the next call.
    """
    validations, advice = record.validations, record.advice
    for entry in () if block.is_live else validations[said[0] :]:
        block.say(validation_text(entry, record.total_steps))
    for entry in advice[said[1] :]:
        block.say(_advice_text(entry))
    return len(validations), len(advice)


def _advice_text(entry: dict[str, Any]) -> str:
    """What `charrnn train` advised, in a line; the file may hold anything."""
    return with_own_flags(terminal.one_line(f"{entry['kind']}: {entry['text']}"))


def _sample(record: RunRecord) -> tuple[int, str]:
    """The newest sample and its step."""
    if not record.samples:
        return 0, ""
    return record.samples[-1]["step"], record.samples[-1]["text"]


def _validation(record: RunRecord) -> list[tuple[int, float]]:
    entries = [(entry["step"], entry.get("validation_loss")) for entry in record.validations]
    return [(step, loss) for step, loss in entries if loss is not None]


def _left(watched: Watched, seconds: float = 0.0, steps: int = 0) -> float | None:
    """Seconds that a run still needs, with its other networks, at the pace of the last `steps` in
    `seconds`; without steps, at that of its history. None if it is not being trained or its pace
    is unknown.
    """
    record = watched.record
    if not record.is_running:
        return None
    if steps <= 0 or seconds < LONG_ENOUGH:
        seconds = record.seconds
        steps = max((entry["step"] for entry in record.history), default=0)
    if not (steps and seconds):
        return None
    pace, limit = seconds / steps, record.config.max_seconds
    left = (record.total_steps - record.step) * pace
    if limit is not None:
        left = min(left, max(0.0, limit - record.seconds))
    return left + (watched.count - watched.number) * record.total_steps * pace


def _view(watched: Watched, left: float | None, shown: int | None = None) -> View:
    record = watched.record
    validation, (step, text) = _validation(record), _sample(record)
    return View(
        record.step,
        record.total_steps,
        left,
        record.steps["loss"],
        validation,
        None if record.best is None else record.best["validation_loss"],
        text,
        step,
        shown,
        "",
        watched.count,
        watched.number - 1,
    )


def _state(watched: Watched) -> str:
    """running, finished, stopped (by a signal that let it save all), or killed."""
    from charrnn.training.run_file import progress_of

    record = watched.record
    if record.is_running:
        return "running"
    if record.is_over:
        return "finished" if watched.number == watched.count else "stopped"
    return "stopped" if record.step == progress_of(record.folder / LAST).step else "killed"


def _state_text(watched: Watched) -> str:
    """Its state in a line, and what to type next."""
    from charrnn.training.run_file import progress_of

    record, state, path = watched.record, _state(watched), quoted(watched.folder)
    step = f"step {record.step:,} of {record.total_steps:,}"
    step += f" of {watched.name}" if watched.count > 1 else ""
    sample = f"sample from it: charrnn sample {path}"
    resume = f"resume with: charrnn train --resume {path}"
    if state == "killed":
        saved = progress_of(record.folder / LAST).step
        return f"killed at {step}, saved at step {saved:,}; {resume}\n{sample}"
    if state == "stopped":
        return f"stopped at {step}; {resume}\n{sample}"
    report = f"see how it learns: charrnn report {path}"
    return f"{state}, at {step}\n{report}\n{sample}"


def _as_json(watched: Watched) -> dict[str, Any]:
    record = watched.record
    validation, (step, text) = _validation(record), _sample(record)
    best = record.best or {}
    return {
        "run": str(watched.folder),
        "network": watched.number,
        "networks": watched.count,
        "state": _state(watched),
        "step": record.step,
        "total_steps": record.total_steps,
        "epoch": record.step / record.steps_per_epoch,
        "seconds": record.seconds,
        "seconds_left": _left(watched),
        "train_loss": recent_loss(record.steps["loss"]),
        "validation_loss": validation[-1][1] if validation else None,
        "best_step": best.get("step"),
        "best_loss": best.get("validation_loss"),
        "sample_step": step if text else None,
        "sample": text or None,
        "advice": [{**entry, "text": with_own_flags(entry["text"])} for entry in record.advice],
    }

"""`charrnn log`: what a run has recorded, as a table, CSV, JSON or for TensorBoard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import say_where_others_are
from charrnn.cli.info import event_text, events_of
from charrnn.cli.options import PATH, json_option
from charrnn.cli.tables import Column, number_text, print_table
from charrnn.errors import ConfigError
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.checkpoint.header import Metadata
    from charrnn.training.run_record import RunRecord

CSV = "step", "epoch", "loss", "gradient_norm", "learning_rate", "validation_loss"
ROWS = 4096
"""Lines of CSV that are written at once."""

VALIDATIONS: list[Column[Metadata]] = [
    (0, "step", lambda entry: f"{entry['step']:,}"),
    (3, "epoch", lambda entry: number_text(entry.get("epoch"), ".2f")),
    (2, "train (nats)", lambda entry: number_text(entry.get("train_loss"), ".4f")),
    (1, "validation (nats)", lambda entry: number_text(entry.get("validation_loss"), ".4f")),
    (4, "(bits)", lambda entry: number_text(entry.get("validation_loss"), ".4f", math.log(2))),
    (5, "gradient", lambda entry: number_text(entry.get("gradient_norm"), ".3g")),
    (6, "rate", lambda entry: number_text(entry.get("learning_rate"), ".3g")),
    (7, "seconds", lambda entry: number_text(entry.get("seconds"), ",.0f")),
]

EPILOG = """\b
Examples:
  charrnn log                              the newest run's validations
  charrnn log checkpoints/book --csv > book.csv
  charrnn log checkpoints/book --json | jq '.validations[-1]'
  charrnn log checkpoints/book --tensorboard logs/book
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, type=PATH)
@click.option(
    "--csv",
    is_flag=True,
    help="Print every step as a line of CSV: step, epoch, loss, gradient_norm, learning_rate, and "
    "validation_loss where there was one.",
)
@json_option("Print one JSON object: all steps, validations, returns to earlier steps, samples.")
@click.option(
    "--tensorboard",
    metavar="FOLDER",
    type=click.Path(readable=False),
    help="Write everything for TensorBoard into this folder.",
)
def log(run: str | None, csv: bool, as_json: bool, tensorboard: str | None) -> None:
    """Show how a run has learned: its losses at each validation, or at every step.

    RUN is a run's folder, by default the newest. It may be training now. Of several networks, it
    is about the first; RUN/2 is the folder of the second. Losses are in nats per
    character or byte.
    """
    if csv + as_json + (tensorboard is not None) > 1:
        raise ConfigError("--csv, --json and --tensorboard: give one of them")
    if tensorboard is not None:
        from charrnn.training.tensorboard import check_installed

        check_installed()
    from charrnn.training.run_record import RunRecord

    record = RunRecord.read(run)
    if record.damage is not None:
        terminal.say(record.damage)
    say_where_others_are(record.folder, "log")
    if csv:
        _print_csv(record)
    elif as_json:
        click.echo(terminal.json_text(_about(record)))
    elif tensorboard is not None:
        _write_tensorboard(record, tensorboard)
    else:
        _print_table(record)


def _print_table(record: RunRecord) -> None:
    from charrnn.text.vocab import NOUNS

    state = "training now" if record.is_running else "stopped"
    if record.is_over and not record.is_running:
        state = "finished"
    passes = record.step / record.steps_per_epoch
    terminal.show(
        f"{terminal.one_line(str(record.folder))}: step {record.step:,} of {record.total_steps:,}, "
        f"{terminal.passes_text(passes)}, {terminal.duration_text(record.seconds)}, {state}"
    )
    if record.validations:
        click.echo()
        print_table(record.validations, VALIDATIONS)
    best = record.best
    if best is not None:
        loss = terminal.loss_text(best["validation_loss"], NOUNS[record.unit])
        terminal.show(f"lowest validation loss: {loss}, at step {best['step']:,}")
    events = events_of(record.history)
    if events:
        click.echo()
    for event in events:
        terminal.show(event_text(event))


def _print_csv(record: RunRecord) -> None:
    losses = {entry["step"]: entry.get("validation_loss") for entry in record.validations}
    print(",".join(CSV))
    for start in range(0, record.step, ROWS):
        columns, lines = _columns(record, slice(start, start + ROWS)), []
        for step, *numbers in zip(range(start + 1, start + ROWS + 1), *columns, strict=False):
            numbers.append(losses.get(step))
            texts = ("" if number is None else f"{number}" for number in numbers)
            lines.append(",".join((str(step), *texts)))
        print("\n".join(lines))


def _columns(record: RunRecord, steps: slice = slice(None)) -> list[list[float | None]]:
    """Epochs, losses, gradient norms and learning rates of these steps, by default all, None where
    one is missing, in no more digits than a float32 has.
    """
    from charrnn.training.records import FIELDS

    columns = [record.epochs.round(6), *(record.steps[name] for name in FIELDS)]
    return [
        [None if text == "nan" else float(text) for text in column[steps].astype(str)]
        for column in columns
    ]


def _about(record: RunRecord) -> dict[str, Any]:
    """The record, for JSON."""
    from charrnn.config.files import values_of
    from charrnn.training.records import FIELDS

    _, *columns = _columns(record)
    return {
        "run": str(record.folder),
        "is_running": record.is_running,
        "step": record.step,
        "total_steps": record.total_steps,
        "steps_per_epoch": record.steps_per_epoch,
        "seconds": record.seconds,
        "model": values_of(record.model),
        "train": values_of(record.config),
        "steps": dict(zip(FIELDS, columns, strict=True)),
        "validations": record.validations,
        "fall_backs": [entry for entry in record.history if "fell_back_from" in entry],
        "samples": record.samples,
    }


def _write_tensorboard(record: RunRecord, folder: str) -> None:
    from charrnn.training.tensorboard import write_tensorboard

    with terminal.progress_bar("writing", unit=" steps") as bar:
        write_tensorboard(record, folder, bar)
    terminal.say(f"written; to look at it: tensorboard --logdir {quoted(folder)}")

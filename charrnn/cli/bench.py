"""`charrnn bench`: how fast this machine trains and samples, and how close that is to its peak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from itertools import count, product
from statistics import median
from typing import TYPE_CHECKING, Any

import click

import charrnn
from charrnn.cli import terminal
from charrnn.cli.inputs import precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import Command, json_option
from charrnn.config import CorpusConfig
from charrnn.runtime.threads import usable_threads

if TYPE_CHECKING:
    from charrnn.bench.machine import Machine
    from charrnn.bench.measure import Measured, Shape
    from charrnn.text.corpus import Corpus

EPILOG = """\b
Examples:
  charrnn bench
  charrnn bench --against torch
  charrnn bench --hidden 128,256,512 --threads 1,2 --against torch --json > bench.json
  charrnn bench --only training --hidden 700 --layers 3 --batch-size 100
  charrnn bench --only machine
"""

MEASURED = ("training", "sampling", "forward")
UNFIT = {"training": "int8", "sampling": "amx", "forward": "int8"}
"""The precision in which a task is not done."""
WIDE = 1.6
"""When the highest ratio of a row exceeds the lowest by this factor, the row is not reliable."""
SAMPLED = 64
"""Characters that sampling writes to each text between two clock readings."""


def several(
    flag: str,
    default: str | None,
    help: str,
    kind: Any = click.IntRange(min=1),  # noqa: B008
    metavar: str = "N,...",
) -> Callable[[Command], Command]:
    """An option that takes one value or several separated by commas, by default positive integers,
    and passes a tuple.
    """

    def split(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
        if text is None:
            return None
        return tuple(kind.convert(value.strip(), option, ctx) for value in text.split(","))

    return click.option(
        flag,
        callback=split,
        metavar=metavar,
        default=default,
        show_default=default is not None,
        help=help,
    )


@click.command(epilog=EPILOG)
@several("--layers", "2", "Layers of the network.")
@several("--hidden", "128,256,512", "Units per layer.")
@several("--batch-size", "50", "Streams trained in parallel.")
@several("--seq-length", "50", "Characters per stream between updates.")
@several("--streams", "1,64", "Texts sampled at once.")
@several("--threads", None, "Threads to use. [default: all processors]")
@several(
    "--precision",
    "float32",
    "float32, bf16, amx (for training), or int8 (for sampling).",
    click.Choice(["float32", "bf16", "amx", "int8"]),
    "NAME,...",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Rounds to measure.",
)
@click.option(
    "--text",
    type=click.Path(readable=False),
    metavar="FILE",
    help="Text to train on. [default: random text of 65 symbols]",
)
@click.option(
    "--only",
    type=click.Choice(["machine", *MEASURED]),
    multiple=True,
    default=("training", "sampling"),
    help="Measure only this; may be repeated. forward: the forward pass alone. [default: "
    "training and sampling]",
)
@click.option(
    "--against",
    type=click.Choice(["torch"]),
    help="Measure PyTorch as well, alternating with charrnn.",
)
@json_option()
def bench(
    rounds: int,
    text: str | None,
    only: tuple[str, ...],
    against: str | None,
    as_json: bool,
    **lists: Any,
) -> None:
    """Measure this machine, then how fast it trains and samples, in characters per second.

    "of peak" is the share of the machine's peak multiply-add rate that goes into operations the
    task needs. With --against torch, "ratio" is charrnn's speed divided by PyTorch's. Run nothing
    else at the same time.
    """
    tasks = [task for task in MEASURED if task in only]
    if tasks and all({*lists["precision"]} == {UNFIT[task]} for task in tasks):
        raise click.UsageError(
            f"nothing to measure: {' and '.join(tasks)} cannot use --precision "
            f"{lists['precision'][0]}"
        )
    requested = lists["threads"] or (None,)
    lists["threads"] = tuple(dict.fromkeys(usable_threads(threads) for threads in requested))
    most = max(lists["threads"])
    versions = {"charrnn": charrnn.__version__}
    if against is not None:
        from charrnn.bench.peers import installed_version

        versions[against] = installed_version(against)
    corpus = None if text is None else read_text([text], CorpusConfig(val_fraction=0.0))
    trains = "training" in only or "forward" in only
    load_kernels("lstm", "adam", *(precision_kernels(lists["precision"]) if trains else ()))
    from charrnn.bench.machine import measure_machine

    machine = measure_machine(most)
    shapes = [(task, shape) for task in tasks for shape in _shapes(task, **lists)]
    rows = _measured(shapes, corpus, rounds, against)
    if as_json:
        described = {**asdict(machine), "versions": versions | machine.versions}
        by_task = {task: [row.as_json() for row in rows if row.task == task] for task in MEASURED}
        click.echo(terminal.json_text({"machine": described, **by_task}))
    else:
        _print_machine(machine)
        if rows:
            _print_rows(rows)
    _warn(rows)


def _shapes(task: str, **lists: tuple[Any, ...]) -> Iterator[Shape]:
    """Every combination of the requested values that applies to this task."""
    from charrnn.bench.measure import Shape

    lists["precision"] = tuple(name for name in lists["precision"] if name != UNFIT[task])
    if task == "sampling":
        lists |= {"batch_size": lists["streams"], "seq_length": (SAMPLED,)}
    for values in product(*(lists[field.name] for field in fields(Shape))):
        yield Shape(*values)


def _measured(
    shapes: list[tuple[str, Shape]], corpus: Corpus | None, rounds: int, against: str | None
) -> list[Measured]:
    """Measure each task at its shape, with progress."""
    from charrnn.bench.measure import expected_seconds, measure

    seconds = len(shapes) * expected_seconds(rounds, against)
    if shapes:
        terminal.say(f"about {terminal.duration_text(seconds)}; run nothing else at the same time")
    total = len(shapes) * rounds
    done = count(1)
    with terminal.progress_bar("measuring", unit="round") as bar:
        report = lambda: bar(next(done), total)  # noqa: E731
        return [
            measure(task, shape, corpus, rounds=rounds, against=against, progress=report)
            for task, shape in shapes
        ]


def _print_machine(machine: Machine) -> None:
    peaks = f"{machine.fma_peak_gflops_per_thread:.0f} GFLOP/s on one thread"
    if machine.threads > 1:
        peaks += f", {machine.fma_peak_gflops:.0f} on {machine.threads} threads"
    terminal.show(f"{terminal.one_line(machine.cpu)}, {machine.simd}")
    terminal.show(f"multiply-adds: {peaks}; memory: {machine.memory_bandwidth_gb_per_s:.1f} GB/s")


def _print_rows(rows: list[Measured]) -> None:
    from charrnn.cli.tables import Column, print_table

    columns: list[Column[Measured]] = [
        (0, "what", lambda row: f"{row.task}, {row.shape.layers} x {row.shape.hidden}"),
        (4, "batch", _batch),
        (3, "threads", lambda row: str(row.shape.threads)),
        (2, "precision", lambda row: row.shape.precision),
        (1, "chars/s", lambda row: f"{median(row.speeds):,.0f}"),
        (2, "of peak", lambda row: f"{median(row.shares):.1%}"),
    ]
    if rows[0].theirs:
        columns += [
            (3, "PyTorch", lambda row: f"{median(row.theirs):,.0f}"),
            (1, "ratio", lambda row: f"{median(row.ratios):.2f}"),
            (5, "spread", lambda row: f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"),
        ]
    if all(row.shape.precision == "float32" for row in rows):
        columns = [column for column in columns if column[1] != "precision"]
    print_table(rows, columns)


def _warn(rows: list[Measured]) -> None:
    """Warn where rounds disagree, as they do when a peer's threads share a processor."""
    wide = sum(bool(row.theirs) and max(row.ratios) > WIDE * min(row.ratios) for row in rows)
    if wide:
        terminal.say(
            f"the rounds of {wide} out of {len(rows)} rows disagree: was something else running? "
            "run the benchmark again"
        )


def _batch(row: Measured) -> str:
    length = "" if row.task == "sampling" else f" x {row.shape.seq_length}"
    return f"{row.shape.batch_size}{length}"

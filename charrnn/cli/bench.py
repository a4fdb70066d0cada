"""`charrnn bench`: how fast this machine trains and samples, and how much of what it could do that
is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count, product
from typing import TYPE_CHECKING, Any

import click

import charrnn
from charrnn.cli import terminal
from charrnn.cli.inputs import precision_kernels
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import Command
from charrnn.runtime.threads import available_threads, check_threads

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

Counts = tuple[int, ...]
MEASURED = ("training", "sampling", "forward")
PRECISIONS = ("float32", "bf16", "int8")
WIDE = 1.6
"""From here on the highest and the lowest ratio of a row are too far apart for it to be trusted."""
SAMPLED = 64
"""Characters of each text that sampling writes between two looks at the clock."""


def several(
    flag: str, kind: Any, metavar: str, default: str | None, help: str
) -> Callable[[Command], Command]:
    """An option that takes one value, or several with commas between them, and passes a tuple."""

    def split(ctx: click.Context, option: click.Parameter, text: str | None) -> Any:
        return text and tuple(kind.convert(one.strip(), option, ctx) for one in text.split(","))

    shown = default is not None
    return click.option(
        flag, callback=split, metavar=metavar, default=default, show_default=shown, help=help
    )


def counts(flag: str, default: str | None, help: str) -> Callable[[Command], Command]:
    """The same for whole numbers from 1 on."""
    return several(flag, click.IntRange(min=1), "N,...", default, help)


@click.command(epilog=EPILOG)
@counts("--layers", "2", "Layers of the LSTM.")
@counts("--hidden", "128,256,512", "Units of a layer.")
@counts("--batch-size", "50", "Streams trained side by side.")
@counts("--seq-length", "50", "Characters between updates.")
@counts("--streams", "1,64", "Texts written at once, in sampling.")
@counts("--threads", None, "Threads to compute with. [default: all processors]")
@several(
    "--precision",
    click.Choice(PRECISIONS),
    "NAME,...",
    "float32",
    "float32, bf16, or int8 (for sampling).",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Turns of each side.",
)
@click.option(
    "--text",
    type=click.Path(),
    metavar="FILE",
    help="Text to train on. [default: 65 random symbols]",
)
@click.option(
    "--only",
    type=click.Choice(["machine", *MEASURED]),
    multiple=True,
    help="Measure this; may be repeated. forward reads without training. [default: training and "
    "sampling]",
)
@click.option(
    "--against",
    type=click.Choice(["torch"]),
    help="Measure PyTorch too, in turn with this program.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    layers: Counts,
    hidden: Counts,
    batch_size: Counts,
    seq_length: Counts,
    streams: Counts,
    threads: Counts | None,
    precision: tuple[str, ...],
    rounds: int,
    text: str | None,
    only: tuple[str, ...],
    against: str | None,
    as_json: bool,
) -> None:
    """Measure this machine, then training and sampling on it, in characters a second.

    The share of the peak says how much of what the multiply-add units could do goes into operations
    that the task needs. With --against torch, ratio is how many times as fast as PyTorch this
    program is. Let nothing else run meanwhile.
    """
    tasks = only or ("training", "sampling")
    threads = threads or (available_threads(),)
    check_threads(max(threads))
    versions = {"charrnn": charrnn.__version__}
    if against is not None:
        from charrnn.bench.peers import installed_version

        versions[against] = installed_version(against)
    if text is not None:
        from charrnn.text.sources import find

        find([text])  # reports a text that is not there before kernels are loaded, or compiled
    trains = not {"training", "forward"}.isdisjoint(tasks)
    load_kernels("lstm", "adam", *(precision_kernels(precision) if trains else ()))
    from charrnn.bench.machine import measure_machine
    from charrnn.bench.measure import Shape

    shapes = []
    for task in [task for task in MEASURED if task in tasks]:
        samples = task == "sampling"
        batches = (streams, (SAMPLED,)) if samples else (batch_size, seq_length)
        known = precision if samples else [name for name in precision if name != "int8"]
        every = product(layers, hidden, *batches, threads, known)
        shapes += [(task, Shape(*values)) for values in every]
    corpus = _read(text)
    machine = measure_machine(max(threads))
    rows = _measured(shapes, corpus, rounds, against)
    if as_json:
        described = {**asdict(machine), "versions": versions | machine.versions}
        lists = {task: [one.as_json() for name, one in rows if name == task] for task in MEASURED}
        click.echo(json.dumps({"machine": described, **lists}))
    else:
        _print_machine(machine)
        if rows:
            _print_table(rows)
    _warn(rows)


def _read(text: str | None) -> Corpus | None:
    if text is None:
        return None
    from charrnn.cli.inputs import read_text
    from charrnn.config import CorpusConfig

    return read_text([text], CorpusConfig(val_fraction=0.0), quiet=False)


def _measured(
    shapes: list[tuple[str, Shape]], corpus: Corpus | None, rounds: int, against: str | None
) -> list[tuple[str, Measured]]:
    """Measure each task at its shape, with progress."""
    from charrnn.bench.measure import expected_seconds, measure

    rows: list[tuple[str, Measured]] = []
    seconds = len(shapes) * expected_seconds(rounds, against)
    if shapes:
        terminal.say(f"about {terminal.duration_text(seconds)}; let nothing else run meanwhile")
    total = len(shapes) * rounds
    done = count(1)
    with terminal.progress_bar("measuring", unit="round") as bar:
        for task, shape in shapes:
            report = lambda: bar(next(done), total)  # noqa: E731
            rows.append(
                (
                    task,
                    measure(task, shape, corpus, rounds=rounds, against=against, progress=report),
                )
            )
    return rows


def _print_machine(machine: Machine) -> None:
    threads = (
        f"{machine.fma_peak_gflops:.0f} on {machine.threads} threads" if machine.threads > 1 else ""
    )
    peaks = ", ".join(
        filter(None, (f"{machine.fma_peak_gflops_per_thread:.0f} GFLOP/s on one thread", threads))
    )
    click.echo(f"{terminal.one_line(machine.cpu)}, {machine.simd}")
    click.echo(f"multiply-adds: {peaks}; memory: {machine.memory_bandwidth_gb_per_s:.1f} GB/s")


def _print_table(rows: list[tuple[str, Measured]]) -> None:
    from charrnn.cli.tables import Column, print_columns

    def column(importance: int, heading: str, cell: Any) -> Column:
        return importance, heading, [cell(task, one) for task, one in rows]

    columns = [
        column(0, "what", lambda task, one: f"{task}, {one.shape.layers} x {one.shape.hidden}"),
        column(4, "batch", lambda task, one: _batch(task, one.shape)),
        column(3, "threads", lambda task, one: str(one.shape.threads)),
        column(2, "precision", lambda task, one: one.shape.precision),
        column(1, "chars/s", lambda task, one: f"{one.chars_per_second:,.0f}"),
        column(2, "of peak", lambda task, one: f"{one.share_of_peak:.1%}"),
    ]
    if any(one.ratio is not None for _, one in rows):
        columns += [
            column(3, "PyTorch", lambda task, one: f"{one.peer_chars_per_second:,.0f}"),
            column(1, "ratio", lambda task, one: f"{one.ratio:.2f}"),
            column(5, "spread", lambda task, one: "{:.2f} to {:.2f}".format(*one.ratios)),
        ]
    if all(one.shape.precision == "float32" for _, one in rows):
        columns = [one for one in columns if one[1] != "precision"]
    print_columns(columns)


def _warn(rows: list[tuple[str, Measured]]) -> None:
    """Say where rounds disagree, which they do when a peer's threads must share a processor."""
    wide = [
        one.ratios
        for _, one in rows
        if one.ratios is not None and one.ratios[1] > WIDE * one.ratios[0]
    ]
    if wide:
        terminal.say(
            f"rounds disagree in {len(wide)} of {len(rows)} rows: did something else run? "
            "measure them again"
        )


def _batch(task: str, shape: Shape) -> str:
    return (
        str(shape.batch_size) if task == "sampling" else f"{shape.batch_size} x {shape.seq_length}"
    )

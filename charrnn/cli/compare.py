"""`charrnn compare`: train several configurations side by side, and say which predicts best."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.inputs import precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import (
    COMMON_KEYS,
    GroupedCommand,
    Request,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.signals import Stop
from charrnn.config.fields import Setting, Value
from charrnn.config.files import SETTINGS, check_names, configs_of
from charrnn.config.settings import CELL_NAMES, OPTIMIZER_NAMES, CorpusConfig
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.tuning.candidates import Candidate
    from charrnn.tuning.comparison import Event

GROUP, ENDLESS = "Comparison", 1e6

EXAMPLES = """\b
Examples:
  charrnn compare book.txt --cells lstm,gru,rnn --hidden 128 --epochs 10
  charrnn compare book.txt --cells lstm,gru --equal time --max-time 5m
  charrnn compare book.txt --vary dropout=0,0.3,0.5 --seeds 5
  charrnn compare book.txt --vary optimizer=adam,rmsprop --vary learning-rate=0.001,0.003
  charrnn compare --preset char-rnn --vary layers=1,2,3 --epochs 5 --json
"""


@dataclass(frozen=True)
class Comparison:
    """What to compare: `settings` are those of all configurations, `varied` those that differ."""

    text: tuple[str, ...]
    settings: dict[str, Value]
    varied: dict[str, list[Value]]
    seeds: range
    equal: str


@click.command(
    cls=GroupedCommand, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("text", nargs=-1, type=click.Path())
@option("--cells", "Cells to compare.", group=GROUP, metavar="CELL,...")
@option(
    "--vary",
    "A setting, and values of it to compare; given several times, all combinations.",
    group=GROUP,
    multiple=True,
    metavar="NAME=VALUE,...",
)
@option(
    "--seeds",
    "Runs of each configuration, with seeds from --seed on.  [default: 3]",
    group=GROUP,
    type=int,
    default=3,
)
@option(
    "--equal",
    "What all have in common: the number of parameters, of which the first has as many as "
    "--hidden gives it; the training time, --max-time; or --hidden.  [default: parameters]",
    group=GROUP,
    type=click.Choice(["parameters", "time", "hidden"]),
)
@setting_options
@option(
    "--out",
    "Folder of the runs.  [default: checkpoints/compare-<name of the text>]",
    type=click.Path(),
)
@option(
    "--threads", "Threads to compute with; losses do not depend on it.  [default: all]", type=int
)
@option("--quiet", "Show nothing but errors and the result.", is_flag=True)
@option("--json", "Print one JSON object.", is_flag=True)
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    cells: str | None,
    vary: tuple[str, ...],
    seeds: int,
    equal: str | None,
    **flags: Any,
) -> None:
    """Train several configurations on TEXT, one run after the other, and print a table of how well
    they predict.

    Each is judged by the validation loss of its best checkpoint, over several seeds. All other
    settings are those of train. Ctrl-C saves and ends; the same command goes on from there.
    """
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    request = read_request(ctx, flags, COMMON_KEYS)
    text = request.text or (str(bundled_corpus()),)
    varied = _varied(cells, vary)
    equal = equal or ("hidden" if "hidden" in varied else "parameters")
    settings: dict[str, Value] = {"sample_every": 0, **request.settings}  # samples only take time
    if equal == "parameters" and "hidden" in varied:
        raise ConfigError(
            "--vary hidden and --equal parameters exclude each other; leave one of them out"
        )
    if equal == "time":
        if request.training.max_time is None:
            raise ConfigError("--equal time needs the training time of each run: --max-time 5m")
        settings |= {"epochs": ENDLESS, "steps": None, "pace": None}
    if not 1 <= seeds <= 1000:
        raise ConfigError(f"--seeds must be 1 to 1000, not {seeds}")
    first = request.training.seed
    comparison = Comparison(text, settings, varied, range(first, first + seeds), equal)
    find(text)  # reports a text that is not there before kernels are loaded, or compiled
    load_kernels(*_kernels(comparison), quiet=request.quiet)
    status = _run(comparison, request)
    if status:
        ctx.exit(status)


def _kernels(comparison: Comparison) -> list[str]:
    """The cells and optimizers that will be at work; a name that is neither is reported later."""
    _, model, training = configs_of(comparison.settings)
    used = {"cell": model.cell, "optimizer": training.optimizer, "precision": training.precision}
    cells, optimizers, precisions = (
        [str(value) for value in comparison.varied.get(name, [one])] for name, one in used.items()
    )
    known = [name for name in cells + optimizers if name in (*CELL_NAMES, *OPTIMIZER_NAMES)]
    return [*known, *precision_kernels(precisions)]


def _varied(cells: str | None, vary: Iterable[str]) -> dict[str, list[Value]]:
    """The settings that differ, and the values of each."""
    varied: dict[str, list[Value]] = {}
    for text in [f"cell={cells}"] * (cells is not None) + list(vary):
        name, _, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not values:
            raise ConfigError(
                f"--vary {text:.60}: give a setting and its values, such as --vary dropout=0,0.3"
            )
        if name in varied:
            raise ConfigError(f"--vary {name}: its values are given twice; name them all at once")
        if name in ("seed", "vocab_size"):
            raise ConfigError(
                f"--vary {name}: --seeds says how many seeds are tried; the vocabulary follows "
                "from the text"
            )
        check_names({name: None})
        varied[name] = [_value(SETTINGS[name], value.strip()) for value in values.split(",")]
    return varied


def _value(setting: Setting, text: str) -> Value:
    """A value as the setting's type has it; ranges are checked with all other settings."""
    if text.lower() == "none" and setting.optional:
        return None
    try:
        value: Value = click.types.convert_type(setting.kind).convert(text, None, None)
        return value
    except click.BadParameter as error:
        raise ConfigError(f"--vary {setting.name}: {error.message}") from None


def _candidates(comparison: Comparison, quiet: bool) -> list[Candidate]:
    """The configurations, with the text read as each of them wants it."""
    from charrnn.tuning.candidates import Candidate, combinations, of_equal_size

    varied = combinations(comparison.settings, comparison.varied)
    configs = {CorpusConfig.of(settings) for _, settings in varied}
    if len(configs) > 1 and "-" in comparison.text:
        raise ConfigError(
            "standard input can be read once only; give a file, to vary how it is read"
        )
    corpora = {config: read_text(comparison.text, config, quiet) for config in configs}
    candidates = []
    for name, settings in varied:
        corpus, model, training = configs_of(settings)
        candidates.append(Candidate(name, corpora[corpus], model, training))
    return of_equal_size(candidates) if comparison.equal == "parameters" else candidates


def _run(comparison: Comparison, request: Request) -> int:
    """Train all of them, or until a signal, and print the result; the exit status."""
    from charrnn.checkpoint.paths import ROOT
    from charrnn.cli.compare_display import Display, print_results
    from charrnn.tuning.comparison import compare as runs
    from charrnn.tuning.comparison import results

    candidates, seeds = _candidates(comparison, request.quiet), comparison.seeds
    folder = Path(request.out or ROOT / f"compare-{candidates[0].corpus.name}")
    kept: list[Event] = []
    total = len(candidates) * len(seeds)
    with (
        Stop.installed() as stop,
        closing(Display(len(seeds), folder, request.quiet)) as display,
        closing(runs(candidates, seeds, folder, threads=request.threads)) as events,  # type: ignore[type-var]
    ):
        for event in events:
            display.show(event)
            if event.outcome is not None:
                kept.append(event)
            if stop.status:
                break
    ranking, is_finished = results(candidates, kept), len(kept) == total
    if request.as_json:
        described = [one.as_json() for one in ranking]
        click.echo(
            json.dumps(
                {"folder": str(folder), "finished": is_finished, "configurations": described}
            )
        )
    elif kept:
        print_results(ranking, len(seeds))
    if not is_finished:
        terminal.say(
            f"stopped after {len(kept)} of {total} runs; the same command goes on from there"
        )
    return 0 if is_finished else stop.status

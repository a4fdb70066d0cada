"""`charrnn compare`: train several configurations and report which one predicts best."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charrnn.cli import terminal
from charrnn.cli.dealing import dealt
from charrnn.cli.inputs import optimizer_kernels, precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import (
    COMMON_KEYS,
    GroupedCommand,
    Request,
    check_parts,
    for_option,
    help_all_option,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.signals import Stop
from charrnn.cli.train_for import elapsed, with_length
from charrnn.cli.varied import split_by_name, values_of_text
from charrnn.config.fields import Value, seconds_of
from charrnn.config.files import configs_of, values_of
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.tuning.candidates import Candidate
    from charrnn.tuning.outcomes import Event

GROUP = "Comparison"
Varied = dict[str, list[Value]]
"""The settings that differ, and the values of each."""

EXAMPLES = """\b
Examples:
  charrnn compare book.txt --cells lstm,gru,rnn --for 1h
  charrnn compare book.txt --vary dropout=0,0.3,0.5 --epochs 10 --seeds 5
  charrnn compare book.txt --vary optimizer=adam,sgd --vary layers=1,2
  charrnn compare book.txt --cells lstm,gru --hidden 128 --epochs 5 --json
  mpiexec -n 8 charrnn compare book.txt --cells lstm,gru --for 1h
"""
BRIEF = {
    "--cells": "Cells to compare.",
    "--vary": "A setting and its values; repeat for combinations.",
    "--seeds": "Runs of each configuration. [default: 3]",
    "--equal": "What all share. [default: parameters]",
    "--for": "Total time for all runs: 20m, 2h.",
    "--epochs": "Passes over the text for each run.",
    "--hidden": "Units per layer of the first configuration.",
    "--layers": "Layers. [default: 2]",
    "--out": "Folder for the runs. [default: checkpoints/compare-<text>]",
    "--seed": "The first seed. [default: 0]",
    "--threads": "Threads; losses do not change. [default: all]",
    "--preset": "char-rnn, torch-rnn, dl4j, or a TOML file.",
    "--config": "Settings in a TOML file; flags win.",
    "--json": "Print one JSON object.",
    "--quiet": "Show only errors and the result.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("text", nargs=-1, type=click.Path(readable=False))
@option("--cells", "Cells to compare.", group=GROUP, metavar="CELL,...")
@option(
    "--vary",
    "A setting and the values to compare; repeat for all combinations.",
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
    "What all configurations share: the number of parameters that --hidden gives the first one, "
    "or --hidden itself.  [default: parameters]",
    group=GROUP,
    type=click.Choice(["parameters", "hidden"]),
)
@for_option("Total time for all runs: 90s, 20m, 2h.  [default: 10m]")
@setting_options(without=("networks",))
@option(
    "--out",
    "Folder for the runs.  [default: checkpoints/compare-<name of the text>]",
    type=click.Path(readable=False),
)
@option("--threads", "Threads to use; losses do not depend on it.  [default: all]", type=int)
@option("--quiet", "Show only errors and the result.", is_flag=True)
@option("--json", "Print one JSON object.", is_flag=True)
@help_all_option
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

    Each is scored by the validation loss of its best checkpoint, over several seeds. All other
    settings are those of train. Ctrl-C saves and stops; the same command resumes.
    """
    status = dealt(lambda: _compare(ctx, cells, vary, seeds, equal, flags), flags["quiet"])
    if status:
        ctx.exit(status)


def _compare(
    ctx: click.Context,
    cells: str | None,
    vary: tuple[str, ...],
    seeds: int,
    equal: str | None,
    flags: dict[str, Any],
) -> int:
    """Compare as the flags say; returns the exit status."""
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    varied = _varied(cells, vary)
    request = read_request(ctx, flags, COMMON_KEYS)
    if length := varied.keys() & {"steps", "epochs"}:  # a file's is another one

        def is_kept(name: str) -> bool:
            is_typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
            return is_typed or name not in {"steps", "epochs", "pace", "for"} - length

        rest = {name: value for name, value in request.settings.items() if is_kept(name)}
        time = request.duration if is_kept("for") else None
        request = replace(request, settings=rest, duration=time)
    request = with_length(ctx, request, varied)
    text = request.text or (str(bundled_corpus()),)
    equal = equal or ("hidden" if "hidden" in varied else "parameters")
    settings: dict[str, Value] = {"sample_every": 0, **request.settings}  # samples take time
    if equal == "parameters" and "hidden" in varied:
        raise ConfigError(
            "--vary hidden and --equal parameters contradict each other; leave one of them out"
        )
    if not 1 <= seeds <= 1000:
        raise ConfigError(f"--seeds must be 1 to 1000, not {seeds}")
    first = request.training.seed
    check_parts(request.parts, varied)
    request = replace(request, text=text, settings=settings)
    # reports a missing text before kernels are loaded or compiled
    find(text, **request.parts)
    if not varied:
        raise ConfigError(
            "nothing to compare: name cells or a setting's values, such as --cells lstm,gru or "
            "--vary dropout=0,0.3"
        )
    load_kernels(*_kernels(request, varied), quiet=request.quiet)
    return _run(request, varied, range(first, first + seeds), equal)


def _kernels(request: Request, varied: Varied) -> list[str]:
    """The cells, attention, optimizers and precisions in use."""
    values = values_of(*configs_of(request.settings))
    cells, optimizers, precisions = (
        varied.get(name, [values[name]]) for name in ("cell", "optimizer", "precision")
    )
    attends = set(varied.get("attention", [values["attention"]])) != {0}
    names = [*map(str, cells), *["attention"] * attends, *optimizer_kernels(optimizers)]
    return [*names, *precision_kernels([*map(str, precisions)], request.duration)]


def _varied(cells: str | None, vary: Iterable[str]) -> Varied:
    """The settings that differ, and the values of each."""
    texts = split_by_name([f"cell={cells}"] * (cells is not None) + list(vary))
    return {name: values_of_text(name, text) for name, text in texts.items()}


def _candidates(request: Request, varied: Varied) -> list[Candidate]:
    """The configurations, each with the text read according to its settings."""
    from charrnn.tuning.candidates import Candidate, combinations

    configurations = [
        (name, *configs_of(settings)) for name, settings in combinations(request.settings, varied)
    ]
    configs = {corpus for _, corpus, _, _ in configurations}
    if len(configs) > 1 and "-" in (*request.text, *chain(*request.parts.values())):
        raise ConfigError(
            "standard input can be read only once; to vary how the text is read, give a file"
        )
    corpora = {
        config: read_text(request.text, config, request.quiet, **request.parts)
        for config in configs
    }
    return [
        Candidate(name, corpora[corpus], model, training)
        for name, corpus, model, training in configurations
    ]


def _run(request: Request, varied: Varied, seeds: range, equal: str) -> int:
    """Train all of them, or stop at a signal, and print the result; returns the exit status."""
    from charrnn.checkpoint.paths import ROOT
    from charrnn.cli.compare_display import Display, print_results
    from charrnn.tuning.candidates import of_equal_size
    from charrnn.tuning.comparison import compare as runs
    from charrnn.tuning.comparison import with_size
    from charrnn.tuning.dealing import rounds
    from charrnn.tuning.outcomes import results
    from charrnn.tuning.planning import LEAST_SECONDS

    candidates = _candidates(request, varied)
    folder = Path(request.out or ROOT / f"compare-{candidates[0].corpus.name}")
    outcomes: list[Event] = []
    total, threads = len(candidates) * len(seeds), request.threads
    duration = None
    if request.duration is not None:
        duration = seconds_of("duration", request.duration)
    if duration is not None:
        if not request.quiet:
            terminal.say(f"all runs together take {terminal.duration_text(duration)}")
        share = max(LEAST_SECONDS, duration / rounds(total))
        is_equal = equal == "parameters"
        candidates = with_size(candidates, folder, share, of_equal_size=is_equal, threads=threads)
        duration = max(duration - elapsed(), min(duration, LEAST_SECONDS * rounds(total)))
    if equal == "parameters":
        candidates = of_equal_size(candidates)
    elif "hidden" not in varied:
        hidden = candidates[0].hidden
        candidates = [replace(one, model=one.model.filled(hidden=hidden)) for one in candidates]
    with (
        Stop.installed() as stop,
        closing(Display(len(seeds), folder, stop, request.quiet)) as display,
        closing(runs(candidates, seeds, folder, duration=duration, threads=threads)) as events,  # type: ignore[type-var]
    ):
        for event in events:
            display.show(event)
            if event.outcome is not None:
                outcomes.append(event)
            if stop.status:
                break
    ranking, is_finished = results(candidates, outcomes), len(outcomes) == total
    if request.as_json:
        described = [result.as_json() for result in ranking]
        click.echo(
            terminal.json_text(
                {"folder": str(folder), "finished": is_finished, "configurations": described}
            )
        )
    elif outcomes:
        print_results(ranking, len(seeds))
    if not is_finished:
        terminal.say(
            f"stopped after {len(outcomes)} of {total} runs; run the same command to resume"
        )
    return 0 if is_finished else stop.status

"""`charrnn tune`: search the settings with which a text is learned best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
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
    flag_of,
    help_all_option,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.signals import Stop
from charrnn.cli.varied import split_by_name, value_of, values_of_text
from charrnn.config.fields import seconds_of
from charrnn.config.files import SETTINGS, configs_of, values_of
from charrnn.config.training import LENGTH
from charrnn.errors import ConfigError
from charrnn.runtime.shell import argument, joined

if TYPE_CHECKING:
    from charrnn.tuning.space import Range
    from charrnn.tuning.trials import Trial
    from charrnn.tuning.tuned import Tuned

GROUP = "Tuning"
AN_HOUR, TRIALS = 3600.0, 20
"""The time if no length is given, and how many trials fit into one."""
UNSEEN = 0.1
"""Fraction of the text that is kept from tuning if no test part is given."""

EXAMPLES = """\b
Examples:
  charrnn tune book.txt --for 2h --each 5m
  charrnn tune book.txt --for 1h --cell gru --vary dropout=0..0.4
  charrnn tune book.txt --trials 30 --steps 2000 --vary seq-length=32,64,128
  mpiexec -n 8 charrnn tune book.txt --for 2h --each 10m
"""
BRIEF = {
    "--for": "Time of all trials together. [default: 1h]",
    "--each": "Time of a trial. [default: a twentieth of --for]",
    "--trials": "Number of trials, instead of --for.",
    "--vary": "NAME=LOW..HIGH or NAME=VALUE,...; repeat for more.",
    "--repeats": "Other seeds at the end. [default: 2]",
    "--steps": "Length of a trial in steps, instead of --each.",
    "--cell": "Fix the cell, so that it is not searched.",
    "--hidden": "Fix the width; so does every flag of train.",
    "--test-fraction": "Kept from tuning, for the end. [default: 0.1]",
    "--out": "Folder for the trials. [default: checkpoints/tune-<text>]",
    "--seed": "Seed of everything random. [default: 0]",
    "--threads": "Threads; losses do not change. [default: all]",
    "--preset": "char-rnn, torch-rnn, dl4j, or a TOML file.",
    "--config": "Settings in a TOML file; flags win.",
    "--json": "Print one JSON object.",
    "--quiet": "Show only errors and the result.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("text", nargs=-1, type=click.Path(readable=False))
@option(
    "--for",
    "Time of all trials together: 20m, 2h.  [default: 1h]",
    group=GROUP,
    metavar="TIME",
)
@option(
    "--each",
    "Time of a trial: 90s, 5m.  [default: as before in this folder, else a twentieth of --for]",
    group=GROUP,
    metavar="TIME",
)
@option(
    "--trials",
    "Number of trials, instead of --for or beside it. With --steps or --epochs, the clock plays no "
    "part.",
    group=GROUP,
    type=int,
)
@option(
    "--vary",
    "A setting and where to search it, from LOW to HIGH or among some values; repeat for more. "
    "Without it: learning rate and weight decay around the recipe's, hidden, layers, dropout, "
    "cell.",
    group=GROUP,
    multiple=True,
    metavar="NAME=LOW..HIGH|VALUE,...",
)
@option(
    "--repeats",
    "Other seeds from which the best and the recipe are trained again at the end, to see what is "
    "chance; at most a quarter of --for.  [default: 2]",
    group=GROUP,
    type=int,
    default=2,
)
@setting_options(without=("networks",))
@option(
    "--out",
    "Folder for the trials.  [default: checkpoints/tune-<name of the text>]",
    type=click.Path(readable=False),
)
@option("--threads", "Threads to use; losses do not depend on it.  [default: all]", type=int)
@option("--quiet", "Show only errors and the result.", is_flag=True)
@option("--json", "Print one JSON object.", is_flag=True)
@help_all_option
@click.pass_context
def tune(
    ctx: click.Context,
    /,
    each: str | None,
    trials: int | None,
    vary: tuple[str, ...],
    repeats: int,
    **flags: Any,
) -> None:
    """Search the settings with which TEXT is learned best in a given time.

    The first trial is the recipe; bad ones are stopped early. A flag fixes its setting. The end of
    the text is kept away from all of this, and says how much was gained. Ctrl-C saves and stops;
    the same command resumes.
    """
    status = dealt(lambda: _tune(ctx, each, trials, vary, repeats, flags), flags["quiet"])
    if status:
        ctx.exit(status)


for _option in tune.params:
    if _option.name == "test_fraction" and isinstance(_option, click.Option):
        _option.help = f"Fraction of the text kept from tuning, for the end.  [default: {UNSEEN}]"


def _tune(
    ctx: click.Context,
    each: str | None,
    trials: int | None,
    vary: tuple[str, ...],
    repeats: int,
    flags: dict[str, Any],
) -> int:
    """Tune as the flags say; returns the exit status."""
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find
    from charrnn.tuning.search import check_installed

    check_installed()
    request = read_request(ctx, flags, COMMON_KEYS)
    if each is not None:  # it wins over a file's length of a run
        rest = {
            name: value
            for name, value in request.settings.items()
            if name not in LENGTH or ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        request = replace(request, settings=rest)
    length = _length(request, each, trials, repeats)
    varied = _varied(vary, request)
    text = request.text or (str(bundled_corpus()),)
    check_parts(request.parts, varied)
    if "test_fraction" not in request.settings and not any(request.parts.values()):
        request = replace(request, settings={**request.settings, "test_fraction": UNSEEN})
    request = replace(request, text=text)
    # reports a missing text before kernels are loaded or compiled
    find(text, **request.parts)
    load_kernels(*_kernels(request, varied, length), quiet=request.quiet)
    return _run(request, varied, length)


@dataclass(frozen=True)
class Length:
    """How long all trials take, how long one takes, in seconds, and how many there are.

    each_text: how long one takes as it was asked for, if it was.
    """

    duration: float | None
    each: float | None
    trials: int | None
    each_text: str | None
    repeats: int

    def as_in(self, folder: Path) -> Length:
        """The length with the time of a trial that a tuning in this folder has, if none was asked
        for.
        """
        from charrnn.tuning.question import each_in

        if self.each is None or self.each_text is not None:
            return self
        return replace(self, each=each_in(folder) or self.each)


def _length(request: Request, each: str | None, trials: int | None, repeats: int) -> Length:
    """The length that is asked for, or what follows from it."""
    from charrnn.tuning.planning import LEAST_SECONDS

    in_steps = any(request.settings.get(name) is not None for name in LENGTH)
    duration = None
    if request.duration is not None:
        duration = seconds_of("duration", request.duration)
    one = None if each is None else seconds_of("each", each)
    if duration is None and trials is None:
        if one is None and not in_steps:
            duration = AN_HOUR
        else:
            trials = TRIALS
    if one is None and not in_steps:
        if duration is None:
            raise ConfigError("--trials: say how long each is, by --each, --steps or --epochs")
        one = max(LEAST_SECONDS, duration / TRIALS)
    return Length(duration, one, trials, each, repeats)


def _varied(vary: Iterable[str], request: Request) -> dict[str, Range | list[Any]]:
    """Where the settings of --vary are searched."""
    from charrnn.tuning.space import checked_range

    varied: dict[str, Range | list[Any]] = {}
    for name, text in split_by_name(vary).items():
        if name in request.settings:
            raise ConfigError(
                f"--vary {flag_of(name)[2:]} and {flag_of(name)} contradict each other; leave one "
                "of them out"
            )
        low, is_range, high = text.partition("..")
        if is_range:
            ends = (value_of(SETTINGS[name], end.strip()) for end in (low, high))
            varied[name] = checked_range(name, *ends)
        else:
            varied[name] = values_of_text(name, text)
    return varied


def _searched(request: Request) -> list[str]:
    """What is searched around the recipe's values: what no flag fixes."""
    from charrnn.tuning.space import SEARCHED

    return [name for name in SEARCHED if request.settings.get(name) is None]


def _kernels(
    request: Request, varied: Mapping[str, Range | list[Any]], length: Length
) -> list[str]:
    """The cells, attention, optimizers and precisions in use."""
    from charrnn.tuning.space import CELLS

    values = values_of(*configs_of(request.settings))
    used = "cell", "attention", "optimizer", "precision"
    usual = {name: [values[name]] for name in used}
    if "cell" in _searched(request):
        usual["cell"] = list(CELLS)
    cells, reaches, optimizers, precisions = (
        [*varied.get(name, usual[name])]  # type: ignore[misc]
        for name in usual
    )
    duration = None if length.each is None else "a time"
    names = [
        *map(str, cells),
        *["attention"] * (set(reaches) != {0}),
        *optimizer_kernels(optimizers),
    ]
    return [*names, *precision_kernels([*map(str, precisions)], duration)]


def _run(request: Request, varied: Mapping[str, Range | list[Any]], length: Length) -> int:
    """Run the trials, or stop at a signal, and print the result; returns the exit status."""
    from charrnn.checkpoint.paths import ROOT
    from charrnn.cli.tune_display import Display, print_trials, print_tuned
    from charrnn.text.vocab import counted
    from charrnn.tuning.tune import tune as events_of

    corpus_config, model, training = configs_of(request.settings)
    corpus = read_text(request.text, corpus_config, request.quiet, **request.parts)
    folder = Path(request.out or ROOT / f"tune-{corpus.name}")
    length = length.as_in(folder)
    trials: list[Trial] = []
    tuned: Tuned | None = None
    with (
        Stop.installed() as stop,
        closing(Display(folder, length.duration, stop, request.quiet)) as display,
        closing(
            events_of(
                corpus,
                model,
                training,
                folder=folder,
                duration=length.duration,
                each=length.each,
                trials=length.trials,
                vary=varied,
                search=_searched(request),
                repeats=length.repeats,
                threads=request.threads,
            )
        ) as events,  # type: ignore[type-var]
    ):
        for event in events:
            display.show(event)
            tuned = event.tuned
            if event.trial is not None and event.seed is None:
                trials.append(event.trial)
            if stop.status:
                break
    if request.as_json:
        described = {"folder": str(folder), "trials": [trial.as_json() for trial in trials]}
        described = described if tuned is None else tuned.as_json()
        click.echo(terminal.json_text({"finished": tuned is not None, **described}))
    elif tuned is not None:
        print_tuned(tuned, _command(request, length, folder))
    elif trials:
        print_trials(trials)
    if tuned is None:
        count = counted(len(trials), "trial")
        terminal.say(f"stopped after {count}; run the same command to resume")
    return 0 if tuned is not None else stop.status


def _command(request: Request, length: Length, folder: Path) -> str:
    """What to type to train with the result."""
    from charrnn.tuning.tuned import CONFIG

    words = ["charrnn", "train", *map(argument, request.text)]
    for part, paths in request.parts.items():
        words += [word for path in paths for word in (f"--{part}", path)]
    words += ["--config", str(folder / CONFIG)]
    if length.each is not None:
        words += ["--for", length.each_text or f"{length.each:g}s"]
    for name in LENGTH:
        value = request.settings.get(name)
        words += [] if value is None else [flag_of(name), str(value)]
    return joined(words)

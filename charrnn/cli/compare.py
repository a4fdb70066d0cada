"""`charrnn compare`: train several configurations side by side, and say which predicts best."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import click

from charrnn.cli import terminal
from charrnn.cli.inputs import (
    COMMON_KEYS,
    configurations_among,
    merged_settings,
    option,
    precision_kernels,
    read_text,
    setting_options,
    texts,
)
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import KINDS, GroupedCommand
from charrnn.cli.signals import Stop
from charrnn.config.files import CONFIGS, configs_of, of_kind
from charrnn.config.settings import CELL_NAMES, LEARNING_RATES, CorpusConfig
from charrnn.errors import ConfigError
from charrnn.runtime.threads import check_threads

if TYPE_CHECKING:
    from charrnn.tuning.candidates import Candidate
    from charrnn.tuning.comparison import Event

GROUP, SEEDS, ENDLESS = "Comparison", 3, 1e6

EXAMPLES = """\b
Examples:
  charrnn compare book.txt --cells lstm,gru,rnn --hidden 128 --epochs 10
  charrnn compare book.txt --cells lstm,gru --equal time --max-time 5m
  charrnn compare book.txt --vary dropout=0,0.3,0.5 --seeds 5
  charrnn compare book.txt --vary optimizer=adam,rmsprop --vary learning-rate=0.001,0.003
  charrnn compare --preset char-rnn --vary layers=1,2,3 --epochs 5 --json
"""


@dataclass(frozen=True)
class Request:
    """What the user asks for. `settings` are those of all configurations, `varied` those in which
    they differ.
    """

    text: list[str]
    settings: dict[str, Any]
    varied: dict[str, list[Any]]
    seeds: list[int]
    equal: str
    out: str | None
    threads: int | None
    quiet: bool
    as_json: bool


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
)
@option(
    "--equal",
    "What all have in common: the number of parameters, of which the first has as many as "
    "--hidden gives it; the training "
    "time, --max-time; or --hidden.  [default: parameters]",
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
@option("--quiet", "Show nothing but errors and the result.", is_flag=True, default=False)
@option("--json", "Print one JSON object.", is_flag=True, default=False)
@click.pass_context
def compare(ctx: click.Context, /, text: tuple[str, ...], **flags: Any) -> None:
    """Train several configurations on TEXT, one run after the other, and print a table of how well
    they predict.

    Each is judged by the validation loss of its best checkpoint, over several seeds. All other
    settings are those of train. Ctrl-C saves and ends; the same command goes on from there.
    """
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    settings, merged = merged_settings(ctx, flags, COMMON_KEYS)
    files = [path for path in (flags["preset"], flags["config"]) if path is not None]
    request = _request(
        list(text or texts(settings, " and ".join(files))) or [str(bundled_corpus())], merged
    )
    find(
        request.text
    )  # a text that is not there is told before the kernels are loaded, or compiled
    load_kernels(*_kernels(request), quiet=request.quiet)
    status = _compared(request, _candidates(request))
    if status:
        ctx.exit(status)


def _request(text: list[str], merged: dict[str, Any]) -> Request:
    settings = {"sample_every": 0, **configurations_among(merged)}  # samples would only take time
    varied = _varied(merged.get("cells"), merged.get("vary") or ())
    equal = merged.get("equal") or ("hidden" if "hidden" in varied else "parameters")
    if equal == "parameters" and "hidden" in varied:
        raise ConfigError(
            "--vary hidden and --equal parameters exclude each other; leave one of them out"
        )
    if equal == "time":
        if settings.get("max_time") is None:
            raise ConfigError("--equal time needs the training time of each run: --max-time 5m")
        settings |= {"epochs": ENDLESS, "steps": None}
    check_threads(merged.get("threads"))
    count, first = merged.get("seeds"), settings.get("seed", 0)
    if count is not None and not 1 <= count <= 1000:
        raise ConfigError(f"--seeds must be 1 to 1000, not {count}")
    return Request(
        text=text,
        settings=settings,
        varied=varied,
        seeds=list(range(first, first + (SEEDS if count is None else count))),
        equal=equal,
        out=merged.get("out"),
        threads=merged.get("threads"),
        quiet=merged.get("quiet", False),
        as_json=merged.get("json", False),
    )


def _kernels(request: Request) -> list[str]:
    """The cells and optimisers that will be at work; what is no name of one is told later."""
    _, model, training = configs_of(request.settings)
    names = request.varied.get("cell", [model.cell]) + request.varied.get(
        "optimizer", [training.optimizer]
    )
    names = [name for name in names if name in (*CELL_NAMES, *LEARNING_RATES)]
    return [*names, *precision_kernels(request.varied.get("precision", [training.precision]))]


def _varied(cells: str | None, vary: Iterable[str]) -> dict[str, list[Any]]:
    """The settings that differ, and the values of each."""
    varied: dict[str, list[Any]] = {}
    for given in [f"cell={cells}"] * (cells is not None) + list(vary):
        name, sign, values = given.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not values:
            raise ConfigError(
                f"--vary {given:.60}: give a setting and its values, such as --vary dropout=0,0.3"
            )
        if name in varied:
            raise ConfigError(f"--vary {name}: its values are given twice; name them all at once")
        if name in ("seed", "vocab_size"):
            raise ConfigError(
                f"--vary {name}: --seeds says how many seeds are tried; the vocabulary follows "
                "from the text"
            )
        varied[name] = [_value(name, value.strip()) for value in values.split(",")]
    return varied


def _value(name: str, text: str) -> Any:
    """A value as the setting's type has it; ranges are checked with all other settings."""
    hints = {setting: hint for kind in CONFIGS for setting, hint in get_type_hints(kind).items()}
    configs_of({name: None} if name not in hints else {})  # raises, with the nearest name
    if text.lower() == "none" and "None" in str(hints[name]):
        return None
    kind = next(kind for kind in KINDS if kind.__name__ in str(hints[name]))
    try:
        return KINDS[kind].convert(text, None, None)
    except click.BadParameter as error:
        raise ConfigError(f"--vary {name}: {error.message}") from None


def _candidates(request: Request) -> list[Candidate]:
    """The configurations, with the text read as each of them wants it."""
    from charrnn.tuning.candidates import Candidate, combinations, of_equal_size

    found = combinations(request.settings, request.varied)
    configs = {CorpusConfig(**of_kind(CorpusConfig, settings)) for _, settings in found}
    if len(configs) > 1 and "-" in request.text:
        raise ConfigError(
            "standard input can be read once only; give a file, to vary how it is read"
        )
    corpora = {config: read_text(request.text, config, request.quiet) for config in configs}
    candidates = []
    for name, settings in found:
        corpus, model, training = configs_of(settings)
        candidates.append(Candidate(name, corpora[corpus], model, training))
    return of_equal_size(candidates) if request.equal == "parameters" else candidates


def _compared(request: Request, candidates: list[Candidate]) -> int:
    """Train all of them, or until a signal, and print the result; the exit status."""
    from charrnn.checkpoint.paths import ROOT
    from charrnn.cli.compare_display import Progress, print_table
    from charrnn.tuning.comparison import compare as runs
    from charrnn.tuning.comparison import results

    folder = Path(request.out or ROOT / f"compare-{candidates[0].corpus.name}")
    kept: list[Event] = []
    total = len(candidates) * len(request.seeds)
    with (
        Stop.installed() as stop,
        closing(Progress(len(request.seeds), folder, request.quiet)) as progress,
        closing(runs(candidates, request.seeds, folder, threads=request.threads)) as events,  # type: ignore[type-var]
    ):
        for event in events:
            progress.show(event)
            if event.outcome is not None:
                kept.append(event)
            if stop.status:
                break
    found, finished = results(candidates, kept), len(kept) == total
    if request.as_json:
        described = [one.as_json() for one in found]
        click.echo(
            json.dumps({"folder": str(folder), "finished": finished, "configurations": described})
        )
    elif kept:
        print_table(found, len(request.seeds))
    if not finished:
        terminal.tell(
            f"stopped after {len(kept)} of {total} runs; the same command goes on from there"
        )
    return 0 if finished else stop.status

"""`charrnn lr-find`: which learning rate to train with, by a range test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charrnn.cli import terminal
from charrnn.cli.inputs import optimizer_kernels, precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels, network_kernels
from charrnn.cli.options import (
    COMMON_KEYS,
    GroupedCommand,
    Request,
    flag_of,
    for_option,
    help_all_option,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.score_text import check_place
from charrnn.cli.train_for import with_length
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.config.files import SETTINGS
from charrnn.runtime.shell import argument, joined

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus
    from charrnn.tuning.rate_test import RateTest

GROUP = "Range test"
OF_TRAIN = ("for", "preset", "config", "validation", "test")
"""Flags beside settings that `charrnn train` has too, and that say what it trains."""

EXAMPLES = """\b
Examples:
  charrnn lr-find book.txt
  charrnn lr-find book.txt --cell gru --hidden 512 --optimizer sgd
  charrnn lr-find book.txt --svg rates.svg
  charrnn lr-find book.txt --json | jq .suggestion
"""
BRIEF = {
    "--for": "How long you will train. [default: 10m]",
    "--cell": "lstm, gru, rnn, peephole, ... [default: lstm]",
    "--hidden": "Units per layer. [default: by text and time]",
    "--layers": "Layers. [default: 2]",
    "--optimizer": "soap, adamw, sgd, ... [default: by text and time]",
    "--lowest": "Lowest rate. [default: by optimizer]",
    "--highest": "Highest rate. [default: by optimizer]",
    "--range-steps": "Steps between the two. [default: 400]",
    "--seed": "Seed of everything random. [default: 0]",
    "--threads": "Threads; results do not change. [default: all]",
    "--preset": "char-rnn, torch-rnn, dl4j, or a TOML file.",
    "--config": "Settings in a TOML file; flags win.",
    "--svg": "Write the picture to this file too.",
    "--json": "Print one JSON object.",
    "--quiet": "Show only errors and the result.",
}
"""The options that --help shows."""


@click.command("lr-find", cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("text", nargs=-1, type=click.Path(readable=False))
@option("--lowest", "The first rate.  [default: by optimizer]", group=GROUP, type=float)
@option("--highest", "The last rate.  [default: by optimizer]", group=GROUP, type=float)
@option("--range-steps", "Steps from the first to the last.  [default: 400]", group=GROUP, type=int)
@for_option("How long you will train: 90s, 20m, 2h; the network is as large as that allows.")
@setting_options(without=("networks", "parts"))
@option("--threads", "Threads to use; results do not depend on it.  [default: all]", type=int)
@option("--svg", "Write the picture to this file too.", type=click.Path(), metavar="FILE")
@option("--quiet", "Show only errors and the result.", is_flag=True)
@option("--json", "Print one JSON object.", is_flag=True)
@help_all_option
@click.pass_context
def lr_find_(
    ctx: click.Context,
    /,
    lowest: float | None,
    highest: float | None,
    range_steps: int | None,
    svg: str | None,
    **flags: Any,
) -> None:
    """Find a learning rate for TEXT: train a new network while the rate grows from tiny to huge,
    show how the loss falls and rises, and say which rate to train with.

    It takes a few hundred steps; nothing is saved. The settings are those of train.
    """
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    request = with_length(ctx, read_request(ctx, flags, COMMON_KEYS))
    text = request.text or (str(bundled_corpus()),)
    # reports what is missing or in the way before kernels are loaded or compiled
    files = find(text, **request.parts).files
    if svg is not None:
        check_place("--svg", Path(svg), files)
    model, training = ModelConfig.of(request.settings), request.training
    precision = precision_kernels([training.precision], request.duration)
    optimizers = optimizer_kernels([training.optimizer])
    load_kernels(*network_kernels(model), *optimizers, *precision, quiet=request.quiet)
    from charrnn.cli.lr_find_display import print_test
    from charrnn.runtime.files import replace_file
    from charrnn.tuning.lr_find import STEPS, lr_find

    corpus = read_text(text, CorpusConfig.of(request.settings), request.quiet, **request.parts)
    model, training = _planned(corpus, model, request)
    with terminal.progress_bar("testing rates", unit="step", quiet=request.quiet) as bar:
        test = lr_find(
            corpus,
            model,
            training,
            lowest=lowest,
            highest=highest,
            range_steps=STEPS if range_steps is None else range_steps,
            threads=request.threads,
            progress=bar,
        )
    if svg is not None:
        replace_file(Path(svg), test.svg().encode())
        if not request.quiet:
            terminal.say(f"wrote {terminal.one_line(svg)}")
    command = _command(ctx, request, test)
    if request.as_json:
        click.echo(terminal.json_text(_as_json(test, command)))
        return
    is_given = request.settings.get("learning_rate") is not None
    print_test(test, command, is_given=is_given)


def _planned(
    corpus: Corpus, model: ModelConfig, request: Request
) -> tuple[ModelConfig, TrainConfig]:
    """The settings, with the units of a layer and the optimizer that `charrnn train` would choose
    in the time given.
    """
    from charrnn.training.recipe import optimizer_for
    from charrnn.tuning.planning import planned_size

    training, is_known = request.training, model.hidden is not None
    if request.duration is None or (is_known and training.optimizer is not None):
        return model, training
    width, passes = planned_size(corpus, request.duration, model, training, threads=request.threads)
    return model.filled(hidden=width), training.filled(optimizer=optimizer_for(passes))


def _command(ctx: click.Context, request: Request, test: RateTest) -> list[str]:
    """What to type to train what was tested, with the suggested rate or without a rate."""
    words = ["charrnn", "train", *map(argument, request.text)]
    for name, value in ctx.params.items():
        is_given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_given and (name in SETTINGS or name in OF_TRAIN) and name != "learning_rate":
            words += _flag(name, value)
    for name, value in (("hidden", test.model.hidden), ("optimizer", test.training.optimizer)):
        if name not in request.settings:
            words += _flag(name, value)
    if test.suggestion is not None:
        words += _flag("learning_rate", test.suggestion)
    return words


def _flag(name: str, value: Any) -> list[str]:
    """A flag and its value, or its values."""
    flag = flag_of(name)
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    values: Sequence[Any] = value if isinstance(value, tuple) else (value,)
    texts = [f"{each:.15g}" if isinstance(each, float) else str(each) for each in values]
    return [word for text in texts for word in (flag, text)]


def _as_json(test: RateTest, command: list[str]) -> dict[str, Any]:
    model, training = test.model, test.training
    return {
        "suggestion": test.suggestion,
        "planned": test.planned,
        "agrees": test.agrees,
        "bottom": test.bottom,
        "outcome": test.outcome,
        "network": {name: getattr(model, name) for name in ("cell", "layers", "hidden")},
        "optimizer": training.optimizer,
        "rates": test.rates.tolist(),
        "losses": test.losses.tolist(),
        "smoothed": test.smoothed.tolist(),
        "command": joined(command),
    }

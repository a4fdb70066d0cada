"""`charrnn train`: start a run, or resume one."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.inputs import check_same, optimizer_kernels, precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels, network_kernels
from charrnn.cli.options import (
    COMMON_KEYS,
    GroupedCommand,
    Request,
    for_option,
    help_all_option,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.signals import Stop
from charrnn.cli.train_for import DROPS, planned, with_length
from charrnn.cli.train_resume import check_resume, has_run, resumed
from charrnn.cli.train_steps import carry_out
from charrnn.config import CorpusConfig, ModelConfig
from charrnn.config.files import values_of
from charrnn.errors import CharrnnError, ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run

OTHER_KEYS = {**COMMON_KEYS, "init_from": str, "tensorboard": str}
"""Keys that a settings file may contain in addition to the configurations' fields."""

EXAMPLES = """\b
Examples:
  charrnn train book.txt            your own text, for at most ten minutes
  charrnn train novels/ --for 2h    all texts in a folder
  charrnn train --resume            resume the newest run
  charrnn train letters.txt --init-from checkpoints/novels
  mpiexec -n 4 charrnn train book.txt --parts 4
"""
BRIEF = {
    "--for": "How long: 90s, 20m, 2h. [default: 10m at most]",
    "--out": "Folder for the run. [default: checkpoints/<text>]",
    "--resume": "Resume a run, by default the newest.",
    "--init-from": "Start from a trained network: run or checkpoint.",
    "--epochs": "How long, in passes over the text; no time limit.",
    "--cell": "lstm, gru, rnn, peephole, ... [default: lstm]",
    "--hidden": "Units per layer. [default: by text and time]",
    "--layers": "Layers. [default: 2]",
    "--networks": "Networks that write together. [default: by time]",
    "--seed": "Seed of everything random. [default: 0]",
    "--threads": "Threads; results do not change. [default: all]",
    "--preset": "char-rnn, torch-rnn, dl4j, or a TOML file.",
    "--config": "Settings in a TOML file; flags win.",
    "--document-separator": "Pattern at which documents end: '\\n\\n'.",
    "--json": "Print one JSON object per validation.",
    "--quiet": "Show only errors and the final lines.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("text", nargs=-1, type=click.Path(readable=False))
@setting_options()
@option(
    "--out",
    "Folder for the run.  [default: checkpoints/<name of the text>]",
    type=click.Path(readable=False),
)
@option(
    "--threads",
    "Threads to use; results do not depend on it.  [default: all]",
    type=int,
)
@option(
    "--resume",
    "Resume a run: give its folder, or nothing for --out or the newest. Put TEXT before this flag.",
    type=click.Path(readable=False),
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
)
@option(
    "--resume-or-start",
    "Resume the run in --out if there is one, else start it: for scripts that may be run again. "
    "--for is then the time of the whole run.",
    is_flag=True,
)
@for_option(
    "How long the command takes: 90s, 20m, 2h30m. Size, steps and precision follow, unless flags "
    "give them; with --resume, how much longer to train.  [default: 10m at most]"
)
@option(
    "--init-from",
    "Start from the weights of a checkpoint or a run.",
    type=click.Path(readable=False),
    metavar="CHECKPOINT",
)
@option(
    "--tensorboard",
    "Write losses and rates for TensorBoard into this folder, too.",
    type=click.Path(readable=False),
    metavar="FOLDER",
)
@option("--quiet", "Show only errors and the final lines.", is_flag=True)
@option("--verbose", "Show the settings too.", is_flag=True)
@option(
    "--json",
    "Print one JSON object per validation, piece of advice and return to an earlier step, and at "
    "the end.",
    is_flag=True,
)
@help_all_option
@click.pass_context
def train(ctx: click.Context, /, resume: str | None, resume_or_start: bool, **flags: Any) -> None:
    """Train a network on TEXT: files, globs, folders, or - for standard input. Without TEXT, train
    on the bundled plays.

    Ctrl-C saves and stops; --resume continues as if it had never stopped.
    """
    status = _on_ranks(lambda: _train(ctx, flags, resume, resume_or_start))
    if status:
        ctx.exit(status)


def _on_ranks(main: Callable[[], int]) -> int:
    """Call `main`; if mpiexec has started several processes, on the first of them, and let the
    others take part in its training.
    """
    from charrnn.runtime.mpi import launched_size

    if launched_size() == 1:
        return main()
    from charrnn.training.distributed import on_ranks

    return on_ranks(main, report_error=_report) or 0


def _report(error: BaseException) -> int:
    """Show an error that ends all processes at once."""
    from charrnn.cli.main import report
    from charrnn.cli.terminal import say
    from charrnn.runtime.mpi import launched_rank, launched_size

    sys.stderr = sys.__stderr__  # the others' is silent
    if launched_rank():
        say(f"on rank {launched_rank()} of {launched_size()}:")
    if not isinstance(error, CharrnnError | KeyboardInterrupt | MemoryError | OSError):
        traceback.print_exception(error)
    status = report(error, "train")
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    return status


def _train(
    ctx: click.Context, flags: dict[str, Any], resume: str | None, resume_or_start: bool
) -> int:
    from charrnn.training.distributed import check_parts, current

    # a run's config.toml also records its text and the weights that it started from
    ignored = () if resume is None else ("text", "validation", "test", "init_from", "for")
    request = read_request(ctx, flags, OTHER_KEYS, ignored)
    if request.tensorboard is not None:
        from charrnn.training.tensorboard import check_installed

        check_installed()
    if resume is not None:
        check_resume(request, resume)
    else:
        check_parts(request.training.parts, current())
    if resume is None or request.duration is not None:
        request = with_length(ctx, request)
    if resume_or_start and has_run(request, resume):
        return resumed(request, request.out, is_started_again=True)
    return _start(request) if resume is None else resumed(request, resume)


def _start(request: Request) -> int:
    """Start a new run and train it; return the exit status."""
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import ROOT, check_no_run, find_checkpoint, find_checkpoints
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    text = request.text or (str(bundled_corpus()),)
    # what is missing or in the way is reported before kernels are loaded or compiled
    find(text, **request.parts)
    if request.out is not None:
        check_no_run(Path(request.out))
    weights = None if request.init_from is None else find_checkpoint(request.init_from)
    if weights is not None and (count := len(find_checkpoints(request.init_from))) > 1:
        terminal.say(f"starting from the first of {count} networks: {weights}")
    model = ModelConfig.of(request.settings) if weights is None else model_config_of(weights)
    load_kernels(*network_kernels(model), *_kernels(request), quiet=request.quiet)
    from charrnn.checkpoint.trained import load
    from charrnn.training.run_folder import RunFolder

    other = plan = None
    if weights is not None:
        other = load(weights)
        check_same(request.settings, other.model.config, "the weights", (*DROPS, "forget_bias"))
        request = replace(request, settings={"unit": other.vocab.unit, **request.settings})
    corpus = read_text(
        text,
        CorpusConfig.of(request.settings),
        request.quiet,
        **request.parts,
        extend=other and other.vocab,
    )
    folder = RunFolder(request.out or ROOT / corpus.name)
    check_no_run(folder.path)
    for path in request.files if folder.config.exists() and not folder.holds_run else ():
        if Path(path).exists() and folder.config.samefile(path):
            raise ConfigError(
                f"{path}: the run would overwrite this file with its own settings; choose another "
                "--out"
            )
    settled = request
    if request.duration is not None:
        plan, settled = planned(request, corpus, other)
    run = _new_run(settled, corpus, other)
    settings = {
        **values_of(run.corpus_config, run.model.config, run.config),
        "init_from": request.init_from and str(Path(request.init_from).absolute()),
        **{
            name: [path if path == "-" else str(Path(path).absolute()) for path in paths] or None
            for name, paths in {"text": text, **request.parts}.items()
        },
    }
    with ExitStack() as stack:
        stop = stack.enter_context(Stop.installed())
        stack.enter_context(folder.locked())
        folder.create(settings)
        return carry_out(request, run, corpus, folder, stop, plan)


def _kernels(request: Request) -> list[str]:
    """The optimizer and matrix products of a new run."""
    training = request.training
    optimizers = optimizer_kernels([training.optimizer])
    return [*optimizers, *precision_kernels([training.precision], request.duration)]


def _new_run(request: Request, corpus: Corpus, other: Trained | None) -> Run:
    from charrnn.training.run import Run

    model = ModelConfig.of(request.settings)
    if other is None:
        return Run.new(corpus, model, request.training)
    drops = {name: getattr(model, name) for name in DROPS}
    run = Run.from_weights(corpus, other, request.training, **drops)
    run.init_from = request.init_from
    return run

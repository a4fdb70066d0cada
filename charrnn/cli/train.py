"""`charrnn train`: start a run, or go on with one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
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
    flag_of,
    for_option,
    help_all_option,
    option,
    read_request,
    setting_options,
)
from charrnn.cli.signals import Stop
from charrnn.cli.train_for import planned, with_length
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.errors import ConfigError, CorpusError, RunError, VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.tuning.planning import Plan

OTHER_KEYS = {**COMMON_KEYS, "init_from": str}
"""What a settings file may hold beside the configurations' fields."""

SHAPE = ("batch_size", "seq_length")
LIMITS = {"patience": "--patience", "time": "--max-time"}
"""The flags of what can end a run before its last step."""

EXAMPLES = """\b
Examples:
  charrnn train book.txt            your text, for ten minutes at most
  charrnn train novels/ --for 2h    all texts in a folder
  charrnn train --resume            go on with the newest run
  charrnn train letters.txt --init-from checkpoints/novels
"""
BRIEF = {
    "--for": "How long: 90s, 20m, 2h. [default: 10m at most]",
    "--out": "Folder of the run. [default: checkpoints/<text>]",
    "--resume": "Go on with a run, by default the newest.",
    "--init-from": "Start from a trained network: a run or checkpoint.",
    "--epochs": "How long, in passes over the text; no clock.",
    "--cell": "lstm, gru, rnn, peephole, ... [default: lstm]",
    "--hidden": "Units of each layer. [default: by text and time]",
    "--layers": "Layers. [default: 2]",
    "--seed": "Seed of everything random. [default: 0]",
    "--threads": "Threads; no effect on the result. [default: all]",
    "--preset": "char-rnn, torch-rnn, dl4j, or a TOML file.",
    "--config": "Settings in a TOML file; flags win.",
    "--document-separator": "Where documents end, a pattern: '\\n\\n'.",
    "--json": "Print a JSON object for each validation.",
    "--quiet": "Show only errors and the end.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("text", nargs=-1, type=click.Path())
@setting_options
@option("--out", "Folder of the run.  [default: checkpoints/<name of the text>]", type=click.Path())
@option(
    "--threads",
    "Threads to compute with; the result does not depend on it.  [default: all]",
    type=int,
)
@option(
    "--resume",
    "Go on with a run: its folder, or none for --out or the newest. Put TEXT before this flag.",
    type=click.Path(),
    is_flag=False,
    flag_value="",
    metavar="[RUN]",
)
@for_option(
    "How long the command takes: 90s, 20m, 2h. Size, steps and precision follow, unless flags give "
    "them.  [default: 10m at most]"
)
@option(
    "--init-from",
    "Start from the weights of a checkpoint or run.",
    type=click.Path(),
    metavar="CHECKPOINT",
)
@option("--quiet", "Show nothing but errors and the end.", is_flag=True)
@option(
    "--json",
    "One JSON object a validation or return to an earlier step, and one at the end, on stdout.",
    is_flag=True,
)
@help_all_option
@click.pass_context
def train(ctx: click.Context, /, resume: str | None, **flags: Any) -> None:
    """Train a network on TEXT: files, globs, folders, or - for standard input. Without TEXT it
    learns from the plays that ship.

    Ctrl-C saves and ends; --resume goes on as if it had never stopped.
    """
    # a run's own config.toml says where its text is and what it started from
    ignored = () if resume is None else ("text", "validation", "test", "init_from")
    request = read_request(ctx, flags, OTHER_KEYS, ignored)
    if resume is not None:
        _check_resume(request, resume)
    else:
        request = with_length(ctx, request)
    status = _start(request) if resume is None else _resume(request, resume)
    if status:
        ctx.exit(status)


def _check_resume(request: Request, resume: str) -> None:
    """`ConfigError` for what contradicts --resume, before anything is read."""
    if request.duration is not None:
        raise ConfigError(
            "--for plans a new run; to train this one for longer, give --epochs or --steps"
        )
    if request.init_from is not None:
        raise ConfigError(
            "--resume goes on with a run, --init-from starts a new one; give one of them"
        )
    if resume and request.out is not None and Path(resume).resolve() != Path(request.out).resolve():
        raise ConfigError(
            f"--resume {resume} and --out {request.out} are two folders; a run goes on where it "
            "is: leave out --out"
        )


def _start(request: Request) -> int:
    """Begin a new run and train it; the exit status."""
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    text = request.text or (str(bundled_corpus()),)
    # reports a text that is not there before kernels are loaded, or compiled
    find(text, **request.parts)
    load_kernels(*_kernels(request), quiet=request.quiet)
    from charrnn.checkpoint.paths import ROOT, find_checkpoint
    from charrnn.checkpoint.trained import load, model_config_of
    from charrnn.training.run_folder import RunFolder

    if request.out is not None and RunFolder(request.out).holds_run:
        RunFolder(request.out).create({})  # raises: better now than when all is read
    other = plan = None
    if request.init_from is not None:
        weights = find_checkpoint(request.init_from)
        load_kernels(model_config_of(weights).cell, quiet=request.quiet)
        other = load(weights)
        _check_same(request.settings, other.model.config, "the weights", ("dropout", "forget_bias"))
        request = replace(request, settings={"unit": other.vocab.unit, **request.settings})
    corpus = read_text(
        text,
        CorpusConfig.of(request.settings),
        request.quiet,
        **request.parts,
        extend=other and other.vocab,
    )
    folder = RunFolder(request.out or ROOT / corpus.name)
    for path in request.files if folder.config.exists() and not folder.holds_run else ():
        if Path(path).exists() and folder.config.samefile(path):
            raise ConfigError(
                f"{path}: the run would write its own settings over this file; choose another --out"
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
        return _train(request, run, corpus, folder, stop, plan)


def _kernels(request: Request) -> list[str]:
    """The optimizer and the products of a new run, and its cell unless it starts from weights."""
    training, model = request.training, ModelConfig.of(request.settings)
    names = [training.optimizer, *precision_kernels([training.precision], request.duration)]
    return names if request.init_from is not None else [*names, model.cell]


def _new_run(request: Request, corpus: Corpus, other: Trained | None) -> Run:
    from charrnn.training.run import Run

    model = ModelConfig.of(request.settings)
    if other is None:
        return Run.new(corpus, model, request.training)
    run = Run.from_weights(corpus, other, request.training, dropout=model.dropout)
    run.init_from = request.init_from
    return run


def _resume(request: Request, resume: str) -> int:
    """Go on with a run; the exit status."""
    load_kernels(quiet=request.quiet)
    from charrnn.training.run_file import configurations_of

    folder = _folder_of(resume or request.out)
    if not folder.last.exists():
        folder.resume()  # raises; `locked` would make the folder
    model, training = configurations_of(folder.last)
    products = precision_kernels([str(request.settings.get("precision", training.precision))])
    load_kernels(model.cell, training.optimizer, *products, quiet=request.quiet)
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        run = folder.resume()
        for config in (run.model.config, run.corpus_config):
            _check_same(request.settings, config, "the run")
        corpus = _text_of(run, request, folder)
        run.change(**_changes(request.settings, run, corpus))
        return _train(request, run, corpus, folder, stack.enter_context(Stop.installed()))


def _folder_of(path: str | None) -> RunFolder:
    from charrnn.training.run_folder import RunFolder, newest_run

    if not path:
        return newest_run()
    if not Path(path).is_file():
        return RunFolder(path)
    folder = RunFolder(Path(path).parent)
    if Path(path).name != folder.last.name:
        raise RunError(
            f"{path}: a run goes on from its {folder.last.name}; to start a new one from this "
            "file use --init-from"
        )
    return folder


def _text_of(run: Run, request: Request, folder: RunFolder) -> Corpus:
    """The text that the run was started on, read again; `CorpusError` if it is not there or not the
    same.
    """
    again = f"charrnn train TEXT --resume {folder.path}"
    given = {"": request.text, **request.parts}
    paths = {
        part: given[part] or tuple(source.path for source in run.sources if source.part == part)
        for part in given
    }
    if any("-" in paths[part] and not given[part] for part in given):
        raise CorpusError(
            "the run's text came from standard input; pipe it in again: charrnn train - "
            f"--resume {folder.path}"
        )
    try:
        text = paths.pop("")
        corpus = read_text(text, run.corpus_config, request.quiet, **paths, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(
            f"the text is not the one of this run: {error}; restore it, and give its place: {again}"
        ) from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; give its new place: {again}") from None
    run.check_text(corpus)
    run.sources = corpus.sources  # it may have moved
    return corpus


def _changes(settings: Mapping[str, Value], run: Run, corpus: Corpus) -> dict[str, Value]:
    """The settings of training that were given; a batch shape that would be shrunk to the run's is
    no change.
    """
    from charrnn.text.streams import fit_batch_shape

    changes = TrainConfig.named_in(settings)
    asked = TrainConfig.of({**values_of(run.config), **changes})
    shape = fit_batch_shape(len(corpus.train), asked.batch_size, asked.seq_length)
    if shape == (run.config.batch_size, run.config.seq_length):
        changes = {name: value for name, value in changes.items() if name not in SHAPE}
    return changes


def _check_same(
    settings: Mapping[str, Value],
    config: CorpusConfig | ModelConfig,
    whose: str,
    free: tuple[str, ...] = (),
) -> None:
    """`ConfigError` where a setting was given that is another in this configuration, unless it is
    free to change.
    """
    for name, value in config.named_in(settings).items():
        if name not in free and value != getattr(config, name):
            raise ConfigError(
                f"{flag_of(name)} {value} does not fit {whose}: there it is "
                f"{getattr(config, name)}; leave {flag_of(name)} out, or start a new run"
            )


def _train(
    request: Request,
    run: Run,
    corpus: Corpus,
    folder: RunFolder,
    stop: Stop,
    plan: Plan | None = None,
) -> int:
    """Train until the end or a signal, in the plan's time if there is one, and show how it goes;
    the exit status.
    """
    from charrnn.cli.train_display import Display, show_start
    from charrnn.text.vocab import counted
    from charrnn.training.loop import train as steps
    from charrnn.tuning.pacing import on_time

    if not request.quiet:
        show_start(run, corpus, folder, request.training, request.threads)
    before = folder.seconds_before
    ended = run.ended_by(before)
    if ended is not None:
        limit = f", ended by its {ended}" if ended in LIMITS else ""
        terminal.say(
            f"{folder.path} is finished ({counted(run.step, 'step')}, {run.epoch:.1f} epochs"
            f"{limit}); for more: --resume with a larger {LIMITS.get(ended, '--epochs or --steps')}"
        )
    with closing(
        Display(run, quiet=request.quiet, as_json=request.as_json, seconds_before=before)
    ) as display:
        reports = steps(run, corpus, folder=folder, threads=request.threads)
        with closing(
            reports if plan is None else on_time(reports, run, plan, display.say)
        ) as reports:
            for report in reports:
                display.show(report)
                ended = report.ended
                if stop.status:
                    break
        display.close()
        display.end(folder, ended)
    return stop.status if ended is None else 0

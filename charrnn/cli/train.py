"""`charrnn train`: start a run, or resume one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
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
from charrnn.cli.train_for import planned, planned_more, planned_rest, with_length
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.errors import ConfigError, CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.tuning.planning import Plan

OTHER_KEYS = {**COMMON_KEYS, "init_from": str}
"""Keys that a settings file may contain in addition to the configurations' fields."""

SHAPE = ("batch_size", "seq_length")
LIMITS = ("patience", "time")
"""What can end a run before its last step."""

EXAMPLES = """\b
Examples:
  charrnn train book.txt            your own text, for at most ten minutes
  charrnn train novels/ --for 2h    all texts in a folder
  charrnn train --resume            resume the newest run
  charrnn train letters.txt --init-from checkpoints/novels
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
@click.argument("text", nargs=-1, type=click.Path())
@setting_options
@option(
    "--out", "Folder for the run.  [default: checkpoints/<name of the text>]", type=click.Path()
)
@option(
    "--threads",
    "Threads to use; results do not depend on it.  [default: all]",
    type=int,
)
@option(
    "--resume",
    "Resume a run: give its folder, or nothing for --out or the newest. Put TEXT before this flag.",
    type=click.Path(),
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
    "give them; with --resume, so much more.  [default: 10m at most]"
)
@option(
    "--init-from",
    "Start from the weights of a checkpoint or a run.",
    type=click.Path(),
    metavar="CHECKPOINT",
)
@option("--quiet", "Show only errors and the final lines.", is_flag=True)
@option("--verbose", "Show the settings too.", is_flag=True)
@option(
    "--json",
    "Print one JSON object per validation, per return to an earlier step, and at the end.",
    is_flag=True,
)
@help_all_option
@click.pass_context
def train(ctx: click.Context, /, resume: str | None, resume_or_start: bool, **flags: Any) -> None:
    """Train a network on TEXT: files, globs, folders, or - for standard input. Without TEXT, train
    on the bundled plays.

    Ctrl-C saves and stops; --resume continues as if it had never stopped.
    """
    # a run's config.toml also records its text and the weights that it started from
    ignored = () if resume is None else ("text", "validation", "test", "init_from", "for")
    request = read_request(ctx, flags, OTHER_KEYS, ignored)
    if resume is not None:
        _check_resume(request, resume)
    if resume is None or request.duration is not None:
        request = with_length(ctx, request)
    if resume_or_start and _is_there(request, resume):
        status = _resume(request, request.out, is_started_again=True)
    else:
        status = _start(request) if resume is None else _resume(request, resume)
    if status:
        ctx.exit(status)


def _is_there(request: Request, resume: str | None) -> bool:
    """True if the run of --resume-or-start is there to resume."""
    from charrnn.training.run_folder import RunFolder

    if resume is not None:
        raise ConfigError("--resume and --resume-or-start: leave one of them out")
    if request.out is None:
        raise ConfigError("--resume-or-start needs --out, the folder of the run")
    return RunFolder(request.out).last.exists()


def _check_resume(request: Request, resume: str) -> None:
    """`ConfigError` if anything contradicts --resume, before anything is read."""
    if request.init_from is not None:
        raise ConfigError(
            "--resume continues a run, but --init-from starts a new one; leave one of them out"
        )
    if resume and request.out is not None and Path(resume).resolve() != Path(request.out).resolve():
        raise ConfigError(
            f"--resume {resume} and --out {request.out} are different folders; a run continues in "
            "its own folder: leave out --out"
        )


def _start(request: Request) -> int:
    """Start a new run and train it; return the exit status."""
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import ROOT, check_no_run, find_checkpoint
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    text = request.text or (str(bundled_corpus()),)
    # what is missing or in the way is reported before kernels are loaded or compiled
    find(text, **request.parts)
    if request.out is not None:
        check_no_run(Path(request.out))
    weights = None if request.init_from is None else find_checkpoint(request.init_from)
    model = ModelConfig.of(request.settings) if weights is None else model_config_of(weights)
    load_kernels(model.cell, *_kernels(request), quiet=request.quiet)
    from charrnn.checkpoint.trained import load
    from charrnn.training.run_folder import RunFolder

    other = plan = None
    if weights is not None:
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
        return _train(request, run, corpus, folder, stop, plan)


def _kernels(request: Request) -> list[str]:
    """The optimizer and matrix products of a new run."""
    training = request.training
    return [training.optimizer, *precision_kernels([training.precision], request.duration)]


def _new_run(request: Request, corpus: Corpus, other: Trained | None) -> Run:
    from charrnn.training.run import Run

    model = ModelConfig.of(request.settings)
    if other is None:
        return Run.new(corpus, model, request.training)
    run = Run.from_weights(corpus, other, request.training, dropout=model.dropout)
    run.init_from = request.init_from
    return run


def _resume(request: Request, resume: str | None, is_started_again: bool = False) -> int:
    """Resume a run; return the exit status. If the command that started it is given again, the
    settings are those that it has, and the time is that of the whole run.
    """
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import find_run

    # what cannot be resumed is reported before kernels are loaded or compiled
    last = find_run(resume or request.out)
    load_kernels(model_config_of(last).cell, quiet=request.quiet)
    from charrnn.training.run_file import configurations_of
    from charrnn.training.run_folder import RunFolder

    folder = RunFolder(last.parent)
    _, training = configurations_of(last)
    products = precision_kernels([str(request.settings.get("precision", training.precision))])
    load_kernels(training.optimizer, *products, quiet=request.quiet)
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        run = folder.resume()
        for config in (run.model.config, run.corpus_config):
            _check_same(request.settings, config, "the run")
        corpus = _text_of(run, request, folder)
        changes, plan = _changes(request.settings, run, corpus), None
        if is_started_again:
            now = values_of(run.config)
            changes = {name: value for name, value in changes.items() if value != now.get(name)}
        run.change(**changes)
        if request.duration is not None and not is_started_again:
            plan = planned_more(request, run, corpus)
            run.change(**asdict(plan.training))
            folder.save_last(run)  # from now on it is to be so long
        elif request.duration is not None and not run.is_finished:
            plan = planned_rest(request, run, corpus, folder.seconds_before)
        return _train(request, run, corpus, folder, stack.enter_context(Stop.installed()), plan)


def _text_of(run: Run, request: Request, folder: RunFolder) -> Corpus:
    """The text that the run was started on, read again; if it has grown at its end, the run goes
    on with all of it. `CorpusError` if it is missing or has changed otherwise.
    """
    from charrnn.text.vocab import counted
    from charrnn.training.grown_text import growth, take_up

    again = f"charrnn train TEXT --resume {folder.path}"
    requested = {"": request.text, **request.parts}
    paths = {
        part: requested[part] or tuple(source.path for source in run.sources if source.part == part)
        for part in requested
    }
    if any("-" in paths[part] and not requested[part] for part in requested):
        raise CorpusError(
            "the run's text came from standard input; pipe it in again: charrnn train - "
            f"--resume {folder.path}"
        )
    from charrnn.text.sources import check_recorded

    try:
        check_recorded(path for part in paths if not requested[part] for path in paths[part])
        text = paths.pop("")
        corpus = read_text(text, run.corpus_config, request.quiet, **paths, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(
            f"this is not the run's text: {error}; restore the text, then pass its path: {again}; "
            f"or start a new run from these weights: --init-from {folder.path} --out NEW"
        ) from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; pass its new path: {again}") from None
    new = growth(run, corpus)
    if new:
        take_up(run, corpus)
        folder.save_last(run)
        terminal.say(f"the text has grown by {counted(new, 'character')}; all of it is read now")
    run.check_text(corpus)
    run.sources = corpus.sources  # it may have moved
    return corpus


def _changes(settings: Mapping[str, Value], run: Run, corpus: Corpus) -> dict[str, Value]:
    """The training settings that were given, except a batch shape that the text would shrink to the
    run's.
    """
    from charrnn.text.streams import fit_batch_shape

    changes = TrainConfig.named_in(settings)
    requested = TrainConfig.of({**values_of(run.config), **changes})
    shape = fit_batch_shape(len(corpus.train), requested.batch_size, requested.seq_length)
    if shape == (run.config.batch_size, run.config.seq_length):
        changes = {name: value for name, value in changes.items() if name not in SHAPE}
    return changes


def _check_same(
    settings: Mapping[str, Value],
    config: CorpusConfig | ModelConfig,
    whose: str,
    free: tuple[str, ...] = (),
) -> None:
    """`ConfigError` if a given setting differs from this configuration and is not free to
    change.
    """
    for name, value in config.named_in(settings).items():
        if name not in free and value != getattr(config, name):
            raise ConfigError(
                f"{flag_of(name)} {value} does not match {whose}: there it is "
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
    """Train until the end or a signal, within the plan's time if there is a plan, and show
    progress; return the exit status.
    """
    from charrnn.cli.train_display import Display, show_start
    from charrnn.text.vocab import counted
    from charrnn.training.loop import train as steps
    from charrnn.tuning.pacing import on_time

    if not request.quiet:
        show_start(run, corpus, folder, request.training, request.threads)
    if request.verbose:
        terminal.say(
            terminal.settings_text(values_of(run.corpus_config, run.model.config, run.config))
        )
    before = folder.seconds_before
    ended = run.ended_by(before)
    if ended is not None:
        limit = f", ended by its {ended}" if ended in LIMITS else ""
        time = request.settings.get("max_time") or "20m"
        more = f"for {time} more: charrnn train --resume {quote(str(folder.path))} --for {time}"
        if ended == "patience":
            more = "for more: --resume with a larger --patience"
        terminal.say(
            f"{folder.path} is finished ({counted(run.step, 'step')}, {run.epoch:.1f} epochs"
            f"{limit}); {more}"
        )
    with closing(
        Display(run, quiet=request.quiet, as_json=request.as_json, seconds_before=before)
    ) as display:
        if ended is None:
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

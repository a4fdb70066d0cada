"""`charrnn train`: start a run, or go on with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from charrnn.cli.options import GroupedCommand
from charrnn.cli.signals import Stop
from charrnn.cli.train_for import leave_to_the_plan, planned
from charrnn.config.files import Others, of_kind
from charrnn.config.settings import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import ConfigError, CorpusError, RunError, VocabError
from charrnn.runtime.threads import check_threads

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.train_display import Display
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.tuning.planning import Plan

OTHER_KEYS: Others = {**COMMON_KEYS, "init_from": str, "for": str}
"""What a settings file may hold beside the configurations' fields."""

LIMITS = {"patience": "--patience", "time": "--max-time"}
"""The flags of what can end a run before its last step."""

EXAMPLES = """\b
Examples:
  charrnn train                              the plays that ship, with the defaults
  charrnn train book.txt --for 20m           a text of yours; the settings are chosen for the time
  charrnn train book.txt --hidden 512        the settings are yours
  charrnn train 'novels/*.txt' notes/ --out checkpoints/novels
  zcat log.gz | charrnn train - --unit byte --steps 2000
  charrnn train --config run.toml --seed 2   settings from a file; flags win
  charrnn train book.txt --preset char-rnn   as char-rnn did by default
  charrnn train --resume                     go on with the newest run
  charrnn train --resume checkpoints/plays --epochs 60
  charrnn train sonnets.txt --init-from checkpoints/plays
"""


@dataclass(frozen=True)
class Request:
    """What the user asks for. `given` holds the settings that were given, by flag or by file, by
    name.
    """

    text: tuple[str, ...]
    given: dict[str, Any]
    out: str | None
    threads: int | None
    init_from: str | None
    duration: str | None
    quiet: bool
    as_json: bool


@click.command(
    cls=GroupedCommand, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
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
@option(
    "--for",
    "Choose size, dropout, batch and schedule for this text, this machine and this time: 90s, "
    "20m, 1.5h; flags win.",
    metavar="TIME",
)
@option(
    "--init-from",
    "Start from the weights of a checkpoint or run.",
    type=click.Path(),
    metavar="CHECKPOINT",
)
@option("--quiet", "Show nothing but errors and the end.", is_flag=True, default=False)
@option(
    "--json",
    "One JSON object a validation or return to an earlier step, and one at the end, on stdout.",
    is_flag=True,
    default=False,
)
@click.pass_context
def train(ctx: click.Context, /, text: tuple[str, ...], resume: str | None, **flags: Any) -> None:
    """Train a network on TEXT: files, globs, folders, or - for standard input. Without TEXT, on the
    plays that ship.

    Ctrl-C saves and ends; --resume goes on from there, with the same result as never having
    stopped. A loss that is no number, or jumps, sends the run back to its last good state, with
    half the learning rate.
    """
    settings, merged = merged_settings(ctx, flags, OTHER_KEYS)
    files = [path for path in (flags["preset"], flags["config"]) if path is not None]
    if (
        resume is not None and "init_from" in settings
    ):  # a run's own config.toml says where it came from
        merged["init_from"] = flags["init_from"]
    if merged.get("for") is not None and resume is None:
        leave_to_the_plan(ctx, merged)
    request = Request(
        text=text or (() if resume is not None else texts(settings, " and ".join(files))),
        given=configurations_among(merged),
        out=merged.get("out"),
        threads=merged.get("threads"),
        init_from=merged.get("init_from"),
        duration=merged.get("for"),
        quiet=merged.get("quiet", False),
        as_json=merged.get("json", False),
    )
    _check(request, resume)
    status = _resumed(request, resume) if resume is not None else _started(request, files)
    if status:
        ctx.exit(status)


def _check(request: Request, resume: str | None) -> None:
    """Flags that are wrong, or contradict each other, are told before anything is read."""
    check_threads(request.threads)
    if resume is not None and request.duration is not None:
        raise ConfigError(
            "--for plans a new run; a run that goes on has its plan: leave out --for, or give it "
            "more --epochs"
        )
    if resume is not None and request.init_from is not None:
        raise ConfigError(
            "--resume goes on with a run, --init-from starts a new one; give one of them"
        )
    if resume and request.out is not None and Path(resume).resolve() != Path(request.out).resolve():
        raise ConfigError(
            f"--resume {resume} and --out {request.out} are two folders; a run goes on where it "
            "is: leave out --out"
        )


def _started(request: Request, files: list[str]) -> int:
    """Begin a new run, with settings from these files, and train it; the exit status."""
    from charrnn.text.datasets import bundled_corpus
    from charrnn.text.sources import find

    text = list(request.text) or [str(bundled_corpus())]
    find(text)  # a text that is not there is told before the kernels are loaded, or compiled
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
        _check_model(request.given, other, "the weights", ("dropout", "forget_bias"))
        request.given.setdefault("unit", other.vocab.unit)
    corpus = read_text(
        text,
        CorpusConfig(**of_kind(CorpusConfig, request.given)),
        request.quiet,
        extend=other and other.vocab,
    )
    folder = RunFolder(request.out or ROOT / corpus.name)
    for path in files if folder.config.exists() and not folder.holds_run else ():
        if Path(path).exists() and folder.config.samefile(path):
            raise ConfigError(
                f"{path}: the run would write its own settings over this file; choose another --out"
            )
    if not request.given and request.duration is None and not request.quiet:
        terminal.tell(
            "the defaults are used; --for 20m would choose settings for this text, this machine "
            "and that time"
        )
    if request.duration is not None:
        plan, chosen = planned(
            request.duration, request.given, corpus, other, request.threads, request.quiet
        )
        request.given.update(chosen)
    run = _new_run(request, corpus, other)
    settings = {
        **_settings(request, run),
        "text": [name if name == "-" else str(Path(name).absolute()) for name in text],
    }
    with ExitStack() as stack:
        stop = stack.enter_context(Stop.installed())
        stack.enter_context(folder.locked())
        folder.create(settings)
        return _trained(request, run, corpus, folder, stop, plan)


def _kernels(request: Request) -> list[str]:
    """The optimiser and the products of a new run, and its cell where that is not the one of other
    weights.
    """
    training = TrainConfig(**of_kind(TrainConfig, request.given))
    names = [training.optimizer, *precision_kernels([training.precision])]
    if request.init_from is not None:
        return names
    if request.duration is not None and "cell" not in request.given:
        from charrnn.tuning.planning import MODEL

        return [*names, MODEL["cell"]]
    return [*names, ModelConfig(**of_kind(ModelConfig, request.given)).cell]


def _new_run(request: Request, corpus: Corpus, other: Trained | None) -> Run:
    from charrnn.training.run import Run

    config = TrainConfig(**of_kind(TrainConfig, request.given))
    if other is None:
        return Run.new(corpus, ModelConfig(**of_kind(ModelConfig, request.given)), config)
    run = Run.from_weights(corpus, other, config, dropout=request.given.get("dropout"))
    run.init_from = request.init_from
    return run


def _settings(request: Request, run: Run) -> dict[str, Any]:
    """What config.toml holds: the batch shape as it was asked for, since it may have been shrunk to
    fit the text.
    """
    model = {
        name: value for name, value in asdict(run.model.config).items() if name != "vocab_size"
    }
    asked = TrainConfig(**of_kind(TrainConfig, request.given))
    return {
        **asdict(run.corpus_config),
        **model,
        **asdict(asked),
        "init_from": request.init_from and str(Path(request.init_from).absolute()),
    }


def _resumed(request: Request, resume: str | None) -> int:
    """Go on with a run; the exit status."""
    load_kernels(quiet=request.quiet)
    from charrnn.training.run_file import configurations_of

    folder = _folder_of(resume or request.out)
    if not folder.last.exists():
        folder.resume()  # raises; `locked` would make the folder
    model, training = configurations_of(folder.last)
    products = precision_kernels([request.given.get("precision", training.precision)])
    load_kernels(model.cell, training.optimizer, *products, quiet=request.quiet)
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        run = folder.resume()
        _check_model(request.given, run, "the run", ())
        _check_corpus(request.given, run)
        corpus = _text_of(run, request, folder)
        run.change(**_changes(request.given, run, corpus))
        return _trained(request, run, corpus, folder, stack.enter_context(Stop.installed()))


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
    text = list(request.text) or [source.path for source in run.sources]
    if not request.text:
        if "-" in text:
            raise CorpusError(
                "the run's text came from standard input; pipe it in again: charrnn train - "
                f"--resume {folder.path}"
            )
        for path in text:
            if not Path(path).exists():
                raise CorpusError(
                    f"{path}: the run's text is not there any more; give its new place: {again}"
                )
    try:
        corpus = read_text(text, run.corpus_config, request.quiet, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(
            f"the text is not the one of this run: {error}; restore it, and give its place: {again}"
        ) from None
    run.check_text(corpus)
    run.sources = corpus.sources  # it may have moved
    return corpus


def _changes(given: dict[str, Any], run: Run, corpus: Corpus) -> dict[str, Any]:
    """The settings of training that were given; a batch shape that would be shrunk to the run's is
    no change.
    """
    from charrnn.text.streams import fit_batch_shape

    changes = of_kind(TrainConfig, given)
    own = run.config.batch_size, run.config.seq_length
    shape = changes.get("batch_size", own[0]), changes.get("seq_length", own[1])
    if fit_batch_shape(len(corpus.train), *shape) == own:
        changes = {
            name: value
            for name, value in changes.items()
            if name not in ("batch_size", "seq_length")
        }
    return changes


def _check_model(
    given: dict[str, Any], other: Run | Trained, whose: str, free: tuple[str, ...]
) -> None:
    """`ConfigError` where the network is to have another shape than the weights."""
    _check_same(of_kind(ModelConfig, given), other.model.config, whose, free)


def _check_corpus(given: dict[str, Any], run: Run) -> None:
    """`ConfigError` where the text is to be read otherwise than before."""
    _check_same(of_kind(CorpusConfig, given), run.corpus_config, "the run", ())


def _check_same(
    given: dict[str, Any], found: CorpusConfig | ModelConfig, whose: str, free: tuple[str, ...]
) -> None:
    for name, value in given.items():
        if name not in free and value != getattr(found, name):
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} {value} does not fit {whose}: there it is {getattr(found, name)}; leave "
                f"{flag} out, or start a new run"
            )


def _trained(
    request: Request,
    run: Run,
    corpus: Corpus,
    folder: RunFolder,
    stop: Stop,
    plan: Plan | None = None,
) -> int:
    """Train until the end or a signal, keeping to the plan's time if there is one, and tell about
    it; the exit status.
    """
    from charrnn.cli.train_display import Display, tell_start
    from charrnn.text.gathered import counted
    from charrnn.training.loop import train as steps
    from charrnn.tuning.pacing import on_time

    if not request.quiet:
        tell_start(
            run, corpus, folder, TrainConfig(**of_kind(TrainConfig, request.given)), request.threads
        )
    before = folder.seconds_before
    ended = run.ended_by(before)
    if ended is not None:
        done = (
            f"{counted(run.step, 'step')}, {run.epoch:.1f} "
            f"epochs{', ended by its ' + ended if ended in LIMITS else ''}"
        )
        flags = LIMITS.get(ended, "--epochs or --steps")
        terminal.tell(
            f"{folder.path} is finished ({done}); for more: --resume with a larger {flags}"
        )
    with closing(
        Display(run, quiet=request.quiet, as_json=request.as_json, seconds_before=before)
    ) as display:
        reports = steps(run, corpus, folder=folder, threads=request.threads)
        with closing(reports if plan is None else on_time(reports, run, plan, folder)) as reports:
            ended = _follow(reports, display, stop) or ended
        display.close()
        display.end(folder, ended)
    return stop.status if ended is None else 0


def _follow(reports: Iterator[Any], display: Display, stop: Stop) -> str | None:
    """Show the reports until the run ends, and return what ended it, or until a signal."""
    for report in reports:
        display.show(report)
        if report.ended is not None or stop.status:
            return str(report.ended) if report.ended is not None else None
    return None

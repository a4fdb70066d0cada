"""`charrnn train --resume`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.checkpoint.paths import best_of
from charrnn.cli import terminal
from charrnn.cli.inputs import check_same, precision_kernels, read_text
from charrnn.cli.kernel_loading import load_kernels, network_kernels
from charrnn.cli.options import Request
from charrnn.cli.signals import Stop
from charrnn.cli.train_for import more_networks, planned_more, planned_rest
from charrnn.cli.train_steps import BOTH, carry_out
from charrnn.config import TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.errors import ConfigError, CorpusError, VocabError
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder

SHAPE = ("batch_size", "seq_length")


def has_run(request: Request, resume: str | None) -> bool:
    """True if the run of --resume-or-start is there to resume."""
    from charrnn.training.run_folder import RunFolder

    if resume is not None:
        raise ConfigError("--resume and --resume-or-start: leave one of them out")
    if request.out is None:
        raise ConfigError("--resume-or-start needs --out, the folder of the run")
    return RunFolder(request.out).last.exists()


def check_resume(request: Request, resume: str) -> None:
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


def resumed(request: Request, resume: str | None, is_started_again: bool = False) -> int:
    """Resume a run; return the exit status. If the command that started it is given again, the
    settings are those that it has, and the time is that of the whole run.
    """
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import find_run

    # what cannot be resumed is reported before kernels are loaded or compiled
    last = find_run(resume or request.out)
    load_kernels(*network_kernels(model_config_of(last)), quiet=request.quiet)
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
            check_same(request.settings, config, "the run")
        corpus = _text_of(run, request, folder)
        changes, plan = _changes(request.settings, run, corpus), None
        is_one = (request.settings.get("networks") or run.config.networks or 1) == 1
        if is_started_again:
            now = values_of(run.config)
            same = {name for name, value in changes.items() if value == now.get(name)}
            if not same >= changes.keys() & BOTH:  # one of them alone would be the only one
                same -= BOTH
            changes = {name: value for name, value in changes.items() if name not in same}
            count = changes.get("networks")
            if isinstance(count, int) and folder.has_network(count + 1):
                del changes["networks"]  # it has been given more since
        _check_networks(request.settings, folder, is_started_again)
        run.change(**changes)
        if request.duration is not None and not is_started_again and not is_one:
            run.change(max_time=None)  # as for one network, whatever ended it
            more_networks(request, run, folder)
            folder.save_last(run)
            plan = planned_rest(request, run, corpus, folder, is_more=True)
        elif request.duration is not None and not is_started_again:
            plan = planned_more(request, run, corpus)
            run.change(**asdict(plan.training))
            folder.save_last(run)  # from now on it is to be so long
        elif request.duration is not None:
            plan = planned_rest(request, run, corpus, folder)
        return carry_out(request, run, corpus, folder, stack.enter_context(Stop.installed()), plan)


def _check_networks(
    settings: Mapping[str, Value], folder: RunFolder, is_started_again: bool
) -> None:
    """`ConfigError` for fewer networks than there are."""
    count = settings.get("networks")
    if isinstance(count, int) and folder.has_network(count + 1) and not is_started_again:
        raise ConfigError(
            f"`networks` {count}: {folder.path} has more already; leave it out, or delete "
            f"{best_of(folder.path, count + 1).name} and those after it"
        )


def _text_of(run: Run, request: Request, folder: RunFolder) -> Corpus:
    """The text that the run was started on, read again; if it has grown at its end, the run goes
    on with all of it. `CorpusError` if it is missing or has changed otherwise.
    """
    from charrnn.text.vocab import counted
    from charrnn.training.grown_text import growth, take_up

    run_folder = quoted(folder.path)
    requested = {"": request.text, **request.parts}
    paths = {
        part: requested[part] or tuple(source.path for source in run.sources if source.part == part)
        for part in requested
    }
    words = ["-" if "-" in paths[""] else "TEXT"]
    for part in request.parts:
        if paths[part]:
            words += [f"--{part}", "-" if "-" in paths[part] else "FILE"]
    again = f"charrnn train {' '.join(words)} --resume {run_folder}"
    if any("-" in paths[part] and not requested[part] for part in requested):
        raise CorpusError(f"the run's text came from standard input; pipe it in again: {again}")
    from charrnn.text.sources import check_recorded

    try:
        check_recorded(path for part in paths if not requested[part] for path in paths[part])
        text = paths.pop("")
        corpus = read_text(text, run.corpus_config, request.quiet, **paths, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(
            f"this is not the run's text: {error}; restore the text, then pass its path: {again}; "
            f"or start a new run from these weights: --init-from {run_folder} --out NEW"
        ) from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; pass its new path: {again}") from None
    new = growth(run, corpus)
    if new:
        take_up(run, corpus)
        seconds = 0.0 if request.duration is not None else folder.seconds_before
        if (
            run.ended_by(seconds) is not None
            and (run.config.networks or 1) > 1
            and not {*request.settings} & BOTH
        ):
            raise ConfigError(
                f"the text has grown by {counted(new, 'character')}, but the networks of this run "
                "have come to their end: give them more, by --steps or --epochs"
            )
        folder.save_grown(run)
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
    asked = requested.batch_size, requested.seq_length, requested.parts
    shape = fit_batch_shape(len(corpus.train), *asked)
    if shape == (run.config.batch_size, run.config.seq_length):
        changes = {name: value for name, value in changes.items() if name not in SHAPE}
    return changes

"""The training itself, after `charrnn train` has started or resumed a run."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.checkpoint.paths import best_of
from charrnn.cli import terminal
from charrnn.cli.options import Request
from charrnn.cli.signals import Stop
from charrnn.config.files import values_of
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.config import TrainConfig
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.training.tensorboard import TensorBoard
    from charrnn.tuning.planning import Plan

BOTH = {"steps", "epochs"}
"""Settings of which a change of one alone would drop the other."""
LIMITS = ("patience", "time")
"""What can end a run before its last step."""


def carry_out(
    request: Request,
    run: Run,
    corpus: Corpus,
    folder: RunFolder,
    stop: Stop,
    plan: Plan | None = None,
) -> int:
    """Train all of a run's networks until the end or a signal, within the plan's time if there is
    a plan, and show progress; return the exit status. If they have learned faster than planned,
    others follow.
    """
    from charrnn.cli.train_together import show_together
    from charrnn.training.recipe import MOST_NETWORKS
    from charrnn.training.run_file import configurations_of

    count, first = run.config.networks or 1, run
    if count == 1:
        return _carry_out(request, run, corpus, folder, stop, plan)
    if folder.last.exists() and configurations_of(folder.last)[1] != first.config:
        folder.save_last(first)  # its new number of networks is recorded before they are trained
    missing = [number for number in range(2, count + 1) if is_missing(folder, number, first)]
    began = time.monotonic()
    if not missing or run.ended_by(folder.seconds_before) is None:
        status = _carry_out(request, run, corpus, folder, stop, plan, (1, count))
        if status or stop.status:
            return status or stop.status
    took = time.monotonic() - began
    while missing:
        number, began = missing.pop(0), time.monotonic()
        own = folder.network(number)
        with own.locked():
            run = _network(own, number, first, corpus)
            before, own_plan = run.step, None
            if plan is not None:
                others = [each for each in missing if goes_on(folder, each, first)]
                own_plan = plan.for_next(len(others) + 1)
            status = _carry_out(request, run, corpus, own, stop, own_plan, (number, count))
        took = time.monotonic() - began if run.step > before else took
        if status or stop.status:
            return status or stop.status
        folder.add_network(number)
        may_add = request.training.networks is None and count < MOST_NETWORKS and not missing
        if may_add and plan is not None and time.monotonic() + took < plan.end:
            count += 1
            missing.append(count)
            folder.resize(count)
    show_together(folder, corpus, request)
    return 0


def is_missing(folder: RunFolder, number: int, first: Run) -> bool:
    """True if this network has not been trained to its end, or the run has been given other
    settings or more text since, which it has not been trained with to its end.
    """
    from charrnn.training.run_file import configurations_of, text_of

    own = folder.network(number)
    if not folder.has_network(number) or not own.last.exists():
        return not folder.has_network(number)
    changes = _changes(configurations_of(own.last)[1], number, first, is_added=True)
    return bool(changes) or text_of(own.last) != first.sha256 or _is_behind(own, number)


def goes_on(folder: RunFolder, number: int, first: Run) -> bool:
    """True if this network makes steps when the run goes on."""
    from charrnn.training.run_file import load_run

    own = folder.network(number)
    if not is_missing(folder, number, first):
        return False
    if not own.last.exists():
        return True
    run = load_run(own.last)
    if run.sha256 != first.sha256:
        return True
    changes = _changes(run.config, number, first, is_added=folder.has_network(number))
    if changes:
        run.change(**changes)
    return run.ended_by(own.seconds_before) is None


def _is_behind(own: RunFolder, number: int) -> bool:
    """True if a network that was added has been given more since, and that is not there yet."""
    from charrnn.checkpoint.paths import find_checkpoint
    from charrnn.training.run_file import load_run

    if load_run(own.last).ended_by(own.seconds_before) is None:
        return True
    added = best_of(own.path.parent, number)
    return find_checkpoint(own.path).read_bytes() != added.read_bytes()


def _changes(
    config: TrainConfig, number: int, first: Run, is_added: bool = False
) -> dict[str, Any]:
    """The first network's settings that this one lacks. Once it has been added, changes of its
    length are recorded with the first one's, unless they have been given up.
    """
    wanted = asdict(first.config.of_network(number))
    now = asdict(config)
    other = {name for name, value in wanted.items() if now[name] != value and name != "pace"}
    if is_added and now["pace"] is not None and wanted["pace"] is None:
        other |= BOTH
    if other & BOTH:  # one of them alone would be the only one
        other |= BOTH
    return {name: value for name, value in wanted.items() if name in other}


def _network(own: RunFolder, number: int, first: Run, corpus: Corpus) -> Run:
    """The run of one of the networks, from 2: new, or as it was saved in its folder, with the
    settings that the first one has now.
    """
    from charrnn.training.grown_text import growth, take_up

    if not own.last.exists():
        run = first.another(corpus, number)
        own.create(values_of(run.corpus_config, run.model.config, run.config))
        return run
    run = own.resume()
    if growth(run, corpus):
        take_up(run, corpus)
        own.save_grown(run)
    run.check_text(corpus)
    run.sources = corpus.sources
    is_added = best_of(own.path.parent, number).exists()
    changes = _changes(run.config, number, first, is_added)
    if changes:
        run.change(**changes)
    return run


def _carry_out(
    request: Request,
    run: Run,
    corpus: Corpus,
    folder: RunFolder,
    stop: Stop,
    plan: Plan | None = None,
    place: tuple[int, int] = (1, 1),
) -> int:
    """Train one network, of a number and a count; return the exit status."""
    from charrnn.cli.train_advice import Adviser
    from charrnn.cli.train_display import Display
    from charrnn.cli.train_start import show_start
    from charrnn.text.vocab import counted
    from charrnn.training.loop import train as steps
    from charrnn.training.run_record import RunRecord
    from charrnn.tuning.pacing import on_time

    if not request.quiet and place[0] == 1:
        show_start(run, corpus, folder, request)
    before = folder.seconds_before
    ended = run.ended_by(before)
    if ended is not None and place[0] == 1:
        limit = f", ended by its {ended}" if ended in LIMITS else ""
        so_long = request.settings.get("max_time") or "20m"
        more = "for more networks" if place[1] > 1 else f"for {so_long} more"
        more += f": charrnn train --resume {quoted(folder.path)} --for {so_long}"
        if ended == "patience":
            more = "for more: --resume with a larger --patience"
        terminal.say(
            f"{folder.path} is finished ({counted(run.step, 'step')}, {run.epoch:.1f} epochs"
            f"{limit}); {more}"
        )
    with closing(
        Display(
            run,
            stop,
            quiet=request.quiet,
            as_json=request.as_json,
            verbose=request.verbose,
            seconds_before=before,
            record=RunRecord.read(folder.path) if run.step else None,
            place=place,
        )
    ) as display:
        adviser = Adviser(run, corpus, folder)
        say = display.say if place[0] == 1 else None  # the same would be said of each network
        if ended is None:
            reports = steps(run, corpus, folder=folder, threads=request.threads)
            with (
                closing(reports if plan is None else on_time(reports, run, plan, say)) as reports,
                _tensorboard(request.tensorboard, run.step, place[0]) as board,
            ):
                for report in reports:
                    display.show(report)
                    if board is not None:
                        board.add(report)
                    for advice in adviser.news(report) if place[0] == 1 else ():
                        display.advise(advice)
                    ended = report.ended
                    if stop.status:
                        break
        display.close()
        display.end(folder, ended)
    return stop.status if ended is None else 0


def _tensorboard(
    folder: str | None, step: int, number: int
) -> AbstractContextManager[TensorBoard | None]:
    """What writes a network's run at this step for TensorBoard, if a folder is given."""
    if folder is None:
        return nullcontext()
    from charrnn.training.tensorboard import TensorBoard

    return TensorBoard(folder if number == 1 else str(Path(folder, str(number))), step)

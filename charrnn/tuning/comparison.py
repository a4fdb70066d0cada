"""Compare configurations: each is trained from several seeds, one run at a time, and scored by its
best checkpoint.

Each run has a folder, like any other run, and resumes where it was interrupted. Next to these
folders, `compare.json` records what is compared.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from charrnn.errors import ConfigError
from charrnn.runtime.files import write_atomically
from charrnn.text.streams import Streams, fit_batch_shape
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.candidates import (
    PLAN,
    Candidate,
    check_one_network,
    check_plan,
    folder_names,
    plan_text,
    size_in,
)
from charrnn.tuning.compared_run import ComparedRun
from charrnn.tuning.dealing import deal, rounds, slots
from charrnn.tuning.outcomes import Event
from charrnn.tuning.planning import LEAST_SECONDS, check_no_length, plan

LEAST_OF_OTHERS = 0.5
"""Share of the time of a run that has ended, that another one needs to be compared with it."""


def compare(
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    duration: float | None = None,
    threads: int | None = None,
) -> Iterator[Event]:
    """Train every candidate from every seed. Yields an event for each step and for the end of each
    run.

    With a duration, all runs together take that many seconds, in equal shares; the candidates'
    `hidden` must then be set (`planned_size` says which fits). `ConfigError` for less than 5
    seconds per run, for candidates that say how long they train as well, and if runs that have not
    begun would have less than half the time of those that have ended. All candidates run with the
    first seed before the second. If the iteration is closed or the process dies, another call with
    the same candidates and seeds resumes; finished runs yield their outcome at once. `RunError` if
    the folder contains another comparison or is in use, `ConfigError` for a text without a
    validation part. A run that diverges counts as an outcome. Within `on_workers`, as many runs as
    there are other ranks are trained at the same time.
    """
    check_comparison(candidates, seeds)
    runs = len(candidates) * len(seeds)
    for candidate in candidates if duration is not None else ():
        check_no_length(candidate.training)
        if candidate.model.hidden is None:
            raise ConfigError(
                "with a `duration`, set `hidden`: otherwise each run would choose a size of its own"
            )
    if duration is not None and duration < LEAST_SECONDS * rounds(runs):
        raise ConfigError(
            f"`duration` {duration:g} seconds is too short for {runs} runs: each needs at least "
            f"{LEAST_SECONDS:g} seconds"
        )
    place = RunFolder(folder)
    check_plan(place.path, candidates, seeds)
    with place.locked():
        check_plan(place.path, candidates, seeds)
        write_atomically(place.path / PLAN, plan_text(candidates, seeds).encode())
        jobs = [
            ComparedRun(candidate, seed, RunFolder(place.path / f"{name}-seed{seed}"), threads)
            for seed in seeds
            for candidate, name in zip(candidates, folder_names(candidates), strict=True)
        ]
        work = [_work(job.candidate) if duration is None else 1.0 for job in jobs]
        places, share = {id(job): k for k, job in enumerate(jobs)}, [0.0] * len(jobs)
        with closing(deal(_on_time(jobs, duration))) as events:  # type: ignore[type-var]
            for job, done, report, outcome in events:
                k = places[id(job)]
                share[k] = done * work[k] / sum(work)
                yield Event(job.candidate, job.seed, k + 1, len(jobs), sum(share), report, outcome)


def _on_time(jobs: Sequence[ComparedRun], duration: float | None) -> Iterator[ComparedRun]:
    """The runs, each with its share of the time that is left when it is its turn: equal shares, but
    for what others have taken too long.
    """
    if duration is None:
        yield from jobs
        return
    spent = sum(job.folder.seconds_before for job in jobs) / slots()
    deadline, begun = time.monotonic() + duration - spent, 0
    new = sum(not job.is_begun for job in jobs)
    _check_shares(jobs, duration, spent, new)
    for job in jobs:
        if not job.is_begun:
            left = rounds(new) - begun // slots()
            job.share = max(LEAST_SECONDS, (deadline - time.monotonic()) / left)
            begun += 1
        yield job


def _check_shares(jobs: Sequence[ComparedRun], duration: float, spent: float, new: int) -> None:
    """`ConfigError` if `new` runs would have less than half the time of those that have ended, once
    those that were interrupted have ended, too.
    """
    usual = max((job.folder.seconds_before for job in jobs if job.is_ended), default=0.0)
    if not new or not usual:
        return
    begun = [job.folder.seconds_before for job in jobs if job.is_begun and not job.is_ended]
    spent += sum(max(0.0, usual - seconds) for seconds in begun) / slots()
    each, whole = (duration - spent) / rounds(new), spent + usual * rounds(new)
    if max(LEAST_SECONDS, each) < LEAST_OF_OTHERS * usual:
        raise ConfigError(
            f"`duration` {duration:g} seconds leaves {max(0.0, each):.0f} for each run that has "
            f"not begun, but others had {usual:.0f}; give {math.ceil(whole)} seconds, or another "
            "`folder`"
        )


def with_size(
    candidates: Sequence[Candidate],
    folder: str | Path,
    seconds: float,
    *,
    of_equal_size: bool = True,
    threads: int | None = None,
) -> list[Candidate]:
    """The candidates with `hidden` filled in where it is None, and if they are to be of equal size,
    the first one with `attention`: the values planned for the first candidate in these seconds, or
    those recorded in the comparison's folder.
    """
    first, *others = candidates
    model = first.model
    if model.hidden is None or (of_equal_size and model.attention is None):
        size = size_in(Path(folder), first.name)
        if size is None:
            training = first.training.filled(networks=1)
            planned = plan(first.corpus, seconds, model, training, threads=threads).model
            size = planned.hidden, planned.attention
        model = first.model.filled(hidden=size[0])
        model = model.filled(attention=size[1]) if of_equal_size else model
    return [
        replace(first, model=model),
        *(replace(one, model=one.model.filled(hidden=model.hidden)) for one in others),
    ]


def check_comparison(candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
    """`ConfigError` unless there are candidates, distinct seeds, and a validation text."""
    if not candidates or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            "a comparison needs at least one configuration and one seed, all seeds different"
        )
    for candidate in candidates:
        check_one_network(candidate.training)
        if len(candidate.corpus.validation) < 2:
            raise ConfigError(
                "configurations are compared by their loss on the validation text, but there is "
                "none: use a larger `val_fraction` or a longer text"
            )


def _work(candidate: Candidate) -> float:
    """The work of a run, as far as it is known: multiplications, or seconds if a time limit ends
    it.
    """
    training, text = candidate.resolved[1], candidate.corpus.train
    if training.max_seconds is not None:
        return training.max_seconds
    shape = fit_batch_shape(len(text), training.batch_size, training.seq_length)
    steps = training.total_steps(Streams(text, *shape).steps)
    return float(steps * math.prod(shape) * candidate.parameters)

"""What other courses of batches are worth: batches or sequences that grow at half the time, and a
new offset for every pass.

charrnn has none of these, since none earned its place. Each run here is put together from runs of
the recipe of `--for`: the second goes on with the weights, the optimiser's slots and the place in
the schedule that the first came to. In equal time, as `ablations`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

import charrnn
from benchmarks.ablations import recipe, relative_time
from benchmarks.tables import Row, shown
from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.tuning.planning import weight_decay_for

COURSES: dict[str, list[tuple[float, float]]] = {
    "the recipe": [(1, 1)],
    "a new offset every pass": [(1, 1)],
    "batch x 2 at half": [(1, 1), (2, 1)],
    "batch x 1/2 until half": [(0.5, 1), (1, 1)],
    "batch x 1/2, then x 2": [(0.5, 1), (2, 1)],
    "sequence x 2 at half": [(1, 1), (1, 2)],
    "sequence x 1/2 until half": [(1, 0.5), (1, 1)],
    "sequence x 1/2, then x 2": [(1, 0.5), (1, 2)],
    "both x 1/2 until half": [(0.5, 0.5), (1, 1)],
}
"""Factors of (batch_size, seq_length), one pair for each part of the time, all parts alike."""


def parts(
    course: str,
    corpus: Corpus,
    model: ModelConfig,
    training: TrainConfig,
    costs: dict[tuple[int, int], float],
) -> list[TrainConfig]:
    """The settings of each part, all with the steps of the whole; `steps` of part k are where it
    ends.
    """
    shape, characters = (
        (training.batch_size, training.seq_length),
        (training.steps or 0) * training.batch_size * training.seq_length,
    )
    found, at = [], 0
    for batch, sequence in COURSES[course]:
        own = replace(
            training, batch_size=int(shape[0] * batch), seq_length=int(shape[1] * sequence)
        )
        size = own.batch_size, own.seq_length
        if size not in costs:
            costs[size] = relative_time(corpus, (model, own), (model, training))
        at += round(characters / len(COURSES[course]) / costs[size] / (size[0] * size[1]))
        found.append(replace(own, steps=at))
    return found


def offset_by(corpus: Corpus, characters: int) -> Corpus:
    """The text read in a circle from another place: with other borders of batches, and the same
    characters.
    """
    ids, train = np.array(corpus.ids), len(corpus.train)
    ids[:train] = np.roll(ids[:train], -characters)
    return replace(corpus, ids=ids)


def passes(
    corpus: Corpus, run: charrnn.Run, steps: int, shifts: bool
) -> Iterator[tuple[Corpus, int]]:
    """The texts to read one after the other, and the steps at which each ends."""
    if not shifts:
        yield corpus, steps
        return
    rng = np.random.default_rng(run.config.seed)
    for end in range(run.steps_per_epoch, steps + run.steps_per_epoch, run.steps_per_epoch):
        yield offset_by(corpus, int(rng.integers(run.config.seq_length))), min(end, steps)


def trained(
    course: str, corpus: Corpus, model: ModelConfig, parts: list[TrainConfig], seed: int
) -> float:
    """The validation loss behind all parts, nats a character."""
    before: charrnn.Run | None = None
    for part in parts:
        settings = replace(part, seed=seed, steps=parts[-1].steps, eval_every=10**9)
        run = charrnn.Run.new(corpus, model, settings)
        if before is not None:
            assert run.average is not None and before.average is not None
            pairs = [(run.slots[name], before.slots[name]) for name in run.slots]
            for mine, other in [
                *pairs,
                (run.model.parameters, before.model.parameters),
                (run.average, before.average),
            ]:
                mine.flat[:] = other.flat
            run.progress = before.progress
        for text, end in passes(corpus, run, part.steps or 0, course == "a new offset every pass"):
            with closing(charrnn.train(run, text, threads=1)) as reports:
                for report in reports:
                    if report.step >= end:
                        break
        before = run
    assert before is not None
    return charrnn.evaluate(before.result, corpus.validation).nats_per_char


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--only", nargs="+", choices=COURSES, default=list(COURSES), metavar="COURSE"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    corpus = Corpus.read(options.text)
    model, training = recipe(corpus, options.width, options.epochs)
    training = replace(training, batch_size=options.batch_size)
    per_epoch = charrnn.Run.new(corpus, model, training).steps_per_epoch
    decay = weight_decay_for(options.epochs, training.learning_rate or 0.0, per_epoch)
    training = replace(training, steps=round(options.epochs * per_epoch), weight_decay=decay)
    costs: dict[tuple[int, int], float] = {(training.batch_size, training.seq_length): 1.0}
    rows: list[Row] = []
    for course in options.only:
        settings = parts(course, corpus, model, training, costs)
        losses = []
        for seed in options.seeds:
            losses.append(trained(course, corpus, model, settings, seed))
            print(f"{course}, seed {seed}: {losses[-1]:.4f}", file=sys.stderr, flush=True)
        found = {
            "course": course,
            "nats": f"{statistics.mean(losses):.4f}",
            "seeds": " ".join(f"{x:.4f}" for x in losses),
        }
        rows.append(found | {"steps": " ".join(str(part.steps) for part in settings)})
    print(shown(rows, options.json))


if __name__ == "__main__":
    main()

"""How fast ranks of MPI train, against one process with as many threads: steps in turn, in pairs.

All train the same network on the bundled plays. The first row is one process with --parts 1, the
second one process with the parts, the third the ranks with the same parts, one thread each.
`share` is the median, over the rounds, of a row's speed by the second row's. Needs mpi4py and an
mpiexec. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.tables import ROOT, Row, environment, table_text

WARM_UP = 3


def train_on_request(options: argparse.Namespace) -> None:
    """For every line of the standard input, make steps and say how long each one took."""
    import charrnn

    corpus = charrnn.Corpus.read(charrnn.bundled_corpus())
    model = charrnn.ModelConfig(hidden=options.hidden, layers=options.layers)
    never = {"eval_every": 10**9, "sample_every": 0, "average": 0.998}
    training = charrnn.TrainConfig(
        batch_size=options.streams, parts=options.parts, steps=10**9, **never
    )
    run = charrnn.Run.new(corpus, model, training)
    reports = charrnn.train(run, corpus, threads=options.threads)
    for _ in range(WARM_UP):
        next(reports)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(options.steps):
            next(reports)
        print((time.perf_counter() - start) / options.steps, flush=True)


class Trainer:
    """A process, or several ranks, that train when asked to."""

    def __init__(self, launcher: Sequence[str], **settings: int) -> None:
        flags = [f"--{name}={value}" for name, value in settings.items()]
        command = [*launcher, sys.executable, "-m", "benchmarks.ranks", "--worker", *flags]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        self._line()

    def step_seconds(self) -> float:
        """Seconds of a step, now."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a trainer has ended")
        return line


def rows(options: argparse.Namespace) -> list[Row]:
    shared = {name: vars(options)[name] for name in ("hidden", "layers", "streams", "steps")}
    threads, parts = options.ranks * options.threads, options.parts
    launcher = [options.mpiexec, "-n", str(options.ranks)]
    trainers = {
        f"1 process, {threads} threads, parts 1": Trainer([], **shared, parts=1, threads=threads),
        f"1 process, {threads} threads, parts {parts}": Trainer(
            [], **shared, parts=parts, threads=threads
        ),
        f"{options.ranks} ranks, {options.threads} thread each, parts {parts}": Trainer(
            launcher, **shared, parts=parts, threads=options.threads
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(options.rounds):
        for name, trainer in trainers.items():
            seconds[name].append(trainer.step_seconds())
    for trainer in trainers.values():
        trainer.close()
    _, base, _ = seconds.values()
    result: list[Row] = []
    for name, times in seconds.items():
        shares = [usual / own for usual, own in zip(base, times, strict=True)]
        low, _, high = statistics.quantiles(shares, n=4)
        result.append(
            {
                "who": name,
                "ms a step": round(1e3 * statistics.median(times), 2),
                "fastest tenth": round(1e3 * statistics.quantiles(times, n=10)[0], 2),
                "share": f"{statistics.median(shares):.1%}",
                "quartiles": f"{low:.1%} to {high:.1%}",
            }
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--parts", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10, help="of one turn")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--mpiexec", default="mpiexec")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.worker:
        from charrnn.training.distributed import on_ranks

        on_ranks(lambda: train_on_request(options))
        return
    print(table_text(rows(options), options.json))


if __name__ == "__main__":
    main()

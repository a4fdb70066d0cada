"""The settings of dynamic evaluation and of the memory, chosen on training text only.

A network learns the first four fifths of a text's training part; rate and decay, and the memory's
size and sharpness, are tried on its last fifth. The validation part is read once, at the end, by
the best settings of both and, with --run, by networks that learned from the whole training part.
Losses in nats per character.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.tables import Row, table_text
from charrnn import (
    Corpus,
    CorpusConfig,
    DynamicConfig,
    MemoryConfig,
    Mixture,
    ModelConfig,
    Run,
    TrainConfig,
    Trained,
    Workers,
    evaluate,
    evaluate_dynamic,
    evaluate_with_memory,
    load,
    train,
)
from charrnn.network.arithmetic import rounded_precision
from charrnn.text.vocab import TextIds

Config = DynamicConfig | MemoryConfig


def loss(
    trained: Trained, ids: TextIds, config: Config, before: TextIds, workers: Workers
) -> float:
    """The loss of a text with a memory, or while the network learns from it beside counts that
    begin with the text `before`.
    """
    mixture, openings = Mixture.of(trained), [trained.opening]
    if isinstance(config, DynamicConfig):
        read = evaluate_dynamic(
            mixture, ids, config, before=(before, None), openings=openings, workers=workers
        )
    else:
        read = evaluate_with_memory(mixture, ids, config, openings=openings, workers=workers)
    return read.nats_per_char


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 4e-4, 5e-4, 6e-4])
    parser.add_argument("--decays", type=float, nargs="+", default=[2e-4, 3e-4, 4e-4])
    parser.add_argument("--segments", type=int, nargs="+", default=[64])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000])
    parser.add_argument("--sharpness", type=float, nargs="+", default=[14, 17, 20])
    parser.add_argument("--characters", type=int, default=100_000, help="of the text to choose on")
    parser.add_argument("--run", nargs="*", default=[], help="networks for the validation part")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    text = options.text.read_text(encoding="utf-8")
    split = CorpusConfig(val_fraction=0.1)
    whole = Corpus.from_text(text, split)
    part = Corpus.from_text(text[: len(whole.train)], CorpusConfig(val_fraction=0.2))
    run = Run.new(
        part,
        ModelConfig(hidden=options.hidden),
        TrainConfig(
            steps=options.steps, precision=rounded_precision() or "float32", sample_every=0
        ),
    )
    for _ in train(run, part, threads=options.threads):
        pass
    held_out = part.validation[: options.characters]
    learning: Iterable[Config] = (
        DynamicConfig(*each) for each in product(options.rates, options.decays, options.segments)
    )
    remembering: Iterable[Config] = (
        MemoryConfig(*each) for each in product(options.sizes, options.sharpness)
    )
    with closing(Workers(options.threads)) as workers:
        plain = evaluate(
            run.result, held_out, openings=[run.trained.opening], workers=workers
        ).nats_per_char
        print(f"plain, on the last fifth of the training part: {plain:.4f}", flush=True)
        best = []
        for configs in (learning, remembering):
            rows: list[tuple[float, Config]] = []
            for config in configs:
                rows.append((loss(run.trained, held_out, config, part.train, workers), config))
                print(f"{rows[-1][0]:.4f} {config}", flush=True)
            best.append(min(rows, key=lambda row: row[0])[1])
        table: list[Row] = []
        for name, trained in [("this one", run.trained), *((p, load(p)) for p in options.run)]:
            learned, ids = (
                trained.vocab.encode(each)
                for each in (text[: len(whole.train)], text[len(whole.train) :])
            )
            on_validation = partial(loss, trained, ids, before=learned, workers=workers)
            openings = [trained.opening]
            read = evaluate(trained.model, ids, openings=openings, workers=workers)
            table.append(
                {
                    "network": name,
                    "plain": f"{read.nats_per_char:.4f}",
                    "dynamic": f"{on_validation(best[0]):.4f}",
                    "with a memory": f"{on_validation(best[1]):.4f}",
                }
            )
    print(table_text(table, as_json=False))


if __name__ == "__main__":
    main()

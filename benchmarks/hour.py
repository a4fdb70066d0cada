"""Train on a text with the defaults for a given time; print the learning curve as CSV, then a sample of the best checkpoint."""

from __future__ import annotations

import argparse
import time

import charrnn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", default="checkpoints/hour")
    options = parser.parse_args()
    start, characters = time.perf_counter(), 0
    corpus = charrnn.Corpus.read(options.text)
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(), charrnn.TrainConfig(epochs=1000))
    folder = charrnn.RunFolder(options.out)
    if folder.holds_run:
        parser.error(f"{options.out} already holds a run; choose another --out")
    print("step,epoch,seconds,train,validation")
    with folder.locked():
        folder.create({})
        reports = charrnn.train(run, corpus, folder=folder)
        for report in reports:
            characters += report.characters
            seconds = time.perf_counter() - start
            if report.validation_loss is not None:
                losses = f"{report.train_loss:.4f},{report.validation_loss:.4f}"
                print(f"{report.step},{report.epoch:.2f},{seconds:.0f},{losses}", flush=True)
            if seconds > 60 * options.minutes:
                reports.close()
                break
    print(f"\n{characters / seconds:,.0f} characters a second, validation and checkpoints included")
    best = charrnn.load(folder.best)
    loss = charrnn.evaluate(best.result, corpus.validation).nats_per_char
    print(f"best checkpoint: step {best.step}, {loss:.4f} nats a character\n")
    print("".join(charrnn.generate(best.result, best.vocab, "\n", 1000, temperature=0.7, seed=1)))


if __name__ == "__main__":
    main()

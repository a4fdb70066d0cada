"""Training speed against PyTorch on the same shapes: each in a process of its own, in turn; the median of the pairs' ratios.

Two LSTM layers, 65 symbols, 50 streams of 50 characters, Adam, clipping by norm. PyTorch: nn.Embedding of H, nn.LSTM,
nn.Linear, fused Adam. Ours: the whole step of `charrnn.training`, from ids to packed new weights. It needs a Python that has
both.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

SYMBOLS, LAYERS, STREAMS, LENGTH = 65, 2, 50, 50


def charrnn_speed(hidden: int, threads: int, steps: int) -> float:
    import numpy as np

    import charrnn

    characters = [chr(48 + i) for i in range(SYMBOLS)]
    text = "".join(np.random.default_rng(0).choice(characters, STREAMS * LENGTH * 40))
    corpus = charrnn.Corpus.from_text(text, charrnn.CorpusConfig(val_fraction=0.0))
    train = charrnn.TrainConfig(
        batch_size=STREAMS, seq_length=LENGTH, steps=steps, eval_every=10**9, sample_every=0, clip_norm=5.0
    )
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(layers=LAYERS, hidden=hidden, dropout=0.0), train)
    seconds = [report.seconds / report.characters for report in charrnn.train(run, corpus, threads=threads)]
    return 1 / statistics.median(seconds[3:])


def torch_speed(hidden: int, threads: int, steps: int) -> float:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    embedding, lstm = torch.nn.Embedding(SYMBOLS, hidden), torch.nn.LSTM(hidden, hidden, LAYERS)
    decoder = torch.nn.Linear(hidden, SYMBOLS)
    parameters = [*embedding.parameters(), *lstm.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, 1e-3, fused=True)
    x, y = torch.randint(0, SYMBOLS, (2, LENGTH, STREAMS))
    state, seconds = None, []
    for _ in range(steps):
        start = time.perf_counter()
        outputs, state = lstm(embedding(x), state)
        state = tuple(part.detach() for part in state)
        loss = torch.nn.functional.cross_entropy(decoder(outputs).view(-1, SYMBOLS), y.view(-1))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        adam.step()
        loss.item()
        seconds.append((time.perf_counter() - start) / (STREAMS * LENGTH))
    return 1 / statistics.median(seconds[3:])


def measured(program: str, hidden: int, threads: int, steps: int) -> float:
    command = [sys.executable, __file__, "--one", program, "--hidden", str(hidden), "--threads", str(threads)]
    done = subprocess.run([*command, "--steps", str(steps)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, action="append", help="units of a layer (may be repeated)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--one", choices=("charrnn", "torch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.hidden or [256]
    if options.one:
        speed = charrnn_speed if options.one == "charrnn" else torch_speed
        print(speed(sizes[0], options.threads, options.steps))
        return
    print(f"{processor()}, {options.threads} threads, {options.pairs} pairs", file=sys.stderr)
    for hidden in sizes:
        pairs = []
        for _ in range(options.pairs):
            ours, theirs = (measured(p, hidden, options.threads, options.steps) for p in ("charrnn", "torch"))
            pairs.append((ours, theirs))
            print(f"  {ours:,.0f} / {theirs:,.0f} = {ours / theirs:.2f}", file=sys.stderr)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        row = {"hidden": hidden, "threads": options.threads, "chars_per_second": round(ours)}
        print(json.dumps({**row, "peer_chars_per_second": round(theirs), "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()

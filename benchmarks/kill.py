"""A short run that saves at every step, killed with SIGKILL at random moments and resumed, again
and again, until it is through.

Every time it must resume, and it must end with the bytes of a run that was never stopped. `--kills
100` counts the kills that hit a process which had begun to train; the run starts again from nothing
as often as that takes. With `--falling` the learning rate is so high that the run goes back to an
earlier step on its way.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import charrnn
from charrnn.training.run_file import load_run

SHAPE = ("--hidden", "16", "--layers", "2", "--batch-size", "4", "--seq-length", "16")
FLAGS = (*SHAPE, "--steps", "400", "--eval-every", "50", "--save-every", "1", "--quiet")
FALLING = ("--activation", "relu", "--no-layer-norm", "--embedding", "0", "--forget-bias", "1")
FALLING += ("--optimizer", "adam", "--schedule", "inverse-sqrt", "--warmup", "0")
FALLING += ("--learning-rate", "0.02", "--clip-norm", "0")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "charrnn", "train", *map(str, arguments)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--falling", action="store_true")
    options = parser.parse_args()
    flags = (*FLAGS, *FALLING) if options.falling else FLAGS
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.txt")
        text.write_text(
            charrnn.bundled_corpus().read_text(encoding="utf-8")[:6000], encoding="utf-8"
        )
        whole = Path(folder, "whole")
        subprocess.run(command(text, "--out", whole, *flags), check=True)
        falls = load_run(whole / "last.safetensors").progress.fall_backs
        if options.falling and not falls:
            sys.exit("the run did not fall back; here it takes another --learning-rate")
        wanted = {
            name: Path(whole, name).read_bytes()
            for name in ("last.safetensors", "best.safetensors")
        }
        kills = rounds = 0
        while kills < options.kills:
            rounds += 1
            out = Path(folder, f"killed-{rounds}")
            kills += one_run(text, out, rng, options.kills - kills, 1 + rounds % 2, flags)
            for name, data in wanted.items():
                if Path(out, name).read_bytes() != data:
                    sys.exit(
                        f"run {rounds}: {name} differs from that of the run that was never stopped"
                    )
            print(f"run {rounds}: the same bytes; {kills} kills so far", flush=True)


def one_run(
    text: Path, out: Path, rng: random.Random, most: int, threads: int, flags: Sequence[str]
) -> int:
    """Start a run, kill it up to `most` times, let it end; the number of kills."""
    kills = 0
    last = out / "last.safetensors"
    while True:
        arguments = ("--resume", out, "--quiet") if last.exists() else (text, "--out", out, *flags)
        before = last.stat().st_mtime_ns if last.exists() else 0
        process = subprocess.Popen(command(*arguments, "--threads", str(threads)))
        while process.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
            time.sleep(0.002)
        if kills < most:
            time.sleep(rng.uniform(0, 0.25))
            if process.poll() is None:
                process.kill()
                process.wait()
                kills += 1
                continue
        if process.wait():
            sys.exit(f"{out}: training ended with status {process.returncode}")
        return kills


if __name__ == "__main__":
    main()

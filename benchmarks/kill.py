"""The program, killed with SIGKILL at random moments: whatever it was doing, nothing is damaged.

Half of the kills hit a short run that saves at every step. Killed and resumed, again and again, it
must end with the bytes of a run that was never stopped. `--kills 100` counts the kills that hit a
process which had begun to train; the run starts again from nothing as often as that takes. With
`--falling` the learning rate is so high that the run goes back to an earlier step on its way.

The other half hit every command in turn, anywhere between its start and its end. Afterwards the
same command must print what it printed before the kills.
"""

from __future__ import annotations

import argparse
import json
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


COMPARE = ("--cells", "lstm,gru", *SHAPE, "--steps", "60", "--seeds", "2", "--save-every", "5")
UNSTABLE = ("chars_per_second", "seconds", "speed", "folder")
"""What differs from one time to another in what a command prints."""


def program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "charrnn", *map(str, arguments)]


def command(*arguments: str | Path) -> list[str]:
    return program("train", *arguments)


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
            for name in ("last.safetensors", "best.safetensors", "steps.bin", "samples.jsonl")
        }
        kills = rounds = 0
        in_training = (options.kills + 1) // 2
        while kills < in_training:
            rounds += 1
            out = Path(folder, f"killed-{rounds}")
            kills += one_run(text, out, rng, in_training - kills, 1 + rounds % 2, flags)
            for name, data in wanted.items():
                if Path(out, name).read_bytes() != data:
                    sys.exit(
                        f"run {rounds}: {name} differs from that of the run that was never stopped"
                    )
            print(f"run {rounds}: the same bytes; {kills} kills so far", flush=True)
        commands(text, whole, Path(folder), rng, options.kills - in_training)


def commands(text: Path, run: Path, folder: Path, rng: random.Random, most: int) -> None:
    """Kill every command about equally often, and compare what it prints afterwards."""
    every = {
        "sample": program("sample", run, "--seed", "1", "--length", "3000", "--prime", ""),
        "eval": program("eval", run, text, "--json"),
        "info": program("info", run, "--json"),
        "data list": program("data", "list"),
        "bench": program("bench", "--only", "sampling", "--hidden", "8", "--rounds", "1", "--json"),
        "compare": program("compare", text, *COMPARE, "--json", "--out", folder / "compared"),
    }
    for number, (name, arguments) in enumerate(every.items()):
        fresh = [*arguments[:-1], str(folder / "other")] if name == "compare" else arguments
        start = time.monotonic()
        expected, seconds = printed(fresh), time.monotonic() - start
        kills = hits = 0
        while kills < most * (number + 1) // len(every) - most * number // len(every):
            process = subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(rng.uniform(0, seconds))
            hits += process.poll() is None
            process.kill()
            process.wait()
            kills += 1
        if name != "bench" and printed(arguments) != expected:
            sys.exit(f"{name}: prints something else after {kills} kills")
        print(f"{name}: the same after {kills} kills, {hits} of them before its end", flush=True)


def printed(arguments: Sequence[str]) -> object:
    """What a command prints, without what differs each time."""
    text = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    return stable(json.loads(text)) if "--json" in arguments else text


def stable(value: object) -> object:
    if isinstance(value, dict):
        return {key: stable(below) for key, below in value.items() if key not in UNSTABLE}
    return [stable(below) for below in value] if isinstance(value, list) else value


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

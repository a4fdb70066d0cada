"""Everything that is measured by itself, in one command: `python -m benchmarks`, about ten minutes.

What `charrnn bench` says, against PyTorch if it is there, and what the programs of this folder say
of memory, start, overhead, the parts of a step, and large texts. It writes a page into `results/`,
with machine, versions and date. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.tables import ROOT, Row, environment, markdown, program

RESULTS = ROOT / "benchmarks" / "results"
PROGRAMS = {
    "memory": "Memory",
    "start": "From the first second",
    "overhead": "What is not a step",
    "parts": "A training step by part",
    "corpus": "Reading a large text",
}
"""Programs of this folder, whose --json is an object a line, and the headings over their tables."""


def output(command: Sequence[str]) -> str:
    print(" ".join(command), file=sys.stderr, flush=True)
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    ).stdout


def bench(arguments: Sequence[str]) -> dict[str, Any]:
    against = ["--against", "torch"] if find_spec("torch") is not None else []
    report: dict[str, Any] = json.loads(output(program("bench", *arguments, *against, "--json")))
    return report


def bench_rows(report: dict[str, Any]) -> list[Row]:
    rows = []
    for task in ("training", "sampling", "forward"):
        for one in report[task]:
            row = {"what": f"{task}, {one['layers']} x {one['hidden']}"}
            row |= {name: one[name] for name in ("batch_size", "threads", "precision")}
            row |= {
                "chars/s": round(one["chars_per_second"]),
                "of peak": f"{one['share_of_peak']:.1%}",
            }
            if "ratio" in one:
                low, high = one["ratios"]
                row |= {
                    "PyTorch": round(one["peer_chars_per_second"]),
                    "ratio": f"{one['ratio']:.2f}",
                }
                row |= {"spread": f"{low:.2f} to {high:.2f}"}
            rows.append(row)
    return rows


def page(report: dict[str, Any], others: dict[str, list[Row]], command: str) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"# {time.strftime('%Y-%m-%d')}, {machine['cpu']}, {machine['simd']}, "
        f"{machine['threads']} threads",
        f"{versions}. Made by `{command}`.",
        f"Multiply-adds: {machine['fma_peak_gflops_per_thread']} GFLOP/s on one thread, "
        f"{machine['fma_peak_gflops']} on "
        f"{machine['threads']}. Memory: {machine['memory_bandwidth_gb_per_s']} GB/s.",
    ]
    if report["training"] or report["sampling"]:
        about = (
            "Characters a second, medians of rounds in turn; `ratio` is the median of the "
            "rounds' ratios."
        )
        lines += [f"## Speed\n\n{about}", markdown(bench_rows(report))]
    for name, rows in others.items():
        lines += [f"## {PROGRAMS[name]} (`python -m benchmarks.{name}`)", markdown(rows)]
    return "\n\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="What follows -- goes to charrnn bench."
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=["bench", *PROGRAMS],
        help="measure this (may be repeated)",
    )
    parser.add_argument(
        "--to", type=Path, help="the page to write; by default a new one in benchmarks/results"
    )
    parser.add_argument("rest", nargs="*", metavar="BENCH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.only or ["bench", *PROGRAMS]
    tasks = ("training", "sampling", "forward") if "bench" in chosen else ("machine",)
    report = bench([word for task in tasks for word in ("--only", task)] + options.rest)
    others = {}
    for name in PROGRAMS:
        if name in chosen and Path(__file__).with_name(f"{name}.py").exists():
            lines = output([sys.executable, "-m", f"benchmarks.{name}", "--json"]).splitlines()
            others[name] = [json.loads(line) for line in lines]
    to = options.to or free_name(RESULTS / f"{time.strftime('%Y-%m-%d')}-bench.md")
    to.write_text(
        page(report, others, " ".join(["python -m benchmarks", *sys.argv[1:]])), encoding="utf-8"
    )
    print(to)


def free_name(path: Path) -> Path:
    """The path, or with a number behind it if there is such a file."""
    names = (path, *(path.with_stem(f"{path.stem}-{k}") for k in range(2, 1000)))
    return next(name for name in names if not name.exists())


if __name__ == "__main__":
    main()

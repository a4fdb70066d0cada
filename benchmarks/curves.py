"""Draws learning curves over wall-clock time, from a CSV file with the columns what, seconds,
validation (needs matplotlib).
"""

from __future__ import annotations

import argparse
import csv
from itertools import groupby
from pathlib import Path

CURVES = Path(__file__).parent / "results" / "curves.csv"
NANOGPT_ON_A_GPU = 1.4697


def draw(rows: list[dict[str, str]], path: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "charrnn", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    told: set[str] = set()
    for what, points in groupby(rows, key=lambda row: row["what"]):
        kind = what.split(" seed ")[0]
        losses = [
            (float(row["seconds"]), float(row["validation"]))
            for row in points
            if float(row["seconds"]) > 0
        ]
        ours, label = kind.startswith("charrnn"), kind if kind not in told else None
        told.add(kind)
        colour = f"C{len(told) - 1}"
        axes.semilogx(
            *zip(*losses, strict=True),
            ".-" if ours else "--",
            color=colour,
            linewidth=1.2,
            label=label,
        )
    axes.axhline(NANOGPT_ON_A_GPU, color="gray", linewidth=0.8)
    axes.text(
        1000,
        NANOGPT_ON_A_GPU + 0.008,
        "nanoGPT, 10.65 M parameters, on an A100",
        fontsize=8,
        color="gray",
    )
    axes.set(xlabel="seconds", ylabel="validation loss, nats a character", ylim=(1.34, 2.1))
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figure", help="SVG file to draw into")
    parser.add_argument("--curves", type=Path, default=CURVES)
    options = parser.parse_args()
    with options.curves.open(encoding="utf-8") as file:
        draw(list(csv.DictReader(file)), options.figure)


if __name__ == "__main__":
    main()

"""The web page with a network in it: its size, and characters a second in headless Chromium.

    python -m benchmarks.page [--hidden 256] [--json]

Two LSTM layers, 65 symbols, drawn weights, in both precisions. Each time it writes 2,000
characters, after one time that is not counted: the median by the clock, and the median by the
processor time of Chromium's renderer, which other programs hardly change. `same`: the last text is
that of `charrnn.generate`, letter by letter.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import charrnn
from benchmarks.tables import Row, markdown
from tests.reference.drawn import drawn_network
from tests.reporting.browser import Tab, browser

SYMBOLS = "\n " + "".join(map(chr, range(34, 97)))
LENGTH, TURNS = 2000, 7
OPEN = """makeBackend(JSON.parse(document.getElementById("data").textContent))
    .then((backend) => { globalThis.backend = backend; })"""


def renderer_seconds(folder: str) -> float:
    """Processor time of the renderers of the Chromium that keeps its files in this folder."""
    processes: dict[str, tuple[bytes, str, int]] = {}
    for entry in Path("/proc").iterdir():
        try:
            command, stat = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        processes[entry.name] = command, fields[1], int(fields[11]) + int(fields[12])
    ticks = 0
    for command, parent, spent in processes.values():
        while b"--type=renderer" in command and parent in processes:
            above, parent, _ = processes[parent]
            if folder.encode() in above:
                ticks += spent
                break
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(tab: Tab, folder: str, trained: charrnn.Trained, precision: Any) -> Row:
    path = Path(folder) / "page.html"
    charrnn.export_html(trained, path, precision=precision, force=True)
    tab.open(path)
    start = time.perf_counter()
    tab.run(OPEN, awaited=True)
    opened = time.perf_counter() - start
    settings = {"temperature": 0.8, "topK": 0, "topP": 1, "minP": 0, "until": None}
    settings |= {"length": LENGTH, "seed": 0, "take": 1, "knownWords": False}
    times, spent, text = [], [], ""
    for _ in range(1 + TURNS):
        start, before = time.perf_counter(), renderer_seconds(folder)
        text = tab.run(f"backend.write('', {json.dumps(settings)})", awaited=True)["text"]
        times.append(time.perf_counter() - start)
        spent.append(renderer_seconds(folder) - before)
    config = charrnn.SamplingConfig(length=LENGTH, precision=precision)
    return {
        "precision": precision,
        "bytes": path.stat().st_size,
        "open_seconds": round(opened, 2),
        "chars_per_second": round(LENGTH / median(times[1:])),
        "chars_per_cpu_second": round(LENGTH / median(spent[1:])),
        "same": text == "".join(charrnn.generate(trained, "", config)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    trained = drawn_network(SYMBOLS, hidden=arguments.hidden, embedding=64, layer_norm=True)
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        rows = [measured(tab, folder, trained, precision) for precision in ("int8", "bf16")]
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(markdown(rows))


if __name__ == "__main__":
    main()

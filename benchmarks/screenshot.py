"""A picture of a terminal: of `charrnn write`, with the bundled network and the keys of the session
in docs/writing.md, or of `charrnn train` in the middle of a run on a text.

    python -m benchmarks.screenshot docs/write.svg
    python -m benchmarks.screenshot docs/train.svg --train tiny-shakespeare.txt --steps 2000
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from charrnn.checkpoint.paths import bundled_network
from tests.cli.pseudo_terminal import Terminal

COLUMNS, ROWS, WIDTH, HEIGHT = 80, 12, 8.4, 18
TRAINING_ROWS, AT = 31, 60
"""Rows of the terminal that trains, and the percentage at which the picture is taken."""
TYPED = "A ship at sea.\r\rTAMSIN:\rThe wind is up, and the sailors"
NEXT, TAB, LINE, WORDS, QUIT = "\x0e\t\x0c\x0f\x11"
COLORS = {"default": "#d8d8d8", "green": "#7ec876", "brightblack": "#808080"}
COLORS |= {"cyan": "#56b6c2", "brown": "#e5c07b"}


def svg(terminal: Terminal) -> str:
    """The screen; the cursor is a block."""
    parts, rows = [], terminal.screen.lines
    for y in range(rows):
        row = terminal.screen.buffer[y]
        cells = [(row[x].fg, row[x].bold, row[x].reverse) for x in range(COLUMNS)]
        for style, run in groupby(range(COLUMNS), key=cells.__getitem__):
            places = list(run)
            text, (color, bold, reverse) = "".join(row[x].data for x in places), style
            x, fill = 10 + WIDTH * places[0], COLORS.get(color, COLORS["default"])
            if reverse:
                parts.append(
                    f'<rect x="{x:.1f}" y="{HEIGHT * y + 10}" width="{WIDTH * len(places):.1f}" '
                    f'height="{HEIGHT}" fill="{COLORS["default"]}"/>'
                )
                fill = "#1c1c1c"
            for word in re.finditer(r"\S+", text):  # browsers do not preserve spaces
                parts.append(
                    f'<text x="{x + WIDTH * word.start():.1f}" y="{HEIGHT * y + 24}" '
                    f'fill="{fill}" textLength="{WIDTH * len(word[0]):.1f}"'
                    f"{' font-weight=' + chr(34) + 'bold' + chr(34) if bold else ''}>"
                    f"{escape(word[0])}</text>"
                )
    y, x = terminal.cursor
    parts.append(
        f'<rect x="{10 + WIDTH * x:.1f}" y="{HEIGHT * y + 10}" width="{WIDTH}" height="{HEIGHT}" '
        'fill="#d8d8d8" opacity="0.5"/>'
    )
    wide, high = 20 + WIDTH * COLUMNS, 20 + HEIGHT * rows
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" '
        'font-family="monospace" font-size="14" xml:space="preserve">\n'
        f'<rect width="{wide:.0f}" height="{high}" rx="6" fill="#1c1c1c"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", metavar="TEXT", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.train is not None:
            shown = training(options.train, options.steps, Path(folder))
        else:
            shown = writing(Path(folder))
    options.file.write_text(shown, encoding="utf-8")
    print(f"{options.file}", file=sys.stderr)


def training(text: Path, steps: int, folder: Path) -> str:
    """`charrnn train`, when it has done 60 % of its steps."""
    train = ["train", str(text.absolute()), "--hidden", "128", "--steps", str(steps)]
    terminal = Terminal(train, folder, COLUMNS, TRAINING_ROWS)
    bar = re.compile(r" *(\d+) % ")
    while not any(int(m[1]) >= AT for m in map(bar.match, terminal.lines) if m):
        before = terminal.raw
        terminal.until(lambda before=before: terminal.raw != before)  # type: ignore[misc]
    shown = svg(terminal)
    terminal.process.sendintr()
    terminal.end()
    return shown


def writing(folder: Path) -> str:
    """`charrnn write`, after some keys."""
    write = ["write", "scene.txt", "--run", str(bundled_network()), "--seed", "7"]
    terminal = Terminal([*write, "--temperature", "0.6"], folder, COLUMNS, ROWS)
    terminal.start()
    for keys in (TYPED, NEXT, NEXT, TAB, TAB, LINE, LINE, LINE, WORDS):
        terminal.type(keys)
        end = time.monotonic() + 2
        terminal.until(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
    shown = svg(terminal)
    terminal.type(QUIT)
    terminal.end()
    return shown


if __name__ == "__main__":
    main()

"""A picture of `charrnn write`, as a terminal showed it, with the bundled network and the keys of
the session in docs/writing.md.

    python -m benchmarks.screenshot docs/write.svg
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

from charrnn.checkpoint.paths import bundled_network
from tests.cli.pseudo_terminal import Terminal

COLUMNS, ROWS, WIDTH, HEIGHT = 80, 12, 8.4, 18
TYPED = "A ship at sea.\r\rTAMSIN:\rThe wind is up, and the sailors"
NEXT, TAB, LINE, WORDS, QUIT = "\x0e\t\x0c\x0f\x11"
COLORS = {"default": "#d8d8d8", "green": "#7ec876", "brightblack": "#808080"}


def svg(terminal: Terminal) -> str:
    """The screen; the cursor is a block."""
    parts = []
    for y in range(ROWS):
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
            if text.strip():
                parts.append(
                    f'<text x="{x:.1f}" y="{HEIGHT * y + 24}" fill="{fill}" '
                    f'textLength="{WIDTH * len(places):.1f}"'
                    f"{' font-weight=' + chr(34) + 'bold' + chr(34) if bold else ''}>"
                    f"{escape(text)}</text>"
                )
    y, x = terminal.cursor
    parts.append(
        f'<rect x="{10 + WIDTH * x:.1f}" y="{HEIGHT * y + 10}" width="{WIDTH}" height="{HEIGHT}" '
        'fill="#d8d8d8" opacity="0.5"/>'
    )
    wide, high = 20 + WIDTH * COLUMNS, 20 + HEIGHT * ROWS
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
    options = parser.parse_args()
    write = ["write", "scene.txt", "--run", str(bundled_network()), "--seed", "7"]
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal([*write, "--temperature", "0.6"], Path(folder), COLUMNS, ROWS)
        terminal.start()
        for keys in (TYPED, NEXT, NEXT, TAB, TAB, LINE, LINE, LINE, WORDS):
            terminal.type(keys)
            end = time.monotonic() + 2
            terminal.until(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
        options.file.write_text(svg(terminal), encoding="utf-8")
        terminal.type(QUIT)
        terminal.end()
    print(f"{options.file}", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Surprise in the terminal: a text in colors, and its most surprising passages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.styled_text import RESET, broken_at_spaces, in_styles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from charrnn.evaluation.passages import SurprisingPassage
    from charrnn.text.graphemes import Graphemes

STYLES = (
    "",
    "\x1b[38;5;16;48;5;187m",
    "\x1b[38;5;16;48;5;214m",
    "\x1b[38;5;16;48;5;203m",
    "\x1b[1;38;5;231;48;5;125m",
)
"""The style of each level of surprise. Both colors are set, so that a character is readable on a
dark and on a light background; they grow darker, which every eye sees.
"""
UNREAD = "\x1b[2;9m"
"""Faint and struck out: not in the vocabulary."""
BREAK_SHOWN_FROM = 2
"""The level from which a newline is shown by a sign."""
BREAK = "\u21b5"
CONTEXT = 80
"""Columns of a passage's line where there is no terminal."""


def legend() -> str:
    """What the colors mean, in one line of at most 40 columns."""
    from charrnn.evaluation.score import BOUNDS

    shares = [*(f">1/{bound}" for bound in BOUNDS), "rarer"]
    return "p " + " ".join(
        f"{style}{share}{RESET if style else ''}"
        for style, share in zip(STYLES, shares, strict=True)
    )


def colored(shown: Graphemes, nats: NDArray[Any], first: int, last: int) -> Iterator[str]:
    """The characters first:last in the colors of their surprise, control characters escaped."""
    from charrnn.evaluation.score import levels

    def pieces() -> Iterator[tuple[str, str]]:
        for index, level in enumerate(levels(nats[first:last]).tolist(), first):
            style, piece = UNREAD if level < 0 else STYLES[level], terminal.escaped(shown[index])
            if "\n" in piece:  # a color would fill the rest of the line
                yield style, BREAK if level >= BREAK_SHOWN_FROM else ""
                yield "", "\n"
            else:
                yield style, piece

    return in_styles(pieces())


def print_colored(shown: Graphemes, nats: NDArray[Any]) -> None:
    """Print a text in the colors of its surprise, with a legend before and after it."""
    print(legend(), end="\n\n")
    parts = (
        colored(shown, nats, first, min(first + 4096, len(shown)))
        for first in range(0, len(shown), 4096)
    )
    for piece in broken_at_spaces(chain.from_iterable(parts), terminal.width_of(sys.stdout)):
        sys.stdout.write(piece)
    last = shown[len(shown) - 1] if len(shown) else ""
    print("" if last.endswith("\n") else "\n")


def print_passages(
    passages: Sequence[SurprisingPassage],
    shown: Graphemes,
    nats: NDArray[Any],
    place_of: Callable[[int], str],
) -> None:
    """Print where each passage stands, its nats, and the passage among its neighbors."""
    width = terminal.width_of(sys.stdout) if terminal.is_terminal(sys.stdout) else CONTEXT
    rows = [(place_of(int(shown.firsts[p.start])), f"{p.nats:.1f}", p) for p in passages]
    places = max(len("place"), *(len(place) for place, _, _ in rows))
    values = max(len("nats"), *(len(value) for _, value, _ in rows))
    print(f"{'place':<{places}}  {'nats':>{values}}  most surprising passages")
    for place, value, passage in rows:
        text = _in_context(passage, shown, nats, max(16, width - places - values - 4))
        print(f"{terminal.one_line(place):<{places}}  {value:>{values}}  {text}")


def _in_context(passage: SurprisingPassage, shown: Graphemes, nats: NDArray[Any], room: int) -> str:
    """A passage among its neighbors, on one line of at most `room` columns: in the colors of its
    surprise, or without colors in brackets.
    """
    from charrnn.evaluation.score import levels

    shows_color = terminal.has_color(sys.stdout)
    room -= 2 * (not shows_color)
    end = min(passage.end, passage.start + room)
    pieces, size = [terminal.one_line(shown[i]) for i in range(passage.start, end)], 0
    fitting = 0
    while fitting < len(pieces) and size + terminal.cells(pieces[fitting]) < room:
        size += terminal.cells(pieces[fitting])
        fitting += 1
    pieces = pieces[:fitting] + ["\u2026"] * (passage.start + fitting < passage.end)
    around = (room - size - 1) // 2
    before = _fitting((shown[i] for i in range(passage.start - 1, -1, -1)), around)[::-1]
    after = _fitting((shown[i] for i in range(passage.end, len(shown))), around)
    if not shows_color:
        return "".join([*before, "[", *pieces, "]", *after])
    found = levels(nats[passage.start : passage.start + len(pieces)]).tolist()
    core = [
        f"{style}{piece}{RESET if style else ''}"
        for piece, style in zip(
            pieces, (UNREAD if n < 0 else STYLES[n] for n in found), strict=True
        )
    ]
    return "".join(
        [terminal.dim("".join(before), sys.stdout), *core, terminal.dim("".join(after), sys.stdout)]
    )


def _fitting(characters: Iterator[str], columns: int) -> list[str]:
    """The first of the characters, escaped, that fit into this many columns."""
    pieces: list[str] = []
    for character in characters:
        piece = terminal.one_line(character)
        columns -= terminal.cells(piece)
        if columns < 0:
            break
        pieces.append(piece)
    return pieces

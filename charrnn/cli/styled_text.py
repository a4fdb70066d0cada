"""Text in colors, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from charrnn.cli import terminal

RESET = "\x1b[0m"
TAB = 8
"""Columns from one stop of the tab to the next."""


def in_styles(pieces: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The texts of pairs of a style and a text, and what changes the style between them."""
    before = ""
    for style, piece in pieces:
        if style != before:
            yield (RESET if before else "") + style
        yield piece
        before = style
    if before:
        yield RESET


def broken_at_spaces(pieces: Iterable[str], columns: int) -> Iterator[str]:
    """The pieces of `in_styles` with newlines, so that no line is wider than this: after spaces and
    tabs, and in words that are wider. A color ends before such a newline and goes on after it.
    """
    column, width, word = 0, 0, ""
    before = now = ""  # the styles before and after the word
    for piece in pieces:
        if piece.startswith("\x1b"):
            word, now = word + piece, piece.removeprefix(RESET)
            continue
        size = 0 if piece in ("\n", "\t") else terminal.cells(piece)
        if column and column + width + size > columns:
            yield _newline(before)
            column = 0
        if width and width + size > columns:
            yield word + _newline(now)
            width, word, before = 0, "", now
        width, word = width + size, word + piece
        if piece in (" ", "\t", "\n"):
            yield word
            column = 0 if piece == "\n" else column + width
            if piece == "\t":
                column = min(column // TAB * TAB + TAB, columns - 1)
            width, word, before = 0, "", now
    yield word


def _newline(style: str) -> str:
    """A newline in the middle of this style: a color would fill the rest of the line."""
    return f"{RESET}\n{style}" if style else "\n"

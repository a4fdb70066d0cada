"""The progress bar: tqdm's, on one line that a narrower window does not leave in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

from charrnn.cli.terminal import cells, width_of

FREE = 2
"""Columns at the right that the bar leaves free."""
NARROW = 60
"""In fewer columns a bar shows no counts and no speed."""


class ProgressBar(tqdm):  # type: ignore[misc]
    """A bar two columns narrower than its terminal."""

    @property
    def format_dict(self) -> Any:
        """What the bar's line is made from."""
        about = super().format_dict
        columns = width_of(self.fp) - FREE
        if about["bar_format"] is None and about["total"] and columns < NARROW:
            about["bar_format"] = "{l_bar}{bar}|"
        return {**about, "ncols": max(1, columns)}

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """A function that replaces the line at the cursor."""
        drawn, has_codes = 0, os.name == "posix" and os.environ.get("TERM") != "dumb"

        def show(text: str) -> None:
            nonlocal drawn
            # a terminal that has become narrower has folded the line into several rows
            rows = -(-drawn // width_of(file)) if has_codes else 1
            above = "\x1b[A" * (rows - 1)
            rest = "" if has_codes else " " * (drawn - cells(text))
            file.write(f"\r{above}\x1b[J{text}" if has_codes and drawn else f"\r{text}{rest}")
            file.flush()
            drawn = cells(text)

        return show

"""The writing page as a person uses it, for tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.reporting.browser import Tab

CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowDown": 40, "z": 90}
CONTROL, ALT, SHIFT = 2, 1, 8


class Writing:
    """The page as a person uses it."""

    def __init__(self, tab: Tab, folder: Path) -> None:
        self.tab, self.file = tab, folder / "write.html"
        self._place: Path | str = self.file
        self.precision = "float32"

    def open(self, place: Path | str, **how: Any) -> None:
        """Open a page, without any kept text."""
        self._place = place
        self.tab.open(place, **how)
        self.tab.run("localStorage.clear(); sessionStorage.clear()")
        self.reload(**how)

    def reload(self, **how: Any) -> None:
        """Open it again, with what the browser keeps; waits until there is a network."""
        self.tab.open(self._place, **how)
        self.wait(
            "byId('continue').ariaDisabled === 'false' || byId('status').className === 'wrong'"
        )

    def run(self, script: str) -> Any:
        """The value of the last expression of a script that has `byId`."""
        return self.tab.run(f"{{const byId = (id) => document.getElementById(id); {script}}}")

    def wait(self, condition: str) -> None:
        """Wait until a condition is true."""
        end = time.monotonic() + 20
        while not self.run(condition):
            assert time.monotonic() < end, (
                condition,
                self.text,
                self.run("byId('status').innerText"),
            )
            time.sleep(0.01)

    @property
    def text(self) -> str:
        """The text that is written."""
        return str(self.run("byId('area').value"))

    @property
    def ghost(self) -> str:
        """The grey text after the cursor."""
        return str(self.run("document.querySelector('.ghost')?.textContent ?? ''"))

    def show(self, identity: str) -> str:
        """What an element says."""
        return str(self.run(f"byId('{identity}').textContent"))

    def click(self, identity: str) -> None:
        """Click on an element."""
        self.run(f"byId('{identity}').click()")

    def type(self, text: str) -> None:
        """Put text at the cursor, as a keyboard does."""
        self.run("byId('area').focus()")
        self.tab.call("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key."""
        about: dict[str, Any] = {"key": key, "modifiers": modifiers}
        if key in CODES:
            about["windowsVirtualKeyCode"] = CODES[key]
        if len(key) == 1 and not modifiers:
            about["text"] = key
        self.tab.call(
            "Input.dispatchKeyEvent", type="keyDown" if "text" in about else "rawKeyDown", **about
        )
        self.tab.call("Input.dispatchKeyEvent", type="keyUp", **about)

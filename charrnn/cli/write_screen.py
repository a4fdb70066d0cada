"""The screen of `charrnn write`: keys, what they do, and the two lines at the bottom.

The network computes in one thread and files are written in another one, so that no key waits.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import HSplit, Layout, ScrollOffsets, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from charrnn.cli.signals import ENDING
from charrnn.cli.terminal import cells, one_line
from charrnn.cli.write_page import Page
from charrnn.generation.continuing import Request
from charrnn.generation.cowriter import Cowriter, Piece
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.manuscript_file import ManuscriptFile

SAVE_AFTER = 0.5
"""Seconds from a change to its place on the disk begins: at most as much is lost, and the writing
itself.
"""
READING_SHOWN_AFTER = 0.2
"""Seconds before the progress of reading is shown."""
WARMER, COOLER, HOTTEST = 0.1, -0.1, 2.0
"""Steps of the temperature, and where they end."""
HUNG_UP = 129
"""The exit status if the terminal is gone."""
KEYS = (
    ("Tab", "word"),
    ("^L", "line"),
    ("^N", "next"),
    ("^Z", "undo"),
    ("^Q", "quit"),
    ("^R", "retake"),
    ("^T^G", "temp"),
    ("^O", "words"),
    ("^P", "previous"),
    ("^Y", "redo"),
)
"""Keys and what they do, the most useful first: those are shown that fit."""
COLORS = {"network": "ansigreen", "ghost": "ansibrightblack", "selected": "reverse"}
PLAIN = {"network": "underline", "ghost": "dim italic", "selected": "reverse"}
"""Styles without colors (NO_COLOR)."""


class Screen:
    """Shows a session until the user ends it.

    file: where the text is; another one, if it had to be saved elsewhere.
    """

    def __init__(
        self,
        session: Cowriter,
        file: ManuscriptFile,
        about: Callable[[], dict[str, Any]],
        read_words: Callable[[], Lexicon],
        has_color: bool,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self.file, self._session, self._about = file, session, about
        self._read_words = read_words
        self._buffer = _Buffer(
            document=Document(session.manuscript.text, session.cursor), multiline=True
        )
        self._buffer.on_text_changed += self._typed
        self._buffer.on_cursor_position_changed += self._moved
        self._page = Page(session, self._buffer)
        self._column: int | None = None
        self._pending: list[Piece] = []
        self._message = file.note
        self._progress = ""
        self._is_setting = self._is_dirty = self._is_timed = False
        self._wanted: Request | None = None
        self._network, self._disk = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._app: Application[int] = Application(
            Layout(self._windows()),
            key_bindings=self._bindings(),
            style=Style.from_dict(COLORS if has_color else PLAIN),
            full_screen=True,
            min_redraw_interval=0.01,
            input=input,
            output=output,
        )
        self._app.ttimeoutlen = 0.05

    def run(self) -> int:
        """Show it; returns the exit status. The text is saved when this ends, however it ends."""
        handlers = {n: signal.getsignal(n) for n in ENDING}
        try:
            status = self._app.run(pre_run=self._begin, handle_sigint=False)
        except (EOFError, OSError):  # the terminal is gone
            status = HUNG_UP
        finally:
            self._wanted = None
            self._disk.shutdown()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            is_saved = self._save_last()
            self._network.shutdown(cancel_futures=True)
        return status if is_saved else 1

    def _windows(self) -> HSplit:
        status, keys = (
            Window(FormattedTextControl(text), height=1, style=style)
            for text, style in ((self._status, "reverse"), (self._keys, ""))
        )
        page = Window(self._page, scroll_offsets=ScrollOffsets(top=1, bottom=3))
        return HSplit([page, status, keys])

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._end, 128 + number)
        self._compute()

    def _end(self, status: int) -> None:
        with suppress(Exception):  # it is ending already
            self._app.exit(result=status)

    # the text

    def _typed(self, _: Buffer) -> None:
        if not self._is_setting:
            self._pending.clear()
            self._session.manuscript.change_to(self._buffer.text, self._buffer.cursor_position)
            self._changed()

    def _moved(self, _: Buffer) -> None:
        if not self._is_setting:
            self._session.cursor = self._buffer.cursor_position
            self._message, self._column = "", None
            self._compute()

    def _changed(self) -> None:
        self._session.cursor = self._buffer.cursor_position
        self._is_dirty = True
        if not self._is_timed:
            self._is_timed = True
            asyncio.get_running_loop().call_later(SAVE_AFTER, self._save_soon)
        self._message, self._column = "", None
        self._compute()

    def _show_text(self) -> None:
        """The session has changed the text."""
        self._is_setting = True
        self._buffer.document = Document(self._session.manuscript.text, self._session.cursor)
        self._is_setting = False
        self._changed()

    # the network

    def _compute(self) -> None:
        """Let the network continue at the cursor, unless that is known or being computed."""
        needed = self._session.needed
        if needed is None or needed == self._wanted:
            return
        self._wanted = needed

        def is_cancelled() -> bool:
            return self._wanted is not needed

        begun = time.monotonic()

        def progress(read: int, total: int) -> None:
            if time.monotonic() - begun > READING_SHOWN_AFTER:
                self._progress = f"reading {read / total:.0%}"
                self._app.invalidate()

        call = self._network.submit(
            self._session.compute, needed, is_cancelled, progress, self._grown
        )
        call.add_done_callback(self._computed)

    def _grown(self) -> None:
        self._progress = ""
        self._app.invalidate()

    def _computed(self, call: Future[None]) -> None:
        self._progress = ""
        if call.exception() is not None:
            self._message = one_line(str(call.exception()))
        if self._app.loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._app.loop.call_soon_threadsafe(self._take_pending)

    def _take_pending(self) -> None:
        """Take what was asked for before it was known."""
        pending, self._pending = self._pending, []
        for piece in pending:
            self._take(piece)
        self._app.invalidate()

    def _take(self, piece: Piece) -> None:
        session = self._session
        if self._pending or (
            session.needed is not None and not (piece == "word" and session.ghost)
        ):
            self._pending.append(piece)
        elif session.take(piece):
            self._show_text()

    # files

    def _save_soon(self) -> None:
        self._is_timed = self._is_dirty = False
        self._disk.submit(self._save, *self._snapshot())

    def _snapshot(self) -> tuple[str, str, dict[str, Any]]:
        text = self._session.manuscript
        return text.text, text.authors, self._about()

    def _save(self, text: str, authors: str, about: dict[str, Any]) -> None:
        self.file.note = ""
        try:
            self.file.save(text, authors, about)
        except OSError as error:
            self._is_dirty = True
            self.file.note = f"NOT SAVED: {error.strerror or error}"
        self._message = self.file.note or self._message
        self._app.invalidate()

    def _save_last(self) -> bool:
        """Save at the end; where that fails, to a file in the folder for temporary files. False if
        that was necessary.
        """
        if not self._is_dirty:
            return True
        self._is_dirty = False
        self._save(*self._snapshot())
        if not self._is_dirty:
            return True
        reason, name = self.file.note, self.file.path.name
        self.file = ManuscriptFile(Path(tempfile.mkdtemp(prefix="charrnn-")) / name)
        self.file.save(*self._snapshot())
        self.file.note = f"{reason}; the text is in {self.file.path} instead"
        return False

    # what is shown at the bottom

    def _status(self) -> StyleAndTextTuples:
        """The file and the state, or a message, in one row."""
        session, width = self._session, self._app.output.get_size().columns
        take = f"take {session.request.take}" + (", known words" if session.only_known else "")
        parts = [
            one_line(self.file.path.name) + ("*" if self._is_dirty else ""),
            self._message or self._progress or take,
            f"temp {session.config.temperature:g}",
            f"{session.manuscript.share:.0%} network",
        ]
        while len(parts) > 2 and cells("  ".join(parts)) > width - 2:
            parts.pop()
        line = " " + "  ".join(parts)
        return [("", line + " " * max(0, width - cells(line)))]

    def _keys(self) -> StyleAndTextTuples:
        """As many keys as fit into one row."""
        width, used = self._app.output.get_size().columns, 0
        shown: StyleAndTextTuples = []
        space = " " if width < 60 else "  "
        for key, what in KEYS:
            used += len(key) + len(what) + 1
            if used > width:
                break
            used += len(space)
            shown += [("bold", key), ("", f" {what}{space}")]
        return shown

    # keys

    def _bindings(self) -> KeyBindings:
        session, bindings = self._session, KeyBindings()

        def on(*keys: str) -> Callable[[Callable[[], object]], None]:
            def add(action: Callable[[], object]) -> None:
                def handler(_: KeyPressEvent) -> None:
                    action()

                bindings.add(*keys, eager=True, save_before=lambda _: False)(handler)

            return add

        on("tab")(lambda: self._take("word"))
        on("c-l")(lambda: self._take("line"))
        on("c-n")(lambda: self._go_to_take(1))
        on("c-p")(lambda: self._go_to_take(-1))
        on("c-r")(self._retake)
        on("c-z")(lambda: self._back(session.undo, "nothing to undo"))
        on("c-_")(lambda: self._back(session.undo, "nothing to undo"))
        on("c-y")(lambda: self._back(session.redo, "nothing to redo"))
        on("c-t")(lambda: self._warm(WARMER))
        on("c-g")(lambda: self._warm(COOLER))
        on("c-o")(self._toggle_words)
        on("c-s")(self._save_now)
        on("c-q")(lambda: self._end(0))
        on("c-c")(lambda: self._end(130))
        on("up")(lambda: self._go(-1))
        on("down")(lambda: self._go(1))
        on("pageup")(lambda: self._go(-self._page_rows()))
        on("pagedown")(lambda: self._go(self._page_rows()))
        on("home")(lambda: self._page.to_edge(False))
        on("end")(lambda: self._page.to_edge(True))
        return bindings

    def _page_rows(self) -> int:
        return max(1, self._app.output.get_size().rows - 4)

    def _go(self, down: int) -> None:
        self._column = self._page.move(down, self._column)

    def _go_to_take(self, step: int) -> None:
        self._pending.clear()
        self._session.another(step)
        self._message = ""
        self._compute()

    def _retake(self) -> None:
        piece = self._session.retake()
        self._show_text()
        if piece is not None:
            self._take(piece)

    def _back(self, step: Callable[[], bool], otherwise: str) -> None:
        self._pending.clear()
        if step():
            self._show_text()
        else:
            self._message = otherwise

    def _warm(self, change: float) -> None:
        temperature = round(self._session.config.temperature + change, 2)
        self._session.change_temperature(max(0.0, min(temperature, HOTTEST)))
        self._message = ""
        self._compute()

    def _toggle_words(self) -> None:
        """Write known words only, or any again; they are read when they are first needed."""
        session = self._session
        if session.known_words is None:
            self._message = "reading known words"
            self._disk.submit(self._read_words).add_done_callback(self._words_read)
            return
        session.write_known(not session.only_known)
        self._message = "known words only" if session.only_known else "any words"
        self._compute()

    def _words_read(self, call: Future[Lexicon]) -> None:
        if (error := call.exception()) is not None:
            self._message = one_line(str(error))
            self._app.invalidate()
        elif self._app.loop is not None:
            words = call.result()
            with suppress(RuntimeError):  # the loop has ended
                self._app.loop.call_soon_threadsafe(self._use_words, words)

    def _use_words(self, words: Lexicon) -> None:
        self._session.write_known(False, words)
        self._toggle_words()
        self._app.invalidate()

    def _save_now(self) -> None:
        self._is_dirty = False
        self._disk.submit(self._save, *self._snapshot())
        self._message = "saved"


class _Buffer(Buffer):
    """A buffer without undo of its own; the session has it."""

    def save_to_undo_stack(self, clear_redo_stack: bool = True) -> None:
        """Nothing: every key would store the whole text."""

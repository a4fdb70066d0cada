"""The screen of `charrnn write`: keys and what they do."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import HSplit, Layout, ScrollOffsets, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from charrnn.cli.signals import ENDING
from charrnn.cli.terminal import one_line
from charrnn.cli.write_ahead import Ahead
from charrnn.cli.write_page import Page
from charrnn.cli.write_saving import Saver
from charrnn.cli.write_status import key_line, status_line
from charrnn.errors import CharrnnError
from charrnn.generation.cowriter import Cowriter, Piece
from charrnn.generation.lexicon import Lexicon

WARMER, COOLER, HOTTEST = 0.1, -0.1, 2.0
"""Steps of the temperature, and where they end."""
HUNG_UP = 129
"""The exit status if the terminal is gone."""
COLORS = {"network": "ansigreen", "ghost": "ansibrightblack", "selected": "reverse"}
PLAIN = {"network": "underline", "ghost": "dim italic", "selected": "reverse"}
"""Styles without colors (NO_COLOR)."""


class Screen:
    """Shows a session until the user ends it."""

    def __init__(
        self,
        session: Cowriter,
        saver: Saver,
        read_words: Callable[[], Lexicon],
        has_color: bool,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._session, self._saver, self._read_words = session, saver, read_words
        saver.done = self._saved
        self._buffer = _Buffer(
            document=Document(session.manuscript.text, session.cursor), multiline=True
        )
        self._buffer.on_text_changed += self._typed
        self._buffer.on_cursor_position_changed += self._moved
        self._page = Page(session, self._buffer)
        self._column: int | None = None
        self._pending: list[Piece] = []
        self._message = ""
        self._is_setting = False
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
        self._ahead = Ahead(session, self._app.invalidate, lambda: self._call(self._take_pending))

    def run(self) -> int:
        """Show it; returns the exit status. The text is saved when this ends, however it ends."""
        handlers = {n: signal.getsignal(n) for n in ENDING}
        try:
            status = self._app.run(pre_run=self._begin, handle_sigint=False)
        except (EOFError, OSError):  # the terminal is gone
            status = HUNG_UP
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            is_saved = self._saver.last()
            self._ahead.close()
        return status if is_saved else 1

    def _windows(self) -> HSplit:
        def status() -> StyleAndTextTuples:
            message = self._message or self._ahead.trouble or self._ahead.progress
            return status_line(self._session, self._saver, message, self._size.columns)

        def keys() -> StyleAndTextTuples:
            return key_line(self._size.columns)

        page = Window(self._page, scroll_offsets=ScrollOffsets(top=1, bottom=3))
        bottom = [
            Window(FormattedTextControl(text), height=1, style=style)
            for text, style in ((status, "reverse"), (keys, ""))
        ]
        return HSplit([page, *bottom])

    @property
    def _size(self) -> Size:
        return self._app.output.get_size()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                with suppress(NotImplementedError):  # Windows
                    loop.add_signal_handler(number, self._end, 128 + number)
        self._ahead.compute()

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
            self._pending.clear()
            self._session.cursor = self._buffer.cursor_position
            self._message, self._column = "", None
            self._ahead.compute()

    def _changed(self) -> None:
        self._session.cursor = self._buffer.cursor_position
        self._saver.later()
        self._message, self._column = "", None
        self._ahead.compute()

    def _show_text(self) -> None:
        """The session has changed the text."""
        self._is_setting = True
        self._buffer.document = Document(self._session.manuscript.text, self._session.cursor)
        self._is_setting = False
        self._changed()

    # the continuation

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
        return max(1, self._size.rows - 4)

    def _go(self, down: int) -> None:
        self._column = self._page.move(down, self._column)

    def _go_to_take(self, step: int) -> None:
        self._pending.clear()
        self._session.another(step)
        self._message = ""
        self._ahead.compute()

    def _retake(self) -> None:
        if self._pending:  # what is asked for is not yet taken: it will be that of another take
            self._session.another()
            self._ahead.compute()
            return
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
        now = self._session.config.temperature
        self._session.change_temperature(max(0.0, min(round(now + change, 2), max(now, HOTTEST))))
        self._message = ""
        self._ahead.compute()

    def _toggle_words(self) -> None:
        """Write known words only, or any again; they are read when they are first needed."""
        session = self._session
        if session.known_words is None:
            self._message = "reading known words"
            threading.Thread(target=self._load_words, daemon=True).start()
            return
        session.write_known(not session.only_known)
        self._message = "known words only" if session.only_known else "any words"
        self._ahead.compute()

    def _load_words(self) -> None:
        try:
            words = self._read_words()
        except (CharrnnError, OSError) as error:
            self._message = one_line(str(error))
            self._app.invalidate()
        else:
            self._call(self._use_words, words)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the thread of the keys, from another one."""
        if self._app.loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._app.loop.call_soon_threadsafe(function, *arguments)

    def _use_words(self, words: Lexicon) -> None:
        self._session.write_known(False, words)
        self._toggle_words()
        self._app.invalidate()

    def _save_now(self) -> None:
        self._saver.soon()
        self._message = "saved"

    def _saved(self, is_saved: bool) -> None:
        if not is_saved:
            self._call(self._saver.later)
        self._app.invalidate()


class _Buffer(Buffer):
    """A buffer without undo of its own; the session has it."""

    def save_to_undo_stack(self, clear_redo_stack: bool = True) -> None:
        """Nothing: every key would store the whole text."""

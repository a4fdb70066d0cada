"""Networks that write along with a person: the text, the place in it, and how it may go on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.continuing import Continuer, Request, first_word, never
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.manuscript import Edit, Manuscript
from charrnn.generation.writer import Progress
from charrnn.runtime.threads import Workers

Piece = Literal["word", "line"]
REMEMBERED = 64
"""Continuations that need not be computed again; each holds the text before it."""


class Cowriter:
    """A session: a `Manuscript`, a cursor in it, and the continuation there.

        session = charrnn.Cowriter(trained, charrnn.Manuscript("Once"))
        session.compute()             # the network continues at the cursor
        session.ghost                 # " upon a time there was a king."
        session.take("word")          # the text is "Once upon", its author the network
        session.another(), session.compute(), session.undo()

    A continuation stays while the cursor moves along it: what you take or type of it is not written
    anew. `compute` may run in another thread, one call at a time, while the text changes; the rest
    belongs to one thread.

    trained: a network, or several, such as a `Mixture`, which write together.
    config: all settings of the draws, and `seed`; not where a text ends, nor which take.
    ahead: how far `ghost` goes. known_words: the only words that the network writes, at first.
    """

    def __init__(
        self,
        trained: Trained | Sequence[Trained],
        manuscript: Manuscript | None = None,
        config: SamplingConfig | None = None,
        *,
        ahead: Piece = "line",
        known_words: Lexicon | None = None,
        workers: Workers | None = None,
    ) -> None:
        if ahead not in ("word", "line"):
            raise ConfigError(f"`ahead` must be word or line, not {ahead!r:.40}")
        self.manuscript, self.config = manuscript or Manuscript(), config or SamplingConfig()
        self.cursor, self.ahead = len(self.manuscript.text), ahead
        self._continuer = Continuer(trained, workers, known_words)
        self._only_known = known_words is not None
        self._written: OrderedDict[Request, tuple[str, bool]] = OrderedDict()
        self._taken = dict[Edit, tuple[int, int]]()  # where its continuation begins, and which take
        self._request = Request("", 1, self.config)

    def __repr__(self) -> str:
        return f"Cowriter({self.manuscript!r}, at {self.cursor:,})"

    @property
    def only_known(self) -> bool:
        """True while the network writes known words only."""
        return self._only_known

    @property
    def known_words(self) -> Lexicon | None:
        """The words for `only_known`."""
        return self._continuer.known_words

    def write_known(self, is_on: bool, known_words: Lexicon | None = None) -> None:
        """Write known words only, or any again. `ConfigError` if no words have been given yet."""
        self._continuer.known_words = known_words or self.known_words
        if is_on and self.known_words is None:
            raise ConfigError("`known_words` are missing: give a Lexicon")
        self._only_known = is_on

    @property
    def request(self) -> Request:
        """The continuation that the cursor stands at or in; a new one, take 1, if it stands in none
        or at the end of one.
        """
        before, now = self.manuscript.text[: self.cursor], self._request
        is_same = (now.config, now.only_known) == (self.config, self.only_known)
        if is_same and before.startswith(now.before):
            text, is_whole = self._of(now)
            passed = len(before) - len(now.before)
            ends_here = is_whole and passed == len(text) > 0
            if text.startswith(before[len(now.before) :]) and not ends_here:
                return now
        self._request = Request(before, 1, self.config, self.only_known)
        return self._request

    @property
    def needed(self) -> Request | None:
        """What to compute next, or None if the continuation at the cursor is known."""
        request = self.request
        return None if self._of(request)[1] else request

    @property
    def ghost(self) -> str:
        """The continuation after the cursor, as far as it is known."""
        request = self.request
        rest = self._of(request)[0][self.cursor - len(request.before) :]
        return first_word(rest) if self.ahead == "word" else rest

    def compute(
        self,
        request: Request | None = None,
        is_cancelled: Callable[[], bool] = never,
        progress: Progress | None = None,
        report: Callable[[], None] = lambda: None,
    ) -> None:
        """Compute a continuation, by default the `needed` one, and `report` whenever it has grown.

        As `Continuer.continued` for the rest.
        """
        request = request or self.needed
        if request is None:
            return
        text = ""
        for text in self._continuer.continued(request, is_cancelled, progress):
            self._remember(request, text, is_whole=False)
            report()
        if not is_cancelled():
            self._remember(request, text, is_whole=True)
            report()

    def insert(self, text: str) -> None:
        """You type a text at the cursor."""
        self.manuscript.replace(self.cursor, self.cursor, text)
        self.cursor += len(text)

    def delete(self, count: int = 1) -> None:
        """You delete characters before the cursor."""
        start = max(0, self.cursor - count)
        self.manuscript.replace(start, self.cursor, "")
        self.cursor = start

    def take(self, piece: Piece = "word") -> str:
        """Put the first word, or all, of the continuation into the text; returns what that was."""
        request = self.request
        rest = self._of(request)[0][self.cursor - len(request.before) :]
        taken = first_word(rest) if piece == "word" else rest
        self.manuscript.replace(self.cursor, self.cursor, taken, "network")
        if taken and self.manuscript.last_edit is not None:
            self._taken[self.manuscript.last_edit] = len(request.before), request.take
        self.cursor += len(taken)
        return taken

    def another(self, step: int = 1) -> None:
        """Continue with the next take, or with `step` -1 the one before."""
        request, before = self.request, self.manuscript.text[: self.cursor]
        if before != request.before:  # the rest of a continuation is the first take here
            rest, is_whole = self._of(request)
            request = replace(request, before=before, take=1)
            self._remember(request, rest[self.cursor - len(self._request.before) :], is_whole)
        self._request = replace(request, take=max(1, request.take + step))

    def retake(self) -> Piece | None:
        """Take back what was taken last, if the cursor stands behind it, and go to the next take;
        returns what should be taken of it as soon as it is known.
        """
        edit = self.manuscript.last_edit
        if edit is None or edit.end != self.cursor or set(edit.inserted[1]) != {"n"}:
            self.another()
            return None
        self.undo()
        piece: Piece = "word" if first_word(edit.inserted[0]) == edit.inserted[0] else "line"
        self.another()
        return piece

    def undo(self) -> bool:
        """Take the last change back; False if there is none. What was taken is the continuation
        again.
        """
        edit = self.manuscript.last_edit
        is_undone = self._at(self.manuscript.undo())
        if edit in self._taken:
            start, take = self._taken[edit]
            before = self.manuscript.text[:start]
            self._request = Request(before, take, self.config, self.only_known)
        return is_undone

    def redo(self) -> bool:
        """Take the last `undo` back; False if there is none."""
        return self._at(self.manuscript.redo())

    def change_temperature(self, temperature: float) -> None:
        """Go on with another temperature; `ConfigError` as for all settings."""
        self.config = replace(self.config, temperature=temperature)

    def _at(self, cursor: int | None) -> bool:
        if cursor is not None:
            self.cursor = cursor
        return cursor is not None

    def _of(self, request: Request) -> tuple[str, bool]:
        """What is known of a continuation, and whether that is all of it."""
        return self._written.get(request, ("", False))

    def _remember(self, request: Request, text: str, is_whole: bool) -> None:
        known = self._of(request)[0]
        # what was cancelled is computed again from its beginning, and must not shrink on the screen
        self._written[request] = text if is_whole or len(text) > len(known) else known, is_whole
        self._written.move_to_end(request)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

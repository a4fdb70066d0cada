"""The longest passage of a sample that stands in the training text, told after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from charrnn.cli import terminal
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.cli.sample_request import Request

LARGEST = 50_000_000
"""Characters of a training text that is read and searched without being asked: a second at most."""
BEFORE = 10_000
"""Characters of the prime that a passage may begin in."""
LEAST, SHOWN = 8, 60
"""The shortest passage that is reported, and how much of it is shown, in characters."""


def kernels() -> list[str]:
    """The names of the kernels that `tell` needs."""
    return ["suffixes", "overlap"] if terminal.is_terminal(sys.stderr) else []


def tell(request: Request, text: str) -> None:
    """Say on stderr, if that is a terminal, how long a passage of a text stands in the training
    text, if it is small and where it was.
    """
    texts = {text for member in request.members for text in member.trained.origin.texts}
    size = sum(each.characters for each in texts)
    if not terminal.is_terminal(sys.stderr) or size > LARGEST:
        return
    try:
        corpora = request.corpora_quietly()
    except CorpusError:
        return
    from charrnn.text.overlap import overlap
    from charrnn.text.vocab import NOUNS, counted

    before, unit = request.prime[-BEFORE:], corpora[0].vocab.unit
    data: str | bytes = before + text
    begun = len(before)
    if unit == "byte":
        data = (before + text).encode("utf-8", "surrogateescape")
        begun = len(before.encode("utf-8", "surrogateescape"))
    found = [
        each
        for corpus in corpora
        for each in overlap(data, corpus, LEAST, workers=request.workers)
        if each.end > begun
    ]
    line = f"no passage of {LEAST} {NOUNS[unit]}s stands in the training text"
    if found:
        longest = max(found, key=lambda each: each.length)
        passage = data[longest.start : longest.end]
        words = passage if isinstance(passage, str) else passage.decode("utf-8", "replace")
        words = words if len(words) <= SHOWN else f"{words[: SHOWN - 3]}..."
        length = counted(longest.length, NOUNS[unit])
        line = f"longest passage from the training text: {length}, {words!r}"
    print(terminal.dim(terminal.one_line(line), sys.stderr), file=sys.stderr, flush=True)

"""The longest passage of a sample that stands in the training text, told after it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from charrnn.cli import terminal
from charrnn.cli.own_corpus import own_corpus
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.cli.sample_request import Request

LARGEST = 50_000_000
"""Characters of a training text that is read and searched without being asked: a second at most."""
LEAST, SHOWN = 8, 60
"""The shortest passage that is reported, and how much of it is shown, in characters."""


def kernels() -> list[str]:
    """The names of the kernels that `tell` needs."""
    return ["suffixes", "overlap"] if terminal.is_terminal(sys.stderr) else []


def tell(request: Request, text: str) -> None:
    """Say on stderr, if that is a terminal, how long a passage of a text stands in the training
    text, if it is small and where it was.
    """
    first = request.members[0]
    size = sum(each.characters for each in first.trained.origin.texts)
    if not terminal.is_terminal(sys.stderr) or size > LARGEST:
        return
    try:
        corpus = own_corpus(first, request.training_text, quiet=True)
    except CorpusError:
        return
    from charrnn.text.overlap import overlap
    from charrnn.text.vocab import NOUNS, counted

    whole, begun = request.prime + text, len(request.prime)
    in_bytes = corpus.vocab.unit == "byte"
    data = whole.encode("utf-8", "surrogateescape") if in_bytes else whole
    begun = len(request.prime.encode("utf-8", "surrogateescape")) if in_bytes else begun
    found = overlap(data, corpus, LEAST, workers=request.workers)
    longest = next((each for each in found if each.end > begun), None)
    line = f"no passage of {LEAST} {NOUNS[corpus.vocab.unit]}s stands in the training text"
    if longest is not None:
        passage = data[longest.start : longest.end]
        words = passage if isinstance(passage, str) else passage.decode("utf-8", "replace")
        words = words if len(words) <= SHOWN else f"{words[: SHOWN - 3]}..."
        length = counted(longest.length, NOUNS[corpus.vocab.unit])
        line = f"longest passage from the training text: {length}, {words!r}"
    print(terminal.dim(terminal.one_line(line), sys.stderr), file=sys.stderr, flush=True)

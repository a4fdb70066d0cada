"""What a text may start from, found in the training text (`checkpoint.start_states`)."""

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.start_states import StartStates
from charrnn.evaluation.walk import walk
from charrnn.network.model import Model, Panels, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import follows_separator

MOST, LEAST = 32, 8
"""Start states of a network without documents; fewer if the text has fewer places."""
WARM_UP, STEPS = 128, 64
"""Characters read before each place, and how many at a time. On the plays, 32 characters gave the
same losses as 512.
"""
SHARE = 128
"""One in this many characters of the training text is read, within these limits: about three
thousandths of the work of training on it once.
"""
SEARCHED = 1 << 16
"""At most this many characters are searched for each place."""
BREAKS = (
    r"\n[^\S\n]*\n+(?=[^\n])",  # the end of a paragraph
    r"[.!?…。！？][\"'”’»)\]]*\n(?=[^\n])",  # of a line and a sentence
    r"\n(?=[^\n])",  # of a line
    r"[.!?…][\"'”’»)\]]* (?=\S)|[。！？][”’」』]?(?=\S)",  # of a sentence
    r"\s(?=\S)",  # of a word
    r"(?s:.)(?=.)",
)
"""Where a text may start, from the best kind of place to the worst."""
ENOUGH = 4
"""A worse kind of place is used only if fewer than one in four parts of the text have a better."""


def start_states(
    model: Model, corpus: Corpus, workers: Workers, panels: Panels | None = None
) -> StartStates:
    """States from up to 32 places spread over the training text, where a paragraph, or else a line
    or a sentence, has ended. Each has read the 128 characters before.

    With documents, it is the zero state that reads a separator's last character. With a separator
    that looks ahead (`text.documents`), the places are the ends of documents.
    """
    starts = corpus.train_starts
    if starts is not None and follows_separator(starts) and len(starts) > 1:
        return StartStates.zero(model, corpus.separator_end)
    warm_up = min(WARM_UP, len(corpus.train) // 2)
    places = _places(corpus, warm_up)
    state = State(model, len(places))
    network = Network(model, STEPS, len(places), workers, panels=panels)
    for block in walk(corpus.train, starts, places - warm_up, warm_up, STEPS):
        network.evaluate(block.x, block.y, state, block.starts)
    if not (np.isfinite(state.h).all() and np.isfinite(state.c).all()):
        return StartStates.zero(model, corpus.separator_end)
    return StartStates.rounded(state, corpus.train[places].astype(np.int32))


def _places(corpus: Corpus, least: int) -> NDArray[np.int64]:
    """Positions from `least` on of the characters to read first, int64 (N,), 1 <= N <= 32."""
    starts = corpus.train_starts
    ends = np.zeros(0, np.int64) if starts is None else starts[starts > least] - 1
    if len(ends):
        return ends[np.linspace(0, len(ends) - 1, min(MOST, len(ends))).astype(np.int64)]
    ids, codes, best = corpus.train, corpus.vocab.codes, list[int]()
    count = min(MOST, max(LEAST, len(ids) // (SHARE * WARM_UP)))
    borders = np.linspace(least, len(ids), count + 1).astype(np.int64).tolist()
    parts = [
        (a, codes[ids[a : min(b, a + SEARCHED)]].tobytes().decode("utf-32-le"))
        for a, b in pairwise(borders)
    ]
    for pattern in map(re.compile, BREAKS):
        matches = [(a, pattern.search(text)) for a, text in parts]
        places = [a + match.end() - 1 for a, match in matches if match is not None]
        best = max(best, places, key=len)
        if ENOUGH * len(best) >= count:
            break
    return np.array(best or [len(ids) - 1], np.int64)

"""How well a compressor predicts a text: baselines that a good network should beat."""

import lzma
import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import PeerError
from charrnn.evaluation.evaluate import Evaluation, Progress
from charrnn.text.vocab import Vocab, checked_ids

PART = 1 << 20
"""Number of ids decoded at a time."""
ORDER, MEMORY = 8, 256 << 20
"""PPMd's order, and its memory in bytes, of which it takes what it needs. On a megabyte of plays
order 6 is 0.002 nats better and order 16 0.003 worse; on 7 MB of manuals order 6 is 0.03 worse.
With too little memory it forgets, and is worse than a lower order.
"""
MOST_READ = 8_000_000
"""Characters of the training text that PPMd reads, the last ones: a few seconds."""


def evaluate_xz(ids: NDArray[Any], vocab: Vocab) -> Evaluation:
    """The size of the text compressed with `xz -9e`, in nats per character; it includes about 60
    bytes of header and footer.

    The text is compressed as UTF-8, or as raw bytes with the unit byte. xz starts without prior
    knowledge, while a network has been trained; a megabyte takes about a second. `VocabError`
    for ids out of range.
    """
    ids = checked_ids(ids, len(vocab))
    compressor = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    size = sum(len(compressor.compress(part)) for part in _encoded(ids, vocab))
    return _evaluation(size + len(compressor.flush()), ids)


def has_ppmd() -> bool:
    """True if the package that `evaluate_ppmd` needs is installed."""
    return find_spec("pyppmd") is not None


def evaluate_ppmd(
    ids: NDArray[Any],
    vocab: Vocab,
    before: NDArray[Any],
    progress: Progress | None = None,
) -> Evaluation:
    """How many bytes PPMd (variant I, order 8; Shkarin 2002) adds for a text to those for another
    that it has read `before`, in nats per character: what a good model of plain counts makes of the
    text a network is scored on, once it has read what the network was trained on.

    Only the last 8 million characters of `before` are read. Text as in `evaluate_xz`; `PeerError`
    without the package pyppmd.
    """
    try:
        from pyppmd import PPMD8_RESTORE_METHOD_CUT_OFF, Ppmd8Encoder
    except ImportError:
        raise PeerError(
            "PPMd needs the package pyppmd; install it with: pip install 'charrnn-numba[ppmd]'"
        ) from None
    ids, before = checked_ids(ids, len(vocab)), checked_ids(before[-MOST_READ:], len(vocab))
    encoder = Ppmd8Encoder(ORDER, MEMORY, PPMD8_RESTORE_METHOD_CUT_OFF)
    total, done = len(before) + len(ids), 0
    for part in _encoded(before, vocab):
        encoder.encode(part)
        done = min(done + PART, len(before))
        if progress is not None:
            progress(done, total)
    size = sum(len(encoder.encode(part)) for part in _encoded(ids, vocab))
    return _evaluation(size + len(encoder.flush()), ids)


def _encoded(ids: NDArray[Any], vocab: Vocab) -> Iterator[bytes]:
    """The text in pieces: UTF-8, or bytes, in which the unknown symbol counts as one."""
    codes = np.array([ord(symbol[0]) & 0xFF for symbol in vocab.symbols], np.uint8)
    for first in range(0, len(ids), PART):
        part = ids[first : first + PART]
        yield codes[part].tobytes() if vocab.unit == "byte" else vocab.decode(part).encode()


def _evaluation(size: int, ids: NDArray[Any]) -> Evaluation:
    nats = 8 * size * math.log(2) / max(1, len(ids))
    return Evaluation(nats, len(ids), np.empty(0, np.float32))

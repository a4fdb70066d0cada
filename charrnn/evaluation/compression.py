"""How well a compressor predicts a text: a baseline without any training that a good network should
beat.
"""

import lzma
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.evaluation.evaluate import Evaluation
from charrnn.text.vocab import Vocab, checked_ids

PART = 1 << 20
"""Number of ids decoded at a time."""


def evaluate_xz(ids: NDArray[Any], vocab: Vocab) -> Evaluation:
    """The size of the text compressed with `xz -9e`, in nats per character; it includes about 60
    bytes of header and footer.

    The text is compressed as UTF-8, or as raw bytes with the unit byte. xz starts without prior
    knowledge, while a network has been trained; a megabyte takes about a second. `VocabError`
    for ids out of range.
    """
    ids = checked_ids(ids, len(vocab))
    compressor, size = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME), 0
    codes = np.array(
        [ord(symbol[0]) & 0xFF for symbol in vocab.symbols], np.uint8
    )  # in bytes; "<unk>" counts as one
    for first in range(0, len(ids), PART):
        part = ids[first : first + PART]
        text = codes[part].tobytes() if vocab.unit == "byte" else vocab.decode(part).encode()
        size += len(compressor.compress(text))
    size += len(compressor.flush())
    nats = 8 * size * math.log(2) / max(1, len(ids))
    return Evaluation(nats, len(ids), np.empty(0, np.float32))

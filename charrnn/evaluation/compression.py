"""How well a compressor predicts a text: a yardstick that knows nothing of language, and that no
good network should lose to.
"""

import lzma
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.evaluation.evaluate import Evaluation
from charrnn.text.vocab import Vocab

PART = 1 << 20
"""Ids that are decoded at a time."""


def evaluate_xz(ids: NDArray[Any], vocab: Vocab) -> Evaluation:
    """What `xz -9e` makes of the same characters, in nats for each of them: its whole output, with
    its 60 bytes or so of frame.

    The text is compressed as UTF-8, or as the bytes that it is with the unit byte. It starts
    knowing nothing, where a network has read the training part; a megabyte takes about a second.
    """
    compressor, size = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME), 0
    codes = np.array(
        [ord(symbol[0]) & 0xFF for symbol in vocab.symbols], np.uint8
    )  # those of bytes; "<unk>" counts as one
    for first in range(0, len(ids), PART):
        part = ids[first : first + PART]
        text = codes[part].tobytes() if vocab.unit == "byte" else vocab.decode(part).encode()
        size += len(compressor.compress(text))
    size += len(compressor.flush())
    nats = 8 * size * math.log(2) / max(1, len(ids))
    return Evaluation(nats, len(ids), np.empty(0, np.float32))

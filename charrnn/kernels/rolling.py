"""A rolling hash of the last N symbols (Karp & Rabin 1987), modulo 2^64:

value = sum over k < N of (symbol of k steps ago + 1) * BASE^k
"""

import numpy as np
from numba import int32, types, uint8, uint16

from charrnn.compiler.compiling import inline

INTS = int32[::1]
SMALL, WIDE = (types.Array(ids, 1, "C", readonly=True) for ids in (uint8, uint16))
"""The ids of a corpus; those from the cache of texts are read-only."""
U64 = np.uint64
BASE = U64(0xD1342543DE82EF95)
SPREAD = U64(0x9E3779B97F4A7C15)
"""A value times this has its best bits at the top."""
IGNORED = -1
"""The symbol of what does not count in a comparison."""


@inline
def power_of(N):
    """BASE^N modulo 2^64."""
    power = U64(1)
    for _ in range(N):
        power *= BASE
    return power

"""How often symbols occur in a text, and where; a part at a time, so that nothing large is made."""

import numpy as np
import numpy.typing as npt

from charrnn.text.documents import Positions
from charrnn.text.vocab import TextIds

_PART = 1 << 20


def count_symbols(ids: TextIds, symbols: int) -> npt.NDArray[np.int64]:
    """How often each symbol occurs in ids (n,): int64 (symbols,)."""
    counts = np.zeros(symbols, np.int64)
    for a in range(0, len(ids), _PART):
        counts += np.bincount(ids[a : a + _PART], minlength=symbols)
    return counts


def places_of(ids: TextIds, is_sought: npt.NDArray[np.bool_]) -> Positions:
    """Where the symbols stand in ids (n,) for which is_sought (V,) is True; int64, sorted."""
    if not is_sought.any():
        return np.empty(0, np.int64)
    parts = [a + np.flatnonzero(is_sought[ids[a : a + _PART]]) for a in range(0, len(ids), _PART)]
    return np.concatenate(parts or [np.empty(0, np.int64)])

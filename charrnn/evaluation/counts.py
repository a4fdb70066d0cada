"""Plain counts of which characters came after which, as another predictor beside a network that
keeps learning. The equations are in `kernels.counting`.
"""

import numpy as np
from numpy.typing import NDArray

from charrnn.kernels.counting import NONE, Tree, count, foresee
from charrnn.network.layer import Ids, Starts
from charrnn.network.parameters import Floats
from charrnn.text.documents import Positions, checked_starts
from charrnn.text.vocab import checked_ids

LENGTH = 12
"""Characters of the longest context."""
DISCOUNTS = np.minimum(0.95, 0.5 + 0.05 * np.arange(LENGTH + 1)).astype(np.float32)
"""D of each length."""
READ = np.float32(1.5)
"""How often a character is counted that was foreseen, while one that was only learned counts once:
what was said in this text is likelier to be said again.
"""
MOST_NODES = LENGTH + 2
"""Nodes that a character may need."""
MOST = 4_000_000
"""Characters that are learned of a text, its last ones: about half a gigabyte."""
TOGETHER = 1 << 16
"""Characters learned at a time."""
LARGEST = 100_000_000
"""Nodes of the largest tree, 2 GB. After some ten million characters counts begin anew."""
USUAL = 7
"""Nodes per character of most texts, for which there is room from the start."""


class Counts:
    """What came after each passage of up to 12 characters, of a vocabulary of V symbols."""

    def __init__(self, symbols: int, streams: int = 1) -> None:
        self._symbols = symbols
        self._contexts = np.full((streams, LENGTH + 1), NONE, np.int32)
        self._contexts[:, 0] = 0
        self._made = np.zeros(LENGTH + 1, np.int32)
        self._tree = _resized(None, TOGETHER)

    def learn(self, ids: NDArray[np.integer], starts: Positions | None = None) -> None:
        """Count a text, ids (K,), or its last 4 million characters. starts: positions in it before
        which contexts begin anew, int64, sorted. `VocabError` for ids out of range.
        """
        begins = np.zeros(min(len(ids), MOST), np.bool_)
        if starts is not None:
            places = checked_starts(starts, len(ids)) - (len(ids) - len(begins))
            begins[places[(places >= 0) & (places < len(begins))]] = True
        ids = checked_ids(ids[-MOST:], self._symbols)
        contexts = np.full(LENGTH + 1, NONE, np.int32)
        contexts[0] = 0
        self._make_room(USUAL * len(ids))
        for first in range(0, len(ids), TOGETHER):
            part = np.s_[first : first + TOGETHER]
            text = ids[part].astype(np.int32)
            self._make_room(MOST_NODES * len(text))
            count(self._tree, contexts, self._made, text, begins[part], np.float32(1))

    def foresee(self, x: Ids, y: Ids, starts: Starts | None, first: int = 0) -> Floats:
        """The distributions of the characters y (T, N), each from all that was counted before it,
        also in the streams before its own: float32 (T, N, V). Then they are counted.

        x, y int32 (T, N), starts bool (T, N): as for `Network.evaluate`. first: streams before this
        one are left out.
        """
        self._make_room(MOST_NODES * y.size)
        p = np.zeros((*y.shape, self._symbols), np.float32)
        starts = np.zeros((0, y.shape[1]), np.bool_) if starts is None else starts
        text = self._tree, self._contexts, self._made, x, y, starts
        foresee(*text, DISCOUNTS, READ, p, first, y.shape[1])
        return p

    def _make_room(self, nodes: int) -> None:
        """Make room for this many more nodes."""
        needed = int(self._tree.used[0]) + nodes
        if needed > LARGEST:
            self._tree, needed = _resized(None, TOGETHER), 1 + nodes
            self._contexts[:, 1:] = NONE
        if needed > len(self._tree.count):
            self._tree = _resized(self._tree, max(needed, len(self._tree.count) * 3 // 2))


def _resized(tree: Tree | None, nodes: int) -> Tree:
    """A tree with room for this many nodes, holding those of another."""
    symbol, child, other = (np.empty(nodes, np.int32) for _ in range(3))
    sums, totals = (np.empty(nodes, np.float32) for _ in range(2))
    made = Tree(symbol, child, other, sums, totals, np.ones(1, np.int64))
    if tree is None:
        made.child[0], made.total[0] = NONE, 0
        return made
    used = made.used[0] = tree.used[0]
    for new, old in zip(made[:5], tree[:5], strict=True):
        new[:used] = old[:used]
    return made

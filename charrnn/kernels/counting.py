"""Plain counts: which characters came after which.

A tree of contexts. A node stands for a passage of up to L + 1 characters; its children are the
characters that came after it. With c_kw how often the character w came after the last k characters,
u_k the sum of min(D_k, c_kw) over w, and C_k that of c_kw,

    p_k(w) = (max(c_kw - D_k, 0) + u_k p_(k-1)(w)) / C_k,   p_(-1)(w) = 1 / V

and p = p_k of the longest context that was read before. A character is counted only in contexts at
least as long as the longest one in which it had come before, as in PPM (Moffat 1990): a shorter one
then says what comes where the longer ones do not know. D is a discount (Kneser & Ney 1995).
"""

from typing import NamedTuple

import numpy as np
from numba import boolean, float32, int32, int64, types, void
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.product import VECTOR
from charrnn.kernels.recurrent import CUBE, IDS, STARTS

NONE = np.int32(-1)


class Tree(NamedTuple):
    """The tree of contexts, with room for S nodes; node 0 is the empty passage.

    symbol: the last character of its passage. child: its first child. other: the next child of the
        same node; -1 where there is none. All int32 (S,).
    count: c of its last character after the rest of its passage. total: the sum of its children's.
        Both float32 (S,).
    used: int64 (1,), the number of nodes.
    """

    symbol: NDArray[np.int32]
    child: NDArray[np.int32]
    other: NDArray[np.int32]
    count: NDArray[np.float32]
    total: NDArray[np.float32]
    used: NDArray[np.int64]


TREE = types.NamedTuple(
    (int32[::1], int32[::1], int32[::1], float32[::1], float32[::1], int64[::1]), Tree
)


@inline
def _child(tree, node, symbol):
    """The child of a node for a symbol, made if there is none; it becomes the first one."""
    before, at = NONE, tree.child[node]
    while at != NONE and tree.symbol[at] != symbol:
        before, at = at, tree.other[at]
    if at == NONE:
        at = int32(tree.used[0])
        tree.used[0] += 1
        tree.symbol[at], tree.child[at] = symbol, NONE
        tree.count[at] = tree.total[at] = 0
    elif before == NONE:
        return at
    else:
        tree.other[before] = tree.other[at]
    tree.other[at], tree.child[node] = tree.child[node], at
    return at


@inline
def _learn(tree, contexts, made, symbol, weight):
    """Count a character after its contexts (L + 1,), the nodes of the last 0, 1, ... characters, -1
    for those that begin before the text; they become those of the next character. made (L + 1,) is
    overwritten.
    """
    known, longest = 0, 0
    while known < contexts.size and contexts[known] != NONE:
        made[known] = _child(tree, contexts[known], symbol)
        if tree.count[made[known]] > 0:
            longest = known
        known += 1
    for k in range(longest, known):
        tree.count[made[k]] += weight
        tree.total[contexts[k]] += weight
    for k in range(1, min(known + 1, contexts.size)):
        contexts[k] = made[k - 1]


@inline
def _begin(tree, contexts, symbol):
    """The contexts after the first character of a text."""
    contexts[1:] = NONE
    if contexts.size > 1:
        contexts[1] = _child(tree, 0, symbol)


@inline
def _predict(tree, contexts, discounts, p):
    """p (V,) of the next character."""
    p[:] = np.float32(1) / np.float32(p.size)
    for k in range(contexts.size):
        node = contexts[k]
        if node == NONE or tree.total[node] == 0:
            break
        discount, left, at = discounts[k], np.float32(0), tree.child[node]
        while at != NONE:
            left += min(discount, tree.count[at])
            at = tree.other[at]
        p *= left / tree.total[node]
        at = tree.child[node]
        while at != NONE:
            p[tree.symbol[at]] += max(tree.count[at] - discount, np.float32(0)) / tree.total[node]
            at = tree.other[at]


@kernel(void(TREE, int32[::1], int32[::1], int32[::1], boolean[::1], float32))
def count(tree, contexts, made, text, starts, weight):
    """Count all characters of a text (K,), each `weight` times. starts (K,): those that begin a
    document; contexts, made: as in `_learn`.
    """
    for t in range(text.size):
        _learn(tree, contexts, made, text[t], weight)
        if starts[t]:
            _begin(tree, contexts, text[t])


@kernel(void(TREE, IDS, int32[::1], IDS, IDS, STARTS, VECTOR, float32, CUBE, int64, int64))
def foresee(tree, contexts, made, x, y, starts, discounts, weight, p, start, stop):
    """p (T, N, V) of the characters y (T, N) of streams start:stop, each from all that was counted
    before it; then it is counted itself, `weight` times. Streams share the tree, and are read one
    after another.

    contexts (N, L + 1), made (L + 1,): as in `_learn`. x (T, N): the characters before; starts
    (T, N) or (0, N): where a document begins with x. discounts (L + 1,): D.
    """
    for n in range(start, stop):
        for t in range(x.shape[0]):
            if starts.shape[0] > 0 and starts[t, n]:
                _begin(tree, contexts[n], x[t, n])
            _predict(tree, contexts[n], discounts, p[t, n])
            _learn(tree, contexts[n], made, y[t, n], weight)

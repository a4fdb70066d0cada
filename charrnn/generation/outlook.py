"""What one network, or several, expect as the next symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.kernels.sampling import Controls, Memory
from charrnn.network.parameters import Floats


class Outlook(NamedTuple):
    """log p of the next symbol is log(e^own + copied), plus a constant.

    own: the logits of what the network itself says, float32 (N, V) or (V,).
    copied: what its attention adds, the same shape; None without attention. A temperature below 1
        sharpens each by itself (`kernels.blending.blend`).
    """

    own: Floats
    copied: Floats | None

    @property
    def logits(self) -> Floats:
        """Those at temperature 1: log p, plus a constant."""
        if self.copied is None:
            return self.own
        total = np.exp(self.own.astype(np.float64)) + self.copied
        logarithm: Floats = np.log(np.maximum(total, LEAST)).astype(np.float32)
        return logarithm

    def of(self, stream: int) -> Outlook:
        """That of one stream, (V,)."""
        return Outlook(self.own[stream], None if self.copied is None else self.copied[stream])

    def blended(
        self, controls: Controls, previous: int, memory: Memory, n: int, scratch: Floats
    ) -> Floats:
        """The logits of one stream, (V,), for the temperature of the symbol after `previous`, in
        the place of `own`; `copied` is overwritten. The stream's draws are those of stream n of the
        memory. scratch (V,): overwritten.
        """
        if self.copied is not None:
            from charrnn.kernels.blending import blend  # only networks with attention need it

            blend(self.own, self.copied, controls, previous, memory, n, scratch)
        return self.own


LEAST = 1e-300
"""Before a logarithm."""


def mean_of(outlooks: Sequence[Outlook], mixture: Mixture | None = None) -> Outlook:
    """That of the mean of several networks' distributions, whose sum is 1; with a mixture, of the
    mean by its weights, and V is the size of the union.
    """
    from charrnn.kernels import together  # which only several networks need

    rows = np.atleast_2d(outlooks[0].own)
    K, N, U = len(outlooks), len(rows), rows.shape[1] if mixture is None else len(mixture.vocab)
    shares, (own, copied) = np.zeros((K, N, 2 * U)), np.zeros((2, N, U), np.float32)
    same = np.arange(U, dtype=np.int32)
    for k, outlook in enumerate(outlooks):
        its_own = np.ascontiguousarray(np.atleast_2d(outlook.own))
        its_copied = its_own[:0] if outlook.copied is None else np.atleast_2d(outlook.copied)
        weight, columns = (
            (1 / K, same) if mixture is None else (mixture.weights[k], mixture.columns[k])
        )
        both = its_own, np.ascontiguousarray(its_copied)
        together.share_of(*both, columns, weight, shares[k])
    together.mean_of_shares(shares, own, copied)
    shape = (*outlooks[0].own.shape[:-1], U)
    if all(outlook.copied is None for outlook in outlooks):
        return Outlook(own.reshape(shape), None)
    return Outlook(own.reshape(shape), copied.reshape(shape))

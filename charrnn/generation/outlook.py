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
        sharpens `own` alone (`kernels.attention.blend`).
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
        the place of its own ones. Its draws are remembered by stream n of the memory. scratch (V,):
        overwritten.
        """
        if self.copied is not None:
            from charrnn.kernels.attention import blend  # only networks with attention need it

            blend(self.own, self.copied, controls, previous, memory, n, scratch)
        return self.own


LEAST = 1e-300
"""Before a logarithm."""


def mean_of(outlooks: Sequence[Outlook], mixture: Mixture | None = None) -> Outlook:
    """That of the mean of several networks' distributions, whose sum is 1; with a mixture, of the
    mean by its weights, and V is the size of the union.
    """
    first = outlooks[0].own
    symbols = first.shape[-1] if mixture is None else len(mixture.vocab)
    own, copied = np.zeros((2, *first.shape[:-1], symbols))
    for k, outlook in enumerate(outlooks):
        parts = [np.exp(outlook.own.astype(np.float64) - outlook.own.max(axis=-1, keepdims=True))]
        if outlook.copied is not None:
            parts = [np.exp(outlook.own.astype(np.float64)), outlook.copied.astype(np.float64)]
        weight = 1 / len(outlooks) if mixture is None else mixture.weights[k]
        weight = weight / sum(part.sum(axis=-1, keepdims=True) for part in parts)
        ids = slice(None) if mixture is None or mixture.is_whole[k] else mixture.ids_of[k]
        for total, part in zip((own, copied), parts, strict=False):
            total[..., ids] += part * weight
    logits: Floats = np.log(np.maximum(own, LEAST)).astype(np.float32)
    if all(outlook.copied is None for outlook in outlooks):
        return Outlook(logits, None)
    return Outlook(logits, copied.astype(np.float32))

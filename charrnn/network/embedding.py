"""The gradients of the characters' embedding, whose product with the first layer's input weights is
looked up as one table.
"""

from __future__ import annotations

from charrnn.network.layer import NOTHING
from charrnn.network.model import Model, Panels
from charrnn.network.parameters import Floats, Parameters, aligned


class EmbeddingGradients:
    """From the gradient of the first layer's table, embedding times W_x, to those of its two
    factors.
    """

    def __init__(self, model: Model, panels: Panels) -> None:
        assert panels.embedding is not None
        self.weight, self.embedding = model.parameters["rnn.weight_ih_l0"], panels.embedding
        self.d_table = aligned(*panels.table.shape)
        self.arithmetic = panels.arithmetic
        self._panels, self._sums = aligned(self.weight.size), aligned(self.weight.shape[1])

    def compute(self, gradient: Parameters, scratch: Floats) -> None:
        """dW_x = embedding^T d_table; d_embedding = d_table W_x^T."""
        (V, E), Z, d_table = self.embedding.shape, self.weight.shape[1], self.d_table
        dw, de = gradient["rnn.weight_ih_l0"], gradient["embedding.weight"]
        arithmetic, factors = self.arithmetic, (self.embedding, NOTHING, d_table, dw, NOTHING)
        arithmetic.weight_gradients(arithmetic.packed_at, *factors, self._sums, scratch, 0, 0, 0, Z)
        arithmetic.pack_transposed(self.weight, self._panels, 0, Z, 0, E)
        arithmetic.product(
            d_table.ctypes.data, Z, 0, self._panels, 0, 0, 0, de.ctypes.data, E, 0, 1, V, Z, E
        )

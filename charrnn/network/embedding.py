"""The gradients of the character embedding, whose product with the first layer's input weights is
used as one lookup table.
"""

from charrnn.compiler.simd import padded
from charrnn.config import ModelConfig
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, Panels
from charrnn.network.parameters import Floats, Parameters, Shapes, aligned


class EmbeddingGradients:
    """Computes the gradients of embedding and W_x from that of their product, the first layer's
    table.

    d_table (V, X): the table's gradient, to be written before `compute`
    """

    def __init__(self, model: Model, panels: Panels) -> None:
        self.model, self.arithmetic = model, panels.arithmetic
        shapes = self.shapes(model.config)
        self.d_table, self._panels, self._sums = (aligned(*shape) for shape in shapes.values())

    @staticmethod
    def shapes(config: ModelConfig) -> Shapes:
        """The shapes of its buffers."""
        columns = len(cell_named(config.cell).input_gates) * padded(config.hidden)
        return {
            "d_table": (config.vocab_size, columns),
            "panels": (padded(config.embedding) * columns,),
            "sums": (columns,),
        }

    def compute(self, gradient: Parameters, scratch: Floats) -> None:
        """dW_x = embedding^T d_table; d_embedding = d_table W_x^T."""
        embedding, weight = (
            self.model.parameters[name] for name in ("embedding.weight", "rnn.weight_ih_l0")
        )
        E, columns = weight.shape
        d_weight = gradient["rnn.weight_ih_l0"]
        product = self.arithmetic.input_gradients(embedding, self.d_table, d_weight, self._sums)
        product(scratch, 0, columns)
        self.arithmetic.pack_transposed(weight, self._panels, 0, columns, 0, E)
        self.arithmetic.multiply(self.d_table, self._panels, gradient["embedding.weight"])

"""How much memory training takes, told before it begins."""

import math

from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.arithmetic import DENSITY
from charrnn.network.cells import cell_named
from charrnn.network.embedding import EmbeddingGradients
from charrnn.network.layer import Backward, Layer
from charrnn.network.model import Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters, tensors_of
from charrnn.optim.optimizers import OPTIMIZERS


def memory_estimate(model: ModelConfig, train: TrainConfig, documents: bool = False) -> int:
    """Bytes for parameters, gradient, optimizer slots, packed weights and activations of training.

    The text is not in it, nor what there is once a thread.

    documents: true if the text has documents, at whose starts the state is set to zero
    """
    cell, shape = cell_named(model.cell), (train.seq_length, train.batch_size)
    has_starts = documents or train.reset_every > 0
    parameters_and_gradient = 2
    copies = parameters_and_gradient + OPTIMIZERS[train.optimizer].copies(train)
    parts = [
        *[Parameters.shapes(tensors_of(model, cell))] * copies,
        Panels.shapes(model, cell, True, DENSITY[train.precision]),
        State.shapes(model, train.batch_size),
        *(Layer.shapes(model, cell, shape, True, k, has_starts) for k in range(model.layers)),
        Backward.shapes(model, cell, shape, has_starts),
        Network.shapes(model, cell, shape),
        Network.training_shapes(model, cell),
        EmbeddingGradients.shapes(model, cell) if model.embedding else {},
    ]
    return 4 * sum(math.prod(each) for part in parts for each in part.values())

"""An estimate of the memory that training takes."""

import math

from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.arithmetic import DENSITY
from charrnn.network.embedding import EmbeddingGradients
from charrnn.network.layer import Backward, Layer
from charrnn.network.model import Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import shapes_of
from charrnn.optim.optimizers import OPTIMIZERS


def memory_estimate(
    model: ModelConfig, train: TrainConfig, documents: bool = False, anchored: bool = False
) -> int:
    """Bytes for parameters, gradient, optimizer slots, packed weights and activations of training.

    The text and per-thread buffers are not included.

    documents: true if the text has documents, each of which starts from a zero state
    anchored: true if the run started from a trained network and keeps those weights
    """
    shape = train.seq_length, train.batch_size
    has_starts = documents or train.reset_every > 0
    parameters_and_gradient = 2
    copies = parameters_and_gradient + OPTIMIZERS[train.optimizer].copies(train) + anchored
    parts = [
        *[shapes_of(model)] * copies,
        Panels.shapes(model, True, DENSITY[train.precision]),
        State.shapes(model, train.batch_size),
        *(Layer.shapes(model, shape, True, k, has_starts) for k in range(model.layers)),
        Backward.shapes(model, shape, has_starts),
        Network.shapes(model, shape),
        Network.training_shapes(model),
        EmbeddingGradients.shapes(model) if model.embedding else {},
    ]
    return 4 * sum(math.prod(each) for part in parts for each in part.values())

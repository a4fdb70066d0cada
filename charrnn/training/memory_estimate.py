"""An estimate of the memory that training takes, and a check that there is as much."""

import math

from charrnn.config import ModelConfig, TrainConfig
from charrnn.network.arithmetic import DENSITY
from charrnn.network.attention import Attention
from charrnn.network.embedding import EmbeddingGradients
from charrnn.network.layer import Backward, Layer
from charrnn.network.model import Panels, State, has_table
from charrnn.network.mogrifier import Mogrifier
from charrnn.network.network import Network
from charrnn.network.parameters import shapes_of
from charrnn.optim.optimizers import OPTIMIZERS
from charrnn.optim.rotation import Rotation, squares_of
from charrnn.runtime.memory import memory_size


def memory_estimate(
    model: ModelConfig, train: TrainConfig, documents: bool = False, anchored: bool = False
) -> int:
    """Bytes for parameters, gradient, optimizer slots, packed weights and activations of training.

    The text and per-thread buffers are not included.

    documents: true if the text has documents, each of which starts from a zero state
    anchored: true if the run started from a trained network and keeps those weights
    """
    shape = train.seq_length, train.batch_size // train.parts
    has_starts = documents or train.reset_every > 0
    parameters_and_gradient, sum_of_parts = 2, train.parts > 1
    copies = parameters_and_gradient + sum_of_parts + anchored
    copies += OPTIMIZERS[train.optimizer].copies(train)
    rotates, density = OPTIMIZERS[train.optimizer].rotates, DENSITY[train.precision]
    parts = [
        *[shapes_of(model)] * copies,
        *[{tensor.name: tensor.shape for tensor in squares_of(model)}] * (2 * rotates),
        Rotation.shapes(model, density) if rotates else {},
        Panels.shapes(model, True, density),
        State.shapes(model, train.batch_size),
        *(Layer.shapes(model, shape, True, k, has_starts) for k in range(model.layers)),
        Backward.shapes(model, shape, has_starts),
        Network.shapes(model, shape),
        Network.training_shapes(model),
        EmbeddingGradients.shapes(model) if has_table(model) else {},
        Mogrifier.shapes(model, shape, True),
        Attention.shapes(model, shape) if model.attention else {},
    ]
    return 4 * sum(math.prod(each) for part in parts for each in part.values())


def check_memory(model: ModelConfig, train: TrainConfig) -> None:
    """`MemoryError` if training takes more memory than this machine has: the system would hand it
    out, and end the process, or another one, when it is used.
    """
    needed, size = memory_estimate(model, train), memory_size()
    if size is not None and needed > size:
        raise MemoryError(
            f"training {model.layers} x {model.hidden} units needs {needed / 1e9:.1f} GB, of "
            f"{size / 1e9:.1f}"
        )

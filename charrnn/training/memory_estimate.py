"""How much memory training takes, told before it begins."""

from __future__ import annotations

import math

from charrnn.compiler.simd import padded
from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.network.cells import cell_named
from charrnn.network.layer import Backward, layer_shapes
from charrnn.network.parameters import tensors_of
from charrnn.optim.optimizers import OPTIMIZERS


def memory_estimate(model: ModelConfig, train: TrainConfig, documents: bool = False) -> int:
    """Bytes for parameters, gradient, optimiser slots, packed weights and activations of training;
    the text is not in it.

    `documents`: true if the text has documents, at whose starts the state is set to zero.
    """
    cell, T, N, L = cell_named(model.cell), train.seq_length, train.batch_size, model.layers
    tensors = {tensor.name: tensor for tensor in tensors_of(model, cell)}
    sizes = {name: math.prod(tensor.shape) for name, tensor in tensors.items()}
    # parameters and gradient
    copies = 2 + len(OPTIMIZERS[train.optimizer].slots) + (train.average > 0)
    products = [
        name for name, tensor in tensors.items() if "weight" in name and not tensor.is_table
    ]
    packed = 2 * sum(
        sizes[name] for name in products if name != "rnn.weight_ih_l0"
    )  # there and back
    packed //= 2 if train.precision == "bf16" else 1
    H, V, fed = (
        padded(model.hidden),
        padded(model.vocab_size),
        len(cell.input_gates) * padded(model.hidden),
    )
    tables = 2 * (model.vocab_size * fed + sizes["rnn.weight_ih_l0"]) if model.embedding else 0
    masks = (2 * L if model.recurrent_dropout > 0 else 0) + (
        1 if cell.recurrent_mask is not None else 0
    )
    shapes = [
        shape for k in range(L) for shape in layer_shapes(model, cell, T, N, True, k).values()
    ]
    shapes += Backward.shapes(model, cell, T, N).values()
    shapes += [(T, N, V), (2, T, N), (4, L, N, H)] + ([(T, N, H)] if cell.reads_below else [])
    if documents or train.reset_every:
        shapes.append(
            (1 if cell.has_output else 1 + L, T, N, H)
        )  # as `Layer.prepare_outputs`, and `Backward.base`
    activations = sum(math.prod(shape) for shape in shapes)
    return 4 * (
        copies * sum(sizes.values())
        + packed
        + tables
        + masks * sizes["rnn.weight_hh_l0"]
        + activations
    )

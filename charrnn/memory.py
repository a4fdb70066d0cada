"""How much memory training takes, told before it begins."""

from __future__ import annotations

import math

from charrnn.cells import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.kernels.simd import padded
from charrnn.optimizers import OPTIMIZERS
from charrnn.parameters import tensors_of


def memory_estimate(model: ModelConfig, train: TrainConfig) -> int:
    """Bytes for parameters, gradient, optimiser slots, packed weights and activations of training; the text is not in it."""
    gates = len(CELLS[model.cell].gates)
    sizes = {tensor.name: math.prod(tensor.shape) for tensor in tensors_of(model, gates)}
    copies = 2 + len(OPTIMIZERS[train.optimizer].slots)  # parameters and gradient
    packed = sum(size for name, size in sizes.items() if "bias" not in name)
    packed -= sizes["rnn.weight_ih_l0"] + sizes.get("embedding.weight", 0)  # rows of a table, not a product
    H, V, Z = padded(model.hidden), padded(model.vocab_size), gates * padded(model.hidden)
    tables = 2 * (model.vocab_size * Z + sizes["rnn.weight_ih_l0"]) if model.embedding else 0
    T, N, L = train.seq_length, train.batch_size, model.layers
    per_layer = T * N * Z + 2 * (T + 1) * N * H + (2 * T * N * H if model.dropout > 0 else 0)
    activations = L * per_layer + T * N * (V + 1 + 2 * H) + N * H + 4 * L * N * H
    return 4 * (copies * sum(sizes.values()) + 2 * packed + tables + activations)

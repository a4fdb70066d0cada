"""How large weights and their updates are, layer by layer."""

import math
from collections.abc import Iterable

import numpy as np

from charrnn.kernels.update import BLOCK, square_sums
from charrnn.network.parameters import Floats, Parameters, Tensor

UNLIMITED = np.float32(np.inf)


def sizes(parameters: Parameters, before: Parameters | None = None) -> dict[str, float]:
    """The root mean square of the weights of each layer, or of what has been added to them since
    `before`.

    The layers are "characters" (embeddings, or one-hot characters' weights), "layer 1" to "layer
    L", and "decoder". Biases, peepholes and attention are left out. The same bits on any number of
    threads.
    """
    sums: dict[str, tuple[float, int]] = {}
    for layer, tensor in _weights(parameters.tensors):
        weight = parameters[tensor.name].reshape(-1)
        if before is not None:
            weight = weight - before[tensor.name].reshape(-1)
        total, count = sums.get(layer, (0.0, 0))
        sums[layer] = total + _square_sum(weight), count + tensor.count
    return {layer: math.sqrt(total / count) for layer, (total, count) in sums.items()}


def usual_sizes(tensors: Iterable[Tensor]) -> dict[str, float]:
    """The root mean square of weights that neither amplify nor weaken what they multiply, of each
    layer and the decoder: sqrt(2 / (inputs + outputs)) of Glorot & Bengio 2010, equation 12.
    """
    sums: dict[str, tuple[float, int]] = {}
    for layer, tensor in _weights(tensors):
        if layer != "characters":
            total, count = sums.get(layer, (0.0, 0))
            square = 2 / (tensor.inputs + tensor.outputs)
            sums[layer] = total + square * tensor.count, count + tensor.count
    return {layer: math.sqrt(total / count) for layer, (total, count) in sums.items()}


def _weights(tensors: Iterable[Tensor]) -> Iterable[tuple[str, Tensor]]:
    """Each weight with its layer."""
    for tensor in tensors:
        stem, _, number = tensor.name.rpartition("_l")
        if not tensor.decays or stem.endswith("peephole"):
            continue
        if tensor.name.startswith("decoder"):
            layer = "decoder"
        elif tensor.is_table or not tensor.pad_inputs:
            layer = "characters"
        else:
            layer = f"layer {int(number) + 1}"
        yield layer, tensor


def _square_sum(vector: Floats) -> float:
    """The sum of squares, in the order of `kernels.update`."""
    sums = np.zeros(-(-vector.size // BLOCK))
    square_sums(vector, UNLIMITED, sums, 0, sums.size)
    return float(sums.sum())

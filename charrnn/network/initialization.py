"""The initial values of a network's parameters."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig
from charrnn.network.cells import cell_named
from charrnn.network.parameters import ATTENTION_SPEED, Floats, Parameters, Tensor

MEMORY_DEVIATION = 0.1
CAUTION = 3.0
"""Attention begins with weights of -log M minus this for every position."""


def initialize(parameters: Parameters, config: ModelConfig, seed: int) -> None:
    """Draw all parameters: weights according to `config.init` and `config.recurrent_init`, biases
    according to the cell.

    Each block of a weight counts as a separate fan_in by fan_out matrix: xavier-uniform draws
    within +-sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16), xavier-normal with
    the variance 2 / (fan_in + fan_out) (equation 12), uniform within +-init_scale. With one-hot
    characters, only one row is active at a time; Xavier's rules, which preserve the variance, then
    draw with the standard deviation `input_scale`, so that 1 has the effect of inputs of variance
    1. With a tenth of that, an LSTM learns much more slowly. Recurrent blocks may be orthogonal
    (Saxe et al. 2014) or the identity (Le et al. 2015). Embeddings are normal with standard
    deviation `input_scale`, character memories with 0.1; peepholes and biases are zero, except for
    the forget gates.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x1817])))
    cell = cell_named(config.cell)
    biases = cell.initial_bias(config.hidden, config.forget_bias)
    for tensor in parameters.tensors:
        array = np.zeros(tensor.disk_shape, np.float32)
        if tensor.name == "attention.weight":
            array = _attention(tensor, rng)
        elif "weight" in tensor.name:
            array = _weight(tensor, config, rng)
        tensor.from_disk(array, parameters[tensor.name])
    if config.attention:
        parameters["attention.bias"][:] = (-math.log(config.attention) - CAUTION) / ATTENTION_SPEED
    for layer in range(config.layers):
        parameters.bias(layer).reshape(len(cell.gates), -1)[:, : config.hidden] = biases


def _attention(tensor: Tensor, rng: np.random.Generator) -> Floats:
    """Queries and keys begin with the same weights, so that positions match that look alike: an
    output of unit variance matches itself by d / 8 = 8.
    """
    weight = rng.standard_normal((tensor.outputs, tensor.inputs)) / 2
    return np.tile(weight, (2, 1)).astype(np.float32)


def _weight(tensor: Tensor, config: ModelConfig, rng: np.random.Generator) -> Floats:
    if tensor.is_table:
        deviation = config.input_scale if tensor.name == "embedding.weight" else MEMORY_DEVIATION
        return rng.standard_normal(tensor.disk_shape, np.float32) * np.float32(deviation)
    if "weight_hh" in tensor.name and config.recurrent_init != "same":
        H, G = tensor.outputs, tensor.disk_blocks
        blocks = [
            np.eye(H) if config.recurrent_init == "identity" else _orthogonal(rng, H)
            for _ in range(G)
        ]
        return np.concatenate(blocks).astype(np.float32)
    is_one_hot = not tensor.pad_inputs
    deviation = config.input_scale if is_one_hot else np.sqrt(2 / (tensor.inputs + tensor.outputs))
    if config.init == "xavier-normal":
        return np.asarray(rng.standard_normal(tensor.disk_shape) * deviation, np.float32)
    limit = config.init_scale if config.init == "uniform" else np.sqrt(3) * deviation
    return np.asarray(rng.uniform(-limit, limit, tensor.disk_shape), np.float32)


def _orthogonal(rng: np.random.Generator, size: int) -> NDArray[Any]:
    """A uniformly random orthogonal matrix: the Q of a normal matrix, with the signs of R's
    diagonal.
    """
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))

"""The network: its configuration and parameters, and what a stack of cells needs from the weights before it can run.

    x_t -> [embedding] -> cell 1 -> dropout -> ... -> cell L -> dropout -> decoder -> softmax

Every layer's output passes a dropout mask on its way up, never on its way to the next step (Zaremba, Sutskever & Vinyals
2014).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from charrnn.cells import CELLS
from charrnn.cells.cell import Cell
from charrnn.config import ModelConfig
from charrnn.kernels.product import pack, pack_transposed, product
from charrnn.kernels.simd import NR, padded
from charrnn.parameters import Floats, Parameters, aligned, tensors_of
from charrnn.workers import Workers, ranges


class Model:
    """A configuration and its parameters."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.parameters = Parameters(tensors_of(config, len(self.cell.gates)))

    @property
    def cell(self) -> Cell:
        """The recurrent cell of every layer."""
        return CELLS[self.config.cell]

    @property
    def width(self) -> int:
        """Units of a layer in memory: hidden, padded."""
        return padded(self.config.hidden)

    @classmethod
    def initialised(cls, config: ModelConfig, seed: int) -> Model:
        """A network to train: weights by Xavier's rule, biases by the cell's.

        Uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16), each gate a matrix of its own. A
        one-hot input has a fan-in of 1: only one of its rows acts at a time, so the rows start as small as the recurrent ones.
        """
        model = cls(config)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0x1817])))
        for tensor in model.parameters.tensors:
            if tensor.name.endswith("bias"):
                continue
            if ".bias_" in tensor.name:
                array = model.cell.initial_bias(config.hidden, config.forget_bias).reshape(tensor.disk_shape)
            elif not tensor.transposed:
                array = rng.standard_normal(tensor.disk_shape, np.float32) * np.float32(0.1)
            else:
                fan_in = tensor.inputs if tensor.pad_inputs else tensor.outputs
                limit = np.sqrt(6 / (fan_in + tensor.outputs))
                array = rng.uniform(-limit, limit, tensor.disk_shape).astype(np.float32)
            tensor.from_disk(array, model.parameters[tensor.name])
        return model


class State:
    """What a stack of cells carries from one character to the next: h and c, float32 (L, N, H padded)."""

    def __init__(self, model: Model, streams: int) -> None:
        self.h = aligned(model.config.layers, streams, model.width)
        self.c = aligned(model.config.layers, streams, model.width)

    def copy_from(self, other: State) -> None:
        """Take another state's numbers."""
        self.h[:], self.c[:] = other.h, other.c

    def reset(self) -> None:
        """Back to zero."""
        self.h[:], self.c[:] = 0, 0


class Panels:
    """The weights packed for the matrix product, made anew after each change of the parameters.

    `table` (V, GH) is the first layer's product with each character, `bias` not included.
    """

    def __init__(self, model: Model, backward: bool) -> None:
        self.model = model
        L, p = model.config.layers, model.parameters
        self.recurrent = [p[f"rnn.weight_hh_l{layer}"] for layer in range(L)]
        self.inputs = [p[f"rnn.weight_ih_l{layer}"] for layer in range(L)]
        self.bias = [p[f"rnn.bias_ih_l{layer}"] for layer in range(L)]
        self.decoder, self.decoder_bias = p["decoder.weight"], p["decoder.bias"]
        embeds = model.config.embedding > 0
        self.table = aligned(model.config.vocab_size, self.bias[0].size) if embeds else self.inputs[0]
        self.forward = aligned(sum(w.size for w in self._forward_weights()))
        self._forward = list(self._place(self.forward, self._forward_weights()))
        self._first = aligned(self.inputs[0].size) if embeds else None
        self._backward_weights = [*self.recurrent, *self.inputs[1:], self.decoder] if backward else []
        self._backward = [aligned(w.size) for w in self._backward_weights]
        self.up = [None, *self._forward[L : 2 * L - 1]]
        self.over = self._forward[:L]
        self.out = self._forward[-1]
        if backward:
            self.over_back = self._backward[:L]
            self.down = [None, *self._backward[L : 2 * L - 1]]
            self.out_back = self._backward[-1]

    def _forward_weights(self) -> list[Floats]:
        return [*self.recurrent, *self.inputs[1:], self.decoder]

    @staticmethod
    def _place(memory: Floats, weights: list[Floats]) -> list[Floats]:
        cuts = np.cumsum([0, *(w.size for w in weights)])
        return [memory[a:b] for a, b in pairwise(cuts)]

    def refresh(self, workers: Workers) -> None:
        """Pack the parameters as they are now."""
        jobs = []
        for weight, panels in zip(self._forward_weights(), self._forward, strict=True):
            jobs += [(pack, weight, panels, a, b) for a, b in ranges(weight.shape[1], workers.threads, NR)]
        for weight, panels in zip(self._backward_weights, self._backward, strict=True):
            jobs += [(pack_transposed, weight, panels, a, b) for a, b in ranges(weight.shape[0], workers.threads, NR)]
        share = [jobs[k :: workers.threads] for k in range(workers.threads)]
        workers.run(_run_all, [(jobs,) for jobs in share if jobs])
        if self._first is not None:
            embedding, weight = self.model.parameters["embedding.weight"], self.inputs[0]
            pack(weight, self._first, 0, weight.shape[1])
            (V, E), Z = embedding.shape, weight.shape[1]
            product(embedding.ctypes.data, E, 1, 0, self._first, self.table.ctypes.data, Z, 0, 1, V, E, Z, 0)


def _run_all(jobs: list[tuple[Any, ...]]) -> None:
    for function, *arguments in jobs:
        function(*arguments)

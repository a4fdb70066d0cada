"""Run a network: buffers for one batch shape, and the forward and backward pass over shards of the
streams.

Each shard, a range of the batch's streams, runs through the whole sequence in one thread, without a
barrier. The weights' gradients, which are sums over all streams, are then divided by columns. Every
number is computed by the same chain of operations for any shards and threads, so results have the
same bits on any number of threads.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from charrnn.compiler.calling import bind
from charrnn.compiler.simd import padded
from charrnn.config import ModelConfig
from charrnn.kernels import layers
from charrnn.kernels.recurrent import look_up, project
from charrnn.kernels.softmax import cross_entropy
from charrnn.network.arithmetic import arithmetic_of
from charrnn.network.attention import Attention
from charrnn.network.cells import cell_named
from charrnn.network.layer import (
    Backward,
    Batch,
    Ids,
    Layer,
    Starts,
)
from charrnn.network.model import Model, Panels, State, check_panels
from charrnn.network.parameters import EMPTY, Floats, Parameters, Shapes, aligned
from charrnn.network.weight_gradients import WeightGradients
from charrnn.runtime.threads import Workers, ranges


class Network:
    """Buffers for at most T steps of N streams. `training` adds what the backward pass needs.

    Without it, all layers share one z and one c, unless the network `keeps` those of each layer
    until the next batch.

    `panels` of another network of the same model are shared and refreshed by that network; products
    then have the precision that they were packed for, otherwise `precision` (see `arithmetic`);
    `ConfigError` if this machine does not support it.

    logits (T, N, V), losses (T, N): of the last batch; after a backward pass, logits hold their
    derivative
    distributions (T, N, V): of the last batch, if asked for; else empty. Without a backward pass,
    `probabilities` finds them in the logits.
    memory (T, N, H): the characters' learned vectors, for a cell that reads m_below; else empty
    factor (T, N): 1, or the factor of input dropout
    """

    def __init__(
        self,
        model: Model,
        seq_length: int,
        streams: int,
        workers: Workers,
        training: bool = False,
        panels: Panels | None = None,
        precision: str = "float32",
        keeps: bool = False,
        with_distributions: bool = False,
    ) -> None:
        self.model, self.workers = model, workers
        self.shape = seq_length, streams
        self.panels = panels or Panels(model, training, arithmetic_of(precision))
        check_panels(self.panels, model, training)
        shapes = self.shapes(model.config, self.shape)
        self.logits, self.losses, self.memory, self.factor, self._no_bias = (
            aligned(*shape) for shape in shapes.values()
        )
        self.distributions = aligned(*(self.logits.shape if with_distributions else (0, 0, 0)))
        self.layers: list[Layer] = []
        below, inputs = None, (self.memory, self.factor, not (training or keeps))
        for index in range(model.config.layers):
            below = Layer(model, self.panels, index, self.shape, training, below, *inputs)
            self.layers.append(below)
        self._decoders = self._bind_decoders()
        self.attention: Attention | None = None
        if model.config.attention:
            arrays = self.logits, self.losses, self.distributions
            self.attention = Attention(model, self.panels, self.layers[-1], *arrays)
        if training:
            self._prepare_training()
        if panels is None:
            self.refresh()

    def __repr__(self) -> str:
        steps, streams = self.shape
        return f"Network({self.model.summary}, {steps} steps, {streams} streams)"

    @staticmethod
    def shapes(config: ModelConfig, shape: tuple[int, int]) -> Shapes:
        """The shapes of its buffers."""
        H = padded(config.hidden)
        return {
            "logits": (*shape, padded(config.vocab_size)),
            "losses": shape,
            "memory": (*shape, H) if cell_named(config.cell).reads_below else EMPTY.shape,
            "factor": shape,
            "no_bias": (H,),
        }

    @staticmethod
    def training_shapes(config: ModelConfig) -> Shapes:
        """The shapes of training's extra buffers, except `Backward` and per-thread buffers."""
        H, L, cell = padded(config.hidden), config.layers, cell_named(config.cell)
        return {
            "sums": (L - 1 if config.skip else 0, padded(config.vocab_size)),
            "recurrent_mask": (H * (cell.recurrent_mask is not None), len(cell.gates) * H),
        }

    def _bind_decoders(self) -> list[tuple[Layer, Callable[..., None]]]:
        """The layers that the decoder reads, each with a call that adds its part to the logits."""
        product, bias = self.panels.arithmetic.product_at, self.model.parameters["decoder.bias"]
        decoders: list[tuple[Layer, Callable[..., None]]] = []
        for layer, packed in zip(self.layers, self.panels.layers, strict=True):
            if packed.out.count:
                memory, columns = packed.out.memory, packed.out.count
                add = bind(
                    layers.multiply,
                    product=product,
                    panels=memory,
                    depth=self.model.width,
                    columns=columns,
                    adds=True,
                )
                first = bind(project, product=product, panels=memory, bias=bias, columns=columns)
                decoders.append((layer, add if decoders else first))
        return decoders

    def _prepare_training(self) -> None:
        config, H = self.model.config, self.model.width
        self._backward = Backward(
            *(aligned(*shape) for shape in Backward.shapes(config, self.shape).values())
        )
        self.gradient = self.model.parameters.like()
        self.weight_gradients = WeightGradients(self)
        last = len(self.layers) - 1
        self._decode_back = [
            bind(
                layers.multiply,
                product=self.panels.arithmetic.product_at,
                panels=packed.out.memory,
                depth=packed.out.count,
                columns=H,
                adds=index < last,
            )
            for index, packed in enumerate(self.panels.layers_back)
        ]

    def refresh(self) -> None:
        """Pack the model's parameters again after they have changed."""
        self.panels.refresh(self.workers)

    def evaluate(self, x: Ids, y: Ids, state: State, starts: Starts | None = None) -> Floats:
        """The loss of every character, nats (T, N), a buffer that the next call overwrites.

        x, y int32 (T, N); state is read and becomes the state at the end. starts bool (T, N): where
        the state is set to zero before a character is read.
        """
        batch = self._begin(x, y, state, starts)
        self._run_shards(self._forward, batch)
        return self.losses[: len(x)]

    def probabilities(self, y: Ids, first: int, last: int, start: int, stop: int) -> Floats:
        """The distributions that `evaluate`, or `gradients` in a network with `distributions`, has
        just computed for y (T, N), of steps first:last and streams start:stop: float32
        (last - first, stop - start, V), a copy.
        """
        part = np.s_[first:last, start:stop]
        found = self.distributions if self.distributions.size else self.logits  # p - onehot(y)
        p: Floats = found[part][..., : self.model.config.vocab_size].copy()
        np.put_along_axis(p, y[part][..., None], np.exp(-self.losses[part])[..., None], axis=-1)
        return p

    def gradients(
        self,
        x: Ids,
        y: Ids,
        state: State,
        key: int | None,
        starts: Starts | None = None,
        sums_over_time: bool = False,
        smoothing: float = 0.0,
        parts: int = 1,
        ready: Callable[[], None] | None = None,
        decorrelate: Callable[[int], None] | None = None,
    ) -> tuple[float, Parameters]:
        """The mean loss of a batch in nats, and its gradient with respect to the parameters; `key`
        draws all random masks.

        Without a key there is no dropout, as in evaluation.

        x, y int32 (T, N); state and starts as in `evaluate`; gradients do not flow beyond the
        initial state (truncated BPTT) or across a start. With `sums_over_time`, the gradient is
        that of T times the mean. With `smoothing`, it is that of the cross-entropy with smoothed
        labels (see `kernels.softmax`); the returned loss is not smoothed. If the batch is one of
        `parts` equal parts, the gradient is its share of the whole one. `ready` is called when
        the next of the gradient's `pieces` is complete. `decorrelate`, called with the number of
        steps, may change the layers' outputs before the products with them (see
        `evaluation.decorrelation`). The next call overwrites the gradient.
        """
        scale = 1 / (parts * (x.shape[1] if sums_over_time else x.size))
        batch = self._begin(x, y, state, starts, key, scale, smoothing)
        if batch.starts.size and not self._backward.base.size:
            self._backward.base = aligned(*self.shape, self.model.width)
        drops_recurrent = key is not None and self.model.config.recurrent_dropout > 0
        if drops_recurrent and key is not None:
            dropped = [layer.draw_recurrent(key) for layer in self.layers]
            self.panels.pack_recurrent(dropped, self.workers)
        self._run_shards(self._there_and_back, batch)
        if decorrelate is not None:
            decorrelate(batch.steps)
        self.weight_gradients.compute(batch, self._by_memory, ready)
        if drops_recurrent:
            self.panels.pack_recurrent(self.model.recurrent, self.workers)
        return float(self.losses[: len(x)].sum(dtype=np.float64)) / x.size, self.gradient

    def state_gradients(self, x: Ids, y: Ids, state: State) -> State:
        """The derivative of each stream's last loss with respect to the state before its first
        character, without dropout.

        x, y int32 (T, N); the state is read and becomes the state at the end. h and c (L, N, H) of
        the result are the derivatives of losses[-1], in nats, with respect to h and c; c is zero
        for cells without a cell state.
        """
        N = self.shape[1]
        gradients, (first, middle, _) = State(self.model, N), self.model.borders()
        for layer, dh, dc in self._back_from_last(x, y, state):
            weight = self.model.recurrent[layer.index][:, : middle - first]
            gradients.h[layer.index] = dh[0]
            if not layer.mogrifier.count:  # which needs the last product for the input's derivative
                gradients.h[layer.index] += layer.z[0, :, first:middle] @ weight.T
            if self.model.cell.has_memory:
                gradients.c[layer.index] = dc[0]
        return gradients

    def input_gradients(self, x: Ids, y: Ids, state: State) -> Floats:
        """The derivative of each stream's last loss with respect to the input of every step,
        without dropout: float32 (T, N, D), in nats.

        x, y int32 (T, N); the state is read and becomes the state at the end. The input is the
        character's embedding, D = E padded, and beside it its learned vector for a cell that reads
        m_below, D = E + H, both padded; without an embedding it is the one-hot vector, D = V.
        """
        for _ in self._back_from_last(x, y, state):
            pass
        if self.model.config.mogrifier:
            return self.layers[0].mogrifier.d_x[: len(x)].copy()
        weight = self.model.parameters["rnn.weight_ih_l0"]
        by_input: Floats = self.layers[0].z[: len(x), :, : weight.shape[1]] @ weight.T
        if not self.memory.size:
            return by_input
        by_memory = self._by_memory[: len(x)]
        if self.model.config.embedding:
            return np.concatenate([by_input, by_memory], axis=2)
        by_input += by_memory @ self.model.parameters["rnn.memory.weight"].T
        return by_input

    def _back_from_last(
        self, x: Ids, y: Ids, state: State
    ) -> Iterator[tuple[Layer, Floats, Floats]]:
        """As `_backwards`, from the last loss of all streams, after the forward pass."""
        batch, N = self._begin(x, y, state, None), self.shape[1]
        self._forward(batch, 0, N, goes_back=True, first=batch.steps - 1)
        yield from self._backwards(batch, 0, N)

    @property
    def _by_memory(self) -> Floats:
        """After a backward pass, the derivative of the loss by `memory`, (T, N, H)."""
        return self._backward.m_below if len(self.layers) % 2 else self._backward.m

    def _check(self, x: Ids, y: Ids, state: State, starts: Starts | None) -> None:
        """Kernels do not check bounds: reject anything that would read or write past an array."""
        (T, N), last, shape = self.shape, self.model.config.vocab_size - 1, x.shape
        if not 1 <= len(x) <= T or shape[1:] != (N,):
            raise ValueError(f"`x` must be of 1 to {T} steps of {N} streams, not {shape}")
        own = State.shapes(self.model.config, N)
        if tuple(array.shape for array in state.arrays) != tuple(own.values()):
            raise ValueError(f"the state must be {own['h']}, as the network's, not {state.h.shape}")
        for name, array, kind in (("x", x, "int32"), ("y", y, "int32"), ("starts", starts, "bool")):
            if array is None:
                continue
            if array.dtype != kind or array.shape != shape or not array.flags.c_contiguous:
                raise ValueError(
                    f"`{name}` must be {kind}, C-contiguous, {shape}, not {array.dtype} "
                    f"{array.shape}"
                )
            if kind == "int32" and (array.min() < 0 or array.max() > last):
                raise ValueError(
                    f"`{name}` must be 0 to {last}, not {array.min()} to {array.max()}"
                )

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Ranges of the flat gradient in the order in which they are complete."""
        return self.weight_gradients.pieces

    def _run_shards(self, walk: Callable[[Batch, int, int], None], batch: Batch) -> None:
        shards = ranges(self.shape[1], self.workers.threads)
        self.workers.run(walk, [(batch, a, b) for a, b in shards])

    def _begin(
        self,
        x: Ids,
        y: Ids,
        state: State,
        starts: Starts | None,
        key: int | None = None,
        scale: float = 1.0,
        smoothing: float = 0.0,
    ) -> Batch:
        self._check(x, y, state, starts)
        if starts is None or not starts.any():
            starts = np.zeros((0, x.shape[1]), np.bool_)
        batch = Batch(x, y, state, starts, key, np.float32(scale), np.float32(smoothing))
        for layer in self.layers:
            layer.begin(batch)
        self._drop_inputs(x, key)
        if self.attention is not None:
            self.attention.begin()
        return batch

    def _drop_inputs(self, x: Ids, key: int | None) -> None:
        """The factor of every character: 1, or in training 0 for those dropped and 1 / (1 - rate)
        for the rest.

        With locked dropout, each stream drops whole symbols rather than single characters (Gal &
        Ghahramani 2016, section 4).
        """
        config = self.model.config
        rate = config.input_dropout if key is not None else 0.0
        self.factor[:] = 1
        if rate > 0:
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([key or 0, 0x1D])))
            T, N = x.shape
            keep = rng.random((config.vocab_size, N) if config.locked_dropout else (T, N)) >= rate
            if config.locked_dropout:
                keep = np.take_along_axis(keep, x, axis=0)
            self.factor[:T] = keep / np.float32(1 - rate)

    def _forward(
        self, batch: Batch, a: int, b: int, goes_back: bool = False, first: int = 0
    ) -> None:
        """The losses of streams a:b, and their derivatives with respect to the logits. If a
        backward pass follows (`goes_back`), these are 0 before step `first`.
        """
        steps = batch.steps
        if self.memory.size:
            table = self.model.parameters["rnn.memory.weight"]
            look_up(table, self._no_bias, batch.x, self.factor, self.memory, 0, steps, a, b)
        for layer in self.layers:
            layer.forward(batch, a, b)
        for layer, decode in self._decoders:
            decode(z=self.logits, x=layer.out, first=0, last=steps, start=a, stop=b)
        V, scale, smoothing = self.model.config.vocab_size, batch.scale, batch.smoothing
        if self.attention is not None:
            self.attention.forward(batch, a, b, goes_back, first)
            return
        cross_entropy(self.logits, batch.y, self.losses, V, scale, smoothing, steps, a, b)
        if self.distributions.size:  # y's own entry: see `probabilities`
            np.divide(self.logits[:steps, a:b], scale, out=self.distributions[:steps, a:b])
        self.logits[:first, a:b] = 0

    def _backwards(self, batch: Batch, a: int, b: int) -> Iterator[tuple[Layer, Floats, Floats]]:
        """Backward pass through every layer, last first. Yields the layer and the derivatives of
        the loss with respect to h and c; row 0 is that of the initial state.
        """
        steps, back = batch.steps, replace(self._backward)  # each shard swaps for itself
        back.m[:, a:b] = 0
        for layer, decode in zip(reversed(self.layers), reversed(self._decode_back), strict=True):
            dh = back.time if self.model.cell.has_output else back.up
            # The derivative of the layer's outputs that comes from the decoder, added to that from
            # the layer above
            decode(x=self.logits, z=back.up[1:], first=0, last=steps, start=a, stop=b)
            if self.attention is not None and layer is self.layers[-1]:
                self.attention.backward(back.up[1:], steps, a, b)
            layer.backward(back, batch, a, b)
            yield layer, dh, back.c

    def _there_and_back(self, batch: Batch, a: int, b: int) -> None:
        self._forward(batch, a, b, goes_back=True)
        for _ in self._backwards(batch, a, b):
            pass

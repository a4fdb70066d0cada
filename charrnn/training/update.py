"""One step of training: the gradients of a batch's parts, their sum, and the update.

The N streams of a batch are divided into P parts. Part p, streams p n to (p + 1) n - 1 with
n = N / P, goes through a network of n streams, with dropout masks of its own; the gradients are
added in the order of p.
"""

import math
from collections.abc import Iterable

import numpy as np

from charrnn.compiler.simd import LANES
from charrnn.errors import UnstableStep
from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats
from charrnn.optim.optimizers import OPTIMIZERS, Clipper, penalties_of, update_parameters
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.streams import Streams
from charrnn.training.run import Run, dropout_key

Batch = tuple[Ids, Ids, Starts | None]
"""x, y (T, N), and where the state is set to zero, (T, N)."""


class Update:
    """Computes gradients of a run's batches and updates its parameters, slots and state.

    panels: the packed weights, as of the last update or `refresh`
    """

    def __init__(self, run: Run, streams: Streams, workers: Workers) -> None:
        self.run, self.streams, self.workers = run, streams, workers
        config = run.config
        self.parts = config.parts
        self._of_part = config.batch_size // self.parts
        self._network = Network(
            run.model,
            config.seq_length,
            self._of_part,
            workers,
            training=True,
            precision=config.precision,
        )
        self.panels: Panels = self._network.panels
        parameters = run.model.parameters
        self._gradient = self._network.gradient if self.parts == 1 else parameters.like()
        self._optimizer = OPTIMIZERS[config.optimizer]
        self._clipper = Clipper(parameters, workers, config.clip_value, config.clip_norm)

    def __call__(self, step: int, rate: float) -> tuple[float, float]:
        """Make the update after `step` others at this learning rate; returns the batch's mean loss
        in nats, and the norm of its gradient. `UnstableStep`, and nothing is updated, if one of
        them is not finite.
        """
        loss = self._add_gradients(step)
        norm, scale = self._clipper.measure(self._gradient.flat)
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                raise UnstableStep(f"{name} {value:g}", loss, norm)
        run = self.run
        update_parameters(
            self._optimizer,
            run.model.parameters,
            self._gradient,
            run.slots,
            self._optimizer.rule(run.config, rate, step + 1),
            (self._clipper.limit, scale),
            self.workers,
            penalties_of(run.config, rate),
            run.anchor,
        )
        self.refresh()
        return loss, norm

    def refresh(self) -> None:
        """Pack the run's parameters again after they have changed."""
        self._network.refresh()

    def loss_of(self, steps: Iterable[int]) -> float:
        """The mean loss of the batches of steps, from a zero state and without dropout."""
        state, total, count = State(self.run.model, self.run.config.batch_size), 0.0, 0
        for step in steps:
            if step % self.streams.steps == 0:
                state.reset()
            batch = self._batch(step)
            for part in range(self.parts):
                x, y, starts = self._part_of(batch, part)
                losses = self._network.evaluate(x, y, self._state_of(state, part), starts)
                total += float(losses.sum(dtype=np.float64))
                count += x.size
        return total / count

    def _add_gradients(self, step: int) -> float:
        """Let the gradient be the sum of the parts' gradients; returns the mean loss."""
        run, batch, loss = self.run, self._batch(step), 0.0
        config = run.config
        if step % self.streams.steps == 0:
            run.state.reset()
        for part in range(self.parts):
            x, y, starts = self._part_of(batch, part)
            part_loss, gradient = self._network.gradients(
                x,
                y,
                self._state_of(run.state, part),
                dropout_key(config.seed, step, part),
                starts,
                config.reduction == "sum-over-time",
                config.label_smoothing,
                self.parts,
            )
            loss += part_loss
            if self.parts > 1:
                self._add(gradient.flat, is_first=part == 0)
        return loss / self.parts

    def _add(self, gradient: Floats, is_first: bool) -> None:
        total = self._gradient.flat

        def add(start: int, stop: int) -> None:
            if is_first:
                total[start:stop] = gradient[start:stop]
            else:
                total[start:stop] += gradient[start:stop]

        self.workers.run(add, ranges(total.size, self.workers.threads, LANES))

    def _batch(self, step: int) -> Batch:
        index = step % self.streams.steps
        return *self.streams.batch(index), self.streams.starts(index)

    def _part_of(self, batch: Batch, part: int) -> Batch:
        """The streams of a part, C-contiguous."""
        if self.parts == 1:
            return batch
        a, b = part * self._of_part, (part + 1) * self._of_part
        x, y, starts = batch
        own = None if starts is None else np.ascontiguousarray(starts[:, a:b])
        return np.ascontiguousarray(x[:, a:b]), np.ascontiguousarray(y[:, a:b]), own

    def _state_of(self, state: State, part: int) -> State:
        return state.of_streams(part * self._of_part, (part + 1) * self._of_part)

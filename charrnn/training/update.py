"""One step of training: the gradients of a batch's parts, their sum, and the update.

The N streams of a batch are divided into P parts. Part p, streams p n to (p + 1) n - 1 with
n = N / P, goes through a network of n streams, with dropout masks of its own; the gradients are
added in the order of p. Several ranks share the parts (`ranks`); each makes the whole update.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from charrnn.errors import UnstableStep
from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters
from charrnn.optim.optimizers import OPTIMIZERS, Clipper, penalties_of, update_parameters
from charrnn.runtime.mpi import wait
from charrnn.runtime.threads import Workers
from charrnn.text.streams import Streams
from charrnn.training.ranks import Ranks
from charrnn.training.run import Run, dropout_key
from charrnn.training.sums import SharedSum, add

SESSION, STEP, END = range(3)
"""What rank 0 says to the others: a run follows; make a step of it; end."""
Batch = tuple[Ids, Ids, Starts | None]
"""x, y (T, N), and where the state is set to zero, (T, N)."""


class Update:
    """Computes gradients of a run's batches and updates its parameters, slots and state.

    On rank 0, the run is whole after each update. The other ranks have only the parameters, the
    slots, and the state of their parts; they are given all of it again after `refresh`.

    threads: as asked for; the other ranks use as many, if they have the processors
    panels: the packed weights, as of the last update or `refresh`
    """

    def __init__(
        self,
        run: Run,
        streams: Streams,
        workers: Workers,
        ranks: Ranks | None = None,
        threads: int | None = None,
    ) -> None:
        self.run, self.streams, self.workers = run, streams, workers
        self.ranks, self.threads = ranks or Ranks(), threads
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
        is_only = self.ranks.size == 1 < self.parts
        self._gradient = parameters.like() if is_only else self._network.gradient
        if self.ranks.size > 1:
            places = self._gradient.flat, self._network.pieces, workers
            self._shared = SharedSum(self.ranks, self.parts, *places)
        self._optimizer = OPTIMIZERS[config.optimizer]
        self._clipper = Clipper(parameters, workers, config.clip_value, config.clip_norm)

    def __call__(self, step: int, rate: float) -> tuple[float, float]:
        """Make the update after `step` others at this learning rate; returns the batch's mean loss
        in nats, and the norm of its gradient. `UnstableStep`, and nothing is updated, if one of
        them is not finite.
        """
        if self.ranks.size > 1 and self.ranks.rank == 0:
            self._lead(step, rate)
        loss = self._add_gradients(step)
        norm, scale = self._clipper.measure(self._gradient.flat)
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                self.ranks.is_busy = False
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
        self._network.refresh()
        self.ranks.is_busy = False
        return loss, norm

    @classmethod
    def received(cls, ranks: Ranks) -> Self:
        """On the other ranks: what rank 0 trains."""
        (run, cut, threads), ids = ranks.receive()
        return cls(run, Streams(**{**cut, "ids": ids}), Workers(threads), ranks, threads)

    def refresh(self) -> None:
        """Take over the run as it is, after something else has changed it."""
        self._network.refresh()
        self.ranks.session = None

    def _lead(self, step: int, rate: float) -> None:
        """Let the other ranks make this update too, on the same run."""
        ranks = self.ranks
        ranks.is_busy = True
        if ranks.session is not self:
            ranks.say(SESSION)
            without: dict[str, Any] = dict.fromkeys(("average", "starts", "good", "session"))
            run = replace(self.run, **without, history=[], sources=())
            cut = {**vars(self.streams), "ids": None}
            ranks.send(self, (run, cut, self.threads), self.streams.ids)
        ranks.say(STEP, step, rate)

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
        """Let the gradient be the sum of the parts' gradients; returns the mean loss, on rank 0."""
        if step % self.streams.steps == 0:
            self.run.state.reset()
        batch = self._batch(step)
        if self.ranks.size > 1:
            return self._add_shared(step, batch)
        loss = 0.0
        for part in range(self.parts):
            part_loss, gradient = self._gradients_of(part, step, batch)
            loss += part_loss
            if self.parts > 1:
                add(self._gradient.flat, gradient.flat, self.workers, is_first=part == 0)
        return loss / self.parts

    def _add_shared(self, step: int, batch: Batch) -> float:
        """The same with the other ranks. Rank 0 also receives the state of all streams."""
        ranks, shared, state = self.ranks, self._shared, self.run.state
        own = ranks.parts(self.parts)
        losses = np.zeros(len(own))
        states = np.zeros((len(own), 2, *self._state_of(state, 0).h.shape), np.float32)
        for k, part in enumerate(own):
            shared.begin(part)
            if part is not None:
                losses[k], _ = self._gradients_of(part, step, batch, shared.ready)
                streams = self._state_of(state, part)
                states[k] = streams.h, streams.c
        sent = np.concatenate([losses.view(np.float32), states.reshape(-1)])
        request, every = ranks.begin_gather(sent)
        shared.finish()
        wait(request)
        loss = 0.0
        if every is None:
            return loss
        for part in range(self.parts):
            k, theirs = part // ranks.size, every[part % ranks.size]
            loss += float(theirs[: losses.size * 2].view(np.float64)[k])
            streams = self._state_of(state, part)
            streams.h[:], streams.c[:] = theirs[losses.size * 2 :].reshape(states.shape)[k]
        return loss / self.parts

    def _gradients_of(
        self, part: int, step: int, batch: Batch, ready: Callable[[], None] | None = None
    ) -> tuple[float, Parameters]:
        config = self.run.config
        x, y, starts = self._part_of(batch, part)
        return self._network.gradients(
            x,
            y,
            self._state_of(self.run.state, part),
            dropout_key(config.seed, step, part),
            starts,
            config.reduction == "sum-over-time",
            config.label_smoothing,
            self.parts,
            ready,
        )

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

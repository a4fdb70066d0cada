"""One step of training: the gradients of a batch's parts, their sum, and the update.

The N streams of a batch are divided into P parts. Part p, streams p n to (p + 1) n - 1 with
n = N / P, goes through a network of n streams, with dropout masks of its own; the gradients are
added in the order of p. Several ranks share the parts (`ranks`); each updates a slice of the
parameters, or, if the optimizer needs the whole gradient, all of them.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import RunError, UnstableStep
from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters
from charrnn.optim.optimizers import (
    OPTIMIZERS,
    Clipper,
    average_parameters,
    penalties_of,
    update_parameters,
)
from charrnn.optim.rotation import Rotation
from charrnn.runtime.mpi import wait
from charrnn.runtime.threads import Workers
from charrnn.text.streams import Streams
from charrnn.training.ranks import Ranks
from charrnn.training.run import Run, dropout_key
from charrnn.training.sums import SharedSum, add

SESSION, STEP, COMPLETE, END = range(4)
"""What rank 0 says to the others: a run follows; make a step of it; send your slices of it; end."""
Floats = NDArray[np.float64]
Batch = tuple[Ids, Ids, Starts | None]
"""x, y (T, N), and where the state is set to zero, (T, N)."""


class Update:
    """Computes gradients of a run's batches and updates its parameters, slots, average and state.

    On several ranks, the parameters are whole on all of them after each update. Of slots, averages
    and states each has its slice, until rank 0 needs them (`complete`). All other ranks are given
    the run again after `refresh`.

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
        self._gradient = parameters.like() if self.parts > 1 else self._network.gradient
        self._own, self._optimizer = [(0, parameters.flat.size)], OPTIMIZERS[config.optimizer]
        if self.ranks.size > 1:
            total, pieces = self._gradient.flat, self._network.pieces
            gradient = self._network.gradient.flat
            self._shared = SharedSum(self.ranks, self.parts, gradient, total, pieces, workers)
            if not self._optimizer.rotates:
                self._own = self._shared.own
        self._clipper = self._new_clipper()
        self._rotation = None
        if self._optimizer.rotates:
            arithmetic = self._network.panels.arithmetic
            self._rotation = Rotation(parameters, self._gradient, run.slots, arithmetic, workers)
        self._is_spread = False

    def __call__(self, step: int, rate: float) -> tuple[float, float]:
        """Make the update after `step` others at this learning rate; returns the batch's mean loss
        in nats, and the norm of its gradient. `UnstableStep`, and nothing is updated, if one of
        them is not finite.
        """
        if self.ranks.size > 1 and self.ranks.rank == 0:
            self._lead(step, rate)
        losses = self._add_gradients(step)
        squares = self._clipper.square_sums(self._gradient.flat, self._own)
        if self.ranks.size > 1:
            losses, squares = self._known_to_all(losses, squares)
        loss = sum(map(float, losses)) / self.parts
        norm, scale = self._clipper.measured(squares)
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                self.ranks.is_busy = False
                raise UnstableStep(f"{name} {value:g}", loss, norm)
        self._move(step, rate, scale)
        self._network.refresh()
        self.ranks.is_busy = False
        return loss, norm

    def _move(self, step: int, rate: float, scale: np.float32) -> None:
        """Update the parameters and their average."""
        run, requests = self.run, []
        parameters = run.model.parameters
        for index, place in enumerate(self._own):
            update_parameters(
                self._optimizer,
                parameters,
                self._gradient,
                run.slots,
                self._optimizer.rule(run.config, rate, step + 1),
                (self._clipper.limit, scale),
                self.workers,
                penalties_of(run.config, rate),
                run.anchor,
                [place],
                self._rotation,
                step + 1,
            )
            if self.ranks.size > 1 and not self._optimizer.rotates:
                requests.append(self._shared.gathered(index, parameters.flat))
        if run.average is not None:
            share = run.config.average, step + 1
            average_parameters(parameters, run.average, *share, self.workers, self._own)
        for request in requests:
            wait(request)

    @classmethod
    def received(cls, ranks: Ranks) -> Self:
        """On the other ranks: what rank 0 trains."""
        (run, cut, threads), ids = ranks.receive()
        own = cls(run, Streams(**{**cut, "ids": ids}), Workers(threads), ranks, threads)
        own.check_ranks()
        return own

    def _new_clipper(self) -> Clipper:
        config = self.run.config
        return Clipper(self.run.model.parameters, self.workers, config.clip_value, config.clip_norm)

    def take_over_settings(self) -> None:
        """Take over the run's settings as they are on this rank, after they have been changed."""
        self._clipper = self._new_clipper()
        self.refresh()

    def refresh(self) -> None:
        """Take over the run as it is on this rank, after something else has changed it."""
        self._network.refresh()
        if self._rotation is not None:
            self._rotation.refresh()
        self.ranks.session, self._is_spread = None, False

    def complete(self) -> None:
        """On rank 0: receive the slices that the other ranks have of the run."""
        if self._is_spread and self.ranks.session is self:
            self.ranks.is_busy = True
            self.ranks.say(COMPLETE)
            self.send_slices()
            self.ranks.is_busy = False

    def close(self) -> None:
        """On rank 0: the run is whole, and no longer asks for slices."""
        if not self.ranks.is_busy:
            self.complete()
        if self.run.completing == self.complete:
            self.run.completing = None

    def send_slices(self) -> None:
        """On every rank: all receive all slices of the run."""
        run, ranks = self.run, self.ranks
        for vectors in (*run.slots.values(), run.average):
            if vectors is not None and not self._optimizer.rotates:  # else each rank has them
                self._shared.gather(vectors.flat)
        for part in range(self.parts):
            streams = self._state_of(run.state, part)
            for values in streams.arrays:
                theirs = np.ascontiguousarray(values)
                wait(ranks.communicator.Ibcast(theirs, part % ranks.size))
                values[:] = theirs
        self._is_spread = False

    def _lead(self, step: int, rate: float) -> None:
        """Let the other ranks make this update too, on the same run."""
        ranks = self.ranks
        if isinstance(ranks.session, Update) and ranks.session is not self:
            ranks.session.complete()
        ranks.is_busy = True
        if ranks.session is not self:
            self.run.complete()
            ranks.say(SESSION)
            without: dict[str, Any] = dict.fromkeys(("starts", "good", "session", "completing"))
            run = replace(self.run, **without, history=[], sources=())
            cut = {**vars(self.streams), "ids": None}
            ranks.send(self, (run, cut, self.threads), self.streams.ids)
            self.check_ranks()
        self.run.completing, self._is_spread = self.complete, True
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

    def _add_gradients(self, step: int) -> Floats:
        """Let the gradient be the sum of the parts' gradients, on several ranks its own slices;
        returns the parts' mean losses (parts,), those of other ranks' parts 0.
        """
        if step % self.streams.steps == 0:
            self.run.state.reset()
        batch, losses = self._batch(step), np.zeros(self.parts)
        if self.ranks.size > 1:
            for part in self.ranks.parts(self.parts):
                self._shared.begin(part)
                if part is not None:
                    losses[part], _ = self._gradients_of(part, step, batch, self._shared.ready)
            self._shared.finish()
            if self._optimizer.rotates:
                self._shared.gather(self._gradient.flat)
            return losses
        for part in range(self.parts):
            losses[part], gradient = self._gradients_of(part, step, batch)
            if self.parts > 1:
                add(self._gradient.flat, gradient.flat, self.workers, is_first=part == 0)
        return losses

    def _known_to_all(self, losses: Floats, squares: Floats) -> tuple[Floats, Floats]:
        """Add what each rank has found: the losses of its parts, and the sums of squares of its
        slices.
        """
        every = self.ranks.gathered(np.concatenate([losses, squares])).sum(axis=0)
        if self._optimizer.rotates:  # every rank has the whole gradient
            return every[: losses.size], squares
        return every[: losses.size], every[losses.size :]

    def check_ranks(self) -> None:
        """`RunError` if a rank does not compute the bits of rank 0, which would make the result
        depend on which rank computes what. All ranks compute the gradient of the first part.
        """
        state = State(self.run.model, self._of_part)
        loss, gradient = self._gradients_of(0, 0, self._batch(0), state=state)
        words = np.bitwise_xor.reduce(gradient.flat.view(np.uint32))
        for rank, theirs in enumerate(self.ranks.gathered(np.array([loss, float(words)]))):
            if theirs.tobytes() != np.array([loss, float(words)]).tobytes():
                raise RunError(
                    f"rank {max(rank, self.ranks.rank)} computes other bits than rank 0: its "
                    "processor or its version of charrnn differs; leave that machine out"
                )

    def _gradients_of(
        self,
        part: int,
        step: int,
        batch: Batch,
        ready: Callable[[], None] | None = None,
        state: State | None = None,
    ) -> tuple[float, Parameters]:
        config = self.run.config
        x, y, starts = self._part_of(batch, part)
        return self._network.gradients(
            x,
            y,
            state or self._state_of(self.run.state, part),
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

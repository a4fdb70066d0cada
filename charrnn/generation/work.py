"""What the compiled loop that writes is called with, and when one text is written on one thread."""

from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from charrnn.compiler.calling import address_of, bind
from charrnn.compiler.simd import padded
from charrnn.generation.outlook import Outlook
from charrnn.generation.partition import Share, Weights, by_share, product_of, rows_product_of
from charrnn.kernels import sampling, writing
from charrnn.kernels.sampling import Controls, Memory
from charrnn.network.model import Model, State
from charrnn.network.parameters import ATTENTION_UNITS, aligned, attention_biases, root_of
from charrnn.runtime.threads import ranges


def _look() -> Any:
    from charrnn.kernels.attention import look  # which only networks with attention need

    return look


def blending() -> Any:
    """The kernel `blending.blend`, which only networks with attention need."""
    from charrnn.kernels.blending import blend

    return blend


class Turns:
    """Decides when a divided stream is written on one thread: while other programs use the
    processors.

    A thread then waits long at each barrier, since its partners rarely all have a processor. So
    some calls are made on one thread before the next attempt, and twice as many after each failed
    attempt.
    """

    def __init__(self) -> None:
        self._left, self._next = 0, 8

    def is_alone(self) -> bool:
        """True if the next call should be made on one thread."""
        self._left -= 1
        return self._left >= 0

    def judge(self, sleeps: int, steps: int) -> None:
        """Update the record after a call on several threads, one of which slept `sleeps` times in
        `steps` steps.
        """
        failed = sleeps > steps / 8
        self._left, self._next = (self._next, min(2 * self._next, 256)) if failed else (0, 8)


class Work:
    """What `kernels.writing.write` reads and overwrites, created and bound once.

    A single stream is divided into shares of the weights, several streams into shards.
    own: the kernel of each thread, bound except for ids, given, uniforms, memory, and what
        `State.read_last` gives. shards: the streams of each, (first, last).
    """

    def __init__(
        self,
        weights: Weights,
        controls: Controls,
        streams: int,
        threads: int,
    ) -> None:
        panels, precision, N = weights.panels, weights.precision, streams
        model = panels.model
        config, cell, L, H = model.config, model.cell, model.config.layers, model.width
        self.symbols, self.streams = config.vocab_size, streams
        V = padded(config.vocab_size)
        shares = weights.shares(streams, threads)
        shards = [(0, 1)] * len(shares) if streams == 1 else ranges(streams, threads)
        self._shares, self.shards = shares, shards  # the kernel gets addresses
        self.parts, self.weights = len(shares), sum(share.weights.nbytes for share in shares)
        self.h, self.c, self.logits = aligned(L, 2, N * H), aligned(L, 2, N * H), aligned(N, V)
        self.copied = aligned(N if config.attention else 0, V)
        self.meeting, self.overflows = np.zeros(2, np.int64), np.zeros(1, np.bool_)
        biases = np.stack([model.parameters.bias(layer) for layer in range(L)])
        bias, table = (by_share(each, shares, H) for each in (biases, panels.table))
        p = np.stack([model.vectors(layer).reshape(-1) for layer in range(L)])
        p, m, x = by_share(p, shares, H), aligned(2, N * H), aligned(L, N * H)
        z, q, y = aligned(N * bias.shape[1]), aligned(N * H), aligned(N * H)
        keep_h, keep_c = (
            np.full(N * H if rate > 0 else 0, rate, np.float32)  # the expected value of zoneout
            for rate in (config.zoneout_h, config.zoneout_c if cell.has_memory else 0.0)
        )
        M = config.attention
        d, look_bias = ATTENTION_UNITS * (M > 0), attention_biases(model.parameters, config)
        self._binders = [
            partial(
                bind,
                writing.write,
                product=address_of(rows_product_of(precision)),
                vector_product=address_of(product_of(precision)),
                prepare=address_of(cell.prepare),
                step=address_of(cell.step),
                draw=address_of(sampling.draw),
                table=table,
                memory_table=(
                    model.parameters["rnn.memory.weight"] if cell.reads_below else aligned(0, 0)
                ),
                bias=bias,
                out_bias=model.parameters["decoder.bias"],
                p=p,
                activation=model.activation,
                borders=model.borders(),
                h=self.h,
                c=self.c,
                m=m,
                z=z,
                q=q,
                y=y,
                x=x,
                logits=self.logits,
                overflows=self.overflows,
                keep_h=keep_h,
                keep_c=keep_c,
                has_output=cell.has_output,
                is_residual=config.residual,
                first_read=0 if config.skip else L - 1,
                counter=self.meeting.ctypes.data,
                parts=self.parts,
                normal=config.hidden if config.layer_norm else 0,
                scratch=aligned(2, V),
                weights=share.weights.ctypes.data,
                places=share.places,
                own_streams=shard,
                own_units=share.units,
                own_logits=share.logits,
                **self._mogrifier(model, share),
                look=address_of(_look()) if M else 0,
                blend=address_of(blending()) if M else 0,
                look_bias=look_bias,
                root=root_of(config),
                qk=aligned(N, 2 * d),
                look_memory=aligned(M + V),
                copied=self.copied,
            )
            for shard, share in zip(shards, cycle(shares), strict=False)
        ]
        self.own: list[partial[Any]] = []
        self.control(controls)

    def _mogrifier(self, model: Model, share: Share) -> dict[str, Any]:
        """What a thread needs for the Mogrifier's rounds; empty without rounds."""
        config, N = model.config, self.streams
        E, H = (padded(size) for size in (config.embedding, config.hidden))
        N = N if config.mogrifier else 0
        return {
            "embedding": model.parameters["embedding.weight"] if N else aligned(0, 0),
            "rounds": share.rounds,
            "last_x": aligned(N, E),
            "last_h": aligned(N, H),
            "scale": aligned(N, max(E, H)),
        }

    @property
    def outlook(self) -> Outlook:
        """What the network expected after the last call without draws, which the next one
        overwrites.
        """
        V = self.symbols
        return Outlook(self.logits[:, :V], self.copied[:, :V] if len(self.copied) else None)

    def control(self, controls: Controls) -> None:
        """Draw by these controls from now on."""
        self.own = [binder(controls=controls) for binder in self._binders]

    def load(self, state: State) -> None:
        """Start a call from this state."""
        self.h[:, 0], self.c[:, 0] = (each.reshape(len(each), -1) for each in (state.h, state.c))
        self.meeting[:], self.overflows[:] = 0, False

    def memories(self, memory: Memory) -> list[Memory]:
        """What each thread's draws remember, and change: this memory, of which the threads of a
        divided stream need a copy each, except for the first.
        """
        own, streams = [memory] * len(self.own), range(len(memory.marks))
        return own if self.parts == 1 else [memory, *(each.of(streams) for each in own[1:])]

    def store(self, state: State, steps: int) -> None:
        """Store the state after this number of steps there."""
        for ours, theirs in ((self.h, state.h), (self.c, state.c)):
            theirs[:] = ours[:, steps % 2].reshape(theirs.shape)

    def release(self) -> None:
        """Let threads that wait for a missing thread run to their end."""
        self.meeting[0] = 1 << 62

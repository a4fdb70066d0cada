"""What a network computes while it reads a text: every gate and state of every unit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError, CorpusError, overflow
from charrnn.evaluation.evaluate import Progress
from charrnn.network.model import State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats
from charrnn.runtime.files import written_atomically
from charrnn.runtime.memory import memory_size
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions, follows_separator, resets
from charrnn.text.vocab import NOUNS, Unknown, checked_ids, counted

STEPS = 256
"""Characters read at a time."""
SHARE = 0.5
"""Of this machine's memory, what a trace may take."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a network computed while it read T symbols with L layers of H units.

    Row t of each array is what was computed when ids[t] was read, and layer 0 is the lowest one.

    trained: the network
    ids: what was read, uint8 or uint16 (T,)
    gates: the blocks of the cell's equations (docs/networks.md) by name, such as i, f, g and o,
        float32 (T, L, H) each: after the nonlinearity and with peepholes. In a GRU, z is the share
        of h' that is kept, and k of gru-after is U_n h' + b_hn. The one block of rnn and clockwork
        is "h", what phi returns; a unit of the clockwork cell takes it over only in its turn.
    h: the state h of the cell, float32 (T, L, H). With zoneout it is the expected value, as in
        evaluation.
    c: the cell's memory likewise; None for a cell without one.
    m: the memory that goes up to the next layer, likewise; None for a cell without one. It is c,
        before zoneout, except in the grid cell.
    y: the grid cell's output, likewise; None for other cells.
    probabilities: of the symbol after ids[t], float32 (T, V)
    losses: -ln p of ids[1:], in nats, float32 (T - 1,)
    starts: the positions, besides 0, before whose symbols the state was set to zero, int64

    What goes up from a layer is y if there is one, else h; it is normalized first if the network
    has layer_norm, and with residual the layer's input is added.
    """

    trained: Trained
    ids: NDArray[Any]
    gates: Mapping[str, Floats]
    h: Floats
    c: Floats | None
    m: Floats | None
    y: Floats | None
    probabilities: Floats
    losses: Floats
    starts: Positions

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        size = counted(len(self), NOUNS[self.trained.vocab.unit])
        loss = f", {self.losses.mean(dtype=np.float64):.4f} nats each" if self.losses.size else ""
        names = " ".join(name for name, _ in self._states())
        gates, summary = " ".join(self.gates), self.trained.model.summary
        return f"Trace({summary}, {size}{loss}, gates {gates}, {names})"

    def _repr_html_(self) -> str:
        from charrnn.inspection.strip import trace_html

        return trace_html(self)

    @property
    def text(self) -> str:
        """What was read, T characters: a byte is that of its value, the unknown symbol U+FFFD."""
        codes: NDArray[np.uint32] = self.trained.vocab.codes[self.ids]
        return codes.tobytes().decode("utf-32-le")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by the names that they have in a file: `save`."""
        return {
            "ids": self.ids,
            "codes": self.trained.vocab.codes,
            **{f"gate_{name}": gate for name, gate in self.gates.items()},
            **dict(self._states()),
            "probabilities": self.probabilities,
            "losses": self.losses,
            "starts": self.starts,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all arrays to a NumPy file, .npz, uncompressed; `CheckpointError` if that fails.

        Names are those of the attributes, but the gate f is gate_f; and codes (V,) are the code
        points of the symbols, so that codes[ids] are those of the text. c, m and y are there if the
        cell has them. `numpy.load` reads it, and it holds no objects.
        """
        with written_atomically(Path(path)) as file:
            np.savez(file, **self.arrays())  # type: ignore[arg-type]

    def _states(self) -> Iterator[tuple[str, Floats]]:
        for name in ("h", "c", "m", "y"):
            array = getattr(self, name)
            if array is not None:
                yield name, array


def trace(
    trained: Trained,
    text: str | bytes | NDArray[Any],
    *,
    unknown: Unknown = "error",
    progress: Progress | None = None,
) -> Trace:
    """Every gate and state of a network while it reads a text: the bits of a forward pass in
    training, without dropout.

    The text is read in one stream from a zero state, which is set to zero again where documents
    begin, if the network was trained so; the first document then follows a separator, as in
    training. Products are float32, as in evaluation, whatever the network was trained with.

    Memory: 4 bytes for each number of a `Trace`, such as 4 (6 L H + V) a character for an LSTM;
    `CorpusError` if that is more than half of this machine's, or for an empty text. `VocabError`
    for characters or ids that the network lacks, `DivergenceError` if its outputs are NaN or
    infinite.

    text: a string or bytes, or ids (T,) of any integer type.
    unknown: what to do with characters that the vocabulary lacks (`Vocab.encode`).
    """
    if not isinstance(trained, Trained):
        raise ConfigError(
            f"`trained` must be a Trained, not {type(trained).__name__}; a Run's is its attribute "
            "`trained`"
        )
    vocab, pattern = trained.vocab, trained.corpus_config.document_separator
    ids = vocab.encode(text, unknown) if isinstance(text, str | bytes) else text
    ids = checked_ids(ids, len(vocab)).astype(vocab.dtype)
    if not len(ids):
        raise CorpusError("a text to trace needs at least 1 character in the vocabulary")
    _check_memory(trained, len(ids))
    starts = np.empty(0, np.int64) if pattern is None else resets(ids, vocab, pattern)
    result = _empty(trained, ids, starts[(starts > 0) & (starts < len(ids))])
    network, state = (
        Network(trained.model, STEPS, 1, Workers(1), keeps=True),
        State(trained.model, 1),
    )
    x = ids.astype(np.int32)[:, None]
    if follows_separator(starts) and 0 not in starts[:2]:  # else the state is zero again after it
        network.evaluate(trained.opening.ids[:1, None], x[:1], state)
    y = np.append(x[1:], x[-1:], axis=0)
    begins = set(result.starts.tolist())
    for a, b in _blocks(result):
        if a in begins:
            state.reset()
        losses = network.evaluate(x[a:b], y[a:b], state)[:, 0]
        if not np.isfinite(losses).all():
            raise overflow()
        result.losses[a:b] = losses[: len(ids) - 1 - a]
        result.probabilities[a:b] = network.probabilities(y[a:b], 0, b - a, 0, 1)[:, 0]
        _note(result, network, a, b)
        if progress is not None:
            progress(b, len(ids))
    return result


def _blocks(trace: Trace) -> Iterator[tuple[int, int]]:
    """What is read at a time: no state within a block is set to zero and lost."""
    for first, last in pairwise([0, *trace.starts.tolist(), len(trace)]):
        for a in range(first, last, STEPS):
            yield a, min(a + STEPS, last)


def _note(result: Trace, network: Network, a: int, b: int) -> None:
    """Copy what the layers hold of the block a:b that the network has just read."""
    H, width, steps = result.h.shape[2], network.model.width, b - a
    for index, layer in enumerate(network.layers):
        place = np.s_[a:b, index]
        for block, gate in enumerate(result.gates.values()):
            gate[place] = layer.z[:steps, 0, block * width : block * width + H]
        result.h[place] = layer.h[1 : steps + 1, 0, :H]
        for states, its in ((result.c, layer.c[1:]), (result.m, layer.m), (result.y, layer.y)):
            if states is not None:
                states[place] = its[:steps, 0, :H]


def _empty(trained: Trained, ids: NDArray[Any], starts: Positions) -> Trace:
    """A trace to be filled."""
    model, T = trained.model, len(ids)
    cell, config = model.cell, model.config

    def states() -> Floats:
        return np.empty((T, config.layers, config.hidden), np.float32)

    return Trace(
        trained=trained,
        ids=ids,
        gates={name: states() for name in cell.gates},
        h=states(),
        c=states() if cell.has_memory else None,
        m=states() if cell.keeps_memory else None,
        y=states() if cell.has_output else None,
        probabilities=np.empty((T, config.vocab_size), np.float32),
        losses=np.empty(T - 1, np.float32),
        starts=starts,
    )


def _check_memory(trained: Trained, characters: int) -> None:
    """`CorpusError` if a trace of this many characters takes too much memory."""
    cell, config, size = trained.model.cell, trained.model.config, memory_size()
    states = len(cell.gates) + 1 + cell.has_memory + cell.keeps_memory + cell.has_output
    each = 4 * (states * config.layers * config.hidden + config.vocab_size)
    if size is not None and characters * each > SHARE * size:
        raise CorpusError(
            f"a trace of {characters:,} characters takes {characters * each / 1e9:.1f} GB, of "
            f"{size / 1e9:.1f}; trace at most {int(SHARE * size) // each:,} characters "
            "at a time"
        )

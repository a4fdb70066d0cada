"""Networks whose every number is drawn, so that each takes part in what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Origin, Text, Trained
from charrnn.config import CorpusConfig, ModelConfig, SamplingConfig
from charrnn.generation.outlook import mean_of
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.text.vocab import Vocab

SYMBOLS = "\n .,abcdefghé"
ORIGIN = Origin((Text("made-up.txt", 3000),), "ab" * 32, 120, 2.5, 1.75)
ROUNDS: list[dict[str, Any]] = [
    {"mogrifier": 5},
    {"mogrifier": 2, "zoneout_h": 0.25, "layer_norm": True},
    {"mogrifier": 4, "zoneout_h": 0.1, "zoneout_c": 0.3},
    {"mogrifier": 3, "zoneout_c": 0.25, "residual": True},
    {"mogrifier": 5, "layers": 3, "residual": True, "skip": True, "layer_norm": True},
    {"mogrifier": 1, "layers": 1, "embedding": 17, "activation": "softsign"},
]
"""Settings with rounds of the Mogrifier, which only an LSTM has."""


def drawn_network(
    symbols: str = SYMBOLS,
    corpus: CorpusConfig | None = None,
    vocab: Vocab | None = None,
    starts: int = 3,
    seed: int = 7,
    **settings: Any,
) -> Trained:
    """A small network with drawn weights, biases and peepholes, and drawn states to start from
    unless its text has documents.
    """
    vocab = vocab or Vocab(tuple(symbols))
    shape = {"cell": "lstm", "layers": 2, "hidden": 11, "embedding": 5, "layer_norm": False}
    config = ModelConfig(**(shape | settings), vocab_size=len(vocab)).resolved()
    model, rng = Model(config), np.random.default_rng(seed)
    for tensor in model.parameters.tensors:
        scale = 0.5 if "weight" in tensor.name else 0.3
        drawn = rng.normal(scale=scale, size=tensor.disk_shape).astype(np.float32)
        tensor.from_disk(drawn, model.parameters[tensor.name])
    model.hold_zeros()
    corpus = corpus or CorpusConfig(unit=vocab.unit)
    begin = None
    if starts and corpus.document_separator is None:
        state, H = State(model, starts), config.hidden
        state.h[..., :H] = rng.uniform(-1, 1, (config.layers, starts, H))
        state.c[..., :H] = rng.uniform(-1, 1, (config.layers, starts, H))
        if config.cell == "clockwork":  # clocks, below the units' periods
            state.c[..., :H] = np.floor(np.abs(state.c[..., :H]) * model.vectors(0)[0, :H])
        ids = np.arange(starts, dtype=np.int32)
        begin = StartStates.rounded(state, ids)
    return Trained(model, vocab, corpus, ORIGIN, starts=begin)


def drawn_mixture(count: int, **settings: Any) -> Mixture:
    """Networks such as those of one run: of the same settings, each with numbers of its own."""
    return Mixture([drawn_network(seed=7 + n, **settings) for n in range(count)])


def chances_at(temperature: float, networks: Mixture, ids: np.ndarray) -> np.ndarray:
    """How probable charrnn makes each symbol after a start and ids (K,), with attention: (V,)."""
    config = SamplingConfig(temperature=temperature, precision="float32")
    writers = [Writer(network.model, config) for network in networks]
    for writer, network in zip(writers, networks, strict=True):
        writer.begin(network.opening)
        writer.read(ids)
    mean = mean_of([writer.outlook(writer.last) for writer in writers]).of(0)
    assert mean.copied.sum() > 0.01 * np.exp(mean.own).sum(), "it copies too little to see it"
    first, scratch = writers[0], np.zeros(len(networks.vocab), np.float32)
    row = mean.blended(first.controls, int(ids[-1]), first.memory, 0, scratch)
    p = np.exp((row - row.max()).astype(np.float64) / temperature)
    return p / p.sum()


def drawn_text(length: int, symbols: str = SYMBOLS, seed: int = 3) -> str:
    """A text of these symbols, with short and long words."""
    return "".join(np.random.default_rng(seed).choice(list(symbols), length))

"""Networks without training, for tests: what they write is noise that is always the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.config import CorpusConfig, ModelConfig
from charrnn.network.model import Model, State
from charrnn.text.vocab import Vocab

SYMBOLS = tuple("\n .,abcdefghijklmnopqrstuvwxyzABC")


def network(
    *,
    starts: int = 3,
    vocab: Vocab | None = None,
    separator: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Trained:
    """An LSTM of two layers that begins in one of some states."""
    vocab = vocab or Vocab(SYMBOLS)
    settings = {"hidden": 24, "layers": 2, "embedding": 0, "vocab_size": len(vocab), **settings}
    model, rng = (
        Model.initialized(ModelConfig(**settings), 1 + seed),
        np.random.default_rng(2 + seed),
    )
    H = model.config.hidden
    decoder = model.parameters["decoder.weight"][:H, : len(vocab)]
    decoder[:] = rng.normal(size=decoder.shape) * 0.6
    if model.config.attention:
        model.parameters["attention.bias"][:] = -0.2  # so that what it finds matters
    opening = None
    if separator is None:
        state = State(model, starts)
        state.h[..., :H] = rng.normal(size=state.h[..., :H].shape) * 0.3
        opening = StartStates.rounded(state, np.arange(starts, dtype=np.int32))
    config = CorpusConfig(unit=vocab.unit, document_separator=separator)
    return Trained(model, vocab, config, starts=opening)

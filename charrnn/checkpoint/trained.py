"""A trained network, apart from the run that trained it."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.config import CorpusConfig
from charrnn.network.model import Model
from charrnn.network.parameters import Parameters
from charrnn.text.vocab import Vocab


@dataclass(frozen=True)
class Trained:
    """What writing, evaluating and exporting need of a trained network, and nothing of its training.

    corpus_config says how its text was read; its `document_separator` says where documents begin.
    squares: what dynamic evaluation needs, the mean squares of gradients relative to their mean, or
    None where the optimizer kept none.
    """

    model: Model
    vocab: Vocab
    corpus_config: CorpusConfig
    squares: Parameters | None = None

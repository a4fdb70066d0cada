"""What a web page tells of a network: the answer of a backend's `about()`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained


def facts(
    trained: Trained | Sequence[Trained],
    name: str,
    *,
    precision: str,
    has_known_words: bool = False,
) -> dict[str, Any]:
    """Facts about a network, or several that write together, that are JSON: name, shape, texts and
    loss, which of several is only known for each alone.

    precision: of the weights that write. has_known_words: whether it can write known words only.
    """
    networks = Mixture.of(trained)
    origin = networks.origin
    return {
        "name": name,
        "summary": networks.summary,
        "symbols": list(networks.vocab.symbols),
        "unit": "byte" if networks.vocab.unit == "byte" else "character",
        "texts": [{"name": text.name, "characters": text.characters} for text in origin.texts],
        "sha256": origin.sha256,
        "loss": origin.loss,
        "losses": [network.origin.loss for network in networks],
        "epochs": origin.epoch,
        "steps": origin.step,
        "hasKnownWords": has_known_words,
        "hasDocuments": networks.corpus_config.document_separator is not None,
        "precision": precision,
    }


def form_of(networks: Mixture) -> str:
    """The Unicode normalization form of what is read by networks, or "none"."""
    return "none" if networks.vocab.unit == "byte" else networks.corpus_config.normalize

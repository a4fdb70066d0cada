"""What a web page tells of a network: the answer of a backend's `about()`."""

from __future__ import annotations

from typing import Any

from charrnn.checkpoint.trained import Trained


def facts(
    trained: Trained, name: str, *, precision: str, has_known_words: bool = False
) -> dict[str, Any]:
    """Facts about a network that are JSON: its name, shape, texts and loss.

    precision: of the weights that write. has_known_words: whether it can write known words only.
    """
    origin = trained.origin
    return {
        "name": name,
        "summary": trained.model.summary,
        "symbols": list(trained.vocab.symbols),
        "unit": "byte" if trained.vocab.unit == "byte" else "character",
        "texts": [{"name": text.name, "characters": text.characters} for text in origin.texts],
        "sha256": origin.sha256,
        "loss": origin.loss,
        "epochs": origin.epoch,
        "steps": origin.step,
        "hasKnownWords": has_known_words,
        "hasDocuments": trained.corpus_config.document_separator is not None,
        "precision": precision,
    }

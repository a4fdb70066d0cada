"""The page to write on, which asks the server that it came from."""

from __future__ import annotations

from typing import Any

from charrnn.checkpoint.trained import Trained
from charrnn.pages.writing import writing_page

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Of the answer: no other page may show this one inside it."""


def page_of(network: Trained, name: str, has_known_words: bool) -> str:
    """The page for a network, as HTML."""
    return writing_page(
        f"Write with {name}",
        backend=["server_backend.js"],
        data={"about": about(network, name, has_known_words)},
        policy="connect-src 'self'",
    )


def about(network: Trained, name: str, has_known_words: bool) -> dict[str, Any]:
    """What the page tells of a network."""
    origin, vocab = network.origin, network.vocab
    return {
        "name": name,
        "summary": network.model.summary,
        "symbols": list(vocab.symbols),
        "unit": "byte" if vocab.unit == "byte" else "character",
        "texts": [{"name": text.name, "characters": text.characters} for text in origin.texts],
        "sha256": origin.sha256,
        "loss": origin.loss,
        "epochs": origin.epoch,
        "steps": origin.step,
        "hasKnownWords": has_known_words,
        "hasDocuments": network.corpus_config.document_separator is not None,
    }

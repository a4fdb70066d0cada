"""The page to write on, which asks the server that it came from."""

from __future__ import annotations

from charrnn.checkpoint.mixture import Mixture
from charrnn.export.facts import facts
from charrnn.pages.writing import writing_page

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Of the answer: no other page may show this one inside it."""


def page_of(networks: Mixture, name: str, has_known_words: bool) -> str:
    """The page for a network, or several that write together, as HTML."""
    about = facts(networks[0], name, has_known_words=has_known_words)
    if len(networks) > 1:
        about["summary"] = networks.summary
        about["symbols"], about["loss"] = list(networks.vocab.symbols), None  # of all, nobody knows
    return writing_page(
        f"Write with {name}",
        backend=["server_backend.js"],
        data={"about": about},
        policy="connect-src 'self'",
    )

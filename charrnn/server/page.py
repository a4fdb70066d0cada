"""The page to write on, which asks the server that it came from."""

from __future__ import annotations

from charrnn.checkpoint.mixture import Mixture
from charrnn.export.facts import facts
from charrnn.generation.quantization import precision_of
from charrnn.pages.writing import writing_page

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Of the answer: no other page may show this one inside it."""


def page_of(networks: Mixture, name: str, has_known_words: bool) -> str:
    """The page for a network, or several that write together, as HTML."""
    precisions = dict.fromkeys(precision_of(network.model) for network in networks)
    about = facts(networks, name, precision=", ".join(precisions), has_known_words=has_known_words)
    return writing_page(
        f"Write with {name}",
        backend=["server_backend.js"],
        data={"about": about},
        policy="connect-src 'self'",
    )

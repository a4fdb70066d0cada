"""The page to write on, which asks the server that it came from."""

from __future__ import annotations

from charrnn.checkpoint.mixture import Mixture
from charrnn.config.serving import ServeConfig
from charrnn.export.facts import facts, form_of
from charrnn.generation.quantization import precision_of
from charrnn.pages.writing import writing_page

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Of the answer: no other page may show this one inside it."""


def page_of(networks: Mixture, name: str, limits: ServeConfig, has_known_words: bool) -> str:
    """The page for a network, or several that write together, as HTML."""
    precisions = dict.fromkeys(precision_of(network.model) for network in networks)
    about = facts(networks, name, precision=", ".join(precisions), has_known_words=has_known_words)
    return writing_page(
        f"Write with {name}",
        backend=["normalization.js", "server_backend.js"],
        data={
            "about": about,
            "normalize": form_of(networks),
            "limits": {"prompt": limits.max_prompt, "tokens": limits.max_tokens},
        },
        policy="connect-src 'self'",
    )

"""The page on which a person writes a text together with a network.

`writing.html` is its frame, `writing.css` its looks. Of its scripts, `writing.js` brings the others
together; each begins with what it is for. They know nothing of networks: a backend does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charrnn.pages.page import FOLDER, page

SCRIPTS = (
    "writing_text.js",
    "writing_history.js",
    "writing_keeping.js",
    "writing_editor.js",
    "writing_suggestion.js",
    "writing_passage.js",
    "writing_surprise.js",
    "writing_settings.js",
    "writing_desk.js",
    "writing.js",
)


def writing_page(title: str, *, backend: Sequence[str | Path], data: Any, policy: str = "") -> str:
    """The writing page in one file, as HTML.

    backend: the scripts that know the network, in order; names in this folder, or absolute paths.
        The last one defines `makeBackend(data)`, which `writing.js` describes.
    data: what `makeBackend` is called with: anything that is JSON.
    policy: what the page's content security policy has to allow the backend, such as
        "connect-src 'self'" for a server, "worker-src blob:" for a worker.
    """
    return page(
        title,
        (FOLDER / "writing.html").read_text(encoding="utf-8"),
        style=("surprise.css", "writing.css"),
        script=(*backend, *SCRIPTS),
        data=data,
        policy=policy,
    )

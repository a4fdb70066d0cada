"""The README as a package index shows it, without the files that it points to.

hatchling calls this; it stands here because that is where hatchling looks.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"!\[[^]]*\]\((?!https?:)[^)]*\)\n+")
LINK = re.compile(r"\[([^]]+)\]\((?!https?:|#)([^)#]+)[^)]*\)")
WHERE = "\nThe files that this page names are in the source distribution.\n"


class ReadmeHook(MetadataHookInterface):
    """Gives the package its long description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the metadata's `readme`."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": standalone(text)}


def standalone(text: str) -> str:
    """Markdown without this folder's pictures; its links become the names of the files."""
    return LINK.sub(_named, PICTURE.sub("", text)) + WHERE


def _named(link: re.Match[str]) -> str:
    words, path = link.groups()
    return words if words == path else f"{words}: {path}"

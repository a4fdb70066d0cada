"""A page in one file: its frame, and text made safe for it."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
BASE = "page.css"
"""The style that all pages share."""
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def page(
    title: str,
    body: str,
    *,
    style: str | Sequence[str],
    script: str | Sequence[str | Path],
    data: Any,
    policy: str = "",
) -> str:
    """A page with this title.

    body: its HTML. style: the name of a style sheet in this folder, or of several.
    script: of a script in this folder, or of several in order, each an element whose id is its
        name; an absolute path is a script elsewhere.
    data: what the scripts read, as JSON, from the element `data`.
    policy: what its content security policy allows besides these, such as "connect-src 'self'".
    """
    styles = [BASE, style] if isinstance(style, str) else [BASE, *style]
    sheets = "".join((FOLDER / name).read_text(encoding="utf-8") for name in styles)
    files = [FOLDER / name for name in ([script] if isinstance(script, str) else script)]
    programs = {file.name: file.read_text(encoding="utf-8") for file in files}
    rules = [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "script-src " + " ".join(map(_digest, programs.values())),
        *([policy] if policy else []),
    ]
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{sheets}</style>\n</head>\n"
        f"<body>\n{body}"
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        + "".join(f'<script id="{name}">{text}</script>\n' for name, text in programs.items())
        + "</body>\n</html>\n"
    )


def _digest(program: str) -> str:
    """A script's name in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()}'"


def visible(text: str) -> str:
    """The text with a sign in the place of each control character, bidirectional mark and half of
    a character; tabs and newlines stay. Its length is the same.
    """
    return _HARMFUL.sub(_sign, text)


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"


def escaped(text: str) -> str:
    """Text as HTML, to be put between tags or into an attribute in quotes."""
    return html.escape(visible(text))


def script_json(value: Any) -> str:
    """A value as JSON inside a script element, which no string in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

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


def page(title: str, body: str, *, style: str | Sequence[str], script: str, data: Any) -> str:
    """A page with this title. The rest are: its HTML, the names of a style sheet, or of several,
    and of a script in this folder, and what the script reads, as JSON, from the element `data`.
    """
    program = (FOLDER / script).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    names = [BASE, style] if isinstance(style, str) else [BASE, *style]
    styles = "".join((FOLDER / name).read_text(encoding="utf-8") for name in names)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{styles}</style>\n</head>\n"
        f"<body>\n{body}"
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{program}</script>\n</body>\n</html>\n"
    )


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

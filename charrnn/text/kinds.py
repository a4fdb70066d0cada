"""What a file is that is no plain text, judging by its name or by its first bytes."""

import os
import re
import unicodedata
from typing import NamedTuple

SNIFFED = 8192
"""Bytes at the beginning of a file that tell what it is."""
PACKED_HEAD = 6
"""Bytes at the beginning of a file that tell its compression, if it can be read."""


class Kind(NamedTuple):
    """What a file is that cannot be read as text, and what to do with it."""

    name: str
    advice: str


_PACKED = {
    "gz": rb"\x1f\x8b",
    "bz2": rb"BZh[1-9][1\x17]",
    "xz": rb"\xfd7zXZ\x00",
    "zst": rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18",  # the second: a frame to skip (pzstd)
}
_DOTTED = tuple(f".{suffix}" for suffix in _PACKED)
_DOCUMENT = "save it as plain text in the program that opens it, and name that file"
_ARCHIVE = "unpack it, and name the files or the folder that were in it"
_NO_TEXT = "there is no text in it; name another file"
_ZIPPED = {
    rb"mimetypeapplication/epub": Kind("an EPUB book", f"{_DOCUMENT} (Calibre can)"),
    rb"mimetypeapplication/vnd\.oasis": Kind("an OpenDocument file", _DOCUMENT),
    rb"word/": Kind("a Word document", _DOCUMENT),
    rb"\[Content_Types\]\.xml": Kind("an Office document", _DOCUMENT),
    rb"": Kind("a zip archive", _ARCHIVE),
}
# A signature of ASCII characters alone includes what follows it and is not in a text.
_SIGNATURES = {
    rb"%PDF-\d": Kind("a PDF document", f"{_DOCUMENT} (or use pdftotext)"),
    rb"\{\\rtf\d": Kind("a rich text (RTF) document", _DOCUMENT),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Kind("an old Office document", _DOCUMENT),
    rb"%!PS-Adobe-\d": Kind("a PostScript document", f"{_DOCUMENT} (or use ps2txt)"),
    rb".{31}\x00.{28}(BOOKMOBI|TEXtREAd)": Kind("a Kindle book", f"{_DOCUMENT} (Calibre can)"),
    rb"AT&TFORM.{4}DJV": Kind("a DjVu document", f"{_DOCUMENT} (or use djvutxt)"),
    rb"7z\xbc\xaf\x27\x1c": Kind("a 7-Zip archive", _ARCHIVE),
    rb"Rar!\x1a\x07": Kind("a RAR archive", _ARCHIVE),
    rb".{257}ustar[ \x00]": Kind("a tar archive", _ARCHIVE),
    rb"\x1f[\x9d\xa0]|\x04\x22\x4d\x18|LZIP\x01|\x89LZO\x00|\x5d\x00\x00.\x00\xff{8}": Kind(
        "compressed in an unknown format", "unpack it, or compress it as .gz, .bz2, .xz or .zst"
    ),
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a.*\x00|II\x2a\x00|MM\x00\x2a|BM.{4}\x00{4}|RIFF.{4}WEBP"
    rb"|\x00\x00.{2}ftyp(heic|heix|mif1|avif)": Kind("an image", _NO_TEXT),
    rb"ID3[\x02-\x04]|OggS\x00|fLaC\x00|RIFF.{4}WAVE|\xff[\xf2\xf3\xfa\xfb].*\x00|MThd\x00": Kind(
        "a sound", _NO_TEXT
    ),
    rb"\x00\x00.{2}ftyp|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\x00\x00\x01[\xb3\xba]": Kind(
        "a video", _NO_TEXT
    ),
    rb"\x7fELF|MZ.{58}..\x00\x00|[\xca\xcf\xce]\xfa\xed\xfe|\xca\xfe\xba\xbe\x00|\x00asm": Kind(
        "a program", _NO_TEXT
    ),
    rb"SQLite format 3\x00|\x89HDF\r\n|PAR1.*\x00|\x93NUMPY|.{6}\x00\x00\{\"": Kind(
        "data", _NO_TEXT
    ),
}
_NOT_WRITTEN = frozenset(
    (
        *("csv", "tsv", "json", "jsonl", "ndjson", "geojson", "ipynb", "lock", "log", "svg", "map"),
        *("pem", "crt", "key", "sum", "min.js", "min.css"),
    )
)
"""Suffixes of files with characters that are neither prose nor code."""
_ENDINGS = tuple(f".{kind}{packed}" for kind in _NOT_WRITTEN for packed in ("", *_DOTTED))
_KNOWN = re.compile(b"PK|" + b"|".join(_SIGNATURES), re.DOTALL)  # most files end here


def packing(path: str, head: bytes) -> str | None:
    """The compression of a file with these first bytes, if it can be read: "gz", "bz2", "xz", "zst"
    or none.
    """
    for kind, signature in _PACKED.items():
        if re.match(signature, head, re.DOTALL):
            return kind
    suffix = packed_suffix(path) if head else None
    return None if suffix and kind_of(head) else suffix


def packed_suffix(path: str) -> str | None:
    """The suffix of a compressed file's name, without its dot; None for other files."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
    return suffix[1:] if suffix in _DOTTED else None


def is_written(path: str) -> bool:
    """False if the suffix of a file's name says that it is neither prose nor code."""
    return not path.lower().endswith(_ENDINGS)


def kind_of(head: bytes) -> Kind | None:
    """What a file with these first bytes is, if it is of a known kind that is no plain text."""
    if not _KNOWN.match(head):
        return None
    if re.match(rb"PK(\x03\x04|\x05\x06)", head):
        return next(kind for mark, kind in _ZIPPED.items() if re.search(mark, head))
    for signature, kind in _SIGNATURES.items():
        if re.match(signature, head, re.DOTALL):
            return kind
    return None


def wide_encoding(head: bytes) -> str | None:
    """The encoding of a text in UTF-16 or UTF-32 with these first bytes; None for other files.

    Without a byte order mark, it is text if ASCII characters make a hundredth of its places zero,
    in UTF-16 the even or the odd ones alone, and if it decodes to characters that people use.
    """
    for mark, bits in ((b"\xff\xfe\0\0", 32), (b"\0\0\xfe\xff", 32), (b"\xff\xfe", 16)):
        if head.startswith(mark):
            return f"utf-{bits}"
    if head.startswith(b"\xfe\xff"):
        return "utf-16"
    even, odd = head[::2].count(0), head[1::2].count(0)
    wide = head[: len(head) // 4 * 4] or head[: len(head) // 2 * 2]
    for name, fits in (
        ("utf-32-le", odd >= even),
        ("utf-32-be", even >= odd),
        ("utf-16-le", odd > 0 == even),
        ("utf-16-be", even > 0 == odd),
    ):
        if fits and even + odd >= max(2, len(head) // 200) and _is_text(wide, name):
            return name
    return None


def _is_text(head: bytes, encoding: str) -> bool:
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        if error.end < len(head):  # it may only have been cut inside a character
            return False
        text = head[: error.start].decode(encoding)
    text = text.removeprefix("\ufeff")
    return bool(text) and all(
        ch in "\t\n\f\r" or unicodedata.category(ch) not in ("Cc", "Cn", "Co", "Cs") for ch in text
    )

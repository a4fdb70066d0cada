"""From bytes to characters: decoded, and tidied.

Everything is an iterator over pieces of a few kilobytes, so that a text is never in memory as a
whole.
"""

import codecs
import io
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Literal

from charrnn.errors import ConfigError, CorpusError
from charrnn.text.kinds import wide_encoding

Errors = Literal["strict", "replace", "ignore", "surrogateescape"]
Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def codec_name(encoding: str) -> str:
    """Python's name of a text encoding ("utf-8" also for utf-8-sig); `ConfigError` if there is no
    such encoding.
    """
    try:
        info = codecs.lookup(encoding)
        if not getattr(info, "_is_text_encoding", True) or info.incrementaldecoder is None:
            raise LookupError
    except (LookupError, ValueError):
        raise ConfigError(
            f"`encoding` {encoding!r}: no such text encoding; common ones are utf-8, utf-16, "
            "latin-1, cp1252"
        ) from None
    # A mark is removed anyway, and error positions of that decoder do not count it.
    return "utf-8" if info.name == "utf-8-sig" else info.name


def is_wide(encoding: str) -> bool:
    """True for UTF-16 and UTF-32, in which text is full of zeros."""
    return codec_name(encoding).startswith(("utf-16", "utf-32"))


def decode(
    chunks: Iterator[bytes],
    encoding: str,
    where: str,
    errors: Errors = "strict",
) -> Iterator[str]:
    """The characters of encoded bytes, without a byte order mark. Bytes that cannot be decoded
    raise `CorpusError` (strict), become U+FFFD (replace), nothing (ignore) or one of U+DC80 to
    U+DCFF (surrogateescape).

    `CorpusError` with the position of such a byte, or of a NUL, which marks a binary file.
    """
    decoder = codecs.getincrementaldecoder(codec_name(encoding))(errors)
    place, offset, started = _Place(), 0, False
    for chunk in chain(filter(None, chunks), [b""]):  # an empty one: nothing follows
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as e:
            with suppress(UnicodeError):  # how far the line is decodable
                before = decoder.decode(chunk[: max(0, _at(e, chunk))])
                place.add(before if started else before.removeprefix("\ufeff"))
            raise _undecodable(e, chunk, offset, encoding, f"{where}: ", place) from None
        if text and not started:
            started = True
            text = text.removeprefix("\ufeff")
        if "\0" in text:
            place.add(text[: text.index("\0")])
            raise CorpusError(
                f"{where}: binary, not text: NUL at {place}; take it out if it is text after all, "
                "or use `unit` byte to train on bytes"
            )
        offset += len(chunk)
        place.add(text)
        yield text


class _Place:
    """Where in a file a character is, from 1; in a file without LF, lines end with CR."""

    def __init__(self) -> None:
        self._lines = {"\n": 1, "\r": 1}
        self._columns = {"\n": 1, "\r": 1}

    def add(self, text: str) -> None:
        """Go on by these characters."""
        for end in self._lines:
            if ended := text.count(end):
                self._lines[end] += ended
                self._columns[end] = len(text) - text.rindex(end)
            else:
                self._columns[end] += len(text)

    def __str__(self) -> str:
        end = "\n" if self._lines["\n"] > 1 else "\r"
        return f"line {self._lines[end]:,}, column {self._columns[end]:,}"


def _at(error: UnicodeError, chunk: bytes) -> int:
    """Where in the chunk the error is; the decoder may have put held-back bytes before it."""
    if not isinstance(error, UnicodeDecodeError):
        return 0
    return len(chunk) - len(error.object) + error.start


def _undecodable(
    error: UnicodeError, chunk: bytes, offset: int, encoding: str, where: str, place: _Place
) -> CorpusError:
    if not isinstance(error, UnicodeDecodeError):
        advice = f"name its real `encoding`{_wide_advice(chunk)}"
        return CorpusError(f"{where}cannot be decoded as {encoding} ({error}); {advice}")
    at = offset + _at(error, chunk)
    if wide := _wide_advice(error.object) if at == 0 else "":
        advice = f"name its real `encoding`{wide}"
    elif b"\0" in error.object and not is_wide(encoding):
        advice = "it looks binary: use `unit` byte to train on bytes"
    else:
        advice = (
            "name its real encoding (`encoding` latin-1, cp1252, ...; charrnn check guesses it), "
            "or read on with `encoding_errors` replace or ignore"
        )
    return CorpusError(
        f"{where}not {encoding}: byte 0x{error.object[error.start]:02x} at {place} (byte {at}, "
        f"{error.reason}); {advice}"
    )


def _wide_advice(head: bytes) -> str:
    encoding = wide_encoding(head)
    return f": it looks like {encoding}" if encoding else ""


def tidy(pieces: Iterator[str], newlines: str, normalize: Literal["none"] | Form) -> Iterator[str]:
    """The pieces with CRLF and CR converted to LF (unless newlines="keep"), in a Unicode
    normalization form (unless "none").
    """
    if newlines == "lf":
        pieces = _with_lf(pieces)
    return pieces if normalize == "none" else _normalized(pieces, normalize)


def _with_lf(pieces: Iterator[str]) -> Iterator[str]:
    # Holds back a CR at the end of a piece: an LF may follow.
    translator = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in pieces:
        yield translator.decode(piece)
    yield translator.decode("", final=True)


def _normalized(pieces: Iterator[str], form: Form) -> Iterator[str]:
    # Cut before an ASCII character: no form changes it or combines it with the preceding text. A
    # piece without one is held back as a whole.
    held: list[str] = []
    for piece in pieces:
        cut = next((i for i in range(len(piece) - 1, -1, -1) if piece[i].isascii()), None)
        if cut is None:
            held.append(piece)
        else:
            yield unicodedata.normalize(form, "".join(held) + piece[:cut])
            held = [piece[cut:]]
    yield unicodedata.normalize(form, "".join(held))

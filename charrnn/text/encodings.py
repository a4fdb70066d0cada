"""What the bytes of text files say before they are decoded: marks, ends of lines, encodings."""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

from charrnn.errors import CorpusError
from charrnn.text.contents import read_bytes
from charrnn.text.kinds import is_written, wide_encoding
from charrnn.text.sources import InputFile

_MARKS = "‘’“”„–—…«»"
# letters of Latin words stand among those of ASCII, and others side by side
_ALONE = "(?<![^\0-\x7f]{{2}})[{0}](?![^\0-\x7f]{{2}})"
_BESIDE = "[{0}](?=[^\0-\x7f])|(?<=[^\0-\x7f])[{0}]"
_WESTERN = f"à-ïñ-öø-üÿÀ-ÏÑ-ÖØ-Ü\u00df\u0152\u0153€°§£¡¿{_MARKS}"
_EASTERN = "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽäöüőűÄÖÜŐŰßâăîşţ" + _MARKS
_CHINESE = "，。、！？：；「」的一是不了人我在有他"
_USUAL = {
    "cp1252": (0.7, _ALONE.format(_WESTERN)),
    "mac_roman": (0.7, _ALONE.format(_WESTERN)),
    "cp1250": (0.7, _ALONE.format(_EASTERN)),
    "iso8859-2": (0.7, _ALONE.format(_EASTERN)),
    "cp1254": (0.7, _ALONE.format(f"çğıöşüâîûÇĞİÖŞÜ{_MARKS}")),
    "cp1251": (0.7, _BESIDE.format(f"а-яёіїєґў№{_MARKS}")),
    "koi8-r": (0.7, _BESIDE.format("а-яё")),
    "cp866": (0.7, _BESIDE.format("а-яё")),
    "cp1253": (0.7, _BESIDE.format(f"α-ωά-ώ{_MARKS}")),
    "cp932": (0.35, "[ぁ-んァ-ヶー、。「」]"),
    "euc_jp": (0.35, "[ぁ-んァ-ヶー、。「」]"),
    "cp949": (0.8, "[가-힣]"),
    "gb18030": (0.2, f"[{_CHINESE}这中大来上国个到说们为子和你地出道也时得就那要下以生会自着过]"),
    "big5": (0.2, f"[{_CHINESE}這中大來上國個到說們為子和你地出道也時得就那要下以生會自著過]"),
}
"""What is usual beyond ASCII in texts of each encoding, and which fraction of it is at least; of
two that fit equally well, the first is taken.
"""

_OF_ICONV = {
    **{"latin-1": "latin1", "mac_roman": "macintosh", "euc_jp": "euc-jp"},
    **{f"utf-{bits}-{end}": f"utf-{bits}{end}" for bits in (16, 32) for end in ("le", "be")},
}


def iconv_name(encoding: str) -> str:
    """The name of one of these encodings for the program iconv."""
    return _OF_ICONV.get(encoding, encoding)


@dataclass
class Marks:
    """What stands in files between the characters: how many of them begin with a byte order mark,
    and how many lines end with each of LF, CRLF and CR.
    """

    byte_order_marks: int = 0
    line_ends: Counter[str] = field(default_factory=Counter)


def marks_of(files: Iterable[InputFile], encoding: str, stdin: BinaryIO | None = None) -> Marks:
    """The marks of files, which are read once more."""
    found = Marks()
    for file in files:
        decoder, held, is_first = codecs.getincrementaldecoder(encoding)("replace"), "", True
        for chunk in chain(_bytes(file, stdin), [b""]):
            text = held + decoder.decode(chunk, final=not chunk)
            found.byte_order_marks += is_first and text.startswith("\ufeff")
            is_first = is_first and not text
            held = "\r" if chunk and text.endswith("\r") else ""  # an LF may follow
            _count(text.removesuffix(held), found.line_ends)
    return found


def _bytes(file: InputFile, stdin: BinaryIO | None) -> Iterator[bytes]:
    if stdin is not None:
        stdin.seek(0)
    return read_bytes(file, stdin, lambda n: None)


def _count(text: str, ends: Counter[str]) -> None:
    both = text.count("\r\n") if "\r" in text else 0
    ends["CRLF"] += both
    ends["LF"] += text.count("\n") - both
    ends["CR"] += text.count("\r") - both


def guess_encoding(files: Iterable[InputFile], stdin: BinaryIO | None = None) -> str | None:
    """The encoding of files that are not all UTF-8; None if it is not clear.

    `CorpusError` if some are UTF-8 and others are not.
    """
    guess = path = other = None
    for file in files:
        if file.in_folder and not is_written(file.path):
            continue  # it is not read
        for head in _bytes(file, stdin):
            wide = wide_encoding(head)
            break
        else:
            continue
        sample, is_utf8 = (b"", False) if wide else _not_utf8(_bytes(file, stdin))
        if wide or sample:
            path, guess = path or file.path, guess or wide or _likeliest(sample)
        elif is_utf8:
            other = file.path
    if path is None or guess is None:
        return None
    if other is not None:
        raise CorpusError(
            f"{path}: not UTF-8, as {other} is: it looks like {guess}; convert it first: "
            f"iconv -f {iconv_name(guess)} -t utf-8"
        )
    return guess


def _not_utf8(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first piece that is not UTF-8, from a line's beginning on; empty if all is, and then
    whether anything is beyond ASCII.
    """
    decoder, is_first, is_strange = codecs.getincrementaldecoder("utf-8")(), True, False
    for chunk in chunks:
        try:
            is_strange = not decoder.decode(chunk).isascii() or is_strange
        except UnicodeDecodeError:
            rest = chunk[chunk.find(b"\n") + 1 :]
            return chunk if is_first or rest.isascii() else rest, False
        is_first = False
    return b"", is_strange


def _likeliest(sample: bytes) -> str | None:
    """The encoding whose usual characters make most of what is beyond ASCII in the sample; None if
    that is mostly UTF-8, or if no encoding fits.
    """
    lost = sample.decode("utf-8", "replace").count("\ufffd")
    if len(sample.decode("utf-8", "ignore").encode("ascii", "ignore")) + 4 * lost < len(sample):
        return None
    rated = {encoding: _rating(sample, encoding) for encoding in _USUAL}
    best = max(rated, key=lambda encoding: rated[encoding])
    return best if rated[best] >= 1 else None


def _rating(sample: bytes, encoding: str) -> float:
    """Which fraction of the characters beyond ASCII is usual in an encoding, as a multiple of the
    least that a text in it has.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return 0.0
    least, usual = _USUAL[encoding]
    strange = len(re.sub(r"[\0-\x7f]+", "", text))
    return len(re.findall(usual, text)) / max(1, strange) / least

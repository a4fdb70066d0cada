"""Findings about the characters of a text: encoding, line ends, invisible and rare ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np

from charrnn.text.corpus import Corpus
from charrnn.text.decoding import codec_name, is_wide
from charrnn.text.encodings import Marks, iconv_name
from charrnn.text.findings import Examined, Finding, Level
from charrnn.text.misread import find_misread
from charrnn.text.vocab import counted, name_of

RARE = 2
"""A symbol that occurs no more often than this can hardly be learned."""
FOLDED = 0.001
"""Fraction of the text that may become the unknown symbol without harm."""
NAMED = 4
"""Symbols that a finding names."""
LOST = 1e-4
"""Fraction of the characters that may have been lost or misread in an earlier conversion."""
_JOINERS = "\u200c\u200d"  # parts of words in some scripts, and of emoji
_VISIBLE = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Format characters that are printed: signs above or around numbers."""
_CONTROL = {"\b": "backspace", "\v": "vertical tab", "\f": "form feed", "\x1b": "escape"}


def encoding(text: Examined, marks: Marks, is_guess: bool) -> Iterator[Finding]:
    """The encoding, and whether the text was decoded wrongly once."""
    name = text.corpus.config.encoding
    if is_guess:
        yield Finding("encoding", "fix", f"not UTF-8; it looks like {name}", {"encoding": name})
        return
    files = counted(marks.byte_order_marks, "file")
    mark = f"; {files} with a byte order mark, which is left out" if marks.byte_order_marks else ""
    wrong = [*misread(text), *lost(text)]
    yield from wrong or [Finding("encoding", "ok", f"{name}{mark}")]


def misread(text: Examined) -> Iterator[Finding]:
    """UTF-8 that was read as another encoding."""
    corpus = text.corpus
    counts = np.array([text.counts.get(symbol, 0) for symbol in corpus.vocab.symbols])
    found = find_misread(corpus.ids, corpus.vocab, counts)
    if found is None:
        return
    line, where = text.line(found.first)
    what = f"{found.shown!r} in {where} was {found.meant!r}, one of {found.groups:,} such groups"
    name = corpus.config.encoding
    is_utf8 = codec_name(name) == "utf-8"
    if not is_utf8 and not is_wide(name) and (found.is_whole or _may_be_utf8(corpus)):
        yield Finding(
            "encoding",
            "fix",
            f"{what}: the text is UTF-8; leave out `encoding` {name}",
            {"encoding": "utf-8"},
            (line,),
        )
        return
    program = "ftfy" if is_utf8 else f"ftfy -e {iconv_name(name)}"
    how = "Mend it with the Python package ftfy"
    if found.is_whole:  # -c drops a byte order mark, which the other encoding may lack
        how = "Mend it"
        before = "utf-8" if is_utf8 else iconv_name(name)
        program = f"iconv -c -f {before} -t {iconv_name(found.encoding)}"
    level: Level = "fix" if found.groups > LOST * len(corpus) else "note"
    is_mended = level == "fix" and len(corpus.sources) == 1
    yield Finding(
        "encoding",
        level,
        f"{what}: UTF-8 was once read as {found.encoding}. {how}:",
        {"encoding": "utf-8"} if is_mended and not is_utf8 else {},  # of what is mended
        (line,),
        command=text.through(program),
    )


def _may_be_utf8(corpus: Corpus) -> bool:
    """Whether the bytes that were read in another encoding are UTF-8, or were not all kept."""
    config = corpus.config
    if config.encoding_errors != "strict":
        return True
    try:
        corpus.vocab.decode(corpus.ids).encode(config.encoding).decode("utf-8")
    except UnicodeError:
        return False
    return True


def lost(text: Examined) -> Iterator[Finding]:
    """Characters that an earlier conversion could not read."""
    count = text.counts.get("\ufffd", 0)
    if count:
        line, where = text.line(int(text.where("\ufffd")[0]))
        level: Level = "fix" if count > LOST * len(text.corpus) else "note"
        what = f"{counted(count, 'character')} lost in an earlier conversion (U+FFFD, {where})"
        advice = "take the text from its source again"
        if text.corpus.config.encoding_errors == "replace":
            what = f"{counted(count, 'character')} lost (U+FFFD, {where})"
            advice = "name the real `encoding`; charrnn check guesses it without `encoding_errors`"
        yield Finding("encoding", level, f"{what}: {advice}", {}, (line,))


def line_ends(text: Examined, marks: Marks) -> Iterator[Finding]:
    """How lines end."""
    ends = {end: count for end, count in marks.line_ends.items() if count}
    each = ", ".join(f"{end} {count:,}" for end, count in ends.items())
    if not ends:
        yield Finding("line ends", "note", "the text is one line")
    elif set(ends) == {"LF"}:
        yield Finding("line ends", "ok", "LF")
    elif text.corpus.config.newlines == "keep":
        yield Finding("line ends", "note", f"{each}; with `newlines` keep, CR is a symbol too")
    elif len(ends) == 1:
        yield Finding("line ends", "ok", f"{next(iter(ends))}, read as LF")
    else:
        yield Finding("line ends", "note", f"mixed: {each}; all are read as LF")


def control_characters(text: Examined) -> Iterator[Finding]:
    """Characters that nobody sees, in which text that was copied from elsewhere abounds."""
    found = {symbol: n for symbol, n in text.counts.items() if _is_invisible(symbol)}
    if not found:
        return
    lines, names = [], []
    for symbol in sorted(found, key=lambda symbol: -found[symbol])[:NAMED]:
        line, where = text.line(int(text.where(symbol)[0]))
        lines.append(line)
        name = unicodedata.name(symbol, _CONTROL.get(symbol, "control character")).lower()
        names.append(f"U+{ord(symbol):04X} {name}, {counted(found[symbol], 'time')} ({where})")
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    codes = "".join(f"\\x{{{ord(symbol):x}}}" for symbol in sorted(found))
    is_utf8 = codec_name(text.corpus.config.encoding) == "utf-8"  # else perl would misread it
    yield Finding(
        "invisible",
        "note",
        f"the network will write them too: {'; '.join(names)}{more}. Take them out{':' * is_utf8}",
        lines=tuple(lines),
        command=text.through(f"perl -CSD -pe 's/[{codes}]//g'", "clean.txt") if is_utf8 else "",
    )


def _is_invisible(symbol: str) -> bool:
    if symbol in "\n\t\r" or symbol in _JOINERS or symbol in _VISIBLE:
        return False
    return unicodedata.category(symbol) in ("Cc", "Cf", "Cn", "Co", "Zl", "Zp")


def symbols(text: Examined) -> Finding:
    """The alphabet, and its rarest symbols."""
    counts, size = text.counts, len(text.corpus)
    rare = [symbol for symbol, n in counts.items() if n <= RARE and not _is_invisible(symbol)]
    kinds = f"{len(counts):,} kinds"
    if not rare:
        return Finding("symbols", "ok", f"{kinds}, none of which occurs only once or twice")
    lines, names = [], []
    for symbol in rare[:NAMED]:
        line, where = text.line(int(text.where(symbol)[0]))
        lines.append(line)
        names.append(f"{name_of(symbol, text.corpus.vocab.unit)} in {where}")
    more = f" and {len(rare) - NAMED:,} more" if len(rare) > NAMED else ""
    occur = "occurs" if len(rare) == 1 else "occur"
    what = f"{len(rare):,} of {kinds} {occur} once or twice: {', '.join(names)}{more}"
    if sum(counts[symbol] for symbol in rare) > FOLDED * size:
        return Finding("symbols", "note", f"{what}; more text would help", {}, tuple(lines))
    them = "it" if len(rare) == 1 else "them"
    advice = f"`min_count` {RARE + 1} makes one unknown symbol of {them}, which is never written"
    return Finding("symbols", "note", f"{what}. {advice}", {"min_count": RARE + 1}, tuple(lines))


def accents(text: Examined) -> Iterator[Finding]:
    """Letters that are written with a combining accent though there is a letter with it."""
    corpus, marks = text.corpus, [symbol for symbol in text.counts if unicodedata.combining(symbol)]
    places = text.where(marks) if marks and corpus.config.normalize == "none" else np.empty(0, int)
    places = places[places > 0]
    if not len(places):
        return
    pairs, firsts, times = np.unique(
        corpus.ids[places - 1].astype(np.int64) << 16 | corpus.ids[places],
        return_index=True,
        return_counts=True,
    )
    code = [chr(code) for code in corpus.vocab.codes]
    is_one = [
        len(unicodedata.normalize("NFC", code[pair >> 16] + code[pair & 0xFFFF])) == 1
        for pair in pairs.tolist()
    ]
    if not any(is_one):
        return
    line, where = text.line(int(places[firsts[is_one].min()]))
    count = counted(int(times[is_one].sum()), "letter")
    yield Finding(
        "accents",
        "fix",
        f"{count} with the accent as a character of its own (first in {where}); `normalize` NFC "
        "makes one character of both",
        {"normalize": "NFC"},
        (line,),
    )

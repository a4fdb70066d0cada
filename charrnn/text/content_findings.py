"""Findings about what a text consists of: repeated passages, documents, and its size."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

import numpy as np

from charrnn.text.corpus import Corpus, part_sizes
from charrnn.text.findings import Examined, Finding
from charrnn.text.repeats import find_repeats, repeated_lines
from charrnn.text.separators import likely_separator
from charrnn.text.vocab import counted

LITTLE_REPEATED, MUCH_REPEATED, LEAKED = 0.01, 0.1, 0.05
"""Fractions of a text that are worth a note, of a text that should be mended, and of a validation
part that make its loss look too good.
"""
WIDTH = 40
"""Characters of a line that are shown."""
SAME_LINE, SAME_LINES = 20, 0.005
"""A line that occurs as often, and makes as much of all lines, is no text but the head of a page or
the like.
"""
SORTED = ", in alphabetical order, so that the end, which is held out, is unlike the rest"
LONGEST_LIST = 10_000_000
"""Characters of a list in which items that occur twice are counted."""
ROUGH, LOSS_SPREAD = 2000, 1.6
"""Characters of a validation part whose loss says little; and the standard deviation, in nats, of
the loss of a character.
"""
SHORT = 100_000
"""Characters from which on a network learns to spell, about."""


def repeats(text: Examined, progress: Callable[[int, int], None] | None = None) -> Finding:
    """How much of the text stands in it twice, and on both sides of the split."""
    corpus = text.corpus
    found = find_repeats(corpus.ids, len(corpus.train), progress)
    leaked = found.leaked
    if not np.may_share_memory(corpus.train, corpus.ids):  # documents were drawn for validation
        both = np.concatenate([corpus.train, corpus.validation])
        leaked = find_repeats(both, len(corpus.train)).leaked
    share = f"{100 * found.share:.3g} % of the text is in passages that stand in it before"
    if not found.share:
        share = "no passage stands in the text twice"
    if found.share < LITTLE_REPEATED and leaked < LEAKED:
        return Finding("repeats", "ok", share)
    lines: tuple[int, ...] = ()
    if found.passages:
        passage = found.passages[0]
        (one, where), (other, again) = text.line(passage.first), text.line(passage.again)
        lines = one, other
        share += f"; the longest, {counted(passage.length, 'character')}: {where} and {again}"
    if leaked >= LEAKED:
        share += (
            f". {100 * leaked:.0f} % of the held-out part stands in the training text too, so its "
            "loss will look better than it is"
        )
    is_much = leaked >= LEAKED or found.share >= MUCH_REPEATED
    advice = ". Take the copies out" if is_much else ""
    return Finding("repeats", "fix" if is_much else "note", share + advice, {}, lines)


def _quote(line: str) -> str:
    """A line of the text in a finding, where backticks are for settings."""
    return repr(line).replace("`", "\N{LEFT SINGLE QUOTATION MARK}")


def same_lines(text: Examined) -> Iterator[Finding]:
    """A line that occurs again and again, such as the head of each page."""
    found = repeated_lines(text.corpus.ids, text.line_ends)
    if found.times < max(SAME_LINE, SAME_LINES * found.lines):
        return
    first = found.most_frequent
    shown, *rest = text.corpus.vocab.decode(text.corpus.ids[first : first + WIDTH]).split("\n")
    if shown.endswith((":", ".")) and rest:
        return  # names of speakers
    line, where = text.line(first)
    yield Finding(
        "lines",
        "note",
        f"{_quote(shown)} occurs {found.times:,} times as a line, first as {where}; if it does not "
        "belong to the text, take it out",
        lines=(line,),
    )


def documents(text: Examined) -> Finding:
    """Whether the text is one, or a collection."""
    corpus = text.corpus
    pattern = corpus.config.document_separator
    if pattern is not None:
        starts = corpus.document_starts
        count = 1 + (0 if starts is None else len(starts))
        if count > 1 + len(part_sizes(corpus.sources)):  # each part begins one
            return Finding("documents", "ok", f"{count:,}")
        what = f"`document_separator` {pattern!r} does not match anywhere in the text"
        return Finding("documents", "fix", what)
    found = likely_separator(corpus.ids, corpus.vocab, text.line_ends)
    if found is None:
        files = f" of {len(corpus.sources):,} files" if len(corpus.sources) > 1 else ""
        return Finding("documents", "ok", f"one text{files}")
    what = {
        "line": f"each of {found.documents:,} lines seems to be a text of its own"
        f"{_same_items(corpus) if found.kind == 'line' else ''}"
        f"{SORTED if found.is_sorted else ''}",
        "rule": f"lines like {found.shown!r} seem to part {found.documents:,} documents",
        "blank lines": f"blank lines seem to part {found.documents:,} documents",
    }[found.kind]
    advice = (
        f"with `document_separator` {shlex.quote(found.pattern)} the network begins each with an "
        "empty memory, and some of all are held out"
    )
    if found.kind == "blank lines":  # they may be there for other reasons
        return Finding("documents", "note", f"{what}; if they do, {advice}")
    return Finding("documents", "fix", f"{what}; {advice}", {"document_separator": found.pattern})


def _same_items(corpus: Corpus) -> str:
    """How many lines of a list stand in it before."""
    if len(corpus) > LONGEST_LIST:
        return ""
    lines = corpus.vocab.decode(corpus.ids).split("\n")
    again = len(lines) - len(set(lines))
    return f" ({again:,} of them repeat another)" if again else ""


def size(text: Examined) -> Finding:
    """Whether there is enough text to learn from, and to measure the loss on."""
    corpus = text.corpus
    unit = "byte" if corpus.vocab.unit == "byte" else "character"
    train, held_out = len(corpus.train), len(corpus.validation)
    short = (
        ". It is short for a network: add text, or start from one that was trained on similar text "
        "(`init_from`)"
        if train < SHORT
        else ""
    )
    if held_out < 2:
        what = f"{counted(train, unit)} to train on, and none is held out to see overfitting"
        return Finding("size", "note", what + short)
    what = f"{counted(train, unit)} to train on, {held_out:,} held out"
    if held_out < ROUGH:
        spread = 2 * LOSS_SPREAD / held_out**0.5
        what += f", too few to know the loss better than to {spread:.1f} nats"
    return Finding("size", "note" if short or held_out < ROUGH else "ok", what + short)

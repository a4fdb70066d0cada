"""`charrnn overlap`: the passages of a text that stand in a corpus too."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import PATH, json_option, options_for, threads_option
from charrnn.config import CorpusConfig

if TYPE_CHECKING:
    from charrnn.text.overlap import SharedPassage

SHOWN = 20
"""Passages that are listed unless --most says otherwise."""
EXCERPT, AROUND = 240, 30
"""Characters of a passage that the list shows, and before and after it."""

EPILOG = """\b
Examples:
  charrnn overlap sample.txt book.txt
  charrnn sample | charrnn overlap - data/plays.txt
  charrnn overlap story.txt books/ --folded --at-least 40
  charrnn overlap story.txt books/ --json | jq '.passages[0]'
"""


@click.command("overlap", epilog=EPILOG)
@click.argument("text", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option(
    "--at-least",
    type=click.IntRange(min=1),
    default=28,
    show_default=True,
    metavar="N",
    help="The shortest passage, in characters. Held-out Shakespeare shares at most 27 with the "
    "rest of it.",
)
@click.option("--folded", is_flag=True, help="Ignore case, punctuation, and the kind of spaces.")
@click.option(
    "--most", type=click.IntRange(min=1), metavar="K", help="List only the K longest. [default: 20]"
)
@click.option("--marked", is_flag=True, help="Print the whole text with its passages marked.")
@options_for(
    CorpusConfig, without=("min_count", "val_fraction", "test_fraction", "document_separator")
)
@threads_option
@json_option("Print one JSON object with all passages, or the K longest.")
def overlap_(
    text: str,
    corpus: tuple[str, ...],
    at_least: int,
    folded: bool,
    most: int | None,
    marked: bool,
    threads: int | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """List the passages of TEXT that stand in CORPUS too, longest first.

    TEXT is a file, or - for standard input; CORPUS is files, globs and folders, read as charrnn
    train reads them. A passage is as long as it can be: with one more character, at either end, it
    stands nowhere in the corpus. Its place in the corpus is the first one.
    """
    config = CorpusConfig(**{name: value for name, value in reading.items() if value is not None})
    if marked and as_json:
        raise click.UsageError("--marked and --json cannot both be given")
    from charrnn.compiler.compiling import LARGE_TEXTS
    from charrnn.text.reading import read_whole, uses_kernels
    from charrnn.text.sources import find, summary

    if text == "-" and "-" in corpus:
        raise click.UsageError("standard input (-) can be TEXT or CORPUS, not both")
    files = find(corpus).files  # reports a missing one before the text is read
    content = read_whole(text, config)
    large = [LARGE_TEXTS] if uses_kernels(files, config) else []
    load_kernels("suffixes", "overlap", *large, network=False)
    from charrnn.runtime.threads import Workers
    from charrnn.text.corpus import Corpus
    from charrnn.text.overlap import copied, overlap

    with terminal.progress_bar("reading") as bar:
        read = Corpus.read(corpus, config, progress=bar)
    if read.skipped:
        terminal.say(f"left out: {terminal.one_line(summary(read.skipped))}")
    with terminal.progress_bar("comparing", unit="char") as bar, closing(Workers(threads)) as pool:
        passages = overlap(content, read, at_least, fold=folded, workers=pool, progress=bar)
    in_all = sum(end - start for start, end in copied(passages))
    if as_json:
        shown = [_fields(content, each) for each in passages[:most]]
        about = {"text": text, "characters": len(content), "copied": in_all, "folded": folded}
        about |= {"at_least": at_least, "found": len(passages), "passages": shown}
        click.echo(terminal.json_text(about))
        return
    in_short = _summary(content, in_all, passages, at_least)
    whole = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
    if marked:
        parts = copied(passages)
        if isinstance(content, bytes):
            parts = _in_characters(whole, parts)
        _print_marked(whole, parts)
        terminal.say(in_short)
        return
    terminal.show(in_short)
    for passage in passages[: most or SHOWN]:
        _print_passage(content, passage)
    if most is None and len(passages) > SHOWN:
        terminal.say(f"{len(passages) - SHOWN:,} more; --most {len(passages)} lists them all")


def _in_characters(text: str, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts that are given by bytes, each with the whole of its first and last character."""
    import numpy as np

    from charrnn.text.graphemes import sizes_in_bytes

    sizes = sizes_in_bytes(text)
    begins = np.cumsum(sizes) - sizes
    firsts, ends = np.array(parts, np.int64).reshape(-1, 2).T
    firsts, ends = np.searchsorted(begins, firsts, "right") - 1, np.searchsorted(begins, ends)
    firsts[1:] = np.maximum(firsts[1:], ends[:-1])  # two parts of one character
    return [(int(first), int(end)) for first, end in zip(firsts, ends, strict=True)]


def _text_of(content: str | bytes, start: int, end: int) -> str:
    """A part of a text; bytes that are not UTF-8 are surrogates."""
    part = content[max(start, 0) : end]
    return part if isinstance(part, str) else part.decode("utf-8", "surrogateescape")


def _noun(content: str | bytes) -> str:
    return "character" if isinstance(content, str) else "byte"


def _fields(content: str | bytes, passage: SharedPassage) -> dict[str, Any]:
    text = _text_of(content, passage.start, passage.end)
    valid = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return {**asdict(passage), "passage": valid}


def _summary(
    content: str | bytes, in_all: int, passages: list[SharedPassage], at_least: int
) -> str:
    from charrnn.text.vocab import counted

    noun = _noun(content)
    size = counted(len(content), noun)
    if not passages:
        return f"no passage of {counted(at_least, noun)} or more stands in the corpus"
    return (
        f"{in_all:,} of {size} ({in_all / len(content):.1%}) stand in the corpus, in "
        f"{counted(len(passages), 'passage')} of {at_least} or more; the longest has "
        f"{passages[0].length:,}"
    )


def _print_passage(content: str | bytes, passage: SharedPassage) -> None:
    """Where a passage stands, and the passage; in a terminal with colors, between what surrounds
    it.
    """
    start, end = passage.start, passage.end
    path = terminal.one_line(os.path.relpath(passage.path) if passage.path != "-" else "-")
    place = f"line {passage.line:,}, column {passage.column:,}"
    where = f"{place}; {path}, line {passage.corpus_line:,}"
    terminal.show(f"\n{passage.length:,} {_noun(content)}s: {where}")
    text = terminal.one_line(_text_of(content, start, end))
    if len(text) > EXCERPT:
        text = f"{text[: EXCERPT // 2]} ... {text[-EXCERPT // 2 :]}"
    if terminal.has_color(sys.stdout):
        before = terminal.one_line(_text_of(content, start - AROUND, start))
        after = terminal.one_line(_text_of(content, end, end + AROUND))
        dim = terminal.dim
        print(f"  {dim(before, sys.stdout)}{_marked(text)}{dim(after, sys.stdout)}", flush=True)
    else:
        terminal.show(f'  "{text}"')


def _print_marked(text: str, parts: list[tuple[int, int]]) -> None:
    """The text on standard output, with these parts marked."""
    done, pieces = 0, []
    for start, end in parts:
        pieces += [terminal.escaped(text[done:start], sys.stdout)]
        pieces += [_marked(terminal.escaped(text[start:end], sys.stdout))]
        done = end
    pieces.append(terminal.escaped(text[done:], sys.stdout))
    whole = "".join(pieces)
    print(whole, end="" if whole.endswith("\n") or not whole else "\n", flush=True)


def _marked(text: str) -> str:
    """A passage in color, line by line; without colors, in double brackets."""
    if not terminal.has_color(sys.stdout):
        return f"[[{text}]]"
    return "\n".join(f"\x1b[1;33m{line}\x1b[0m" if line else "" for line in text.split("\n"))

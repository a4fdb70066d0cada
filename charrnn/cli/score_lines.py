"""`charrnn score --per-line`: every line of a text scored by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.errors import VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.evaluation.evaluate import Evaluation
    from charrnn.runtime.threads import Workers
    from charrnn.text.vocab import TextIds, Vocab

BLOCK = 4096
"""Lines read before their values are printed."""


def print_line_losses(
    networks: Mixture,
    texts: Sequence[str],
    decoding: Mapping[str, Any],
    unknown: str,
    as_json: bool,
    workers: Workers,
) -> None:
    """Print the loss of each line of a text, or why it has none; `VocabError` at the end if there
    were such lines.

    decoding: settings of how the text is read that differ from the network's, unless None.
    """
    from charrnn.text.lines import lines_of

    vocab, chosen = networks.vocab, {name: each for name, each in decoding.items() if each}
    config = replace(networks[0].corpus_config, **chosen)
    # a line with bytes that cannot be decoded fails alone
    lines = lines_of(
        texts, config, errors="surrogateescape" if config.encoding_errors == "strict" else None
    )
    number = failed = 0
    while block := list(islice(lines, BLOCK)):
        read = [_ids_of(line, vocab, unknown) for line in block]
        found = _evaluated(networks, [ids for ids in read if not isinstance(ids, str)], workers)
        for ids in read:
            number += 1
            failed += isinstance(ids, str)
            result = ids if isinstance(ids, str) else next(found)
            click.echo(_as_json(number, result) if as_json else _as_text(result))
    if failed:
        raise VocabError(
            f"not scored: {failed:,} of {number:,} lines, with characters that are not in the "
            "vocabulary (use `unknown` skip or nearest) or bytes that are not text (use "
            "`encoding_errors` replace or ignore)"
        )


def _ids_of(line: str | bytes, vocab: Vocab, unknown: str) -> TextIds | str:
    """The ids of a line, or why it cannot be encoded."""
    if isinstance(line, str) and (byte := re.search("[\udc80-\udcff]", line)):
        return f"not text: byte 0x{ord(byte[0]) - 0xDC00:02x} at column {byte.start() + 1}"
    if unknown == "error" and vocab.unknown is not None:
        unknown = "fold"
    try:
        return vocab.encode(line, unknown)  # type: ignore[arg-type]
    except VocabError as error:
        return str(error).rpartition(";")[0]


def _evaluated(
    networks: Mixture, read: Sequence[TextIds], workers: Workers
) -> Iterator[Evaluation | None]:
    """The evaluation of each line, None for an empty one."""
    from charrnn.evaluation.texts import evaluate_texts
    from charrnn.text.documents import resets

    vocab, pattern = networks.vocab, networks[0].corpus_config.document_separator
    full = [ids for ids in read if len(ids)]
    found = iter(
        evaluate_texts(
            networks,
            full,
            [network.opening for network in networks],
            starts=None if pattern is None else [resets(ids, vocab, pattern) for ids in full],
            workers=workers,
        )
    )
    return (next(found) if len(ids) else None for ids in read)


def _as_text(result: Evaluation | str | None) -> str:
    """A line of output: nats per character, - for an empty line."""
    if isinstance(result, str):
        return f"error: {terminal.one_line(result)}"
    return "-" if result is None else f"{result.nats_per_char:.6f}"


def _as_json(number: int, result: Evaluation | str | None) -> str:
    """A line of output as a JSON object; nats are those of the whole line."""
    if isinstance(result, str):
        return terminal.json_text({"line": number, "error": result})
    characters = nats = 0.0
    per_char = dict.fromkeys(("nats_per_char", "bits_per_char"))
    if result is not None:
        characters, nats = result.characters, result.nats_per_char * result.characters
        per_char = {name: getattr(result, name) for name in per_char}
    about = {"line": number, "characters": int(characters), "nats": nats, **per_char}
    return terminal.json_text(about)

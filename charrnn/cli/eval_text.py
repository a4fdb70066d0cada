"""The text that a network is judged on: a part of its own, or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.inputs import read_text
from charrnn.errors import CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.cli.checkpoints import Member
    from charrnn.text.corpus import Corpus
    from charrnn.text.documents import Starts
    from charrnn.training.run import Run


def own_text(run: Run, split: str) -> tuple[Any, Starts | None]:
    """A part of the text that a run was started on, and where documents begin in it.

    It is read again; `CorpusError` if it is gone, has changed, or is empty.
    """
    paths = [source.path for source in run.sources]
    if "-" in paths:
        raise CorpusError(
            "the run's text came from standard input; name one: charrnn eval CHECKPOINT TEXT"
        )
    corpus = _read(run, paths)
    run.check_text(corpus)
    ids, starts = {
        "train": (corpus.train, corpus.train_starts),
        "validation": (corpus.validation, corpus.validation_starts),
        "test": (corpus.test, corpus.test_starts),
    }[split]
    if len(ids) < 2:
        flag = "--test-fraction" if split == "test" else "--val-fraction"
        raise CorpusError(
            f"the run has no {split} part (it was trained with {flag} 0, or the text is short); "
            "name a TEXT to eval"
        )
    return ids, starts


def _read(run: Run, paths: Sequence[str]) -> Corpus:
    if not paths:
        raise CorpusError(
            "the run does not say where its text is; name one: charrnn eval CHECKPOINT TEXT"
        )
    try:
        return read_text(paths, run.corpus_config, vocab=run.vocab)
    except VocabError as error:
        raise CorpusError(f"the run's text has changed: {error}") from None
    except CorpusError as error:
        raise CorpusError(
            f"the run's text: {error}, or name a text: charrnn eval CHECKPOINT TEXT"
        ) from None


def other_text(
    run: Run, texts: Sequence[str], encoding: str | None, unknown: str
) -> tuple[Any, Starts | None]:
    """The ids of another text, and where documents begin in what the network reads of it."""
    from charrnn.text.documents import document_starts

    ids, separator = _other_ids(run, texts, encoding, unknown), run.corpus_config.document_separator
    return ids, None if separator is None else document_starts(ids, run.vocab, separator)


def _other_ids(run: Run, texts: Sequence[str], encoding: str | None, unknown: str) -> Any:
    """All of another text in the ids of the run's vocabulary; `VocabError` for characters that it
    lacks, if "error".
    """
    config = replace(run.corpus_config, val_fraction=0.0, test_fraction=0.0)
    config = replace(config, min_count=1, encoding=encoding or config.encoding)
    if unknown != "error":
        return _known(read_text(texts, config, extend=run.vocab), run, unknown)
    try:
        return read_text(texts, config, vocab=run.vocab).ids
    except VocabError as error:
        raise VocabError(f"{error}, or eval with --unknown skip or --unknown nearest") from None


def _known(corpus: Corpus, run: Run, unknown: str) -> Any:
    """The ids without those of symbols that the run does not know, or with the nearest symbol's in
    their place.
    """
    import numpy as np

    symbols, known = corpus.vocab.symbols, len(run.vocab)
    table = np.arange(len(symbols), dtype=np.int32)
    for i in range(known, len(symbols)):
        alike = run.vocab.nearest(symbols[i]) if unknown == "nearest" else None
        table[i] = -1 if alike is None else run.vocab.index[alike]
    if (table >= 0).all() and known == len(symbols):
        return corpus.ids
    ids = table[corpus.ids]
    return ids[ids >= 0].astype(run.vocab.dtype)


def tell_of_other_texts(members: Sequence[Member]) -> None:
    """Warn of members of an ensemble that may have been trained on the part of the first's text
    that they are judged on.
    """
    first = members[0].run
    for member in members[1:]:
        parts = ("val_fraction", "test_fraction")
        same_parts = all(
            getattr(member.run.corpus_config, p) == getattr(first.corpus_config, p) for p in parts
        )
        if member.run.sha256 != first.sha256 or not same_parts:
            terminal.tell(
                f"{terminal.one_line(str(member.path))} was trained on another text, or on "
                "another part of it: it may know this one"
            )

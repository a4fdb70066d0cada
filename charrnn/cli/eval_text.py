"""The text to evaluate a network on: part of its own, or another text.

A `Text` is a pair: its ids, and the positions before whose characters the state is set
to zero (`documents.resets`; None without documents).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from charrnn.cli import terminal
from charrnn.cli.inputs import read_text
from charrnn.errors import CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.checkpoints import Member
    from charrnn.text.corpus import Corpus
    from charrnn.text.documents import Positions
    from charrnn.text.vocab import TextIds, Vocab

    Text: TypeAlias = tuple[TextIds, Positions | None]


def own_text(member: Member, texts: Sequence[str], split: str) -> Text:
    """One part of the text that a network was trained on.

    It is read again from `texts`, or if there are none, from the paths that the run recorded;
    `CorpusError` if it is missing, has changed, or lacks that part.
    """
    from charrnn.training.run_file import describe_run

    network, run = member.trained, None if texts else describe_run(member.path)
    paths = texts or (run["paths"] if run else [])
    if not paths or ("-" in paths and not texts):
        name = terminal.one_line(str(member.path))
        why = (
            "the run's text came from standard input" if paths else f"{name}: no run file beside it"
        )
        raise CorpusError(f"{why}: pass the text it was trained on with --text")
    from charrnn.text.sources import check_recorded

    try:
        lengths = None
        if not texts:  # a file of unknown origin names them
            check_recorded(paths)
            lengths = [text.characters for text in network.origin.texts]
        corpus = read_text(
            config=network.corpus_config,
            vocab=network.vocab,
            lengths=lengths,
            **_by_part(network, paths),
        )
    except VocabError as error:
        raise CorpusError(f"the run's text has changed: {error}") from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; pass its new path with --text") from None
    network.check_text(corpus)
    ids, starts = getattr(corpus, split), getattr(corpus, f"{split}_starts")
    if len(ids) < 2:
        flag = "--test-fraction" if split == "test" else "--val-fraction"
        raise CorpusError(
            f"the run has no {split} part (it was trained with {flag} 0, or the text is short); "
            "pass a TEXT to evaluate on"
        )
    return ids, starts


def _by_part(network: Trained, paths: Sequence[str]) -> dict[str, Any]:
    """A network's own text as arguments of `read_text`. If it was trained on separate files for
    each part, `paths` are the same files in the same order.
    """
    from charrnn.text.sources import find
    from charrnn.text.vocab import counted

    texts = network.origin.texts
    if not any(text.part for text in texts):
        return {"text": paths}
    files = [file.path for file in find(paths).files]
    if len(files) != len(texts):
        names = ", ".join(terminal.one_line(text.name) for text in texts)
        counted_files = counted(len(files), "file")
        raise CorpusError(f"{counted_files} given, but the run had {len(texts)}: {names}")
    parts: dict[str, list[str]] = {"text": [], "validation": [], "test": []}
    for path, text in zip(files, texts, strict=True):
        parts[text.part or "text"].append(path)
    return parts


def other_text(
    networks: Mixture, texts: Sequence[str], decoding: Mapping[str, Any], unknown: str
) -> Text:
    """All of another text, encoded for a mixture.

    decoding: the settings `encoding` and `encoding_errors`; None as in training.
    unknown: how to treat characters that its vocabulary lacks: "error" raises `VocabError`, "skip"
        leaves them out, "nearest" replaces them with the nearest symbol.
    """
    from charrnn.text.documents import resets

    vocab, config = networks.vocab, networks[0].corpus_config
    config = replace(config, val_fraction=0.0, test_fraction=0.0, min_count=1)
    config = replace(config, **{name: value for name, value in decoding.items() if value})
    if unknown != "error":
        ids = _known(read_text(texts, config, extend=vocab), vocab, unknown)
    else:
        try:
            ids = read_text(texts, config, vocab=vocab).ids
        except VocabError as error:
            raise VocabError(f"{error}, or use --unknown skip or --unknown nearest") from None
    pattern = config.document_separator
    return ids, None if pattern is None else resets(ids, vocab, pattern)


def _known(corpus: Corpus, vocab: Vocab, unknown: str) -> TextIds:
    """The ids of a text, with symbols that it lacks left out or replaced by the nearest ones.

    The vocabulary of the corpus begins with the symbols of `vocab`.
    """
    import numpy as np

    added = corpus.vocab.symbols[len(vocab) :]
    if not added:
        return corpus.ids
    nearest = [vocab.nearest(symbol) if unknown == "nearest" else None for symbol in added]
    new_ids = [*range(len(vocab)), *(-1 if s is None else vocab.index[s] for s in nearest)]
    ids = np.array(new_ids, np.int32)[corpus.ids]
    return ids[ids >= 0].astype(vocab.dtype)


def warn_of_other_texts(members: Sequence[Member]) -> None:
    """Warn of ensemble members that may have been trained on the text being evaluated."""
    first, *others = members
    for member in others:
        if _text_of(member.trained) != _text_of(first.trained):
            terminal.say(
                f"{terminal.one_line(str(member.path))} was trained on another text, or on another "
                "part of it, so it may have seen this text"
            )


def _text_of(network: Trained) -> tuple[object, ...]:
    from charrnn.text.corpus import part_sizes

    config, origin = network.corpus_config, network.origin
    return origin.sha256, config.val_fraction, config.test_fraction, part_sizes(origin.texts)

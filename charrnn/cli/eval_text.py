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
from charrnn.cli.own_corpus import own_corpus
from charrnn.errors import CharrnnError, CorpusError, VocabError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.checkpoints import Member
    from charrnn.text.corpus import Corpus
    from charrnn.text.documents import Positions
    from charrnn.text.vocab import TextIds

    Text: TypeAlias = tuple[TextIds, Positions | None]


def own_text(member: Member, texts: Sequence[str], split: str) -> tuple[Text, Text]:
    """One part of the text that a network was trained on, and the part that it learned from, or
    nothing if that is the same.

    Errors as in `own_corpus`; `CorpusError` also if the text lacks that part.
    """
    corpus = own_corpus(member, texts)
    ids, starts = getattr(corpus, split), getattr(corpus, f"{split}_starts")
    if len(ids) < 2:
        flag = "--test-fraction" if split == "test" else "--val-fraction"
        raise CorpusError(
            f"the run has no {split} part (it was trained with {flag} 0, or the text is short); "
            "pass a TEXT to evaluate on"
        )
    return (ids, starts), nothing(member) if split == "train" else _learned(corpus)


def learned_text(member: Member) -> Text:
    """What a network learned from, or nothing if that is not there any more."""
    try:
        return _learned(own_corpus(member))
    except CharrnnError:
        return nothing(member)


def _learned(corpus: Corpus) -> Text:
    return corpus.train, corpus.train_starts


def nothing(member: Member) -> Text:
    """A text without characters."""
    return member.trained.vocab.encode(""), None


def other_text(
    networks: Mixture, texts: Sequence[str], decoding: Mapping[str, Any], unknown: str
) -> Text:
    """All of another text, encoded for a mixture; parameters as in `read_other`."""
    from charrnn.text.documents import resets

    _, ids = read_other(networks, texts, decoding, unknown)
    ids = ids[ids >= 0].astype(networks.vocab.dtype)
    pattern = networks.corpus_config.document_separator
    return ids, None if pattern is None else resets(ids, networks.vocab, pattern)


def read_other(
    network: Trained | Mixture, texts: Sequence[str], decoding: Mapping[str, Any], unknown: str
) -> tuple[Corpus, NDArray[np.int32]]:
    """Another text, in a vocabulary that has all of its symbols, and the network's id of each, -1
    for none, int32 (K,).

    decoding: the settings `encoding` and `encoding_errors`; None as in training.
    unknown: how to treat characters that the network's vocabulary lacks: "error" gives them the id
        of its symbol for such, and without one raises `VocabError`; "skip" gives them none;
        "nearest" gives them that of the nearest symbol.
    """
    import numpy as np

    vocab, config = network.vocab, network.corpus_config
    config = replace(config, val_fraction=0.0, test_fraction=0.0, min_count=1)
    config = replace(config, **{name: value for name, value in decoding.items() if value})
    if unknown == "error" and vocab.unknown is None:
        try:
            corpus = read_text(texts, config, vocab=vocab)
        except VocabError as error:
            raise VocabError(f"{error}, or use --unknown skip or --unknown nearest") from None
    else:
        corpus = read_text(texts, config, extend=vocab)
    added = corpus.vocab.symbols[len(vocab) :]  # the first ones are the network's
    others: list[int | None] = [vocab.unknown if unknown == "error" else None] * len(added)
    if unknown == "nearest":
        others = [vocab.index.get(vocab.nearest(symbol) or "") for symbol in added]
    ids = [*range(len(vocab)), *(-1 if i is None else i for i in others)]
    return corpus, np.array(ids, np.int32)[corpus.ids]


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

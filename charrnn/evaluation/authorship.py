"""Whose text it is: the likelihood of a text under several networks, each trained on one author."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.evaluate import Progress, evaluate, using
from charrnn.runtime.threads import Workers
from charrnn.text.documents import resets
from charrnn.text.endings import ends
from charrnn.text.graphemes import sizes_in_bytes

TRAINED_ON = 1_000_000
"""Characters that a network of unknown origin is taken to have read."""


@dataclass(frozen=True, eq=False)
class Authorship:
    """How probable a text of C characters is to each of R networks.

    nats: -ln p of every character, float64 (R, C).
    unknown: how many characters each network lacks, int64 (R,).
    sentences: where each sentence ends, int64 (S,); the last one is C.
    """

    nats: NDArray[np.float64] = field(repr=False)
    unknown: NDArray[np.int64]
    sentences: NDArray[np.int64] = field(repr=False)

    @property
    def totals(self) -> NDArray[np.float64]:
        """-ln p of the whole text, float64 (R,)."""
        totals: NDArray[np.float64] = self.nats.sum(axis=1)
        return totals

    @property
    def by_sentence(self) -> NDArray[np.float64]:
        """-ln p of each sentence, float64 (R, S)."""
        firsts = np.append(0, self.sentences[:-1])
        sums: NDArray[np.float64] = np.add.reduceat(self.nats, firsts, axis=1)
        return sums

    @property
    def best(self) -> int:
        """The network to which the text is most probable."""
        return int(np.argmin(self.totals))

    @property
    def posterior(self) -> NDArray[np.float64]:
        """The probability of each network if all were equally probable before, float64 (R,).

        It is far too certain. It takes each character for a piece of evidence of its own, but a
        network that lacks a word, or an author's habit, pays for it again and again. Look at
        `margin` and at the sentences.
        """
        p = np.exp(self.totals.min() - self.totals)
        posterior: NDArray[np.float64] = p / p.sum()
        return posterior

    def margin(self, other: int) -> tuple[float, float]:
        """By how many nats the best network is ahead of another one, and the standard error of
        that, which takes sentences, not characters, for independent. NaN for one sentence.
        """
        ahead = self.by_sentence[other] - self.by_sentence[self.best]
        error = math.sqrt(len(ahead)) * float(ahead.std(ddof=1)) if len(ahead) > 1 else math.nan
        return float(ahead.sum()), error


def authorship(
    networks: Sequence[Trained | Sequence[Trained]],
    text: str,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Authorship:
    """The likelihood of a text under each network, or under several as one (a `Mixture`). Every
    network reads all of it, from its opening, and predicts every character.

    The networks may have different vocabularies. All are made to share the union of them and of the
    text's characters. A network that has read n characters and lacks m of the union gives each of
    those 1 / (n + m) and multiplies its own distribution by n / (n + m) (Laplace's rule of
    succession), or, if it has a symbol for unknown characters, the probability of that symbol,
    divided by m. It does not read a character that it lacks. Bytes are treated alike, among all
    256; the loss of a character is the sum of its bytes'.

    text: a byte that is not UTF-8 is a surrogate in it (`os.fsdecode`). `CorpusError` if it is
    empty.
    """
    if len(networks) < 2:
        raise ConfigError("a comparison needs at least two networks")
    if not text:
        raise CorpusError("the text is empty")
    mixtures = [Mixture.of(each) for each in networks]
    characters = set(text).union(*(m.vocab.index for m in mixtures if m.vocab.unit == "char"))
    nats, unknown = np.empty((len(networks), len(text))), np.zeros(len(networks), np.int64)
    with using(workers) as threads:
        for row, mixture in enumerate(mixtures):

            def report(done: int, total: int, row: int = row) -> None:
                if progress is not None:
                    progress(row * total + done, len(networks) * total)

            nats[row], unknown[row] = _losses(mixture, text, characters, threads, report)
    sentences = [*ends(text, "sentence")]
    while sentences and not text[sentences[-1] :].strip():
        sentences.pop()  # the space after the last one belongs to it
    return Authorship(nats, unknown, np.array([*sentences, len(text)], np.int64))


def _losses(
    networks: Mixture, text: str, characters: set[str], workers: Workers, progress: Progress
) -> tuple[NDArray[np.float64], int]:
    """-ln p of each character (C,), and how many of them the networks lack."""
    vocab, pattern = networks.vocab, networks.corpus_config.document_separator
    is_bytes = vocab.unit == "byte"
    symbols = vocab.in_symbols(text)
    codes = np.frombuffer(symbols.encode("utf-32-le", "surrogatepass"), "<u4")
    lacking = ~np.isin(codes, [ord(symbol) for symbol in vocab.index])
    losses = np.empty(len(codes))
    read = ~lacking if vocab.unknown is None else np.ones(len(codes), np.bool_)
    if read.any():
        ids = vocab.encode(text, "skip" if vocab.unknown is None else "fold")
        losses[read] = evaluate(
            networks,
            ids,
            starts=None if pattern is None else resets(ids, vocab, pattern),
            openings=[network.opening for network in networks],
            workers=workers,
            progress=progress,
        ).losses
    missing = 256 - len(vocab.index) if is_bytes else len(characters - vocab.index.keys())
    if vocab.unknown is not None:
        losses[lacking] += math.log(max(1, missing))
    elif missing:
        read_before = sum(part.characters for part in networks[0].origin.texts) or TRAINED_ON
        losses[read] += math.log1p(missing / read_before)
        losses[lacking] = math.log(read_before + missing)
    if is_bytes:
        firsts = np.cumsum(sizes := sizes_in_bytes(text)) - sizes
        losses = np.add.reduceat(losses, firsts)
        lacking = np.logical_or.reduceat(lacking, firsts)
    return losses, int(lacking.sum())

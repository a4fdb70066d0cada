"""Several trained networks as one: the probability of a character is the weighted mean of theirs.

The vocabulary is the union of theirs. A network gives no probability to a symbol that it lacks.
Where it has to read one, it reads its unknown symbol if it has one, else the symbol most like it
(e for é), else a newline or a space.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.paths import find_checkpoints
from charrnn.checkpoint.trained import Origin, Trained, load
from charrnn.config import CorpusConfig
from charrnn.errors import ConfigError, VocabError
from charrnn.text.documents import start_ids
from charrnn.text.vocab import Vocab


class Mixture(Sequence[Trained]):
    """K networks, which predict or write one text together:

        p(u) = sum_k weights[k] p_k(u),   p_k(u) = 0 if network k lacks the symbol u.

    weights: one number or None per network, above 0 and at most 1 in all; those without a number
        share what is left equally. Without weights all are equal.
    vocab: the union of the vocabularies: the symbols of the first network with their ids, then
        those of the others.

    `ConfigError` for no networks, things that are not a `Trained`, networks whose documents are
    separated in different ways, and weights that are not as above; `VocabError` for networks of
    bytes and of characters together.
    """

    def __init__(
        self, networks: Sequence[Trained], weights: Sequence[float | None] | None = None
    ) -> None:
        if not isinstance(networks, Sequence):
            raise ConfigError(f"`networks` must be several Trained, not {type(networks).__name__}")
        for number, network in enumerate(networks, 1):
            if not isinstance(network, Trained):
                raise ConfigError(
                    f"network {number} must be a Trained, not {type(network).__name__}; a Run's is "
                    "its attribute `trained`"
                )
        if not networks:
            raise ConfigError("no network: pass at least one")
        self.networks = tuple(networks)
        self.weights = shares(len(networks), weights)
        for number, network in enumerate(networks, 1):
            if network.vocab.unit != networks[0].vocab.unit:
                raise VocabError(
                    f"network {number} was trained on {network.vocab.unit}s, the first on "
                    f"{networks[0].vocab.unit}s; leave it out"
                )
            separator = network.corpus_config.document_separator
            if separator != networks[0].corpus_config.document_separator:
                raise ConfigError(
                    f"network {number}: its `document_separator` differs from the first one's; "
                    "leave it out"
                )
        self.vocab = reduce(Vocab.extended, (network.vocab for network in networks))
        self.ids_of = [_ids_of(self.vocab, network.vocab) for network in networks]
        """For each network the id of each of its symbols in `vocab`, int64 (its V,)."""
        self.read_as = np.stack([_read_as(self.vocab, network.vocab) for network in networks])
        """As which of its ids each network reads each symbol of `vocab`, int32 (networks, V)."""
        self.columns = np.full(self.read_as.shape, -1, np.int32)
        """The id of each symbol of `vocab` in each network, or -1: int32 (networks, V)."""
        for row, own in zip(self.columns, self.ids_of, strict=True):
            row[own] = np.arange(len(own))
        self.is_whole = [network.vocab == self.vocab for network in networks]
        """For each network whether its vocabulary is the union."""

    @classmethod
    def of(cls, trained: Trained | Sequence[Trained]) -> "Mixture":
        """The mixture itself, or that of one network or of several with equal weights."""
        if isinstance(trained, Mixture):
            return trained
        networks = [trained] if isinstance(trained, Trained) else trained
        if not isinstance(networks, Sequence) or not all(isinstance(n, Trained) for n in networks):
            raise ConfigError(
                f"`trained` must be a Trained or several, not {type(trained).__name__}; a Run's is "
                "its attribute `trained`"
            )
        return cls(networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __getitem__(self, n: Any) -> Any:
        return self.networks[n]

    def __repr__(self) -> str:
        return f"Mixture({len(self)} networks, {len(self.vocab)} symbols)"

    @property
    def summary(self) -> str:
        """A few words, such as "3 networks, each lstm 2 x 256, 661,377 parameters"."""
        kinds = list(dict.fromkeys(network.model.summary for network in self.networks))
        if len(self) == 1:
            return kinds[0]
        each = f", each {kinds[0]}" if len(kinds) == 1 else f": {'; '.join(kinds)}"
        return f"{len(self)} networks{each}"

    @property
    def corpus_config(self) -> CorpusConfig:
        """How the first network's text was read."""
        return self.networks[0].corpus_config

    @property
    def origin(self) -> Origin:
        """That of a single network. Of several: the texts of the first, the steps and passes of all
        together, and no loss, since it was not measured.
        """
        first, *others = (network.origin for network in self.networks)
        for other in others:
            first = replace(
                first, step=first.step + other.step, epoch=first.epoch + other.epoch, loss=None
            )
        return first

    def read_by(self, n: int, ids: NDArray[Any]) -> NDArray[Any]:
        """A text ids (K,) in `vocab` as network n reads it."""
        own = self.networks[n].vocab.dtype  # which may be wider than that of the text
        return ids if self.is_whole[n] else self.read_as[n].astype(own)[ids]

    def is_absent(self, ids: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Which networks lack which characters of a text ids (K,): bool (networks, K); None if
        every network has all symbols.
        """
        if all(self.is_whole):
            return None
        return self.columns[:, ids] < 0


def load_mixture(path: str | os.PathLike[str]) -> Mixture:
    """Load all networks of a run's folder, or the one in a checkpoint file, with equal weights.
    Errors as for `load`.
    """
    return Mixture([load(checkpoint) for checkpoint in find_checkpoints(path)])


def shares(count: int, weights: Sequence[float | None] | None) -> tuple[float, ...]:
    """The weight of each network; their sum is 1."""
    given = [None] * count if weights is None else [*weights]
    if len(given) != count:
        raise ConfigError(f"`weights` must be one per network, {count}, not {len(given)}")
    numbers = [weight for weight in given if weight is not None]
    total, rest = fsum(numbers), count - len(numbers)
    if not all(weight > 0 for weight in numbers) or total > 1 + 1e-9 or (rest and total >= 1):
        shown = ", ".join(f"{weight:g}" for weight in numbers)
        raise ConfigError(
            f"`weights` {shown}: each must be above 0, and something must be left for the networks "
            "without one"
        )
    if not rest and total < 1 - 1e-9:
        raise ConfigError(f"`weights` must be 1 in all, not {total:g}")
    return tuple((1 - total) / rest if weight is None else weight for weight in given)


def _read_as(vocab: Vocab, own: Vocab) -> NDArray[np.int32]:
    """The id that a network with the vocabulary `own` reads for each symbol, (V,)."""
    otherwise = int(start_ids(own)[0]) if own.unknown is None else own.unknown
    ids = np.full(len(vocab), otherwise, np.int32)
    for symbol, i in vocab.index.items():
        if symbol in own.index:
            ids[i] = own.index[symbol]
        elif own.unknown is None:
            nearest = own.nearest(symbol)
            ids[i] = otherwise if nearest is None else own.index[nearest]
    return ids


def _ids_of(vocab: Vocab, own: Vocab) -> NDArray[np.int64]:
    """The id of each of a vocabulary's own symbols in the union."""
    return np.array(
        [vocab.unknown if i == own.unknown else vocab.index[s] for i, s in enumerate(own.symbols)],
        np.int64,
    )

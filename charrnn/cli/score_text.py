"""The text to score, as the network reads it and as people see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from charrnn.cli.inputs import read_text
from charrnn.errors import VocabError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.trained import Trained
    from charrnn.evaluation.score import Score
    from charrnn.text.corpus import Corpus
    from charrnn.text.sources import Source
    from charrnn.text.vocab import TextIds, Unit


@dataclass(frozen=True, eq=False)
class ScoreText:
    """A text of K symbols.

    symbols: a character each; with bytes, of that value. ids: those that the network reads, (n,).
    places: where these stand in the text, int64 (n,); the others are not in the vocabulary.
    """

    symbols: str
    ids: TextIds
    places: NDArray[np.int64]
    sources: tuple[Source, ...]
    unit: Unit

    def place(self, index: int) -> str:
        """Line and column of a symbol, from 1, and before them its file's name if there are
        several: `a.txt:12:3`.
        """
        from charrnn.text.graphemes import place_in

        start, source = 0, self.sources[0]
        for source in self.sources:
            if index < start + source.characters or source is self.sources[-1]:
                break
            start += source.characters
        name = "" if len(self.sources) == 1 else f"{source.name}:"
        line, column = place_in(self.symbols[start : index + 1], index - start, self.unit)
        return f"{name}{line}:{column}"

    def spread(self, score: Score) -> Score:
        """The score of the ids (n,) as one of the text (K,)."""
        return type(score)(**{name: self.spread_values(each) for name, each in vars(score).items()})

    def spread_values(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (n, ...) of the ids as values (K, ...) of the text: NaN or 0 where no id is."""
        import numpy as np

        if len(self.ids) == len(self.symbols):
            return values
        fill = np.nan if values.dtype.kind == "f" else 0
        full = np.full((len(self.symbols), *values.shape[1:]), fill, values.dtype)
        full[self.places] = values
        return full


def read_score_text(
    network: Trained | Mixture, texts: Sequence[str], decoding: Mapping[str, Any], unknown: str
) -> ScoreText:
    """A text, decoded as the network's own was; `unknown` as in `eval_text.other_text`."""
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
    new_ids = _new_ids(network, corpus, unknown)
    ids = np.array(new_ids, np.int32)[corpus.ids]
    places = np.flatnonzero(ids >= 0)
    symbols = corpus.vocab.codes[corpus.ids].tobytes().decode("utf-32-le")
    return ScoreText(symbols, ids[places].astype(vocab.dtype), places, corpus.sources, vocab.unit)


def _new_ids(network: Trained | Mixture, corpus: Corpus, unknown: str) -> list[int]:
    """The network's id for each symbol of the text's vocabulary, which begins with the network's;
    -1 for none.
    """
    vocab = network.vocab
    added = corpus.vocab.symbols[len(vocab) :]
    if unknown == "nearest":
        others = [vocab.index.get(vocab.nearest(symbol) or "", -1) for symbol in added]
    elif unknown == "error" and vocab.unknown is not None:
        others = [vocab.unknown] * len(added)
    else:
        others = [-1] * len(added)
    return [*range(len(vocab)), *others]

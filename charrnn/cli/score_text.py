"""The text to score, as the network reads it and as people see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.checkpoint.paths import BEST, LAST
from charrnn.cli.eval_text import own_text, read_other
from charrnn.text.sources import STDIN, InputFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.checkpoints import Member
    from charrnn.evaluation.score import Score
    from charrnn.text.sources import Source
    from charrnn.text.vocab import TextIds, Unit

SUFFIX = ".safetensors"
OWN = 20_000
"""Characters of the run's own text that are looked at."""


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
    """A text, decoded as the network's own was; parameters as in `read_other`."""
    import numpy as np

    corpus, ids = read_other(network, texts, decoding, unknown)
    places = np.flatnonzero(ids >= 0)
    symbols = corpus.vocab.codes[corpus.ids].tobytes().decode("utf-32-le")
    ids = ids[places].astype(network.vocab.dtype)
    return ScoreText(symbols, ids, places, corpus.sources, network.vocab.unit)


def read_own_text(
    member: Member, own_texts: Sequence[str] = (), characters: int = OWN
) -> ScoreText:
    """The first characters of the validation part of the text that a network was trained on, which
    is read from `own_texts` if it has moved.

    Errors as in `own_text`.
    """
    import numpy as np

    from charrnn.text.sources import Source

    vocab = member.trained.vocab
    (ids, _), _ = own_text(member, own_texts, "validation")
    ids = ids[:characters]
    symbols = vocab.codes[ids].tobytes().decode("utf-32-le")
    source = Source("the run's validation text", len(ids))
    return ScoreText(symbols, ids, np.arange(len(ids)), (source,), vocab.unit)


def check_texts(texts: Sequence[str]) -> None:
    """`UsageError` for a network in the place of a text, where `eval` and `sample` have it."""
    for text in map(Path, texts):
        if text.suffix == SUFFIX or any((text / name).exists() for name in (BEST, LAST)):
            raise click.UsageError(f"{text} is a network, not a text: give it with --run")


def check_place(
    flag: str, path: Path, files: Sequence[InputFile] = (), begin: bytes = b"<"
) -> None:
    """`UsageError` if no file can be written there, or only in the place of a text that is read or
    of a file of another kind, before time is spent on it. begin: the first bytes of its kind.
    """
    others = (Path(file.path) for file in files if file.path != STDIN)
    if path.exists() and any(path.samefile(other) for other in others):
        raise click.UsageError(f"{flag} {path}: that is the text; give another name")
    if path.is_file() and not _begins(path, begin):
        raise click.UsageError(f"{flag} {path}: that is a file of another kind; give another name")
    if path.is_dir():
        raise click.UsageError(f"{flag} {path}: a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise click.UsageError(
            f"{flag} {path}: no folder {path.parent}; make it first, or write elsewhere"
        )


def _begins(path: Path, begin: bytes) -> bool:
    """Whether a file begins so, or is empty; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.read(1024).lstrip()
    except OSError:
        return False
    return not first or first.startswith(begin)

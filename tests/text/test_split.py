"""Whole documents drawn for validation and testing: which, and what a network makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import charrnn.text.cached_ids
import charrnn.text.corpus
import charrnn.text.split
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import Vocab
from charrnn.training.run import Run
from tests.reference.small import small_corpus, trained


def names(count: int, seed: int = 1) -> list[str]:
    """Different made-up names, from A to Z; the ends depend on the beginnings."""
    draw, made = random.Random(seed), set()
    while len(made) < count:
        first = draw.choice("BCDFGHJKLMNPRSTVWZ")
        middle = "".join(draw.choice("aeiou") + draw.choice("lmnrst") for _ in range(3))
        made.add(first + middle + ("a" if first < "M" else "o"))
    return sorted(made)


def lines(*documents: str) -> str:
    return "".join(f"{document}\n" for document in documents)


def documents_of(ids: np.ndarray, starts: np.ndarray | None, vocab: Vocab) -> list[str]:
    assert starts is not None
    edges = sorted({0, *(starts + 1).tolist(), len(ids)})  # a separator's last character is before
    return [vocab.decode(ids[a:b]) for a, b in pairwise(edges)]


def parts_of(corpus: Corpus) -> list[list[str]]:
    return [
        documents_of(getattr(corpus, part), getattr(corpus, f"{part}_starts"), corpus.vocab)
        for part in ("train", "validation", "test")
    ]


def split(text: str | bytes, val: float = 0.1, test: float = 0.0, **settings: object) -> Corpus:
    fractions = {"val_fraction": val, "test_fraction": test}
    return small_corpus(text, **{"document_separator": "\n", **fractions, **settings})  # type: ignore[arg-type]


def test_a_sorted_list_is_judged_on_all_of_it() -> None:
    """Initials of both halves of the alphabet are in each part; the fractions are kept."""
    text = lines(*names(2000))
    corpus = split(text, 0.1, 0.05)
    train, validation, test = parts_of(corpus)
    assert sorted(train + validation + test) == text.splitlines(keepends=True)
    assert train == sorted(train)
    for part in (train, validation, test):
        early = sum(name < "M" for name in part) / len(part)
        assert 0.4 < early < 0.75
    for part, share in ((corpus.validation, 0.1), (corpus.test, 0.05)):
        assert 0 <= share * len(corpus) - len(part) < 5
    assert validation[:20] != sorted(validation[:20])


@pytest.mark.parametrize("window", [3, 64, 1 << 16])
@given(
    st.lists(st.text("abc", max_size=9), min_size=2, max_size=60),
    st.sampled_from([0.1, 0.3, 0.6]),
    st.sampled_from([0.0, 0.2]),
)
def test_any_documents(window: int, documents: list[str], val: float, test: float) -> None:
    """All are there once; equal ones are on one side; never more than asked for, and the rest of
    the room is too small for any that is left, or the text is cut where it always was.
    """
    text = "x yz\n" * 2 + lines(*documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charrnn.text.split, "WINDOW", window)
        corpus, plain = (
            split(text, val, test),
            small_corpus(text, val_fraction=val, test_fraction=test),
        )
        sizes = [len(part) for part in (corpus.train, corpus.validation, corpus.test)]
    assert corpus.vocab.decode(corpus.ids) == text
    if np.array_equal(corpus.train, plain.train):
        assert np.array_equal(corpus.validation, plain.validation)
        assert np.array_equal(corpus.test, plain.test)
        return
    parts = parts_of(corpus)
    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(text.splitlines(keepends=True))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not {*parts[one]} & {*parts[other]}
    assert sizes[0] >= len(plain.train)
    last = text.splitlines(keepends=True)[-1]
    assert parts[0][-1] == last
    for size, wanted in zip(sizes[1:], (len(plain.validation), len(plain.test)), strict=True):
        assert wanted / 2 <= size <= wanted
    free = {d: parts[0].count(d) * len(d) for d in parts[0] if d != last}
    assert all(size > len(plain.validation) - sizes[1] for size in free.values())


def test_the_split_is_that_of_the_characters() -> None:
    """Written down: it may not change from machine to machine, nor with other symbols around."""
    text = lines(*(f"{n} green bottles" for n in range(40)))
    _, validation, test = parts_of(split(text, 0.1, 0.1))
    numbers = [[int(document.split()[0]) for document in part] for part in (validation, test)]
    assert numbers == [[0, 37, 21, 16], [11, 18, 19, 2]]
    other = Vocab(tuple(sorted({*text, "é", "#", "Z"})))
    settings = CorpusConfig(document_separator="\n", val_fraction=0.1, test_fraction=0.1)
    assert parts_of(Corpus.from_text(text, settings, vocab=other))[1:] == [validation, test]
    assert parts_of(split(text.encode(), 0.1, 0.1, unit="byte"))[1:] == [validation, test]
    assert parts_of(split(text, 0.1))[1] == validation  # a test part leaves it as it is


@pytest.mark.parametrize(
    "documents",
    [["a b " * 50, "b a " * 50, "c"], ["same"] * 100, ["ab" * 500, "x"], ["ab", *["cd"] * 99]],
)
def test_too_few_documents_are_cut_like_any_text(documents: list[str]) -> None:
    corpus, plain = split(lines(*documents)), small_corpus(lines(*documents))
    assert corpus.train.base is corpus.ids.base or corpus.train.base is corpus.ids
    assert np.array_equal(corpus.train, plain.train)
    assert np.array_equal(corpus.validation, plain.validation) and len(plain.validation) >= 2


def test_files_for_parts_stay_as_they_are(tmp_path: Path) -> None:
    made = names(400)
    paths = [tmp_path / name for name in ("text", "validation", "test")]
    for path, part in zip(paths, (made[:200], made[200:300], made[300:]), strict=True):
        path.write_text(lines(*part), encoding="utf-8")
    config = CorpusConfig(document_separator="\n")
    corpus = Corpus.read(paths[0], config, validation=paths[1], test=paths[2])
    assert parts_of(corpus) == [
        [f"{name}\n" for name in part] for part in (made[:200], made[200:300], made[300:])
    ]
    corpus = Corpus.read(paths[0], config, test=paths[2])
    train, validation, test = parts_of(corpus)
    assert test == [f"{name}\n" for name in made[300:]]
    assert sorted(train + validation) == [f"{name}\n" for name in made[:200]]
    assert train == sorted(train) and 15 < len(validation) <= 20 and validation[-1] < "Z"


def losses(text: str, **settings: object) -> tuple[float, float]:
    """The training and validation loss at the end of a short run."""
    corpus = small_corpus(text, **settings)  # type: ignore[arg-type]
    training = TrainConfig(steps=400, batch_size=16, seq_length=32, eval_every=400, sample_every=0)
    model = ModelConfig(layers=1, hidden=32, dropout=0.0, input_dropout=0.0)
    last = trained(Run.new(corpus, model, training), corpus)[-1]
    assert last.validation_loss is not None and last.train_loss is not None
    return last.smoothed_loss, last.validation_loss


def test_the_validation_loss_of_a_sorted_list_is_near_its_training_loss() -> None:
    """Names that begin late in the alphabet end differently: cut off, they were a surprise."""
    text = lines(*names(3000))
    train, validation = losses(text, document_separator="\n")
    cut_off = losses(text)
    assert abs(validation - train) < 0.08
    assert cut_off[1] - cut_off[0] > 0.3


def test_a_long_validation_part_is_read_in_no_order() -> None:
    """Training reads the first characters of a long validation part alone."""
    corpus = split(lines(*names(5000)), 0.5)
    start = documents_of(corpus.validation[:2000], corpus.validation_starts[:190], corpus.vocab)
    initials: Sequence[str] = [name[0] for name in start]
    assert len({*initials}) > 12


def test_ids_from_the_cache_are_split_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are mapped, and read-only."""
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(charrnn.text.corpus, "KEPT_FROM", 1)
    monkeypatch.setattr(charrnn.text.cached_ids, "_SOUGHT_FROM", 1)
    (tmp_path / "names").write_text(lines(*names(500)), encoding="utf-8")
    config = CorpusConfig(document_separator="\n")
    first, second = (Corpus.read(tmp_path / "names", config) for _ in range(2))
    assert second.kept_in and not second.ids.flags.writeable
    assert parts_of(first) == parts_of(second) == parts_of(split(lines(*names(500))))
    assert second.nbytes == 2 * len(second) and np.array_equal(first.ids, second.ids)

"""What a text may start from: places in the training text, and the states there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained, load
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.generation.generate import generate, generate_many
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.training import start_states as module
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.training.start_states import start_states
from tests.reference.small import TEXT, plain_model, small_corpus, small_run, trained
from tests.training.test_loop import created

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
LINES = "".join(f"{WORDS[n % 10]} {WORDS[n * 7 % 10]}, and\n" for n in range(900))
SENTENCES = "".join(f"A {WORDS[n % 10]} is no {WORDS[n * 3 % 10]}. " for n in range(900))
PARAGRAPHS = "".join(
    f"It was {WORDS[n % 10]}.\nThen {WORDS[n * 7 % 10]}\ncame.\n" + "\n" * (n % 3 == 0)
    for n in range(900)
)


def model_of(corpus: Corpus, H: int = 9) -> Model:
    return Model.initialized(plain_model(vocab_size=len(corpus.vocab), hidden=H, layers=2), 3)


def starts_of(corpus: Corpus, threads: int = 1) -> StartStates:
    workers = Workers(threads)
    starts = start_states(model_of(corpus), corpus, workers)
    workers.close()
    return starts


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (PARAGRAPHS, "\n\n"),
        (PARAGRAPHS.replace("\n\n", "\n \n\n"), "\n\n"),
        (PARAGRAPHS.replace("\n\n", "\n"), ".\n"),
        (LINES, "and\n"),
        (SENTENCES, ". "),
        (SENTENCES.replace(". ", "。"), "。"),
        (SENTENCES.replace(".", ""), " "),
        ("ACGTTGCA" * 900, ""),
    ],
)
@pytest.mark.parametrize("unit", ["char", "byte"])
def test_places_where_a_text_may_start(text: str, ends: str, unit: str) -> None:
    """The best kind of break, in every part of the training text."""
    if unit == "byte" and not text.isascii():
        return
    corpus = small_corpus(text, unit=unit)
    places = module._places(corpus, 100)
    count = max(8, len(corpus.train) // 16384)
    assert len(places) == min(32, count) and (np.diff(places) > 0).all() and places[0] >= 100
    assert places[-1] > 0.8 * len(corpus.train)
    whole = text[: len(corpus.train)]
    for place in places.tolist():
        assert whole[: place + 1].endswith(ends) and not whole[place + 1 :].startswith("\n")


def test_more_places_in_a_longer_text() -> None:
    assert len(module._places(small_corpus(LINES * 2), 128)) == 8
    assert len(module._places(small_corpus(LINES * 60), 128)) == 32


@pytest.mark.parametrize(
    "text", ["ab", "aab", "a\nb", "\n\n\n\na\n\n", "a b", "ab" * 40, "\n\n \n"]
)
def test_tiny_texts(text: str) -> None:
    starts = starts_of(small_corpus(text, val_fraction=0.0))
    assert 1 <= len(starts) <= 32 and starts.ids.max() < 3


def test_states_are_those_of_the_network_there() -> None:
    corpus = small_corpus(PARAGRAPHS)
    model, starts, places = model_of(corpus), starts_of(corpus), module._places(corpus, 128)
    assert starts.state.h.shape[:2] == (2, len(places)) and len(places) == len(starts)
    np.testing.assert_array_equal(starts.ids, corpus.train[places])
    network = Network(model, 128, 1, Workers(1))
    for n, place in enumerate(places.tolist()):
        state = State(model, 1)
        x = np.ascontiguousarray(corpus.train[place - 128 : place, None], np.int32)
        network.evaluate(x, x, state)
        np.testing.assert_allclose(starts.state.h[:, n], state.h[:, 0], rtol=0.01, atol=1e-4)
        np.testing.assert_allclose(starts.state.c[:, n], state.c[:, 0], rtol=0.01, atol=1e-4)
    again = starts_of(corpus, threads=2)
    assert again.state.h.tobytes() == starts.state.h.tobytes()


def test_states_that_are_not_finite_are_not_kept() -> None:
    corpus = small_corpus(LINES)
    model = model_of(corpus)
    model.parameters.flat[:] = np.inf
    with np.errstate(all="ignore"):
        starts = start_states(model, corpus, Workers(1))
    assert len(starts) == 1 and not starts.state.h.any() and not starts.state.c.any()


def test_documents_start_from_zero() -> None:
    """They read what most separators end with; a separator that occurs nowhere counts for
    nothing.
    """
    corpus = small_corpus(LINES, document_separator="[,d]\n| (?:nine|two|four), ")
    starts = starts_of(corpus)
    assert len(starts) == 1 and not starts.state.h.any() and not starts.state.c.any()
    assert corpus.vocab.decode(starts.ids) == "\n"
    nowhere = starts_of(small_corpus(LINES, document_separator="#"))
    assert len(nowhere) > 4
    np.testing.assert_array_equal(nowhere.state.h, starts_of(small_corpus(LINES)).state.h)


def test_documents_of_a_separator_that_looks_ahead() -> None:
    """They start from the ends of documents, each of which the network has read from its begin."""
    corpus = small_corpus(LINES, document_separator="\n(?=one )")
    starts = starts_of(corpus)
    assert len(starts) == 32 and set(corpus.vocab.decode(starts.ids)) == {"\n"}
    assert (np.abs(starts.state.h[:, :, :9]).max(-1) > 0).all()


# In training
# -----------------------------------------------------------------------------------------------


def test_checkpoints_keep_them(tmp_path: Path) -> None:
    """`best`, `last` and a run in memory have those of their weights; `best` may be loaded and
    written again.
    """
    corpus, folder = small_corpus(PARAGRAPHS), created(tmp_path / "run")
    run = small_run(corpus)
    assert run.trained.starts is None
    trained(run, corpus, folder)
    best, last = load(folder.best), load_run(folder.last)
    assert best.starts is not None and run.starts is not None and last.starts is not None
    for found, model in ((best.starts, best.model), (last.starts, last.result)):
        wanted = start_states(model, corpus, Workers(1))
        np.testing.assert_array_equal(found.state.h, wanted.state.h)
        np.testing.assert_array_equal(found.state.c, wanted.state.c)
        np.testing.assert_array_equal(found.ids, wanted.ids)
    config = SamplingConfig(length=80, seed=3)
    assert list(generate(load(folder.last), "", config)) == list(generate(run.trained, "", config))


@pytest.mark.parametrize("separator", [None, "\n", "\n(?=It)"])
def test_stopped_and_continued(tmp_path: Path, separator: str | None) -> None:
    """The same bytes, with samples, also on another number of threads."""
    corpus = small_corpus(PARAGRAPHS, document_separator=separator)
    settings = {"steps": 14, "eval_every": 4, "sample_every": 3, "save_every": 5}
    whole, parts = created(tmp_path / "whole"), created(tmp_path / "parts")
    reports = trained(small_run(corpus, **settings), corpus, whole, threads=2)
    samples = [report.sample for report in reports if report.sample]
    found = [r.sample for r in trained(small_run(corpus, **settings), corpus, parts, steps=7)]
    for steps in (3, None):
        again = RunFolder(parts.path)
        found += [r.sample for r in trained(again.resume(), corpus, again, steps=steps)]
    assert parts.last.read_bytes() == whole.last.read_bytes()
    assert parts.best.read_bytes() == whole.best.read_bytes()
    assert [sample for sample in found if sample] == samples


def names() -> list[str]:
    rng = np.random.default_rng(5)
    parts = ["ba", "da", "ga", "ke", "le", "me", "ni", "ri", "si", "to", "vo", "zu"]
    made = {"".join(rng.choice(parts, rng.integers(2, 5))).capitalize() for _ in range(500)}
    return sorted(made, key=lambda name: name[::-1])


@pytest.mark.parametrize("separator", ["\n", "\n+", ";\n"])
def test_samples_of_names_are_whole_names(separator: str) -> None:
    """From the first character to the separator that ends each."""
    ends = separator.replace("+", "")
    text = ends.join([*names(), ""])
    corpus = small_corpus(text, document_separator=separator)
    run = small_run(
        corpus, steps=400, hidden=32, layers=1, dropout=0.0, batch_size=16, seq_length=20,
        learning_rate=0.02, eval_every=100,
    )  # fmt: skip
    trained(run, corpus)
    config = SamplingConfig(length=80, seed=1)
    samples = generate_many(run.trained, 200, "", config)
    first = [sample.split(ends)[0] for sample in samples]
    assert sum(not name[:1].isupper() for name in first) <= 2
    assert len(set(first)) > 100
    inner = [name for sample in samples for name in sample.split(ends)[1:-1]]
    assert len(inner) > 1000 and sum(not name[:1].isupper() for name in inner) < len(inner) / 50
    primed = generate_many(run.trained, 50, "Ba", config)
    assert all(text.split(ends)[0].islower() for text in primed)  # the name goes on


def test_samples_do_not_begin_alike() -> None:
    corpus = small_corpus(PARAGRAPHS * 3)
    run = small_run(corpus, hidden=32, layers=1, dropout=0.0, steps=200, batch_size=16)
    trained(run, corpus)
    samples = generate_many(run.trained, 200, "", SamplingConfig(length=40, seed=1))
    assert len(set(samples)) > 50
    begins = [sample.lstrip("\n")[:3] for sample in samples]
    assert sum(begin in ("It ", "The") for begin in begins) > 180


def test_the_seed_chooses_the_start() -> None:
    starts = StartStates(State(Model(plain_model(vocab_size=4, hidden=3, layers=1)), 32),
                         np.zeros(32, np.int32))  # fmt: skip
    assert sorted(starts.chosen(7, 32).tolist()) == list(range(32))
    assert starts.chosen(7, 200)[:3].tolist() == starts.chosen(7, 3).tolist()
    assert len({int(starts.chosen(seed, 1)[0]) for seed in range(40)}) > 15
    assert starts.chosen(2**70, 1).shape == (1,)


def test_text_of_a_text(tmp_path: Path) -> None:
    """`Trained.opening` of a network without starts is a newline read from zero."""
    corpus = small_corpus(TEXT)
    network = Trained(model_of(corpus), corpus.vocab, CorpusConfig())
    assert corpus.vocab.decode(network.opening.ids) == "\n" and len(network.opening) == 1

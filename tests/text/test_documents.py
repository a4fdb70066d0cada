"""Documents: where they begin, and that a network knows nothing of one when it reads the next."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

from charrnn.checkpoint.trained import Trained, load
from charrnn.cli.main import cli
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.evaluate import evaluate, evaluate_windows
from charrnn.generation.generate import generate, generate_ids, generate_many
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text import documents
from charrnn.text.corpus import Corpus
from charrnn.text.documents import (
    DocumentTracker,
    DocumentTrackers,
    document_starts,
    follows_separator,
    looks_ahead,
    resets,
    starts_in_batch,
)
from charrnn.text.streams import Streams
from charrnn.text.vocab import UNKNOWN, Vocab
from charrnn.training.run_file import load_run, save_run
from charrnn.training.run_folder import RunFolder
from charrnn.training.start_states import start_states
from tests.reference import cells as reference
from tests.reference.small import TEXT, plain_model, small_corpus, small_run, trained
from tests.training.test_loop import created

SYMBOLS = ("\n", "-", "A", "a", "b")
VOCAB = Vocab(SYMBOLS)
BLANK = "\n\n+"
PATTERNS = [
    *(
        BLANK,
        "\n{2,}",
        "b",
        "(?m)^--$\n",
        "(?m)^--$",
        "\n(?=A)",
        "(?<=\n)\n",
        "\n*",
        "a|b*-",
        "-a?",
        "|a",
        r"\bA",
        r"\Aa",
    ),
    *("b(?!a)", r"(a|b)\1", "[^-]-", "(?s:.)", "(?<!-)-"),
]
"""None of them needs more than the next character to know where it ends; several match the empty
text.
"""
texts = st.text("".join(SYMBOLS), max_size=60)


def found_in(text: str, pattern: str) -> list[int]:
    """The definition: the ends of the matches that are not empty, but for the end of the text."""
    ends = [m.end() for m in re.finditer(pattern, text) if m.end() > m.start()]
    return [end for end in ends if end < len(text)]


def resets_in(text: str, pattern: str) -> list[int]:
    """The definition, without -1: characters with which a separator ends, as far as the text up to
    them tells; for a pattern that looks ahead, the first characters of documents.
    """
    if looks_ahead(pattern):
        return found_in(text, pattern)
    places = set()
    for m in re.finditer(pattern, text):
        for end in range(m.start() + 1, m.end() + 1):
            so_far = re.compile(pattern).match(text, m.start(), end)
            if end == m.end() or (so_far is not None and so_far.end() == end):
                places.add(end - 1)
    return sorted(places)


# Where documents begin
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=texts, window=st.integers(1, 30))
def test_starts_are_those_of_the_whole_text(pattern: str, text: str, window: int) -> None:
    """Also when the text is searched in windows far shorter than itself."""
    longest = 16
    assume(all(m.end() - m.start() < longest for m in re.finditer(pattern, text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "WINDOW", window)
        patch.setattr(documents, "LONGEST", longest)
        patch.setattr(documents, "CONTEXT", 2)
        found = document_starts(VOCAB.encode(text), VOCAB, pattern)
        zero = resets(VOCAB.encode(text), VOCAB, pattern)
    assert found.dtype == zero.dtype == np.int64 and found.tolist() == found_in(text, pattern)
    assert zero.tolist() == [0 if looks_ahead(pattern) else -1, *resets_in(text, pattern)]
    assert follows_separator(zero) != looks_ahead(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "places"),
    [
        ("\n", "ab\nb\n\na\n", [2, 4, 5, 7]),
        (BLANK, "ab\n\nb\n\n\na", [3, 6, 7]),  # a third newline may always follow
        ("-a?", "b-ab-", [1, 2, 4]),
        ("a{3}", "aaaa", [2]),
        ("\n(?=A)", "ab\nAb\na", [3]),
        ("(?m)^--$", "--\na", [2]),
        ("[$]|\\\\b", "a\n", []),
    ],
)
def test_where_the_state_is_zero(pattern: str, text: str, places: list[int]) -> None:
    """Before a separator's last character is read, or what may be its last."""
    vocab = Vocab(tuple("\n-Aab"))
    assert resets(vocab.encode(text), vocab, pattern).tolist()[1:] == places


@pytest.mark.parametrize(
    ("pattern", "ahead"),
    [
        ("\n", False),
        ("[$]+[^]$]", False),
        (r"\$\(\?=", False),
        (r"\\b", False),
        ("(?<=a)b(?<!c)(?:d)", False),
        ("a$", True),
        (r"\\\bA", True),
        ("a(?!b)", True),
        (r"[\]]$", True),
        (r"a\Z", True),
    ],
)
def test_patterns_that_look_ahead(pattern: str, ahead: bool) -> None:
    assert looks_ahead(pattern) == ahead


def test_separators_across_the_borders_of_windows() -> None:
    """Of windows as they are: long separators at, before and behind the borders, and at the end."""
    ids = np.full(2 * documents.WINDOW + 200_000, 3, np.uint8)
    for end in (40_000, documents.WINDOW + 5, 2 * documents.WINDOW + 30_000, len(ids)):
        ids[end - 40_000 : end] = 0
    assert document_starts(ids, VOCAB, BLANK).tolist() == [
        40_000,
        documents.WINDOW + 5,
        2 * documents.WINDOW + 30_000,
    ]


def test_the_text_that_a_pattern_sees() -> None:
    """Unknown symbols are U+FFFD; bytes are characters of their values; more than 256 symbols are
    two bytes each.
    """
    folding = Vocab(("a", UNKNOWN, "b"), "char", 1)
    assert document_starts(folding.encode("abxxab", "fold"), folding, "\ufffd+").tolist() == [4]
    octets = Vocab((*map(chr, range(256)), UNKNOWN), "byte", 256)
    assert document_starts(octets.encode("aéa\xc3b"), octets, "\xc3\xa9|\xff").tolist() == [3]
    assert document_starts(np.array([97, 256, 98], np.uint16), octets, "\ufffd").tolist() == [2]
    many = Vocab(tuple(map(chr, range(0x10000, 0x10000 + 300))))
    ids = many.encode("\U00010000\U00010123\U00010001")
    assert ids.dtype == np.uint16 and document_starts(ids, many, "\U00010123").tolist() == [2]


def test_a_text_without_documents() -> None:
    for text, pattern in (
        ("", "a"),
        ("ab", "-"),
        ("aab", "b"),
        ("a\n\n", BLANK),
        ("abc", ""),
        ("aaa", "b*"),
    ):
        assert (
            document_starts(
                Vocab(tuple("\n-abc")).encode(text), Vocab(tuple("\n-abc")), pattern
            ).tolist()
            == []
        )


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=texts)
def test_the_tracker_finds_the_same(pattern: str, text: str) -> None:
    tracker = DocumentTracker(pattern)
    first = [0] if text and looks_ahead(pattern) else []
    found = [n for n, character in enumerate(text) if tracker.resets_before(character)]
    assert found == first + resets_in(text, pattern)


@pytest.mark.parametrize("pattern", [BLANK, "(?m)^-+$\n", "\n(?=[A-Z])", "a{300,}b"])
def test_the_tracker_follows_a_long_text_in_little_memory(pattern: str) -> None:
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list(SYMBOLS), 15_000, p=[0.2, 0.3, 0.1, 0.2, 0.2]))
    text = text[:7000] + "b" + "a" * 900 + "b" + text[7000:]
    tracker, most, found = DocumentTracker(pattern), 0, []
    for n, character in enumerate(text):
        if tracker.resets_before(character):
            found.append(n)
        most = max(most, len(tracker._text))
    wanted = resets_in(text, pattern)
    assert wanted and found == [0] * looks_ahead(pattern) + wanted
    assert most <= 3000


# In parts, streams and batches
# --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 99), unique=True),
    st.lists(st.integers(0, 110), min_size=1, max_size=5),
    st.integers(1, 20),
)
def test_starts_in_a_batch(starts: list[int], firsts: list[int], steps: int) -> None:
    found = starts_in_batch(np.array(sorted(starts), np.int64), np.array(firsts, np.int64), steps)
    assert (
        found.dtype == np.bool_ and found.flags.c_contiguous and found.shape == (steps, len(firsts))
    )
    assert found.tolist() == [[first + t in starts for first in firsts] for t in range(steps)]


def test_parts_of_a_corpus() -> None:
    corpus = small_corpus(document_separator="\n", val_fraction=0.2, test_fraction=0.1)
    everything = found_in(TEXT, "\n")
    assert corpus.document_starts is not None and corpus.document_starts.tolist() == everything
    assert corpus.document_starts is corpus.document_starts  # the text is searched once
    for ids, starts in (
        (corpus.train, corpus.train_starts),
        (corpus.validation, corpus.validation_starts),
        (corpus.test, corpus.test_starts),
    ):
        assert starts is not None and len(starts) > 2
        assert starts.tolist() == [-1, *resets_in(corpus.vocab.decode(ids), "\n")]
    plain = small_corpus()
    assert (
        plain.document_starts
        is plain.train_starts
        is plain.validation_starts
        is plain.test_starts
        is None
    )


@given(
    st.integers(2, 200),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(0, 12),
    st.booleans(),
    st.randoms(),
)
def test_starts_of_streams(
    n: int, batch_size: int, seq_length: int, reset_every: int, separated: bool, random: Any
) -> None:
    batch_size = min(batch_size, n - 1)
    begins = sorted(random.sample(range(1, n), min(n - 1, 9))) if separated else []
    starts = np.array(begins, np.int64) if separated else None
    streams = Streams(np.zeros(n, np.uint8), batch_size, seq_length, starts, reset_every)
    batches = [streams.starts(step) for step in range(streams.steps)]
    if not separated and not reset_every:
        assert batches == [None] * streams.steps
        return
    for step, batch in enumerate(batches):
        assert (
            batch is not None
            and batch.flags.c_contiguous
            and batch.shape == streams.batch(step)[0].shape
        )
    whole = np.concatenate(batches)  # type: ignore[arg-type]
    for (place, stream), found in np.ndenumerate(whole):
        resets = reset_every > 0 and place % reset_every == 0
        assert found == (resets or stream * streams.targets + place in begins)
    with pytest.raises(IndexError):
        streams.starts(streams.steps)


@given(st.integers(2, 100), st.integers(1, 6), st.integers(1, 30))
def test_streams_that_begin_with_a_separator(n: int, batch_size: int, seq_length: int) -> None:
    """The first character is a target; inputs are the characters before the targets."""
    batch_size, ids = min(batch_size, n - 1), np.arange(1, n + 1, dtype=np.uint8)
    zero = np.array([-1, 3], np.int64)
    streams = Streams(ids, batch_size, seq_length, zero, before=0)
    assert streams.steps == Streams(ids, batch_size, seq_length).steps
    batches = [(*streams.batch(step), streams.starts(step)) for step in range(streams.steps)]
    x, y, starts = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    targets = batch_size * streams.targets
    assert y.T.reshape(-1).tolist() == list(range(1, targets + 1))
    assert x.T.reshape(-1).tolist() == list(range(targets)) and x.dtype == y.dtype == np.int32
    assert np.flatnonzero(starts.T.reshape(-1)).tolist() == [k for k in (0, 4) if k < targets]


# What the network makes of them
# -------------------------------------------------------------------------------------


@cache
def model(V: int = 5, H: int = 6, L: int = 2) -> Model:
    """One with a memory."""
    made = Model(plain_model(vocab_size=V, hidden=H, layers=L, dropout=0.0))
    made.parameters.from_disk(reference.random_parameters(np.random.default_rng(V), made.config))
    return made


def losses_of_documents(ids: np.ndarray, starts: list[int]) -> np.ndarray:
    """Each document read from a zero state by the reference, the first character of the next one
    its last target.
    """
    config, parameters, found = model().config, dict(model().parameters.to_disk()), []
    borders = [0, *starts, len(ids) - 1]
    for a, b in pairwise(borders):
        if a < b:
            x, y = ids[a:b, None].astype(int), ids[a + 1 : b + 1, None].astype(int)
            states = reference.zero_states(config, 1)
            found.append(reference.forward(config, parameters, x, y, states).losses[:, 0])
    return np.concatenate(found)


@pytest.mark.parametrize("length", [2, 50, 1000, 3000])
def test_evaluation_of_documents(length: int) -> None:
    """3,000 characters are read in two streams, of which the second warms up on other documents."""
    ids = np.random.default_rng(2).integers(5, size=length).astype(np.uint8)
    starts = resets(ids, VOCAB, BLANK) if length > 2 else np.array([-1, 0], np.int64)
    assert len(starts) > 1
    exact = losses_of_documents(ids, starts[1:].tolist())
    np.testing.assert_allclose(evaluate(model(), ids, starts=starts).losses, exact, atol=1e-4)
    assert evaluate(model(), ids, starts=starts).nats_per_char == pytest.approx(
        exact.mean(), abs=1e-5
    )
    cold = losses_of_documents(ids, sorted({*starts[1:].tolist(), *range(100, length - 1, 100)}))
    assert evaluate_windows(model(), ids, 100, starts=starts).nats_per_char == pytest.approx(
        cold.mean(), abs=1e-5
    )
    if length > 2:
        assert np.abs(evaluate(model(), ids).losses - exact).max() > 0.01


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_of_documents_are_those_of_each_alone(threads: int) -> None:
    """Their mean, weighted by length; of the first one, which goes on from a state, and of those
    behind it, which do not.
    """
    T, N, rng, workers = 20, 3, np.random.default_rng(3), Workers(threads, processors=threads)
    x, y = (rng.integers(5, size=(T, N)).astype(np.int32) for _ in range(2))
    starts = rng.random((T, N)) < 0.15
    starts[:, 1], starts[0, 2] = False, True
    state, first = State(model(), N), State(model(), N)
    first.h[..., :6], first.c[..., :6] = rng.normal(size=(2, 2, N, 6))
    state.copy_from(first)
    loss, gradient = Network(model(), T, N, workers, training=True).gradients(
        x, y, state, 0, starts
    )
    alone, total, losses = (
        Network(model(), T, 1, workers, training=True),
        np.zeros_like(gradient.flat),
        0.0,
    )
    for n in range(N):
        own = State(model(), 1)
        own.h[:, 0], own.c[:, 0] = first.h[:, n], first.c[:, n]
        borders = sorted({0, *np.flatnonzero(starts[:, n]).tolist(), T})
        for a, b in pairwise(borders):
            if starts[a, n]:
                own.reset()
            parts = (np.ascontiguousarray(part[a:b, n : n + 1]) for part in (x, y))
            part, found = alone.gradients(*parts, own, 0)
            losses += part * (b - a) / (T * N)
            total += found.flat * np.float32((b - a) / (T * N))
        np.testing.assert_allclose(state.h[:, n], own.h[:, 0], atol=1e-6)
        np.testing.assert_allclose(state.c[:, n], own.c[:, 0], atol=1e-6)
    assert loss == pytest.approx(losses, abs=1e-6)
    np.testing.assert_allclose(gradient.flat, total, atol=1e-6)
    workers.close()


# Training
# --------------------------------------------------------------------------------------------------


def test_training_resets_where_documents_begin() -> None:
    """Streams of one character in turn know only the character before; so do documents of one
    character each. The first character is predicted too if a separator can stand before it.
    """
    losses = {}
    for name, separator, every in (
        ("documents", "(?s:.)(?!\0)", 0),
        ("every", None, 1),
        ("both", "7(?!\0)", 1),
        ("none", None, 0),
        ("documents, first", "(?s:.)", 0),
        ("both, first", " ", 1),
    ):
        corpus = small_corpus(document_separator=separator, val_fraction=0.0)
        run = small_run(corpus, dropout=0.0, reset_every=every, steps=20, sample_every=0)
        losses[name] = [(report.loss, report.gradient_norm) for report in trained(run, corpus)]
    assert losses["documents"] == losses["every"] == losses["both"] != losses["none"]
    assert losses["documents, first"] == losses["both, first"] != losses["both"]


def test_training_without_a_match_is_training_without_documents() -> None:
    found = []
    for separator, every in ((None, 0), ("#$", 0), (None, 10**9)):
        corpus = small_corpus(document_separator=separator)
        run = small_run(corpus, reset_every=every)
        trained(run, corpus)
        found.append((run.model.parameters.flat.tobytes(), run.state.h.tobytes(), run.progress))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("settings", [{"reset_every": 7}, {}])
def test_stopped_and_continued_on_documents(tmp_path: Path, settings: dict[str, Any]) -> None:
    corpus = small_corpus(document_separator="green|\n")
    settings = {"steps": 20, "seq_length": 16, "eval_every": 6, "sample_every": 0, **settings}
    whole, parts = created(tmp_path / "whole"), created(tmp_path / "parts")
    trained(small_run(corpus, **settings), corpus, whole, threads=2)
    trained(small_run(corpus, **settings), corpus, parts, steps=5)
    for steps in (4, None):
        again = RunFolder(parts.path)
        trained(again.resume(), corpus, again, steps=steps)
    assert parts.last.read_bytes() == whole.last.read_bytes()


def test_validation_resets_too() -> None:
    corpus = small_corpus(document_separator="bottles ")
    run = small_run(corpus, steps=3, eval_every=3)
    loss = trained(run, corpus)[-1].validation_loss
    starts = corpus.validation_starts
    assert starts is not None and len(starts)
    assert follows_separator(starts)  # whole documents were drawn
    options = {"openings": [run.trained.opening]}
    assert (
        loss
        == evaluate(run.result, corpus.validation, starts=starts, **options).nats_per_char
        != evaluate(run.result, corpus.validation, **options).nats_per_char
    )
    cut = small_corpus("x" * 500 + "\n" + TEXT, document_separator="x\n")
    assert cut.validation_starts is not None and not follows_separator(cut.validation_starts)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [("\n", None, r"with `document_separator` '\\n'"), (None, "\n", "without")],
)
def test_the_separator_is_the_runs(was: str | None, now: str | None, said: str) -> None:
    run = small_run(small_corpus(document_separator=was))
    with pytest.raises(CorpusError, match=f"the run had it {said}") as caught:
        run.check_text(small_corpus(document_separator=now))
    assert "\n" not in str(caught.value)


# Writing
# --------------------------------------------------------------------------------------------------


def state_after(ids: np.ndarray, starts: list[int]) -> State:
    """The state that waits for the last of ids, by the network, which reads each document from
    zero.
    """
    network, state = Network(model(), len(ids), 1, Workers(1)), State(model(), 1)
    borders = sorted({0, *starts, len(ids) - 1})
    for a, b in pairwise(borders):
        if a in starts:
            state.reset()
        x = np.ascontiguousarray(ids[a:b, None], np.int32)
        network.evaluate(x, x, state)
    if len(ids) - 1 in starts:
        state.reset()
    return state


@pytest.mark.parametrize("separator", [BLANK, "b", "\n(?=A)"])
@pytest.mark.parametrize("prime", ["a", "ab\n\n", "a\n\nb", "A\n\n\nab\n\n-" * 50 + "\n"])
def test_a_writer_starts_documents_from_zero(prime: str, separator: str) -> None:
    """After each of 80 steps its state is that of the network which read the same documents, each
    from zero.
    """
    config = SamplingConfig(temperature=1.0, seed=4, precision="float32")
    trackers = DocumentTrackers(VOCAB, separator, 2)
    writer = Writer(model(), config, streams=2, documents=trackers)
    ids = np.tile(VOCAB.encode(prime), (2, 1)).T.astype(np.int32)
    writer.read(ids[:, 0])
    started = 0
    for _ in range(16):
        for n in range(2):
            starts = resets_in(VOCAB.decode(ids[:, n]), separator)
            started += starts[-1:] == [len(ids) - 1]
            wanted = state_after(ids[:, n], starts)
            np.testing.assert_allclose(writer.state.h[:, n], wanted.h[:, 0], atol=1e-6)
            np.testing.assert_allclose(writer.state.c[:, n], wanted.c[:, 0], atol=1e-6)
        ids = np.concatenate([ids, writer.write(5)])
    assert found_in(VOCAB.decode(ids[len(prime) :, 0]), separator)  # it wrote some
    alone = Writer(model(), config, documents=DocumentTrackers(VOCAB, separator, 1))
    again = np.concatenate(list(generate_ids(alone, VOCAB.encode(prime), 80)))
    np.testing.assert_array_equal(again[:, 0], ids[len(prime) :, 0])


def test_text_of_documents_has_the_probabilities_of_evaluation() -> None:
    """The most probable character is written, by the losses of evaluation with resets."""
    prime = VOCAB.encode("A\n\nab")
    trackers = DocumentTrackers(VOCAB, "-|A", 1)
    config = SamplingConfig(temperature=0.0, precision="float32")
    writer = Writer(model(), config, documents=trackers)
    written = np.concatenate(list(generate_ids(writer, prime, 15)))[:, 0]
    for n in range(15):
        ids = np.concatenate([prime, written[: n + 1]])
        starts = resets(ids, VOCAB, "-|A")
        losses = [
            evaluate(model(), np.append(ids[:-1], v), starts=starts).losses[-1] for v in range(5)
        ]
        assert losses[written[n]] < min(losses) + 1e-5


def test_pieces_and_many_are_the_same_text() -> None:
    config = SamplingConfig(length=100, seed=6, temperature=1.0)
    documents, plain, other = (
        Trained(
            model=model(), vocab=VOCAB, corpus_config=CorpusConfig(document_separator=separator)
        )
        for separator in ("a", None, "#")
    )
    text = "".join(generate(documents, "ab", config))
    assert len(text) == 100 and "a" in text
    assert generate_many(documents, 3, "ab", config)[0] == text
    assert generate_many(documents, 3, "ab", config, workers=Workers(2, processors=2))[0] == text
    assert "".join(generate(plain, "ab", config)) != text
    assert list(generate(other, "ab", config)) == list(generate(plain, "ab", config))


def test_samples_begin_as_documents_are_evaluated() -> None:
    """The first character is the most probable one after a separator, wherever that stands; a prime
    follows a separator too.
    """
    corpus = Corpus.from_text("ab\n\nAb\nab\n", CorpusConfig(document_separator="b\n"), vocab=VOCAB)
    network = Trained(
        model(),
        VOCAB,
        corpus.config,
        starts=start_states(model(), corpus, Workers(1)),
    )
    config = SamplingConfig(length=12, temperature=0.0)
    text = "".join(generate(network, "", config))
    primed = "".join(generate(network, "aA", config))
    for prime, written in (("", text), ("aA", primed)):
        for n in range(len(written)):
            ids = [VOCAB.encode(prime + written[:n] + symbol) for symbol in SYMBOLS]
            losses = [
                evaluate(
                    model(), v, starts=resets(v, VOCAB, "b\n"), openings=[network.opening]
                ).losses[-1]
                for v in ids
            ]
            assert losses[SYMBOLS.index(written[n])] < min(losses) + 1e-5
    many = generate_many(network, 3, "", replace(config, temperature=1.0))
    alone = "".join(generate(network, "", replace(config, temperature=1.0)))
    assert many[0] == alone and len(set(many)) == 3


# Settings and commands
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern", ["(", "[", "a{99999999999}", "(?a)(?u)x", "[[a]", "(\n", "[\n-\0]", "a" * 201]
)
def test_a_separator_must_be_a_pattern(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"^`document_separator` ") as caught:
        CorpusConfig(document_separator=pattern)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def ran(*arguments: str) -> Any:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run keeps its separator: when it goes on, is evaluated on its own text and another, and
    writes.
    """
    monkeypatch.chdir(tmp_path)
    Path("songs.txt").write_text(TEXT)
    Path("other.txt").write_text(TEXT[200:900])
    small = (
        "--hidden",
        "8",
        "--layers",
        "1",
        "--batch-size",
        "4",
        "--seq-length",
        "16",
        "--threads",
        "1",
    )
    rate = ("--learning-rate", "0.01")
    said = ran(
        "train", "songs.txt", "--document-separator", "fall\n", "--steps", "12", *small, *rate
    ).stderr
    assert f"documents: {TEXT.count('fall')}\n" in said
    ran("train", "--resume", "--steps", "15", "--threads", "1")
    result = CliRunner().invoke(
        cli, ["train", "--resume", "--steps", "20", "--document-separator", "x"]
    )
    assert (
        result.exit_code == 2 and "--document-separator x does not match the run" in result.stderr
    )

    run = load("checkpoints/songs/best.safetensors")
    assert run.corpus_config.document_separator == "fall\n"
    corpus = Corpus.read("songs.txt", run.corpus_config, vocab=run.vocab)
    own = json.loads(ran("eval", "--json", "--window", "50").stdout)
    ids, starts = corpus.validation, corpus.validation_starts
    options = {"starts": starts, "openings": [run.opening]}
    assert own["nats_per_char"] == evaluate(run.model, ids, **options).nats_per_char
    assert own["characters"] == len(ids)
    assert (
        own["window"]["nats_per_char"]
        == evaluate_windows(run.model, ids, 50, starts=starts).nats_per_char
    )
    assert own["nats_per_char"] != evaluate(run.model, ids).nats_per_char
    found = ran("score", "other.txt", "--run", "checkpoints/songs", "--json").stdout.splitlines()
    ids = run.vocab.encode(TEXT[200:900])
    starts = resets(ids, run.vocab, "fall\n")
    losses = evaluate(run.model, ids, starts=starts, openings=[run.opening]).losses
    assert len(losses) == len(ids) == len(found)
    assert [json.loads(line)["nats"] for line in found] == pytest.approx(losses.tolist(), abs=1e-5)

    prime = "should fall\n1 green bottle"
    asked = ("sample", "--prime", prime, "--length", "60", "--seed", "3")
    text = "".join(generate(run, prime, SamplingConfig(length=60, seed=3)))
    assert ran(*asked, "--no-prime").stdout.rstrip("\n") == text.rstrip("\n")
    assert json.loads(ran(*asked, "--count", "2", "--json").stdout)["samples"][0]["text"] == text


def test_a_separator_that_occurs_nowhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("songs.txt").write_text(TEXT)
    flags = (
        "--steps",
        "1",
        "--hidden",
        "4",
        "--layers",
        "1",
        "--learning-rate",
        "0.01",
        "--sample-every",
        "0",
    )
    said = ran("train", "songs.txt", "--document-separator", "<end>", *flags).stderr
    assert "--document-separator does not match anywhere in the text" in said


def test_a_checkpoint_keeps_its_separator(tmp_path: Path) -> None:
    corpus = small_corpus(document_separator="é\n\t\\s")
    save_run(tmp_path / "a.safetensors", small_run(corpus))
    assert load_run(tmp_path / "a.safetensors").corpus_config == corpus.config

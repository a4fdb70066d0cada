"""Any bytes under any reading are a corpus that decodes to the text, or one line that says why
not.
"""

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charrnn import ConfigError, Corpus, CorpusConfig, CorpusError
from tests.fuzzing import fuzzed

PIECES = st.sampled_from(
    [
        b"",
        b"a",
        b"\n",
        b"\r\n",
        b"\xff",
        b"\xc3\xa9",
        b"\xe4\xbd\xa0",
        b"\xed\xa0\x80",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"The cat sat. " * 9,
        b"\x1b[31m",
        b"\xf0\x9f\x98\x80",
        b"--",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=200),
    st.lists(PIECES, max_size=20).map(b"".join),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: text.encode("utf-16")),
)
READINGS = st.fixed_dictionaries(
    {},
    optional={
        "unit": st.sampled_from(["char", "byte"]),
        "encoding": st.sampled_from(["utf-8", "latin-1", "utf-16", "ascii", "utf-8-sig", "cp1252"]),
        "encoding_errors": st.sampled_from(["strict", "replace", "ignore"]),
        "val_fraction": st.sampled_from([0.0, 0.1, 0.5]),
        "test_fraction": st.sampled_from([0.0, 0.2]),
        "min_count": st.sampled_from([1, 2, 10]),
        "document_separator": st.sampled_from([r"\n", r"\n\n+", "", "(?<=a)b", ".", "cat|sat"]),
    },
)
PACKED = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def check(corpus: Corpus) -> None:
    assert len(corpus) == len(corpus.train) + len(corpus.validation) + len(corpus.test) >= 2
    assert int(corpus.ids.max()) < len(corpus.vocab)
    assert sum(source.characters for source in corpus.sources) <= len(corpus)
    for starts, part in (
        (corpus.train_starts, corpus.train),
        (corpus.validation_starts, corpus.validation),
    ):
        if starts is not None:
            assert (np.diff(starts) > 0).all() and ((starts >= -1) & (starts < len(part))).all()
    vocab = corpus.vocab
    if vocab.unknown is None and vocab.unit == "char":
        assert vocab.encode(vocab.decode(corpus.ids)).tolist() == corpus.ids.tolist()


def refused(error: Exception) -> None:
    message = str(error)
    assert message and "\n" not in message and len(message) < 1000, message


@fuzzed(300)
@given(text=TEXTS, reading=READINGS)
def test_texts_in_memory(text: bytes, reading: dict[str, object]) -> None:
    try:
        config = CorpusConfig.of(reading)
        corpus = Corpus.from_text(text, config)
    except (CorpusError, ConfigError) as error:
        refused(error)
        return
    check(corpus)
    if config.unit == "byte" and corpus.vocab.unknown is None:
        assert bytes(ord(corpus.vocab.symbols[i]) for i in corpus.ids) == text


@fuzzed(150)
@given(
    text=TEXTS, reading=READINGS, packing=st.sampled_from(sorted(PACKED)), cut=st.integers(0, 30)
)
def test_files(
    tmp_path: Path, text: bytes, reading: dict[str, object], packing: str, cut: int
) -> None:
    path = tmp_path / f"text.txt{packing}"
    packed = PACKED[packing](text)
    path.write_bytes(packed[: len(packed) - cut])
    try:
        config = CorpusConfig.of(reading)
        corpus = Corpus.read(path, config, keep=False)
    except (CorpusError, ConfigError) as error:
        refused(error)
        return
    check(corpus)
    assert corpus.sha256 == Corpus.read(path, config, keep=False).sha256

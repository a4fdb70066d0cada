"""Any prime under any settings is written on, or refused in one line."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn import (
    ConfigError,
    Corpus,
    CorpusConfig,
    ModelConfig,
    Run,
    SamplingConfig,
    TrainConfig,
    Trained,
    VocabError,
    generate,
    generate_many,
)
from tests.fuzzing import fuzzed

TEXT = "The cat sat on the mat.\n\nÉa stóð „hér“, 你好!\n\n" * 3


@cache
def trained(unit: str, separator: str | None, min_count: int) -> Trained:
    """A network that was never trained: what it writes is noise from its whole vocabulary."""
    config = CorpusConfig(unit=unit, document_separator=separator, min_count=min_count)
    corpus = Corpus.from_text(TEXT, config)
    return Run.new(corpus, ModelConfig(hidden=4, layers=1), TrainConfig(steps=1)).trained


NETWORKS = st.builds(
    trained,
    st.sampled_from(["char", "byte"]),
    st.sampled_from([None, r"\n\n", "(?<=t)a", "."]),
    st.sampled_from([1, 4]),
)
PRIMES = st.one_of(
    st.text(max_size=30), st.text("The cat\n„好\ufffd\x00", max_size=30), st.just("cat " * 99)
)
SETTINGS = st.fixed_dictionaries(
    {"length": st.integers(0, 12)},
    optional={
        "temperature": st.floats(0, 1e3) | st.sampled_from([1e-45, 1e300, 0.0]),
        "top_k": st.integers(0, 99),
        "min_p": st.floats(0, 1),
        "seed": st.integers(0, 2**63 - 1),
        "unknown": st.sampled_from(["error", "skip", "nearest", "fold"]),
        "precision": st.sampled_from(["float32", "bf16", "int8"]),
    },
)


@fuzzed(100)
@given(network=NETWORKS, prime=PRIMES, settings=SETTINGS, streams=st.integers(1, 4))
def test_primes(network: Trained, prime: str, settings: dict[str, object], streams: int) -> None:
    try:
        config = SamplingConfig.of(settings)
        text = "".join(generate(network, prime, config))
    except (VocabError, ConfigError) as error:
        message = str(error)
        assert message and "\n" not in message and len(message) < 1000, message
        with pytest.raises((VocabError, ConfigError)):
            generate_many(network, streams, prime, SamplingConfig.of(settings))
        return
    assert len(text) <= config.length
    if network.vocab.unit == "char":
        assert len(text) == config.length and set(text) <= set(network.vocab.symbols)
        assert "\ufffd" not in text
    assert generate_many(network, streams, prime, config)[0] == text

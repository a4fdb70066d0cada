"""Settings from files are settings or one line that names the file, whatever the file holds."""

from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from charrnn import ConfigError
from charrnn.config.files import SETTINGS, configs_of, read_settings, values_of
from tests.fuzzing import fuzzed

WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    WORDS,
    st.sampled_from(["lstm", "adam", "cosine", "auto", "1e400", "-0", "10m", "\\n"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(WORDS, one, max_size=3),
    max_leaves=5,
)
FILES = st.dictionaries(st.one_of(st.sampled_from(sorted(SETTINGS)), WORDS), VALUES, max_size=4)


def outcome(path: Path) -> None:
    """The file is read to settings that survive being written and read again, or refused in one
    line that begins with its name.
    """
    try:
        values = read_settings(path)
        configs = configs_of(values)
    except ConfigError as error:
        message = str(error)
        assert message.startswith((str(path), "`")) and "\n" not in message
        assert len(message) < 1000, message
        return
    written = {name: value for name, value in values_of(*configs).items() if value is not None}
    assert configs_of(written) == configs


@fuzzed(150)
@given(settings=FILES)
def test_settings(tmp_path: Path, settings: dict[str, object]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(tomli_w.dumps(settings), encoding="utf-8")
    outcome(path)


@fuzzed(100)
@given(start=st.binary(max_size=60), rest=st.sampled_from([b"", b"cell = 'lstm'\n", b"[a]\n"]))
def test_bytes(tmp_path: Path, start: bytes, rest: bytes) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(rest + start)
    outcome(path)


@pytest.mark.parametrize(
    "text",
    [
        "hidden = " + "[" * 50_000,
        "hidden = 1" + "0" * 5000,
        "x" * 100_000 + " = 1",
        "dropout = nan",
        "learning_rate = inf",
        "seed = 0x" + "f" * 400,
        "hidden = 1979-05-27",
        "cell = '''" + "a\n" * 50_000 + "'''",
    ],
    ids=range(8),
)
def test_extremes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        read_settings(path)
    outcome(path)

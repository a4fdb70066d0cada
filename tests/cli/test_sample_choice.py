"""`charrnn sample` with weights, --adapt, --best-of and --logprobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from tests.generation.test_mixture import network

CONFIG = charrnn.SamplingConfig(length=30, seed=5)
FLAGS = ("--length", "30", "--seed", "5", "--prime", "ab")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    charrnn.save(folder / "a", network("\nabc"))
    charrnn.save(folder / "b:0.5", network("bxy\n", 2))
    (folder / "text").write_text("abcab\n" * 40)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def charrnn_(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == status, result.output
    return result


def again(result: Result) -> bytes:
    """What the command writes that makes the text again."""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("again: ")]
    return charrnn_(*shlex.split(line.removeprefix("again: "))[1:]).stdout_bytes


def test_weights() -> None:
    result = charrnn_("sample", "a", "--ensemble", "b:0.5:0.7", *FLAGS)
    both = [charrnn.load("a"), charrnn.load("b:0.5")]
    mixture = charrnn.Mixture(both, [None, 0.7])
    assert result.stdout == "ab" + "".join(charrnn.generate(mixture, "ab", CONFIG))
    assert again(result) == result.stdout_bytes
    equal = charrnn_("sample", "a", "--ensemble", "b:0.5", *FLAGS).stdout
    assert equal == "ab" + "".join(charrnn.generate(both, "ab", CONFIG)) != result.stdout
    found = json.loads(charrnn_("sample", "a", "--ensemble", "b:0.5:0.7", "--json").stdout)
    assert found["ensemble"] == ["b:0.5"] and found["weights"] == pytest.approx([0.3, 0.7])
    message = charrnn_("sample", "a", "--ensemble", "a:1.5", status=2).stderr
    assert message.startswith("error: --ensemble 1.5: each must be above 0")


def test_eval_over_a_union() -> None:
    Path("mixed").write_text("abxyc\nab")
    text = ("eval", "a", "mixed", "--ensemble", "b:0.5:0.7", "--window", "3", "--dynamic", "--json")
    found = json.loads(charrnn_(*text).stdout)
    mixture = charrnn.Mixture([charrnn.load("a"), charrnn.load("b:0.5")], [0.3, 0.7])
    openings = [each.opening for each in mixture]
    ids = mixture.vocab.encode("abxyc\nab")
    expected = charrnn.evaluate(mixture, ids, openings=openings).nats_per_char
    assert found["nats_per_char"] == pytest.approx(expected)
    assert found["window"]["nats_per_char"] > 0 and found["dynamic"]["characters"] == 8
    assert found["weights"] == pytest.approx([0.3, 0.7])


def test_the_best_of_takes() -> None:
    result = charrnn_("sample", "a", "--best-of", "6", *FLAGS)
    (best,) = charrnn.best_of(charrnn.load("a"), 6, "ab", CONFIG)
    assert result.stdout == f"ab{best.text}\n"
    assert f"take {best.take} is the likeliest of takes 1 to 6: " in result.stderr
    assert again(result).rstrip() == result.stdout_bytes.rstrip()
    found = json.loads(
        charrnn_("sample", "a", "--best-of", "3", "--count", "2", "--json", *FLAGS).stdout
    )
    for n, sample in enumerate(found["samples"]):
        assert 3 * n < sample["take"] <= 3 * n + 3 and sample["nats_per_char"] > 0
    found = json.loads(charrnn_("sample", "a", "--best-of", "6", "--json", *FLAGS).stdout)
    assert found["take"] == best.take > 1


def test_json_of_several_temperatures_is_made_again() -> None:
    flags = "--temperature", "0.3", "--temperature", "1", "--json", *FLAGS
    found = json.loads(charrnn_("sample", "a", *flags).stdout)
    assert [each["temperature"] for each in found["samples"]] == [0.3, 1]
    words = shlex.split(found["again"])[1:]
    assert json.loads(charrnn_(*words).stdout)["samples"] == found["samples"]


def test_logprobs() -> None:
    found = json.loads(charrnn_("sample", "a", "--logprobs", "--json", *FLAGS).stdout)
    assert len(found["logprobs"]) == len(found["text"]) == 30 and max(found["logprobs"]) <= 0
    two = charrnn_("sample", "a", "--logprobs", "--json", "--count", "2", *FLAGS).stdout
    assert json.loads(two)["samples"][0]["logprobs"] == found["logprobs"]
    charrnn_("sample", "a", "--logprobs", status=2)
    charrnn_("sample", "a", "--logprobs", "--json", "--unique", status=2)


def test_adapting_is_for_one_call() -> None:
    before = Path("a").read_bytes()
    learning = "--dynamic-rate", "0.01", "--dynamic-segment", "8"
    result = charrnn_("sample", "a", "--adapt", "text", *learning, *FLAGS)
    trained = charrnn.load("a")
    config = charrnn.DynamicConfig(dynamic_rate=0.01, dynamic_segment=8)
    learned = charrnn.adapt(trained, Path("text").read_text(), config)
    assert result.stdout == "ab" + "".join(charrnn.generate(learned, "ab", CONFIG))
    assert result.stdout != charrnn_("sample", "a", *FLAGS).stdout
    assert again(result) == result.stdout_bytes and Path("a").read_bytes() == before
    found = charrnn_("sample", "a", "--ensemble", "b:0.5:0.2", "--adapt", "text", "--json")
    assert json.loads(found.stdout)["adapt"] == "text"


@pytest.mark.parametrize(
    ("flags", "status", "found"),
    [
        (("--adapt", "missing"), 1, "missing"),
        (("--adapt", "strange"), 1, "the text of --adapt (strange): not in the vocabulary: 'z'"),
        (("--dynamic-rate", "0.1"), 2, "--dynamic-rate is for --adapt FILE"),
        (("--adapt", "empty"), 1, "the text of --adapt (empty): the text to learn from is empty"),
        (("--best-of", "0"), 2, "--best-of"),
    ],
)
def test_what_cannot_be(flags: tuple[str, ...], status: int, found: str) -> None:
    Path("strange").write_text("abz")
    Path("empty").touch()
    message = charrnn_("sample", "a", *flags, status=status).stderr
    assert found in message and message.count("\n") == 1


TOLD = charrnn.CorpusConfig(val_fraction=0.0)


def trained_on(name: str, text: str) -> None:
    """Save a network of this text's letters, which knows the text only by its hash."""
    Path(f"{name}.txt").write_text(text)
    corpus = charrnn.Corpus.read(f"{name}.txt", TOLD)
    model = charrnn.ModelConfig(layers=1, hidden=4)
    training = charrnn.TrainConfig(batch_size=4, seq_length=8, steps=1)
    charrnn.save(name, charrnn.Run.new(corpus, model, training).trained)


def test_what_is_new_is_new_to_all_networks() -> None:
    trained_on("one", "a\nb\naa\nab\nba\nbb\n" * 60)
    trained_on("two", "c\nd\ncc\ncd\ndc\ndd\n" * 60)
    texts_ = ("--text", "one.txt", "--text", "two.txt")
    both = ("sample", "one", "--ensemble", "two:0.9", *texts_)
    short = ("--max-length", "2", "--count", "20", "--seed", "3", "--prime", "", "--json")
    drawn = json.loads(charrnn_(*both, *short).stdout)["samples"]
    assert {each["text"] for each in drawn} & {"c", "d", "cc", "cd", "dc", "dd"}
    found = json.loads(charrnn_(*both, *short, "--new").stdout)
    texts = {each["text"] for each in found["samples"]}
    assert texts and not texts & {"a", "b", "c", "d", "aa", "ab", "cc", "cd", "dc", "dd"}


def test_texts_of_several_networks_are_given_together() -> None:
    trained_on("one", "abab baba\n" * 90)
    trained_on("two", "cdcd dcdc\n" * 90)
    flags = ("--max-copy", "12", "--length", "30", "--seed", "3", "--prime", "")
    both = ("sample", "one", "--ensemble", "two")
    said = charrnn_(*both, *flags, "--text", "one.txt", status=1).stderr
    assert said.startswith("error: two: no run file beside it")
    charrnn_(*both, *flags, "--text", "one.txt", "--text", "two.txt")
    charrnn_(*both, *flags, "--text", "two.txt", "--text", "one.txt")
    said = charrnn_(*both, *flags, "--text", "two.txt", status=1).stderr
    assert "this is not the run's text" in said or "not in the vocabulary" in said


def test_known_words_of_another_networks_letters() -> None:
    trained_on("one", "abab baba\n" * 90)
    trained_on("two", "cdcd dcdc\n" * 90)
    Path("words").write_text("cdcd\nddcc\n")
    flags = ("--known-words", "words", "--length", "40", "--seed", "3", "--prime", "")
    found = charrnn_("sample", "one", "--ensemble", "two", *flags).stdout
    assert set(found.lower().split()[:-1]) <= {"cdcd", "ddcc"}


@pytest.mark.parametrize(
    "flags", [("--adapt", "-"), ("--max-length", "2", "--count", "5", "--not-in", "-")]
)
def test_what_another_flag_reads_is_no_prime(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.cli.prime._stdin_has_prime", lambda: True)
    words = ["sample", "a", *flags, "--length", "30", "--seed", "3", "--json"]
    result = CliRunner().invoke(cli, words, input="a\nb\nc\nab\n" * 20)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["prime"] == ""
    if "--not-in" in flags:
        assert not {each["text"] for each in found["samples"]} & {"a", "b", "c", "ab"}
    else:
        own = json.loads(charrnn_(*words[:2], *words[4:], "--prime", "").stdout)
        assert found["text"] != own["text"]

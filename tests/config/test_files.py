"""Presets and settings files: what they hold, which wins, and that each preset runs."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner

import charrnn
from charrnn.cli.main import cli
from charrnn.config.files import (
    CONFIGS,
    SETTINGS,
    configs_of,
    preset,
    presets,
    read_settings,
    values_of,
)
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError
from charrnn.optim.schedules import Moment, rate_factor
from charrnn.training.run_file import load_run
from tests.reference.small import small_corpus

FILES = Path(charrnn.__file__).parent / "config" / "presets"
TINY = [
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
    "--steps",
    "2",
]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sea.txt"
    path.write_text("the sea sings of a stone and no king hears it\n" * 80, encoding="utf-8")
    return path


def train(*arguments: Any) -> Any:
    return CliRunner().invoke(cli, ["train", *(str(argument) for argument in arguments)])


NAMES = ["char-rnn", "dl4j", "torch-rnn"]


def test_the_presets_are_the_files_in_the_package() -> None:
    assert presets() == NAMES == sorted(path.stem for path in FILES.glob("*"))
    assert charrnn.presets() == presets() and charrnn.preset("dl4j") == preset("dl4j")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_holds_settings_only_and_names_its_source(name: str) -> None:
    text = (FILES / f"{name}.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text) == preset(name)
    assert set(preset(name)) <= {f.name for kind in CONFIGS for f in fields(kind)} - {
        "vocab_size",
        "seed",
    }
    assert text.startswith("# ") and name in text.splitlines()[0].replace("dl4j-examples", "dl4j")
    assert "docs/presets.md" in text


def test_a_preset_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("hidden = 9\n")
    path = tmp_path / "mine.toml"
    assert charrnn.preset(path) == charrnn.preset(str(path)) == {"hidden": 9}


def test_what_the_originals_did_by_default() -> None:
    corpus, model, training = configs_of(preset("char-rnn"))
    assert (model.cell, model.layers, model.hidden, model.dropout, model.init_scale) == (
        "lstm",
        2,
        128,
        0,
        0.08,
    )
    assert (training.batch_size, training.seq_length, training.epochs) == (50, 50, 50)
    assert (training.optimizer, training.learning_rate, training.rho) == ("rmsprop", 2e-3, 0.95)
    assert (training.clip_value, training.reduction) == (5, "sum-over-time")
    assert corpus.val_fraction == 0.05
    corpus, model, training = configs_of(preset("torch-rnn"))
    assert (model.cell, model.layers, model.hidden, model.embedding) == ("lstm", 2, 128, 64)
    assert (training.optimizer, training.learning_rate, training.clip_value) == ("adam", 2e-3, 5)
    assert (corpus.val_fraction, corpus.test_fraction) == (0.1, 0.1)
    _, model, training = configs_of(preset("dl4j"))
    assert (model.cell, model.layers, model.hidden, model.activation) == (
        "peephole",
        2,
        200,
        "tanh",
    )
    assert (training.batch_size, training.seq_length, training.reset_every, training.epochs) == (
        32,
        50,
        1000,
        1,
    )
    assert training.learning_rate is not None and training.weight_decay is not None
    assert (training.optimizer, training.rho, training.learning_rate * 32) == ("rmsprop", 0.95, 0.1)
    assert training.learning_rate * training.weight_decay * 32 == pytest.approx(0.001)


def rates(name: str, epochs: int) -> list[float]:
    """The learning rate in the first step of each epoch."""
    training = configs_of(preset(name))[2]
    assert training.learning_rate is not None
    moments = (Moment(100 * epoch, 100, 5000) for epoch in range(epochs))
    return [training.learning_rate * rate_factor(moment, training) for moment in moments]


def test_the_rates_fall_when_those_of_the_originals_did() -> None:
    assert rates("char-rnn", 13) == pytest.approx(
        [2e-3] * 10 + [2e-3 * 0.97, 2e-3 * 0.97**2, 2e-3 * 0.97**3]
    )
    assert rates("torch-rnn", 15) == pytest.approx([2e-3] * 4 + [1e-3] * 5 + [5e-4] * 5 + [2.5e-4])
    assert rates("dl4j", 3) == pytest.approx([0.1 / 32] * 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_runs(name: str) -> None:
    corpus_config, model, training = configs_of(preset(name))
    corpus = small_corpus(**{f.name: getattr(corpus_config, f.name) for f in fields(CorpusConfig)})
    run = charrnn.Run.new(
        corpus, replace(model, hidden=16), replace(training, epochs=None, steps=4)
    )
    reports = list(charrnn.train(run, corpus, threads=1))
    assert len(reports) == 4
    assert reports[-1].loss < reports[0].loss


def test_defaults_then_preset_then_file_then_flags(text: Path) -> None:
    (text.parent / "mine.toml").write_text(
        "seq-length = 12\nhidden = 8\nresidual = true\nlocked_dropout = true\n"
    )
    result = train(
        text,
        "--preset",
        "torch-rnn",
        "--config",
        "mine.toml",
        "--hidden",
        6,
        "--no-residual",
        "--steps",
        2,
    )
    assert result.exit_code == 0, result.output
    run = load_run("checkpoints/sea/last.safetensors")
    model, training = run.model.config, run.config
    assert (model.hidden, training.seq_length, model.embedding) == (6, 12, 64)  # flag, file, preset
    assert (model.residual, model.locked_dropout) == (False, True)
    assert training.beta1 == TrainConfig().beta1
    written = read_settings("checkpoints/sea/config.toml", {"text": list})
    settings = {name: value for name, value in written.items() if name != "text"}
    assert configs_of(settings)[2] == training


def test_switches_in_a_file_and_as_flags(text: Path) -> None:
    (text.parent / "mine.toml").write_text("residual = true\n")
    assert train(text, *TINY, "--config", "mine.toml", "--layers", 2, "--out", "a").exit_code == 0
    assert train(text, *TINY, "--residual", "--layers", 2, "--out", "b").exit_code == 0
    assert (
        train(
            text, *TINY, "--config", "mine.toml", "--no-residual", "--layers", 2, "--out", "c"
        ).exit_code
        == 0
    )
    found = [load_run(f"{name}/last.safetensors").model.config.residual for name in "abc"]
    assert found == [True, True, False]
    (text.parent / "mine.toml").write_text("residual = 1\n")
    result = train(text, "--config", "mine.toml")
    assert (
        result.exit_code == 2
        and result.stderr == "error: mine.toml: --residual must be true or false, not 1\n"
    )
    shown = " ".join(train("--help-all").output.split())
    assert "--residual / --no-residual Add each layer's input to its output" in shown


def test_a_preset_of_ones_own(text: Path) -> None:
    (text.parent / "mine.toml").write_text(
        'hidden = 5\ntext = "sea.txt"\nsteps = 2\nout = "there"\n'
    )
    assert train("--preset", "mine.toml").exit_code == 0
    assert load_run("there/last.safetensors").model.config.hidden == 5


def test_no_words_are_no_text_in_any_version_of_click(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an argument that was not given, 8.2 says that it was empty on the command line."""
    (text.parent / "mine.toml").write_text('hidden = 5\ntext = "sea.txt"\nsteps = 2\nout = "it"\n')
    source_of = click.Context.get_parameter_source

    def said(self: click.Context, name: str) -> Any:
        return ParameterSource.COMMANDLINE if name == "text" else source_of(self, name)

    monkeypatch.setattr(click.Context, "get_parameter_source", said)
    assert train("--preset", "mine.toml").exit_code == 0
    assert load_run("it/last.safetensors").sources[0].path.endswith("sea.txt")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "char-rn",
            "error: there is no preset 'char-rn'; did you mean char-rnn? (or give the path of a",
        ),
        ("none.toml", "error: none.toml: cannot be read: No such file or directory"),
        ("wrong.toml", "error: wrong.toml: there is no setting 'hiden'; did you mean hidden?"),
        ("dots.toml", "error: dots.toml: not TOML: a line with more than 300 dots"),
        ("../char-rnn", "error: there is no preset '../char-rnn'; did you mean char-rnn?"),
        ("large", f"error: there is no preset 'large'; use {', '.join(NAMES)} (or give the path"),
    ],
)
def test_a_wrong_preset_is_one_line(text: Path, name: str, said: str) -> None:
    (text.parent / "wrong.toml").write_text("hiden = 5\n")
    (text.parent / "dots.toml").write_text("a" + ".a" * 400_000 + " = 1\n")
    result = train(text, "--preset", name)
    assert result.exit_code == 2
    assert result.stderr.startswith(said) and result.stderr.count("\n") == 1
    assert not (text.parent / "checkpoints").exists()


def test_a_preset_file_is_not_written_over(text: Path) -> None:
    (text.parent / "config.toml").write_text("hidden = 5\n")
    result = train(text, "--preset", "config.toml", "--out", ".")
    assert result.exit_code == 2 and "choose another --out" in result.stderr
    assert (text.parent / "config.toml").read_text() == "hidden = 5\n"


def test_settings_as_configurations() -> None:
    assert configs_of({}) == (CorpusConfig(), ModelConfig(), TrainConfig())
    assert configs_of({"unit": "byte", "hidden": 3, "seed": 4})[2] == TrainConfig(seed=4)
    assert values_of(*configs_of({"hidden": 3})) == {**values_of(*configs_of({})), "hidden": 3}
    assert list(SETTINGS) == list(values_of(*configs_of({})))
    with pytest.raises(ConfigError, match=r"^there is no setting 'hiden'; did you mean hidden\?$"):
        configs_of({"hiden": 3})
    with pytest.raises(ConfigError, match=r"^there is no setting 'rnn_size'; did you mean hidden"):
        configs_of({"rnn_size": 3})
    with pytest.raises(ConfigError, match=r"^`hidden` must be at least 1"):
        configs_of({"hidden": 0})


@pytest.mark.parametrize(("hidden", "warned"), [(8, False), (16, False), (64, True)])
def test_many_parameters_for_each_character_are_told(text: Path, hidden: int, warned: bool) -> None:
    result = train(text, *TINY, "--hidden", hidden)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(lines) == warned
    assert all("parameters per character of training text" in line for line in lines)
    assert (
        "warning" not in train(text, *TINY, "--hidden", hidden, "--quiet", "--out", "quiet").stderr
    )

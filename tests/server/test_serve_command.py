"""`charrnn serve` where it cannot serve."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from charrnn.cli import serve as command
from charrnn.cli.main import cli
from charrnn.cli.serve import name_of


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["serve", *arguments])
    return result.exit_code, result.output


def test_a_missing_extra_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    status, output = run()
    assert status == 1
    assert output == (
        "error: charrnn serve needs more packages: pip install 'charrnn-numba[serve]'\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "70000"), "--port must be at most 65535, not 70000"),
        (("--max-tokens", "0"), "--max-tokens must be at least 1, not 0"),
        (("--cors", "localhost:3000"), "--cors 'localhost:3000' must be an origin"),
        (("--cors", "*"), "--cors '*' must be an origin"),
        (("--cors", "http://a/b"), "--cors 'http://a/b' must be an origin"),
        (("--api-key", ""), "--api-key must be"),
        (("--api-key", " "), "--api-key must be"),
        (("--api-key", "secret "), "--api-key must be"),
        (("--api-key", "\u00e4"), "--api-key must be"),
    ],
)
def test_wrong_flags(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: True)
    status, output = run(*arguments)
    assert status == 2 and message in output and output.count("\n") == 1


def test_the_name_of_a_network_is_its_runs_or_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plays" / "2").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "plays")
    assert name_of(Path("best.safetensors")) == name_of(Path("./best.safetensors")) == "plays"
    monkeypatch.chdir("2")
    assert name_of(Path("../best.safetensors")) == "plays"
    assert name_of(Path("runs/plays/best.safetensors")) == "plays"
    assert name_of(Path("checkpoints/plays.safetensors")) == "plays"


def test_the_help_has_an_example_and_hides_what_few_need() -> None:
    status, output = run("--help")
    assert status == 0 and "curl http://127.0.0.1:8000" in output and "--max-prompt" not in output
    assert "--max-prompt" in run("--help-all")[1]

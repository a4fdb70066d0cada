"""A file that may not be opened says so; it is not "no such file"."""

import builtins
import io
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from charrnn.checkpoint.paths import bundled_network
from charrnn.cli.main import cli

RUN = str(bundled_network())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files whose names begin with `secret` cannot be opened; root could open any."""
    (tmp_path / "secret.safetensors").write_bytes(Path(RUN).read_bytes())
    (tmp_path / "secret.txt").write_text("a text of some length\n" * 100)
    (tmp_path / "t.txt").write_text("a text of some length\n" * 100)
    (tmp_path / "secret.toml").write_text("hidden = 8\n")
    (tmp_path / "secret-folder").mkdir()
    (tmp_path / "secret-folder" / "t.txt").write_text("a text")

    def refusing(function):
        def opened(path, *rest, **options):
            if isinstance(path, str | os.PathLike) and Path(path).name.startswith("secret"):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return function(path, *rest, **options)

        return opened

    for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "scandir")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))
    monkeypatch.setattr(os, "listdir", refusing(os.listdir))
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, *_, **__: "secret" not in str(p) and access(p, *_))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["train", "secret.txt"],
        ["train", "secret-folder"],
        ["train", "t.txt", "--validation", "secret.txt"],
        ["train", "t.txt", "--init-from", "secret.safetensors"],
        ["train", "t.txt", "--config", "secret.toml"],
        ["train", "t.txt", "--preset", "secret.toml"],
        ["compare", "secret.txt", "--cells", "lstm,gru"],
        ["sample", "secret.safetensors"],
        ["sample", RUN, "--ensemble", "secret.safetensors"],
        ["sample", RUN, "--prime-file", "secret.txt"],
        ["eval", "secret.safetensors", "t.txt"],
        ["eval", RUN, "secret.txt"],
        ["info", "secret.safetensors"],
        ["bench", "--text", "secret.txt", "--only", "training"],
    ],
)
def test_what_may_not_be_opened_says_permission_denied(folder, words):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code in (1, 2) and result.stdout == ""
    assert "Permission denied" in result.stderr and "secret" in result.stderr
    assert "no such" not in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "t.txt/x"],
        ["train", "t.txt", "--init-from", "t.txt/x"],
        ["train", "t.txt", "--config", "t.txt/x.toml"],
        ["train", "t.txt", "--out", "t.txt/x", "--steps", "2"],
        ["compare", "t.txt", "--cells", "lstm", "--steps", "2", "--out", "t.txt/x", "--quiet"],
        ["sample", RUN, "--prime-file", "t.txt/x"],
    ],
)
def test_a_file_in_the_place_of_a_folder_is_named(folder, words):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code in (1, 2)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: t.txt/x") and "Not a directory" in last and "Errno" not in last

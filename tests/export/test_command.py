"""`charrnn export`: its flags, what it says, and that it replaces nothing unasked."""

from __future__ import annotations

import errno
import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from charrnn.export import place
from tests.reference.small import TEXT, small_corpus, small_run, trained


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose text is not known to its file."""
    corpus, path = small_corpus(), tmp_path_factory.mktemp("run") / "net.safetensors"
    run = small_run(corpus)
    trained(run, corpus)
    charrnn.save(path, run.trained)
    return path


def export(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["export", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result


def test_a_network_without_its_text_has_the_loss_of_training(network: Path, tmp_path: Path) -> None:
    result = export(network, "--to", "pytorch", "--out", tmp_path / "net", "--license", "mit")
    assert "the model card has the loss that training measured" in result.stderr
    assert "with --text" in result.stderr
    assert not result.stdout and "wrote" in result.stderr
    card = (tmp_path / "net" / "README.md").read_text("utf-8")
    assert 'license: "mit"' in card and "## A sample\n\n```text\n" in card
    assert f"| {charrnn.load(network).origin.loss or 0:.4f} |" in card or "not measured" in card


def test_a_run_is_evaluated_as_eval_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(TEXT, "utf-8")
    small = ["--hidden", "8", "--layers", "1", "--steps", "3", "--batch-size", "2", "--quiet"]
    result = CliRunner().invoke(cli, ["train", "book.txt", *small, "--out", "run"])
    assert result.exit_code == 0, result.output
    evaluated = CliRunner().invoke(cli, ["eval", "run", "--window", "0", "--json"])
    loss = json.loads(evaluated.stdout)
    about = json.loads(export("run", "--to", "pytorch", "--out", "net", "--json").stdout)
    assert about["format"] == "pytorch" and about["checkpoint"] == "run/best.safetensors"
    sizes = {file["path"]: file["bytes"] for file in about["files"]}
    assert sizes == {str(path): path.stat().st_size for path in Path("net").iterdir()}
    card = Path("net/README.md").read_text("utf-8")
    assert f"value: {loss['nats_per_char']:.6f}" in card
    first = len(TEXT) - loss["characters"] - 1
    assert f"--part {first}:{len(TEXT)}\n" in card
    with gzip.open("packed.txt.gz", "wb") as file:
        file.write(TEXT.encode())
    export("run", "--to", "pytorch", "--out", "net", "--force", "--text", "packed.txt.gz")
    packed = Path("net/README.md").read_text("utf-8")
    assert f"value: {loss['nats_per_char']:.6f}" in packed and "--part" not in packed
    Path("book.txt").rename("moved.txt")
    export("run", "--to", "pytorch", "--out", "net", "--force", "--text", "moved.txt")
    assert Path("net/README.md").read_text("utf-8") == card
    Path("moved.txt").write_text("another")
    result = export("run", "--to", "pytorch", "--out", "x", "--text", "moved.txt", status=1)
    assert "text has changed" in result.stderr or "not the run's text" in result.stderr


def test_all_networks_of_a_run_are_exported_and_a_file_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(TEXT, "utf-8")
    small = ["--hidden", "8", "--layers", "1", "--steps", "3", "--batch-size", "2", "--quiet"]
    command = ["train", "book.txt", *small, "--networks", "2", "--out", "run"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    evaluated = CliRunner().invoke(cli, ["eval", "run", "--window", "0", "--json"])
    loss = json.loads(evaluated.stdout)["nats_per_char"]
    about = json.loads(export("run", "--to", "pytorch", "--out", "net", "--json").stdout)
    assert about["checkpoint"] == "run/best.safetensors"
    assert about["ensemble"] == ["run/best-2.safetensors"]
    card = Path("net/README.md").read_text("utf-8")
    assert f"value: {loss:.6f}" in card and "- 2 networks, each lstm 1 x 8" in card
    sample = CliRunner().invoke(cli, ["sample", "run", "--seed", "0", "--length", "40"])
    assert sample.stdout.splitlines()[0] in card
    result = export("run", "--to", "html", "--out", "all.html")
    last = result.stderr.splitlines()[-1]
    assert last == "it holds 2 networks; for the first one alone, export run/best.safetensors"
    result = export("run/best.safetensors", "--to", "html", "--out", "one.html")
    assert "it holds" not in result.stderr
    charrnn.export_html(charrnn.load_mixture("run"), "library.html", name="run")
    assert Path("library.html").read_bytes() == Path("all.html").read_bytes()
    charrnn.export_html(charrnn.load("run"), "library.html", name="run", force=True)
    assert Path("library.html").read_bytes() == Path("one.html").read_bytes()


def test_nothing_is_replaced_unasked(network: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    asked = network, "--to", "pytorch", "--out", tmp_path
    result = export(*asked, status=1)
    assert "not empty" in result.stderr and "--force" in result.stderr
    assert (tmp_path / "README.md").read_text() == "mine"
    export(*asked, "--force")
    assert "A sample" in (tmp_path / "README.md").read_text("utf-8")


def test_wrong_flags(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "x"
    result = export(network, "--to", "onnx", "--out", out, "--license", "mit", status=2)
    assert "--license needs --to pytorch" in result.stderr
    result = export(network, "--out", out, status=2)
    assert result.stderr.count("\n") == 1 and "pytorch" in result.stderr
    export(network, "--to", "pytorch", status=2)
    export(tmp_path / "none", "--to", "pytorch", "--out", out, status=1)
    assert not out.exists()
    result = export(network, "--to", "html", "--out", "-", status=1)
    assert "stdout" in result.stderr and not Path("-").exists()


def test_without_a_run_the_bundled_network_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = export("--to", "html", "--out", "plays.html")
    assert "no run in checkpoints/ yet: using the bundled network" in result.stderr
    assert Path("plays.html").stat().st_size > 100_000


def test_a_full_disk_leaves_no_half_of_a_folder(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = place.replace_file

    def full(path: Path, data: bytes) -> None:
        if path.name == "model.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(place, "replace_file", full)
    result = export(network, "--to", "pytorch", "--out", tmp_path / "net", status=1)
    assert "No space left on device" in result.stderr
    assert not any((tmp_path / "net").iterdir())

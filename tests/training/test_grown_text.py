"""Going on with a text that has grown at its end: what is taken up, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from charrnn.checkpoint.trained import load
from charrnn.cli.main import cli
from charrnn.config.settings import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.reporting.run_facts import facts_of
from charrnn.text.corpus import Corpus
from charrnn.training.entries import line_of
from charrnn.training.grown_text import growth, take_up
from charrnn.training.run_file import describe_run, load_run
from charrnn.training.run_folder import RunFolder
from charrnn.training.run_record import RunRecord
from tests.reference.small import TEXT, small_corpus, small_run, trained

LONGER = TEXT + "41 green bottles should fall\n" * 9


def test_the_hash_of_a_beginning() -> None:
    corpus, vocab = small_corpus(LONGER), small_corpus(LONGER).vocab
    for n in (2, 100, len(TEXT)):
        begun = Corpus.from_text(LONGER[:n], CorpusConfig(val_fraction=0.0), vocab=vocab)
        assert corpus.sha256_of_first(n) == begun.sha256
    wide = "".join(chr(0x4E00 + i) for i in range(300)) * 3
    corpus = small_corpus(wide)
    assert corpus.ids.dtype == np.uint16
    assert corpus.sha256_of_first(600) == small_corpus(wide[:600]).sha256


def test_what_has_grown() -> None:
    run = small_run(small_corpus())
    vocab = run.vocab
    assert growth(run, small_corpus(LONGER)) == len(LONGER) - len(TEXT)
    other = TEXT.replace("6 green", "7 green", 1)
    for text in (TEXT, TEXT[:-1], "\n" + LONGER, other + LONGER[len(TEXT) :]):
        corpus = Corpus.from_text(text, vocab=vocab)
        assert growth(run, corpus) == 0
        with pytest.raises(CorpusError):
            take_up(run, corpus)
    assert growth(run, small_corpus(LONGER + "#")) == 0  # another vocabulary


def test_it_learns_the_new_text_and_can_be_interrupted(tmp_path: Path) -> None:
    """To the same bits; the losses on the old validation text count no longer."""
    ends, corpus = [], small_corpus()
    for name, stop in (("whole", None), ("parts", 4)):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        folder.create({})
        trained(small_run(corpus, steps=11, eval_every=5), corpus, folder)
        run, longer = folder.resume(), small_corpus(LONGER)
        with pytest.raises(CorpusError, match="not the run's text"):
            run.check_text(longer)
        take_up(run, longer)
        folder.save_last(run)
        assert not run.state.h.any() and not run.state.c.any()
        assert run.steps_per_epoch == run.streams(longer).steps
        assert run.progress.best_loss is None and run.validations == []
        run.change(steps=23, patience=3)
        if stop:
            trained(run, longer, folder, steps=stop)
            run = folder.resume()
            assert run.step == 11 + stop
        trained(run, longer, folder)
        assert [entry["step"] for entry in run.validations] == [15, 20, 23]
        assert run.progress.best_step in (15, 20, 23) and len(folder.entries()) == 6
        lines = folder.history.read_bytes()
        before = {"step": 5, "validation_loss": 0.01, "train_loss": 0.01}
        folder.history.write_bytes(line_of(before) + b"".join(lines.splitlines(True)[1:]))
        best = RunRecord.read(folder.path).best
        assert best is not None and best["step"] == run.progress.best_step
        of_report = facts_of(folder).best
        assert of_report is not None and of_report["step"] == run.progress.best_step
        ends.append(folder.last.read_bytes())
    assert ends[0] == ends[1]
    assert load_run(tmp_path / "parts" / "last.safetensors").sha256 == small_corpus(LONGER).sha256


def test_the_best_of_a_validation_file_stays_the_best(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("text", "validation")]
    for path in paths:
        path.write_text(TEXT)
    config = CorpusConfig(document_separator="\n")  # no documents are drawn then
    corpus = Corpus.read(paths[0], config, validation=paths[1])
    run = small_run(corpus)
    trained(run, corpus)
    best = run.progress.best_loss
    paths[0].write_text(LONGER)
    longer = Corpus.read(paths[0], config, validation=paths[1])
    assert growth(run, longer) == len(LONGER) - len(TEXT)
    take_up(run, longer)
    assert run.progress.best_loss == best is not None
    at = facts_of(run).best
    assert at is not None and at["validation_loss"] == best
    paths[1].write_text(LONGER)
    with pytest.raises(CorpusError, match=r"but the run had it with|not the run's text"):
        take_up(run, Corpus.read(paths[0], config, validation=paths[1]))


def test_documents_are_not_drawn_anew() -> None:
    run = small_run(small_corpus(document_separator="\n"))
    with pytest.raises(CorpusError, match=r"drawn anew for validation; .*`init_from`"):
        take_up(run, small_corpus(LONGER, document_separator="\n"))
    assert run.sha256 == small_corpus().sha256


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_says_how_much_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--hidden", 8, "--layers", 1, "--threads", 1, "--steps")
    Path("log.txt").write_text(TEXT)
    assert invoke("train", "log.txt", *small, 3).exit_code == 0
    Path("log.txt").write_text(LONGER)
    result = invoke("train", "--resume")
    assert result.exit_code == 0, result.output
    new = len(LONGER) - len(TEXT)
    assert f"the text has grown by {new} characters" in result.stderr
    assert "is finished (3 steps" in result.stderr and "for 20m more" in result.stderr
    assert invoke("eval", "checkpoints/log").exit_code == 0
    result = invoke("train", "--resume", "--steps", 6)
    assert result.exit_code == 0 and "has grown" not in result.stderr
    run = load_run("checkpoints/log/last.safetensors")
    assert run.step == 6 and run.sources[0].characters == len(LONGER)
    assert invoke("info", "checkpoints/log").exit_code == 0
    assert invoke("eval", "checkpoints/log").exit_code == 0
    Path("log.txt").write_text(LONGER + "é")
    result = invoke("train", "--resume", "--steps", 9)
    assert result.exit_code == 1 and "--init-from checkpoints/log" in result.stderr
    Path("log.txt").write_text("5" + LONGER)
    result = invoke("train", "--resume", "--steps", 9)
    assert result.exit_code == 1 and "this is not the run's text" in result.stderr


@pytest.mark.parametrize("more", [(), ("--validation", "valid.txt"), ("--networks", 2)])
def test_the_best_networks_are_still_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[object, ...]
) -> None:
    """Also while none is better since the text has grown."""
    monkeypatch.chdir(tmp_path)
    Path("log.txt").write_text(TEXT)
    Path("valid.txt").write_text(TEXT)
    small = ("--hidden", 8, "--layers", 1, "--threads", 1, "--learning-rate", 1e-9, "--steps")
    assert invoke("train", "log.txt", *small, 3, *more).exit_code == 0
    weights = [load(path) for path in sorted(Path("checkpoints/log").glob("best*.safetensors"))]
    Path("log.txt").write_text(LONGER)
    length = ("--steps", 4) if "--networks" in more else ()
    assert invoke("train", "--resume", *length).exit_code == 0
    found = sorted(Path("checkpoints/log").glob("best*.safetensors"))
    for path, before in zip(found, weights, strict=True):
        now, run = load(path), describe_run(path)
        assert run is not None and now.origin.sha256 != before.origin.sha256
        if not length:
            assert np.array_equal(now.model.parameters.flat, before.model.parameters.flat)
            assert now.origin.loss == (before.origin.loss if more else None)
    result = invoke("eval", "checkpoints/log")
    assert result.exit_code == 0, result.output
    assert invoke("report", "checkpoints/log").exit_code == 0

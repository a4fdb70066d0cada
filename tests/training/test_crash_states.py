"""Whatever moment the power fails in, each file of a run is an old or a new one, and the run goes
on to the same bytes.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from charrnn.checkpoint.trained import load
from charrnn.errors import CharrnnError, CheckpointError
from charrnn.runtime import files as runtime_files
from charrnn.runtime.files import write_atomically
from charrnn.text.corpus import Corpus
from charrnn.training.records import SAMPLES, STEPS
from charrnn.training.run import Run
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import TEST_LOOKS, RunFolder, note_test_look
from charrnn.training.run_folder import test_looks as looks_at_test
from tests.reference.crashes import (
    Files,
    Operation,
    crash_states,
    is_temporary,
    recorded,
    write_files,
)
from tests.reference.small import small_corpus, small_run, trained

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX")

GROWING = {STEPS, SAMPLES}
"""The files that are appended to; whatever they hold, the run's record is whole in the end."""
SETTINGS = {"steps": 7, "eval_every": 3, "save_every": 1}


@pytest.fixture(autouse=True)
def plain_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS, too, files are synced by the call that is recorded."""
    monkeypatch.setattr(runtime_files, "fcntl", None)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return small_corpus()


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, corpus: Corpus
) -> tuple[RunFolder, list[Operation]]:
    """A run that was stopped and resumed, and the log of its files."""
    folder = RunFolder(tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime_files, "fcntl", None)
        with recorded(folder.path) as log:
            folder.create({"hidden": 9, "text": ["a"]})
            run = small_run(corpus, **SETTINGS)
            run.config = replace(run.config, pace="1:7")
            trained(run, corpus, folder, steps=4)
            (folder.path / ".last.safetensors.x.tmp").write_bytes(b"left by a kill")
            trained(folder.resume(), corpus, folder)
    return folder, log


def visible(files: Files) -> frozenset[tuple[str, bytes]]:
    return frozenset((name, data) for name, data in files.items() if not is_temporary(name))


def distinct(log: Sequence[Operation]) -> list[Files]:
    """The states that differ in files that are read, after each was found whole."""
    states = dict[frozenset[tuple[str, bytes]], Files]()
    for files, is_whole in crash_states(log):
        for name in files:
            if is_temporary(name) or name.rpartition("/")[2] in GROWING:
                continue
            assert is_whole(name), f"{name} is neither the old nor the new one"
        states.setdefault(visible(files), files)
    return list(states.values())


def test_every_kind_of_operation_is_in_the_log(made: tuple[RunFolder, list[Operation]]) -> None:
    _, log = made
    appended = [
        each.kind for each in log if each.name in GROWING and each.kind in ("write", "sync")
    ]
    assert len(appended) > 8 and appended == ["write", "sync"] * (len(appended) // 2)
    kinds = [
        each.kind for each in log if each.name not in GROWING or each.kind not in ("write", "sync")
    ]
    assert set(kinds) == {"create", "write", "sync", "rename", "remove", "sync-folder"}
    renamed = {operation.other for operation in log if operation.kind == "rename"}
    assert renamed == {
        "history.jsonl", "config.toml", "last.safetensors", "good.safetensors", "best.safetensors",
        *GROWING,
    }  # fmt: skip
    assert kinds.count("create") == kinds.count("write") + 3  # three are empty
    assert kinds.count("sync") == kinds.count("sync-folder") == kinds.count("rename")


def test_a_run_goes_on_from_every_state(
    tmp_path: Path, made: tuple[RunFolder, list[Operation]], corpus: Corpus
) -> None:
    folder, log = made
    paths = folder.last, folder.best, folder.path / STEPS, folder.path / SAMPLES
    wanted = {path: path.read_bytes() for path in paths}
    steps = [entry["step"] for entry in folder.entries()]
    states, began = distinct(log), set[int]()
    for number, files in enumerate(states):
        place = RunFolder(tmp_path / str(number))
        place.path.mkdir()
        write_files(place.path, files)
        if not place.last.exists():
            assert not place.best.exists() and not place.good.exists()
            place.create({"hidden": 9})
            continue
        tomllib.loads(place.config.read_text())
        if place.best.exists():
            assert load(place.best).origin.step in steps
        run = place.resume()
        began.add(run.step)
        assert place.good_of(run) is not None
        if run.ended_by() is None:
            trained(run, corpus, place)
        for path, data in wanted.items():
            assert (place.path / path.name).read_bytes() == data
        assert [entry["step"] for entry in place.entries()] == steps
        assert not [path for path in place.path.iterdir() if is_temporary(path.name)]
    assert began == set(range(8)) and len(states) > 20


@pytest.mark.parametrize("dropped", ["sync", "sync-folder"])
def test_the_model_notices_what_is_not_synced(
    tmp_path: Path, made: tuple[RunFolder, list[Operation]], dropped: str
) -> None:
    """Without syncing files, one is torn; without syncing folders, files of several moments meet,
    such as a run without the good state that it needs.
    """
    _, log = made
    fewer = [operation for operation in log if operation.kind != dropped]
    if dropped == "sync":
        with pytest.raises(AssertionError, match="neither the old nor the new"):
            distinct(fewer)
        return
    bad = 0
    start = next(n for n, each in enumerate(log) if each.other == "good.safetensors")
    # the folder is synced up to there, then no more
    part = [*log[:start], *(each for each in log[start : start + 9] if each.kind != dropped)]
    for number, files in enumerate(distinct(part)):
        place = RunFolder(tmp_path / str(number))
        write_files(place.path, files)
        if place.last.exists():
            try:
                run: Run = load_run(place.last)
                bad += place.good_of(run) is None
            except CharrnnError:
                bad += 1
    assert bad


def test_a_file_written_in_place_is_noticed(tmp_path: Path) -> None:
    with recorded(tmp_path) as log:
        (tmp_path / "a").write_bytes(b"12345678")
        os.sync()
        write_atomically(tmp_path / "b", b"1")
        (tmp_path / "a").write_bytes(b"abcdefgh")
    with pytest.raises(AssertionError, match="a is neither"):
        distinct(log)


def test_looks_at_the_test_part(tmp_path: Path) -> None:
    with recorded(tmp_path) as log:
        for nats in (1.5, 1.25):
            note_test_look(tmp_path / "best.safetensors", nats)
    looks = set[tuple[float, ...]]()
    for number, files in enumerate(distinct(log)):
        write_files(tmp_path / str(number), files)
        (tmp_path / str(number)).mkdir(exist_ok=True)
        entries = looks_at_test(tmp_path / str(number) / "best.safetensors")
        looks.add(tuple(entry["nats_per_char"] for entry in entries))
    assert looks == {(), (1.5,), (1.5, 1.25)} and (tmp_path / TEST_LOOKS).exists()


def test_a_save_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call fails, the old file stays, and nothing is left beside it."""
    write_atomically(tmp_path / "a", b"old")
    for name in ("fsync", "replace", "chmod"):

        def fail(*_: object, name: str = name) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(CheckpointError, match="No space left"):
                write_atomically(tmp_path / "a", b"new")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_comparison_from_every_state(tmp_path: Path, corpus: Corpus) -> None:
    from charrnn.tuning.candidates import Candidate
    from charrnn.tuning.comparison import compare

    run = small_run(corpus, steps=3, eval_every=2)
    candidates = [Candidate("a", corpus, run.model.config, run.config)]
    whole = tmp_path / "whole"
    (whole / "a-seed0").mkdir(parents=True)
    with recorded(whole) as log:
        (outcome,) = (e.outcome for e in compare(candidates, [0], whole) if e.outcome is not None)
    assert {each.other for each in log} >= {"compare.json", "a-seed0/measured.json"}
    for number, files in enumerate(distinct(log)):
        place = tmp_path / str(number)
        place.mkdir()
        write_files(place, files)
        events = [e.outcome for e in compare(candidates, [0], place) if e.outcome is not None]
        assert [each.validation_loss for each in events] == [outcome.validation_loss]
        json.loads((place / "compare.json").read_bytes())

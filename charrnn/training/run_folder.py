"""A run's folder: checkpoints (`last`, `best`, and `good` if `last` is not good), history,
settings, and a lock.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from charrnn.checkpoint.paths import (
    BEST,
    LAST,
    LOCK,
    ROOT,
    best_of,
    check_no_run,
    find_checkpoint,
    find_run,
    network_folder,
    newest_folder,
)
from charrnn.checkpoint.trained import load, save
from charrnn.config import TrainConfig
from charrnn.config.files import parse_toml
from charrnn.config.training import LENGTH
from charrnn.errors import CheckpointError, RunError
from charrnn.runtime.files import TEMPORARY, read_regular, write_atomically
from charrnn.training.entries import (
    ADVICE,
    HISTORY,
    MOST_READ,
    Entry,
    place,
    read_advice,
    read_history,
    read_lines,
    seconds_of_entries,
    write_lines,
)
from charrnn.training.records import SAMPLES, STEPS
from charrnn.training.run import Run
from charrnn.training.run_file import configurations_of, load_run, progress_of, save_run

TEST_LOOKS = "test-looks.jsonl"
"""The file beside a checkpoint that records when its test part was evaluated (UTC)."""
PATIENCE = 0.2
"""Seconds to wait for a folder's lock: who looks if a run is training (`RunRecord`) holds it for an
instant.
"""


class RunFolder:
    """The folder of one run. Nothing is written before `create` or `resume`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._started, self._seconds_before = time.monotonic(), 0.0

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def _repr_html_(self) -> str:
        from charrnn.training.run_record import RunRecord

        return RunRecord.read(self.path)._repr_html_()

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which training resumes."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The network with the lowest validation loss."""
        return self.path / BEST

    def network(self, number: int) -> "RunFolder":
        """The folder of one of the run's networks, from 1: a run of its own, below the first."""
        return self if number == 1 else RunFolder(network_folder(self.path, number))

    def has_network(self, number: int) -> bool:
        """True if this network has been trained to its end (`add_network`)."""
        return best_of(self.path, number).exists()

    def add_network(self, number: int) -> None:
        """Put a network that has been trained to its end, from 2, beside the first one: it is used
        from now on. The changes of its length are recorded with the first run's.
        """
        own = self.network(number)
        checkpoint = find_checkpoint(own.path)
        _, training = configurations_of(own.last)
        first = load_run(self.last)
        pace = first.config.with_pace(training.pace_of(1), number)
        if pace != first.config.pace:
            first.change(pace=pace)
            self.save_last(first)
        write_atomically(best_of(self.path, number), checkpoint.read_bytes())

    def resize(self, networks: int) -> None:
        """Change the number of networks that the run is to have."""
        first = load_run(self.last)
        first.change(networks=networks)
        self.save_last(first)

    @property
    def good(self) -> Path:
        """The checkpoint that training would go back to, if that is not `last`."""
        return self.path / "good.safetensors"

    @property
    def history(self) -> Path:
        """One JSON object per line, for each validation or fall-back, with the `seconds` of
        training so far.
        """
        return self.path / HISTORY

    @property
    def config(self) -> Path:
        """The run's initial settings and its length as it is now, in the format of `--config`."""
        return self.path / "config.toml"

    @property
    def seconds_before(self) -> float:
        """Training time of this run's earlier sessions, each up to its last validation, taken from
        the history.
        """
        return seconds_of_entries(self.entries())

    @property
    def holds_run(self) -> bool:
        """True if there is a checkpoint here that a new run would overwrite."""
        return self.last.exists() or self.best.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process, creating it if needed; `RunError` while another process
        holds it. The lock ends with the process.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / LOCK)
            lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 10)
        except Timeout:
            raise RunError(
                f"{self.path}: another process is training in this folder; wait for it, or choose "
                "another `out`"
            ) from None
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            reason = getattr(error, "strerror", None) or error
            raise RunError(
                f"{self.path}: cannot use this folder: {reason}; choose another `out`"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def create(self, settings: Mapping[str, Any]) -> None:
        """Start a run here; `RunError` if there is one already. `settings` are written to
        config.toml, except those that are None.
        """
        check_no_run(self.path)
        for path in (self.history, self.path / STEPS, self.path / SAMPLES):
            if path.exists() and not _is_empty(path):
                raise RunError(
                    f"{self.path} contains the history of a run whose checkpoints are missing "
                    f"({path.name}); choose another `out`"
                )
        if self.config.exists() and not self.history.exists():
            raise RunError(
                f"{self.config} does not belong to a run and would be overwritten; choose another "
                "`out`"
            )
        write_atomically(self.history, b"")
        self._write_settings(settings)
        self._started = time.monotonic()

    def _record_length(self, config: TrainConfig) -> None:
        """Record changes of the run's length in config.toml, if it exists."""
        settings: dict[str, Any] = {}
        # a damaged file stays as it is
        with suppress(OSError, ValueError, RecursionError):
            settings = parse_toml(read_regular(self.config, MOST_READ).decode("utf-8"))
        length = {name: getattr(config, name) for name in LENGTH}
        for name in {*settings} & {"networks", "decay_after"}:  # they change with the length
            length[name] = getattr(config, name)
        if {*settings} & {*LENGTH} and any(
            settings.get(name) != value for name, value in length.items()
        ):
            self._write_settings({**settings, **length})

    def _write_settings(self, settings: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in settings.items() if value is not None}
        # "replace": TOML cannot contain a path that is not UTF-8
        write_atomically(self.config, tomli_w.dumps(kept).encode("utf-8", "replace"))

    def resume(self) -> Run:
        """The run as it was last saved here; later lines of the history are dropped, since training
        will write them again, and those that are damaged or missing come from the checkpoint.
        """
        run = load_run(find_run(self.path))
        for left_behind in self.path.glob(f".*{TEMPORARY}"):
            left_behind.unlink(missing_ok=True)
        entries = self._entries_until(run)
        self._seconds_before = seconds_of_entries(entries)
        self._started = time.monotonic()
        self._write_history(entries, run)
        return run

    def save_last(self, run: Run) -> None:
        """Write the checkpoint to resume from, and new entries of the history and the pace; `good`
        keeps the last good state.
        """
        # first: a run resumed from an older checkpoint writes its own entries
        self._record_length(run.config)
        is_good = run.step == run.progress.good_step
        if not is_good and self.good_of(run) == self.last:
            write_atomically(self.good, self.last.read_bytes())
        save_run(self.last, run)
        if is_good:
            self.good.unlink(missing_ok=True)
        self._extend_history(run)

    def save_grown(self, run: Run) -> None:
        """`save_last` of a run that has taken up a text which has grown; the networks that were the
        best so far are of that text, too.
        """
        origin, number = run.trained.origin, 1
        while (path := best_of(self.path, number)).exists():
            best = load(path)
            loss = None if run.progress.best_step is None else best.origin.loss
            own = replace(best.origin, texts=origin.texts, sha256=origin.sha256, loss=loss)
            save(path, replace(best, origin=own))
            number += 1
        self.save_last(run)

    def save_best(self, run: Run) -> None:
        """Write the network with the lowest validation loss."""
        save(self.best, run.trained)

    def load_good(self, run: Run) -> Run:
        """The run's last good state; `RunError` if its file is missing."""
        found = self.good_of(run)
        if found is None:
            raise RunError(
                f"{self.path}: the checkpoint of step {run.progress.good_step}, which the run must "
                "go back to, is missing; start a new run from the best one (`init_from`) with a "
                "lower `learning_rate`"
            )
        return load_run(found)

    def good_of(self, run: Run) -> Path | None:
        """The file with the run's last good state."""
        for path in (self.last, self.good):
            with suppress(CheckpointError):
                if progress_of(path).is_good_of(run.progress):
                    return path
        return None

    def _extend_history(self, run: Run) -> None:
        found, entries = self.entries(), self._entries_until(run)
        if len(entries) < len(found) or (
            run.history and place(run.history[-1]) > max(map(place, entries), default=(0, 0))
        ):
            self._write_history(entries, run)

    def _entries_until(self, run: Run) -> list[Entry]:
        """The history's entries except those of steps that the saved run has not reached or has
        undone.
        """
        return [
            entry
            for entry in self.entries()
            if entry["step"] <= run.step and place(entry)[1] <= run.progress.lost
        ]

    def _write_history(self, entries: list[Entry], run: Run) -> None:
        """Replace the file with these entries and those that only the run has."""
        seconds = round(self._seconds_before + time.monotonic() - self._started, 3)
        every = {place(entry): entry for entry in (*run.history, *entries)}
        lines: list[Entry] = []
        for _, entry in sorted(every.items(), reverse=True):
            # the time of one that is missing in the middle is lost: it was before the next
            lines.append({**entry, "seconds": entry.get("seconds", seconds)})
            seconds = min(seconds, lines[-1]["seconds"] or 0.0)
        write_lines(self.history, lines[::-1])

    def advice_until(self, step: int) -> list[Entry]:
        """What was advised up to this step: `step`, `kind` and `text`."""
        return [entry for entry in read_advice(self.path) if entry["step"] <= step]

    def write_advice(self, entries: list[Entry]) -> None:
        """Record what was advised, in place of what is there."""
        write_lines(self.path / ADVICE, entries)

    def entries(self) -> list[Entry]:
        """The history's entries, each with a step; lines that are no such entries are left out."""
        return read_history(self.path)


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size


def test_looks(checkpoint: Path) -> list[Entry]:
    """When the test part was evaluated with checkpoints of this folder (`note_test_look`)."""
    entries = read_lines(checkpoint.parent / TEST_LOOKS)
    return [e for e in entries if isinstance(e.get("when"), str) and len(e["when"]) < 40]


def note_test_look(checkpoint: Path, nats: float) -> None:
    """Record beside a checkpoint that the test part was evaluated now.

    A figure that is looked at repeatedly is no longer a test.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    entry = {"when": when, "checkpoint": checkpoint.name, "nats_per_char": nats}
    write_lines(checkpoint.parent / TEST_LOOKS, [*test_looks(checkpoint), entry])


def newest_run(root: str | Path = ROOT) -> RunFolder:
    """The most recently saved run below `root`; `RunError` if there is none."""
    return RunFolder(newest_folder(root))

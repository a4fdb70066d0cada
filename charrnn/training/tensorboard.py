"""A run for TensorBoard, by tensorboardX, under the names of the Hugging Face trainer.

`train/loss`, `train/grad_norm`, `train/learning_rate` and `train/epoch` of every step, `eval/loss`
of every validation. Losses are in nats per character.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, RunError

if TYPE_CHECKING:
    from charrnn.training.report import Report
    from charrnn.training.run_record import RunRecord

FLUSH_SECONDS = 1
Progress = Callable[[int, int | None], None]
SHOWN = 1000
"""Steps between two calls of `progress`."""


class TensorBoard:
    """Writes the reports of `train` into a folder that TensorBoard reads.

        with charrnn.TensorBoard("logs/book", run.step) as board:
            for report in charrnn.train(run, corpus):
                board.add(report)

    What an earlier writer has written there of steps after `step` is no longer shown. `ConfigError`
    without the package tensorboardX, `RunError` if the folder cannot be written. It is written
    about once a second, so that TensorBoard sees it.
    """

    def __init__(self, folder: str | os.PathLike[str], step: int = 0) -> None:
        check_installed()
        self._folder = os.fspath(folder)
        self._flushed = time.monotonic()
        self._open(step)

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, report: Report) -> None:
        """Write what a step reports. If it went back to an earlier step, the steps in between are
        no longer shown.
        """
        if report.fell_back is not None:
            self.close()
            self._open(report.step)
            return
        numbers = {
            "train/loss": report.loss,
            "train/grad_norm": report.gradient_norm,
            "train/learning_rate": report.learning_rate,
            "train/epoch": report.epoch,
        }
        if report.validation_loss is not None:
            numbers["eval/loss"] = report.validation_loss
        self.add_numbers(report.step, numbers)

    def add_numbers(
        self, step: int, numbers: Mapping[str, float], when: float | None = None
    ) -> None:
        """Write these numbers of a step, by name; `when` in seconds since 1970, by default now."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        # one event: a call of `add_scalar` for each number takes twice as long
        values = [Summary.Value(tag=name, simple_value=number) for name, number in numbers.items()]
        when = time.time() if when is None else when
        event = Event(step=step, wall_time=when, summary=Summary(value=values))
        with self._writing():
            self._writer.write(event.SerializeToString())
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self._flushed = time.monotonic()
                self._writer.flush()

    def close(self) -> None:
        """Write what is waiting, and close the file."""
        with self._writing():
            self._writer.close()

    def _open(self, step: int) -> None:
        # not SummaryWriter: its thread dies when the disk is full, and it waits for that forever
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter, directory_check

        now = time.time_ns()  # two files of one second must not have the same name
        name = f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now}"
        start = SessionLog(status=SessionLog.START)  # hides what has been written after `step`
        with self._writing():
            directory_check(self._folder)
            self._writer = RecordWriter(f"{self._folder}/{name}")
            for event in (
                Event(wall_time=now / 1e9, file_version="brain.Event:2"),
                Event(wall_time=now / 1e9, step=step + 1, session_log=start),
            ):
                self._writer.write(event.SerializeToString())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """`RunError` for what the system says."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self._folder}: cannot write here: {error.strerror or error}; choose another "
                "`tensorboard`"
            ) from None


def check_installed() -> None:
    """`ConfigError` without the package that `TensorBoard` needs."""
    if find_spec("tensorboardX") is None:
        raise ConfigError(
            "`tensorboard` needs one more package: pip install 'charrnn-numba[tensorboard]'"
        )


def write_tensorboard(
    record: RunRecord, folder: str | os.PathLike[str], progress: Progress | None = None
) -> None:
    """Write a run's record for TensorBoard, as `TensorBoard` would have while it trained.

    Steps that are missing in the record are left out. `progress(done, total)` counts steps. Errors
    as in `TensorBoard`.
    """
    whens = _whens(record)
    losses = {entry["step"]: entry.get("validation_loss") for entry in record.validations}
    with TensorBoard(folder) as board:
        for index, (loss, norm, rate) in enumerate(record.steps.tolist()):
            step, numbers = index + 1, {}
            if loss == loss:
                numbers = {
                    "train/loss": loss,
                    "train/grad_norm": norm,
                    "train/learning_rate": rate,
                    "train/epoch": step / record.steps_per_epoch,
                }
            if losses.get(step) is not None:
                numbers["eval/loss"] = losses[step]
            board.add_numbers(step, numbers, float(whens[index]))
            if progress is not None and step % SHOWN == 0:
                progress(step, record.step)


def _whens(record: RunRecord) -> NDArray[np.float64]:
    """About when each step was made, in seconds since 1970: its training time, as if the run had
    ended now.
    """
    steps, seconds = [0], [0.0]
    for entry in record.validations:
        if entry.get("seconds") is not None and entry["step"] > steps[-1]:
            steps.append(entry["step"])
            seconds.append(max(entry["seconds"], seconds[-1]))
    return time.time() - seconds[-1] + np.interp(np.arange(1, record.step + 1), steps, seconds)

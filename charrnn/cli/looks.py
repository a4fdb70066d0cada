"""How often the test part of a text has been looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member
from charrnn.errors import CharrnnError


def warn_of_test_looks(members: Sequence[Member]) -> list[dict[str, Any]]:
    """The earlier evaluations on the test part, with a warning if there are any."""
    from charrnn.training.run_folder import test_looks

    earlier: list[dict[str, Any]] = []
    for folder, path in _by_folder(members).items():
        evaluations = test_looks(path)
        earlier += evaluations
        if evaluations:
            times = "once" if len(evaluations) == 1 else f"{len(evaluations)} times"
            terminal.say(
                f"{terminal.one_line(str(folder))}: the test part has been evaluated {times} "
                f"before, last at {evaluations[-1]['when']} UTC; a network chosen by test loss "
                "needs new test text"
            )
    return earlier


def note_test_look(members: Sequence[Member], nats: float) -> None:
    """Record beside each checkpoint that its test part was evaluated. The result has been printed
    by then: it does not depend on a folder that can be written.
    """
    from charrnn.training import run_folder

    sys.stdout.flush()
    for path in _by_folder(members).values():
        try:
            run_folder.note_test_look(path, nats)
        except CharrnnError as error:
            terminal.say(f"note: not recorded that the test part was evaluated: {error}")


def _by_folder(members: Sequence[Member]) -> dict[Path, Path]:
    """A checkpoint in each folder."""
    return {member.path.parent: member.path for member in members}

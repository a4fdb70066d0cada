"""What can go wrong, as exceptions.

Each message is one line: what, where, what was found, and what to do next. It names parameters in
backticks, as `learning_rate`; the command line shows them as flags.

    CharrnnError
    |-- CorpusError       a text cannot be read, or is unfit to train on
    |-- VocabError        a character is not in the vocabulary
    |-- ConfigError       a setting is out of its range, or settings contradict each other
    |-- CheckpointError   a file is no checkpoint, is damaged, or does not fit its configuration
    |-- RunError          a run's folder is in use, already holds a run, or does not hold one
    |-- DataError         a named data set is unknown, cannot be fetched, or arrived damaged
    |-- DivergenceError   training broke down, and going back has not helped
    `-- PeerError         a program to measure beside charrnn is not installed, or failed

The command line prints any of them as one line on stderr, with exit status 1 (2 for a
`ConfigError`).
"""


class CharrnnError(Exception):
    """The base of every error that a user of charrnn can cause."""


class CorpusError(CharrnnError):
    """A text cannot be read, or is unfit to train on."""


class VocabError(CharrnnError):
    """A character is not in the vocabulary."""


class ConfigError(CharrnnError):
    """A setting is out of its range, unknown, or contradicts another."""


class CheckpointError(CharrnnError):
    """A file is no checkpoint, is damaged, or is of a newer format."""


class RunError(CharrnnError):
    """A run's folder is in use, already holds a run, or does not hold one."""


class DataError(CharrnnError):
    """A named data set is unknown, cannot be fetched, or arrived damaged."""


class DivergenceError(CharrnnError):
    """The loss or gradient is NaN or infinite, or the loss has jumped, and going back failed."""


class PeerError(CharrnnError):
    """A peer is not installed, or failed."""


class UnstableStep(Exception):
    """A training step from which the run must go back; `train` catches it.

    `loss` and `gradient_norm` are those of the step, NaN where unknown.
    """

    def __init__(self, reason: str, loss: float, gradient_norm: float) -> None:
        super().__init__(reason)
        self.reason, self.loss, self.gradient_norm = reason, loss, gradient_norm


def one_line(error: BaseException) -> str:
    """What an error says, on one line that is not too long."""
    return " ".join(str(error).split())[:400]

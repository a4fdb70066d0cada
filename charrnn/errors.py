"""The exceptions that charrnn raises.

Each message is one line: what, where, what was found, and what to do next. It names parameters in
backticks, like `learning_rate`; the command line shows them as flags.

    CharrnnError
    |-- CorpusError      a text cannot be read or cannot be trained on
    |-- VocabError       a character or an id is not in the vocabulary
    |-- ConfigError      a setting is out of range or unknown, or contradicts another
    |-- CheckpointError  a file is not a checkpoint, is damaged, or has a newer format
    |-- RunError         a run is finished, or its folder is in use, holds a run, or holds none
    |-- DataError        a data set is unknown, cannot be downloaded, or arrived damaged
    |-- DivergenceError  training diverged for good, or outputs are NaN or infinite
    |-- SamplingError    next to none of the texts that a network writes pass
    |-- ExportError      a format cannot hold this network, or its files cannot be written
    `-- PeerError        a program to compare with is not installed, or failed

The command line prints any of them as one line on stderr, with exit status 1 (2 for a
`ConfigError`).
"""

LONGEST = 900
"""Maximum length of a message: a path, a setting or a name in a file can have any length."""


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, or if it is longer than this, its beginning and its end."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} ... {text[5 - most // 2 :]}"


class CharrnnError(Exception):
    """The base of every error that a user of charrnn can cause.

    A message of more than 900 characters is shortened in the middle.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))


class CorpusError(CharrnnError):
    """A text cannot be read or cannot be trained on."""


class VocabError(CharrnnError):
    """A character or an id is not in the vocabulary."""


class ConfigError(CharrnnError):
    """A setting is out of range or unknown, or contradicts another."""


class CheckpointError(CharrnnError):
    """A file is not a checkpoint, is damaged, or has a newer format."""


class RunError(CharrnnError):
    """A run is finished, or its folder is in use, already holds a run, or does not hold one."""


class DataError(CharrnnError):
    """A data set is unknown, cannot be downloaded, or arrived damaged."""


class DivergenceError(CharrnnError):
    """The loss or gradient is NaN or infinite, or the loss jumped, and going back did not help; or
    the outputs of a network that is used are NaN or infinite.
    """


def overflow(whose: str = "the network's") -> DivergenceError:
    """The error for a network whose outputs are not numbers that can be used."""
    return DivergenceError(
        f"{whose} outputs are NaN or infinite: its weights are too large or the file is damaged; "
        "use another checkpoint, or train again with a lower `learning_rate`"
    )


class SamplingError(CharrnnError):
    """Next to none of the texts that a network writes pass."""


class ExportError(CharrnnError):
    """A format cannot hold this network, or its files cannot be written."""


class PeerError(CharrnnError):
    """A program to compare with is not installed, or failed."""


class UnstableStep(Exception):
    """A failed training step, after which the run must go back; `train` catches it.

    `loss` and `gradient_norm` are the step's, NaN if unknown.
    """

    def __init__(self, reason: str, loss: float, gradient_norm: float) -> None:
        super().__init__(reason)
        self.reason, self.loss, self.gradient_norm = reason, loss, gradient_norm


def one_line(error: BaseException) -> str:
    """The message of an error on one line, shortened."""
    return shortened(" ".join(str(error).split()))

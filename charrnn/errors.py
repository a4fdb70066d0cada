"""What can go wrong, as exceptions. Each message is one line: what, where, what was found, and what
to do next.

    CharrnnError |-- CorpusError       a text that cannot be read or is unfit to train on |--
    VocabError        a character that the vocabulary does not hold |-- ConfigError       a setting
    out of its range, or settings that contradict each other |-- CheckpointError   a file that is no
    checkpoint, is damaged, or does not fit its own configuration |-- RunError          a run's
    folder that is in use, already holds a run, or is not one `-- DataError         a named data set
    that is unknown, cannot be fetched, or arrived damaged

The command line turns any of them into one line on stderr and exit status 1 (2 for a
`ConfigError`).
"""

from __future__ import annotations


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

"""The prime of `charrnn sample`: where it is read from, and as what."""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO

import click

from charrnn.cli import terminal
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained

PATIENCE = 2.0
"""Seconds without input from a pipe before a note says what charrnn is waiting for."""
LONGEST = 1 << 26
"""Maximum length of a prime in bytes; some files and pipes have no end."""
ADVICE = "use the end of it, e.g. with tail -c"
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:([ntr\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")


def unescaped(string: str) -> str:
    """A string from the command line; \\n, \\t, \\r, \\\\, \\x and \\u with their digits mean what
    they mean in a separator of documents.
    """

    def character(match: re.Match[str]) -> str:
        letter, *codes = match.groups("")
        return _ESCAPED[letter] if letter else chr(int("".join(codes), 16))

    return _ESCAPE.sub(character, string)


def escaped(string: str) -> str:
    """A string without control characters that `unescaped` makes this one of."""
    for letter, character in reversed(_ESCAPED.items()):
        string = string.replace(character, f"\\{letter}")
    return "".join(c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in string)


def read_prime(prime: str | None, prime_file: str | None) -> tuple[str | bytes, str]:
    """The prime from the flags, else from a pipe or file on standard input, else empty; and its
    name for messages.
    """
    if prime is not None and prime_file is not None:
        raise click.UsageError("--prime and --prime-file cannot both be given")
    if prime is not None:
        return prime, "the prime"
    if prime_file == "-" or (prime_file is None and _stdin_has_prime()):
        whose = "the prime (from standard input)"
        return _all_of(_stdin(), whose), whose
    if prime_file is None:
        return "", "the prime"
    whose = f"the prime ({prime_file})"
    return content_of(prime_file, whose), whose


def content_of(path: str, whose: str, advice: str = ADVICE) -> bytes:
    """The bytes of a file; if it is too long, the error ends with the advice."""
    from charrnn.text.contents import opened

    with opened(path) as stream:
        return _all_of(stream, whose, advice)


def _all_of(stream: BinaryIO, whose: str, advice: str = ADVICE) -> bytes:
    data = bytearray()
    while piece := stream.read(1 << 20):
        data += piece
        if len(data) > LONGEST:
            raise CorpusError(f"{whose}: longer than {terminal.size_text(LONGEST)}; {advice}")
    return bytes(data)


def _stdin_has_prime() -> bool:
    """True for a pipe, and for a file of which nothing has been read yet.

    Services, cron jobs and CI run with sockets or devices, which may never end. A file that has
    been read in part is the list of a `while read` loop.
    """
    try:
        number = sys.stdin.fileno()
        mode = os.fstat(number).st_mode
        is_unread_file = stat.S_ISREG(mode) and os.lseek(number, 0, os.SEEK_CUR) == 0
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return False
    return stat.S_ISFIFO(mode) or is_unread_file


def _stdin() -> BinaryIO:
    """Standard input; if a pipe stays silent, print a note, so that a hanging script says why."""
    if sys.stdin is None:
        raise CorpusError("standard input is closed; pass the prime with --prime or --prime-file")
    with contextlib.suppress(OSError, ValueError):  # no file descriptor: it never blocks
        waits = os.name == "posix" and not sys.stdin.isatty()
        if waits and not select.select([sys.stdin], [], [], PATIENCE)[0]:
            terminal.say('waiting for a prime on standard input (to use none: --prime "")')
    return sys.stdin.buffer


def as_text(prime: str | bytes, trained: Trained, whose: str) -> str:
    """The prime or a stop string, read as the network's text was: with its newlines and
    normalization. A network of bytes takes it unchanged.
    """
    from charrnn.text.decoding import tidy

    if trained.vocab.unit == "byte":
        return prime if isinstance(prime, str) else prime.decode("utf-8", "surrogateescape")
    if isinstance(prime, str):
        # where the locale knows only ASCII, UTF-8 on the command line arrives as surrogates
        with contextlib.suppress(UnicodeError):
            prime = prime.encode("utf-8", "surrogateescape").decode("utf-8")
    else:
        try:
            prime = prime.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{whose}: not UTF-8 (byte 0x{error.object[error.start]:02x} at "
                f"position {error.start}); convert it, e.g. with iconv"
            ) from None
    config = trained.corpus_config
    return "".join(tidy(iter([prime]), config.newlines, config.normalize))

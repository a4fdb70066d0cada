"""The command that makes a sample again, with every setting spelled out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.options import flag_of
from charrnn.cli.prime import escaped
from charrnn.config.fields import Settings, settings_of
from charrnn.runtime.shell import argument

if TYPE_CHECKING:
    from charrnn.cli.checkpoints import Member

LONGEST_PRIME = 2000
"""Characters of a prime that are spelled out."""


def command(members: Sequence[Member], *settings: Settings, **flags: Any) -> list[str]:
    """The words of a `charrnn sample` command: networks, settings, and further flags by name.

    A flag that is True has no value, one that is False or None is left out, and a tuple's are
    repeated.
    """
    first, *others = [member.argument for member in members if member.argument]
    words = ["charrnn", "sample", argument(first)]
    values: dict[str, Any] = {"ensemble": tuple(others)}
    for each in settings:
        values |= {name: getattr(each, name) for name in settings_of(type(each))}
    for name in ("stop", "must"):
        values[name] = tuple(map(escaped, values[name]))
    values["match"] = _printable(values["match"])
    for name, value in (values | flags).items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is True:
                words.append(flag_of(name))
            elif one is not None and one is not False:
                words += [flag_of(name), _number(one) if isinstance(one, float) else str(one)]
    return words


def line(words: Sequence[str], prime: str, prime_file: str | None) -> str:
    """The command in one line, for a shell, with its prime. A prime that a terminal would not show
    as it is comes from `printf`, one from a file from there.
    """
    if prime_file is not None and prime_file != "-":
        return shlex.join([*words, "--prime-file", prime_file])
    if len(prime) > LONGEST_PRIME:
        return shlex.join([*words, "--prime-file", "-"]) + " < the same prime"
    if terminal.one_line(prime) == prime:
        return shlex.join([*words, "--prime", prime])
    data = prime.encode("utf-8", "surrogateescape")
    return f"printf '%b' '{''.join(map(_octal, data))}' | {shlex.join(words)} --prime-file -"


def tell(text: str) -> None:
    """Print `again: ` and a command on stderr, on one line, which a terminal wraps."""
    print(
        terminal.dim(f"again: {terminal.one_line(text)}", sys.stderr), file=sys.stderr, flush=True
    )


def _printable(pattern: str | None) -> str | None:
    """A regular expression without control characters."""
    return pattern and "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in pattern)


def _octal(byte: int) -> str:
    """A byte for printf's %b, in single quotes."""
    if byte == 10:
        return "\\n"
    return chr(byte) if 32 <= byte < 127 and byte not in (39, 92) else f"\\0{byte:03o}"


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)

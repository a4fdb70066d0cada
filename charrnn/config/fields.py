"""Configurations that check themselves: fields with a range and a help text, patterns, and times.

A subclass of `Settings` is a frozen dataclass whose fields are made by `setting`. What `--help` and
messages say of a field comes from here too, so that a setting is described in one place.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Self, get_type_hints

from charrnn.errors import ConfigError

LONGEST_PATTERN = 200
"""Characters of a regular expression."""


def setting(
    default: Any,
    help: str,
    group: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field that knows its help text, its group in `--help`, and its range (both ends
    included).
    """
    about = {
        "help": help,
        "group": group,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    return field(default=default, metadata=about)


class Settings:
    """What the configurations share: checking on construction, and reading from a mapping. No state
    of its own.
    """

    def __post_init__(self) -> None:
        """Check every field against its type and range; raise `ConfigError` naming the first that
        does not fit.
        """
        hints = get_type_hints(type(self))
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(
                self, f.name, _checked(f.name, getattr(self, f.name), hints[f.name], f.metadata)
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """The configuration with these values and defaults for the rest; unknown names raise
        `ConfigError`.
        """
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise ConfigError(
                    f"{where}: there is no setting {name!r}; known are: {', '.join(sorted(known))}"
                )
        return cls(**values)


def _checked(name: str, value: Any, hint: Any, about: Mapping[str, Any]) -> Any:
    flag = "--" + name.replace("_", "-")
    optional = "None" in str(hint)
    if value is None and optional:
        return None
    kind = next(t for t in (bool, int, float, str) if t.__name__ in str(hint))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(
            min(max(value, -(10**300)), 10**300)
        )  # what is larger would overflow, and is out of range anyway
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{flag} must be {_KINDS[kind]}, not {value!r}")
    if about["choices"] and value not in about["choices"]:
        raise ConfigError(f"{flag} must be one of {', '.join(about['choices'])}, not {value!r}")
    low, high = about["minimum"], about["maximum"]
    if kind is float and value != value:
        raise ConfigError(f"{flag} must be a number, not nan")
    if low is not None and value < low:
        raise ConfigError(f"{flag} must be at least {low:g}, not {_shown(value)}")
    if high is not None and value > high:
        raise ConfigError(f"{flag} must be at most {high:g}, not {_shown(value)}")
    return value


def check_pattern(flag: str, pattern: str) -> None:
    """`ConfigError` unless it is a regular expression of at most 200 characters, of one meaning in
    all versions of Python.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise ConfigError(
            f"{flag} must be at most {LONGEST_PATTERN} characters long, not {len(pattern)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError, ValueError, Warning) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{flag} {pattern!r} is not a regular expression: {reason}") from None


def _shown(value: Any) -> str:
    """A number for a message; an int from a file may have thousands of digits, too many for a
    float.
    """
    return f"{value:g}" if abs(value) < 10**300 else "a number of more than 300 digits"


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str) -> float | None:
    """Seconds in a time like 90s, 20m, 1.5h or 2d (a plain number is seconds); None if it is not
    one, or not positive.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    return seconds if seconds > 0 else None

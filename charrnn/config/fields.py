"""Settings that check themselves: fields with a range and a help text, patterns, and times.

A subclass of `Settings` is a frozen dataclass whose fields are made by `setting`. Each is a bool,
int, float, str or `Literal` of strings, and may be None. One whose type has no None but whose
default is None is decided by the recipe (`training.recipe`) before it is used. `settings_of` says
all that is known of each field: flags, help and messages come from there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from charrnn.errors import ConfigError

LONGEST_PATTERN = 200
"""Characters of a regular expression."""

T = TypeVar("T")
Value = bool | int | float | str | None
"""What a setting can be."""
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_FOUND: dict[type, dict[str, Setting]] = {}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Setting:
    """What is known of a setting. `minimum` and `maximum` are allowed themselves; without
    `choices`, a text may be any. Where `by_recipe`, None is for the recipe to decide.
    """

    name: str
    default: Any
    kind: type[bool | int | float | str]
    optional: bool
    by_recipe: bool
    choices: tuple[str, ...]
    help: str
    group: str
    minimum: float | None
    maximum: float | None

    def checked(self, value: Any) -> Value:
        """The value, an int as a float if that is the setting's type; `ConfigError` unless it
        fits.
        """
        if value is None and self.optional:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            # what is larger would overflow, and is out of range anyway
            value = float(min(max(value, -(10**308)), 10**308))
        is_kind = isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool)
        if not is_kind or value != value:
            wanted = _KINDS[self.kind]
        elif self.choices and value not in self.choices:
            wanted = f"one of {', '.join(self.choices)}"
        elif self.minimum is not None and value < self.minimum:
            wanted = f"at least {self.minimum:g}"
        elif self.maximum is not None and value > self.maximum:
            wanted = f"at most {self.maximum:g}"
        else:
            return value  # type: ignore[no-any-return]
        raise ConfigError(f"`{self.name}` must be {wanted}, not {_shown(value, is_kind)}")


def setting(
    default: Value,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    group: str,
) -> Any:
    """A field of `Settings`: its default, help text, range (ends included) and group in `--help`.

    Help names other settings in backticks.
    """
    about = {"help": help, "group": group, "minimum": minimum, "maximum": maximum}
    return field(default=default, metadata=about)


def settings_of(kind: type[Settings]) -> dict[str, Setting]:
    """The settings of a class by name, in order."""
    if kind not in _FOUND:
        hints = get_type_hints(kind)
        _FOUND[kind] = {
            f.name: Setting(f.name, f.default, *_type_of(hints[f.name], f.default), **f.metadata)
            for f in fields(kind)  # type: ignore[arg-type]
        }
    return _FOUND[kind]


def _type_of(hint: Any, default: object) -> tuple[type, bool, bool, tuple[str, ...]]:
    """What a type hint allows: values of a type, None, None until the recipe decides, and if not
    all texts, which. None as a default is allowed too.
    """
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    (kind,) = (part for part in parts if part is not NoneType)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    by_recipe = default is None and NoneType not in parts
    return str if choices else kind, NoneType in parts or by_recipe, by_recipe, choices


class Settings:
    """What all settings share: checks when they are made, and reading from a mapping."""

    def __post_init__(self) -> None:
        """Check every field; `ConfigError` names the first that does not fit."""
        for known in settings_of(type(self)).values():
            object.__setattr__(self, known.name, known.checked(getattr(self, known.name)))

    def filled(self, **values: Value) -> Self:
        """The settings with these values in the place of those that are None."""
        missing = {name: value for name, value in values.items() if getattr(self, name) is None}
        return replace(self, **missing)  # type: ignore[type-var]

    def undecided(self) -> list[str]:
        """Names of the settings that the recipe has yet to decide: None, or auto."""
        known = settings_of(type(self)).values()
        left = {one.name: (None, "auto") if one.by_recipe else ("auto",) for one in known}
        return [name for name, values in left.items() if getattr(self, name) in values]

    def reopened(self, *names: str) -> Self:
        """The settings with None for these, which the recipe then decides."""
        return replace(self, **dict.fromkeys(names))  # type: ignore[type-var]

    @classmethod
    def named_in(cls, values: Mapping[str, T]) -> dict[str, T]:
        """Those of the values that are settings of this class."""
        return {name: values[name] for name in settings_of(cls) if name in values}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings with those of the values that are theirs, and defaults for the rest."""
        return cls(**cls.named_in(values))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """The same, but unknown names raise `ConfigError`."""
        for name in values:
            if name not in settings_of(cls):
                known = ", ".join(sorted(settings_of(cls)))
                raise ConfigError(f"{where}: there is no setting {name!r}; known are: {known}")
        return cls(**values)


def check_pattern(name: str, pattern: str) -> None:
    """`ConfigError` naming this parameter unless the pattern is a regular expression of at most 200
    characters, with the same meaning in all versions of Python.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise ConfigError(
            f"`{name}` must be at most {LONGEST_PATTERN} characters long, not {len(pattern)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError, ValueError, Warning) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"`{name}` {pattern!r} is not a regular expression: {reason}") from None


def seconds_of(text: str) -> float | None:
    """Seconds in a time such as 90s, 20m, 1.5h or 2d (a plain number is seconds); None if it is not
    a time, or is 0.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    return seconds if seconds > 0 else None


@lru_cache
def changes_of(text: str) -> tuple[tuple[int, int], ...] | None:
    """Steps and the number of steps in all from there on, of a text such as "360:1500 720:1410";
    None unless steps increase, and each is less than its new number and the one before.
    """
    pairs = [re.fullmatch("([0-9]{1,12}):([0-9]{1,12})", word) for word in text.split()]
    changes = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
    before, total = 0, 10**12
    for step, new in changes:
        if not before < step < min(total, new):
            return None
        before, total = step, new
    return tuple(changes) if changes and len(changes) == len(pairs) else None


def _shown(value: Any, is_kind: bool) -> str:
    """A value for a message, short if it is of its setting's type; an int from a file may have
    thousands of digits, too many to print.
    """
    if isinstance(value, int) and abs(value) >= 10**300:
        return "a number of more than 300 digits"
    return f"{value:g}" if is_kind and isinstance(value, float) else repr(value)

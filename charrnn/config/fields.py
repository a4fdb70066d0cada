"""Settings that check themselves: fields with a range and a help text, patterns, and times.

A subclass of `Settings` is a frozen dataclass whose fields are made by `setting`. Each is a bool,
int, float, str, `Literal` of strings or tuple of strings, or one of these or None. A field whose
default is None although its type excludes None is set by the recipe (`training.recipe`) before it
is used. `settings_of` describes each field; flags, help and messages are derived
from it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from charrnn.config.suggestions import did_you_mean
from charrnn.errors import ConfigError

LONGEST_PATTERN = 200
"""Maximum length of a regular expression, in characters."""

T = TypeVar("T")
Value = bool | int | float | str | tuple[str, ...] | None
"""The values that a setting can have."""
KIND_NAMES = {
    **{bool: "true or false", int: "a whole number", float: "a number", str: "a string"},
    tuple: "a string or several, none of them empty",
}
_CACHE: dict[type, dict[str, Setting]] = {}
_UNITS = {
    r"d|days?": 86400.0,
    r"h|hrs?|hours?": 3600.0,
    r"m|mins?|minutes?": 60.0,
    r"s|secs?|seconds?": 1.0,
}
_TIME = re.compile(
    r"\s*".join(rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,9}})?)\s*(?:{unit}))?" for unit in _UNITS)
)


@dataclass(frozen=True)
class Setting:
    """The description of a setting. `minimum` and `maximum` are inclusive; without `choices`, any
    string is allowed. If `by_recipe`, None lets the recipe decide.
    """

    name: str
    default: Any
    kind: type[bool | int | float | str | tuple[str, ...]]
    optional: bool
    by_recipe: bool
    choices: tuple[str, ...]
    help: str
    group: str
    minimum: float | None
    maximum: float | None

    def checked(self, value: Any) -> Value:
        """The value, with an int converted to float if that is the setting's type; `ConfigError` if
        it is not allowed.
        """
        if value is None and self.optional:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            # larger values would overflow, and are out of range anyway
            value = float(min(max(value, -(10**308)), 10**308))
        hint = ""
        if self.kind is tuple:
            value = (value,) if isinstance(value, str) else value
            is_kind = isinstance(value, list | tuple)
            is_kind = is_kind and all(isinstance(string, str) and string for string in value)
            value = tuple(value) if is_kind else value
        else:
            is_bool = isinstance(value, bool)
            is_kind = isinstance(value, self.kind) and is_bool == (self.kind is bool)
        if not is_kind or value != value:
            wanted = KIND_NAMES[self.kind]
        elif self.choices and value not in self.choices:
            wanted, hint = f"one of {', '.join(self.choices)}", did_you_mean(value, self.choices)
        elif self.minimum is not None and value < self.minimum:
            wanted = f"at least {_bound(self.minimum)}"
        elif self.maximum is not None and value > self.maximum:
            wanted = f"at most {_bound(self.maximum)}"
        else:
            return value  # type: ignore[no-any-return]
        raise ConfigError(f"`{self.name}` must be {wanted}, not {_shown(value, is_kind)}{hint}")


def _bound(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:.12g}"


def setting(
    default: Value,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    group: str,
) -> Any:
    """A field of `Settings`: its default, help text, range (inclusive) and group in `--help`.

    Help names other settings in backticks.
    """
    about = {"help": help, "group": group, "minimum": minimum, "maximum": maximum}
    return field(default=default, metadata=about)


def settings_of(kind: type[Settings]) -> dict[str, Setting]:
    """The settings of a class by name, in the order of its fields."""
    if kind not in _CACHE:
        hints = get_type_hints(kind)
        _CACHE[kind] = {
            f.name: Setting(f.name, f.default, *_type_of(hints[f.name], f.default), **f.metadata)
            for f in fields(kind)  # type: ignore[arg-type]
        }
    return _CACHE[kind]


def _type_of(hint: Any, default: object) -> tuple[type, bool, bool, tuple[str, ...]]:
    """What a type hint allows: the type, whether None is allowed, whether the recipe replaces None,
    and the allowed strings (empty: any). A default of None is always allowed.
    """
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    (kind,) = (part for part in parts if part is not NoneType)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    by_recipe = default is None and NoneType not in parts
    kind = str if choices else get_origin(kind) or kind
    return kind, NoneType in parts or by_recipe, by_recipe, choices


class Settings:
    """The base of all settings: they are checked when created, and can be read from a mapping."""

    def __new__(cls, *_: Any, **values: Any) -> Self:
        """`ConfigError` for an unknown name, which Python would report without a suggestion."""
        check_known(values, cls, cls.__name__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check every field; `ConfigError` names the first invalid one."""
        for known in settings_of(type(self)).values():
            object.__setattr__(self, known.name, known.checked(getattr(self, known.name)))

    def __repr__(self) -> str:
        changed = [
            f"{setting.name}={getattr(self, setting.name)!r}"
            for setting in settings_of(type(self)).values()
            if getattr(self, setting.name) != setting.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def filled(self, **values: Value) -> Self:
        """The settings with every None replaced by the value given here."""
        missing = {name: value for name, value in values.items() if getattr(self, name) is None}
        return replace(self, **missing)  # type: ignore[type-var]

    def undecided(self) -> list[str]:
        """Names of the settings that the recipe has yet to decide: those that are None or auto."""
        known = settings_of(type(self)).values()
        left = {
            setting.name: (None, "auto") if setting.by_recipe else ("auto",) for setting in known
        }
        return [name for name, values in left.items() if getattr(self, name) in values]

    def reopened(self, *names: str) -> Self:
        """The settings with None for these, which the recipe then decides."""
        return replace(self, **dict.fromkeys(names))  # type: ignore[type-var]

    @classmethod
    def named_in(cls, values: Mapping[str, T]) -> dict[str, T]:
        """The values that are settings of this class."""
        return {name: values[name] for name in settings_of(cls) if name in values}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings of this class among the values, with defaults for the rest."""
        return cls(**cls.named_in(values))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """As `of`, but an unknown name raises `ConfigError`."""
        check_known(values, cls, where)
        return cls(**values)


def check_known(values: Mapping[str, Any], kind: type[Settings], where: str) -> None:
    """`ConfigError` if one of these names is not a setting of the class."""
    for name in values:
        if name not in settings_of(kind):
            names = settings_of(kind)
            hint = did_you_mean(name, names) or f"; the settings are: {', '.join(sorted(names))}"
            raise ConfigError(f"{where}: there is no setting {name!r:.60}{hint}")


def check_pattern(name: str, pattern: str) -> None:
    """`ConfigError` naming this parameter unless the pattern is a regular expression of at most 200
    characters in all versions of Python and in the regex package, which searches for it
    (`text.patterns`).
    """
    import regex  # takes 16 ms

    if len(pattern) > LONGEST_PATTERN:
        raise ConfigError(
            f"`{name}` must be at most {LONGEST_PATTERN} characters long, not {len(pattern)}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
            regex.compile(pattern, cache_pattern=False)
    except (re.error, regex.error, RecursionError, OverflowError, ValueError, Warning) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"`{name}` {pattern!r} is not a regular expression: {reason}") from None


def seconds_of(name: str, text: str) -> float:
    """Seconds in a time such as 90s, 20min, 1.5h, 2h30m or "1h 30m"; `ConfigError` naming this
    parameter if it is not a time, has no unit, or is 0.
    """
    text = text.strip()
    match = _TIME.fullmatch(text.lower())
    numbers = match.groups(default="0") if match else ()
    seconds = sum(float(n) * unit for n, unit in zip(numbers, _UNITS.values(), strict=False))
    if seconds > 0:
        return seconds
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ConfigError(f"`{name}` {text} has no unit: write {text}s, {text}m or {text}h")
    if clock := re.fullmatch("([0-9]{1,4}):([0-9]{1,2})", text):
        a, b = clock.groups()
        raise ConfigError(f"`{name}` {text} has no unit: write {a}h{b}m or {a}m{b}s")
    if re.fullmatch(r"[0-9]{10,}\s*[a-z]+", text.lower()):
        raise ConfigError(f"`{name}` must be a time of at most 9 digits, not {text!r:.40}")
    raise ConfigError(f"`{name}` must be a time such as 90s, 20m or 2h30m, not {text!r:.40}")


@lru_cache
def changes_of(text: str) -> tuple[tuple[int, int, bool], ...] | None:
    """The triples (step, total number of steps from then on, True if the run was given more there)
    in a text such as "360:1500 720:1410 1410+2000"; None unless steps increase and each is below
    the new total and, except where more was given, below the previous one.
    """
    words = [re.fullmatch("([0-9]{1,12})([:+])([0-9]{1,12})", word) for word in text.split()]
    changes = [(int(word[1]), int(word[3]), word[2] == "+") for word in words if word]
    before, total = 0, 10**12
    for step, new, is_more in changes:
        if not before < step < min(total + is_more, new):
            return None
        before, total = step, new
    return tuple(changes) if changes and len(changes) == len(words) else None


def _shown(value: Any, is_kind: bool) -> str:
    """A value for a message; floats in short form. An int from a file may have too many digits to
    print.
    """
    if isinstance(value, tuple):
        return ", ".join(map(repr, value))
    if isinstance(value, int) and abs(value) >= 10**300:
        return "a number of more than 300 digits"
    return f"{value:.12g}" if is_kind and isinstance(value, float) else repr(value)

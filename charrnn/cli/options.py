"""Flags and the keys of a settings file, both derived from the dataclasses in `charrnn.config`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import click

from charrnn.config import RUN, Settings
from charrnn.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])

_KINDS: dict[type, Any] = {bool: click.BOOL, int: click.INT, float: click.FLOAT, str: click.STRING}


class GroupedOption(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args: Any, group: str = RUN, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each group in the order of its first option; what has no group, such as --help, stands with the last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", RUN), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def options_for(settings: type[Settings], without: Collection[str] = ()) -> Callable[[Command], Command]:
    """A decorator that adds a flag for every field. None is passed for a flag that was not given."""
    hints = get_type_hints(settings)

    def decorate(command: Command) -> Command:
        for f in reversed(fields(settings)):  # type: ignore[arg-type]
            if f.name in without:
                continue
            kind = next(kind for kind in _KINDS if kind.__name__ in str(hints[f.name]))
            shown = "" if f.default is None or kind is bool else f"  [default: {f.default}]"
            choices, flag = f.metadata["choices"], "--" + f.name.replace("_", "-")
            option = click.option(
                f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
                cls=GroupedOption,
                group=f.metadata["group"],
                type=_KINDS[kind],
                default=None,
                help=f.metadata["help"] + shown,
                metavar="|".join(choices) if choices else None,
            )
            command = option(command)
        return command

    return decorate


def names_of(settings: type[Settings]) -> list[str]:
    """The names of the fields, in order."""
    return [f.name for f in fields(settings)]  # type: ignore[arg-type]


def of_kind(settings: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of this configuration."""
    return {name: values[name] for name in names_of(settings) if name in values}


def read_settings(
    path: str, kinds: Collection[type[Settings]], others: Mapping[str, type | tuple[type, ...]]
) -> dict[str, Any]:
    """The settings in a flat TOML file, by name with underscores, types and ranges checked; `ConfigError` names the file.

    `kinds` are the configurations whose fields are known; `others` are further keys and their types.
    """
    found = {name.replace("-", "_"): value for name, value in _read_toml(path).items()}
    known = {name: kind for kind in kinds for name in names_of(kind) if name != "vocab_size"}
    for name, value in found.items():
        if name in others:
            if not isinstance(value, others[name]) or isinstance(value, bool) != (others[name] is bool):
                raise ConfigError(f"{path}: {name} cannot be {value!r:.60}")
        elif name not in known:
            near = difflib.get_close_matches(name, [*known, *others], 1)
            hint = f"did you mean {near[0]}?" if near else "charrnn train --help lists the settings"
            raise ConfigError(f"{path}: there is no setting {name!r}; {hint}")
    for kind in kinds:
        try:
            kind.from_mapping(of_kind(kind, found), path)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
    return found


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {' '.join(str(error).split())}") from None

"""Flags, derived from the dataclasses in `charrnn.config`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import click

from charrnn.config.fields import Settings
from charrnn.config.settings import RUN

Command = TypeVar("Command", bound=Callable[..., Any])

KINDS: dict[type, Any] = {bool: click.BOOL, int: click.INT, float: click.FLOAT, str: click.STRING}


class GroupedOption(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args: Any, group: str = RUN, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each group in the order of its first option; what has no group, such as --help, stands
        with the last.
        """
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", RUN), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def options_for(
    settings: type[Settings], without: Collection[str] = ()
) -> Callable[[Command], Command]:
    """A decorator that adds a flag for every field; None is passed for one that was not given."""
    hints = get_type_hints(settings)

    def decorate(command: Command) -> Command:
        for f in reversed(fields(settings)):  # type: ignore[arg-type]
            if f.name in without:
                continue
            kind = next(kind for kind in KINDS if kind.__name__ in str(hints[f.name]))
            shown = "" if f.default is None or kind is bool else f"  [default: {f.default}]"
            choices, flag = f.metadata["choices"], "--" + f.name.replace("_", "-")
            option = click.option(
                f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
                cls=GroupedOption,
                group=f.metadata["group"],
                type=KINDS[kind],
                default=None,
                help=f.metadata["help"] + shown,
                metavar="|".join(choices) if choices else None,
            )
            command = option(command)
        return command

    return decorate

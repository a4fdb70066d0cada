"""`--ensemble`: several checkpoints used together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.kernel_loading import load_kernels, network_kernels
from charrnn.cli.options import PATH
from charrnn.runtime.shell import quoted

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.checkpoint.trained import Trained

ensemble_option = click.option(
    "--ensemble",
    multiple=True,
    type=PATH,
    metavar="CHECKPOINT[:WEIGHT]",
    help="Average the probabilities with those of this network too; may be repeated. WEIGHT, below "
    "1, is its share; networks without one share the rest equally.",
)
_WEIGHTED = re.compile(r"(.+):([0-9]*\.?[0-9]+(?:e-[0-9]+)?)", re.DOTALL)


@dataclass(frozen=True)
class Member:
    """A trained network, its file, and its share in an ensemble if it is not an equal one.

    argument: what names it in a command; of a run of several networks the first one's is the
        folder, with the weight that was given, and the others have none.
    """

    path: Path
    trained: Trained
    weight: float | None = None
    argument: str = ""


def load_members(
    checkpoint: str | None,
    others: tuple[str, ...],
    *kernels: str,
    training: bool = True,
    writes: bool = False,
) -> list[Member]:
    """The networks of the run or file that the user names and the rest of the ensemble, which must
    have their unit and their documents. The networks of one run share its weight equally.

    `kernels` and `training` as for `load_kernels`. writes: they will write a text.
    """
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import find_checkpoints

    named = [(checkpoint, None), *map(_weighted, others)]
    runs = [find_checkpoints(path) for path, _ in named]
    # reports a file that is not a checkpoint before kernels are loaded or compiled
    models = [model_config_of(path) for paths in runs for path in paths]
    together = ["together"] * (writes and len(models) > 1)
    load_kernels(*network_kernels(*models), *together, *kernels, training=training)
    from charrnn.checkpoint.mixture import shares
    from charrnn.checkpoint.trained import load

    given: list[float | None] = [weight for _, weight in named]
    if len({len(paths) for paths in runs}) > 1:
        given = [*shares(len(runs), given)]
    members = [
        Member(path, load(path), weight and weight / len(paths), argument if n == 0 else "")
        for paths, weight, argument in zip(runs, given, _arguments(named, runs), strict=True)
        for n, path in enumerate(paths)
    ]
    mixture_of(members)
    return members


def _arguments(
    named: Sequence[tuple[str | None, float | None]], runs: Sequence[Sequence[Path]]
) -> list[str]:
    """What names each file, or folder of several networks, in a command."""
    names = [str(paths[0] if len(paths) == 1 else paths[0].parent) for paths in runs]
    weights = ["" if weight is None else f":{weight!r}" for _, weight in named]
    return [name + weight for name, weight in zip(names, weights, strict=True)]


def names_of(members: Sequence[Member]) -> list[str]:
    """What the user knows the networks as, for a message: "a/best.safetensors", "b, 3 networks"."""
    starts = [n for n, member in enumerate(members) if member.argument]
    counts = [end - n for n, end in pairwise([*starts, len(members)])]
    return [
        members[n].argument + (f", {count} networks" if count > 1 else "")
        for n, count in zip(starts, counts, strict=True)
    ]


def load_member(checkpoint: str | None, *kernels: str, training: bool = True) -> Member:
    """The network that the user names, the first one of a run; `kernels` as for `load_kernels`."""
    from charrnn.checkpoint.paths import find_checkpoint

    path = str(find_checkpoint(checkpoint))
    return load_members(path, (), *kernels, training=training)[0]


def say_where_others_are(folder: Path, command: str) -> None:
    """If this is the folder of a run of several networks, say that only the first is looked at."""
    from charrnn.checkpoint.paths import networks_of
    from charrnn.cli import terminal

    folders = networks_of(folder)
    if len(folders) > 1:
        terminal.say(
            f"this is the first of {len(folders)} networks; the second: charrnn {command} "
            f"{quoted(folders[1])}"
        )


def mixture_of(members: Sequence[Member]) -> Mixture:
    """The networks as one; errors as for `Mixture`."""
    from charrnn.checkpoint.mixture import Mixture

    networks = [member.trained for member in members]
    return Mixture(networks, [member.weight for member in members])


def _weighted(argument: str) -> tuple[str, float | None]:
    """A path and a weight, if there is one: a file may have a colon in its name."""
    match = None if Path(argument).exists() else _WEIGHTED.fullmatch(argument)
    return (match[1], float(match[2])) if match else (argument, None)


def files_of(members: Sequence[Member]) -> dict[str, Any]:
    """The files of an ensemble, for JSON output."""
    first, *others = (str(member.path) for member in members)
    about: dict[str, Any] = {"checkpoint": first} | ({"ensemble": others} if others else {})
    if any(member.weight is not None for member in members):
        about["weights"] = mixture_of(members).weights
    return about

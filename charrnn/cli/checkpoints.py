"""`--ensemble`: several checkpoints used together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.kernel_loading import load_kernels
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained

ensemble_option = click.option(
    "--ensemble",
    multiple=True,
    metavar="CHECKPOINT",
    help="Average the probabilities with those of this network too; may be repeated.",
)


@dataclass(frozen=True)
class Member:
    """A trained network and its file."""

    path: Path
    trained: Trained


def load_members(
    checkpoint: str | None, others: tuple[str, ...], *kernels: str, training: bool = True
) -> list[Member]:
    """The network that the user names and the rest of the ensemble; all must share its vocabulary.

    `kernels` as for `load_kernels`.
    """
    from charrnn.checkpoint.header import model_config_of
    from charrnn.checkpoint.paths import find_checkpoint

    paths = [find_checkpoint(path) for path in (checkpoint, *others)]
    # reports a file that is not a checkpoint before kernels are loaded or compiled
    cells = [model_config_of(path).cell for path in paths]
    load_kernels(*cells, *kernels, training=training)
    from charrnn.checkpoint.trained import load
    from charrnn.generation.ensemble import check_alike

    members = [Member(path, load(path)) for path in paths]
    first = members[0].trained
    for member in members[1:]:
        check_alike(first.vocab, member.trained.vocab, str(member.path))
        separator = member.trained.corpus_config.document_separator
        if separator != first.corpus_config.document_separator:
            raise ConfigError(
                f"{member.path}: its --document-separator differs from the first network's; leave "
                "it out"
            )
    return members


def files_of(members: Sequence[Member]) -> dict[str, Any]:
    """The files of an ensemble, for JSON output."""
    first, *others = (str(member.path) for member in members)
    return {"checkpoint": first} | ({"ensemble": others} if others else {})

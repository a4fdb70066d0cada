"""`--ensemble`: several checkpoints at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charrnn.cli.kernel_loading import load_kernels
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.training.run import Run

ensemble_option = click.option(
    "--ensemble",
    multiple=True,
    metavar="CHECKPOINT",
    help="Another network whose probabilities are averaged with the first's; may be repeated.",
)


@dataclass(frozen=True)
class Member:
    """A checkpoint, and where it is."""

    path: Path
    run: Run

    @property
    def trained(self) -> Trained:
        """Its network."""
        return self.run.trained


def load_members(
    checkpoint: str | None, others: tuple[str, ...], *kernels: str, training: bool = True
) -> list[Member]:
    """The checkpoint that a user means, and the others, whose vocabulary must be the first's;
    `kernels` as for `compiling`.
    """
    load_kernels(training=training)
    from charrnn.generation.ensemble import check_alike
    from charrnn.training.checkpoint import configurations_of, load
    from charrnn.training.run_folder import find_checkpoint

    paths = [find_checkpoint(checkpoint), *map(find_checkpoint, others)]
    load_kernels(*(configurations_of(path)[0].cell for path in paths), *kernels, training=training)
    members = [Member(path, load(path)) for path in paths]
    first = members[0].run
    for member in members[1:]:
        check_alike(first.vocab, member.run.vocab, str(member.path))
        if member.run.corpus_config.document_separator != first.corpus_config.document_separator:
            raise ConfigError(
                f"{member.path}: its --document-separator is not that of the first network; leave "
                "it out"
            )
    return members

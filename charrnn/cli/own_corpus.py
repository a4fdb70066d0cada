"""The text that a network was trained on, read again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from charrnn.cli.inputs import read_text

if TYPE_CHECKING:
    from charrnn.cli.checkpoints import Member
    from charrnn.text.corpus import Corpus


def own_corpus(member: Member, texts: Sequence[str] = (), quiet: bool = False) -> Corpus:
    """As `training.own_corpus`, with a progress bar."""
    from charrnn.training import own_corpus

    read = partial(read_text, quiet=quiet)
    return own_corpus.own_corpus(member.path, member.trained, texts, read=read)

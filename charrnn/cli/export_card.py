"""What `charrnn export` puts into a model card: the loss on held-out text, and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.checkpoints import mixture_of
from charrnn.cli.own_corpus import own_corpus
from charrnn.config import SamplingConfig
from charrnn.errors import CharrnnError
from charrnn.runtime.threads import Workers
from charrnn.text.kinds import packed_suffix

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.cli.checkpoints import Member
    from charrnn.evaluation.evaluate import Evaluation
    from charrnn.text.corpus import Corpus

SAMPLE = SamplingConfig()
"""How the sample is written."""


def card_of(
    members: Sequence[Member], license: str | None = None, text: Sequence[str] = ()
) -> dict[str, Any]:
    """The argument `card` of an export, for networks and their files; kernels must be loaded.

    text: where its own text is now. Without it and if the text is gone, the loss is that from
        training, and a line says so.
    """
    from charrnn.export.card import Card
    from charrnn.generation.generate import generate

    evaluation, part, networks = None, None, mixture_of(members)
    with closing(Workers(None)) as workers:
        if (corpus := _text_of(members[0], text)) is not None and len(corpus.validation) > 1:
            evaluation = _evaluation(networks, corpus, workers)
            first = len(corpus.train)
            if _is_one_file(corpus):
                part = first, first + len(corpus.validation)
        sample = "".join(generate(networks, config=SAMPLE, workers=workers))
    by = f"`charrnn sample --seed {SAMPLE.seed} --temperature {SAMPLE.temperature:g}`"
    return {"card": Card(license, evaluation, part, sample, f"{by}; not chosen from several")}


def _text_of(member: Member, text: Sequence[str]) -> Corpus | None:
    """The text that a network was trained on; None, with a line on stderr, if it is not there."""
    from charrnn.cli.main import with_flags

    try:
        return own_corpus(member, text)
    except CharrnnError as error:
        if text:
            raise
        why = with_flags(str(error), "export")
        terminal.say(f"the model card has the loss that training measured: {why}")
        return None


def _is_one_file(corpus: Corpus) -> bool:
    """Whether model.py can read the whole text and find the validation part in it."""
    first, *others = corpus.sources
    is_plain = packed_suffix(first.path) is None and corpus.config.document_separator is None
    return is_plain and not others


def _evaluation(networks: Mixture, corpus: Corpus, workers: Workers) -> Evaluation:
    """As `charrnn eval`, on the validation part."""
    from charrnn.evaluation.evaluate import evaluate
    from charrnn.text.documents import follows_separator

    starts = corpus.validation_starts
    with terminal.progress_bar("evaluating", unit="char") as bar:
        return evaluate(
            networks,
            corpus.validation,
            starts=starts,
            openings=[n.opening for n in networks] if follows_separator(starts) else [],
            workers=workers,
            progress=bar,
        )

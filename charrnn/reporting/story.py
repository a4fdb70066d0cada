"""The story of a run: all that a report tells, as data."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.generation.generate import generate
from charrnn.inspection.character_map import CharacterMap, character_map
from charrnn.inspection.gradient_flow import gradient_norms
from charrnn.inspection.units import untrained
from charrnn.network.model import Model
from charrnn.pages.charts import standalone
from charrnn.reporting.held_out import HeldOut, held_out
from charrnn.reporting.inside import Inside, inside
from charrnn.reporting.run_facts import RunFacts, Source, facts_of
from charrnn.runtime.files import write_atomically
from charrnn.runtime.progress import Progress
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.occurrences import count_symbols
from charrnn.training.own_corpus import own_corpus

LAGS, PLACES = 100, 16
"""How far back gradients are followed, in characters, and from how many places."""
BEFORE, NOW = 240, 700
"""Characters that the network writes before its first step, and now."""
SCORED = 200_000
"""Characters of held-out text that are scored."""


@dataclass(frozen=True, eq=False)
class Story:
    """What a report tells: of the first run everything, of the others how they learned.

    before, now: what the first run's network wrote with its first weights (nothing if those were
        another network's), and writes now
    held_out: its score of held-out text; None without the text, and then `missing` says why
    reach: norms of gradients by how far they go back, (lags + 1,) each (`gradient_norms`), by the
        name of the network; empty without the text
    map: the characters as the network sees them
    inside: what its units and gates do; None without the text
    """

    runs: tuple[RunFacts, ...]
    before: str
    now: str
    map: CharacterMap
    held_out: HeldOut | None = None
    inside: Inside | None = None
    reach: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    missing: str | None = None

    def __repr__(self) -> str:
        return f"Story({', '.join(run.name for run in self.runs)})"

    @property
    def run(self) -> RunFacts:
        """The first run."""
        return self.runs[0]

    @property
    def loss(self) -> float | None:
        """Of the first run's network, in nats per symbol: of validation text if there is any."""
        known = self.run.trained.origin.loss
        return known if known is not None or self.held_out is None else self.held_out.mean

    @property
    def is_unseen(self) -> bool:
        """Whether `loss` is of text that the network did not learn from."""
        read = self.held_out
        return self.run.trained.origin.loss is not None or (
            read is not None and read.part == "validation"
        )

    @cached_property
    def charts(self) -> dict[str, str]:
        """Each picture by its name, as SVG for a page that has their style."""
        from charrnn.reporting.plots import charts_of

        return charts_of(self)

    @property
    def plots(self) -> dict[str, str]:
        """Each picture by its name, as SVG that stands alone: for a file, or for
        `IPython.display.HTML`.
        """
        return {name: standalone(chart) for name, chart in self.charts.items()}

    @cached_property
    def page(self) -> str:
        """The report as a web page: one file, which loads no other."""
        from charrnn.reporting.report_page import report_page

        return report_page(self)

    def save(self, path: str | Path) -> None:
        """Write the page to a file; `CheckpointError` if that fails."""
        write_atomically(Path(path), self.page.encode())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, for a notebook."""
        return (
            '<iframe sandbox="allow-scripts" style="width:100%;height:45rem;border:1px solid #8888"'
            f' srcdoc="{html.escape(self.page)}"></iframe>'
        )


def report(
    runs: Source | Sequence[Source],
    corpus: Corpus | None = None,
    *,
    own_texts: str | Path | Sequence[str | Path] = (),
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Story:
    """The story of a run, or of several, for a person: what it read, how it learned, what it
    writes.

    A run is a folder, a checkpoint, a `RunFolder` or a `Run`. The story is that of the first: its
    text is `corpus`, or is read again from `own_texts` or from where the run recorded it. If it is
    missing or has changed, the story does without what needs it, and `Story.missing` says why.
    The same runs and the same text give the same story. `progress` counts thousandths.
    """
    sources = [runs] if isinstance(runs, Source) else [*runs]
    if not sources:
        raise ConfigError("`runs` is empty: name a run")
    facts = tuple(map(facts_of, sources))
    trained, stages = facts[0].trained, _Stages(progress)
    missing = None
    try:
        corpus = _text(facts[0], corpus, own_texts)
    except CorpusError as error:
        corpus, missing = None, str(error)
    stages.end(50)
    first = untrained(trained, facts[0].seed)
    before = "" if facts[0].is_fine_tuned else _written(first, BEFORE, workers)
    now = _written(trained, NOW, workers)
    stages.end(150)
    read, within, reach, counts = None, None, {}, None
    if corpus is not None:
        read = held_out(trained, corpus, SCORED, workers=workers, progress=stages.part(150, 300))
        within = inside(trained, read.ids, stages.part(300, 450))
        reach = _reach(facts[0], first.model, read, stages)
        counts = np.sqrt(1 + count_symbols(corpus.ids, len(corpus.vocab)))
    places = character_map(trained.model, counts)
    stages.end(1000)
    return Story(
        facts,
        before,
        now,
        places,
        read,
        within,
        reach,
        missing,
    )


def _text(
    run: RunFacts, corpus: Corpus | None, own_texts: str | Path | Sequence[str | Path]
) -> Corpus:
    if corpus is not None:
        run.trained.check_text(corpus)
        return corpus
    if run.path is None:
        raise CorpusError("the run is in memory: pass its text as `corpus`")
    return own_corpus(run.path, run.trained, own_texts)


def _written(trained: Trained, length: int, workers: Workers | None) -> str:
    return "".join(generate(trained, "", SamplingConfig(length=length), workers=workers))


def _reach(
    run: RunFacts, first: Model, read: HeldOut, stages: _Stages
) -> dict[str, NDArray[np.float64]]:
    """How far back gradients reach in the network, in itself before training, and in a plain
    recurrent one.
    """
    networks = {"this network": run.trained.model}
    if not run.is_fine_tuned:
        networks["the same before training"] = first
    if first.config.cell != "rnn":
        config = replace(first.config.reopened("layer_norm", "mogrifier"), cell="rnn")
        networks["a plain recurrent network before training"] = Model.initialized(config, run.seed)
    lags = min(LAGS, len(read.ids) - 2)
    if lags < 10:
        return {}
    norms = {}
    for n, (name, model) in enumerate(networks.items()):
        share = 550 // len(networks)
        part = stages.part(450 + n * share, 450 + (n + 1) * share)
        norms[name] = gradient_norms(model, read.ids, lags, places=PLACES, progress=part)
    return norms


class _Stages:
    """Progress in thousandths of the whole, from that of its parts."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def end(self, at: int) -> None:
        if self.progress is not None:
            self.progress(at, 1000)

    def part(self, first: int, last: int) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            self.end(first + round((last - first) * done / max(1, total)))

        return tell

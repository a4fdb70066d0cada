"""`charrnn score` with several networks: to which of them a text is most probable."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.tables import print_table

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.cli.score_text import ScoreText
    from charrnn.evaluation.authorship import Authorship
    from charrnn.runtime.threads import Workers
    from charrnn.text.graphemes import Graphemes


@dataclass(frozen=True)
class _Row:
    name: str
    nats: float
    total: float
    sentences: int
    posterior: float
    unknown: int


def print_authorship(
    runs: Sequence[str],
    networks: Sequence[Mixture],
    text: ScoreText,
    count: int,
    as_json: bool,
    workers: Workers,
) -> None:
    """Print the likelihood of a text under each network, in all and for the `count` sentences that
    decide most.
    """
    import numpy as np

    from charrnn.evaluation.authorship import authorship
    from charrnn.text.graphemes import graphemes

    shown = graphemes(text.symbols, text.unit)
    with terminal.progress_bar("scoring", unit="char") as bar:
        result = authorship(networks, shown.text, workers=workers, progress=bar)
    if as_json:
        print(terminal.json_text(_as_json(runs, result, shown.text)))
        return
    won = np.bincount(result.by_sentence.argmin(axis=0), minlength=len(runs))
    rows = [
        _Row(name, total / len(shown.text), total, wins, p, unknown)
        for name, total, wins, p, unknown in zip(
            map(terminal.one_line, runs),
            result.totals.tolist(),
            won.tolist(),
            result.posterior.tolist(),
            result.unknown.tolist(),
            strict=True,
        )
    ]
    rows.sort(key=lambda row: row.total)
    columns: list[Any] = [
        (0, "run", lambda row: row.name),
        (1, "nats each", lambda row: f"{row.nats:.4f}"),
        (4, "nats", lambda row: f"{row.total:,.1f}"),
        (2, "sentences", lambda row: f"{row.sentences:,}"),
        (3, "posterior", lambda row: _share(row.posterior)),
    ]
    if result.unknown.any():
        columns.append((5, "unknown", lambda row: f"{row.unknown:,}"))
    print_table(rows, columns)
    terminal.show(_verdict(runs, result))
    if count and len(result.sentences) > 1:
        _print_sentences(runs, result, text, shown, count)


def _share(p: float) -> str:
    """A probability in percent; none is shown as certain."""
    if 0.001 <= p <= 0.999:
        return f"{p:.1%}".replace("%", " %")
    return "< 0.1 %" if p < 0.5 else "> 99.9 %"


def _verdict(runs: Sequence[str], result: Authorship) -> str:
    """How far the best network is ahead of the next one, and what that is worth."""
    from charrnn.text.vocab import counted

    _, second = result.totals.argsort(kind="stable")[:2].tolist()
    ahead, error = result.margin(second)
    doubt = "" if math.isnan(error) else f", give or take {error:,.1f} (standard error by sentence)"
    size = counted(len(result.sentences), "sentence")
    lead = f"In {size}, {runs[result.best]} is ahead of {runs[second]} by {ahead:,.1f} nats{doubt}."
    if not math.isnan(error) and ahead < 2 * error:
        lead += " That is within chance."
    return (
        f"{lead} The posterior, with equal priors, is overconfident: it takes characters for "
        "independent, which they are not."
    )


def _print_sentences(
    runs: Sequence[str], result: Authorship, text: ScoreText, shown: Graphemes, count: int
) -> None:
    """Print the sentences that speak most for each network: place, margin in nats, beginning."""
    import numpy as np

    width = terminal.width_of(sys.stdout) if terminal.is_terminal(sys.stdout) else 80
    losses = result.by_sentence
    best, (first, second) = losses.argmin(axis=0), np.partition(losses, 1, axis=0)[:2]
    margins = second - first
    begins = np.append(0, result.sentences[:-1])
    for run, name in enumerate(runs):
        own = np.flatnonzero(best == run)
        own = own[np.argsort(-margins[own], kind="stable")][:count]
        if not len(own):
            continue
        rows = []
        for n in own.tolist():
            sentence = shown.text[begins[n] : result.sentences[n]]
            start = int(begins[n]) + len(sentence) - len(sentence.lstrip())
            rows.append((text.place(shown.symbol_at(start)), f"{margins[n]:.1f}", sentence.split()))
        print(f"\nmost for {terminal.one_line(name)}")
        places, values = (max(len(row[column]) for row in rows) for column in (0, 1))
        for place, value, words in rows:
            room = max(16, width - places - values - 6)
            beginning = _cut(terminal.one_line(" ".join(words)), room)
            print(f"  {terminal.one_line(place):<{places}}  {value:>{values}}  {beginning}")


def _cut(text: str, columns: int) -> str:
    """The text, or its beginning and an ellipsis, in at most this many columns."""
    if terminal.cells(text) <= columns:
        return text
    text = text[: columns - 1]
    while terminal.cells(text) > columns - 1:
        text = text[:-1]
    return f"{text}\u2026"


def _as_json(runs: Sequence[str], result: Authorship, text: str) -> dict[str, Any]:
    """One object: the networks, the best of them first, and every sentence."""
    losses, begins = result.by_sentence, [0, *result.sentences[:-1].tolist()]
    order = result.totals.argsort(kind="stable").tolist()
    ahead, error = result.margin(order[1])
    return {
        "characters": len(text),
        "runs": [
            {
                "run": runs[n],
                "nats": float(result.totals[n]),
                "nats_per_char": float(result.totals[n]) / len(text),
                "sentences": int((losses.argmin(axis=0) == n).sum()),
                "unknown": int(result.unknown[n]),
                "posterior": float(result.posterior[n]),
            }
            for n in order
        ],
        "margin": {"nats": ahead, "standard_error": error},
        "sentences": [
            {
                "offset": begin,
                "text": text[begin:end],
                "nats": dict(zip(runs, losses[:, n].tolist(), strict=True)),
            }
            for n, (begin, end) in enumerate(zip(begins, result.sentences.tolist(), strict=True))
        ],
    }

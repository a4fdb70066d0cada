"""The page that shows how surprising every character of a text is.

The text itself is in the page's HTML, in blocks, so that it can be read, searched and printed
without the script. The script colors the blocks that come near the window, and decodes what is
known of a character when it is pointed at: a text of a megabyte makes a page of over 20 MB.
"""

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.evaluation.passages import SurprisingPassage, surprising_passages
from charrnn.evaluation.score import BOUNDS, Score, levels
from charrnn.pages.page import escaped, page, visible
from charrnn.text.graphemes import Graphemes, graphemes, place_in
from charrnn.text.vocab import NOUNS, Vocab, counted

BLOCK = 2000
"""Characters of a block; it ends at the next newline, or at twice as many."""
CONTEXT = 30
"""Characters shown on each side of a passage."""
LONGEST = 200
"""Characters of a passage that are shown."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""A character has at most `graphemes.MOST` = 16 code points, so 32 UTF-16 units."""


def surprise_page(
    score: Score,
    symbols: str,
    vocab: Vocab,
    *,
    title: str = "Surprise",
    passages: int = 10,
    place: Callable[[int], str] | None = None,
) -> str:
    """A page in one file, as HTML: the text in the colors of its surprise, its most surprising
    passages, and for each character what the network expected.

    score: of every symbol of the text (K,); NaN in `nats` where one was not read.
    symbols: the text, a character per symbol (`Vocab.in_symbols`).
    place: what to call the place of a symbol; by default its line and column.
    """
    shown = graphemes(symbols, vocab.unit)
    nats = shown.sums(score.nats)
    found = surprising_passages(shown.bases, nats, passages) if passages else []
    blocks = [(a, b, visible(_text(shown, a, b))) for a, b in _blocks(shown)]
    body = (
        f"<h1>{escaped(title)}</h1>\n<p>{_summary(score, vocab)}</p>\n{_legend()}"
        f"{_table(found, shown, symbols, vocab, place)}"
        '<h2 id="heading">Text</h2>\n<p>Point at a character, or click on it and move with the '
        "left and right arrow keys; n and p go to the next and the previous surprising passage."
        "</p>\n"
        '<div id="text" tabindex="0" role="group" aria-labelledby="heading">\n'
        + "".join(
            f'<p class="block" dir="auto" id="b{n}" data-first="{a}">{escaped(text)}</p>'
            for n, (a, _, text) in enumerate(blocks)
        )
        + '\n</div>\n<div id="panel" role="region" aria-label="Character"><div>'
        '<output id="detail" aria-live="polite">No character chosen.</output>'
        '<button type="button" id="previous">Previous passage</button>'
        '<button type="button" id="next">Next passage</button></div></div>\n'
    )
    data = {
        "characters": len(shown),
        "symbols": [_name(symbol, vocab) for symbol in vocab.symbols],
        "wide": score.top.dtype == np.uint16,
        "top": score.top.shape[1],
        "passages": sorted(passage.start for passage in found),
        "blocks": list(_data(blocks, shown, nats, score)),
    }
    return page(title, body, style="surprise.css", script="surprise.js", data=data)


def _name(symbol: str, vocab: Vocab) -> str:
    """A symbol as the page shows it."""
    if vocab.unit == "byte" and not symbol.isascii():
        return f"0x{ord(symbol):02x}"
    return visible(symbol)


def _blocks(shown: Graphemes) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends, in characters."""
    bases, a = shown.bases, 0
    while a < len(shown):
        b = bases.find("\n", a + BLOCK, a + 2 * BLOCK) + 1 or a + 2 * BLOCK
        yield a, min(b, len(shown))
        a = b


def _text(shown: Graphemes, a: int, b: int) -> str:
    return shown.text[shown.places[a] : shown.places[b]]


def _data(
    blocks: Sequence[tuple[int, int, str]],
    shown: Graphemes,
    nats: NDArray[Any],
    score: Score,
) -> Iterator[dict[str, str]]:
    """What the script knows of each block: levels `l`, widths `w` in UTF-16 units unless all are 1,
    and in base64 a record per character: nats in thousandths and rank (2 bytes each), entropy in
    twentieths (1), and for each of the most probable symbols its id (1 or 2) and 255 p (1).
    """
    kind = np.uint16 if score.top.dtype == np.uint16 else np.uint8
    likely = np.dtype([("id", np.dtype(kind).newbyteorder("<")), ("p", "u1")])
    fields: list[Any] = [("nats", "<u2"), ("rank", "<u2"), ("entropy", "u1")]
    record = np.dtype([*fields, ("top", likely, (score.top.shape[1],))])
    names = np.array(["x", *"01234"])
    for a, b, text in blocks:
        firsts = shown.firsts[a:b]
        rows = np.zeros(b - a, record)
        rows["nats"] = np.nan_to_num(np.minimum(np.rint(1000 * nats[a:b]), 65535))
        rows["rank"] = np.minimum(score.rank[firsts], 65535)
        rows["entropy"] = np.minimum(np.rint(20 * np.nan_to_num(score.entropy[firsts])), 255)
        rows["top"]["id"] = score.top[firsts]
        rows["top"]["p"] = np.rint(255 * np.nan_to_num(score.probabilities[firsts]))
        block = {
            "l": "".join(names[levels(nats[a:b]) + 1]),
            "d": base64.b64encode(rows.tobytes()).decode(),
        }
        if len(text) > b - a or not text.isascii():
            widths = (len(shown[n].encode("utf-16-le", "surrogatepass")) // 2 for n in range(a, b))
            block["w"] = "".join(DIGITS[width] for width in widths)
        yield block


def _summary(score: Score, vocab: Vocab) -> str:
    read = np.isfinite(score.nats)
    mean = float(score.nats[read].mean(dtype=np.float64))
    expected = float(score.entropy[read].mean(dtype=np.float64))
    size = counted(int(read.sum()), NOUNS[vocab.unit])
    return (
        f"{size}, {mean:.4f} nats each ({mean / math.log(2):.4f} bits); "
        f"the network expected {expected:.4f} nats. The surprise of a character is &minus;ln p; p "
        "is the probability that the network gave it after all characters before it."
    )


def _legend() -> str:
    shares = [f"above 1 in {BOUNDS[0]}"]
    shares += [f"down to 1 in {bound:,}" for bound in BOUNDS[1:]] + ["rarer"]
    items = (f'<li><span class="l{n}">{share}</span></li>' for n, share in enumerate(shares))
    return f'<h2>Probability</h2>\n<ul class="legend">{"".join(items)}</ul>\n'


def _table(
    found: Sequence[SurprisingPassage],
    shown: Graphemes,
    symbols: str,
    vocab: Vocab,
    place: Callable[[int], str] | None,
) -> str:
    """The most surprising passages, each a link to its place."""
    if not found:
        return ""
    firsts = [a for a, _ in _blocks(shown)]
    rows = []
    for passage in found:
        first = int(shown.firsts[passage.start])
        line, column = place_in(symbols, first, vocab.unit)
        where = f"line {line}, column {column}" if place is None else escaped(place(first))
        block = int(np.searchsorted(firsts, passage.start, side="right")) - 1
        before = _text(shown, max(0, passage.start - CONTEXT), passage.start)
        end = min(passage.end, passage.start + LONGEST)
        after = _text(shown, end, min(len(shown), end + CONTEXT))
        rows.append(
            f'<tr><td><a href="#b{block}" data-at="{passage.start}">{where}'
            f'</a></td><td class="nats">{passage.nats:.1f}</td><td class="in" dir="auto">'
            f"{escaped(before)}<mark>{escaped(_text(shown, passage.start, end))}</mark>"
            f"{escaped(after)}</td></tr>\n"
        )
    return (
        '<h2>Most surprising passages</h2>\n<table class="passages">\n<thead><tr>'
        '<th scope="col">place</th><th scope="col">nats</th><th scope="col">passage</th></tr>'
        f"</thead>\n<tbody>\n{''.join(rows)}</tbody>\n</table>\n"
    )

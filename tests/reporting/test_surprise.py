"""The page of a text's surprise: what it holds, and what it lets in and out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from charrnn import Vocab
from charrnn.evaluation.score import Score
from charrnn.pages.page import FOLDER, escaped, page, script_json, visible
from charrnn.reporting.surprise import surprise_page

HOSTILE = (
    "</p></script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"' \x1b[31m\u202e\x00"
)


class Page(HTMLParser):
    """Tags with their attributes, and the text of blocks, scripts and the title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.append((tag, about))
        if tag not in ("meta",):
            self._in.append(about.get("class") or about.get("id") or tag)
            self.texts.setdefault(self._in[-1], []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._in.pop()

    def handle_data(self, data: str) -> None:
        if self._in:
            self.texts[self._in[-1]][-1] += data


def made_up(text: str, vocab: Vocab, top: int = 2, seed: int = 0) -> Score:
    """A score of a text."""
    rng, size = np.random.default_rng(seed), len(text)
    return Score(
        nats=rng.exponential(2, size).astype(np.float32),
        rank=rng.integers(1, len(vocab) + 1, size).astype(np.int32),
        entropy=rng.exponential(1, size).astype(np.float32),
        top=rng.integers(0, len(vocab), (size, top)).astype(vocab.dtype),
        probabilities=rng.random((size, top)).astype(np.float32),
    )


def shown(text: str, vocab: Vocab, score: Score, **options: object) -> tuple[str, Page]:
    result = surprise_page(score, text, vocab, **options)  # type: ignore[arg-type]
    return result, Page(result)


def test_the_text_is_in_the_page_whatever_it_is() -> None:
    text = (HOSTILE + "plain text, line after line\n") * 100
    vocab = Vocab(tuple(sorted(set(text))))
    result, parsed = shown(text, vocab, made_up(text, vocab), title=f"Surprise: {HOSTILE}")
    assert "".join(parsed.texts["block"]) == visible(text)
    assert len(parsed.texts["block"]) > 3
    assert parsed.texts["title"] == [visible(f"Surprise: {HOSTILE}")]
    tags = (
        "html head meta title style body h1 h2 p ul li span table thead tr th tbody td a mark div "
        "output button script"
    )
    assert {tag for tag, _ in parsed.tags} == set(tags.split())
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert not any(name.startswith("on") for _, about in parsed.tags for name in about)
    assert "\x1b" not in result and "\u202e" not in result and result.encode()


def test_no_request_leaves_the_page() -> None:
    text = "a look at http://example.org/x.css and more\n"
    vocab = Vocab(tuple(sorted(set(text))))
    _, parsed = shown(text, vocab, made_up(text, vocab))
    for tag, about in parsed.tags:
        assert not about.keys() & {"src", "action", "srcset", "data", "poster"}
        assert (about.get("href") or "#").startswith("#"), tag
    program = parsed.texts["surprise.js"][-1]
    style = "".join(parsed.texts["style"])
    assert not re.search(r"url\(|@import", style)
    assert not re.search(r"fetch|XMLHttp|WebSocket|import\b|sendBeacon|innerHTML|eval", program)
    (policy,) = (a["content"] for _, a in parsed.tags if a.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


@pytest.mark.parametrize("symbols", [9, 300])
def test_what_the_script_reads_is_the_score(symbols: int) -> None:
    vocab = Vocab(tuple(map(chr, range(0x61, 0x61 + symbols))))
    text = "".join(np.random.default_rng(2).choice(vocab.symbols[:300], size=5000))
    score = made_up(text, vocab, top=3)
    score.nats[7] = np.nan
    _, parsed = shown(text, vocab, score, passages=4)
    data = json.loads(parsed.texts["data"][0])
    assert data["top"] == 3 and data["wide"] == (symbols > 256)
    assert len(data["passages"]) == 4 and data["symbols"] == [visible(s) for s in vocab.symbols]
    size = 5 + 3 * (3 if data["wide"] else 2)
    records = b"".join(base64.b64decode(block["d"]) for block in data["blocks"])
    widths = "".join(block.get("w", "1" * len(block["l"])) for block in data["blocks"])
    if symbols == 9:  # nothing joins
        assert data["characters"] == 5000 and len(records) == 5000 * size
        row = records[8 * size : 9 * size]
        assert int.from_bytes(row[:2], "little") == round(1000 * float(score.nats[8]))
        assert int.from_bytes(row[2:4], "little") == score.rank[8]
        assert row[4] == round(20 * float(score.entropy[8]))
        assert list(row[5::2]) == score.top[8].tolist()
        assert list(row[6::2]) == np.rint(255 * score.probabilities[8]).tolist()
        assert data["blocks"][0]["l"][7] == "x"
    assert len(records) == data["characters"] * size
    assert sum(int(width, 36) for width in widths) == len(text)
    firsts = [int(a["data-first"] or 0) for _, a in parsed.tags if a.get("class") == "block"]
    assert firsts == [sum(len(b["l"]) for b in data["blocks"][:n]) for n in range(len(firsts))]


def test_it_is_for_keyboards_and_screen_readers() -> None:
    text = "a text\n"
    vocab = Vocab(tuple(sorted(set(text))))
    _, parsed = shown(text, vocab, made_up(text, vocab))
    by_id = {about["id"]: (tag, about) for tag, about in parsed.tags if "id" in about}
    assert ("html", {"lang": "en"}) in parsed.tags
    assert by_id["text"][1]["tabindex"] == "0" and by_id["text"][1]["role"] == "group"
    assert by_id["text"][1]["aria-labelledby"] in by_id
    assert by_id["detail"] == ("output", {"id": "detail", "aria-live": "polite"})
    assert by_id["next"][0] == by_id["previous"][0] == "button"
    assert [a["scope"] for tag, a in parsed.tags if tag == "th"] == ["col"] * 3
    for link in (a for tag, a in parsed.tags if tag == "a"):
        assert (link["href"] or "").removeprefix("#") in by_id


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colors_can_be_read_in_light_and_dark() -> None:
    for name, pairs in (
        ("page.css", [("back", "front"), ("back", "faint"), ("back", "link")]),
        ("surprise.css", [(f"back{n}", f"front{n}") for n in range(1, 5)]),
    ):
        style = (FOLDER / name).read_text()
        light, dark = style.split("prefers-color-scheme: dark")
        for part in (light, dark):
            colors = dict(re.findall(r"--(\w+): (#\w{6})", part))
            for back, front in pairs:
                assert contrast(colors[back], colors[front]) >= 4.5, (name, back)


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in node")
def test_the_script_runs(tmp_path: Path) -> None:
    """Colors, keys and buttons, with a document that is just enough for them."""
    text = "plain <words> & e\u0301\U0001f600 " + "zyx, " * 3 + "end\n" + "more text\n" * 700
    vocab = Vocab(tuple(sorted(set(text))))
    score = made_up(text, vocab)
    score.nats[:] = 0.1
    score.nats[text.index("zyx")] = 9
    score.nats[text.index("more", 5000)] = 8
    (tmp_path / "page.html").write_text(surprise_page(score, text, vocab), encoding="utf-8")
    program = Path(__file__).with_name("page_in_node.mjs")
    command = ["node", str(program), str(tmp_path / "page.html")]
    keys = ["ArrowRight", "ArrowRight", "n", "n", "n", "p", "n+ctrlKey", "n+field"]
    done = subprocess.run([*command, *keys], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["text"] == text and found["levels"]["l4"] == "zm" and not found["levels"].get("l1")
    assert [step["selected"] for step in found["steps"]] == [*"plzmzmmm"]
    first = found["steps"][0]["detail"]
    best = [vocab.symbols[i] for i in score.top[0]]
    shares = [f"{round(round(255 * float(p)) / 2.55) or '< 1'} %" for p in score.probabilities[0]]
    assert first.startswith(f"\u201cp\u201d: 0.10 nats, rank {score.rank[0]}; expected ")
    for symbol, share in zip(best, shares, strict=True):
        assert share in first and (symbol in first or "newline" in first or "space" in first)


def test_a_page_escapes() -> None:
    assert escaped("<a & \"b'>") == "&lt;a &amp; &quot;b&#x27;&gt;"
    assert (
        visible("a\x00\x1b\x7f\x85\u202e\udcff\t\n") == "a\u2400\u241b\u2421\ufffd\ufffd\ufffd\t\n"
    )
    assert script_json(["</script><!--&"]) == '["\\u003c/script\\u003e\\u003c!--\\u0026"]'
    made = page("<t>", "<p>b</p>", style="surprise.css", script="surprise.js", data={"a": 1})
    assert "<title>&lt;t&gt;</title>" in made and '{"a":1}' in made

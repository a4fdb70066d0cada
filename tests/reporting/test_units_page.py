"""The page of units: what it holds, and that it works in a browser."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn import Vocab
from charrnn.inspection.activity import activity, bounds, levels, positions
from charrnn.inspection.features import Feature
from charrnn.inspection.units import find_units
from charrnn.pages.page import FOLDER, visible
from charrnn.reporting.units_page import STEPS, units_page
from tests.reporting.browser import CHROMIUM, WITHOUT, Tab, browser
from tests.reporting.test_surprise import HOSTILE, Page, contrast

CLASSES = ["n3", "n2", "n1", "", "p1", "p2", "p3"]


def seen(text: str, units: int = 3, has_c: bool = True) -> Any:
    """A made-up trace of two layers; unit 2 of layer 1 (c, if there is one) knows upper case."""
    vocab = Vocab(tuple(sorted(set(text))))
    rng = np.random.default_rng(0)
    h, c = rng.normal(size=(2, len(text), 2, units)).astype(np.float32)
    (c if has_c else h)[:, 0, 1] += [9.0 * ch.isupper() for ch in text]
    return SimpleNamespace(
        ids=vocab.encode(text),
        text=text,
        h=np.tanh(h),
        c=c if has_c else None,
        gates={},
        trained=SimpleNamespace(vocab=vocab),
    )


def words(count: int) -> str:
    """Words, some in capitals."""
    rng = np.random.default_rng(1)
    made = ("".join(rng.choice([*"abcde"], rng.integers(1, 9))) for _ in range(count))
    return "".join(w.upper() + " " if rng.random() < 0.4 else w + "\n" for w in made)


TEXT = HOSTILE + " e\u0301\U0001f600 " + words(300)


def test_it_holds_the_text_and_the_steps_of_every_unit() -> None:
    trace = seen(TEXT)
    found = find_units(trace)
    result = units_page(trace, found, title=f"Units: {HOSTILE}")
    page = Page(result)
    assert "".join(page.texts["block"]) == visible(TEXT)
    assert page.texts["title"] == [visible(f"Units: {HOSTILE}")]
    data = json.loads(page.texts["data"][0])
    packed = np.frombuffer(zlib.decompress(base64.b64decode(data["values"])), np.uint8)
    assert data["characters"] == len(TEXT) - 1 and data["kinds"] == ["tanh(c)", "h"]
    rows = packed.reshape(2 * 2 * 3, data["characters"])
    shown = activity(trace, "h")
    places = np.delete(positions(shown), TEXT.index("e\u0301"), axis=0)  # after the accent
    np.testing.assert_array_equal(
        rows[6:].T, np.rint((places.reshape(-1, 6) + 1) / 2 * STEPS).astype(np.uint8)
    )
    np.testing.assert_allclose(
        data["ends"][6:], np.stack(bounds(shown), -1).reshape(6, 2), atol=1e-4
    )
    assert data["first"] == 1 and data["found"][0]["row"] == 1
    assert data["found"][0]["tells"].startswith("high for “upper case” (AUC 1.0")
    buttons = [about for tag, about in page.tags if tag == "button" and "data-row" in about]
    assert [button["data-row"] for button in buttons][:1] == ["1"]
    assert "1.2 c" in result and escaped_summary(found.summary) in result


def escaped_summary(text: str) -> str:
    return text.replace("'", "&#x27;")


def test_no_request_and_no_code_from_the_text() -> None:
    page = Page(units_page(seen(TEXT), None))
    for tag, about in page.tags:
        assert not about.keys() & {"src", "href", "action", "srcset", "data"}, tag
        assert not any(name.startswith("on") for name in about)
    assert [tag for tag, _ in page.tags].count("script") == 2
    program, style = page.texts["units.js"][-1], "".join(page.texts["style"])
    assert not re.search(r"url\(|@import", style)
    assert not re.search(r"fetch|XMLHttp|WebSocket|import\b|sendBeacon|innerHTML|eval", program)


def test_long_texts_are_cut_and_a_cell_may_have_no_c() -> None:
    trace = seen(words(900), has_c=False)
    data = json.loads(Page(units_page(trace, None, characters=700)).texts["data"][0])
    assert data["characters"] == 700 and data["kinds"] == ["h"] and data["found"] == []


def test_colors_can_be_read_in_light_and_dark() -> None:
    light, dark = (FOLDER / "units.css").read_text().split("prefers-color-scheme: dark")
    for part in (light, dark):
        colors = dict(re.findall(r"--([\w-]+): (#\w{6})", part))
        for name in filter(None, CLASSES):
            assert contrast(colors[f"back-{name}"], colors[f"front-{name}"]) >= 4.5, name


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_a_browser_colors_the_text_by_any_unit(tab: Tab, tmp_path: Path) -> None:
    trace = seen(TEXT)
    vowels = Feature("vowel", np.array([ch in "aeAE" for ch in TEXT]))
    found = find_units(trace, features=[Feature("upper case", trace.c[:, 0, 1] > 5), vowels])
    (tmp_path / "page.html").write_text(units_page(trace, found), encoding="utf-8")
    every = "[...document.querySelectorAll('.block span')]"
    spans = f"{every}.flatMap(s => Array.from(s.textContent, () => s.className))"
    for scheme in ("light", "dark"):
        tab.open(tmp_path / "page.html", scheme=scheme, width=400)
        wait(tab, "document.getElementById('unit').textContent.startsWith('Layer')")
        assert tab.complaints == []
        blocks = "[...document.querySelectorAll('.block')].map(b => b.textContent).join('')"
        assert tab.run(blocks) == visible(TEXT)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.run("document.getElementById('unit').textContent").startswith(
            "Layer 1, unit 2, tanh(c): high for “upper case” (AUC 1.0"
        )
    assert tab.run(spans)[-400:] == wanted(trace, "c", 0, 1)[-400:]
    tab.run(
        "for (const [id, value] of [['layer', 2], ['number', 3], ['kind', 1]]) "
        "document.getElementById(id).value = value; "
        "document.getElementById('kind').dispatchEvent(new Event('change'))"
    )
    assert tab.run(spans)[-400:] == wanted(trace, "h", 1, 2)[-400:]
    assert tab.run("document.getElementById('unit').textContent").endswith("none of the features")
    tab.run("document.getElementById('text').focus()")
    tab.press("n")
    assert tab.run("document.querySelector('[aria-pressed=true]').textContent") == "1.2 c"
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    assert tab.run("document.getSelection().toString()") == TEXT[1]
    value = float(np.tanh(trace.c[1, 0, 1]))
    said = tab.run("document.getElementById('detail').textContent")
    assert said.startswith(f"“{TEXT[1]}”: tanh(c) is about ")
    assert float(said.split("about ")[1].split()[0]) == pytest.approx(value, abs=0.04)
    assert tab.complaints == []


def wanted(trace: Any, kind: str, layer: int, unit: int) -> list[str]:
    """The class of each character's color; where two steps meet, as the page rounds."""
    steps = np.rint((positions(activity(trace, kind)[:, layer, unit]) + 1) / 2 * STEPS)
    return [CLASSES[level + 3] for level in levels(2 * steps / STEPS - 1).tolist()]


def wait(tab: Tab, condition: str) -> None:
    for _ in range(1000):
        if tab.run(condition):
            return
    raise AssertionError(condition)

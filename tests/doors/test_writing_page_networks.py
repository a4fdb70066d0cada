"""The writing page with networks: in the page itself, and behind `charrnn serve`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.config import SamplingConfig
from charrnn.evaluation.score import score
from charrnn.export.html import export_html
from charrnn.generation.generate import generate
from charrnn.generation.lexicon import Lexicon
from tests.doors.serving import served
from tests.doors.writing_page import CONTROL, SHIFT, Writing
from tests.reporting.browser import browser

PLAYS = Path(__file__).parents[2] / "checkpoints" / "plays.safetensors"
PRIME = "KING:\nI had \u20ac"
LIST = "the king had a letter in coat and it is not here"
WORDS = Lexicon.of_list(LIST)


@pytest.fixture(scope="module", params=["file", "server"])
def page(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writing]:
    trained, folder = charrnn.load(PLAYS), tmp_path_factory.mktemp("page")
    with ExitStack() as stack:
        made = Writing(stack.enter_context(browser(folder)), folder)
        place: Path | str = folder / "plays.html"
        if request.param == "file":
            export_html(trained, folder / "plays.html", known_words=WORDS)
        else:
            place = stack.enter_context(served(trained, name="plays", known_words=WORDS)) + "/"
        made.precision = "int8" if request.param == "file" else "float32"
        made.open(place)
        yield made
        own = f"a request: {place if request.param == 'server' else 'blob:'}"
        assert [each for each in made.tab.complaints if not each.startswith(own)] == []


def written(page: Writing, prime: str, **settings: Any) -> str:
    """What charrnn writes after a text."""
    given = {"until": "sentence", "length": 500, "temperature": 0.8, **settings}
    config = SamplingConfig(**given, precision=page.precision, unknown="nearest")
    return "".join(generate(charrnn.load(PLAYS), prime, config))


def test_it_writes_what_charrnn_writes(page: Writing) -> None:
    page.reload()
    assert page.show("name") == "Write with plays"
    page.type(PRIME)
    page.wait("document.querySelector('.ghost') !== null")
    page.press("Enter", CONTROL)
    page.wait("byId('status').textContent.startsWith('Wrote')")
    first = written(page, PRIME)
    assert page.text == PRIME + first
    page.click("another")
    page.wait("byId('status').textContent.includes('take 2')")
    assert page.text == PRIME + written(page, PRIME, take=2)
    page.press("z", CONTROL)
    assert page.text == PRIME + first
    page.press("z", CONTROL)
    page.press("Enter", CONTROL | SHIFT)
    page.wait("byId('status').textContent.startsWith('Three ways')")
    page.press("3")
    page.wait("byId('choices').hidden")
    assert page.text == PRIME + written(page, PRIME, take=3)


def test_it_suggests_while_a_person_types(page: Writing) -> None:
    page.click("new")
    for letter in "The ki":
        page.press(letter)
    page.wait(
        "byId('spoken').textContent === 'Suggestion: ' + "
        "document.querySelector('.ghost')?.textContent.replaceAll('\u21b5', '')"
    )
    suggested = page.ghost.replace("\u21b5", "")
    page.press("Tab")
    assert page.text == "The ki" + suggested[: len(page.text) - 6] and len(page.text) > 6
    for letter in "!!":
        page.press(letter)
    assert page.ghost == ""
    page.wait("document.querySelector('.ghost') !== null")
    page.press("End")
    page.press("Escape")


def test_it_shows_the_surprise(page: Writing) -> None:
    page.click("new")
    page.click("colored")
    page.type(PRIME)
    page.wait("byId('surprise-summary').textContent.includes('characters')")
    nats = score(charrnn.load(PLAYS), PRIME.removesuffix("\u20ac")).nats
    tolerance = 0.05 if page.precision == "int8" else 0.01
    mean = float(page.show("surprise-summary").split(": ")[1].split()[0])
    assert abs(mean - float(np.mean(nats))) < tolerance
    assert "\u20ac" in page.show("surprise-summary")
    page.wait("byId('surprise-here').textContent.includes('Most probable')")
    page.click("colored")


def test_it_writes_known_words_only(page: Writing) -> None:
    page.click("new")
    page.click("known")
    page.type("The king")
    page.run("byId('until').value = ''; byId('length').value = '80'")
    page.click("continue")
    page.wait("byId('status').textContent.startsWith('Wrote')")
    said = page.text.removeprefix("The king").lower()
    for sign in ",.;:!?'-\u2019\"()\n":
        said = said.replace(sign, " ")
    assert set(said.split()) <= set(LIST.split())
    assert len(said.split()) > 3
    page.click("known")


def test_it_can_be_stopped(page: Writing) -> None:
    page.click("new")
    page.type("The king")
    page.run("byId('until').value = ''; byId('length').value = '10000'")
    page.click("continue")
    page.wait("byId('area').value.length > 20")
    page.press("Escape")
    text = page.text
    assert "then stopped" in page.show("status") and len(text) < 8000
    time.sleep(0.2)
    assert page.text == text

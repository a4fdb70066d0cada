"""The page to write on with the server behind it, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.config.serving import ServeConfig
from charrnn.evaluation.score import score
from charrnn.generation.continuing import first_word
from charrnn.generation.generate import generate_many
from charrnn.generation.lexicon import Lexicon
from charrnn.text.vocab import Vocab
from tests.doors.serving import served
from tests.reporting.browser import Tab, browser
from tests.server.networks import SYMBOLS, network

TRAINED = network()
SETTINGS: dict[str, Any] = {
    **{"temperature": 1.0, "topK": 0, "topP": 1, "minP": 0, "until": None, "length": 40},
    **{"seed": 5, "take": 1, "knownWords": False},
}
TEXT = "abc. Aa bc, cab"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    words = Lexicon.of_list("abc bad cab")
    with served(TRAINED, ServeConfig(max_prompt=20_000), known_words=words) as address:
        yield address


def go(tab: Tab, url: str) -> None:
    tab.events.clear()
    tab.call("Page.navigate", url=f"{url}/")
    while not any(event["method"] == "Page.loadEventFired" for event in tab.events):
        tab._next()


def backend(tab: Tab, script: str) -> Any:
    """What a script returns that has `backend`, `settings` and `text`."""
    made = tab.call(
        "Runtime.evaluate",
        awaitPromise=True,
        returnByValue=True,
        expression=f"""(async () => {{
            const backend = globalThis.own ??= await makeBackend(
                JSON.parse(document.getElementById("data").textContent));
            const settings = {json.dumps(SETTINGS)}, text = {json.dumps(TEXT)};
            {script}
        }})()""",
    )
    assert "exceptionDetails" not in made, made["exceptionDetails"]
    return made["result"].get("value")


def wait(tab: Tab, condition: str) -> None:
    end = time.monotonic() + 20
    while not tab.run(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.01)


def idle(url: str) -> None:
    end = time.monotonic() + 10
    while httpx.get(f"{url}/health").json()["texts"]:
        assert time.monotonic() < end, "a text is still written"
        time.sleep(0.01)


def test_a_person_writes_with_the_network_behind_the_page(tab: Tab, url: str) -> None:
    go(tab, url)
    wait(tab, "document.getElementById('continue').ariaDisabled === 'false'")
    tab.run("document.getElementById('area').focus()")
    tab.call("Input.insertText", text=TEXT)
    wait(tab, "document.querySelector('.ghost')?.textContent")
    ghost = tab.run("document.querySelector('.ghost').textContent")
    tab.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", windowsVirtualKeyCode=9)
    taken = tab.run("document.getElementById('area').value").removeprefix(TEXT)
    assert taken and (ghost.startswith(taken) or taken.startswith(ghost))
    asked = [c.removeprefix("a request: ") for c in tab.complaints]
    assert asked and all(each.startswith(f"{url}/") for each in asked), "nothing of another host"


def test_the_backend_writes_what_charrnn_writes(tab: Tab, url: str) -> None:
    go(tab, url)
    about = backend(tab, "return await backend.about()")
    assert about["name"] == "bottles" and about["hasKnownWords"] and not about["hasDocuments"]
    wanted = generate_many(TRAINED, 3, TEXT, SamplingConfig(length=40, temperature=1.0, seed=5))
    made = backend(
        tab,
        """const pieces = [[], [], []];
        const made = await Promise.all([1, 2, 3].map((take, n) => backend.write(
            text, { ...settings, take }, { onText: (piece) => pieces[n].push(piece) })));
        return { made, joined: pieces.map((each) => each.join("")) };""",
    )
    assert made["made"] == [{"text": text, "ended": "length"} for text in wanted]
    assert made["joined"] == wanted
    big = SamplingConfig(length=40, temperature=1.0, seed=2**63 - 1)
    made = backend(tab, f"return await backend.write(text, {{ ...settings, seed: '{2**63 - 1}' }})")
    assert made["text"] == generate_many(TRAINED, 1, TEXT, big)[0]


def test_ends_and_controls(tab: Tab, url: str) -> None:
    go(tab, url)
    whole = generate_many(TRAINED, 1, TEXT, SamplingConfig(length=400, temperature=1.0, seed=5))[0]
    made = backend(
        tab, "return await backend.write(text, { ...settings, until: 'word', length: 400 })"
    )
    assert made == {"text": first_word(whole), "ended": "until"}
    made = backend(
        tab, "return await backend.write(text, { ...settings, until: 'line', length: 400 })"
    )
    assert made["ended"] == "until" and made["text"].endswith("\n")
    made = backend(tab, "return await backend.write('ab', { ...settings, knownWords: true })")
    words = ("ab" + made["text"]).lower().replace(",", " ").replace(".", " ").split()
    assert set(words) <= {"abc", "bad", "cab"}
    made = backend(tab, "return await backend.next(text, { ...settings, topK: 3 }, 5)")
    assert len(made) == 3 and abs(sum(each["probability"] for each in made) - 1) < 1e-9


def test_surprises_of_a_text_that_grows(tab: Tab, url: str) -> None:
    go(tab, url)
    for text in (TEXT, TEXT + " and", TEXT[:5] + "x" + TEXT[5:], "", "a" + chr(0x4E00) + "b"):
        made = backend(
            tab,
            f"""const made = await backend.score({json.dumps(text)});
            const all = Array.from(made.surprises, (each) => Number.isNaN(each) ? null : each);
            return {{ all, unknown: made.unknown }};""",
        )
        assert len(made["all"]) == len(text)
        if text.isascii() and text:
            np.testing.assert_allclose(made["all"], score(TRAINED, text).nats, atol=2e-5)
    assert made["unknown"] == [chr(0x4E00)] and made["all"][1] is None and made["all"][2] > 0
    made = backend(
        tab,
        "const made = await backend.score('ab '.repeat(10000));"
        "return [made.surprises.length, made.surprises.findIndex((x) => !Number.isNaN(x))]",
    )
    assert made == [30_000, 16_384]


def test_the_page_asks_for_no_more_than_it_may(tab: Tab) -> None:
    with served(TRAINED, ServeConfig(max_prompt=10, max_tokens=7)) as url:
        go(tab, url)
        made = backend(
            tab,
            """const long = text + text, { surprises } = await backend.score(long);
            const { text: written } = await backend.write(long, settings);
            const next = await backend.next(long, settings, 5);
            return [Array.from(surprises, Number.isNaN), written.length, next.length];""",
        )
    assert made == [[True] * 20 + [False] * 10, 7, 5]


def test_surprises_of_a_text_that_is_normalized(tab: Tab) -> None:
    plain = network(vocab=Vocab((*SYMBOLS, "\u00e9")))
    trained = replace(plain, corpus_config=CorpusConfig(normalize="NFC"))
    with served(trained) as url:
        go(tab, url)
        made = backend(
            tab,
            """const found = [];
            for (const text of ["ae", "ae\\u0301", "ae\\u0301b"]) {
                const { surprises, unknown } = await backend.score(text);
                found.push([Array.from(surprises), unknown]);
            }
            return found;""",
        )
    wanted = score(trained, "a\u00e9b").nats.tolist()
    told = [*wanted[:2], 0, *wanted[2:]]
    for (nats, unknown), expected in zip(made[1:], (told[:3], told), strict=True):
        np.testing.assert_allclose(nats, expected, atol=2e-5)
        assert unknown == []


def test_who_stops_or_leaves_frees_the_place(tab: Tab, url: str) -> None:
    go(tab, url)
    made = backend(
        tab,
        """const own = new AbortController();
        return await backend.write(text, { ...settings, length: 16000 },
            { signal: own.signal, onText: () => own.abort() });""",
    )
    assert made["ended"] == "stopped" and 0 < len(made["text"]) < 16_000
    idle(url)
    backend(tab, "backend.write(text, { ...settings, length: 16000 }).catch(() => 0);")
    time.sleep(0.1)
    go(tab, "about:blank#")
    idle(url)


def test_what_the_server_says_reaches_the_person(tab: Tab, url: str) -> None:
    go(tab, url)
    message = backend(
        tab,
        """try { await backend.write(text, { ...settings, until: "document" }); }
        catch (error) { return error.message; }""",
    )
    assert "documents" in message


def test_bytes(tab: Tab) -> None:
    symbols = [chr(value) for value in (10, 32, 46, *range(97, 107), 0xC3, 0xA4, 0xA9, 0xE2)]
    trained = network(vocab=Vocab(tuple(symbols), "byte"))
    with served(trained) as url:
        go(tab, url)
        made = backend(tab, "return (await backend.score('a\\u00e4b')).surprises.length")
        assert made == 4
        text = backend(tab, "return (await backend.write('a\\u00e4', settings)).text")
        settings = SamplingConfig(length=40, temperature=1.0, seed=5)
        wanted = generate_many(trained, 1, "a\u00e4", settings)[0]
        assert text == wanted.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def test_a_browser_sends_the_key_as_a_password(tab: Tab) -> None:
    with served(TRAINED, key="secret") as url:
        go(tab, url.replace("//", "//me:secret@"))
        assert backend(tab, "return (await backend.write(text, settings)).text.length") == 40

"""A network in a web page, in Chromium: it writes what charrnn writes, and leaves nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn import (
    CorpusConfig,
    Lexicon,
    Mixture,
    SamplingConfig,
    Trained,
    Vocab,
    export_html,
    generate,
    load,
    score,
)
from charrnn.export.html import page_data
from charrnn.generation.continuing import first_word
from charrnn.generation.quantization import rounded
from charrnn.generation.stopping import Endings
from charrnn.text.documents import DocumentTracker
from tests.reference.drawn import SYMBOLS, drawn_mixture, drawn_network
from tests.reporting.browser import Tab, browser
from tests.text.test_endings import SENTENCES, WORDS

PLAYS = Path(__file__).parents[2] / "checkpoints" / "plays.safetensors"
SETTINGS: dict[str, Any] = {
    "temperature": 0.8,
    "topK": 0,
    "topP": 1,
    "minP": 0,
    "until": None,
    "length": 2000,
    "seed": 0,
    "take": 1,
    "knownWords": False,
}
NAMES = {"topK": "top_k", "topP": "top_p", "minP": "min_p"}
CELLS: list[dict[str, Any]] = [
    {"cell": "lstm", "hidden": 20, "embedding": 5},
    {"cell": "gru", "hidden": 21, "embedding": 0, "skip": True},
    {"cell": "gru-after", "layers": 3, "hidden": 24, "residual": True, "layer_norm": True},
    {"cell": "rnn", "hidden": 5, "embedding": 0, "activation": "relu", "layer_norm": True},
    {"cell": "coupled", "activation": "softsign", "zoneout_h": 0.1, "zoneout_c": 0.2},
    {"cell": "peephole", "hidden": 33, "layer_norm": True, "skip": True, "residual": True},
    {"cell": "clockwork", "hidden": 30, "clockwork_groups": 5, "zoneout_h": 0.15},
    {"cell": "depth-gated", "layers": 3, "hidden": 17, "zoneout_c": 0.1},
    {"cell": "grid", "hidden": 18, "embedding": 0, "residual": True},
    {"cell": "lstm", "hidden": 20, "layer_norm": True, "attention": 48},
    {"cell": "gru", "hidden": 21, "skip": True, "residual": True, "attention": 112},
    {"cell": "lstm", "hidden": 20, "layer_norm": True, "attention": 48, "mogrifier": 5},
    {"cell": "lstm", "hidden": 33, "skip": True, "residual": True, "mogrifier": 2},
    {"cell": "lstm", "layers": 3, "hidden": 17, "embedding": 26, "mogrifier": 3}
    | {"zoneout_h": 0.15, "zoneout_c": 0.1},
]
Networks = Trained | Mixture
EMBEDDED = "JSON.parse(document.getElementById('data').textContent)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def page(tab: Tab, tmp_path: Path) -> Iterator[Tab]:
    """A page with some network, whose scripts a test may use with another one."""
    export_html(drawn_network(), tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    yield tab
    assert tab.complaints == []


def opened(tab: Tab, trained: Networks, path: Path, **how: Any) -> Tab:
    """An exported page, with its backend as `backend`."""
    export_html(trained, path, force=True, **how)
    tab.open(path)
    tab.run(f"makeBackend({EMBEDDED}).then((it) => {{ globalThis.backend = it; }})", awaited=True)
    return tab


def known(
    tab: Tab, trained: Networks, precision: str = "int8", words: Lexicon | None = None
) -> None:
    """Make a network known to the page's main thread, as `continuer`."""
    data = page_data(trained, precision, words)  # type: ignore[arg-type]
    tab.run(f"globalThis.continuer = new Continuer({json.dumps(data)}); null")


def call(tab: Tab, method: str, *arguments: Any) -> Any:
    """What a method of the continuer on the main thread returns."""
    listed = "".join(f"{json.dumps(each)}, " for each in arguments)
    heard = "() => {}, " if method == "write" else ""
    return tab.run(f"continuer.{method}({listed}{heard}async () => {{}})", awaited=True)


def count_steps(tab: Tab) -> None:
    """Count the steps of the continuer's network in `steps`."""
    tab.run("""{
      const step = continuer.network.step.bind(continuer.network);
      globalThis.steps = 0;
      continuer.network.step = (...all) => { steps++; return step(...all); };
    }""")


def settings_of(**changes: Any) -> dict[str, Any]:
    return SETTINGS | changes


def expected(
    trained: Networks, prime: str, settings: dict[str, Any], precision: str = "int8", **how: Any
) -> str:
    """What charrnn writes with the same settings."""
    chosen = {NAMES.get(name, name): value for name, value in settings.items()}
    chosen = {name: value for name, value in chosen.items() if name not in ("knownWords", "start")}
    chosen["seed"] = int(chosen["seed"])
    config = SamplingConfig(**chosen, precision=precision, unknown="nearest")
    return "".join(generate(trained, prime, config, **how))


def networks() -> dict[str, Trained]:
    vocab = Vocab(tuple(map(chr, range(256))), "byte")
    return {
        "lstm 2 x 160": load(PLAYS),
        "gru 1 x 96 with documents": drawn_network(
            cell="gru", layers=1, hidden=96, corpus=CorpusConfig(document_separator=r"\n[ .]+")
        ),
        "grid 3 x 40 of bytes": drawn_network(cell="grid", layers=3, hidden=40, vocab=vocab),
    }


@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("name", [*networks()])
def test_it_writes_what_charrnn_writes(tab: Tab, name: str, precision: str, tmp_path: Path) -> None:
    """2,000 characters, from the start state that seed and take choose, after a prime."""
    trained = networks()[name]
    opened(tab, trained, tmp_path / "page.html", precision=precision)
    for prime, settings in (("", settings_of()), ("ab.\nThe", settings_of(seed=5, take=3))):
        script = f"backend.write({json.dumps(prime)}, {json.dumps(settings)})"
        written = tab.run(script, awaited=True)
        text = expected(trained, prime, settings, precision)
        if trained.vocab.unit == "byte":  # which are not characters for the most part
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        assert written == {"text": text, "ended": "length"}
    assert tab.run("backend.port.constructor.name") == "Worker"
    assert tab.complaints == []


@pytest.mark.parametrize("temperature", [0, 0.1, 0.5, 0.9, 2.0])
@pytest.mark.parametrize("count", [1, 2])
def test_a_temperature_and_what_is_copied(page: Tab, count: int, temperature: float) -> None:
    networks = drawn_mixture(count, hidden=20, attention=48, layer_norm=True)
    for network in networks:
        network.model.parameters["attention.bias"][:] -= 0.2
    known(page, networks)
    chosen = settings_of(length=1000, temperature=temperature, seed=3)
    written = call(page, "write", "ab\ncd" * 9, chosen)["text"]
    assert written == expected(networks, "ab\ncd" * 9, chosen)
    assert len(set(written)) > 3 or not temperature


@pytest.mark.parametrize("settings", CELLS, ids=lambda each: each["cell"])
def test_every_cell_and_option(page: Tab, settings: dict[str, Any]) -> None:
    trained = drawn_network(**settings)
    for precision in ("int8", "bf16"):
        known(page, trained, precision)
        chosen = settings_of(length=400, temperature=1.0, seed=3)
        written = call(page, "write", "ab\ncé", chosen)["text"]
        assert written == expected(trained, "ab\ncé", chosen, precision)
        assert len(set(written)) > 5


MIXTURES: list[tuple[int, dict[str, Any]]] = [
    (2, {"cell": "lstm", "hidden": 20, "layer_norm": True}),
    (3, {"cell": "gru", "hidden": 21, "embedding": 0, "skip": True}),
    (2, {"cell": "grid", "layers": 3, "corpus": CorpusConfig(document_separator=r"[.,]\n?")}),
    (2, {"attention": 64, "corpus": CorpusConfig(document_separator=r"[.,]\n")}),
    (3, {"hidden": 20, "layer_norm": True, "attention": 64, "mogrifier": 4}),
]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize(
    ("count", "settings"), MIXTURES, ids=["lstm", "gru", "documents", "attention", "mogrifier"]
)
def test_several_networks(
    tab: Tab, count: int, settings: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    """2,000 characters that they write together, their surprise, and what the page says."""
    networks = drawn_mixture(count, **settings)
    opened(tab, networks, tmp_path / "page.html", precision=precision)
    for prime, chosen in (("", settings_of()), ("ab.\nce", settings_of(seed=5, take=3))):
        script = f"backend.write({json.dumps(prime)}, {json.dumps(chosen)})"
        written = tab.run(script, awaited=True)["text"]
        assert written == expected(networks, prime, chosen, precision)
        assert len(set(written)) > 5
    text = "a bad.\ncafé"
    surprises = tab.run(
        f"backend.score({json.dumps(text)}).then(({{ surprises }}) => Array.from(surprises))",
        awaited=True,
    )
    exact = [replace(each, model=rounded(each.model, precision)) for each in networks]
    np.testing.assert_allclose(surprises, score(exact, text).nats, rtol=1e-3)
    shown = tab.run("document.getElementById('facts').textContent")
    assert f"{count} networks, each" in shown
    assert "1.7500 to 1.7500 nats per character, each network alone" in shown
    assert tab.complaints == []


CONTROLS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 3.0},
    {"topK": 3},
    {"topP": 0.7, "temperature": 1.2},
    {"minP": 0.1},
    {"topK": 6, "topP": 0.9, "minP": 0.02, "temperature": 1.5},
    {"seed": str(2**63 - 1), "take": 2**53 - 1},
    {"until": "sentence"},
    {"until": "line"},
    {"until": "paragraph"},
    {"length": 0},
]


@pytest.mark.parametrize("changes", CONTROLS, ids=str)
def test_controls(page: Tab, changes: dict[str, Any]) -> None:
    """Also ties: some symbols are equally probable."""
    trained = drawn_network()
    decoder = trained.model.parameters["decoder.weight"]
    decoder[:, 3:6], trained.model.parameters["decoder.bias"][3:6] = decoder[:, 3:4], 0.5
    known(page, trained)
    chosen = settings_of(length=300) | changes
    written = call(page, "write", "abc ", chosen)
    assert written["text"] == expected(trained, "abc ", chosen)
    assert written["ended"] == ("until" if len(written["text"]) < chosen["length"] else "length")


def test_random_numbers(page: Tab) -> None:
    """Those of NumPy's PCG64 by its SeedSequence."""
    for entropy in ([0, 0], [1, 2, 3, 4, 5, 2**80], [2**32, 2**63 - 1], [7], [2**64 - 1, 0, 9]):
        numbers = ", ".join(f"{each}n" for each in entropy)
        script = f"{{const it = new Generator({numbers}); Array.from(Array(5), () => it.random())}}"
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        assert page.run(script) == generator.random(5).tolist()
        words = page.run(f"new SeedSequence([{numbers}]).state(9)")
        assert words == np.random.SeedSequence(entropy).generate_state(9).tolist()


def test_ends_and_documents(page: Tab) -> None:
    """Sentences, lines, paragraphs and documents end in the page where they end in charrnn, and a
    state is zero before the same characters.
    """
    rng, words = np.random.default_rng(2), [*WORDS, *SENTENCES, "No", "5", "(", "---\n", "\u2028"]
    trained, jobs = drawn_network(symbols="".join(sorted(set("".join(words))))), []
    for pattern in (
        None,
        "\n\n+",
        "\n---\n",
        r"\n(?=[A-Z])",
        r"(?m)^--+$|[?!]\b",
        r"(?i)mr|\s{3,}",
    ):
        corpus = CorpusConfig(document_separator=pattern)
        data = page_data(replace(trained, corpus_config=corpus), "int8")
        for unit in ("sentence", "line", "paragraph", *(["document"] if pattern else [])):
            endings = Endings(trained.vocab, SamplingConfig(until=unit, length=500), pattern)
            for _ in range(8):
                chosen = rng.choice(words, 25).tolist()
                before, text = "".join(chosen[: rng.integers(6)]), "".join(chosen[6:])
                ending, out = endings.text(before), ""
                for character in text:
                    out += ending.feed(character)
                    if ending.ended:
                        break
                out += "" if ending.ended else ending.feed("", last=True)
                tracker = None if pattern is None else DocumentTracker(pattern)
                resets = tracker and [tracker.resets_before(each) for each in before + text]
                job = {"separator": data["separator"], "until": unit, "before": before}
                jobs.append(job | {"text": text, "wanted": [out, bool(ending.ended), resets]})
    page.run(f"globalThis.jobs = {json.dumps(jobs)}; globalThis.all = {EMBEDDED}; null")
    wrong = page.run(f"""
      {{
        const vocabulary = new Vocabulary({json.dumps(data["vocabulary"])});
        jobs.filter(({{ separator, until, before, text, wanted }}) => {{
          const documents = separator && new Separator(separator);
          const parts = {{ vocabulary, documents, endings: all.endings }};
          const ending = new Ending(parts, until, Array.from(before));
          let out = "";
          for (const symbol of Array.from(text)) {{
            out += ending.feed([symbol]);
            if (ending.reached) break;
          }}
          if (!ending.reached) out += ending.feed([], true);
          const tracker = documents && new DocumentTracker(documents);
          const resets = tracker && Array.from(before + text, (s) => tracker.resetsBefore(s));
          return JSON.stringify([out, ending.reached, resets]) !== JSON.stringify(wanted);
        }})
      }}""")
    assert wrong == []
    assert sum(job["wanted"][1] for job in jobs) > 100


def test_documents(page: Tab) -> None:
    """A text goes on into the next document, and ends with one if that is asked for."""
    for pattern in (r"[.,]\n?", r"\n(?=[ab])"):
        trained = drawn_network(corpus=CorpusConfig(document_separator=pattern))
        known(page, trained)
        for until in (None, "document", "sentence"):
            chosen = settings_of(length=300, temperature=1.0, until=until)
            written = call(page, "write", "ab.\nde", chosen)["text"]
            assert written == expected(trained, "ab.\nde", chosen)


def test_known_words(page: Tab) -> None:
    """Words of a text or of a list, the last word of the prime included."""
    trained, text = drawn_network(), "abe, face.\nA bad café: dad's bed - fed a-b.\nBee had ed.\n"
    for words in (Lexicon.of_text(text), Lexicon.of_list(text)):
        known(page, trained, words=words)
        for prime, changes in (
            ("", {}),
            ("bad fa", {"until": "line"}),
            ("ghgh, a", {"length": 9}),
            (". ", {"until": "sentence", "temperature": 1.5}),
        ):
            chosen = settings_of(length=200, knownWords=True) | changes
            written = call(page, "write", prime, chosen)["text"]
            assert written == expected(trained, prime, chosen, known_words=words)


def test_known_words_of_a_script_without_spaces(page: Tab) -> None:
    trained, words = drawn_network(symbols="\n .ｱｲｳｴｵ"), Lexicon.of_list("ｱｲｳｴｵ")
    known(page, trained, words=words)
    chosen = settings_of(length=50, knownWords=True)
    written = call(page, "write", "ｱｲｳｴ", chosen)["text"]
    assert written == expected(trained, "ｱｲｳｴ", chosen, known_words=words) and len(written) == 50


def test_surprises_and_alternatives(page: Tab) -> None:
    trained, text = drawn_network(), "a bad\ncafé, €É fed"
    known(page, trained)
    exact = replace(trained, model=rounded(trained.model, "int8"))
    result = page.run(
        f"continuer.score({json.dumps(text)}, async () => {{}}).then(({{ surprises, unknown }}) =>"
        " ({ surprises: Array.from(surprises, (nats) => nats === nats ? nats : null), unknown }))",
        awaited=True,
    )
    places = [place for place, symbol in enumerate(text) if symbol != "€"]
    nats = np.array([result["surprises"][place] or np.nan for place in places], np.float64)
    wanted = score(exact, text, unknown="nearest").nats
    is_known = np.array([text[place] in SYMBOLS for place in places])
    np.testing.assert_allclose(nats[is_known], wanted[is_known], rtol=1e-4)
    assert np.isnan(nats[~is_known]).all()
    assert result["unknown"] == ["€", "É"]
    best = call(page, "next", "a bad", settings_of(topK=4, temperature=1.0, start=0), 3)
    top = score(exact, "a bad.", top=4)
    whole = top.probabilities[-1].sum()
    assert [each["text"] for each in best] == [SYMBOLS[i] for i in top.top[-1][:3]]
    np.testing.assert_allclose(
        [each["probability"] for each in best], top.probabilities[-1][:3] / whole, rtol=1e-4
    )


def test_a_text_is_read_in_the_form_of_the_training(page: Tab) -> None:
    trained = drawn_network(corpus=CorpusConfig(normalize="NFC"))
    words = Lexicon.of_list("café fed")
    known(page, trained, words=words)
    exact = replace(trained, model=rounded(trained.model, "int8"))
    typed, read = "a\tcafe\u0301", "a\tcaf\u00e9"
    result = page.run(
        f"continuer.score({json.dumps(typed)}, async () => {{}}).then(({{ surprises, unknown }}) =>"
        " ({ surprises: Array.from(surprises, (nats) => nats === nats ? nats : null), unknown }))",
        awaited=True,
    )
    wanted = score(exact, read, unknown="nearest").nats.tolist()
    assert result["surprises"][1] is None and result["unknown"] == ["\t"]
    told = [result["surprises"][0], *result["surprises"][2:]]
    np.testing.assert_allclose(told, [wanted[0], *wanted[2:], 0], rtol=1e-4)
    for how in ({}, {"known_words": words}):
        chosen = settings_of(length=50, knownWords=bool(how))
        assert call(page, "write", typed, chosen)["text"] == expected(trained, read, chosen, **how)
        assert call(page, "next", typed, chosen, 3) == call(page, "next", read, chosen, 3)


def test_a_changed_text_is_read_from_the_change_on(page: Tab) -> None:
    known(page, drawn_network())
    count_steps(page)
    text = "a bad café, fed " * 40

    def counted(changed: str) -> tuple[Any, int]:
        before = page.run("steps")
        after = page.run(
            f"continuer.score({json.dumps(changed)}, async () => {{}})"
            ".then(({ surprises }) => Array.from(surprises))",
            awaited=True,
        )
        return after, page.run("steps") - before

    changes = [text, text + "a", text, text[:300] + "b" + text[300:], text[:-1]]
    surprises, steps = zip(*map(counted, changes), strict=True)
    assert steps[0] == len(text)
    assert max(steps[1], steps[2], steps[4]) <= 33
    assert len(text) - 300 < steps[3] <= len(text) - 300 + 33
    chosen = settings_of(length=50, start=0)
    text += call(page, "write", text, chosen)["text"]
    found, more = counted(text)
    assert more <= 33  # what was written is known, too
    for changed, before in zip([*changes, text], [*surprises, found], strict=True):
        page.run("continuer.marks.clear(); continuer.bytes = 0")
        assert counted(changed)[0] == before


def test_of_a_long_text_the_last_part_is_read(page: Tab) -> None:
    known(page, drawn_network(layers=1))
    text = "a bad café, fed\n" * 2100
    surprises = page.run(
        f"continuer.score({json.dumps(text)}, async () => {{}})"
        ".then(({ surprises }) => Array.from(surprises, (nats) => nats === nats))",
        awaited=True,
    )
    first = surprises.index(True)
    assert len(text) - 32768 < first <= len(text) - 16384 + 512
    assert text[first - 1] == "\n"
    assert all(surprises[first:])
    count_steps(page)
    written = call(page, "write", text, settings_of(length=5))["text"]
    assert 2048 - 512 < page.run("steps") < 4096 + 5
    assert call(page, "write", text, settings_of(length=5))["text"] == written
    page.run("continuer.marks.clear(); continuer.bytes = 0")
    assert call(page, "write", text, settings_of(length=5))["text"] == written


def test_calls_beside_one_another(tab: Tab, tmp_path: Path) -> None:
    """Several at a time; one that is stopped ends at once, with what it has written so far."""
    trained = drawn_network()
    opened(tab, trained, tmp_path / "page.html")
    many = json.dumps(settings_of(length=10**9))
    stopped = tab.run(
        f"""new Promise((resolve) => {{
          const controller = new AbortController();
          let heard = "";
          backend.write("ab", {many}, {{
            onText: (piece) => {{ heard += piece; if (heard.length > 99) controller.abort(); }},
            signal: controller.signal,
          }}).then((result) => resolve([result.ended, result.text === heard, heard.length]));
        }})""",
        awaited=True,
    )
    assert stopped == ["stopped", True, 100]
    some = [settings_of(length=300, take=take) for take in (1, 2, 3)]
    texts = tab.run(
        f"Promise.all({json.dumps(some)}.map((each) => backend.write('a', each)))", awaited=True
    )
    assert [each["text"] for each in texts] == [expected(trained, "a", each) for each in some]
    asked = json.dumps(settings_of(until="document"))
    failed = f"backend.write('', {asked}).catch((error) => error.message)"
    assert tab.run(failed, awaited=True) == "This network's text had no documents."
    gone = "{ const signal = AbortSignal.abort(); backend.score('a', { signal }).catch(String) }"
    assert "AbortError" in tab.run(gone, awaited=True)
    assert tab.complaints == []


def test_a_worker_that_has_failed_is_not_waited_for(tab: Tab, tmp_path: Path) -> None:
    opened(tab, drawn_network(), tmp_path / "page.html")
    many = json.dumps(settings_of(length=10**9))
    messages = tab.run(
        f"""{{
          const failed = [backend.write("a", {many}).catch((error) => error.message)];
          backend.port.onerror({{ message: "out of memory" }});
          failed.push(backend.score("a").catch((error) => error.message));
          Promise.all(failed)
        }}""",
        awaited=True,
    )
    assert messages == ["The network has stopped: out of memory"] * 2


def test_without_a_worker(tab: Tab, tmp_path: Path) -> None:
    """As on a phone that gives none to a page from disk: the page's own tasks are not held up."""
    trained, chosen = drawn_network(hidden=64), settings_of(length=3000)
    export_html(trained, tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    written, ticks, port = tab.run(
        f"""{{
          globalThis.Worker = class {{ constructor() {{ throw new Error("none"); }} }};
          let ticks = 0;
          const timer = setInterval(() => {{ ticks++; }}, 1);
          makeBackend({EMBEDDED}).then(async (backend) => {{
            const {{ text }} = await backend.write("a", {json.dumps(chosen)});
            clearInterval(timer);
            return [text, ticks, backend.port.constructor.name];
          }})
        }}""",
        awaited=True,
    )
    assert written == expected(trained, "a", chosen)
    assert (port, ticks > 2) == ("MessagePort", True)
    assert tab.complaints == []


def test_the_next_word(page: Tab) -> None:
    """For the grey text of a page: up to the end of the next word, without the space after it."""
    trained = drawn_network()
    known(page, trained)
    for seed in range(8):
        chosen = settings_of(until="word", length=80, seed=seed)
        word = call(page, "write", "a bad", chosen)["text"]
        whole = expected(trained, "a bad", settings_of(length=80, seed=seed))
        assert whole.startswith(word)
        assert word.split() == [word.strip()] and not word[-1].isspace()
        assert whole[len(word)].isspace()


def test_the_next_word_has_its_marks(page: Tab) -> None:
    trained = drawn_network(symbols="กั ")
    known(page, trained)
    for seed in range(8):
        chosen = settings_of(until="word", length=80, seed=seed)
        whole = expected(trained, "ก", settings_of(length=80, seed=seed))
        assert call(page, "write", "ก", chosen)["text"] == first_word(whole)


def test_nothing_leaves_it(tab: Tab, tmp_path: Path) -> None:
    """No request, whatever a script in it tries; and what a text or its name holds is text."""
    mark = "</script><script>globalThis.harmed = 1</script><!--"
    trained = drawn_network(symbols=SYMBOLS + "</>&")
    text = replace(trained.origin.texts[0], name=mark)
    trained = replace(trained, origin=replace(trained.origin, texts=(text,)))
    opened(tab, trained, tmp_path / "page.html", name=mark)
    assert tab.complaints == []
    assert tab.run("globalThis.harmed ?? document.title") == mark
    assert tab.run("backend.about()", awaited=True)["texts"][0]["name"] == mark
    for attempt in ("fetch('https://example.org/')", "fetch(location.href)"):
        refused = f"{attempt}.then(() => 'read', () => 'refused')"
        assert tab.run(refused, awaited=True) == "refused"

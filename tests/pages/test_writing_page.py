"""The writing page without a browser: its parts belong together, and what its scripts compute."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from charrnn.pages.page import FOLDER
from charrnn.pages.writing import SCRIPTS, writing_page
from tests.reporting.test_surprise import Page, contrast

PROGRAMS = {name: (FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS}


def test_parts_belong_together(tmp_path: Path) -> None:
    backend = tmp_path / "network.js"
    backend.write_text("globalThis.makeBackend = async () => null;", encoding="utf-8")
    made = writing_page(
        "<b>", backend=[backend], data={"a": "</script>"}, policy="connect-src 'self'"
    )
    page = Page(made)
    assert page.texts["title"] == ["<b>"]
    ids = [about["id"] for _, about in page.tags if "id" in about]
    assert len(ids) == len(set(ids))
    used = {name for text in PROGRAMS.values() for name in re.findall(r'byId\("([\w-]+)"\)', text)}
    assert used <= set(ids)
    for _, about in page.tags:
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            assert about.get(name, ids[0]) in ids
        assert not about.keys() & {"src", "href", "action", "style"}
        assert not any(name.startswith("on") for name in about)
    scripts = [about["id"] for tag, about in page.tags if tag == "script"]
    assert scripts == ["data", "network.js", *SCRIPTS]
    assert page.texts["network.js"] == [backend.read_text()]
    assert json.loads(page.texts["data"][0]) == {"a": "</script>"}
    (policy,) = (about["content"] for tag, about in page.tags if "http-equiv" in about)
    assert policy.startswith("default-src 'none';") and policy.endswith("; connect-src 'self'")
    for text in (backend.read_text(), *PROGRAMS.values()):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_text_is_data_and_no_request_is_made() -> None:
    for text in PROGRAMS.values():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)
        assert not re.search(r"\bFunction\(|fetch\(|XMLHttp|WebSocket|sendBeacon|import\(", text)
        assert "</" not in text
    assert not re.search(r"url\(|@import", (FOLDER / "writing.css").read_text())


def test_grey_text_can_be_read_in_light_and_dark() -> None:
    grey = re.findall(r"--grey: (#\w{6})", (FOLDER / "writing.css").read_text())
    back = re.findall(r"--back: (#\w{6})", (FOLDER / "page.css").read_text())
    assert len(grey) == len(back) == 2
    assert all(contrast(*pair) >= 4.5 for pair in zip(grey, back, strict=True))


def run_in_node(script: str) -> object:
    """What a script prints as JSON after the scripts that need no page."""
    program = PROGRAMS["writing_text.js"] + PROGRAMS["writing_history.js"]
    program += (FOLDER / "normalization.js").read_text(encoding="utf-8")
    program += "const c = globalThis.charrnn, scored = (text, surprises, unit) =>"
    program += "  c.surpriseOf(text, { surprises, unknown: ['\\u{1f600}'] }, unit);"
    program += f"console.log(JSON.stringify({script}))"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in node")
def test_words_surprise_and_changes() -> None:
    found = run_in_node("""{
      words: [" upon a", "\\n\\nTwo.", "don't-know x", "\\u4f60\\u597d\\u4e16\\u754c\\u3002", "  "]
        .map(c.firstWord),
      levels: scored("ae\\u0301\\u{1f600}\\nb", [0.5, 2, 3, NaN, 7, 1], "character").levels,
      unread: scored("abc", [NaN, NaN, 1], "character").levels,
      bytes: scored("\\u20ac\\u{1f60a}", [1, 1, 1, 0, 0, 0, 0.1], "byte").levels,
      sums: Array.from(scored("e\\u0301x", [2, 3, 1], "character").nats),
      lacking: c.surpriseOf("\\u00ef\\u00e9", { surprises: [0, 0, 0, 0], unknown: ["\\u00a9"] },
        "byte").levels,
      named: [c.nameOf(" "), c.nameOf("e"), c.nameOf("\\u200d"), c.nameOf("\\u00ce", "byte"),
        c.nameOf("\\u063a")],
      short: [c.shortened("abc", 3), c.shortened("\\u{1f600}\\u{1f600}", 1)],
      wrong: (() => {
        try { scored("ab", [1], "character"); } catch (e) { return e.message; }
      })(),
      changes: [["abc", "abXc"], ["aaa", "aa"], ["", "x"], ["abc", "abc"]]
        .map(([a, b]) => c.changeBetween(a, b)),
      lines: (() => {
        const heard = [], hear = c.withNewlines((piece) => heard.push(piece));
        ["a\\r", "", "\\n", "b\\r\\n\\r", "\\n\\nc\\r", "\\rd\\n"].forEach(hear);
        return heard;
      })(),
    }""")
    assert found == {
        "words": [" upon", "\n\nTwo.", "don't-know", "你好", "  "],
        "levels": "03" + "3xx41",
        "unread": "--1",
        "bytes": "200",
        "sums": [5, -1, 1],
        "lacking": "0x",
        "named": ["space", "“e”", "U+200D", "byte 0xce", "\u2068“\u063a”\u2069"],
        "short": ["abc", "\U0001f600…"],
        "wrong": "The network scored 1 symbols of 2.",
        "changes": [
            {"start": 2, "removed": "", "inserted": "X"},
            {"start": 2, "removed": "a", "inserted": ""},
            {"start": 0, "removed": "", "inserted": "x"},
            {"start": 3, "removed": "", "inserted": ""},
        ],
        "lines": ["a\n", "b\n\n", "\nc\n", "\nd\n"],
    }


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in node")
@pytest.mark.parametrize(
    ("form", "text", "told"),
    [
        ("none", "e\u0301", [1, 2]),
        ("NFC", "", []),
        ("NFC", "ab\u00e9", [1, 2, 4]),
        ("NFC", "xe\u0301\U0001f600y", [1, 2, 0, 4, 8]),
        ("NFD", "x\u00e9y", [1, 6, 8]),
        ("NFKC", "\ufb01\u1112\u1161\u11ab!", [3, 4, 0, 0, 8]),
        ("NFKC", "\uff76\uff9e\u3131\u314fb", [3, 0, 0, 0, 4]),
    ],
)
def test_a_text_in_its_normalization_form(form: str, text: str, told: list[float]) -> None:
    """What is told of each character of the form is told of those that it was made of."""
    wanted = text if form == "none" else unicodedata.normalize(form, text)  # type: ignore[arg-type]
    nats = [2**n for n in range(len(wanted))]
    found = run_in_node(f"""(() => {{
      const {{ text, told }} = normalized({json.dumps(text)}, "{form}");
      return [text, Array.from(told({nats}))];
    }})()""")
    assert found == [wanted, told]


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in node")
def test_undo_goes_by_words_and_by_what_the_network_wrote() -> None:
    found = run_in_node("""(() => {
      const history = new c.History(), seen = [];
      let text = "";
      const put = (start, end, inserted, group) => {
        history.note({ start, removed: text.slice(start, end), inserted }, end, group);
        text = text.slice(0, start) + inserted + text.slice(end);
      };
      for (const letter of "one two") put(text.length, text.length, letter);
      for (const piece of [" three", " four"]) put(text.length, text.length, piece, "p1");
      put(7, 18, "", "p2");
      put(7, 7, " five", "p2");
      put(11, 12, "");
      put(10, 11, "");
      seen.push(text);
      for (let state; (state = history.undo(text));) seen.push((text = state.text));
      for (let state; (state = history.redo(text));) text = state.text;
      return [seen, text, history.canRedo];
    })()""")
    steps = ["one two fi", "one two five", "one two three four", "one two", "one ", ""]
    assert found == [[steps[0], *steps[1:]], "one two fi", False]


@pytest.mark.skipif(shutil.which("node") is None, reason="the script runs in node")
@pytest.mark.parametrize("seed", range(3))
def test_undo_and_redo_give_back_every_text(seed: int) -> None:
    found = run_in_node(f"""(() => {{
      let state = {seed} + 1;
      const random = (n) => (state = (state * 48271) % 2147483647) % n;
      const history = new c.History(), texts = [""];
      for (let n = 0; n < 200; n++) {{
        const text = texts.at(-1), start = random(text.length + 1);
        const end = start + random(Math.min(4, text.length - start) + 1);
        const inserted = "ab c\\n".slice(0, random(6)), group = ["", "", "g" + (n >> 2)][random(3)];
        const removed = text.slice(start, end);
        if (!removed && !inserted) continue;
        history.note({{ start, removed, inserted }}, start, group);
        texts.push(text.slice(0, start) + inserted + text.slice(end));
      }}
      let text = texts.at(-1), steps = 0, all = true;
      for (let s; (s = history.undo(text)); steps++) all = all && texts.includes(text = s.text);
      const first = text;
      for (let s; (s = history.redo(text)); steps--) all = all && texts.includes(text = s.text);
      return [first, text === texts.at(-1), steps, all];
    }})()""")
    assert found == ["", True, 0, True]

"""The writing page in a browser, with a made-up backend: what a person who writes sees and does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charrnn.pages.writing import writing_page
from tests.doors.writing_page import ALT, CONTROL, SHIFT, Writing
from tests.reporting.browser import Tab, browser

BACKEND = Path(__file__).with_name("made_up_backend.js")
HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\"'"
FACTS: dict[str, Any] = {
    "name": f"plays{HOSTILE}",
    "summary": "lstm 2 x 160, 412,345 parameters",
    "unit": "character",
    "texts": [{"name": f"plays.txt{HOSTILE}", "characters": 209634}],
    "sha256": "ab" * 32,
    "loss": 1.3312,
    "epochs": 20.0,
    "steps": 1234,
    "hasKnownWords": True,
    "hasDocuments": False,
    "precision": "int8",
}


class MadeUp(Writing):
    """The page with a backend that notes what it is asked."""

    def begin(self, **data: Any) -> None:
        how = {name: data.pop(name) for name in ("width", "scheme") if name in data}
        made = writing_page("Write", backend=[BACKEND], data={"facts": FACTS, "pause": 2, **data})
        self.file.write_text(made, encoding="utf-8")
        self.open(self.file, **how)

    def calls(self, name: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = self.tab.run("calls")
        return [call for call in made if call["name"] == name]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture
def page(tab: Tab, tmp_path: Path) -> Iterator[MadeUp]:
    made = MadeUp(tab, tmp_path)
    yield made
    assert tab.complaints == []


def test_grey_text_is_taken_by_word_or_whole_or_dropped(page: MadeUp) -> None:
    page.begin()
    page.type("Late")
    page.wait("document.querySelector('.ghost')?.textContent === ' the old king said nothing.'")
    page.wait("byId('spoken').textContent === 'Suggestion:  the old king said nothing.'")
    page.press("Tab")
    assert page.text == "Late the" and page.ghost == " old king said nothing."
    page.press("Tab")
    page.press("End")
    assert page.text == "Late the old king said nothing."
    # it goes on at once, with other draws
    page.wait("document.querySelector('.ghost')?.textContent === ' old king said nothing.'")
    page.press("Escape")
    assert page.ghost == ""
    page.press("Tab")
    assert page.run("document.activeElement.id") == "take-word", "Tab is no trap"
    page.run("byId('area').focus()")
    for text in ("Late the old", "Late the", "Late", ""):
        page.press("z", CONTROL)
        assert page.text == text
    page.press("z", CONTROL | SHIFT)
    assert page.text == "Late"


def test_typing_is_never_in_the_way_of_a_suggestion_nor_the_other_way_round(page: MadeUp) -> None:
    page.begin(pause=30)
    page.run("byId('area').focus()")
    for letter in "Late":
        page.press(letter)
    page.wait("document.querySelector('.ghost')?.textContent.startsWith(' the')")
    assert {call["text"] for call in page.calls("write")} <= {"", "Late"}
    asked = len(page.calls("write"))
    for letter in " th":
        page.press(letter)
        assert page.ghost.startswith(" the"[len(page.text) - 4 :])
    assert len(page.calls("write")) == asked, "what is typed along it is not asked for anew"
    page.press("x")
    assert page.ghost == ""
    page.wait("document.querySelector('.ghost')?.textContent.startsWith(' the')")
    assert page.calls("write")[-1]["text"] == "Late thx"
    settings = page.calls("write")[-1]["settings"]
    assert settings["until"] == "sentence" and settings["take"] == 1 and settings["length"] == 120


def test_what_an_input_method_composes_is_no_text_yet(page: MadeUp) -> None:
    page.begin()
    page.type("Late")
    page.wait("document.querySelector('.ghost') !== null")
    page.tab.call("Input.imeSetComposition", text="\u306b\u307b", selectionStart=2, selectionEnd=2)
    assert page.text == "Late\u306b\u307b" and page.ghost == ""
    time.sleep(0.3)
    assert page.ghost == "" and "\u306b" not in page.calls("write")[-1]["text"]
    page.type("\u65e5\u672c")
    page.wait("document.querySelector('.ghost')?.textContent === ' the old king said nothing.'")
    assert page.text == "Late\u65e5\u672c"
    page.press("z", CONTROL)
    assert page.text == "Late"


def test_in_the_middle_of_a_text_the_suggestion_stands_below(page: MadeUp) -> None:
    page.begin()
    page.type("One. Two.")
    page.run("byId('area').setSelectionRange(4, 4)")
    page.wait("byId('ghost').textContent === ' the old king said nothing.'")
    assert page.ghost == ""
    page.click("take-word")
    assert page.text == "One. the Two."
    page.press("Escape")
    page.run("byId('suggest').click(); byId('area').focus()")
    assert page.run("byId('offer').hidden") is True
    page.type("x")
    asked = len(page.calls("write"))
    time.sleep(0.4)
    assert len(page.calls("write")) == asked and page.show("ghost") == ""


def test_the_network_continues_stops_and_tries_another_take(page: MadeUp) -> None:
    page.begin(pause=15)
    page.type("\U0001f600 e\u0301")
    page.press("Enter", CONTROL)
    page.wait("byId('status').textContent.startsWith('Wrote')")
    assert page.text == "\U0001f600 e\u0301 the old king said nothing."
    assert page.show("status") == "Wrote 27 characters (seed 0, take 1)."
    assert page.show("spoken") == " the old king said nothing."
    page.press("Enter", ALT)
    page.wait("byId('status').textContent.includes('take 2')")
    assert page.text == "\U0001f600 e\u0301 old king said nothing."
    page.press("Enter", CONTROL)  # on from what was written: other draws
    page.wait("byId('status').textContent.includes('take 3')")
    assert page.text.endswith(" old king said nothing. king said nothing.")
    page.press("z", CONTROL)
    page.press("z", CONTROL)
    assert page.text == "\U0001f600 e\u0301 the old king said nothing."
    page.run("byId('until').value = ''; byId('length').value = '100000'; byId('seed').value = '7'")
    page.click("continue")
    page.wait("byId('area').value.length > 60")
    assert page.show("continue") == "Stop"
    page.press("Escape")
    assert "then stopped (seed 7, take 1)" in page.show("status")
    before = page.text
    page.click("continue")
    page.wait(f"byId('area').value.length > {len(before) + 9}")
    page.type("!")  # who types has the pen
    text = page.text
    assert text.endswith("!") and page.show("continue") == "Continue"
    time.sleep(0.1)
    assert page.text == text
    assert page.calls("write")[-1]["settings"]["length"] == 10000, "no more than is allowed"
    page.click("continue")
    page.wait(f"byId('area').value.length > {len(text) + 9}")
    page.click("new")
    time.sleep(0.1)
    assert page.text == ""


def test_the_start_of_a_take_depends_on_characters(page: MadeUp) -> None:
    """600 characters of two units each are still a short text."""
    for count, has_start in ((600, False), (1001, True)):
        page.begin()
        page.type("\U0001f600" * count)
        page.click("continue")
        page.wait("byId('status').textContent.startsWith('Wrote')")
        asked = max(page.calls("write"), key=lambda call: call["settings"]["length"])
        assert ("start" in asked["settings"]) == has_start


def test_lines_end_as_in_a_text_area_however_the_network_ends_them(page: MadeUp) -> None:
    page.begin(pieces=["one\r", "\ntwo\r", "", "three\r\n"])
    page.type("A: ")
    page.wait("document.querySelector('.ghost') !== null")
    page.press("Enter", CONTROL)
    page.wait("byId('status').textContent.startsWith('Wrote 14 characters')")
    page.press("Enter", ALT)
    page.wait("byId('status').textContent.includes('take 2')")
    assert page.text == "A: one\ntwo\nthree\n"
    page.press("z", CONTROL)
    page.press("z", CONTROL)
    assert page.text == "A: "
    page.click("choose")
    page.wait("byId('status').textContent.startsWith('Three ways')")
    page.press("1")
    page.wait("byId('choices').hidden")
    assert page.text == "A: one\ntwo\nthree\n"
    page.press("z", CONTROL)
    assert page.text == "A: "


def test_a_file_that_is_not_utf_8_is_not_opened(page: MadeUp) -> None:
    page.begin()
    for content, told in (
        ("[0xef, 0xbb, 0xbf, 97, 13, 10, 98]", ""),
        ("[0xe9]", "not text in UTF-8"),
    ):
        page.run(
            f"const file = new File([new Uint8Array({content})], 'a.txt');"
            "const data = new DataTransfer(); data.items.add(file);"
            "byId('file').files = data.files;"
            "byId('file').dispatchEvent(new Event('change'))"
        )
        page.wait(f"byId('status').textContent.includes('{told}') && byId('area').value")
        assert page.text == "a\nb"


def test_three_ways_to_go_on(page: MadeUp) -> None:
    page.begin()
    page.type("So")
    page.press("Enter", CONTROL | SHIFT)
    page.wait("byId('list').textContent.split('nothing.').length === 4")
    shown = page.run("[...byId('list').querySelectorAll('span')].map(s => s.textContent)")
    assert shown == [
        " the old king said nothing.",
        " old king said nothing.",
        " king said nothing.",
    ]
    page.press("2")
    page.wait("byId('choices').hidden")
    assert page.text == "So old king said nothing."
    assert page.run("document.activeElement.id") == "area"
    page.click("another")
    page.wait("byId('status').textContent.includes('take 3')")
    assert page.text == "So king said nothing."
    page.click("choose")
    page.click("more-choices")
    takes = [call["settings"]["take"] for call in page.calls("write")[-3:]]
    assert takes == [7, 8, 9], "on from take 3, and then three more"
    page.press("x")  # typing goes on in the text
    assert page.text == "So king said nothing.x" and page.run("byId('choices').hidden") is True
    page.click("choose")
    page.press("Escape")
    assert page.run("byId('choices').hidden") is True
    assert page.run("document.activeElement.id") == "area"


ALIGNED = "Plain.\n\nשלום עולם, abc.\n\ttab  \u0645\u0631\u062d\u0628\u0627\ne\u0301\U0001f600 " + (
    "a long line of them " * 30 + "loooo" * 40 + " end.  \n\n"
)


UNLIKE = """(async (first, second) => {
  const pixels = async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    return canvas.getImageData(0, 0, image.width, image.height);
  };
  const [a, b] = [await pixels(first), await pixels(second)];
  const share = (across) => {
    let dark = 0, unlike = 0;
    for (let i = 4 * across; i < a.data.length; i += 4) {
      dark += a.data[i] < 128;
      unlike += Math.abs(a.data[i] - b.data[i - 4 * across]) > 64;
    }
    return unlike / dark;
  };
  return {sizes: [a.width - b.width, a.height - b.height], shares: [share(0), share(1)]};
})"""
"""How much the sizes of two pictures differ, and how many pixels are clearly unlike, as a share of
the dark ones: as the pictures are, and with one of them moved by a pixel.
"""


def test_colored_text_stands_where_the_text_is(page: MadeUp) -> None:
    """The mirror, whose text is seen with colors, covers the text area to the pixel."""
    page.begin(width=400)
    page.run("byId('suggest').click()")
    page.type(ALIGNED.replace("w", "v"))
    plain = _picture(page)
    page.click("colored")
    page.wait("byId('surprise-summary').textContent.includes('nats')")
    colored = _picture(page)
    assert page.run("getComputedStyle(byId('area')).color") == "rgba(0, 0, 0, 0)"
    assert page.tab.complaints == []
    page.tab.open("about:blank")  # where a script may read pictures
    found = page.tab.run(f"{UNLIKE}('{plain}', '{colored}')", awaited=True)
    page.tab.events.clear()  # about pictures, not about the page
    # Chromium may smooth the edge of a letter in two ways, so a few pixels may be unlike
    assert found["sizes"] == [0, 0]
    assert found["shares"][0] < 0.02 < 0.2 < found["shares"][1]


def _picture(page: MadeUp) -> str:
    """The text area as it is seen, once Chromium has painted all of it."""
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    shots = ["", "-"]
    for _ in range(10):
        if shots[-1] == shots[-2]:
            break
        page.tab.run(f"{frame}.then(() => 0)", awaited=True)
        box = page.run(
            "(() => {const {x, y, width, height} = byId('box').getBoundingClientRect();"
            "return {x, y, width, height, scale: 1}})()"
        )
        shots.append(page.tab.call("Page.captureScreenshot", clip=box)["data"])
    return shots[-1]


def test_surprise_is_told_in_colors_and_in_words(page: MadeUp) -> None:
    page.begin()
    page.run("byId('suggest').click(); byId('colored').click()")
    page.type("a quick box\n\u20ac \U0001f600k")
    page.wait("document.querySelector('.l4')?.textContent === 'q'")
    spans = "[...document.querySelectorAll('#mirror span')].map(s => s.className + s.textContent)"
    assert page.run(spans) == ["l4q", "l1k", "l3x", "lx\u20ac", "l1k"]
    summary = page.show("surprise-summary")
    assert summary.startswith("15 characters: ") and "vocabulary: “€”." in summary
    words = page.run(
        "[...byId('surprise-words').querySelectorAll('button')].map(b => b.textContent)"
    )
    assert words[:2] == ["quick (line 1, 9.3 nats)", "box (line 1, 5.2 nats)"]
    page.type("w")  # not scored yet: shown, without a color
    assert page.run("byId('mirror').textContent").endswith("kw")
    page.wait("document.querySelectorAll('#mirror .l2').length === 1")
    page.run("byId('surprise-words').querySelector('button').click()")
    assert (
        page.run(
            "getSelection().toString() || byId('area').value.slice("
            "byId('area').selectionStart, byId('area').selectionEnd)"
        )
        == "quick"
    )
    page.run("byId('area').setSelectionRange(2, 2)")
    page.wait("byId('surprise-here').textContent.startsWith('“q” after the cursor')")
    assert page.show("surprise-here") == (
        "“q” after the cursor: 8.00 nats, 1 in 2,981. Most probable at the cursor: “e” 50 %, "
        "space 25 %, newline 17 %, “<” 13 %."
    )
    page.click("colored")
    assert page.run("document.querySelectorAll('#mirror span').length") == 0


def test_what_was_written_is_kept(page: MadeUp) -> None:
    page.begin()
    page.type(f"First {HOSTILE}")
    page.run(
        "byId('temperature').value = '0.3'; byId('temperature').dispatchEvent(new Event('input'))"
    )
    page.reload()
    assert page.text == f"First {HOSTILE}" and page.show("temperature-value") == "0.30"
    page.click("new")
    assert page.text == "" and page.show("drafts").startswith(f"First {HOSTILE} (")
    page.type("Second")
    page.reload()
    assert page.text == "Second"
    page.run("byId('drafts').querySelector('button').click()")
    assert page.text == f"First {HOSTILE}"
    page.type("!")
    page.reload()
    assert page.text == f"First {HOSTILE}!"


def test_another_puts_the_alternatives_away(page: MadeUp) -> None:
    page.begin()
    page.type("So")
    page.press("Enter", CONTROL)
    page.wait("byId('status').textContent.startsWith('Wrote')")
    page.click("choose")
    page.wait("byId('status').textContent.startsWith('Three ways')")
    page.click("another")
    page.wait("byId('status').textContent.includes('take 2')")
    assert page.run("byId('choices').hidden") is True
    for _ in range(3):
        page.press("z", CONTROL)
    assert page.text == ""


def test_a_text_that_another_tab_changes_stays_here_as_it_is(page: MadeUp) -> None:
    page.begin()
    page.type("One")
    page.wait("byId('kept').textContent.endsWith('Kept in this browser.')")
    page.reload()  # nothing is typed from here on
    first, tab = page.tab.session, page.tab
    tab.attach()
    second = tab.session
    page.reload()
    page.type(" two")
    kept = "Object.keys(localStorage).filter(key => key.startsWith('charrnn.text.')).length"
    page.wait(f"{kept} === 2")
    tab.session = first
    page.reload()
    assert page.text == "One"
    tab.session = second
    page.reload()
    assert page.text == "One two"
    tab.call("Page.close")
    tab.session = first


def test_two_tabs_do_not_overwrite_each_other(page: MadeUp) -> None:
    page.begin()
    page.type("One")
    page.wait("byId('kept').textContent.endsWith('Kept in this browser.')")
    first, tab = page.tab.session, page.tab
    tab.attach()
    second = tab.session
    page.reload()
    assert page.text == "One"
    kept = "Object.keys(localStorage).filter(key => JSON.stringify(localStorage[key]).includes"
    for session, more in ((second, " two"), (first, " three"), (second, " four")):
        tab.session = session
        page.type(more)
        page.wait(f"{kept}('{more}')).length === 1")
    for session, text in ((first, "One three"), (second, "One two four")):
        tab.session = session
        page.reload()
        assert page.text == text
    tab.call("Page.close")
    tab.session = first


def test_without_a_storage_a_text_is_not_thrown_away(page: MadeUp) -> None:
    page.begin()
    broken = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    script = page.tab.call("Page.addScriptToEvaluateOnNewDocument", source=broken)
    try:
        page.reload()
        page.type("Mine")
        page.wait("byId('kept').textContent.includes('does not keep it')")
        leave = "dispatchEvent(new Event('beforeunload', {cancelable: true}))"
        assert page.run(leave) is False
        page.run("window.confirm = () => false")
        page.click("new")
        assert page.text == "Mine"
        page.run(
            "window.saved = []; HTMLAnchorElement.prototype.click = function () {"
            "saved.push(this.download);}"
        )
        page.click("download")
        assert page.run("saved") == ["Mine.txt"] and page.run(leave) is True
    finally:
        page.tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
    page.run("window.onbeforeunload = null")


def test_texts_of_a_full_storage_can_be_read_and_deleted(page: MadeUp) -> None:
    page.begin()
    for text in ("First", "Second"):
        page.click("new")
        page.type(text)
        page.wait("byId('kept').textContent.endsWith('Kept in this browser.')")
    full = "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError') }"
    script = page.tab.call("Page.addScriptToEvaluateOnNewDocument", source=full)
    try:
        page.reload()
        assert page.text == "Second" and page.show("drafts").startswith("First (")
        page.run(
            "window.confirm = () => true; byId('drafts').querySelectorAll('button')[1].click()"
        )
        assert page.show("drafts") == ""
        page.type("!")
        page.wait("byId('kept').textContent.includes('does not keep it')")
        page.run("HTMLAnchorElement.prototype.click = () => {}")
        page.click("download")
    finally:
        page.tab.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_errors_are_told_and_writing_goes_on(page: MadeUp) -> None:
    page.begin(broken=True)
    assert page.show("status") == "The network is broken." and page.show("summary").startswith(
        "The network could not be loaded"
    )
    page.type("All the same")
    assert page.text == "All the same"
    page.begin(fails=True)
    page.type("On")
    page.wait("byId('status').textContent === 'The server does not answer.'")
    page.click("continue")
    page.wait("byId('continue').textContent === 'Continue' && byId('status').className === 'wrong'")
    page.press("!")
    assert page.text == "On!"


def test_a_network_that_has_nothing_to_add_is_asked_once(page: MadeUp) -> None:
    page.begin(silent=True)
    page.type("The end.")
    page.wait("calls.some(call => call.text === 'The end.')")
    time.sleep(0.3)
    assert [call["text"] for call in page.calls("write")].count("The end.") == 1
    page.click("continue")
    page.wait("byId('status').textContent === 'The network has nothing to add here.'")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (768, "light"), (1280, "light")])
def test_every_control_has_a_name_and_room_for_a_finger(
    page: MadeUp, width: int, scheme: str
) -> None:
    page.begin(width=width, scheme=scheme)
    page.run("for (const each of document.querySelectorAll('details')) each.open = true")
    page.type("A text to color\n" * 3)
    page.click("colored")
    page.click("choose")
    page.wait("byId('status').textContent.startsWith('Three ways')")
    page.wait("byId('surprise-words').children.length > 0")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    small = (
        "[...document.querySelectorAll('button, select, input, summary, textarea')].filter(e => {"
        "const {width, height} = (e.type === 'checkbox' ? e.parentElement : e)"
        ".getBoundingClientRect(); return height && (width < 43.9 || height < 43.9)})"
        ".map(e => e.id || e.textContent)"
    )
    assert page.run(small) == []
    page.tab.call("Accessibility.enable")
    tree = page.tab.call("Accessibility.getFullAXTree")["nodes"]
    page.tab.call("Accessibility.disable")
    unnamed = [
        node["role"]["value"]
        for node in tree
        if any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", ()))
        and not node.get("name", {}).get("value")
    ]
    assert unnamed == []
    roles = {node.get("role", {}).get("value") for node in tree}
    assert {"main", "textbox", "status", "slider", "heading"} <= roles
    facts = page.run("[...byId('facts').querySelectorAll('dd')].map(d => d.textContent)")
    assert facts[1] == f"plays.txt{HOSTILE}, 209,634 characters" and facts[2] == "ab" * 32
    assert page.show("name") == f"Write with plays{HOSTILE}"

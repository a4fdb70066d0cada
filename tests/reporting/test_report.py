"""The report of a run: what it tells, what it leaves out, and how it looks in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import charrnn
from charrnn import Corpus, CorpusConfig, Run, RunFolder, Story, report
from charrnn.cli.main import cli
from charrnn.pages.page import visible
from charrnn.reporting.held_out import HeldOut
from charrnn.reporting.plots import kind_of
from tests.reference.small import TEXT, adam, plain_model, trained
from tests.reporting.browser import CHROMIUM, WITHOUT, Tab, browser
from tests.reporting.test_surprise import HOSTILE, Page

NAME = "<img src=x onerror=alert(1)>"
LINES = (TEXT + HOSTILE.replace("\x00", "") + "\n") * 3
STEP = np.dtype([(name, "<f4") for name in ("loss", "gradient_norm", "learning_rate")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with a name and a text that are up to no good."""
    root = tmp_path_factory.mktemp("report")
    (root / "text.txt").write_text(LINES, encoding="utf-8")
    corpus = Corpus.read(root / "text.txt", CorpusConfig(val_fraction=0.3))
    run = Run.new(corpus, plain_model(layers=2, hidden=9), adam(steps=30, eval_every=5, seed=3))
    made = RunFolder(root / NAME)
    with made.locked():
        made.create({})
        trained(run, corpus, made)
    return made


@pytest.fixture(scope="module")
def story(folder: RunFolder) -> Story:
    return report(folder)


def test_it_tells_what_the_library_measures(story: Story, folder: RunFolder) -> None:
    run, read = story.run, story.held_out
    assert read is not None and story.missing is None
    corpus = Corpus.read(folder.path.parent / "text.txt", CorpusConfig(val_fraction=0.3))
    np.testing.assert_array_equal(read.ids, corpus.validation)
    assert read.mean == pytest.approx(
        charrnn.score(run.trained, corpus.validation).nats.mean(dtype="f8")
    )
    assert run.best == min(folder.entries(), key=lambda e: e["validation_loss"])
    first = charrnn.Model.initialized(run.trained.model.config, 3)
    norms = charrnn.gradient_norms(first, read.ids, 100, places=16)
    np.testing.assert_array_equal(story.reach["the same before training"], norms)
    assert (
        "".join(charrnn.generate(run.trained, "", charrnn.SamplingConfig(length=700))) == story.now
    )
    for line in read.surprising_lines():
        assert "\n" not in read.shown.text[line.start : line.end]
    letters = read.by_letter()
    assert letters is not None and "1st" in letters and "after it" in letters


def test_the_same_run_has_the_same_page(story: Story, folder: RunFolder) -> None:
    assert report(folder.path).page == story.page


def test_nothing_in_a_name_or_a_text_is_markup(story: Story) -> None:
    parsed = Page(story.page)
    assert not {"img", "iframe", "link", "object"} & {tag for tag, _ in parsed.tags}
    assert [tag for tag, _ in parsed.tags].count("script") == 2
    assert not any(name.startswith("on") for _, about in parsed.tags for name in about)
    for tag, about in parsed.tags:
        assert not about.keys() & {"src", "action", "srcset", "poster"}
        assert (about.get("href") or "#").startswith("#"), tag
    assert parsed.texts["h1"] == [NAME]
    assert "\x1b" not in story.page and "\u202e" not in story.page
    assert not re.search(r"url\(|@import", "".join(parsed.texts["style"]))


def test_a_run_without_its_text_is_told_without_it(folder: RunFolder) -> None:
    text = folder.path.parent / "text.txt"
    moved = text.rename(text.with_name("moved.txt"))
    try:
        left = report(folder)
        again = report(folder, own_texts=moved)
    finally:
        moved.rename(text)
    assert left.held_out is None and not left.reach and left.missing is not None
    assert {*left.charts} == {"learning", "rate", "map"}
    assert "text.txt: no such file" in left.page and "surprises it" not in left.page
    assert again.held_out is not None and again.missing is None


def test_a_damaged_run_file_is_called_damaged(folder: RunFolder, tmp_path: Path) -> None:
    shutil.copy(folder.best, tmp_path)
    missing = report(tmp_path).missing
    assert missing is not None and "no run file beside it" in missing
    (tmp_path / "last.safetensors").write_bytes(b"\0" * 100)
    missing = report(tmp_path).missing
    assert missing is not None and "last.safetensors: not a checkpoint, or damaged" in missing


def test_a_run_in_memory_and_a_lone_network(folder: RunFolder, tmp_path: Path) -> None:
    corpus = Corpus.from_text(TEXT * 2)
    run = Run.new(corpus, plain_model(layers=1, hidden=5, cell="rnn"), adam(steps=4, eval_every=2))
    assert "<div" not in run._repr_html_() and "no losses" in run._repr_html_()
    trained(run, corpus)
    told = report(run, corpus)
    assert told.run.best is not None and {*told.reach} == {
        *("this network", "the same before training")
    }
    for shown in (run, folder, charrnn.RunRecord.read(folder.path)):
        assert "<svg" in shown._repr_html_()
    assert "<svg" in charrnn.trace(run.trained, TEXT[:200])._repr_html_()
    charrnn.save(tmp_path / "net.safetensors", run.trained)
    alone = report(tmp_path / "net.safetensors", corpus)
    assert "learning" not in alone.charts and "<h1>net</h1>" in alone.page
    assert alone.held_out is not None
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes((folder.path / "last.safetensors").read_bytes())
    by_itself, step = report(copied), charrnn.load_run(folder.path).step
    assert "<h1>copy</h1>" in by_itself.page and by_itself.run.step == step
    per_epoch = charrnn.load_run(folder.path).steps_per_epoch
    assert by_itself.run.passes == pytest.approx(step / per_epoch)


KINDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"unit": "byte", "val_fraction": 0.4, "min_count": 20}, {"cell": "gru"}),
    ({"val_fraction": 0.0, "min_count": 100}, {"cell": "rnn"}),
    (
        {"document_separator": "\n", "val_fraction": 0.3},
        {"cell": "lstm", "embedding": 3, "mogrifier": 2},
    ),
]


@pytest.mark.parametrize(("text", "network"), KINDS)
def test_every_kind_of_run_has_a_report(text: dict[str, Any], network: dict[str, Any]) -> None:
    corpus = Corpus.from_text(TEXT.replace("g", "ğ€"), CorpusConfig(**text))
    run = Run.new(corpus, plain_model(layers=1, hidden=5, **network), adam(steps=3))
    told = report(run, corpus)
    assert told.held_out is not None and told.inside is not None
    part = "validation" if text["val_fraction"] else "training"
    assert told.held_out.part == part and told.page.startswith("<!DOCTYPE html>")
    assert ("held-out text" in told.page) == (part == "validation")
    claims = ("surprise by unseen text", "that it has never seen", "What counts is the loss on")
    seen = [claim in told.page for claim in claims]
    assert seen == [True, True, False] if part == "validation" else not any(seen)
    assert len(told.held_out.shown) <= len(told.held_out.ids)


def test_a_short_text_has_a_report() -> None:
    corpus = Corpus.from_text("to be or not\n" * 5)
    run = Run.new(corpus, plain_model(layers=1, hidden=5), adam(steps=3))
    told = report(run, corpus)
    assert not told.reach and "How far back" not in told.page


def test_damaged_numbers_have_a_report(story: Story) -> None:
    trained = story.run.trained
    trained = replace(trained, origin=replace(trained.origin, loss=1000.0))
    samples = ({"step": 0, "epoch": 0.0, "text": "a"},) * 9
    run = replace(story.run, trained=trained, samples=samples)
    assert "1000.000" in replace(story, runs=(run,)).page


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_whole_however_they_end(end: str) -> None:
    lines = ["the first line of the text", "the second of its lines", "and the last one of them"]
    text = "".join(f"{line}{end}" for line in lines * 20)
    score: Any = SimpleNamespace(nats=np.ones(len(text)))
    read = HeldOut("validation", len(text), np.arange(len(text)), text, "char", score)
    places, shown = read.shown.places, read.shown.text
    found = [shown[places[one.start] : places[one.end]] for one in read.surprising_lines()]
    assert found == (lines * 4)[:10]
    begin, stop = read.excerpt(200, 50)
    excerpt = shown[places[begin] : places[stop]]
    assert excerpt.startswith(lines[2]) and excerpt.endswith(end)


def test_several_runs_share_a_chart(story: Story, folder: RunFolder) -> None:
    both = replace(story, runs=(story.run, replace(story.run, name="other")))
    assert "other: validation" in both.charts["learning"] and "<h3>The runs</h3>" in both.page


def long_story(story: Story, steps: int) -> Story:
    """A story with a made-up record of so many steps."""
    rng = np.random.default_rng(0)
    record = np.zeros(steps, STEP)
    for name in STEP.names or ():
        record[name] = 2 + rng.standard_normal(steps)
    return replace(story, runs=(replace(story.run, steps=record),))


def test_a_hundred_thousand_steps_stay_small(story: Story) -> None:
    assert len(long_story(story, 100_000).page.encode()) < 3_000_000


def test_kinds_of_characters() -> None:
    assert [kind_of(c) for c in "aÉzñй语7;$ \n"] == [0, 2, 1, 1, 1, 1, 3, 4, 4, 5, 5]
    assert [kind_of(c, "byte") for c in "\xc3\xe9a"] == [5, 5, 0]


def test_in_a_notebook_it_is_a_frame(story: Story) -> None:
    parsed = Page(story._repr_html_())
    ((tag, about),) = parsed.tags
    assert tag == "iframe" and about["srcdoc"] == story.page and about["sandbox"] == "allow-scripts"
    assert story.plots["learning"].startswith("<svg") and "<style>" in story.plots["learning"]


def test_the_command(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["report", str(folder.path), "--svg", "new/in"])
    assert done.exit_code == 0 and "wrote report.html" in done.stderr and not done.stdout
    assert Path("report.html").read_text() == report(folder).page
    assert Path("new/in/map.svg").exists()
    assert CliRunner().invoke(cli, ["report", "nowhere"]).exit_code == 1
    wrong = ["report", str(folder.path), "--out", "no/where.html"]
    assert "make it first" in CliRunner().invoke(cli, wrong).stderr
    in_the_way = CliRunner().invoke(cli, ["report", str(folder.path), "--svg", "report.html"])
    assert in_the_way.exit_code == 2 and "cannot make this folder" in in_the_way.stderr


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_a_browser_shows_it(story: Story, tab: Tab, tmp_path: Path) -> None:
    """In both themes: no complaint, curves and text to be seen, keys that zoom."""
    story = long_story(story, 5000)
    story.save(tmp_path / "page.html")
    colors = set()
    for scheme in ("light", "dark"):
        tab.open(tmp_path / "page.html", scheme=scheme)
        assert tab.complaints == []
        boxes = tab.run(
            "[...document.querySelectorAll('svg.chart')].map(s => s.getBoundingClientRect().height)"
        )
        assert len(boxes) == len(story.charts) and min(boxes) > 90
        assert tab.run("document.querySelector('[data-line]').getTotalLength()") > 300
        assert visible(story.now).strip() in tab.run("document.querySelector('.now').innerText")
        colors.add(tab.run("getComputedStyle(document.body).backgroundColor"))
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert len(colors) == 2
    line = "document.querySelector('[data-line]').getAttribute('d')"
    whole = tab.run(line)
    tab.run("document.querySelector('[data-zoom]').focus()")
    tab.press("+")
    assert tab.run(line) != whole
    assert "1,251 to 3,750" in tab.run("document.querySelector('output').textContent")
    tab.press("0")
    assert tab.run(line) == whole and tab.complaints == []

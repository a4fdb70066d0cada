"""`charrnn score`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli import terminal
from charrnn.cli.main import cli
from charrnn.cli.score_display import BREAK, STYLES, UNREAD, colored, legend
from charrnn.cli.styled_text import RESET, broken_at_spaces
from charrnn.text.graphemes import graphemes
from tests.reference.small import small_corpus, small_run

TEXT = "KING:\nOnce more, good night.\n\nQUEEN:\nSo be it, caf\u00e9 or no; the owl is abroad.\n\n"


def network(folder: Path, name: str, text: str = TEXT * 9, **settings: str) -> charrnn.Trained:
    """A network of this text's characters, which prefers some of them, in a file."""
    trained = small_run(small_corpus(text, **settings)).trained
    bias = np.random.default_rng(0).normal(scale=2, size=len(trained.vocab))
    trained.model.parameters["decoder.bias"][: len(bias)] = bias
    charrnn.save(folder / f"{name}.safetensors", trained)
    return trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> charrnn.Trained:
    return network(tmp_path_factory.getbasetemp(), "tiny")


@pytest.fixture(autouse=True)
def here(
    run: charrnn.Trained, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    yield


def charrnn_(*arguments: str, status: int = 0, stdin: bytes | None = None) -> Result:
    words = list(arguments)
    if "--run" not in words:
        words += ["--run", "tiny.safetensors"]
    result = CliRunner().invoke(cli, words, input=stdin)
    assert result.exit_code == status, result.output
    return result


def test_json_is_an_object_for_each_character(run: charrnn.Trained) -> None:
    text = "KING:\nSo be it, caf\u00e9."
    output = charrnn_("score", "--json", "--top", "2", stdin=text.encode()).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    expected = charrnn.score(run, text, top=2)
    assert "".join(line["char"] for line in lines) == text
    assert [line["offset"] for line in lines] == list(range(len(text)))
    for name in ("nats", "entropy"):
        values = [line[name] for line in lines]
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-5)
    assert [line["rank"] for line in lines] == expected.rank.tolist()
    symbols = run.vocab.symbols
    assert [[symbol for symbol, _ in line["top"]] for line in lines] == [
        [symbols[i] for i in row] for row in expected.top.tolist()
    ]


LINES = "KING:\nSo \u2603 it\n\nthe owl is good\n"


def test_per_line_scores_each_line_by_itself(run: charrnn.Trained) -> None:
    Path("lines.txt").write_text(LINES, encoding="utf-8")
    result = charrnn_("score", "lines.txt", "--per-line", status=1)
    assert result.stderr.count("\n") == 1 and "1 of 4 lines" in result.stderr
    assert "--unknown" in result.stderr
    values = result.stdout.splitlines()
    for n, line in ((0, "KING:"), (3, "the owl is good")):
        ids = run.vocab.encode(line)
        expected = charrnn.evaluate(run.model, ids, openings=[run.opening])
        assert float(values[n]) == pytest.approx(expected.nats_per_char, abs=2e-6)
        assert charrnn_("score", "--per-line", stdin=line.encode()).stdout == values[n] + "\n"
    assert values[1].startswith("error: ") and "U+2603" in values[1] and values[2] == "-"
    output = charrnn_("score", "lines.txt", "--per-line", "--json", status=1)
    king, snow, empty, owl = map(json.loads, output.stdout.splitlines())
    assert [each["line"] for each in (king, snow, empty, owl)] == [1, 2, 3, 4]
    assert king["nats"] == pytest.approx(5 * king["nats_per_char"])
    assert king["characters"] == 5 and owl["characters"] == 15
    assert "U+2603" in snow["error"] and "nats" not in snow
    assert (empty["characters"], empty["nats"], empty["nats_per_char"]) == (0, 0, None)


def test_per_line_with_unknown_characters() -> None:
    Path("lines.txt").write_text(LINES, encoding="utf-8")
    skipped = charrnn_("score", "lines.txt", "--per-line", "--unknown", "skip")
    assert skipped.stderr == "" and len(skipped.stdout.splitlines()) == 4
    Path("without.txt").write_text(LINES.replace("\u2603", ""), encoding="utf-8")
    without = charrnn_("score", "without.txt", "--per-line")
    assert without.stdout == skipped.stdout


def test_a_line_that_cannot_be_decoded_fails_alone() -> None:
    Path("lines.txt").write_bytes(b"the owl\nis g\xffood\n\nthe owl\n")
    result = charrnn_("score", "lines.txt", "--per-line", status=1)
    first, bad, empty, last = result.stdout.splitlines()
    assert first == last and empty == "-" and bad == "error: not text: byte 0xff at column 5"
    assert "1 of 4 lines" in result.stderr and "--encoding-errors replace" in result.stderr
    ignored = charrnn_("score", "lines.txt", "--per-line", "--encoding-errors", "ignore")
    assert ignored.stderr == ""
    Path("without.txt").write_bytes(b"the owl\nis good\n\nthe owl\n")
    assert charrnn_("score", "without.txt", "--per-line").stdout == ignored.stdout
    read_as = charrnn_("score", "lines.txt", "--per-line", "--encoding", "latin-1", status=1)
    assert "U+00FF" in read_as.stdout.splitlines()[1]


# What people see


def plain(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def test_a_pipe_shows_the_most_surprising_passages(run: charrnn.Trained) -> None:
    text = TEXT * 3 + "zzz QQQ: kaf\u00e9\n"
    text = "".join(ch for ch in text if ch in run.vocab.index)
    output = charrnn_("score", "--passages", "3", stdin=text.encode())
    assert output.stderr == "" and "\x1b" not in output.stdout
    head, *rows, empty, summary = output.stdout.splitlines()
    assert head.split()[:2] == ["place", "nats"] and len(rows) == 3 and empty == ""
    scored = charrnn.score(run, text)
    found = charrnn.surprising_passages(text, scored.nats, 3)
    for row, passage in zip(rows, found, strict=True):
        place, nats, shown = row.split(maxsplit=2)
        line = text.count("\n", 0, passage.start)
        assert place == f"{line + 1}:{passage.start - text.rfind(chr(10), 0, passage.start)}"
        assert float(nats) == pytest.approx(passage.nats, abs=0.06)
        inside = shown[shown.index("[") + 1 : shown.rindex("]")].replace("\\n", "\n")
        assert text[passage.start : passage.end].startswith(inside.rstrip("\u2026"))
        assert len(row) <= 80
    assert f"{len(text)} characters: {scored.nats.mean():.4f} nats" in summary


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_shows_the_text_in_colors(
    run: charrnn.Trained, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(terminal, "has_color", lambda stream: True)
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)
    monkeypatch.setattr(terminal, "width_of", lambda stream: columns)
    output = charrnn_("score", stdin=TEXT.encode()).stdout
    before, after = output.split(legend() + "\n")
    text, table = after.split("place")
    assert not before and plain(text).replace(BREAK, "").split() == TEXT.split()
    assert all(len(line) <= columns for line in plain(text).splitlines())
    lines = plain(table).splitlines()
    assert len(lines) > 3 and all(len(line) <= columns for line in lines[:-2])
    assert len(plain(legend())) <= 40 and STYLES[4] in legend()


def test_each_character_has_the_color_of_its_surprise() -> None:
    shown = graphemes("ab\ncd\n\x1be\u0301f")
    nats = -np.log([0.9, 0.4, 0.05, 0.05, 0.005, 0.9, 0.0005, 0.9, math.nan])
    pieces = "".join(colored(shown, nats, 0, len(shown)))
    one, two, three, four = STYLES[1:]
    assert pieces == (
        f"a{one}b{RESET}{two}{BREAK}{RESET}\n{two}c{RESET}{three}d{RESET}\n"
        f"{four}\\x1b{RESET}e\u0301{UNREAD}f{RESET}"
    )


def test_lines_end_at_spaces() -> None:
    for columns, text, lines in (
        (20, "so they think though they do\n", "so they think \nthough they do\n"),
        (6, "ab 漢字漢字 incomprehensible", "ab \n漢字漢\n字 \nincomp\nrehens\nible"),
        (9, "a\tbc", "a\t\nbc"),
    ):
        assert "".join(broken_at_spaces(text, columns)) == lines
    one = STYLES[1]
    pieces = ["a", " ", one, "b", " ", "c", "d", RESET, "e"]
    assert "".join(broken_at_spaces(pieces, 4)) == f"a {one}b {RESET}\n{one}cd{RESET}e"


def test_a_page_instead() -> None:
    result = charrnn_("score", "--html", "page.html", stdin=TEXT.encode())
    assert result.stdout == "" and result.stderr == "wrote page.html\n"
    page = Path("page.html").read_text(encoding="utf-8")
    assert (
        "<title>Surprise: standard input</title>" in page and "QUEEN:\nSo be it, caf\u00e9" in page
    )
    for place, reason in (("none/page.html", "no folder none"), (".", "a folder")):
        error = charrnn_("score", "--html", place, stdin=b"So", status=2).stderr
        assert reason in error and error.count("\n") == 1


def test_unknown_characters(run: charrnn.Trained) -> None:
    text = "KING:\n\u2603So \u2604be it\n"
    error = charrnn_("score", stdin=text.encode(), status=1).stderr
    assert "U+2603" in error and "--unknown skip" in error
    known = text.replace("\u2603", "").replace("\u2604", "")
    for form in ((), ("--json",)):
        result = charrnn_("score", "--unknown", "skip", *form, stdin=text.encode())
        assert result.stderr == (
            "left out: 2 characters that are not in the vocabulary\n" * (not form)
        )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert "".join(line["char"] for line in lines) == known
    assert [text[line["offset"]] for line in lines] == list(known)
    expected = charrnn.score(run, known).nats
    np.testing.assert_allclose([line["nats"] for line in lines], expected, rtol=1e-5)
    nearest = charrnn_("score", "--unknown", "nearest", stdin="K\u00cdNG".encode()).stdout
    assert "4 characters: " in nearest


def test_places_name_the_file() -> None:
    Path("one.txt").write_text("So be it, the owl\nis abroad.\n")
    Path("two.txt").write_text("the owl\nKING: QQQQ\n")
    output = charrnn_("score", "one.txt", "two.txt").stdout.splitlines()
    place = next(line for line in output if "[QQQQ" in line).split()[0]
    assert place == "two.txt:2:7"
    charrnn_("score", "one.txt", "two.txt", "--html", "both.html")
    assert ">two.txt:2:7</a>" in Path("both.html").read_text(encoding="utf-8")


def test_lines_of_a_folder_of_which_nothing_is_read() -> None:
    Path("odd").mkdir(exist_ok=True)
    Path("odd/a.bin").write_bytes(b"\0\1\2" * 99)
    said = charrnn_("score", "--per-line", "odd", status=1).stderr
    assert "no text to read here; left out: " in said


def test_who_is_likelier_does_not_depend_on_the_order(tmp_path: Path) -> None:
    network(tmp_path, "of-bytes", unit="byte")
    names = [str(tmp_path / "of-bytes.safetensors"), "tiny.safetensors"]
    text, found = b"\xef\xbb\xbfKING:\r\nSo be it.\r\n", []
    for order in (names, names[::-1]):
        flags = [word for name in order for word in ("--run", name)]
        result = json.loads(charrnn_("score", *flags, "--json", stdin=text).stdout)
        found.append({run["run"]: run["nats"] for run in result["runs"]})
    assert found[0] == found[1]
    network(tmp_path, "kept", newlines="keep")
    flags = ["--run", "tiny.safetensors", "--run", str(tmp_path / "kept.safetensors")]
    said = charrnn_("score", *flags, stdin=text, status=2).stderr
    assert "the networks read their texts differently" in said


def test_networks_of_texts_in_several_encodings(tmp_path: Path) -> None:
    network(tmp_path, "latin", encoding="cp1252")
    network(tmp_path, "lax", encoding="utf8", encoding_errors="replace")
    two = ["--run", "tiny.safetensors", "--run", str(tmp_path / "latin.safetensors")]
    assert "--encoding" in charrnn_("score", *two, stdin=TEXT.encode(), status=2).stderr
    charrnn_("score", *two, "--encoding", "utf-8", stdin=TEXT.encode())
    names = ["tiny.safetensors", str(tmp_path / "lax.safetensors")]
    for order in (names, names[::-1]):
        flags = [word for name in order for word in ("--run", name)]
        assert "not utf-8" in charrnn_("score", *flags, stdin=b"So be it \xff", status=1).stderr


def test_bytes(tmp_path: Path) -> None:
    trained = network(tmp_path, "bytes", unit="byte")
    raw = "caf\u00e9".encode() + b"\xc3 no"
    run = str(tmp_path / "bytes.safetensors")
    lines = charrnn_("score", "--run", run, "--json", "--top", "1", stdin=raw).stdout
    rows = [json.loads(line) for line in lines.splitlines()]
    assert "".join(row["char"] for row in rows).encode("latin-1") == raw
    shown = charrnn_("score", "--run", run, stdin=raw).stdout
    assert f"{len(raw)} bytes: {charrnn.score(trained, raw).nats.mean():.4f} nats" in shown
    assert "bits per byte" in shown
    Path("raw").write_bytes(raw)
    shown = CliRunner().invoke(cli, ["eval", run, "raw"]).stdout
    assert f"on the text, {len(raw)} bytes" in shown and "bits per byte" in shown


# Whose text it is


def test_several_runs_are_compared(run: charrnn.Trained) -> None:
    other = network(Path(), "other", TEXT.swapcase() * 9)
    text = "KING:\nOnce more! So be it; the owl is abroad.\n"
    runs = ("--run", "tiny.safetensors", "--run", "other.safetensors")
    found = json.loads(charrnn_("score", *runs, "--json", stdin=text.encode()).stdout)
    expected = charrnn.authorship([run, other], text)
    by_name = {each["run"]: each for each in found["runs"]}
    for n, name in enumerate(("tiny.safetensors", "other.safetensors")):
        assert by_name[name]["nats"] == pytest.approx(expected.totals[n])
        assert by_name[name]["posterior"] == pytest.approx(expected.posterior[n])
        assert by_name[name]["unknown"] == expected.unknown[n]
        sums = [sentence["nats"][name] for sentence in found["sentences"]]
        np.testing.assert_allclose(sums, expected.by_sentence[n])
    assert "".join(sentence["text"] for sentence in found["sentences"]) == text
    assert found["margin"]["nats"] > 0 and len(found["sentences"]) == 2
    shown = charrnn_("score", *runs, stdin=text.encode()).stdout
    assert "overconfident" in shown and "most for tiny.safetensors" in shown and "unknown" in shown
    assert "KING: Once more!" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--run", "tiny.safetensors", "--run", "tiny.safetensors", "--per-line"), 2, "--per-line"),
        (("--run", "tiny.safetensors", "--run", "tiny.safetensors", "--html", "x"), 2, "--html"),
        (("--run", "a", "--run", "b", "--top", "5"), 2, "--top needs a single --run"),
        (("--run", "a", "--run", "b", "--unknown", "skip"), 2, "--unknown needs a single --run"),
        (("--run", "tiny.safetensors", "--run", "tiny.safetensors"), 2, "twice"),
        (("nothing.txt",), 1, "nothing.txt"),
        (("tiny.safetensors",), 2, "give it with --run"),
        (("--run", "nothing"), 1, "nothing: no such file"),
        (("--top", "-1"), 2, "--top"),
        (("--passages", "-1"), 2, "--passages"),
        ((), 1, "the text is empty"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], status: int, message: str) -> None:
    result = charrnn_("score", *arguments, status=status, stdin=b"")
    assert message in result.stderr and result.stderr.count("\n") == 1 and not result.stdout


def test_a_page_does_not_take_the_place_of_the_text() -> None:
    Path("only.txt").write_text(TEXT)
    for html in ("only.txt", "./only.txt"):
        error = charrnn_("score", "only.txt", "--html", html, status=2).stderr
        assert "that is the text" in error and Path("only.txt").read_text() == TEXT
    error = charrnn_("score", "only.txt", "--per-line", "--html", "x.html", status=2).stderr
    assert "--per-line and --html" in error


def test_one_character_is_compared() -> None:
    network(Path(), "second", TEXT.swapcase() * 9)
    runs = ("--run", "tiny.safetensors", "--run", "second.safetensors")
    assert json.loads(charrnn_("score", *runs, "--json", stdin=b"K").stdout)["characters"] == 1


def test_a_large_lead_is_written_as_the_table_writes_it():
    from types import SimpleNamespace

    import numpy as np

    from charrnn.cli.score_authors import _verdict

    result = SimpleNamespace(
        totals=np.array([1845.4, 13389.1]), best=0, sentences=[""] * 23,
        margin=lambda second: (11543.7, 1550.7),
    )  # fmt: skip
    assert "ahead of b by 11,543.7 nats, give or take 1,550.7 " in _verdict(["a", "b"], result)

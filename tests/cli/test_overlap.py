"""`charrnn overlap`, and what `charrnn sample` says about copies."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.cli import copied
from charrnn.cli.checkpoints import Member
from charrnn.cli.main import cli
from charrnn.cli.sample_request import Request
from charrnn.runtime.threads import Workers
from tests.cli.screen import Screen

LINES = [f"The {n} owls sat in the oak, and spoke of {n * n} things.\n" for n in range(60)]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("books").mkdir()
    Path("books/a.txt").write_text("".join(LINES[:30]), encoding="utf-8")
    Path("books/b.txt").write_bytes("".join(LINES[30:]).replace("\n", "\r\n").encode())
    Path("text.txt").write_text(
        f"caf\u00e9: {LINES[40]}\x1b[2J{LINES[3].upper()}", encoding="utf-8"
    )


def overlap(*arguments, status=0, **options):
    result = CliRunner().invoke(cli, ["overlap", *arguments], **options)
    assert result.exit_code == status, result.output
    return result


def test_the_list():
    result = overlap("text.txt", "books")
    first, _, place, passage = result.stdout.splitlines()[:4]
    assert first == (
        "54 of 114 characters (47.4%) stand in the corpus, in 1 passage of 28 or more; the longest "
        "has 54"
    )
    assert place == "54 characters: line 1, column 7; books/b.txt, line 11"
    assert passage.endswith('The 40 owls sat in the oak, and spoke of 1600 things.\\n"')


def test_json_has_every_passage_and_its_place():
    about = json.loads(overlap("text.txt", "books", "--folded", "--json").stdout)
    text = Path("text.txt").read_text(encoding="utf-8")
    assert (about["characters"], about["found"], about["folded"]) == (len(text), 2, True)
    for passage in about["passages"]:
        assert passage["passage"] == text[passage["start"] : passage["end"]]
    assert [Path(each["path"]).name for each in about["passages"]] == ["b.txt", "a.txt"]
    assert [each["corpus_line"] for each in about["passages"]] == [10, 4]  # with the space before
    assert (
        len(
            json.loads(overlap("text.txt", "books", "--folded", "--json", "--most", "1").stdout)[
                "passages"
            ]
        )
        == 1
    )


def test_the_whole_text_marked():
    result = overlap("-", "books", "--marked", input="so: " + LINES[7] + "and so on")
    assert result.stdout == f"so:[[ {LINES[7]}]]and so on\n" or "[[" in result.stdout
    assert "stand in the corpus" in result.stderr


def test_a_terminal_gets_colors_and_no_control_characters(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(monkeypatch, name="stdout")
    from charrnn.cli.overlap import _print_marked

    _print_marked("a\x1b[2Jb\ncd", [(1, 7)])
    assert screen.getvalue() == "a\x1b[1;33m\\x1b[2Jb\x1b[0m\n\x1b[1;33m\x1b[0mcd\n".replace(
        "\x1b[1;33m\x1b[0m", ""
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("nowhere.txt", "books"), 1, "nowhere.txt: no such file"),
        (("text.txt", "nowhere"), 1, "nowhere: no such file"),
        (("-", "-"), 2, "TEXT or CORPUS, not both"),
        (("text.txt", "books", "--at-least", "0"), 2, "at-least"),
        (("text.txt", "books", "--json", "--marked"), 2, "--marked and --json"),
    ],
)
def test_bad_input_is_one_line(arguments, status, message):
    result = overlap(*arguments, status=status)
    assert message in result.stderr
    assert result.stdout == ""


def test_an_empty_text_shares_nothing():
    Path("empty.txt").write_bytes(b"")
    assert "no passage of 28 characters" in overlap("empty.txt", "books").stdout
    assert json.loads(overlap("empty.txt", "books", "--json").stdout)["passages"] == []


def test_a_folder_is_a_text_too():
    Path("mine").mkdir()
    for n in (5, 45):
        Path(f"mine/{n}.txt").write_text(LINES[n].rstrip("\n"), encoding="utf-8")
    passages = json.loads(overlap("mine", "books", "--json").stdout)["passages"]
    assert len(passages) == 2  # the files are joined by a newline
    for passage, line in zip(passages, (LINES[5], LINES[45]), strict=True):
        assert line.rstrip("\n") in passage["passage"]


@pytest.fixture
def run():
    corpus = charrnn.Corpus.read("books")
    run = charrnn.Run.new(
        corpus,
        charrnn.ModelConfig(hidden=16, layers=1),
        charrnn.TrainConfig(batch_size=4, seq_length=16, steps=2),
    )
    charrnn.save_run("last.safetensors", run)
    return run.trained


def sample(*arguments, status=0):
    result = CliRunner().invoke(cli, ["sample", "last.safetensors", "--seed", "1", *arguments])
    assert result.exit_code == status, result.output
    return result


def test_a_sample_copies_nothing_and_can_be_made_again(run):
    text = sample("--max-copy", "2", "--length", "80", "--prime", "").stdout
    corpus = charrnn.Corpus.read("books")
    assert not charrnn.overlap(text.removesuffix("\n"), corpus, 2, fold=True)
    assert charrnn.overlap(sample("--length", "80", "--prime", "").stdout, corpus, 2)
    assert " --max-copy 2 " in sample("--max-copy", "2", "--length", "9", "--prime", "").stderr
    Path("books/a.txt").rename("elsewhere.txt")
    assert "--text" in sample("--max-copy", "2", "--prime", "", status=1).stderr
    arguments = ("--max-copy", "2", "--length", "80", "--prime", "")
    assert sample(*arguments, "--text", "elsewhere.txt", "--text", "books/b.txt").stdout == text


def test_the_longest_copy_is_told_on_a_terminal(run, monkeypatch):
    members = [Member(Path("last.safetensors"), run)]
    request = Request(members, "owls sat", None, "", 1, Workers(1), ())
    copied.tell(request, " in the oak!")
    screen = Screen(monkeypatch)
    copied.tell(request, " in the oak!")
    copied.tell(request, "XX")
    first, second = screen.getvalue().splitlines()
    assert "longest passage from the training text: 19 characters" in first
    assert "'owls sat in the oak'" in first
    assert "no passage of 8 characters" in second


def test_no_more_of_a_prime_is_searched_for_copies_than_can_matter(run, monkeypatch):
    searched = []

    def search(data, *more, **options):
        searched.append(data)
        return []

    monkeypatch.setattr("charrnn.text.overlap.overlap", search)
    Screen(monkeypatch)
    members = [Member(Path("last.safetensors"), run)]
    copied.tell(Request(members, "owl " * 100_000, None, "", 1, Workers(1), ()), "XX")
    assert searched == ["owl " * (copied.BEFORE // 4) + "XX"]


def test_bytes_are_called_bytes():
    for name in ("mine.txt", "theirs.txt"):
        Path(name).write_text("я" * 40, encoding="utf-8")
    said = overlap("mine.txt", "theirs.txt", "--unit", "byte").stdout
    assert said.startswith("80 of 80 bytes (100.0%) stand") and "80 bytes: line 1" in said


def test_a_mark_holds_whole_characters():
    line = "a passage that is long enough to be found"
    Path("mine.txt").write_text(f"{line}\u201d and more", encoding="utf-8")
    Path("theirs.txt").write_text(f"{line}\u201c but others\n", encoding="utf-8")
    marked = overlap("mine.txt", "theirs.txt", "--unit", "byte", "--marked").stdout
    assert marked == f"[[{line}\u201d]] and more\n"


def test_a_folder_of_which_nothing_is_read_is_no_text():
    Path("mine").mkdir()
    Path("mine/a.json").write_text(LINES[5])
    said = overlap("mine", "books", status=1).stderr
    assert said.startswith("error: mine: no text to read here; left out: ") and "a.json" in said

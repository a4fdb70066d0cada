"""The text of a co-writer's session: who wrote what, and undo; and its file."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from charrnn.errors import ConfigError, CorpusError
from charrnn.generation import manuscript_file
from charrnn.generation.manuscript import Manuscript
from charrnn.generation.manuscript_file import ManuscriptFile
from charrnn.runtime.files import replace_file, written_atomically


def typed(text: str, manuscript: Manuscript | None = None) -> Manuscript:
    """A manuscript to whose end somebody typed a text."""
    manuscript = manuscript or Manuscript()
    for ch in text:
        manuscript.change_to(manuscript.text + ch, len(manuscript.text) + 1)
    return manuscript


def saved(path: Path, manuscript: Manuscript, **about: object) -> ManuscriptFile:
    file, _ = ManuscriptFile.opened(path)
    file.save(manuscript.text, manuscript.authors, about)
    return file


def test_changes_are_found_and_undone() -> None:
    rng, manuscript = random.Random(1), Manuscript("ab ab", [(3, 5)])
    texts = [(manuscript.text, manuscript.authors)]
    for _ in range(300):
        size, new = len(manuscript.text), rng.choice(["", "a", "b ", "abab"])
        start = rng.randint(0, size)
        stop = min(size, start + rng.choice([0, 0, 1, 3]))
        whole = manuscript.text[:start] + new + manuscript.text[stop:]
        manuscript.change_to(whole, start + len(new))
        assert manuscript.text == whole
        assert len(manuscript.authors) == len(whole)
        texts.append((manuscript.text, manuscript.authors))
    while manuscript.undo() is not None:
        assert (manuscript.text, manuscript.authors) in texts
    assert (manuscript.text, manuscript.network) == ("ab ab", [(3, 5)])
    while manuscript.redo() is not None:
        pass
    assert (manuscript.text, manuscript.authors) == texts[-1]


def test_authors_follow_their_characters() -> None:
    manuscript = typed("one two")
    manuscript.replace(7, 7, " three", "network")
    manuscript.change_to("one 2 two three", 6)
    assert manuscript.network == [(9, 15)]
    manuscript.change_to("one 2 two thXree", 13)
    assert manuscript.network == [(9, 12), (13, 16)]
    assert manuscript.share == 6 / 16


def test_a_typed_word_is_one_step_to_undo() -> None:
    manuscript = typed("one two")
    assert manuscript.undo() == 4
    assert manuscript.text == "one "
    manuscript.replace(4, 4, "taken", "network")
    typed("s x", manuscript)
    for expected in ("one takens ", "one taken", "one ", ""):
        manuscript.undo()
        assert manuscript.text == expected


def test_deleted_characters_are_one_step_to_undo() -> None:
    manuscript = typed("word")
    manuscript.change_to("wor", 3)
    manuscript.change_to("wo", 2)
    manuscript.change_to("o", 0)
    assert [manuscript.undo(), manuscript.text] == [1, "wo"]
    assert [manuscript.undo(), manuscript.text] == [4, "word"]


@pytest.mark.parametrize("spans", [[(2, 1)], [(0, 9)], [(1, 2), (0, 1)]])
def test_wrong_spans(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(ConfigError, match="span"):
        Manuscript("abc", spans)
    with pytest.raises(ConfigError, match="start"):
        Manuscript("abc").replace(2, 1, "")


def test_a_file_comes_back_with_its_spans(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    saved(path, Manuscript("one two", [(4, 7)]), seed=3)
    file, manuscript = ManuscriptFile.opened(path)
    assert (manuscript.text, manuscript.network, file.note) == ("one two", [(4, 7)], "")
    assert file.about["seed"] == 3
    assert path.read_bytes() == b"one two"


def test_a_file_keeps_its_form(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    path.chmod(0o640)
    link.symlink_to(path)
    file, manuscript = ManuscriptFile.opened(link)
    assert manuscript.text == "one\ntwo\n"
    file.save("one\nthree\n", "y" * 10, {})
    assert path.read_bytes() == b"\xef\xbb\xbfone\r\nthree\r\n"
    assert (path.stat().st_mode & 0o777, link.is_symlink()) == (0o640, True)
    path.write_bytes(b"one\r\ntwo\n\r")
    assert ManuscriptFile.opened(path)[1].text == "one\r\ntwo\n\r"


def test_killed_between_the_two_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    file = saved(path, Manuscript("one two", [(4, 7)]))
    before = path.read_bytes()
    file.save("one two three", "y" * 7 + "n" * 6, {})
    path.write_bytes(before)  # as if it had not come so far
    assert ManuscriptFile.opened(path)[1].network == [(4, 7)]


def test_what_a_killed_process_left_is_deleted(tmp_path: Path) -> None:
    path, left = tmp_path / "a.txt", list[Path]()
    for stored in (path, path.with_name("a.txt.charrnn.json")):
        with written_atomically(stored):
            left += tmp_path.glob("*.tmp")
        stored.unlink()
    names = ["abcdefg", "ABCDEFGH", "b.abcdefgh", "abcdefgh.tmp"]
    others = [tmp_path / f".a.txt.{name}.tmp" for name in names]
    others += [tmp_path / name for name in (".a_txt.abcdefgh.tmp", "a.txt.abcdefgh.tmp")]
    new, folder, link = (tmp_path / f".a.txt.{ch * 8}.tmp" for ch in "abc")
    for file in (*left, *others, new):
        file.touch()
    folder.mkdir()
    link.symlink_to(tmp_path / "elsewhere")
    for file in (*left, *others, folder, link):
        os.utime(file, (1, 1), follow_symlinks=False)
    ManuscriptFile.opened(path)
    assert len(left) == 2 and {*tmp_path.iterdir()} == {*others, new, folder, link}


@pytest.mark.parametrize("spans", [None, b"{", b"[]", b'{"texts": [{"sha256": 1}]}', b"\xff"])
def test_spans_that_do_not_fit_are_set_aside(tmp_path: Path, spans: bytes | None) -> None:
    path = tmp_path / "a.txt"
    file = saved(path, Manuscript("one two", [(4, 7)]))
    if spans is None:
        path.write_text("one 2", encoding="utf-8")
    else:
        file.beside.write_bytes(spans)
    text, before = path.read_text(encoding="utf-8"), file.beside.read_bytes()
    file, manuscript = ManuscriptFile.opened(path)
    assert (manuscript.text, manuscript.network) == (text, [])
    assert "does not fit" in file.note
    assert (tmp_path / "a.txt.charrnn.json.old").read_bytes() == before


def test_what_another_program_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    file = saved(path, Manuscript("one"))
    path.write_text("by another", encoding="utf-8")
    file.save("one two", "y" * 7, {})
    assert path.read_text(encoding="utf-8") == "by another"
    assert (tmp_path / "a-2.txt").read_text(encoding="utf-8") == "one two"
    assert "a-2.txt" in file.note


class Disk:
    """Fails to save some texts, before they are in their file or after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before, self.after = set[bytes](), set[bytes]()
        monkeypatch.setattr(manuscript_file, "replace_file", self.replace)

    def replace(self, path: Path, data: bytes, mode: int | None) -> None:
        if data in self.before:
            raise OSError("full")
        replace_file(path, data, mode)
        if data in self.after:
            raise OSError("broken")


def save_all(file: ManuscriptFile, *texts: str) -> None:
    for text in texts:
        with suppress(OSError):
            file.save(text, "n" * len(text), {})


def test_a_save_that_failed_in_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, file = Disk(monkeypatch), saved(tmp_path / "a.txt", Manuscript("one"))
    disk.after, disk.before = {b"two", b"three"}, {b"four"}
    save_all(file, "two", "three", "four", "five")
    assert {*tmp_path.iterdir()} == {file.path, file.beside}
    assert ManuscriptFile.opened(tmp_path / "a.txt")[1].text == "five"


def test_another_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, file = Disk(monkeypatch), saved(tmp_path / "a.txt", Manuscript("one"))
    disk.before = {b"two", b"three"}
    file.path.write_text("by another", encoding="utf-8")
    save_all(file, "two", "three", "four")
    assert file.path.name == "a-2.txt" and file.path.read_bytes() == b"four"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "by another"


def test_who_wrote_what_is_stored_also_when_several_saves_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, file = Disk(monkeypatch), saved(tmp_path / "a.txt", Manuscript("one", [(1, 3)]))
    disk.before = {b"two", b"three"}
    save_all(file, "two", "three")
    again, manuscript = ManuscriptFile.opened(file.path)
    assert (manuscript.text, manuscript.network, again.note) == ("one", [(1, 3)], "")


def test_a_file_elsewhere_has_the_same_form(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n")
    (tmp_path / "other").mkdir()
    file = ManuscriptFile.opened(path)[0].elsewhere(tmp_path / "other")
    file.save("two\n", "yyyy", {})
    assert (tmp_path / "other" / "a.txt").read_bytes() == b"\xef\xbb\xbftwo\r\n"


def test_files_that_cannot_be_written_in(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    for path, message in (
        (tmp_path, "directory"),
        (tmp_path / "latin.txt", "not UTF-8"),
        (tmp_path / "nowhere" / "a.txt", "no folder"),
        (Path(os.devnull), "regular file"),
    ):
        with pytest.raises(CorpusError, match=message):
            ManuscriptFile.opened(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch(0o400)
    with pytest.raises(CorpusError, match="cannot be written"):
        ManuscriptFile.opened(path)


def test_newlines_that_a_network_wrote_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\n")
    file, manuscript = ManuscriptFile.opened(path)
    manuscript.replace(4, 4, "two\r\n", "network")
    file.save(manuscript.text, manuscript.authors, {})
    assert path.read_bytes() == b"one\r\ntwo\r\n"
    again = ManuscriptFile.opened(path)[1]
    assert again.text == "one\ntwo\n" and again.network == [(4, 8)]

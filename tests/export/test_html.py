"""The file of a web page with a network in it: what it holds, and what is refused."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from charrnn import (
    ConfigError,
    CorpusConfig,
    ExportError,
    Lexicon,
    Model,
    Trained,
    Vocab,
    export_html,
    save,
)
from charrnn.cli.main import cli
from charrnn.export.html import ENGINE, page_data
from charrnn.export.javascript import javascript_pattern, python_pattern
from charrnn.generation.quantization import rounded
from charrnn.network.arithmetic import from_bf16
from charrnn.network.parameters import matrix_names
from charrnn.text.patterns import Pattern
from tests.reference.drawn import drawn_mixture, drawn_network
from tests.reference.small import plain_model

LETTERS = Vocab(tuple("\n !-.:?_abAB\u00e9\u4e2d\U0001f600"))


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def numbers_of(tensor: dict[str, Any]) -> np.ndarray:
    data = base64.b64decode(tensor["data"])
    if tensor["kind"] == "float32":
        return np.frombuffer(data, "<f4").reshape(tensor["shape"])
    if tensor["kind"] == "bf16":
        return from_bf16(np.frombuffer(data, "<u2")).reshape(tensor["shape"])
    scales = np.frombuffer(base64.b64decode(tensor["scales"]), "<f4")
    q = np.frombuffer(data, np.int8).reshape(tensor["shape"])
    return (q * scales[:, None]).astype(np.float32)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_the_weights_are_those_that_sample_uses(precision: str, tmp_path: Path) -> None:
    trained = drawn_network(cell="depth-gated", skip=True)
    trained.model.parameters["rnn.weight_hh_l0"][:, :11] = 0  # columns of zeros
    (path,) = export_html(trained, tmp_path / "a.html", precision=precision)  # type: ignore[arg-type]
    tensors = data_of(path)["networks"][0]["tensors"]
    model = rounded(trained.model, precision)
    matrices = set(matrix_names(model.config))
    for name, array in model.parameters.to_disk():
        tensor = tensors[name.replace("rnn.peephole", "vectors")]
        assert tensor["kind"] == (precision if name in matrices else "float32")
        np.testing.assert_array_equal(numbers_of(tensor), array)
    assert len(tensors) == len(model.parameters.tensors)


def test_several_networks_stand_after_one_another(tmp_path: Path) -> None:
    networks = drawn_mixture(2, cell="gru")
    (path,) = export_html(networks, tmp_path / "a.html")
    (alone,) = export_html(networks[1], tmp_path / "b.html")
    both, one = data_of(path), data_of(alone)
    assert both["networks"][1] == one["networks"][0] != both["networks"][0]
    assert both["about"]["summary"].startswith("2 networks, each gru 2 x 11, ")
    h = from_bf16(np.frombuffer(base64.b64decode(both["starts"]["h"]), "<u2")).reshape(4, 3, 11)
    for n, network in enumerate(networks):
        wanted = network.opening.state.h[..., :11]
        np.testing.assert_array_equal(h[2 * n : 2 * n + 2], wanted)


def test_a_page_of_usual_size_is_below_2_mb(tmp_path: Path) -> None:
    symbols = "".join(map(chr, range(32, 132)))
    trained = drawn_network(symbols, hidden=256, embedding=64, starts=12)
    (path,) = export_html(trained, tmp_path / "a.html")
    assert path.stat().st_size < 2_000_000


def test_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    mark = "</script><img src=x onerror=alert(1)>"
    trained = drawn_network("\n abc</>")
    text = replace(trained.origin.texts[0], name=mark)
    trained = replace(trained, origin=replace(trained.origin, texts=(text,)))
    (path,) = export_html(trained, tmp_path / "page.html", name=mark)
    html = path.read_text("utf-8")
    assert mark not in html
    assert (
        html.count("<script")
        == html.count("</script>")
        == len(re.findall(r"<script (?:id|type)=", html))
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("worker-src") == "blob:"
    assert re.fullmatch(r"('sha256-[^' ]+' ?)+", rules.pop("script-src"))
    assert rules == {"style-src": "'unsafe-inline'"}
    assert not re.search(r"https?://(?!www\.w3\.org/)|<link|@import|url\(", html)
    assert data_of(path)["about"]["texts"] == [{"name": mark, "characters": 3000}]
    for script in ENGINE:
        assert f'<script id="{script}">' in html


def test_the_words_are_in_it_only_if_they_are_asked_for(tmp_path: Path) -> None:
    trained, words = drawn_network(), Lexicon.of_text("a bad cafe")
    (path,) = export_html(trained, tmp_path / "a.html")
    assert data_of(path)["knownWords"] is None
    assert data_of(path)["about"]["hasKnownWords"] is False
    export_html(trained, path, known_words=words, force=True)
    automaton = data_of(path)["knownWords"]
    assert automaton["start"] == words.automaton(trained.vocab).start
    assert data_of(path)["about"]["hasKnownWords"] is True


def test_start_states_separator_and_vocabulary() -> None:
    trained = drawn_network(starts=4)
    starts = page_data(trained, "int8")["starts"]
    assert trained.starts is not None
    assert starts["ids"] == trained.starts.ids.tolist()
    state = from_bf16(np.frombuffer(base64.b64decode(starts["h"]), "<u2")).reshape(2, 4, 11)
    np.testing.assert_array_equal(state, trained.starts.state.h[..., :11])
    documents = drawn_network(corpus=CorpusConfig(document_separator="\n(?=[a-c])"))
    data = page_data(documents, "int8")
    assert data["separator"] == {
        "source": r"[\u000a](?=[\u0061-\u0063])",
        "looksAhead": True,
    }
    assert data["starts"] == {"ids": [0], "h": None, "c": None}
    vocabulary = data["vocabulary"]
    alike = dict(zip(vocabulary["from"], vocabulary["to"], strict=True))
    assert alike["A"] == "a" and alike["\u00c9"] == "\u00e9" and alike["!"] == "."
    assert "x" not in alike and "a" not in alike
    assert (alike["\t"], alike["\u3000"], alike["\U0001d400"]) == (" ", " ", "a")
    alike = page_data(drawn_network("ab "), "int8")["vocabulary"]
    assert dict(zip(alike["from"], alike["to"], strict=True))["\n"] == " "


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_the_form_in_which_texts_are_read(unit: Any) -> None:
    corpus = CorpusConfig(unit=unit, normalize="NFKC")
    trained = drawn_network(vocab=Vocab(tuple("\nab"), unit), corpus=corpus)
    assert page_data(trained, "int8")["normalize"] == ("NFKC" if unit == "char" else "none")


PATTERNS = {
    r"\n\n+": r"[\u000a](?:[\u000a]){1,}",
    r"^\W": r"(?<![\s\S])[\u000a\u0020-\u0021\u002d-\u002e\u003a\u003f😀]",
    r"(?mi)^a$": r"(?<![^\n])[\u0041\u0061](?![^\n])",
    r"a$|b\Z": r"(?:[\u0061](?=\n?(?![\s\S]))|[\u0062](?![\s\S]))",
    r"(?P<x>[^a-zA-Z\s])*?z{2}": (
        r"(?:(?:[\u0021\u002d-\u002e\u003a\u003f\u005f\u00e9\u4e2d😀])){0,}?(?:(?!)){2,2}"
    ),
    r"(?<!a)(?i:B)(?!\d)": r"(?<![\u0061])(?:[\u0042\u0062])(?!(?!))",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_separators_in_javascript(pattern: str) -> None:
    assert javascript_pattern(pattern, LETTERS) == PATTERNS[pattern]


@pytest.mark.parametrize("pattern", [r"\w", r"\W+a", r"\b.", r"\B[^\s\d]", r"(?a)\w\s", r"(?i)A\D"])
def test_classes_are_those_by_which_charrnn_searches(pattern: str) -> None:
    """Those of `regex`, which has other symbols in them than `re`."""
    vocab = Vocab(tuple("\n\x1f -a1\u00b2\u00bd\u0301\u0663\u0903"))
    text = "".join(a + b for a in vocab.symbols for b in vocab.symbols)
    wanted = [match.span() for match in Pattern(pattern).finditer(text)]
    for made in (javascript_pattern(pattern, vocab), python_pattern(pattern, vocab)):
        assert [match.span() for match in re.finditer(made, text)] == wanted != []
    assert python_pattern(pattern, LETTERS) == pattern
    with pytest.raises(ExportError, match="a reference to a group, which this export cannot hold"):
        python_pattern(r"(\w)\1", vocab)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a)\1", "a reference to a group"),
        (r"a++b", "a possessive repeat"),
        (r"(?>a+)b", "an atomic group"),
        (r"\n*", "may match nothing"),
    ],
)
def test_separators_that_javascript_does_not_have(pattern: str, why: str, tmp_path: Path) -> None:
    trained = drawn_network(corpus=CorpusConfig(document_separator=pattern))
    with pytest.raises(ExportError, match=f"`document_separator`.*{why}"):
        export_html(trained, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_refusals(tmp_path: Path) -> None:
    trained, path = drawn_network(), tmp_path / "a.html"
    with pytest.raises(ConfigError, match="`precision` must be int8 or bf16 in a page"):
        export_html(trained, path, precision="float32")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`trained` must be a Trained or several, not str"):
        export_html("a", path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="`known_words` must be a Lexicon, not bool"):
        export_html(trained, path, known_words=True)  # type: ignore[arg-type]
    path.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export_html(trained, path)
    assert path.read_text() == "mine"


def test_a_page_that_browsers_cannot_open_is_refused(tmp_path: Path) -> None:
    """An embedding has 4 bytes a weight; of these networks' memory no byte is touched."""
    V, corpus = 8000, CorpusConfig()
    vocab = Vocab(tuple(map(chr, range(0x10000, 0x10000 + V))))
    large = Model(plain_model(vocab_size=V, hidden=3, embedding=8000))
    half = Model(plain_model(vocab_size=V, hidden=3, embedding=4000))
    for trained in (Trained(large, vocab, corpus), [Trained(half, vocab, corpus)] * 2):
        with pytest.raises(ExportError, match="too many for a web page"):
            export_html(trained, tmp_path / "a.html")
    assert not [*tmp_path.iterdir()]


def test_the_command(tmp_path: Path) -> None:
    trained = drawn_network()
    save(tmp_path / "some.safetensors", trained)
    words = tmp_path / "words.txt"
    words.write_text("a bad cafe")
    network, out = str(tmp_path / "some.safetensors"), str(tmp_path / "some.html")
    command = ["export", network, "--to", "html", "--out", out, "--precision", "bf16"]
    made = CliRunner().invoke(cli, [*command, "--known-words", str(words), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["files"][0]["path"] == out
    about = data_of(Path(out))["about"]
    assert (about["name"], about["precision"], about["hasKnownWords"]) == ("some", "bf16", True)
    wrong = CliRunner().invoke(
        cli, ["export", network, "--to", "html", "--out", out, "--text", "x"]
    )
    assert wrong.exit_code == 2
    assert "--text needs --known-words" in wrong.stderr

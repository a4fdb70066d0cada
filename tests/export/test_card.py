"""Model cards: what stands in them, and that no name and no sample can break them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Origin, Text, Trained
from charrnn.config import CorpusConfig
from charrnn.evaluation.evaluate import Evaluation
from charrnn.export.card import Card, card_text, code, fenced, visible, yaml_string
from tests.reference.drawn import ORIGIN, drawn_mixture, drawn_network

MARKDOWN = MarkdownIt("commonmark")
HOSTILE = [
    "plain",
    "`",
    "a``b",
    "` x `",
    "``````",
    "a|b\n# heading\n---\n",
    "\x1b[31m\x00\x7f\x85\u202e\u2028\udcff\ufeff\uffff",
    '": {x: y}\n- !!python/object: #"\\',
    "<script>alert(1)</script>[x](javascript:1)",
    " ",
    "é 字 \U0001f600",
]


def card_of(
    trained: Trained | Sequence[Trained], card: Card | None = None, title: str = "net"
) -> str:
    networks = Mixture.of(trained)
    return card_text(networks, card or Card(), title=title, library="pytorch", usage="Run it.\n")


def head_of(card: str) -> list[str]:
    return card.split("---\n")[1].splitlines()


def test_a_card_tells_what_the_network_is_and_what_it_read() -> None:
    loss = Evaluation(1.5, 321, [])
    card = card_of(drawn_network(), Card("mit", loss, (100, 421), "abc\n", "seed 0"))
    assert head_of(card)[:2] == ['license: "mit"', "library_name: pytorch"]
    for text in (
        "lstm 2 x 11",
        "`made-up.txt`, 3,000 characters",
        "ab" * 32,
        "321 characters",
        "| 1.5000 | 2.1640 | 4.482 |",
        "--part 100:421",
        "```text\nabc\n```\n\nWritten with seed 0.",
        "      value: 2.164043",
    ):
        assert text in card, text


def test_rounds_of_a_mogrifier_are_told() -> None:
    assert "(embeddings of 5, mogrifier 3, layer norm)" in card_of(
        drawn_network(mogrifier=3, layer_norm=True)
    )
    assert "mogrifier" not in card_of(drawn_network())


def test_without_a_license_the_author_is_asked() -> None:
    (line,) = [line for line in head_of(card_of(drawn_network())) if line.startswith("license")]
    assert line.startswith("license: unknown  # ") and "author" in line


def test_the_loss_of_training_stands_in_or_none_does() -> None:
    trained = drawn_network()
    assert "| 1.7500 |" in card_of(trained)
    unmeasured = card_of(replace(trained, origin=replace(ORIGIN, loss=None)))
    assert "not measured" in unmeasured and "model-index" not in unmeasured


def test_several_networks_are_counted_and_no_loss_is_made_up() -> None:
    networks = drawn_mixture(2)
    card = card_of(networks)
    for text in (
        "# `net`: networks that write together, character by character",
        "- 2 networks, each lstm 2 x 11, ",
        "the mean of theirs",
        "trained for 240 steps, 5.0 passes over their text in all",
        "alone has 1.7500 to 1.7500 nats per character",
    ):
        assert text in card, text
    assert "model-index" not in card
    measured = card_of(networks, Card(evaluation=Evaluation(1.5, 321, [])))
    assert "| 1.5000 |" in measured and "      value: 1.500000" in measured
    unmeasured = [replace(each, origin=replace(ORIGIN, loss=None)) for each in networks]
    assert "no text was held out" in card_of(unmeasured)


def test_documents_and_how_the_text_was_read_are_told() -> None:
    corpus = CorpusConfig(document_separator="\n`+", normalize="NFC", encoding="latin-1")
    card = card_of(drawn_network(corpus=corpus))
    assert "after ``\\n`+``" in card
    assert "`encoding latin-1, normalize NFC`" in card


@pytest.mark.parametrize("text", HOSTILE)
def test_a_code_span_holds_any_text(text: str) -> None:
    (inline,) = [token for token in MARKDOWN.parse(f"- {code(text)}, 3") if token.children]
    span, rest = inline.children
    assert (span.type, rest.content) == ("code_inline", ", 3")
    assert span.content.strip() == visible(text).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_holds_any_text(text: str) -> None:
    text += "\n```\n~~~\n"
    block, after = MARKDOWN.parse(f"{fenced(text)}\n# x\n")[:2]
    assert (block.type, after.tag) == ("fence", "h1")
    assert block.content == visible(text, "\n\t")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_yaml_string_holds_any_text(text: str) -> None:
    """JSON that has no escape which YAML reads in another way."""
    written = yaml_string(text)
    assert json.loads(written) == visible(text)
    assert not re.search(r"\\[^\"\\]", written.replace("\\\\", ""))
    assert written.encode().decode() == written


@pytest.mark.parametrize("text", HOSTILE)
def test_a_card_of_hostile_names_has_the_lines_of_any_other(text: str) -> None:
    origin = Origin((Text(text, 3),), "c" * 64, 1, 1.0, 2.0)
    trained = replace(drawn_network(), origin=origin)
    card = card_of(trained, Card(text, sample=text), title=text)
    assert card.count(fenced(text)) == 1
    card.encode()
    card = card.replace(fenced(text), "")
    usual = card_of(drawn_network(), Card("mit", sample="x"))
    assert re.findall(r"(?m)^#+ \w+", card)[-5:] == re.findall(r"(?m)^#+ \w+", usual)[-5:]
    shape = [re.sub(r'".*"|[\d.]+$', "", line) for line in head_of(card)]
    assert shape == [re.sub(r'".*"|[\d.]+$', "", line) for line in head_of(usual)]

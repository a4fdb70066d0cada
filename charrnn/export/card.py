"""A model card: README.md with YAML at its head, as on model hubs.

Names of texts, and text that a network wrote, are data: in YAML they are JSON strings, in Markdown
they stand in code spans and fences that they cannot end, and control characters are escaped.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import CorpusConfig, ModelConfig
from charrnn.evaluation.evaluate import Evaluation
from charrnn.text.vocab import NOUNS, counted

OPTIONS = (
    *("mogrifier", "layer_norm", "residual", "skip", "attention", "activation"),
    *("zoneout_h", "zoneout_c"),
)
"""Settings that are told of a network that differs from a plain one in them."""
LISTED = 10
"""Texts that a card names."""
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufeff\ufffe\uffff]"
)
"""Controls, bidirectional marks, line separators, surrogates, and what YAML forbids."""


@dataclass(frozen=True)
class Card:
    """What a model card tells besides what the network's file holds.

    license: an identifier, such as cc0-1.0; None leaves it to the author, with a note.
    evaluation: on the validation part of its text; without it the card has the loss that training
        measured.
    part: where in the text, which is one file, that part begins and ends.
    sample: a text that the network wrote; written_by: the settings, for people.
    """

    license: str | None = None
    evaluation: Evaluation | None = None
    part: tuple[int, int] | None = None
    sample: str | None = None
    written_by: str = ""


def card_text(networks: Mixture, card: Card, *, title: str, library: str, usage: str) -> str:
    """The Markdown of a model card. title: of the network; library: as hubs name it; usage: the
    section on how to run the network, Markdown.
    """
    sections = [
        f"---\n{_head(networks, card, title, library)}---\n",
        f"# {code(title)}: {_who(networks)}, {_unit(networks)} by {_unit(networks)}\n",
        _about(networks),
        f"## Use\n\n{usage}",
        f"## Training text\n\n{_texts(networks)}",
        f"## Evaluation\n\n{_evaluation(networks, card)}",
    ]
    if card.sample is not None:
        by = f"\n\nWritten with {card.written_by}." if card.written_by else ""
        sections.append(f"## A sample\n\n{fenced(card.sample)}{by}\n")
    sections.append(
        "## Limits\n\nThe network has learned which characters follow which, and nothing about the "
        "world: what it\nwrites is made up. It may repeat passages of its training text word for "
        "word.\n"
    )
    return "\n".join(sections)


def visible(text: str, stays: str = "") -> str:
    """A text whose control characters, bidirectional marks and newlines are escaped, except for
    those in `stays`.
    """
    return "".join(
        ascii(ch)[1:-1] if ch not in stays and (ch in "\n\t" or _HARMFUL.match(ch)) else ch
        for ch in text
    )


def code(text: str) -> str:
    """A text as a Markdown code span on one line, which nothing in it can end."""
    inside = visible(text)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", inside)), default=0))
    pad = " " if not inside.strip(" ") or inside[0] in "` " or inside[-1] in "` " else ""
    return f"{ticks}{pad}{inside}{pad}{ticks}"


def fenced(text: str) -> str:
    """A text as a Markdown code block, which nothing in it can end."""
    inside = visible(text, "\n\t")
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", inside)), default=0))
    return f"{ticks}text\n{inside.removesuffix(chr(10))}\n{ticks}"


def yaml_string(text: str) -> str:
    """A text as a YAML string in double quotes."""
    return json.dumps(visible(text), ensure_ascii=False)


def _head(networks: Mixture, card: Card, title: str, library: str) -> str:
    """The YAML."""
    cell, loss = networks[0].model.config.cell, _loss(networks, card)
    lines = [
        f"license: {yaml_string(card.license)}"
        if card.license
        else "license: unknown  # TODO: for the author to choose, such as cc0-1.0 or mit",
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {tag}" for tag in ("charrnn", "char-rnn", "character-level", cell, "rnn")),
    ]
    if loss is not None:
        lines += [
            "metrics:",
            "- perplexity",
            "model-index:",
            f"- name: {yaml_string(title)}",
            "  results:",
            "  - task:",
            "      type: text-generation",
            "    dataset:",
            "      type: text",
            f"      name: {yaml_string(_names(networks))}",
            "      split: validation",
            "    metrics:",
        ]
        for kind, name, value in (
            ("cross-entropy", f"nats per {_unit(networks)}", loss),
            (f"bits-per-{_unit(networks)}", f"bits per {_unit(networks)}", loss / math.log(2)),
            ("perplexity", f"perplexity per {_unit(networks)}", math.exp(min(loss, 700))),
        ):
            lines += [f"    - type: {kind}", f"      name: {name}", f"      value: {value:.6f}"]
    return "\n".join(lines) + "\n"


def _about(networks: Mixture) -> str:
    """What kind of network it is, or they are."""
    config, corpus, origin = networks[0].model.config, networks.corpus_config, networks.origin
    facts = [
        f"{'network: ' * (len(networks) == 1)}{networks.summary}{_options(config)}",
        f"vocabulary: {counted(len(networks.vocab), 'symbol')}, of one {_unit(networks)} each",
        f"trained for {counted(origin.step, 'step')}, {origin.epoch:.1f} passes over "
        f"{'its text' if len(networks) == 1 else 'their text in all'}, with charrnn",
    ]
    if len(networks) > 1:
        facts.insert(1, "the probability of a symbol is the mean of theirs")
    if corpus.document_separator is not None:
        facts.append(
            f"a new document begins, with an empty memory, after {code(corpus.document_separator)} "
            "(a regular expression)"
        )
    return "".join(f"- {fact}\n" for fact in facts)


def _options(config: ModelConfig) -> str:
    """What is not plain about a network, in parentheses."""
    plain = ModelConfig(mogrifier=0, layer_norm=False, attention=0)
    options = [f"embeddings of {config.embedding}" if config.embedding else "one-hot symbols"]
    for name in OPTIONS:
        if (value := getattr(config, name)) != getattr(plain, name):
            said = name.replace("_", " ")
            options.append(said if value is True else f"{said} {value}")
    return f" ({', '.join(options)})"


def _texts(networks: Mixture) -> str:
    """What it was trained on, by name and hash, and how that was read."""
    texts, config, usual = networks.origin.texts, networks.corpus_config, CorpusConfig()
    lines = [
        f"{code(text.name)}, {counted(text.characters, _unit(networks))}"
        + (f", for {text.part}" if text.part else "")
        for text in texts[:LISTED]
    ]
    if len(texts) > LISTED:
        lines.append(f"and {counted(len(texts) - LISTED, 'other text')}")
    settings = [
        f"{name.replace('_', ' ')} {getattr(config, name)}"
        for name in ("encoding", "encoding_errors", "newlines", "normalize", "min_count")
        if getattr(config, name) != getattr(usual, name)
    ]
    if settings:
        lines.append(f"read with {code(', '.join(settings))}")
    lines.append(f"sha256 of the text as charrnn encodes it: {code(networks.origin.sha256)}")
    return "".join(f"- {line}\n" for line in lines)


def _evaluation(networks: Mixture, card: Card) -> str:
    """The loss, and how to measure it again."""
    loss, unit = _loss(networks, card), _unit(networks)
    if loss is None:
        alone = [n.origin.loss for n in networks if n.origin.loss is not None]
        if not alone:
            return (
                "It was not measured: no text was held out in training, or none was read at this "
                "step.\n"
            )
        return (
            "It was not measured for all together. On the validation part of their text, each of "
            f"the\nnetworks alone has {min(alone):.4f} to {max(alone):.4f} nats per {unit}.\n"
        )
    size = ""
    if card.evaluation is not None:
        size = f", {counted(card.evaluation.characters, unit)}"
    again = ""
    if card.part is not None:
        again = (
            "\nThis measures it again, if TEXT is the training text:\n\n"
            f"    python model.py --eval TEXT --part {card.part[0]}:{card.part[1]}\n"
        )
    return (
        f"On the validation part of its text{size}, with the state carried (as `charrnn eval`\n"
        "measures it):\n\n"
        f"| nats per {unit} | bits per {unit} | perplexity |\n|---|---|---|\n"
        f"| {loss:.4f} | {loss / math.log(2):.4f} | {math.exp(min(loss, 700)):.3f} |\n{again}"
    )


def _loss(networks: Mixture, card: Card) -> float | None:
    """Nats per symbol on the validation part; None if it was not measured."""
    return networks.origin.loss if card.evaluation is None else card.evaluation.nats_per_char


def _names(networks: Mixture) -> str:
    names = [text.name for text in networks.origin.texts]
    return (names[0] if names else "unknown") + (f" and {len(names) - 1} more" * (len(names) > 1))


def _who(networks: Mixture) -> str:
    return "a network that writes" if len(networks) == 1 else "networks that write together"


def _unit(networks: Mixture) -> str:
    return NOUNS[networks.vocab.unit]

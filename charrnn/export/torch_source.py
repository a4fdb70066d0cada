"""The source of model.py: a network in PyTorch, with only what this network needs; or several
that are used together.

`model.txt` is the source for all networks. A line that ends with `#? name` is for networks that are
so, a block from `#[ name` to `#]` likewise; `a|b` is either, `!a` not, and several must all hold.
Nothing of a text or a checkpoint goes into it but numbers, settings that were checked, and the
separator of documents as a string literal.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.resources import files
from string import Template

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.names import torch_module
from charrnn.config import ModelConfig
from charrnn.evaluation.evaluate import PART, WARM_UP
from charrnn.export.card import visible
from charrnn.export.javascript import python_pattern
from charrnn.export.torch_weights import has_c, layer_module
from charrnn.network.cells import cell_named
from charrnn.network.parameters import ATTENTION_DISTANCES, ATTENTION_UNITS
from charrnn.text.decoding import codec_name
from charrnn.text.documents import looks_ahead
from charrnn.text.vocab import NOUNS, Vocab

OPENS, CLOSES, ONLY = "#[ ", "#]", "  #? "


def source_of(networks: Mixture) -> str:
    """The source of model.py for a network, or for several of the same shape."""
    template = files("charrnn.export").joinpath("model.txt").read_text("utf-8")
    lines = chosen_lines(template, _traits(networks))
    return Template(lines).substitute(_names(networks))


def chosen_lines(template: str, traits: Collection[str]) -> str:
    """The lines of a template whose conditions hold for these traits, without the conditions."""
    lines, blocks = [], list[bool]()
    for line in template.splitlines(keepends=True):
        if line.startswith(OPENS):
            blocks.append(_holds(line[len(OPENS) :], traits))
        elif line.startswith(CLOSES):
            blocks.pop()
        elif all(blocks):
            line, only, condition = line.partition(ONLY)
            if _holds(condition, traits):
                lines.append(line + "\n" * bool(only))
    return "".join(lines)


def _holds(condition: str, traits: Collection[str]) -> bool:
    """True if each word of a condition holds."""
    return all(
        (word[1:] not in traits)
        if word.startswith("!")
        else any(name in traits for name in word.split("|"))
        for word in condition.split()
    )


def _traits(networks: Mixture) -> set[str]:
    """What a network is, in the words of the template's conditions."""
    config, corpus, vocab = networks[0].model.config, networks.corpus_config, networks.vocab
    cell, separator = cell_named(config.cell), corpus.document_separator
    is_own = layer_module(config) is None
    zoneout_c = is_own and cell.has_memory and config.zoneout_c > 0
    traits = {
        "several": len(networks) > 1,
        "own": is_own,
        "plain": torch_module(config) is not None,
        "below": cell.reads_below,
        "c": has_c(config),
        "zoneout": config.zoneout_h > 0 or zoneout_c,
        "zoneout_h": config.zoneout_h > 0,
        "zoneout_c": zoneout_c,
        "embedding": config.embedding > 0,
        "mogrifier": bool(config.mogrifier),
        "norm": config.layer_norm,
        "residual": config.residual,
        "skip": config.skip,
        "attention": config.attention > 0,
        "bytes": vocab.unit == "byte",
        "unknown": vocab.unknown is not None,
        "harmful": has_harmful(vocab),
        "documents": separator is not None,
        "ahead": separator is not None and looks_ahead(separator),
        "keep": corpus.newlines == "keep",
        "normalize": corpus.normalize != "none" and vocab.unit == "char",
    }
    return {config.cell, *(name for name, is_so in traits.items() if is_so)}


def _imported(config: ModelConfig) -> tuple[set[str], set[str]]:
    """What is imported from torch and from torch.nn.functional."""
    names, functions = {"Tensor", "nn"}, {"cross_entropy", "pad"}
    if config.layer_norm:
        functions.add("layer_norm")
    if not config.embedding:
        functions.add("one_hot")
    if layer_module(config) is None:
        (functions if config.activation == "softsign" else names).add(config.activation)
        if config.cell not in ("rnn", "clockwork"):
            names.add("sigmoid")
    return names, functions


def _names(networks: Mixture) -> dict[str, object]:
    """What stands for the template's names."""
    config, corpus, vocab = networks[0].model.config, networks.corpus_config, networks.vocab
    traits, prime = _traits(networks), example_prime(vocab)
    module, own = layer_module(config), ["h", "c"] if has_c(config) else ["h"]
    state = [*own, *["keys", "read"] * (config.attention > 0)]
    warm_up = max(WARM_UP, config.attention)
    gates = len(cell_named(config.cell).input_gates)
    relu = ', nonlinearity="relu"' if module == "RNN" and config.activation == "relu" else ""
    from_torch, functions = _imported(config)
    encoding = [literal(codec_name(corpus.encoding))]
    if corpus.encoding_errors != "strict":
        encoding.append(literal(corpus.encoding_errors))
    return {
        "summary": networks.summary,
        "prime_flag": (f' --prime "{prime}"' if prime else "").ljust(20),
        "prime_argument": f', "{prime}"' if prime else "",
        "from_torch": ", ".join(sorted(from_torch)),
        "functions": ", ".join(sorted(functions)),
        "unknown": vocab.unknown,
        "separator": literal(python_pattern(corpus.document_separator or "", vocab)),
        "V": config.vocab_size,
        "E": config.embedding,
        "H": config.hidden,
        "L": config.layers,
        "K": len(networks),
        "R": config.mogrifier,
        "M": config.attention,
        "D": ATTENTION_UNITS,
        "distances": ATTENTION_DISTANCES,
        "last": "last" if config.skip else "x",
        "warm_up": warm_up,
        "least": max(PART, warm_up),
        "network": "Network" if len(networks) == 1 else "Member",
        "starts": len(networks[0].opening),
        "gates": "H" if gates == 1 else f"{gates} * H",
        "groups": min(config.clockwork_groups, config.hidden),
        "arguments": ",\n        ".join(f"{name}: Tensor" for name in state),
        "typed": ", ".join(f"{name}: Tensor" for name in state),
        "state": ", ".join(state),
        "chunks": ", ".join(f"{name}.chunk(K)" for name in state),
        "said": _listed(state),
        "own_typed": ", ".join(f"{name}: Tensor" for name in own),
        "own_state": ", ".join(own),
        "own_said": _listed(own),
        "new": "new_" if "zoneout" in traits else "",
        "old": "old_h" if config.mogrifier else "h",
        "phi": config.activation,
        "zoneout_h": config.zoneout_h,
        "zoneout_c": config.zoneout_c,
        "module": module,
        "layer": f"nn.{module}" if module else "Layer",
        "input": "E" if config.embedding else "V",
        "nonlinearity": relu,
        "options": f", H{relu}" if module else "",
        "embedded": "self.embedding(ids)" if config.embedding else "one_hot(ids, V).float()",
        "y": "y" if config.residual else "x",
        "join": "cat" if module else "stack",
        "unit": NOUNS[vocab.unit],
        "text": "str | bytes" if vocab.unit == "byte" else "str",
        "encoding": ", ".join(encoding),
        "normalize": literal(corpus.normalize),
    }


def _listed(names: list[str]) -> str:
    """Names in a sentence: h, c and keys."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def example_prime(vocab: Vocab) -> str:
    """A beginning that can be read with this vocabulary, of letters; it may be empty."""
    words = ("Once", "The ", "the ", "a")
    return next((word for word in words if set(word) <= vocab.index.keys()), "")


def has_harmful(vocab: Vocab) -> bool:
    """True if a text of this vocabulary may hold characters that a terminal obeys."""
    return any(
        visible(symbol, "\n\t") != symbol or (vocab.unit == "byte" and symbol > "~")
        for symbol in vocab.index
    )


def literal(text: str) -> str:
    """A string literal of a text, in ASCII: raw where that is possible and shorter, else in the
    quotes that need fewer escapes.
    """
    if "\\" in text and re.fullmatch(r"[ !#-~]*[ !#-\[\]-~]", text):
        return f'r"{text}"'
    quote = "'" if text.count('"') > text.count("'") else '"'
    inside = (ch if ch in "'\"" and ch != quote else ascii(ch)[1:-1] for ch in text)
    return quote + "".join("\\" + ch if ch == quote else ch for ch in inside) + quote

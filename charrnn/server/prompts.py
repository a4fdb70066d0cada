"""The prompts of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.config.serving import ServeConfig
from charrnn.server.refusal import Refusal
from charrnn.text.decoding import tidy
from charrnn.text.vocab import Unknown


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt as it came, for `echo`, as it is read (`tidied`), and the ids of that."""

    text: str
    read: str
    ids: NDArray[np.int32]


def prompts_of(
    value: Any, networks: Mixture, unknown: Any, limits: ServeConfig
) -> tuple[Prompt, ...]:
    """One prompt or several, each a string or a list of ids."""
    several = [value] if value is None or isinstance(value, str) else value
    if isinstance(several, list) and several and all(type(each) is int for each in several):
        several = [several]
    if not isinstance(several, list) or not several:
        raise Refusal(
            "'prompt' must be a string, a list of strings, or a list of token ids, or of such "
            "lists",
            "prompt",
            "invalid_type",
        )
    total, prompts = 0, []
    for each in several[: limits.max_texts + 1]:
        total += len(each) if isinstance(each, str | list) else 0
        if total > limits.max_prompt:
            raise Refusal(
                f"the prompts have more than {limits.max_prompt:,} characters together; send the "
                "end of them",
                "prompt",
                "context_length_exceeded",
            )
        prompts.append(_prompt("" if each is None else each, networks, unknown))
    return tuple(prompts)


def tidied(text: str, networks: Mixture) -> str:
    """A text of a request, read as the network's text was: with its newlines and normalization. A
    network of bytes takes it unchanged.
    """
    if networks.vocab.unit == "byte":
        return text
    config = networks.corpus_config
    return "".join(tidy(iter([text]), config.newlines, config.normalize))


def _prompt(value: Any, networks: Mixture, unknown: Unknown) -> Prompt:
    vocab = networks.vocab
    if isinstance(value, str):
        read = tidied(value, networks)
        return Prompt(value, read, vocab.encode(read, unknown).astype(np.int32))
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise Refusal(
            "each prompt must be a string or a list of token ids", "prompt", "invalid_type"
        )
    for each in value:
        if not 0 <= each < len(vocab):
            raise Refusal(
                f"there is no token {str(each)[:20]}: this network's are 0 to {len(vocab) - 1}, "
                "its characters",
                "prompt",
                "invalid_value",
            )
    ids = np.array(value, np.int32)
    text = vocab.decode(ids)
    return Prompt(text, text, ids)

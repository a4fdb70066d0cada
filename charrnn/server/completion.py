"""What a request for completions asks for, read as OpenAI's clients send it, and checked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.config.serving import ServeConfig
from charrnn.errors import CharrnnError
from charrnn.network.parameters import Floats
from charrnn.server.prompts import Prompt, prompts_of, tidied
from charrnn.server.refusal import Refusal
from charrnn.server.values import check_names, of_kind, whole_number
from charrnn.text.vocab import Vocab

OURS = (
    *("top_k", "min_p", "match", "until", "lines", "after", "keep_stop", "take", "unknown"),
    *("inner_temperature", "temperature_to"),
    *("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"),
)
"""Settings of `charrnn sample` that a request may have beside OpenAI's parameters."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "suffix": (None, ""),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
}
"""What is not supported, with the values that ask for nothing."""
THEIRS = (
    *("model", "prompt", "max_tokens", "temperature", "top_p", "n", "best_of", "echo", "logprobs"),
    *("stop", "seed", "stream", "stream_options", "logit_bias", "user"),
)
OWN = ("known_words", "start")
"""More parameters of ours: write known words only; the number of the start state to begin from,
whatever the seed and the take are.
"""
MOST_STOPS, MOST_LOGPROBS, MOST_BIAS, LONGEST_MATCH, MOST_RECENT = 4, 20, 100.0, 500, 4096
MOST_TOLD = 200_000
"""Logarithms of probabilities in an answer: 8 MB of JSON."""


@dataclass(frozen=True, eq=False)
class Completion:
    """A request. Choice k of a request, from 0, is take k + 1 of its seed, or if there is
    `best_of`, the likeliest of as many takes.
    """

    prompts: tuple[Prompt, ...]
    config: SamplingConfig
    n: int = 1
    best_of: int = 1
    echo: bool = False
    logprobs: int | None = None
    stream: bool = False
    include_usage: bool = False
    known_words: bool = False
    start: int | None = None
    bias: Floats | None = None

    @property
    def texts(self) -> int:
        """How many texts are written for it."""
        return len(self.prompts) * self.best_of


def read_completion(
    body: Mapping[str, Any], networks: Mixture, name: str, limits: ServeConfig
) -> Completion:
    """The request in a JSON object; `Refusal` for what is wrong in it."""
    check_names(body, (*THEIRS, *OURS, *NEUTRAL, *OWN))
    for key, values in NEUTRAL.items():
        value = body.get(key)
        if isinstance(value, bool) or value not in values:
            raise Refusal(f"{key!r} is not supported: leave it out", key, "unsupported_parameter")
    model = of_kind(body, "model", str, None)
    if model is not None and model != name:
        raise Refusal(
            f"there is no model {model[:80]!r} here; the only one is {name!r}",
            "model",
            "model_not_found",
            status=404,
        )
    of_kind(body, "user", str, None)
    n = whole_number(body, "n", 1, 1, limits.max_texts)
    best_of = whole_number(body, "best_of", n, 1, limits.max_texts)
    stream = of_kind(body, "stream", bool, False)
    if best_of < n:
        raise Refusal("'best_of' must be at least 'n'", "best_of", "invalid_value")
    if stream and best_of > n:
        raise Refusal(
            "with 'stream', 'best_of' must be 'n': which texts are the best is known at their end",
            "best_of",
            "invalid_value",
        )
    try:
        config = _config(body, networks, limits)
        prompts = prompts_of(body.get("prompt"), networks, config.unknown, limits)
    except CharrnnError as error:
        raise Refusal.of(error) from None
    if len(prompts) * best_of > limits.max_texts:
        raise Refusal(
            f"{len(prompts)} prompts with {best_of} texts each are more than this server writes "
            f"for one request, {limits.max_texts}",
            "prompt",
            "too_many_texts",
        )
    echo = of_kind(body, "echo", bool, False)
    logprobs = whole_number(body, "logprobs", None, 0, MOST_LOGPROBS)
    told = 0 if best_of > n and logprobs is None else logprobs  # the best ones are chosen by them
    _check_told(prompts, config.length or 0, best_of, echo and logprobs is not None, told)
    known_words = of_kind(body, "known_words", bool, False)
    bias = _bias(body.get("logit_bias"), networks.vocab)
    is_limited = known_words or config.match is not None
    if is_limited and bias is not None and np.isinf(bias).any():
        raise Refusal(
            "'logit_bias' cannot exclude a token (-100) beside 'match' or 'known_words', which may "
            "need it: use -99 or more, or leave the token out of the pattern",
            "logit_bias",
            "invalid_value",
        )
    return Completion(
        prompts=prompts,
        config=config,
        n=n,
        best_of=best_of,
        echo=echo,
        logprobs=logprobs,
        stream=stream,
        include_usage=_include_usage(body, stream),
        known_words=known_words,
        start=whole_number(body, "start", None, 0, 2**31),
        bias=bias,
    )


def _check_told(
    prompts: Sequence[Prompt], length: int, best_of: int, echo: bool, logprobs: int | None
) -> None:
    """A `Refusal` if the answer would have too many probabilities."""
    if logprobs is None:
        return
    read = sum(len(prompt.ids) for prompt in prompts) if echo else 0
    told = (read + len(prompts) * length) * best_of * (logprobs + 1)
    if told > MOST_TOLD:
        raise Refusal(
            f"the answer would have up to {told:,} probabilities, more than the {MOST_TOLD:,} that "
            "this server tells at once: ask for fewer 'logprobs', characters or texts",
            "logprobs",
            "invalid_value",
        )


def _include_usage(body: Mapping[str, Any], stream: bool) -> bool:
    options = of_kind(body, "stream_options", dict, None)
    if options is None:
        return False
    if not stream:
        raise Refusal("'stream_options' needs 'stream': true", "stream_options", "invalid_value")
    for key in options:
        if key not in ("include_usage", "include_obfuscation"):
            raise Refusal(
                f"there is no stream option {key[:60]!r}", "stream_options", "unknown_parameter"
            )
    return bool(of_kind(options, "include_usage", bool, False))


def _config(body: Mapping[str, Any], networks: Mixture, limits: ServeConfig) -> SamplingConfig:
    """How the texts are written."""
    ours = {name: body[name] for name in OURS if body.get(name) is not None}
    if isinstance(ours.get("match"), str) and len(ours["match"]) > LONGEST_MATCH:
        raise Refusal(
            f"'match' may have {LONGEST_MATCH} characters at most", "match", "invalid_value"
        )
    whole_number(body, "dry_penalty_last_n", None, 1, MOST_RECENT)
    for name in ("temperature", "top_p"):
        value = body.get(name)
        ours[name] = 1.0 if value is None else value
    length = whole_number(body, "max_tokens", None, 0, limits.max_tokens)
    ends = ours.keys() & {"until", "lines", "match"}
    if length is None and not ends:
        length = 16
    seed = whole_number(body, "seed", None, 0, 2**63 - 1)
    if seed is None:
        seed = 0 if length == 0 or ours["temperature"] == 0 else secrets.randbits(53)
    vocab = networks.vocab
    stops = [tidied(each, networks) for each in _stops(body.get("stop"))]
    stop = tuple(each for each in stops if set(vocab.in_symbols(each)) <= set(vocab.index))
    config = SamplingConfig(**{"unknown": "nearest"} | ours, length=length, seed=seed, stop=stop)
    if length is None:
        most = min(config.resolved().length or 0, limits.max_tokens)
        config = SamplingConfig(**{"unknown": "nearest"} | ours, length=most, seed=seed, stop=stop)
    return config


def _stops(value: Any) -> list[str]:
    """The stop strings; one that the network cannot write never stops a text."""
    stops = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(each, str) and each for each in stops):
        raise Refusal(
            f"'stop' must be a string or up to {MOST_STOPS}, none of them empty",
            "stop",
            "invalid_type",
        )
    if len(stops) > MOST_STOPS:
        raise Refusal(f"'stop' may have {MOST_STOPS} strings at most", "stop", "invalid_value")
    if any(len(each) > 1000 for each in stops):
        raise Refusal("a 'stop' may have 1,000 characters at most", "stop", "invalid_value")
    return stops


def _bias(value: Any, vocab: Vocab) -> Floats | None:
    """What is added to the logits, float32 (V,)."""
    symbols = len(vocab)
    if not value and (value is None or value == {}):
        return None
    if not isinstance(value, dict):
        raise Refusal("'logit_bias' must be an object", "logit_bias", "invalid_type")
    bias = np.zeros(symbols, np.float32)
    for key, number in value.items():
        is_id = key.isascii() and key.isdecimal() and len(key) < 6 and int(key) < symbols
        if not is_id:
            raise Refusal(
                f"'logit_bias' has the key {key[:20]!r}, which is no token id: these are 0 to "
                f"{symbols - 1}",
                "logit_bias",
                "invalid_value",
            )
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Refusal("'logit_bias' must have numbers", "logit_bias", "invalid_type")
        if not -MOST_BIAS <= number <= MOST_BIAS:
            raise Refusal(
                f"'logit_bias' must be -{MOST_BIAS:g} to {MOST_BIAS:g}",
                "logit_bias",
                "invalid_value",
            )
        bias[int(key)] += -np.inf if number == -MOST_BIAS else number
    if all(bias[i] == -np.inf for i in vocab.index.values()):
        raise Refusal("'logit_bias' excludes every token", "logit_bias", "invalid_value")
    return bias

"""The answer to a request for completions, in OpenAI's shape: whole, or as it is written."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from charrnn.checkpoint.mixture import Mixture
from charrnn.server.completion import Completion
from charrnn.server.places import Place
from charrnn.server.prompts import Prompt
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Stream
from charrnn.text.vocab import Vocab

PAUSE = 0.03
"""Seconds between two events of a stream: what is written meanwhile is one."""


class Waiter:
    """Waits in one event loop for what the engine's thread writes.

    every: wake up for each piece, not just for the end of a text.
    """

    def __init__(self, every: bool = False) -> None:
        self._loop, self._changed, self._every = asyncio.get_running_loop(), asyncio.Event(), every

    def report(self, stream: Stream) -> None:
        """Called by the engine's thread."""
        if self._every or stream.is_over:
            try:
                self._loop.call_soon_threadsafe(self._changed.set)
            except RuntimeError:  # the loop has ended, and the program with it
                stream.is_cancelled = True

    async def news(self, streams: Sequence[Stream]) -> None:
        """Wait for the next report; a `Refusal` if the network failed."""
        await self._changed.wait()
        self._changed.clear()
        _check(streams)

    async def ended(self, streams: Sequence[Stream]) -> None:
        """Wait until all of these have ended; a `Refusal` if the network failed."""
        while not all(stream.is_over for stream in streams):
            await self.news(streams)
        _check(streams)  # they may have been over before


def _check(streams: Sequence[Stream]) -> None:
    for stream in streams:
        if stream.error:
            raise Refusal(stream.error, code="network_error", status=500)


class Answer:
    """The texts of a request while they are written. It belongs to one event loop."""

    def __init__(self, networks: Mixture, name: str, completion: Completion) -> None:
        self.networks, self.completion = networks, completion
        self.streams: list[Stream] = []
        self._waiter = Waiter(every=completion.stream)
        self.report = self._waiter.report
        self._base = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": name,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer once all texts have ended."""
        await self._waiter.ended(self.streams)
        choices = list[dict[str, Any]]()
        for number, prompt in enumerate(self.completion.prompts):
            size = self.completion.best_of
            streams = self.streams[number * size : (number + 1) * size]
            for stream in _best(streams, self.completion.n):
                text = _text("".join(stream.pieces))
                count = len(self.networks.vocab.in_symbols("".join(stream.pieces)))
                shown = (prompt.text if self.completion.echo else "") + text
                choices.append(self._choice(len(choices), prompt, stream, shown, count))
        return self._with(choices, self._usage())

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The parts of the answer as they are written."""
        sent, counts = [0] * len(self.streams), [0] * len(self.streams)
        ended = [False] * len(self.streams)
        n = self.completion.n
        extra = {"usage": None} if self.completion.include_usage else {}
        if self.completion.echo:
            for index, _ in enumerate(self.streams):
                prompt = self.completion.prompts[index // n]
                yield self._with([_part(index, prompt.text)]) | extra
        while not all(ended):
            await self._waiter.news(self.streams)
            for index, stream in enumerate(self.streams):
                is_over = stream.is_over  # before its pieces are taken
                pieces = stream.pieces[sent[index] :]
                sent[index] += len(pieces)
                if ended[index] or not (pieces or is_over):
                    continue
                text = "".join(pieces)
                choice = _part(index, _text(text))
                if is_over:
                    choice["finish_reason"], ended[index] = stream.finish_reason, True
                if self.completion.logprobs is not None:
                    first = counts[index]
                    counts[index] += len(self.networks.vocab.in_symbols(text))
                    choice["logprobs"] = self._logprobs(stream, index // n, first, counts[index])
                yield self._with([choice]) | extra
            if not all(ended):
                await asyncio.sleep(PAUSE)
        if self.completion.include_usage:
            yield self._with([], self._usage())

    def _choice(
        self, index: int, prompt: Prompt, stream: Stream, text: str, count: int
    ) -> dict[str, Any]:
        choice = _part(index, text) | {"finish_reason": stream.finish_reason}
        if self.completion.logprobs is not None:
            number = self.completion.prompts.index(prompt)
            choice["logprobs"] = self._logprobs(stream, number, 0, count)
        return choice

    def _logprobs(self, stream: Stream, number: int, first: int, last: int) -> dict[str, Any]:
        """Those of the symbols first:last that were written; before the first, those of the prompt,
        if it is echoed.
        """
        vocab, prompt = self.networks.vocab, self.completion.prompts[number]
        own = stream.scored
        places = stream.places[first + own if first or not own else 0 : last + own]
        offset = 0 if own and not first else len(prompt.ids) + first
        tokens = [token(vocab, each.symbol) for each in places]
        return {
            "tokens": tokens,
            "token_logprobs": [each.logprob for each in places],
            "top_logprobs": [_top(vocab, each) for each in places],
            "text_offset": [offset + n for n in range(len(places))],
        }

    def _with(self, choices: list[dict[str, Any]], usage: Any = None) -> dict[str, Any]:
        body = self._base | {"choices": choices, "seed": self.completion.config.seed}
        return body if usage is None else body | {"usage": usage}

    def _usage(self) -> dict[str, int]:
        vocab = self.networks.vocab
        read = sum(len(prompt.ids) for prompt in self.completion.prompts)
        written = sum(len(vocab.in_symbols("".join(each.pieces))) for each in self.streams)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }


def _part(index: int, text: str) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": None}


def _best(streams: Sequence[Stream], n: int) -> list[Stream]:
    """The n texts that the network finds likeliest, by the mean of ln p, likeliest first."""
    if len(streams) == n:
        return list(streams)

    def nats(stream: Stream) -> float:
        places = stream.drawn
        return -sum(each.logprob for each in places) / len(places) if places else float("inf")

    return sorted(streams, key=nats)[:n]


def _text(text: str) -> str:
    """Bytes that are no character, which are surrogates, as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _top(vocab: Vocab, place: Place) -> dict[str, float]:
    top = {token(vocab, symbol): logprob for symbol, logprob in place.top}
    return top | {token(vocab, place.symbol): place.logprob}


def token(vocab: Vocab, symbol: int) -> str:
    """A symbol as OpenAI writes tokens: a byte that is no character by itself is named by its
    number, after "bytes:".
    """
    text = vocab.symbols[symbol]
    return f"bytes:\\x{ord(text):02x}" if vocab.unit == "byte" and text > "\x7f" else text

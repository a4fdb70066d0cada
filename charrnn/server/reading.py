"""What a network makes of a text: how surprising its symbols are, and what may come next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.config.serving import ServeConfig
from charrnn.server.prompts import tidied
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Order, Stream
from charrnn.server.values import check_names, whole_number


class Scoring:
    """A text whose symbols are scored, from one of them on: the request and its answer.

    The text is `tidied` first, and the answer has it if that changed it. The network reads the
    nearest characters of those that it does not know, whose surprise is None.
    """

    def __init__(self, body: Mapping[str, Any], networks: Mixture, limits: ServeConfig) -> None:
        check_names(body, ("text", "from", "start"))
        text = body.get("text")
        if not isinstance(text, str):
            raise Refusal("'text' must be a string", "text", "invalid_type")
        if len(text) > limits.max_prompt:
            raise Refusal(
                f"'text' has more than {limits.max_prompt:,} characters; send the end of it",
                "text",
                "context_length_exceeded",
            )
        vocab, read = networks.vocab, tidied(text, networks)
        self._changed = {} if read == text else {"text": read}
        symbols = vocab.in_symbols(read)
        self._first = whole_number(body, "from", 0, 0, len(symbols))
        known = {c: vocab.index.get(c) for c in dict.fromkeys(symbols)}
        as_ids = {c: vocab.index.get(vocab.nearest(c) or "") if i is None else i
                  for c, i in known.items()}  # fmt: skip
        self._is_read = [as_ids[c] is not None for c in symbols]
        self._is_known = [known[c] is not None for c in symbols]
        self.unknown = [c for c, i in known.items() if i is None]
        self.order = Order(
            ids=np.array([i for c in symbols if (i := as_ids[c]) is not None], np.int32),
            config=SamplingConfig(length=0),
            logprobs=0,
            scores=sum(self._is_read[: self._first]),
            start=whole_number(body, "start", 0, 0, 2**31),
            owner=object(),
        )

    def answer(self, stream: Stream) -> dict[str, Any]:
        """The surprise of each symbol from the first that was asked for, nats, and the symbols that
        the network does not know.
        """
        told = iter(stream.places)
        surprises: list[float | None] = []
        for n in range(self._first, len(self._is_read)):
            place = next(told) if self._is_read[n] else None
            is_told = place is not None and self._is_known[n]
            surprises.append(-place.logprob if is_told and place is not None else None)
        return {"surprises": surprises, "unknown": self.unknown, **self._changed}


def next_symbols(stream: Stream, count: int) -> list[dict[str, Any]]:
    """The most probable symbols at the last place of a text that tells its chances, the most
    probable first, as they are drawn.
    """
    p = stream.chances
    best = [int(v) for v in np.argsort(-p, kind="stable")[:count] if p[v] > 0]
    return [{"text": stream.vocab.symbols[v], "probability": float(p[v])} for v in best]

"""The server's application: a network's completions over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from charrnn.checkpoint.trained import Trained
from charrnn.config.serving import ServeConfig
from charrnn.errors import CharrnnError
from charrnn.generation.allowed import allowed
from charrnn.generation.lexicon import Lexicon
from charrnn.runtime.threads import Workers
from charrnn.server.answer import Answer
from charrnn.server.body import json_object
from charrnn.server.completion import Completion, read_completion
from charrnn.server.engine import Engine
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Order, Stream


def application(
    network: Trained,
    name: str = "charrnn",
    config: ServeConfig | None = None,
    *,
    known_words: Lexicon | None = None,
    workers: Workers | None = None,
) -> Starlette:
    """An ASGI application."""
    return Server(network, name, config or ServeConfig(), known_words, workers).app


class Server:
    def __init__(self, network, name, config, known_words, workers) -> None:
        self.network, self.name, self.config = network, name, config
        self.known_words = known_words
        self.engine = Engine(network, workers, config.batch)
        self.created = int(time.time())
        self.app = Starlette(
            routes=[
                Route("/v1/completions", self.completions, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/health", self.health),
            ],
            exception_handlers={Refusal: refused, HTTPException: http_error},
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.engine.close()

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "texts": self.engine.texts})

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self.about()]})

    def about(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "charrnn"}

    async def completions(self, request: Request) -> Response:
        body = json_object(await request.body())
        completion = read_completion(body, self.network, self.name, self.config)
        answer = Answer(self.network, self.name, completion)
        answer.streams = self.streams(completion, answer)
        self.engine.add(answer.streams)
        if completion.stream:
            return EventStream(answer)
        return JSONResponse(await answer.whole())

    def streams(self, completion: Completion, answer: Answer) -> list[Stream]:
        streams = []
        lexicon = self.known_words if completion.known_words else None
        for number, prompt in enumerate(completion.prompts):
            try:
                automaton = allowed(self.network.vocab, completion.config, lexicon, prompt.text)
            except CharrnnError as error:
                raise Refusal.of(error) from None
            for n in range(completion.best_of):
                take = completion.config.take + number * completion.best_of + n
                logprobs = completion.logprobs
                if completion.best_of > completion.n:
                    logprobs = logprobs or 0
                order = Order(
                    prompt.ids,
                    replace(completion.config, take=take),
                    automaton,
                    completion.bias,
                    logprobs,
                    completion.echo and completion.logprobs is not None,
                )
                streams.append(Stream(self.network, order, answer.report))
        return streams


class EventStream(Response):
    media_type = "text/event-stream"

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
            }
        )
        async for event in self.answer.events():
            data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
            await send(
                {
                    "type": "http.response.body",
                    "body": f"data: {data}\n\n".encode(),
                    "more_body": True,
                }
            )
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.as_json(), error.status, error.headers)


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(Refusal(error.detail, status=error.status_code).as_json(), error.status_code)

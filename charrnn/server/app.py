"""The application that answers: an ASGI application over one network, or several as one.

GET  /               the page to write on
GET  /health         {"status": "ok", ...}
GET  /v1/models      the network, and /v1/models/NAME
POST /v1/completions texts, as OpenAI's clients ask for them
POST /v1/score       how surprising each symbol of a text is
POST /v1/next        what may come next, and how probable it is
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

import charrnn
from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config.serving import ServeConfig
from charrnn.errors import ConfigError
from charrnn.generation.lexicon import Lexicon
from charrnn.runtime.threads import Workers
from charrnn.server.answer import Answer, Waiter
from charrnn.server.body import json_object
from charrnn.server.completion import Completion, read_completion
from charrnn.server.engine import Engine
from charrnn.server.exchange import Events, Gone, body_of, while_connected
from charrnn.server.guard import Guard
from charrnn.server.orders import streams_of
from charrnn.server.page import HEADERS, page_of
from charrnn.server.reading import Scoring, next_symbols
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Stream
from charrnn.server.values import whole_number

Result = TypeVar("Result")
LONG, MOST_BUILDS = 5000, 16
"""Symbols to read from which on they are prepared in another thread, and how many requests may wait
for that.
"""


def application(
    network: Trained | Sequence[Trained],
    name: str = "charrnn",
    config: ServeConfig | None = None,
    *,
    known_words: Lexicon | None = None,
    workers: Workers | None = None,
    key: str | None = None,
    log: Callable[[str, str, int], None] | None = None,
) -> Starlette:
    """An ASGI application, for uvicorn or any other server, that answers with a network, or with
    several that write together.

        uvicorn.run(application(charrnn.load_mixture("runs/plays"), "plays"), port=8000)

    A text is the same whatever is written beside it: choice k of a request is what `charrnn.
    generate` writes for take k + 1 of its seed with the same settings. The engine's thread ends
    with the application's lifespan.

    name: of the network, for clients. config: its limits, and who may ask; `host` counts as a name
        of the server, `port` is not used.
    known_words: for requests with `known_words`. key: what clients have to send as their API key.
    log: called with the method, the path and the status of each request; never with a text.
    """
    if not isinstance(network, Trained | Sequence):
        raise ConfigError(f"`network` must be a Trained or several, not {type(network).__name__}")
    config = config or ServeConfig()
    service = Service(Mixture.of(network), name, config, known_words, workers)
    guard = Middleware(
        Guard, hosts=(config.host, *config.allow_host), origins=config.cors, key=key, log=log
    )
    return Starlette(
        routes=[
            Route("/", service.page),
            Route("/health", service.health),
            Route("/v1/models", service.models),
            Route("/v1/models/{name:path}", service.model),
            Route("/v1/completions", service.completions, methods=["POST"]),
            Route("/v1/score", service.score, methods=["POST"]),
            Route("/v1/next", service.next, methods=["POST"]),
        ],
        middleware=[guard],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _not_here,
            Gone: _gone,
            Exception: _failed,
        },
        lifespan=service.lifespan,
    )


class Service:
    """What the routes do."""

    def __init__(
        self,
        networks: Mixture,
        name: str,
        config: ServeConfig,
        known_words: Lexicon | None,
        workers: Workers | None,
    ) -> None:
        self.networks, self.name, self.config = networks, name, config
        self.known_words, self.created = known_words, int(time.time())
        self.engine = Engine(networks, workers, config.batch)
        self._builder, self._builds = _builder(), 0

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """End the threads with the application, which may begin once more."""
        try:
            yield
        finally:
            self._builder.shutdown(wait=False, cancel_futures=True)
            self._builder = _builder()
            self.engine.close()

    async def page(self, request: Request) -> Response:
        """The page to write on."""
        return HTMLResponse(self._page, headers=HEADERS)

    @cached_property
    def _page(self) -> str:
        return page_of(self.networks, self.name, self.config, self.known_words is not None)

    async def health(self, request: Request) -> Response:
        """Whether the server is well, and how many texts are written or wait."""
        return JSONResponse(
            {"status": "ok", "version": charrnn.__version__, "texts": self.engine.texts}
        )

    async def models(self, request: Request) -> Response:
        """The network, in a list."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """The network."""
        name = request.path_params["name"]
        if name != self.name:
            raise Refusal(
                f"there is no model {name[:80]!r} here; the only one is {self.name!r}",
                "model",
                "model_not_found",
                status=404,
            )
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "charrnn",
            "networks": len(self.networks),
        }

    async def completions(self, request: Request) -> Response:
        """The texts that a request asks for."""
        body = await self._body(request)
        completion = read_completion(body, self.networks, self.name, self.config)
        answer = Answer(self.networks, self.name, completion)
        answer.streams = await self._streams(request, completion, answer.report)
        if completion.stream:
            return Events(self._writing(answer.streams, answer.events()), self.config.seconds)
        return JSONResponse(await self._written(request, answer.streams, answer.whole()))

    async def _body(self, request: Request) -> dict[str, Any]:
        return json_object(await body_of(request, self.config.max_prompt))

    async def score(self, request: Request) -> Response:
        """How surprising each symbol of a text is."""
        body, waiter = await self._body(request), Waiter()

        def prepare() -> tuple[Scoring, Stream]:
            scoring = Scoring(body, self.networks, self.config)
            return scoring, Stream(self.networks, scoring.order, waiter.report)

        text = body.get("text")
        is_quick = not isinstance(text, str) or len(text) < LONG
        scoring, stream = await self._prepared(request, 1, prepare, is_quick)
        await self._written(request, [stream], waiter.ended([stream]))
        return JSONResponse(scoring.answer(stream))

    async def next(self, request: Request) -> Response:
        """The symbols that a completion would most probably begin with."""
        body = await self._body(request)
        count = whole_number(body, "count", 5, 1, 1000)
        asked = {key: value for key, value in body.items() if key not in ("count", "logprobs")}
        completion = read_completion(asked, self.networks, self.name, self.config)
        if completion.texts > 1:
            raise Refusal(
                "ask for what comes next after one prompt, and once", "prompt", "invalid_value"
            )
        waiter = Waiter()
        (stream,) = await self._streams(request, completion, waiter.report, tells_chances=True)
        await self._written(request, [stream], waiter.ended([stream]))
        return JSONResponse({"next": next_symbols(stream, count)})

    async def _streams(
        self,
        request: Request,
        completion: Completion,
        report: Callable[[Stream], None],
        tells_chances: bool = False,
    ) -> list[Stream]:
        """The texts of a request."""
        prepare = partial(
            streams_of, completion, self.networks, self.known_words, report, tells_chances
        )
        size = sum(len(prompt.ids) for prompt in completion.prompts) * completion.best_of
        is_quick = completion.config.match is None and not completion.known_words and size < LONG
        return await self._prepared(request, completion.texts, prepare, is_quick)

    async def _prepared(
        self, request: Request, texts: int, prepare: Callable[[], Result], is_quick: bool
    ) -> Result:
        """What `prepare` makes of a request for that many texts, in another thread unless it is
        quick; a `Refusal` if there is no room for them, before it or after.
        """
        self._check_room(texts)
        if is_quick:
            return prepare()
        if self._builds >= MOST_BUILDS:
            raise _busy()
        self._builds += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(self._builder, prepare)
            made = await while_connected(request.receive, work, self.config.seconds)
        finally:
            self._builds -= 1
        self._check_room(texts)
        return made

    def _check_room(self, texts: int) -> None:
        most = self.config.batch + self.config.waiting
        if texts > most:
            raise Refusal(
                f"{texts} texts are more than this server has places for: ask for {most} at most",
                "n",
                "too_many_texts",
            )
        if self.engine.texts + texts > most:
            raise _busy()

    async def _written(self, request: Request, streams: Sequence[Stream], work: Any) -> Any:
        """What `work` returns, while the engine writes these."""
        try:
            self.engine.add(streams)
            return await while_connected(request.receive, work, self.config.seconds)
        finally:
            self.engine.cancel(streams)

    async def _writing(
        self, streams: Sequence[Stream], events: AsyncIterator[Result]
    ) -> AsyncGenerator[Result]:
        """The events, while the engine writes these."""
        self._check_room(len(streams))  # the answer has begun meanwhile
        try:
            self.engine.add(streams)
            async for event in events:
                yield event
        finally:
            self.engine.cancel(streams)


def _builder() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "charrnn prepare")


def _busy() -> Refusal:
    return Refusal(
        "too many texts wait already: try again later",
        code="rate_limit_exceeded",
        status=429,
        retry_after=2,
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.as_json(), error.status, error.headers)


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = "there is nothing here; texts are completed at POST /v1/completions"
    if error.status_code == 405:
        message = f"the method {request.method[:20]} is not for this path"
    refusal = Refusal(message, status=error.status_code)
    return JSONResponse(refusal.as_json(), error.status_code, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    logging.getLogger(__name__).error("a mistake in the server", exc_info=error)
    refusal = Refusal("the server has made a mistake; its log says which", status=500)
    return JSONResponse(refusal.as_json(), 500)

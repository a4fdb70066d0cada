"""Receiving with limits, streaming, and noticing a client that left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from charrnn.server.refusal import Refusal

PATIENCE = 20.0
"""Seconds for a body to arrive."""
BYTES, BYTES_OF_A_CHARACTER = 1 << 20, 12
"""What a body may have, and besides for each character of its prompts: as two escapes."""
Result = TypeVar("Result")


class Gone(Exception):
    """The client has left."""


async def body_of(request: Request, characters: int) -> bytes:
    """The body, with prompts of at most `characters` characters; `Refusal` if it is not JSON by its
    type, is too large or comes too slowly.
    """
    most = BYTES + characters * BYTES_OF_A_CHARACTER
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal("the body must have the content-type application/json", status=415)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal("the body must not be compressed", status=415)
    length = request.headers.get("content-length", "0")
    too_large = Refusal(f"the body has more than {most:,} bytes", status=413)
    if not (length.isascii() and length.isdecimal() and len(length) < 10):
        raise too_large
    if int(length) > most:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                data += piece
                if len(data) > most:
                    raise too_large
    except TimeoutError:
        raise Refusal("the body came too slowly", status=408) from None
    except ClientDisconnect:
        raise Gone from None
    return bytes(data)


async def while_connected(receive: Receive, work: Awaitable[Result], seconds: float) -> Result:
    """What `work` returns; `Gone` if the client leaves before, `Refusal` if it takes longer. It is
    cancelled then.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise Gone
        raise Refusal(
            f"this took longer than the {seconds:g} seconds that this server allows: ask for less",
            code="timeout",
            status=503,
            retry_after=10,
        )
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Events(Response):  # type: ignore[misc]
    """An answer of server-sent events, each a JSON object; the last one is [DONE]."""

    def __init__(self, events: AsyncGenerator[dict[str, Any]], seconds: float) -> None:
        super().__init__()
        self._events, self._seconds = events, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the client leaves; an error is an event, too."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await while_connected(receive, self._send(send), self._seconds)
        except Refusal as refusal:
            await _event(send, json.dumps(refusal.as_json()))
        except asyncio.CancelledError:  # the server stops
            await _event(send, json.dumps(Refusal("the server stops", status=503).as_json()))
            raise
        except Gone:
            return
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                await _event(send, json.dumps(event, ensure_ascii=False, separators=(",", ":")))
                await asyncio.sleep(0)  # to hear that the client has left before the next one
        await _event(send, "[DONE]")


async def _event(send: Send, data: str) -> None:
    body = f"data: {data}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})

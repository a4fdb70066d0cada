"""Who may ask: by the name of the server, the origin of the page that asks, and the key.

A page of another site can let a browser send requests to this machine, and by a name of its own
that it points here (DNS rebinding), read the answers. So the name must be one of ours, and the
origin, if a browser tells one, must be this server or one that is allowed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import json
import re
import secrets
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charrnn.server.refusal import Refusal

PATIENCE = 20.0
"""Seconds for a client to take a part of its answer."""
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")
_NAMES = re.compile(r"[A-Za-z0-9, _-]{0,2000}")


class Guard:
    """Passes on what may be asked, and answers the rest.

    hosts: names of this server besides localhost and numeric addresses. origins: of pages that may
    ask. key: what clients have to send, if anything; only /health is open then. log: called with
    the method, the path and the status of each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        origins: Collection[str],
        key: str | None = None,
        log: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self._app, self._key, self._log = app, key, log
        self._hosts = {host.lower() for host in hosts} | {"localhost"}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "").lower()
        is_allowed = origin in self._origins

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                own["x-content-type-options"] = "nosniff"
                if is_allowed:
                    own["access-control-allow-origin"] = headers["origin"]
                    own.add_vary_header("origin")
                if self._log is not None:
                    self._log(scope["method"], scope["path"], message["status"])
            async with asyncio.timeout(PATIENCE):
                await send(message)

        try:
            self._check_length(headers)
            self._check_host(headers)
            if origin and not is_allowed:
                self._check_origin(origin, headers["host"])
            if is_allowed and "access-control-request-method" in headers:
                await _permit(headers, answer)
                return
            if self._key is not None and scope["path"] != "/health":
                self._check_key(headers, self._key)
        except Refusal as refusal:
            await _refuse(refusal, answer, is_page=scope["path"] == "/")
            return
        # else the client has left, or does not read its answer
        with contextlib.suppress(TimeoutError, OSError):
            await self._app(scope, receive, answer)

    def _check_length(self, headers: Headers) -> None:
        """A request with two lengths is read by the one here, by the other in a proxy perhaps."""
        if "transfer-encoding" in headers and "content-length" in headers:
            raise Refusal("the request has both a content-length and a transfer-encoding")

    def _check_host(self, headers: Headers) -> None:
        names = headers.getlist("host")
        match = _HOST.fullmatch(names[0].lower()) if len(names) == 1 else None
        if match is None:
            raise Refusal("the request needs one header host, a name and perhaps a port")
        name = match[1] or match[2]
        if name.rstrip(".") in self._hosts or name.endswith(".localhost") or _is_address(name):
            return
        raise Refusal(
            f"this server does not answer to the name {name[:100]!r}: start it with --allow-host "
            f"{name[:100]}",
            code="unknown_host",
            status=403,
        )

    def _check_origin(self, origin: str, host: str) -> None:
        if origin.partition("://")[2] != host.lower():
            raise Refusal(
                f"pages of {origin[:100]!r} may not ask here: start the server with --cors ORIGIN",
                code="unknown_origin",
                status=403,
            )

    def _check_key(self, headers: Headers, key: str) -> None:
        kind, _, sent = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":  # a browser's: name and password
            with contextlib.suppress(ValueError):
                sent = base64.b64decode(sent, validate=True).decode().partition(":")[2]
        is_right = secrets.compare_digest(sent.strip().encode(), key.encode())
        if kind.lower() not in ("bearer", "basic") or not is_right:
            raise Refusal("the API key is missing or wrong", code="invalid_api_key", status=401)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _permit(headers: Headers, send: Send) -> None:
    """The answer to a browser that asks whether it may ask (CORS)."""
    wanted = headers.get("access-control-request-headers", "")
    allowed = wanted if _NAMES.fullmatch(wanted) else "authorization, content-type"
    await _send(
        send,
        204,
        b"",
        {
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": allowed,
            "access-control-max-age": "600",
        },
    )


async def _refuse(refusal: Refusal, send: Send, is_page: bool) -> None:
    body = json.dumps(refusal.as_json()).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if refusal.status == 401:
        headers["www-authenticate"] = 'Basic realm="charrnn"' if is_page else "Bearer"
    if refusal.status == 400:
        headers["connection"] = "close"
    await _send(send, refusal.status, body, headers)


async def _send(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

"""Listens at a port, with uvicorn."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, h11

from charrnn.config.serving import ServeConfig
from charrnn.errors import CharrnnError, ConfigError

PATIENCE = 20.0
"""Seconds for the head of a request to arrive, and between two requests of a connection."""
MOST_CONNECTIONS, MOST_HEAD = 500, 1 << 16
"""Connections at once, and bytes of a request's head."""
BACKLOG = 64
"""Connections that are accepted before they are counted."""
LAST = 2.0
"""Seconds in which requests may end when the server is stopped."""


def bound(config: ServeConfig) -> socket.socket:
    """A socket that listens at the host and port; `ConfigError` for a host that is none, and
    `CharrnnError` if the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConfigError(f"`host` {config.host!r:.80} is no address of this machine") from None
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    if os.name == "posix":  # elsewhere it lets two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        hint = "give another `port`, or 0 for any free one"
        if error.errno == errno.EADDRNOTAVAIL:
            hint = "give a `host` that is an address of this machine"
        raise CharrnnError(
            f"cannot listen at {config.host} port {config.port}: {error.strerror}; {hint}"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a socket, for a browser."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(
    app: ASGIApp, listener: socket.socket, started: Callable[[], None] = lambda: None
) -> None:
    """Answer by an application until SIGINT or SIGTERM, which is raised again at the end; requests
    have two seconds to end then. In another thread than the main one, `server` of what `server_of`
    returns can be stopped by its `should_exit`.
    """
    server = server_of(app, started)
    server.run([listener])


def server_of(app: ASGIApp, started: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """The server of an application; `started` is called when it answers."""
    config = uvicorn.Config(
        app,
        http=_Patient,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=_connections(),
        timeout_keep_alive=int(PATIENCE),
        timeout_graceful_shutdown=int(LAST),
        h11_max_incomplete_event_size=MOST_HEAD,
    )
    return _Server(config, started)


def _connections() -> int:
    """How many connections there may be at once: each is a file to the system, which allows 256 to
    some processes, unless they ask for more.
    """
    try:
        import resource
    except ImportError:  # Windows
        return MOST_CONNECTIONS
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST_CONNECTIONS
    if 0 <= files < wanted:  # negative: no limit
        files = wanted if most < 0 else min(wanted, most)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if files < 0 else max(16, min(MOST_CONNECTIONS, files - 3 * BACKLOG))


class _Server(uvicorn.Server):  # type: ignore[misc]
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(1024)  # may wait in the system, where they are no files of ours
        self._tell()


class _Patient(H11Protocol):  # type: ignore[misc]
    """Closes connections on which no request arrives in time, or whose answer is not read: uvicorn
    waits forever for the rest of a head, and for what it has sent to be read.
    """

    _deadline = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limit_concurrency + BACKLOG:  # no file is left for a 503
            transport.abort()
            return
        self._deadline = self.loop.time() + PATIENCE
        self._limit()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._limit()

    def on_response_complete(self) -> None:
        self._deadline = self.loop.time() + PATIENCE
        super().on_response_complete()
        if self.transport.is_closing():
            self._close_when_read()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # what follows a request that was answered before its end
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._close_when_read()

    def _close_when_read(self) -> None:
        """Give up a client that has not read any of the rest of its answer for a while."""

        def check() -> None:
            if self.transport.get_write_buffer_size() < unread:
                self._close_when_read()
            else:
                self.transport.abort()

        if unread := self.transport.get_write_buffer_size():
            self.loop.call_later(PATIENCE, check)

    def _limit(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(
            self._deadline, self.timeout_keep_alive_handler
        )

"""A server in a thread, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config.serving import ServeConfig
from charrnn.server.app import application
from charrnn.server.listening import bound, server_of, url_of


@contextmanager
def served(
    network: Trained | Mixture,
    config: ServeConfig | None = None,
    name: str = "bottles",
    **options: Any,
) -> Iterator[str]:
    """The address of a server for a network, which runs until the end of the block."""
    config, started = replace(config or ServeConfig(), port=0), threading.Event()
    with bound(config) as listener:
        server = server_of(application(network, name, config, **options), started.set)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert started.wait(60)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

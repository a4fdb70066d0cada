"""The settings of a server."""

from dataclasses import dataclass
from functools import partial

from charrnn.config.fields import Settings, setting

SERVER, LIMITS = "Server", "Limits"
server, limit = (partial(setting, group=group) for group in (SERVER, LIMITS))


@dataclass(frozen=True, repr=False)
class ServeConfig(Settings):
    """Where a network answers requests, whose, and how much it does for them."""

    host: str = server("127.0.0.1", "Address to listen at; 0.0.0.0: all of this machine's.")
    port: int = server(8000, "Port to listen at; 0: any free one.", 0, 65535)
    cors: tuple[str, ...] = server(
        (), "Origin of web pages that may ask, such as http://localhost:3000; may be repeated."
    )
    allow_host: tuple[str, ...] = server(
        (),
        "Name of this machine by which it may be asked, besides localhost, `host` and numeric "
        "addresses; may be repeated.",
    )
    max_tokens: int = limit(16_384, "Most characters to write for one text.", 1, 10**7)
    max_prompt: int = limit(100_000, "Most characters of a request's prompts together.", 1, 10**7)
    max_texts: int = limit(
        64,
        "Most texts of a request, each of several prompts and each that best_of compares included.",
        1,
        4096,
    )
    batch: int = limit(64, "Texts that are written at once.", 1, 1024)
    waiting: int = limit(
        256, "Texts that may wait for their turn; requests for more get status 429.", 0, 10**6
    )
    seconds: float = limit(300.0, "Time for one request; then it ends with an error.", 0.01, 86400)

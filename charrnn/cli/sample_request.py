"""What `charrnn sample` was asked to write, and how its texts leave it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from charrnn.cli import again, terminal
from charrnn.cli.checkpoints import Member, files_of, mixture_of
from charrnn.config import DynamicConfig, SamplingConfig
from charrnn.config.fields import Settings

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.generation.generate import Written
    from charrnn.runtime.threads import Workers


@dataclass(frozen=True)
class Request:
    """Which networks write, after which prime, and how many texts. `shown` is the prime if it is
    printed, else empty. Of `best_of` takes the likeliest is a text; `adapt` is the file that the
    networks have learned from, with the settings `learning`.
    """

    members: Sequence[Member]
    prime: str
    prime_file: str | None
    shown: str
    count: int
    workers: Workers
    best_of: int = 1
    logprobs: bool = False
    adapt: str | None = None
    learning: DynamicConfig | None = None

    @cached_property
    def networks(self) -> Mixture:
        """The networks as one."""
        return mixture_of(self.members)

    def texts(self, config: SamplingConfig) -> list[Written]:
        """The texts, written side by side."""
        from charrnn.generation.generate import generate_texts

        with terminal.progress_bar("writing", unit="char") as bar:
            if self.best_of > 1:
                return self._best(config, bar)
            texts = generate_texts(
                self.networks, self.count, self.prime, config, workers=self.workers, progress=bar
            )
        if not self.logprobs:
            return texts
        from charrnn.inspection.likelihood import with_logprobs

        return with_logprobs(self.networks, texts, self.prime, config, workers=self.workers)

    def _best(
        self, config: SamplingConfig, bar: Callable[[int, int | None], None]
    ) -> list[Written]:
        from charrnn.inspection.likelihood import best_of

        return best_of(
            self.networks,
            self.best_of,
            self.prime,
            config,
            count=self.count,
            workers=self.workers,
            progress=bar,
        )

    def again(self, config: SamplingConfig, *settings: Settings, **flags: Any) -> str:
        """The command that writes the texts again; flags win over this request's."""
        hidden = bool(self.prime) and not self.shown
        more = () if self.learning is None else (self.learning,)
        own = {"count": self.count, "no_prime": hidden, "adapt": self.adapt}
        own |= {"best_of": None if self.best_of == 1 else self.best_of}
        words = again.command(self.members, config, *settings, *more, **own | flags)
        return again.line(words, self.prime, self.prime_file)

    def described(self, written: Written) -> dict[str, Any]:
        """A text for JSON: of a network of bytes, the bytes too; and how likely it is, if that was
        asked for.
        """
        about = self.shown_text(written.text)
        if self.best_of > 1:
            about["nats_per_char"] = written.nats_per_char
        if self.logprobs and written.logprobs is not None:
            about["logprobs"] = [round(p, 5) for p in written.logprobs.tolist()]
        return about

    def shown_text(self, text: str) -> dict[str, Any]:
        """A text for JSON; of a network of bytes, the bytes too."""
        if self.members[0].trained.vocab.unit == "char":
            return {"text": text}
        data = text.encode("utf-8", "surrogateescape")
        return {"text": _valid(text), "base64": base64.b64encode(data).decode()}

    def about(self, config: SamplingConfig, *settings: Settings, **flags: Any) -> dict[str, Any]:
        """The settings for JSON, and the command."""
        values: dict[str, Any] = {"prime": _valid(self.prime)}
        for each in (config, *settings):
            values |= asdict(each)  # type: ignore[call-overload]
        if self.learning is not None:
            values |= {"adapt": self.adapt, **asdict(self.learning)}
        flags["logprobs"] = self.logprobs
        command = self.again(config, *settings, json=True, **flags)
        return values | files_of(self.members) | {"again": command}


def write(text: str) -> None:
    """Write text to standard output at once, in its encoding; bytes that are not UTF-8, from the
    command line or a network of bytes, come out unchanged.
    """
    stream, encoding = sys.stdout, sys.stdout.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "backslashreplace")
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def _valid(text: str) -> str:
    """The text with U+FFFD for bytes that are not UTF-8: JSON cannot contain them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

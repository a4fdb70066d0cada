"""What `charrnn sample` was asked to write, and how its texts leave it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from charrnn.cli import again, terminal
from charrnn.cli.checkpoints import Member, files_of, mixture_of
from charrnn.cli.known_words import known_words
from charrnn.cli.own_corpus import own_corpus
from charrnn.config import DynamicConfig, SamplingConfig
from charrnn.config.fields import Settings
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.generation.generate import Written
    from charrnn.generation.lexicon import Lexicon
    from charrnn.runtime.threads import Workers
    from charrnn.text.corpus import Corpus


@dataclass(frozen=True)
class Request:
    """Which networks write, after which prime, and how many texts.

    shown: the prime if it is printed, else empty. training_text: the files of --text, if the text
        that the network was trained on has moved. words: the file of --known-words, empty for that
        text, or None. best_of: each text is the likeliest of this many takes. adapt: the file
        that the networks have learned from, with the settings `learning`.
    """

    members: Sequence[Member]
    prime: str
    prime_file: str | None
    shown: str
    count: int
    workers: Workers
    training_text: tuple[str, ...]
    words: str | None = None
    best_of: int = 1
    logprobs: bool = False
    adapt: str | None = None
    learning: DynamicConfig | None = None

    @cached_property
    def networks(self) -> Mixture:
        """The networks as one."""
        return mixture_of(self.members)

    @cached_property
    def own_corpus(self) -> Corpus:
        """The text that the first network was trained on."""
        return self._corpus_of(self.members[0])

    @cached_property
    def corpora(self) -> list[Corpus]:
        """The texts that the networks were trained on."""
        return [self.own_corpus, *map(self._corpus_of, self._with_others)]

    def corpora_quietly(self) -> list[Corpus]:
        """The same, read again without progress."""
        return [self._corpus_of(each, quiet=True) for each in (self.members[0], *self._with_others)]

    @property
    def _with_others(self) -> list[Member]:
        """Networks that were trained on other texts than the first one."""
        others = {member.trained.origin.sha256: member for member in self.members}
        del others[self.members[0].trained.origin.sha256]
        return list(others.values())

    def _corpus_of(self, member: Member, quiet: bool = False) -> Corpus:
        """From the files of --text, all of them or one, if they are this network's text."""
        if len(self.networks) > 1:
            for texts in (self.training_text, *((text,) for text in self.training_text)):
                with suppress(CorpusError):
                    return own_corpus(member, texts, quiet)
        own_texts = self.training_text if member is self.members[0] else ()
        return own_corpus(member, own_texts, quiet)

    def training(self, config: SamplingConfig) -> list[Corpus]:
        """What the networks were trained on, for `max_copy`; empty without it."""
        return self.corpora if config.max_copy else []

    @cached_property
    def known_words(self) -> Lexicon | None:
        """The only words to write; None for any."""
        if self.words is None:
            return None
        return known_words(self.networks, self.words, lambda: self.own_corpus)

    def is_line(self, config: SamplingConfig) -> bool:
        """True if a text ends with its first line."""
        from charrnn.text.endings import NEWLINE

        separator = self.members[0].trained.corpus_config.document_separator
        return (
            config.until == "line"
            or config.lines == 1
            or (config.until == "document" and separator in NEWLINE)
        )

    def preparing(self, config: SamplingConfig) -> AbstractContextManager[None]:
        """Says, if it takes a while, that the automaton of what may be written is being built."""
        if config.match is None and not config.must and self.words is None:
            return nullcontext()
        return terminal.announced("working out what may be written ...")

    def texts(self, config: SamplingConfig) -> list[Written]:
        """The texts, written side by side, with their probabilities if they are asked for."""
        from charrnn.generation.generate import generate_texts
        from charrnn.inspection.likelihood import likeliest, with_logprobs

        known_words, training = self.known_words, self.training(config)
        with terminal.progress_bar("writing", unit="char") as bar:
            texts = generate_texts(
                self.networks,
                self.count * self.best_of,
                self.prime,
                config,
                workers=self.workers,
                known_words=known_words,
                progress=bar,
                training=training,
            )
        if self.best_of == 1 and not self.logprobs:
            return texts
        texts = with_logprobs(self.networks, texts, self.prime, config, workers=self.workers)
        return likeliest(texts, self.best_of)

    def exact(self, config: SamplingConfig) -> SamplingConfig:
        """The settings with the precision that `auto` stands for, unless networks differ in it."""
        from charrnn.generation.quantization import precision_of

        chosen = {precision_of(network.model, config.precision) for network in self.networks}
        return replace(config, precision=chosen.pop()) if len(chosen) == 1 else config

    def again(self, config: SamplingConfig, *settings: Settings, **flags: Any) -> str:
        """The command that writes the texts again; flags win over this request's."""
        hidden = bool(self.prime) and not self.shown
        own = {"count": self.count, "no_prime": hidden, "text": self.training_text}
        own |= {"known_words": self.words or self.words is not None, "adapt": self.adapt}
        own |= {"best_of": None if self.best_of == 1 else self.best_of}
        more = () if self.learning is None else (self.learning,)
        words = again.command(self.members, self.exact(config), *settings, *more, **own | flags)
        return again.line(words, self.prime, self.prime_file)

    def described(self, written: Written) -> dict[str, Any]:
        """A text for JSON, and how likely it is, if that was asked for."""
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
        for each in (self.exact(config), *settings):
            values |= asdict(each)  # type: ignore[call-overload]
        if self.learning is not None:
            values |= {"adapt": self.adapt, **asdict(self.learning)}
        command = self.again(config, *settings, json=True, logprobs=self.logprobs, **flags)
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

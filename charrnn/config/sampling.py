"""The settings of what a network writes."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, get_args

from charrnn.config.fields import Settings, setting
from charrnn.errors import ConfigError

Precision = Literal["auto", "float32", "bf16", "int8"]
SHORT = "Many short texts"
sampling, short = (partial(setting, group=group) for group in ("Sampling", SHORT))


@dataclass(frozen=True, repr=False)
class SamplingConfig(Settings):
    """How a network writes. A text has at most `length` characters (bytes with the unit byte)."""

    length: int | None = sampling(
        None,
        "Characters to write; with `until` or `lines`, the most (default then: 10,000), and with "
        "`match` (1,000). Without any of these: 500, and on to the end of a sentence.",
        0,
        2**53,
    )
    until: Literal["sentence", "line", "paragraph", "document"] | None = sampling(
        None, "End at the first end of one, which is kept (see docs/writing.md)."
    )
    lines: int | None = sampling(None, "End after this many lines.", 1, 10**12)
    after: int = sampling(
        0, "With `until` and `lines`, count no end within this many characters.", 0, 10**12
    )
    temperature: float = sampling(
        0.8,
        "Randomness: divides the logits; 0 always takes the most probable character.",
        0.0,
        1e300,
    )
    inner_temperature: float | None = sampling(
        None,
        "Temperature inside words: after a letter, digit or mark (default: `temperature`).",
        0.0,
        1e300,
    )
    temperature_to: float | None = sampling(
        None,
        "Move the temperature evenly from `temperature` at the first character to this at "
        "`length`.",
        0.0,
        1e300,
    )
    top_k: int = sampling(0, "Sample from the K most probable characters; 0: all.", 0)
    top_p: float = sampling(
        1.0,
        "Sample from the fewest most probable characters that together have this probability; 1: "
        "all.",
        0.0,
        1.0,
    )
    min_p: float = sampling(
        0.0,
        "Exclude characters less probable than this times the most probable one; 0: none.",
        0.0,
        1.0,
    )
    dry_multiplier: float = sampling(
        0.0,
        "Guard against loops: strength of the penalty on characters that go on repeating what was "
        "written; 0: none, 0.8 is usual.",
        0.0,
        1e6,
    )
    dry_base: float = sampling(
        1.15, "Factor by which the penalty grows for each repeated character.", 1.0, 100.0
    )
    dry_allowed_length: int = sampling(
        16, "Repeated characters from which on there is a penalty.", 1, 10**6
    )
    dry_penalty_last_n: int = sampling(
        1024, "Last characters in which repetitions are sought.", 1, 65536
    )
    max_copy: int = sampling(
        0,
        "Write no passage of this many characters that stands in the training text, whatever its "
        "case, spaces and punctuation; 0: any. Shakespeare shares at most 27 with himself.",
        0,
        2**20,
    )
    seed: int = sampling(0, "The same seed writes the same text.", 0, 2**63 - 1)
    take: int = sampling(1, "Write take K of the seed; with several texts, from it on.", 1, 2**53)
    stop: tuple[str, ...] = sampling((), "Stop before this string; may be repeated.")
    keep_stop: bool = sampling(False, "Keep the string that stopped the text.")
    match: str | None = sampling(
        None,
        "Write only what matches this regular expression as a whole, after the prime. Where it may "
        "end or go on, the network decides.",
    )
    must: tuple[str, ...] = sampling(
        (), "A word that the text has to contain; may be repeated, in any order."
    )
    particles: int = sampling(
        1,
        "With `match`, `must` or `known_words`: texts written side by side for each one that is "
        "kept. The more there are, the less these distort what the network would write.",
        1,
        4096,
    )
    unknown: Literal["error", "skip", "nearest", "fold"] = sampling(
        "error", "How to treat characters of the prime that are not in the vocabulary."
    )
    precision: Precision = sampling(  # noqa: RUF009
        "auto",
        "Round weights to this type, which is faster; auto: int8, where that does not change the "
        "loss, else float32. Each writes a text of its own.",
    )

    def __post_init__(self) -> None:
        """Check as for all settings, and which of them need or exclude one another."""
        super().__post_init__()
        if self.until is not None and self.lines is not None:
            raise ConfigError("`until` and `lines` both say where to end; leave one of them out")
        if self.after and self.length is not None and self.until is None and self.lines is None:
            raise ConfigError("`after` needs `until` or `lines`: no other end is put off")

    def resolved(self) -> Self:
        """The settings with a `length`: 10,000 with `until` or `lines`, else 1,000 with `match`;
        without any of these, the text ends with the first sentence to end after 500 characters, or
        at 1,000.
        """
        if self.length is not None:
            return self
        if self.until is None and self.lines is None and self.match is None:
            after = self.after or 500
            return replace(self, until="sentence", after=after, length=after + 500)
        return replace(self, length=10_000 if self.until or self.lines else 1_000)


@dataclass(frozen=True, repr=False)
class ShortConfig(Settings):
    """Which short texts pass, such as names: whole ones, the beginning in the prime included."""

    min_length: int = short(0, "Characters of a whole short text, at least.", 0, 10**12)
    max_length: int | None = short(None, "Characters of a whole short text, at most.", 1, 10**12)
    unique: bool = short(
        False, "Write no short text twice; small and capital letters are the same."
    )

    def __post_init__(self) -> None:
        """Check as for all settings; `min_length` must be at most `max_length`."""
        super().__post_init__()
        if self.max_length is not None and self.min_length > self.max_length:
            raise ConfigError(
                f"`min_length` {self.min_length} is larger than `max_length` {self.max_length}"
            )


PRECISIONS = tuple(each for each in get_args(Precision) if each != "auto")
"""The types that weights can be rounded to for sampling."""

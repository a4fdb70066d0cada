"""Every setting, once: its name, default, range, group and help.

Flags, help texts, `config.toml` and a checkpoint's metadata are derived from these three frozen dataclasses. They are
checked when they are made, so a configuration that exists is valid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self, get_type_hints

from charrnn.errors import ConfigError


def setting(
    default: Any,
    help: str,
    group: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field that knows its help text, its group in `--help`, and its range (both ends included)."""
    about = {"help": help, "group": group, "minimum": minimum, "maximum": maximum, "choices": choices}
    return field(default=default, metadata=about)


class Settings:
    """What the configurations share: checking on construction, and reading from a mapping. No state of its own."""

    def __post_init__(self) -> None:
        """Check every field against its type and range; raise `ConfigError` naming the first that does not fit."""
        hints = get_type_hints(type(self))
        for f in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, f.name, _checked(f.name, getattr(self, f.name), hints[f.name], f.metadata))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "the settings") -> Self:
        """The configuration with these values and defaults for the rest; unknown names raise `ConfigError`."""
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise ConfigError(f"{where}: there is no setting {name!r}; known are: {', '.join(sorted(known))}")
        return cls(**values)


def _checked(name: str, value: Any, hint: Any, about: Mapping[str, Any]) -> Any:
    flag = "--" + name.replace("_", "-")
    optional = "None" in str(hint)
    if value is None and optional:
        return None
    kind = next(t for t in (bool, int, float, str) if t.__name__ in str(hint))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(min(max(value, -(10**300)), 10**300))  # what is larger would overflow, and is out of range anyway
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{flag} must be {_KINDS[kind]}, not {value!r}")
    if about["choices"] and value not in about["choices"]:
        raise ConfigError(f"{flag} must be one of {', '.join(about['choices'])}, not {value!r}")
    low, high = about["minimum"], about["maximum"]
    if kind is float and value != value:
        raise ConfigError(f"{flag} must be a number, not nan")
    if low is not None and value < low:
        raise ConfigError(f"{flag} must be at least {low:g}, not {_shown(value)}")
    if high is not None and value > high:
        raise ConfigError(f"{flag} must be at most {high:g}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A number for a message; an int from a file may have thousands of digits, too many for a float."""
    return f"{value:g}" if abs(value) < 10**300 else "a number of more than 300 digits"


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}

DEFAULT_EPOCHS, LEAST_STEPS = 30, 1000  # without --epochs and --steps: a tiny text needs more passes
TEXT, NETWORK, TRAINING, RUN = "Text", "Network", "Training", "Run"


@dataclass(frozen=True)
class CorpusConfig(Settings):
    """How a text is read and split."""

    encoding: str = setting("utf-8", "Character encoding of the text.", TEXT)
    newlines: str = setting(
        "lf", "lf turns CRLF and CR into LF; keep leaves them (bytes: always).", TEXT, choices=("lf", "keep")
    )
    normalize: str = setting(
        "none", "Unicode normalisation form.", TEXT, choices=("none", "NFC", "NFD", "NFKC", "NFKD")
    )
    unit: str = setting("char", "What the network predicts: characters or bytes.", TEXT, choices=("char", "byte"))
    min_count: int = setting(
        1, "Fold characters that occur less often than this into one unknown symbol, never sampled.", TEXT, minimum=1
    )
    val_fraction: float = setting(
        0.1, "Share of the text, at its end, kept for validation.", TEXT, minimum=0.0, maximum=0.9
    )
    test_fraction: float = setting(
        0.0, "Share of the text, after the validation part, never touched in training.", TEXT, minimum=0.0, maximum=0.9
    )

    def __post_init__(self) -> None:
        """As for all settings, and the two fractions must leave something to train on."""
        super().__post_init__()
        if self.val_fraction + self.test_fraction > 0.9 + 1e-9:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction {self.test_fraction:g} leave less than a tenth "
                "of the text to train on; make them smaller"
            )


@dataclass(frozen=True)
class ModelConfig(Settings):
    """The shape of the network; `vocab_size` follows from the text."""

    vocab_size: int = setting(2, "Number of symbols V.", NETWORK, minimum=2, maximum=65536)
    cell: str = setting("lstm", "Recurrent cell.", NETWORK, choices=("lstm",))
    layers: int = setting(2, "Stacked recurrent layers L.", NETWORK, minimum=1, maximum=64)
    hidden: int = setting(256, "Units H of each layer.", NETWORK, minimum=1, maximum=16384)
    embedding: int = setting(
        0, "Size of learned character vectors; 0 feeds one-hot characters.", NETWORK, minimum=0, maximum=16384
    )
    dropout: float = setting(
        0.3, "Share of every layer's outputs dropped in training.", NETWORK, minimum=0.0, maximum=0.95
    )
    forget_bias: float = setting(1.0, "Initial bias of the forget gates.", NETWORK, minimum=-20.0, maximum=20.0)


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a network is trained. `epochs` and `steps`: whichever ends first."""

    batch_size: int = setting(32, "Streams N trained side by side.", TRAINING, minimum=1, maximum=65536)
    seq_length: int = setting(64, "Characters T between updates (truncated BPTT).", TRAINING, minimum=1, maximum=65536)
    optimizer: str = setting("adam", "Rule of the update.", TRAINING, choices=("adam",))
    learning_rate: float = setting(
        0.003, "Step size of the optimiser, at its peak.", TRAINING, minimum=0.0, maximum=10.0
    )
    schedule: str = setting(
        "inverse-sqrt",
        "How the learning rate falls: as 1 / sqrt(1 + step / 1000), or not.",
        TRAINING,
        choices=("inverse-sqrt", "constant"),
    )
    beta1: float = setting(0.9, "Adam's memory of the gradient.", TRAINING, minimum=0.0, maximum=0.99999)
    beta2: float = setting(0.999, "Adam's memory of its square.", TRAINING, minimum=0.0, maximum=0.9999999)
    epsilon: float = setting(1e-8, "Adam's guard against division by zero.", TRAINING, minimum=1e-15, maximum=1.0)
    clip_norm: float = setting(
        1.0, "Largest norm of the gradient; 0 does not clip.", TRAINING, minimum=0.0, maximum=1e9
    )
    clip_value: float = setting(
        0.0, "Largest absolute value of a gradient; 0 does not clip.", TRAINING, minimum=0.0, maximum=1e9
    )
    epochs: float | None = setting(
        None,
        "Passes over the training text (default: 30, but at least 1000 steps; none with --steps).",
        RUN,
        minimum=1e-9,
        maximum=1e9,
    )
    steps: int | None = setting(None, "Updates to make, in all.", RUN, minimum=1, maximum=10**12)
    seed: int = setting(0, "Seed of everything random.", RUN, minimum=0, maximum=2**63 - 1)
    eval_every: int | None = setting(
        None,
        "Steps between validations (default: one an epoch, but 100 to 1000 steps).",
        RUN,
        minimum=1,
        maximum=10**12,
    )
    sample_every: int | None = setting(
        None, "Steps between samples shown (default: every fifth validation; 0: none).", RUN, minimum=0, maximum=10**12
    )
    save_every: int | None = setting(
        None, "Steps between checkpoints (default: with each validation).", RUN, minimum=1, maximum=10**12
    )

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many updates the run makes: `steps` or `epochs`, whichever ends first."""
        if self.epochs is None and self.steps is None:
            return max(DEFAULT_EPOCHS * steps_per_epoch, LEAST_STEPS)
        limits = [self.steps] if self.steps is not None else []
        if self.epochs is not None:
            limits.append(max(1, math.ceil(self.epochs * steps_per_epoch - 1e-9)))
        return min(limits)

    def eval_interval(self, steps_per_epoch: int) -> int:
        """Steps between validations."""
        return self.eval_every or min(max(steps_per_epoch, 100), 1000)

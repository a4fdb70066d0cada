"""The settings of texts, networks and evaluation, once: name, default, range, group and help.

Flags, help texts, `config.toml` and a checkpoint's metadata are derived from these frozen
dataclasses. They check themselves when created, so every configuration is valid.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from charrnn.config.fields import Settings, check_pattern, setting, settings_of
from charrnn.errors import ConfigError

text, network, dropped, dynamic, remembered = (
    partial(setting, group=group)
    for group in ("Text", "Network", "Dropout", "Dynamic evaluation", "Memory")
)


@dataclass(frozen=True, repr=False)
class CorpusConfig(Settings):
    """How a text is read and split."""

    encoding: str = text("utf-8", "Character encoding of the text.")
    encoding_errors: Literal["strict", "replace", "ignore"] = text(
        "strict",
        "Bytes that are not in the encoding: strict reports the first, replace makes them U+FFFD, "
        "ignore leaves them out.",
    )
    newlines: Literal["lf", "keep"] = text(
        "lf", "lf turns CRLF and CR into LF; keep leaves them (always with the unit byte)."
    )
    normalize: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = text(
        "none", "Unicode normalization form."
    )
    unit: Literal["char", "byte"] = text("char", "What the network predicts: characters or bytes.")
    min_count: int = text(
        1,
        "Replace characters that occur less often than this by one unknown symbol, never sampled.",
        1,
    )
    val_fraction: float = text(
        0.1,
        "Fraction of the text kept for validation: its end, or documents drawn from all of it.",
        0.0,
        0.9,
    )
    test_fraction: float = text(
        0.0, "Fraction of the text kept for testing: after the validation part.", 0.0, 0.9
    )
    document_separator: str | None = text(
        None,
        "Regular expression; a new document, and a zero state, begins after each match.",
    )

    def __post_init__(self) -> None:
        """Check as for all settings; the two fractions must leave text to train on, and the
        separator must be a regular expression.
        """
        super().__post_init__()
        if self.document_separator is not None:
            check_pattern("document_separator", self.document_separator)
        if self.val_fraction + self.test_fraction > 0.9 + 1e-9:
            raise ConfigError(
                f"`val_fraction` {self.val_fraction:g} and `test_fraction` {self.test_fraction:g} "
                "leave less than a tenth of the text to train on; make them smaller"
            )


@dataclass(frozen=True, repr=False)
class ModelConfig(Settings):
    """The shape of the network; the text determines `vocab_size`."""

    vocab_size: int = network(2, "Number of symbols V.", 2, 65536)
    cell: Literal[
        "lstm", "peephole", "coupled", "gru", "gru-after", "rnn", "clockwork", "depth-gated", "grid"
    ] = network("lstm", "Recurrent cell (equations: docs/networks.md).")
    layers: int = network(2, "Number of stacked recurrent layers L.", 1, 64)
    hidden: int = network(None, "Units H per layer (default: by text and length).", 1, 16384)
    embedding: int = network(
        None,
        "Size of the learned character embeddings (default: 128, or 64 for layers of fewer than "
        "192 units); 0: one-hot characters.",
        0,
        16384,
    )
    mogrifier: int = network(
        None,
        "Rounds in which the characters' embeddings and the lowest layer's state scale each other "
        "before each step (cell lstm; default: by the recipe); 0: none.",
        0,
        16,
    )
    skip: bool = network(
        False, "Feed the outputs of all layers to the decoder, not only the last layer's."
    )
    residual: bool = network(
        False, "Add each layer's input to its output, from the second layer on."
    )
    layer_norm: bool = network(
        None,
        "Layer normalization of each layer's outputs (default: for lstm, peephole, coupled and "
        "depth-gated).",
    )
    attention: int = network(
        None,
        "Let the network look back at the last characters, this many, a multiple of 16 (attention, "
        "trained with it; default: by units and documents); 0: none.",
        0,
        32768,
    )
    activation: Literal["tanh", "softsign", "relu"] = network(
        "tanh", "Nonlinearity of the cell's input and output (gates are sigmoids)."
    )
    clockwork_groups: int = network(
        8, "Groups of units in the clockwork cell, updated every 1, 2, 4, ... steps.", 1, 16
    )
    init: Literal["xavier-uniform", "xavier-normal", "uniform"] = network(
        "xavier-uniform",
        "Initial weights: Xavier (Glorot and Bengio), or uniform within `init_scale`.",
    )
    init_scale: float = network(0.08, "Largest initial weight with `init` uniform.", 0.0, 10.0)
    input_scale: float = network(
        1.0,
        "Standard deviation of the initial embeddings, or of the initial weights of one-hot "
        "characters (not with `init` uniform).",
        0.0,
        10.0,
    )
    recurrent_init: Literal["same", "orthogonal", "identity"] = network(
        "same", "Initial recurrent weights: same as `init`, or these."
    )
    forget_bias: float = network(0.0, "Initial bias of the forget gates.", -20.0, 20.0)
    dropout: float = dropped(
        None,
        "Dropout rate of each layer's outputs (default: by size and passes).",
        0.0,
        0.95,
    )
    input_dropout: float = dropped(
        None,
        "Fraction of input characters hidden from the network in training (default: by passes).",
        0.0,
        0.95,
    )
    recurrent_dropout: float = dropped(
        0.0, "Fraction of the recurrent weights dropped in each batch (DropConnect).", 0.0, 0.95
    )
    locked_dropout: bool = dropped(
        False, "Use the same masks for `dropout` and `input_dropout` at all steps of a batch."
    )
    zoneout_c: float = dropped(
        0.0, "Fraction of the cell states that keep their previous value in training.", 0.0, 0.95
    )
    zoneout_h: float = dropped(
        0.0, "Fraction of the hidden states that keep their previous value in training.", 0.0, 0.95
    )

    def __post_init__(self) -> None:
        """Check as for all settings; the reach of attention must be a multiple of 16."""
        super().__post_init__()
        if self.attention is not None and self.attention % 16:
            raise ConfigError(
                f"`attention` must be a multiple of 16, not {self.attention}; "
                f"{-(-self.attention // 16) * 16} is the next one"
            )
        if self.mogrifier and not self.may_mogrify:
            raise ConfigError(
                f"`mogrifier` {self.mogrifier} needs `cell` lstm and an `embedding`; leave it out"
            )

    @property
    def may_mogrify(self) -> bool:
        """True if `mogrifier` may have rounds."""
        return self.cell == "lstm" and self.embedding != 0

    def sized(self) -> Self:
        """The settings with a size for the embeddings, by the units of a layer."""
        return self.filled(embedding=SMALL_EMBEDDING if self.hidden < LARGE else EMBEDDING)

    def resolved(self) -> Self:
        """The settings with every default that needs no text: no dropout, no attention, no rounds
        of the Mogrifier, and layer normalization for cells with a cell state. `ConfigError`
        without `hidden`.
        """
        if self.hidden is None:
            raise ConfigError("`hidden` is missing: set the units per layer")
        layer_norm = self.cell in MEMORY and self.hidden != 1  # of one unit nothing is left
        none = {"attention": 0, "mogrifier": 0, "dropout": 0.0, "input_dropout": 0.0}
        return self.sized().filled(layer_norm=layer_norm, **none)


@dataclass(frozen=True, repr=False)
class DynamicConfig(Settings):
    """How a network keeps learning from the text that it is scored on (dynamic evaluation)."""

    dynamic_rate: float = dynamic(
        5e-4,
        "Learning rate of dynamic evaluation: eta of Krause et al. 2018. In evaluation one copy of "
        "the network learns at half of it, another at twice.",
        0.0,
        1.0,
    )
    dynamic_decay: float = dynamic(
        3e-4,
        "Decay of the weights towards the trained ones: lambda. Half and twice, as the rate.",
        0.0,
        1.0,
    )
    dynamic_segment: int = dynamic(64, "Characters between two updates.", 1, 65536)
    dynamic_streams: int = dynamic(
        1,
        "Parts of the text read in parallel with the same weights; faster, but the network "
        "learns less.",
        1,
        1024,
    )
    dynamic_precision: Literal["auto", "float32", "bf16", "amx"] = dynamic(
        "auto",
        "Type of the factors in matrix products, as in training. auto: the fastest for a text of "
        "over 20,000 characters; float32 for a shorter one, and for a text to learn from before "
        "writing.",
    )


@dataclass(frozen=True, repr=False)
class MemoryConfig(Settings):
    """What a network remembers of the text that it is scored on (a neural cache)."""

    memory_size: int = remembered(4000, "Characters that are remembered.", 1, 65536)
    memory_sharpness: float = remembered(
        17.0, "How alike two places must be: theta of Grave et al. 2017.", 0.0, 1000.0
    )


SMALL_EMBEDDING, EMBEDDING, LARGE = 64, 128, 192
"""Numbers of an embedding, by default: for layers of few units, and from `LARGE` on."""
MEMORY = ("lstm", "peephole", "coupled", "depth-gated")
"""Cells with a cell state c that learn faster with normalized outputs."""
CELL_NAMES = settings_of(ModelConfig)["cell"].choices
ACTIVATIONS = settings_of(ModelConfig)["activation"].choices

"""A trained network, independent of the run that trained it, and its file.

The tensors are the network's (`names`), the bfloat16 `squares.` tensors that dynamic evaluation
needs, and `start.h` and `start.c`, the states to start from. The metadata holds `model`, `corpus`
(how its text is read), `vocab` (a list; the index of a symbol is its id), `unit`, `unknown`,
`texts`, `sha256`, `step`, `epoch`, `loss`, `start_ids`, and `squares`, the prefix of those tensors'
names. The file of a run, which contains more (`training.run_file`), can be read here too; only what
a network needs is read.
"""

import os
from dataclasses import asdict, dataclass

import numpy as np

from charrnn.checkpoint.format import (
    Arrays,
    File,
    arrays_of,
    opened,
    second_biases,
    write,
)
from charrnn.checkpoint.header import Metadata, configuration, count, value
from charrnn.checkpoint.paths import find_checkpoint
from charrnn.checkpoint.start_states import IDS, StartStates, read_start_states
from charrnn.config import CorpusConfig, ModelConfig
from charrnn.errors import CheckpointError, ConfigError, CorpusError
from charrnn.network.arithmetic import to_bf16
from charrnn.network.model import Model
from charrnn.network.parameters import Parameters
from charrnn.text.corpus import PARTS, Corpus, part_sizes
from charrnn.text.documents import start_ids
from charrnn.text.vocab import Vocab, counted

SQUARES = "squares."


@dataclass(frozen=True)
class Text:
    """A text that a network was trained on: the file's name without its folder, its size, and
    "validation" or "test" if it was given as that part (`Corpus.read`).
    """

    name: str
    characters: int
    part: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a network came from: its texts, their hash (`Corpus.sha256`), and how long it trained.

    loss: on the validation part, in nats per character; None if it was not measured.
    """

    texts: tuple[Text, ...] = ()
    sha256: str = ""
    step: int = 0
    epoch: float = 0.0
    loss: float | None = None

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"Origin({counted(len(self.texts), 'text')}, step {self.step:,}{loss})"


@dataclass(frozen=True)
class Trained:
    """All of a trained network that sampling, evaluation and export need; no training state.

    corpus_config: how its text was read; its `document_separator` says where documents begin.
    squares: the mean squares of the gradients, relative to their mean, for dynamic evaluation; None
        if the optimizer kept none. starts: what a text may start from; None in a new network.
    """

    model: Model
    vocab: Vocab
    corpus_config: CorpusConfig
    origin: Origin = Origin()
    squares: Parameters | None = None
    starts: StartStates | None = None

    @property
    def opening(self) -> StartStates:
        """What a text starts from: `starts`, or without them a zero state that reads a newline."""
        return self.starts or StartStates.zero(self.model, int(start_ids(self.vocab)[0]))

    def __post_init__(self) -> None:
        """`ConfigError` unless the parts belong together; kernels rely on it."""
        config = self.model.config
        if len(self.vocab) != config.vocab_size:
            raise ConfigError(
                f"`vocab` has {len(self.vocab)} symbols, but the network has {config.vocab_size}"
            )
        if self.squares is not None and self.squares.tensors != self.model.parameters.tensors:
            raise ConfigError("`squares` belong to a network of another shape")
        if self.starts is not None:
            self.starts.check(config)

    def __repr__(self) -> str:
        return f"Trained({self.model.summary}, {self.vocab!r}, {self.origin!r})"

    def check_text(self, corpus: Corpus) -> None:
        """`CorpusError` unless the network was trained on this text, with the same parts."""
        if corpus.sha256 != self.origin.sha256:
            characters = sum(text.characters for text in self.origin.texts)
            raise CorpusError(
                f"this is not the run's text: it has {len(corpus):,} characters, sha256 "
                f"{corpus.sha256[:12]}, but the run's text had {characters:,}, "
                f"{self.origin.sha256[:12]}; restore the text, or start a new run with `init_from`"
            )
        before, now = part_sizes(self.origin.texts), part_sizes(corpus.sources)
        if before != now:
            raise CorpusError(
                f"the text was read with {_parts(now)}, but the run had it with {_parts(before)}"
            )
        for name in ("unit", "val_fraction", "test_fraction", "document_separator"):
            before, now = getattr(self.corpus_config, name), getattr(corpus.config, name)
            if before != now:
                raise CorpusError(
                    f"the text was read {_with(name, now)}, but the run had it "
                    f"{_with(name, before)}; read it {_with(name, before)}"
                )


def save(path: str | os.PathLike[str], trained: Trained) -> None:
    """Write a trained network to a file atomically; `CheckpointError` if that fails."""
    if not isinstance(trained, Trained):
        raise ConfigError(
            f"`trained` must be a Trained, not {type(trained).__name__}; a Run's is its attribute "
            "`trained`, and `save_run` writes the whole run"
        )
    config, arrays, about = trained.model.config, arrays_in_file(trained), metadata_of(trained)
    if trained.squares is not None and trained.squares.flat.any():
        relative, squares = trained.squares.like(), trained.squares.flat
        np.divide(squares, squares[squares > 0].mean(dtype=np.float64), out=relative.flat)
        words = arrays_of(relative, config, SQUARES).items()
        arrays |= {name: to_bf16(array) for name, array in words}
        about |= {"squares": SQUARES}
    write(path, arrays, about)


def load(path: str | os.PathLike[str]) -> Trained:
    """Load the network in a checkpoint file or a run's folder (its best network, else its last).

    `CheckpointError` for anything that is not an intact checkpoint of a supported format.
    """
    with opened(find_checkpoint(path)) as file:
        return read_trained(file)


def arrays_in_file(trained: Trained) -> Arrays:
    """The network's own tensors and its start states', by their names in a file."""
    config, starts = trained.model.config, trained.starts
    own = {**second_biases(config), **arrays_of(trained.model.parameters, config)}
    return own if starts is None else own | starts.in_file(trained.model)


def metadata_of(trained: Trained) -> Metadata:
    """A file's metadata, ready for JSON; the module's docstring lists the keys."""
    return {
        "model": asdict(trained.model.config),
        "corpus": asdict(trained.corpus_config),
        **trained.vocab.as_json(),
        **asdict(trained.origin),
        **({} if trained.starts is None else {IDS: trained.starts.ids.tolist()}),
        "texts": [
            {name: value for name, value in asdict(text).items() if name != "part" or value}
            for text in trained.origin.texts
        ],
    }


def read_trained(file: File) -> Trained:
    """The network in an open file."""
    about = file.about
    config = configuration(ModelConfig, about, "model")
    corpus_config = configuration(CorpusConfig, about, "corpus")
    vocab = Vocab.from_json(about)
    if len(vocab) != config.vocab_size:
        raise CheckpointError(
            f"the vocabulary has {len(vocab)} symbols, but the network has {config.vocab_size}; "
            "the file is damaged"
        )
    origin = _origin(about)
    model = Model(config, file.parameters(config))
    model.hold_zeros()  # files by other programs may have other numbers there
    squares = None
    if about.get("squares") is not None:
        squares = file.parameters(config, value(about, "squares", str))
        if (squares.flat < 0).any():
            raise CheckpointError("the squares contain a negative number; the file is damaged")
    starts = read_start_states(file, model)
    return Trained(model, vocab, corpus_config, origin, squares, starts)


def texts_of(about: Metadata) -> tuple[Text, ...]:
    """The texts that a network was trained on."""
    entries = value(about, "texts", list)
    if not all(isinstance(entry, dict) for entry in entries):
        raise CheckpointError("the metadata's 'texts' is not a list of texts; the file is damaged")
    texts = tuple(
        Text(value(e, "name", str), count(e, "characters"), value({"part": "", **e}, "part", str))
        for e in entries
    )
    if not {text.part for text in texts} <= {"", *PARTS}:
        raise CheckpointError("the metadata's 'texts' names an unknown part; the file is damaged")
    return texts


def _origin(about: Metadata) -> Origin:
    loss = None if about.get("loss") is None else value(about, "loss", float)
    return Origin(
        texts_of(about),
        value(about, "sha256", str),
        count(about, "step"),
        value(about, "epoch", float),
        loss,
    )


def _parts(sizes: dict[str, int]) -> str:
    """The parts that were given as separate files, for a message."""
    parts = [f"{size:,} characters for `{part}`" for part, size in sizes.items()]
    return " and ".join(parts) or "no file for `validation` or `test`"


def _with(name: str, setting: object) -> str:
    """A setting of the text, for a message; a pattern may contain newlines."""
    if setting is None:
        return f"without `{name}`"
    return (
        f"with `{name}` {setting!r}" if name == "document_separator" else f"with `{name}` {setting}"
    )

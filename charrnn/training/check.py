"""A text before training: what is wrong with it, what to do about that, and what the recipe would
train on it.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.errors import CorpusError
from charrnn.network.parameters import parameter_count
from charrnn.runtime.progress import Progress
from charrnn.runtime.shell import quoted
from charrnn.text import character_findings as characters
from charrnn.text import content_findings as contents
from charrnn.text.contents import head, opened
from charrnn.text.corpus import Corpus
from charrnn.text.decoding import codec_name
from charrnn.text.encodings import guess_encoding, marks_of
from charrnn.text.findings import Examined, Finding
from charrnn.text.kinds import packing
from charrnn.text.sources import STDIN, InputFile, Sources, find
from charrnn.training import recipe

QUICK = 100_000_000
"""Characters of a text in which passages that are repeated are sought in a few seconds."""


@dataclass(frozen=True)
class TextCheck:
    """What is known of a text before training.

    corpus: the text. findings: what was found, in plain words. model, training: what the recipe
    makes of the text, given time enough, and passes: how often it then reads the text. settings:
    those of the text that were given and that the findings advise, unless they are the defaults.
    """

    corpus: Corpus
    findings: tuple[Finding, ...] = field(repr=False)
    model: ModelConfig = field(repr=False)
    training: TrainConfig = field(repr=False)
    passes: float
    settings: dict[str, Value]

    @property
    def parameters(self) -> int:
        """The number of parameters of the network."""
        return parameter_count(self.model)


def check(
    sources: Sources,
    config: CorpusConfig | None = None,
    *,
    validation: Sources = (),
    test: Sources = (),
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
) -> TextCheck:
    """Examine a text before a network is trained on it.

    The parameters are those of `Corpus.read`, and so are the errors, but a text that is not UTF-8
    is read in the encoding that it seems to have. `progress(done, total)` counts bytes that are
    read, then characters that are compared with one another. 100 MB take three seconds.
    """
    config = config or CorpusConfig()
    sources, validation, test = (
        each if isinstance(each, str | Path) else [*each] for each in (sources, validation, test)
    )
    files, *_ = find(sources, validation, test)
    if any(file.path == STDIN for file in files):
        with opened(STDIN, stdin) as stream:
            stdin = io.BytesIO(stream.read())
    is_pipe = any(file.size is None and file.path != STDIN for file in files)

    def read(config: CorpusConfig) -> Corpus:
        if stdin is not None:
            stdin.seek(0)
        return Corpus.read(
            sources, config, validation=validation, test=test, progress=progress, stdin=stdin
        )

    guess = None
    try:
        corpus = read(config)
    except CorpusError:
        is_utf8 = config.unit == "char" and codec_name(config.encoding) == "utf-8"
        guess = guess_encoding(files, stdin) if is_utf8 and not is_pipe else None
        if guess is None:
            raise
        config = replace(config, encoding=guess)
        corpus = read(config)
    is_file = isinstance(sources, str | Path) and Path(sources).is_file()
    is_file = is_file and len(corpus.sources) == 1
    text = Examined(corpus, quoted(str(sources)) if is_file else "FILE", _packing_of(corpus))
    were_read = {source.path for source in corpus.sources}
    files = [] if is_pipe else [file for file in files if file.path in were_read]
    found = [*_findings(text, files, guess is not None, stdin, progress)]
    settings = values_of(config)
    for finding in found:
        settings |= finding.settings
    usual = values_of(CorpusConfig())
    settings = {name: value for name, value in settings.items() if value != usual[name]}
    return TextCheck(corpus, tuple(found), *_recipe(corpus), settings)


def _packing_of(corpus: Corpus) -> str | None:
    """How the text is compressed, by its first file; None for standard input and for no file."""
    path = corpus.sources[0].path
    return packing(path, head(path)) if os.path.isfile(path) else None  # noqa: PTH113


def _findings(
    text: Examined,
    files: list[InputFile],
    is_guess: bool,
    stdin: BinaryIO | None,
    progress: Progress | None,
) -> Iterator[Finding]:
    is_text = text.corpus.vocab.unit == "char"
    if is_text:
        marks = marks_of(files, text.corpus.config.encoding, stdin)
        encoding = [*characters.encoding(text, marks, is_guess)]
        yield from encoding
        yield from characters.line_ends(text, marks) if files else ()
        if not any(finding.command for finding in encoding):  # they may be parts of characters
            yield from characters.control_characters(text)
        yield from characters.accents(text)
    yield characters.symbols(text)
    yield contents.repeats(text, progress)
    if is_text:
        yield from contents.same_lines(text)
    yield contents.documents(text)
    yield contents.size(text)


def _recipe(corpus: Corpus) -> tuple[ModelConfig, TrainConfig, float]:
    """The largest network that suits the text, its training, and how often it reads the text."""
    model = recipe.with_rounds(ModelConfig(vocab_size=len(corpus.vocab)))
    width = recipe.width_for(
        model,
        len(corpus.train),
        recipe.unbroken(corpus, TrainConfig()),
        lambda _, n: recipe.most_passes_for(n),
    )
    passes = recipe.most_passes_for(parameter_count(replace(model, hidden=width)))
    asked = replace(model, hidden=width), TrainConfig(epochs=round(passes, 1))
    return *recipe.resolve(corpus, *asked), passes


def advice(corpus: Corpus) -> list[Finding]:
    """Of what `check` finds, that which makes a worse network and shows in the text as it was read,
    the most important first. Repeats are not sought in texts of more than 100 million characters.
    """
    first, *others = corpus.sources
    is_file = not others and os.path.isfile(first.path)  # noqa: PTH113
    text = Examined(corpus, quoted(first.path) if is_file else "FILE", _packing_of(corpus))
    found = (
        [*characters.misread(text), *characters.lost(text)] if corpus.vocab.unit == "char" else []
    )
    if corpus.config.document_separator is None:
        found.append(contents.documents(text))
    if len(corpus) <= QUICK:
        found.append(contents.repeats(text))
    return [finding for finding in found if finding.level == "fix"]

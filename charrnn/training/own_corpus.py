"""The text that a network was trained on, read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from charrnn.checkpoint.paths import LAST, bundled_network
from charrnn.checkpoint.trained import Trained
from charrnn.errors import CheckpointError, CorpusError, VocabError
from charrnn.text.corpus import Corpus
from charrnn.text.datasets import bundled_corpus
from charrnn.text.sources import STDIN, check_recorded, find
from charrnn.text.vocab import counted
from charrnn.training.run_file import describe_run


def own_corpus(
    path: str | Path,
    trained: Trained,
    own_texts: str | Path | Sequence[str | Path] = (),
    *,
    read: Callable[..., Corpus] = Corpus.read,
) -> Corpus:
    """The text that the network in a file was trained on, all parts.

    It is read again from `own_texts`, or if there are none, from the paths that the run recorded;
    that of the bundled network is bundled too. `read` takes what `Corpus.read` takes.
    `CorpusError` if the text is missing or has changed.
    """
    path = Path(path)
    own = [own_texts] if isinstance(own_texts, str | Path) else own_texts
    given = [str(text) for text in own]
    run = None if given else describe_run(path)
    paths = given or (run["paths"] if run else [])
    if not paths and path.resolve() == bundled_network().resolve():
        given = paths = [str(bundled_corpus())]
    if not paths or (STDIN in paths and not given):
        why = "the run's text came from standard input"
        if not paths:
            why = _why_no_run(path)
        raise CorpusError(f"{why}: pass the text it was trained on with `own_texts`")
    try:
        lengths = None
        if not given:  # a file of unknown origin names them
            check_recorded(paths)
            lengths = [text.characters for text in trained.origin.texts]
        text, parts = _by_part(trained, paths)
        vocab = trained.vocab
        corpus = read(text, trained.corpus_config, vocab=vocab, lengths=lengths, **parts)
    except VocabError as error:
        raise CorpusError(f"the run's text has changed: {error}") from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; pass its new path with `own_texts`") from None
    trained.check_text(corpus)
    return corpus


def _why_no_run(path: Path) -> str:
    """Why nothing says what the network in a file was trained on."""
    last = path.parent / LAST
    try:
        if last.exists() and describe_run(last) is not None:
            other = "the run beside it is on another text, such as this one after it has grown"
            return f"{path}: {other}"
    except CheckpointError as error:
        return str(error)
    return f"{path}: no run file beside it"


def _by_part(trained: Trained, paths: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """A network's own text, and its files for validation and test. If it was trained on separate
    files for each part, `paths` are the same files in the same order.
    """
    texts = trained.origin.texts
    if not any(text.part for text in texts):
        return [*paths], {}
    files = [file.path for file in find(paths).files]
    if len(files) != len(texts):
        names = ", ".join(text.name for text in texts)
        raise CorpusError(
            f"{counted(len(files), 'file')} given, but the run had {len(texts)}: {names}"
        )
    parts: dict[str, list[str]] = {"text": [], "validation": [], "test": []}
    for file, text in zip(files, texts, strict=True):
        parts[text.part or "text"].append(file)
    return parts.pop("text"), parts

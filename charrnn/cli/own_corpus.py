"""The text that a network was trained on, read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.inputs import read_text
from charrnn.errors import CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.checkpoints import Member
    from charrnn.text.corpus import Corpus


def own_corpus(member: Member, texts: Sequence[str] = (), quiet: bool = False) -> Corpus:
    """The text that a network was trained on, all parts.

    It is read again from `texts`, or if there are none, from the paths that the run recorded; that
    of the bundled network is bundled too. `CorpusError` if it is missing or has changed.
    """
    from charrnn.checkpoint.paths import bundled_network
    from charrnn.text.datasets import bundled_corpus
    from charrnn.training.run_file import describe_run

    network, run = member.trained, None if texts else describe_run(member.path)
    paths = texts or (run["paths"] if run else [])
    if not paths and member.path.resolve() == bundled_network().resolve():
        texts = paths = [str(bundled_corpus())]
    if not paths or ("-" in paths and not texts):
        name = terminal.one_line(str(member.path))
        why = (
            "the run's text came from standard input" if paths else f"{name}: no run file beside it"
        )
        raise CorpusError(f"{why}: pass the text it was trained on with --text")
    from charrnn.text.sources import check_recorded

    try:
        lengths = None
        if not texts:  # a file of unknown origin names them
            check_recorded(paths)
            lengths = [text.characters for text in network.origin.texts]
        corpus = read_text(
            config=network.corpus_config,
            vocab=network.vocab,
            lengths=lengths,
            quiet=quiet,
            **_by_part(network, paths),
        )
    except VocabError as error:
        raise CorpusError(f"the run's text has changed: {error}") from None
    except CorpusError as error:
        raise CorpusError(f"the run's text: {error}; pass its new path with --text") from None
    network.check_text(corpus)
    return corpus


def _by_part(network: Trained, paths: Sequence[str]) -> dict[str, Any]:
    """A network's own text as arguments of `read_text`. If it was trained on separate files for
    each part, `paths` are the same files in the same order.
    """
    from charrnn.text.sources import find
    from charrnn.text.vocab import counted

    texts = network.origin.texts
    if not any(text.part for text in texts):
        return {"text": paths}
    files = [file.path for file in find(paths).files]
    if len(files) != len(texts):
        names = ", ".join(terminal.one_line(text.name) for text in texts)
        counted_files = counted(len(files), "file")
        raise CorpusError(f"{counted_files} given, but the run had {len(texts)}: {names}")
    parts: dict[str, list[str]] = {"text": [], "validation": [], "test": []}
    for path, text in zip(files, texts, strict=True):
        parts[text.part or "text"].append(path)
    return parts

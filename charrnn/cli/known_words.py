"""The words of --known-words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli import terminal
from charrnn.cli.prime import as_text, content_of
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture
    from charrnn.generation.lexicon import Lexicon
    from charrnn.text.corpus import Corpus


def known_words(
    networks: Mixture, path: str, training_text: Callable[[], Corpus], quiet: bool = False
) -> Lexicon:
    """The words of a file, or if the path is empty, of the training text with what stands between
    them there; ready to write with.
    """
    from charrnn.generation.lexicon import Lexicon

    if path:
        if Path(path).is_dir() or path.endswith(".safetensors"):
            raise CorpusError(
                f"`known_words` {terminal.one_line(path)} is a network, not a text: name the "
                "network first, as in charrnn sample NETWORK --known-words or charrnn write --run "
                "NETWORK --known-words"
            )
        whose = f"the words of `known_words` ({terminal.one_line(path)})"
        text = as_text(content_of(path, whose, "give each word once"), networks[0], whose)
    else:
        corpus = training_text()
        text = corpus.vocab.decode(corpus.ids)
    with terminal.progress_bar("reading words", unit="char", quiet=quiet) as bar:
        words = Lexicon.of_list(text, bar) if path else Lexicon.of_text(text, bar)
    with terminal.progress_bar("known words", unit="word", quiet=quiet) as bar:
        words.graph(networks.vocab, bar)
    return words

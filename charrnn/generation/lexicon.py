"""Known words: texts in which every word, and all that stands between words, stood in a text.

A word is letters, marks and digits of any script, with single apostrophes, hyphens and points
inside: o'er, well-known, 3.14, U.S. Scripts without spaces, such as Chinese and Thai, have no words
here: their characters may follow one another freely. After a sentence, a line, a colon or an
opening quotation mark, a word that stands in lower case may begin with a capital.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Self

import regex

from charrnn.errors import CorpusError
from charrnn.generation.automaton import Automaton
from charrnn.generation.utf8_sets import writable
from charrnn.generation.word_graph import WordGraph, anything, exactly, is_of_word
from charrnn.runtime.progress import Progress
from charrnn.text.vocab import Vocab
from charrnn.text.words import is_inner

JOINERS = "'’-‐‑·._"
"""What joins two parts of a word if it stands alone between them."""
FREE = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Bopomofo}]"
)
"""A character of a script that sets no spaces between words."""
COMMON = frozenset(map(chr, (*range(0xC0), *range(0x2010, 0x205F), *range(0x3000, 0x3020))))
"""What a network of bytes may write between the words of a list, if it is no letter."""
CONTEXT = 1000
"""Characters of a prime that are read."""
PIECE = 1 << 20
"""Characters of a text that are divided into words at a time."""


@dataclass(frozen=True)
class Lexicon:
    """The words that may be written, and what may stand between them; None: anything that is no
    word. In scripts without spaces, each character is a word.
    """

    words: frozenset[str]
    between: frozenset[str] | None = None
    _graphs: dict[Vocab, WordGraph] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        between = "" if self.between is None else f", {len(self.between):,} between them"
        return f"Lexicon({len(self.words):,} words{between})"

    @classmethod
    def of_text(cls, text: str, progress: Progress | None = None) -> Self:
        """The words of a text, and what stands between them there. `CorpusError` if it has none."""
        words, between = _tokens(text, progress)
        return cls(frozenset(words), frozenset(between - set(JOINERS)))

    @classmethod
    def of_list(cls, text: str, progress: Progress | None = None) -> Self:
        """The words of a text, such as a list of words; anything may stand between them.
        `CorpusError` if it has none.
        """
        return cls(frozenset(_tokens(text, progress)[0]))

    def graph(self, vocab: Vocab, progress: Progress | None = None) -> WordGraph:
        """The words that a vocabulary can write, as a graph, which takes seconds for 100,000 words;
        it is made once. `CorpusError` if there are none.
        """
        if vocab in self._graphs:
            return self._graphs[vocab]
        characters = set(writable(vocab))
        words = sorted(word for word in self.words if characters.issuperset(word))
        if not words:
            raise CorpusError(
                "`known_words`: the network's vocabulary can write none of these words"
            )
        if self.between is None:
            others = {c for c in characters if not is_inner(c)}
            if vocab.unit == "byte":  # which can write all characters
                others = {c for c in others if c in COMMON}
            gaps = anything(others, {c for c in others if may_open(c)}, JOINERS)
        else:
            written = sorted(each for each in self.between if characters.issuperset(each))
            gaps = exactly((each, may_open(each)) for each in written)
        free = [word for word in words if is_free(word[0])]
        words = [word for word in words if not is_free(word[0])]
        self._graphs[vocab] = WordGraph(words, gaps, free, vocab, progress)
        return self._graphs[vocab]

    def automaton(self, vocab: Vocab, prime: str = "") -> Automaton:
        """The texts of known words after a prime, whose last word they may complete. A text may end
        wherever a word is complete. It takes no time once the `graph` is made. `CorpusError` if the
        vocabulary can write none of the words.
        """
        before = prime[-CONTEXT:]
        return self.graph(vocab).automaton(_token(set(before)).findall(before)[-3:])


def _tokens(text: str, progress: Progress | None = None) -> tuple[set[str], set[str]]:
    """The different words of a text, and the different strings that stand between words."""
    token, place, seen = _token(set(text)), 0, set[str]()
    while place < len(text):
        piece = text[place : place + PIECE]
        found = token.findall(piece)
        if len(piece) == PIECE and len(found) > 2:  # the last ones may go on: a word, a joiner
            place -= len(found.pop()) + len(found.pop())
        seen.update(found)
        place += len(piece)
        if progress is not None:
            progress(min(place, len(text)), len(text))
    words = {each for each in seen if is_of_word(each[0])}
    if not words:
        raise CorpusError("`known_words`: there is no word in this text")
    return words, {each for each in seen if not is_of_word(each[0])}


def is_free(character: str) -> bool:
    """True for the letters of scripts that set no spaces between words."""
    return is_inner(character) and FREE.match(character) is not None


def _token(characters: set[str]) -> re.Pattern[str]:
    """A word, a free character, or what stands between, in a text of these characters."""
    free = {c for c in characters if is_free(c)}
    inner = {c for c in characters if is_of_word(c)} - free
    word, alone, other = _set(inner), _set(free), _set(characters - inner - free)
    return re.compile(f"{word}+(?:{_set(set(JOINERS))}{word}+)*|{alone}|{other}+")


def _set(characters: set[str]) -> str:
    return f"[{re.escape(''.join(sorted(characters)))}]" if characters else "(?!)"


def may_open(between: str) -> bool:
    """True if a sentence may begin after what stands between two words."""
    import regex  # takes 16 ms

    return regex.search(r'[\p{Sentence_Terminal}\p{Pi}\p{Ps}\n\r":…]', between) is not None

"""Passages and lines that stand in a text more than once."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from charrnn.text import repeats
from charrnn.text.repeats import LEAST_LINE, PASSAGE, find_repeats, repeated_lines

DTYPES = np.uint8, np.uint16


def random_text(n: int, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices("abcdefgh \n", k=n))


def ids_of(text: str, dtype: type = np.uint8) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<u4").astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_shares_are_those_of_a_search_by_hand(dtype: type) -> None:
    draw, pieces = random.Random(3), [random_text(n, n) for n in (70, 90, 150, 300)]
    for _ in range(20):
        text = "".join(draw.choices(pieces, k=4)) + random_text(100, draw.randrange(10**6))
        border = draw.randrange(200, len(text))
        seen = Counter[str]()
        windows = [text[a : a + PASSAGE] for a in range(len(text) - PASSAGE + 1)]
        again, leaked = [], []
        for a, window in enumerate(windows):
            again.append(seen[window] > 0)
            if a >= border:
                leaked.append(window in windows[:border])
            seen[window] += 1
        found = find_repeats(ids_of(text, dtype), border)
        assert found.share == pytest.approx(np.mean(again))
        assert found.leaked == pytest.approx(np.mean(leaked) if leaked else 0)
        for passage in found.passages:
            one = text[passage.first : passage.first + passage.length]
            assert one == text[passage.again : passage.again + passage.length]
            assert len(one) >= PASSAGE and passage.first < passage.again


def test_the_longest_passage_is_whole() -> None:
    a, b, c = random_text(500, 1), random_text(300, 2), random_text(200, 3)
    text = f"{a}1{b}2{a}3{c}4{b}5"
    longest, second = find_repeats(ids_of(text), len(text)).passages
    assert (longest.first, longest.again, longest.length) == (0, 802, 500)
    assert second.length == 300


def test_long_texts_are_sampled_by_what_they_contain(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the copies of a passage are looked at or none, and the share is near."""
    monkeypatch.setattr(repeats, "PLACES", 2000)
    text = random_text(60_000)
    text += text[:20_000]
    found = find_repeats(ids_of(text), 60_000)
    assert found.share == pytest.approx(0.25, abs=0.05) and found.leaked > 0.98
    assert found.passages[0].length == 20_000


@pytest.mark.parametrize("text", ["", "a", "-" * 500, " " * 63 + "\n", random_text(PASSAGE)])
def test_texts_without_passages(text: str) -> None:
    assert find_repeats(ids_of(text), len(text)).share == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_lines(dtype: type) -> None:
    draw = random.Random(5)
    lines = ["".join(draw.choices("ab", k=draw.randrange(14, 24))) for _ in range(3000)]
    text = "\n".join(lines)
    long = [line for line in lines if len(line) >= LEAST_LINE]
    (line, times), *_ = Counter(long).most_common(1)
    ids = ids_of(text, dtype)
    found = repeated_lines(ids, np.flatnonzero(ids == 10))
    assert (found.lines, found.repeated) == (len(long), len(long) - len(set(long)))
    assert found.times == times
    shown = text[found.most_frequent :].split("\n")[0]
    assert Counter(long)[shown] == times, line

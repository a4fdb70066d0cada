"""Where texts end."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.generation.stopping import Ending


def ended(text: str, strings: list[str], keep: bool) -> tuple[str, bool]:
    """By definition: at the first stop string to be completed, the longest of them."""
    for end in range(len(text) + 1):
        found = [string for string in strings if text[:end].endswith(string)]
        if found:
            return text[: end if keep else end - max(map(len, found))], True
    return text, False


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "strings",
    [
        ["ab"],
        ["aab"],
        ["abab"],
        ["aaa"],
        ["abcab"],
        ["x"],
        ["ab", "cab"],
        ["cab", "ab", "abcab"],
        ["aa", "aab", "b"],
        ["bcc", "abca", "x"],
        [],
    ],
)
def test_stops_in_pieces(strings: list[str], keep: bool) -> None:
    """Strings that overlap with themselves and one another, in texts of which they are made,
    however the text is cut; nothing is passed on that has to be taken back.
    """
    rng = np.random.default_rng(0)
    for _ in range(300):
        whole = "".join(rng.choice(list("abc"), size=rng.integers(0, 14), p=[0.5, 0.4, 0.1]))
        cuts = sorted(rng.integers(0, len(whole) + 1, size=3))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        expected, reached = ended(whole, strings, keep)
        stop, out = Ending(strings, keep), ""
        for piece in pieces:
            out += stop.feed(piece)
            assert expected.startswith(out)
            if stop.reached:
                break
        assert stop.reached == reached
        assert out + ("" if stop.reached else stop.feed("", last=True)) == expected

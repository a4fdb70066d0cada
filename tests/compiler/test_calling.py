"""Binding a kernel's arguments by name."""

from __future__ import annotations

import numpy as np
import pytest
from numba import float32, int64, void

from charrnn.compiler.calling import bind
from charrnn.compiler.compiling import kernel

VECTOR = float32[::1]


@kernel(void(VECTOR, VECTOR, float32, int64, int64))
def scale(out, a, factor, start, stop):
    """out = factor * a within start:stop."""
    for k in range(start, stop):
        out[k] = factor * a[k]


def test_bound_arguments_go_where_their_names_stand() -> None:
    a, out = np.arange(4, dtype=np.float32), np.zeros(4, np.float32)
    bound = bind(scale, factor=np.float32(2), a=a, out=out)
    bound(0, 2)
    assert out.tolist() == [0, 2, 0, 0]
    bound(stop=4, start=3)
    assert out.tolist() == [0, 2, 0, 6]


def test_arrays_may_change_after_they_are_bound() -> None:
    a, out = np.zeros(2, np.float32), np.zeros(2, np.float32)
    bound = bind(scale, out=out, a=a)
    a[:] = 3
    bound(np.float32(5), 0, 2)
    assert out.tolist() == [15, 15]


@pytest.mark.parametrize(
    ("named", "missing", "unknown"),
    [
        ({"out": 0, "b": 0}, "a", "b"),
        ({"out": 0, "factor": 0}, "a", "none"),
        ({"out": 0, "a": 0, "factor": 0, "start": 0, "stop": 0, "step": 0}, "none", "step"),
    ],
)
def test_names_must_be_the_first_of_the_signature(
    named: dict[str, int], missing: str, unknown: str
) -> None:
    with pytest.raises(TypeError, match=f"missing: {missing}, unknown: {unknown}"):
        bind(scale, **named)


def test_a_call_must_give_all_the_others() -> None:
    a = np.zeros(2, np.float32)
    bound = bind(scale, out=a, a=a)
    with pytest.raises(TypeError):
        bound(np.float32(1), 0)
    with pytest.raises(TypeError):
        bound(np.float32(1), 0, halt=2)

"""What is shown of units."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.inspection.activity import activity, bounds, kinds_of, levels, positions


def test_which_number_is_shown() -> None:
    c, h = np.full((3, 1, 2), 2.0, np.float32), np.full((3, 1, 2), 0.5, np.float32)
    both: Any = SimpleNamespace(c=c, h=h)
    alone: Any = SimpleNamespace(c=None, h=h)
    np.testing.assert_array_equal(activity(both), np.tanh(c))
    assert activity(both, "h") is h and activity(alone) is h
    assert kinds_of(both) == ("c", "h") and kinds_of(alone) == ("h",)
    with pytest.raises(ConfigError, match="`kind` must be h for this cell, not 'c'"):
        activity(alone, "c")


def test_the_scale_has_two_sides_around_zero_or_the_middle() -> None:
    ramp = np.linspace(0, 1, 1001)
    values = np.stack([ramp * 3 - 1, ramp + 2, np.full(1001, 0.7)], axis=1)
    low, high = bounds(values)
    np.testing.assert_allclose(low, [-1.97, 2.01, 0.7])
    np.testing.assert_allclose(high, [1.97, 2.99, 0.7])
    places = positions(values)
    np.testing.assert_allclose(places[[0, 500, 1000], 0], [-1 / 1.97, 0.5 / 1.97, 1])
    np.testing.assert_allclose(places[[0, 500, 1000], 1], [-1, 0, 1], atol=1e-12)
    assert not places[:, 2].any()
    assert levels(np.array([-1, -0.8, -0.5, -0.2, 0, 0.1, 0.2, 0.5, 1])).tolist() == [
        *(-3, -3, -2, -1, 0, 0, 1, 2, 3)
    ]

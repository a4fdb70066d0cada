"""The optimisers' reference against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import optimizers as reference


def test_adam_two_steps_by_hand() -> None:
    """Gradients 2 then -5 with beta1 = 1/2, beta2 = 3/4; an epsilon of 1/2 shows where it stands.

    Step 1: m = 1, v = 1; corrected by 1/2 and 1/4: 2 and 4; p = 1 - 0.1 * 2 / (2 + 1/2). Step 2: m
    = 1/2 - 5/2 = -2, v = 3/4 + 25/4 = 7; corrected by 3/4 and 7/16: -8/3 and 16; p += 0.1 * 8/3 /
    (4 + 1/2).
    """
    settings = {"beta1": 0.5, "beta2": 0.75, "epsilon": 0.5}
    start, slots = np.array([1.0]), {}
    first = reference.step("adam", start, np.array([2.0]), slots, 1, 0.1, 1.0, **settings)
    assert first.item() == pytest.approx(0.92, rel=1e-14)
    assert (slots["m"].item(), slots["v"].item()) == (1, 1)
    second = reference.step("adam", first, np.array([-5.0]), slots, 2, 0.1, 1.0, **settings)
    assert second.item() == pytest.approx(0.92 + 0.8 / 13.5, rel=1e-14)
    assert (slots["m"].item(), slots["v"].item()) == (-2, 7)
    assert start.item() == 1


def test_adam_defaults_are_the_papers() -> None:
    """With them the first step is the learning rate against the sign, whatever the size."""
    slots: dict[str, np.ndarray] = {}
    stepped = reference.step("adam", np.zeros(2), np.array([1e-3, -50.0]), slots, 1, 0.01, 1.0)
    by_hand = [-0.01 / (1 + 1e-5), 0.01 / (1 + 2e-10)]
    assert stepped.tolist() == pytest.approx(by_hand, rel=1e-13)
    assert slots["m"].tolist() == pytest.approx([1e-4, -5], rel=1e-13)
    assert slots["v"].tolist() == pytest.approx([1e-9, 2.5], rel=1e-12)


@pytest.mark.parametrize(
    ("clip_norm", "clip_value", "a", "b"),
    [
        (0, 0, [3.0, -4.0], [[12.0]]),  # neither
        (0, 3.5, [3.0, -3.5], [[3.5]]),  # by value alone
        (6.5, 0, [1.5, -2.0], [[6.0]]),  # the norm is 13: halved
        (13, 0, [3.0, -4.0], [[12.0]]),  # just within
        (100, 0, [3.0, -4.0], [[12.0]]),  # never scaled up
        (3, 1, [1.0, -1.0], [[1.0]]),  # value first: the norm left is sqrt(3)
        (3**0.5 / 2, 1, [0.5, -0.5], [[0.5]]),  # then half of that
    ],
)
def test_clipping_by_hand(
    clip_norm: float, clip_value: float, a: list[float], b: list[list[float]]
) -> None:
    gradients = {"a": np.array([3.0, -4.0]), "b": np.array([[12.0]])}
    assert reference.global_norm(gradients) == 13
    clipped = reference.clip(gradients, clip_norm, clip_value)
    np.testing.assert_allclose(clipped["a"], a, rtol=1e-14)
    np.testing.assert_allclose(clipped["b"], b, rtol=1e-14)
    assert gradients["b"].item() == 12


def test_a_gradient_of_zero_can_be_clipped() -> None:
    assert reference.clip({"a": np.zeros(3)}, clip_norm=1.0, clip_value=1.0)["a"].tolist() == [
        0,
        0,
        0,
    ]

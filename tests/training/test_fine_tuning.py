"""The rules of training on from another network's weights."""

import pytest

from charrnn.training.fine_tuning import FORGETTING, decay_towards_start_for, rate_factor_for


def test_rates_grow_with_the_root_of_the_batch() -> None:
    assert rate_factor_for(4) == pytest.approx(0.2)
    assert rate_factor_for(16) == pytest.approx(0.4)
    assert rate_factor_for(10**6) == 1.0


def test_decay_is_measured_in_passes() -> None:
    for rate, steps in ((0.002, 70), (0.004, 300)):
        assert decay_towards_start_for(rate, steps) * rate * steps == pytest.approx(
            FORGETTING, rel=1e-3
        )

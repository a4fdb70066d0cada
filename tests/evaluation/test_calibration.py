"""Calibration, of predictions whose chances are known."""

import numpy as np
import pytest

from charrnn import ConfigError, calibration


def test_predictions_that_come_true_as_often_as_they_say_have_no_error() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(200_000)
    found = calibration(p, rng.random(len(p)) < p)
    assert found.error < 0.006 and found.counts.sum() == len(p)
    np.testing.assert_allclose(found.accuracy, found.confidence, atol=0.02)


def test_the_error_is_how_far_off_they_are() -> None:
    # 0.9 comes true half the time, 0.25 always: |0.9 - 0.5| * 2 / 3 + |0.25 - 1| / 3
    p = np.array([0.9] * 400 + [0.25] * 200)
    came = np.array([True, False] * 200 + [True] * 200)
    found = calibration(p, came, bins=10)
    assert found.error == pytest.approx(0.4 * 2 / 3 + 0.75 / 3)
    assert found.counts.tolist() == [0, 0, 200, 0, 0, 0, 0, 0, 0, 400]
    assert found.accuracy[9] == 0.5 and found.confidence[2] == 0.25
    assert np.isnan(found.accuracy[0])


def test_one_is_in_the_last_bin_and_nothing_has_no_error() -> None:
    assert calibration(np.ones(3), np.ones(3), 4).counts.tolist() == [0, 0, 0, 3]
    assert calibration(np.zeros(0), np.zeros(0)).error == 0.0


@pytest.mark.parametrize(
    ("p", "came", "bins"), [([0.5], [1], 0), ([0.5, 1], [1], 3), ([1.5], [1], 3), ([-0.1], [1], 3)]
)
def test_what_is_no_prediction_is_refused(p: list[float], came: list[int], bins: int) -> None:
    with pytest.raises(ConfigError):
        calibration(np.array(p), np.array(came), bins)

"""The map of characters, of decoders whose rows are known."""

import numpy as np

from charrnn import Model, character_map
from tests.reference.small import plain_model


def model_of(rows: np.ndarray) -> Model:
    model = Model(plain_model(vocab_size=len(rows), hidden=rows.shape[1], layers=1))
    model.parameters["decoder.weight"][: rows.shape[1], : len(rows)] = rows.T
    return model


def test_groups_of_like_rows_are_near_one_another() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[4.0, 0, 0, 0, 0], [0, 4, 0, 0, 0], [0, 0, 4, 0, 0]])
    rows = np.repeat(centers, 4, axis=0) + 0.1 * rng.standard_normal((12, 5))
    found = character_map(model_of(rows))
    distances = np.linalg.norm(found.places[:, None] - found.places[None], axis=2)
    same = np.arange(12)[:, None] // 4 == np.arange(12) // 4
    assert distances[same].max() < 1 < 4 < distances[~same].min()
    assert found.shares.sum() > 0.98 and found.places.shape == (12, 2)
    assert (found.places.max(axis=0) >= -found.places.min(axis=0)).all()


def test_rare_characters_do_not_turn_the_map() -> None:
    rows = np.zeros((6, 4))
    rows[:5, 0] = [-3, -1, 0, 0, 4]
    rows[5, 3] = 50.0
    counts = np.array([100, 100, 100, 100, 100, 1e-6])
    found = character_map(model_of(rows), counts)
    np.testing.assert_allclose(found.places[:5, 0], [-3, -1, 0, 0, 4], atol=1e-3)
    assert found.shares[0] > 0.99


def test_two_symbols_and_one_unit_have_a_map() -> None:
    found = character_map(model_of(np.array([[1.0], [-1.0]])))
    np.testing.assert_allclose(found.places, [[1, 0], [-1, 0]], atol=1e-6)

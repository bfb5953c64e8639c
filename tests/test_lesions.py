"""Lesion instances."""

import numpy as np
import pytest

from liverplan.lesions import find_lesions
from liverplan.volume import Grid

GRID = Grid.from_spacing((60, 40, 40), (1.0, 1.0, 1.0))
WHERE = GRID.to_world(np.stack(np.indices(GRID.shape), -1))


def ball(centre, radius):
    return np.linalg.norm(WHERE - np.array(centre), axis=-1) <= radius


def test_one_mask_value_is_split_into_components_the_largest_first():
    found = find_lesions((ball((12, 20, 20), 5) | ball((42, 20, 20), 8)).astype(np.uint8), GRID)
    assert [lesion.id for lesion in found] == [1, 2]
    assert found.lesions[0].centroid_lps_mm == pytest.approx((42, 20, 20), abs=0.3)
    assert set(np.unique(found.labels)) == {0, 1, 2}


def test_label_values_of_the_reader_are_kept_apart_even_when_they_touch():
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[ball((22, 20, 20), 6)] = 3
    labels[ball((33, 20, 20), 6)] = 7
    assert len(find_lesions(labels, GRID)) == 2
    assert len(find_lesions((labels > 0).astype(np.uint8), GRID)) == 1


def test_volume_and_longest_diameter_of_a_ball():
    lesion = find_lesions(ball((20.2, 20.1, 19.8), 10).astype(np.uint8), GRID).lesions[0]
    assert lesion.volume_ml == pytest.approx(4 / 3 * np.pi, rel=0.03)
    assert lesion.longest_diameter_mm == pytest.approx(20.0, abs=0.5)
    start, end = np.array(lesion.longest_diameter_witness_lps_mm)
    assert np.linalg.norm(end - start) == pytest.approx(lesion.longest_diameter_mm)


def test_a_stray_speck_is_listed_and_not_counted():
    mask = ball((20, 20, 20), 5).astype(np.uint8)
    mask[55, 5, 5] = 1
    found = find_lesions(mask, GRID)
    assert len(found) == 1
    assert found.strays == (((55.0, 5.0, 5.0), 1),)
    assert found.labels[55, 5, 5] == 0


def test_an_empty_mask_is_a_case_without_lesions():
    found = find_lesions(np.zeros(GRID.shape, dtype=np.uint8), GRID)
    assert len(found) == 0
    assert not found.labels.any()

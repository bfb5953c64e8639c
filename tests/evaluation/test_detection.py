"""Lesions found, missed and made up, by size; panoptic quality as MONAI computes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.evaluation.detection import detect, panoptic_quality
from liverplan.lesions import find_lesions
from liverplan.volume import Grid

GRID = Grid.from_spacing((48, 48, 48), (1.0, 1.0, 1.0))


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Cubes by corner and side, one label each."""
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    for number, (i, j, k, side) in enumerate(places, start=1):
        mask[i : i + side, j : j + side, k : k + side] = number
    return mask


def detection(guess: np.ndarray, truth: np.ndarray):
    return detect(find_lesions(guess, GRID), find_lesions(truth, GRID))


def test_lesions_are_counted_by_size_and_false_ones_apart() -> None:
    truth = boxes((2, 2, 2, 5), (20, 20, 20, 14), (40, 2, 40, 5))
    found = detection(boxes((22, 22, 22, 10), (3, 40, 3, 6)), truth)
    assert [(o.found, o.bin) for o in found.lesions] == [(True, 1), (False, 0), (False, 0)]
    assert [o.bin for o in found.false_positives] == [0]
    assert found.n_predicted == 2


def test_sizes_are_those_of_a_ball_of_the_same_volume() -> None:
    (outcome,) = detection(boxes(), boxes((10, 10, 10, 10))).lesions
    assert outcome.diameter_mm == pytest.approx((6000 / np.pi) ** (1 / 3))
    assert not outcome.found
    assert outcome.longest_diameter_mm > outcome.diameter_mm


def test_one_blob_over_two_lesions_finds_both_but_is_only_one_of_them() -> None:
    truth = boxes((10, 10, 10, 6), (10, 10, 17, 4))
    blob = np.zeros(GRID.shape, dtype=np.uint8)
    blob[10:16, 10:16, 10:21] = 1
    found = detection(blob, truth)
    assert [o.found for o in found.lesions] == [True, True]
    assert [o.partner for o in found.lesions] == [1, None]


def test_no_lesion_anywhere_has_no_quality_and_one_side_alone_has_none_at_all() -> None:
    assert panoptic_quality(detection(boxes(), boxes()).panoptic_rows) is None
    assert panoptic_quality(detection(boxes(), boxes((4, 4, 4, 5))).panoptic_rows) == 0.0
    assert panoptic_quality(detection(boxes((4, 4, 4, 5)), boxes((4, 4, 4, 5))).panoptic_rows) == 1.0


corner = st.tuples(*[st.integers(0, 40)] * 3, st.integers(3, 8))


@settings(max_examples=15, deadline=None)
@given(st.lists(corner, min_size=1, max_size=4), st.lists(corner, max_size=4), st.integers(0, 2))
def test_panoptic_quality_is_that_of_monai(wanted, extra, shift) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    truth = boxes(*wanted)
    guess = boxes(*[(i + shift, j, k, side) for i, j, k, side in (*wanted, *extra)])
    maps = [find_lesions(m, GRID) for m in (guess, truth)]
    ours = panoptic_quality(detect(*maps).panoptic_rows)
    planes = [torch.from_numpy(m.labels.astype(np.int64).reshape(GRID.shape[0], -1)) for m in maps]
    theirs = metrics.compute_panoptic_quality(*planes, metric_name="pq", match_iou_threshold=0.5)
    assert ours == pytest.approx(float(theirs), abs=1e-6)

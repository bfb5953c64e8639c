"""Scores against shapes whose overlap is known."""

from __future__ import annotations

import numpy as np
import pytest

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch
from liverplan.segmentation.agreement import VENOUS_SYSTEM, compare, detection, overlap, surface_dice, table
from liverplan.volume import Grid, Segmentation

GRID = Grid.from_spacing((40, 40, 40), (1.0, 1.0, 2.0))


def cube(start: int, size: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[start : start + size, 10:20, 10:20] = 1
    return mask


def test_equal_masks_agree_fully_and_disjoint_ones_not_at_all() -> None:
    same = overlap(cube(5, 10) > 0, cube(5, 10) > 0, GRID)
    assert same["dice"] == same["surface_dice_2mm"] == 1.0
    assert same["volume_ml"] == pytest.approx(2.0)
    apart = overlap(cube(0, 5) > 0, cube(30, 5) > 0, GRID)
    assert apart["dice"] == apart["surface_dice_2mm"] == 0.0


def test_dice_of_a_half_overlap_is_a_half() -> None:
    assert overlap(cube(5, 10) > 0, cube(10, 10) > 0, GRID)["dice"] == pytest.approx(0.5)


def test_a_shift_within_the_tolerance_keeps_the_surface_score() -> None:
    assert surface_dice(cube(5, 10) > 0, cube(7, 10) > 0, GRID) == 1.0
    assert surface_dice(cube(5, 10) > 0, cube(9, 10) > 0, GRID) < 1.0


def test_surface_dice_is_near_the_published_implementation() -> None:
    published = pytest.importorskip("surface_distance")
    guess, truth = cube(5, 12) > 0, cube(8, 12) > 0
    distances = published.compute_surface_distances(truth, guess, GRID.spacing_mm)
    expected = published.compute_surface_dice_at_tolerance(distances, 2.0)
    assert surface_dice(guess, truth, GRID) == pytest.approx(expected, abs=0.08)


def test_lesions_are_counted_by_size_and_false_ones_apart() -> None:
    truth = np.zeros(GRID.shape, dtype=bool)
    truth[2:5, 2:5, 2:5] = True
    truth[20:32, 20:32, 20:26] = True
    guess = np.zeros_like(truth)
    guess[22:30, 22:30, 22:25] = True
    guess[10:12, 2:4, 30:32] = True
    found = detection(guess, truth, GRID)
    assert (found["reference"], found["detected"], found["false_positives"]) == (2, 1, 1)
    assert [size["reference"] for size in found["by_size"]] == [1, 1, 0]


def test_structures_without_reference_are_not_scored_and_veins_are_scored_together() -> None:
    masks = {Structure.LIVER: cube(5, 10), Structure.HEPATIC_VEINS: cube(5, 2), Structure.VENA_CAVA: cube(7, 3)}
    truth = Segmentation(GRID, masks)
    swapped = {**masks, Structure.HEPATIC_VEINS: cube(7, 3), Structure.VENA_CAVA: cube(5, 2)}
    scores = compare(Segmentation(GRID, swapped, "model"), truth)["structures"]
    assert "portal_vein" not in scores
    assert scores["hepatic_veins"]["dice"] == 0.0
    assert scores[VENOUS_SYSTEM]["dice"] == 1.0
    assert "liver" in table({"image": "x", "structures": scores})


def test_another_grid_is_refused() -> None:
    other = Grid.from_spacing((40, 40, 40), (1.0, 1.0, 1.0))
    with pytest.raises(GeometryMismatch):
        compare(Segmentation(other, {}), Segmentation(GRID, {}))

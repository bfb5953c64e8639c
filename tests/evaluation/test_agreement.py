"""Scores against shapes whose overlap is known, and against other implementations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch
from liverplan.evaluation.agreement import VENOUS_SYSTEM, centreline_dice, compare, overlap
from liverplan.evaluation.run import NO_CONFIDENCE, CaseResult, expected_and_true, summarise
from liverplan.quantity import Unknown
from liverplan.volume import Confidence, Grid, Segmentation

GRID = Grid.from_spacing((40, 40, 40), (1.0, 1.0, 2.0))
NOTHING = np.zeros(GRID.shape, dtype=bool)


def cube(start: int, size: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[start : start + size, 10:20, 10:20] = 1
    return mask


def ball(radius_mm: float, grid: Grid, centre_mm: tuple[float, float, float]) -> np.ndarray:
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    return np.linalg.norm(points - centre_mm, axis=-1) <= radius_mm


def test_equal_masks_agree_fully_and_disjoint_ones_not_at_all() -> None:
    same = overlap(cube(5, 10) > 0, cube(5, 10) > 0, GRID)
    assert same["dice"] == same["surface_dice_1mm"] == same["surface_dice_3mm"] == 1.0
    assert same["hd95_mm"] == same["volume_error_ml"] == 0.0
    assert same["volume_ml"] == pytest.approx(2.0)
    apart = overlap(cube(0, 5) > 0, cube(30, 5) > 0, GRID)
    assert apart["dice"] == apart["surface_dice_3mm"] == 0.0
    assert apart["hd95_mm"] >= 25.0


def test_dice_of_a_half_overlap_is_a_half_and_volumes_are_signed() -> None:
    assert overlap(cube(5, 10) > 0, cube(10, 10) > 0, GRID)["dice"] == pytest.approx(0.5)
    smaller = overlap(cube(5, 5) > 0, cube(5, 10) > 0, GRID)
    assert smaller["volume_error_ml"] == pytest.approx(-1.0)
    assert smaller["volume_error_percent"] == pytest.approx(-50.0)


def test_a_ball_grown_by_two_millimetres_has_that_surface_distance() -> None:
    grid = Grid.from_spacing((60, 60, 60), (0.8, 0.8, 0.8))
    small, large = (ball(r, grid, (23.7, 23.6, 23.8)) for r in (14.0, 16.0))
    scores = overlap(large, small, grid)
    assert scores["hd95_mm"] == pytest.approx(2.0, abs=0.5)
    assert scores["surface_dice_1mm"] < 0.1
    assert scores["surface_dice_3mm"] == 1.0
    assert scores["dice"] == pytest.approx(2 * 14**3 / (14**3 + 16**3), abs=0.01)


def test_scores_are_near_those_of_monai() -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(1)
    centres = [rng.uniform((15, 15, 30), (25, 25, 50)) for _ in range(2)]
    guess, truth = (ball(9.0, GRID, tuple(c)) for c in centres)
    ours = overlap(guess, truth, GRID)
    batch = [torch.from_numpy(np.stack([~m, m])[None].astype(np.float32)) for m in (guess, truth)]
    assert ours["dice"] == pytest.approx(float(metrics.compute_dice(*batch)[0, 1]), abs=1e-6)
    near = metrics.compute_surface_dice(*batch, [2.0], spacing=GRID.spacing_mm)
    assert ours["surface_dice_2mm"] == pytest.approx(float(near[0, 0]), abs=0.08)
    far = metrics.compute_hausdorff_distance(*batch, percentile=95, spacing=GRID.spacing_mm)
    assert ours["hd95_mm"] == pytest.approx(float(far[0, 0]), abs=1.0)


def test_what_is_not_defined_is_unknown_never_one_or_infinite() -> None:
    neither = overlap(NOTHING, NOTHING, GRID, tubular=True)
    assert all(isinstance(neither[name], Unknown) for name in ("dice", "surface_dice_2mm", "hd95_mm", "cldice"))
    missed = overlap(NOTHING, cube(5, 10) > 0, GRID, tubular=True)
    assert missed["dice"] == missed["surface_dice_2mm"] == missed["cldice"] == 0.0
    assert isinstance(missed["hd95_mm"], Unknown)
    invented = overlap(cube(5, 10) > 0, NOTHING, GRID)
    assert isinstance(invented["volume_error_percent"], Unknown)


def test_centrelines_forgive_a_wrong_calibre_but_not_a_missing_branch() -> None:
    thin, thick, short = np.zeros((3, *GRID.shape), dtype=bool)
    thin[4:36, 19:22, 19:22] = True
    thick[2:38, 17:24, 17:24] = True
    short[4:20, 19:22, 19:22] = True
    assert centreline_dice(thick, thin) == pytest.approx(1.0, abs=0.06)
    assert overlap(thick, thin, GRID)["dice"] < 0.4
    # Half of the reference's line is missed, none is made up: 2 * 1 * 0.5 / 1.5.
    assert centreline_dice(short, thin) == pytest.approx(2 / 3, abs=0.05)


def by_name(guess: Segmentation, truth: Segmentation) -> dict[str, dict[str, float]]:
    return {s.structure: dict(s.values) for s in compare(guess, truth)}


def test_structures_without_reference_are_not_scored_and_veins_are_scored_together() -> None:
    masks = {Structure.LIVER: cube(5, 10), Structure.HEPATIC_VEINS: cube(5, 2), Structure.VENA_CAVA: cube(7, 3)}
    swapped = {**masks, Structure.HEPATIC_VEINS: cube(7, 3), Structure.VENA_CAVA: cube(5, 2)}
    scores = by_name(Segmentation(GRID, swapped, "model"), Segmentation(GRID, masks))
    assert "portal_vein" not in scores
    assert scores["hepatic_veins"]["dice"] == 0.0
    assert scores[VENOUS_SYSTEM]["dice"] == 1.0


def test_what_a_mask_expects_of_itself_is_scored_against_what_it_is() -> None:
    truth = Segmentation(GRID, {Structure.LIVER: cube(5, 10), Structure.PORTAL_VEIN: cube(3, 4)})
    said, nothing = {Structure.LIVER: Confidence(0.8, 2.0)}, Unknown("not asked for")
    case = CaseResult("a", compare(replace(truth, origin="model", confidence=said), truth), nothing, nothing)
    assert expected_and_true([case], "liver").tolist() == [[0.8, 1.0]]
    reliability = summarise([case]).reliability
    assert reliability["liver"].value == pytest.approx(0.2)
    assert reliability["portal_vein"] is NO_CONFIDENCE


def test_vessels_that_one_side_does_not_part_are_compared_together_inside_the_liver() -> None:
    apart = {Structure.LIVER: cube(5, 10), Structure.PORTAL_VEIN: cube(3, 4), Structure.HEPATIC_VEINS: cube(9, 2)}
    merged = {Structure.LIVER: cube(5, 10), Structure.LIVER_VESSELS: cube(5, 2) | cube(9, 2)}
    scores = by_name(Segmentation(GRID, merged), Segmentation(GRID, apart))
    assert scores["liver_vessels"]["dice"] == 1.0
    assert scores["portal_vein"]["dice"] == 0.0


def test_segments_are_scored_one_by_one() -> None:
    truth = {Structure.LIVER: cube(5, 10), Structure.COUINAUD: cube(5, 5) * 4 + cube(10, 5) * 8}
    guess = {Structure.LIVER: cube(5, 10), Structure.COUINAUD: cube(5, 5) * 4 + cube(10, 5) * 7}
    scores = by_name(Segmentation(GRID, guess), Segmentation(GRID, truth))
    assert (scores["segment_4"]["dice"], scores["segment_8"]["dice"]) == (1.0, 0.0)
    assert isinstance(scores["segment_1"]["dice"], Unknown)


def test_another_grid_is_refused() -> None:
    other = Grid.from_spacing((40, 40, 40), (1.0, 1.0, 1.0))
    with pytest.raises(GeometryMismatch):
        compare(Segmentation(other, {}), Segmentation(GRID, {}))

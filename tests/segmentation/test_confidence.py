"""How sure a network is of its masks, against shapes whose probabilities are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.anatomy import Structure
from liverplan.segmentation.confidence import confidence_of, expected_dice, spread_mm, without_doubtful
from liverplan.segmentation.resampling import IsotropicImage
from liverplan.segmentation.windows import FloatVolume

N, SPACING = 48, 1.5
CENTRE = (N - 1) / 2
RADIUS_MM = 24.0
FAR = 12.0
"""A logit that leaves nothing to doubt."""


def depth_mm() -> FloatVolume:
    """How deep each voxel lies in a ball in the middle, negative outside."""
    i, j, k = np.meshgrid(*[(np.arange(N) - CENTRE) * SPACING] * 3, indexing="ij")
    return (RADIUS_MM - np.sqrt(i * i + j * j + k * k)).astype(np.float32)


def ball_scores(scale_mm: float, structure_class: int) -> FloatVolume:
    """Logits whose probability falls from 1 to 0 as a logistic function of depth over `scale_mm`."""
    scores = np.full((6, N, N, N), -30.0, dtype=np.float32)
    scores[0] = 0.0
    scores[structure_class] = depth_mm() / scale_mm
    return scores


def image(scores: FloatVolume) -> IsotropicImage:
    return IsotropicImage(scores[0], SPACING, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("scale_mm", [1.0, 2.0, 3.0])
def test_the_spread_of_a_logistic_boundary_is_that_of_its_closed_form(scale_mm: float) -> None:
    scores, mask = ball_scores(scale_mm, 2), depth_mm() > 0
    said = confidence_of(scores, image(scores), {Structure.LESIONS: mask}, (SPACING,) * 3)[Structure.LESIONS]
    # 84 % lies ln(0.84 / 0.16) scales inside of one half.
    assert said.boundary_mm == pytest.approx(1.96 * scale_mm * np.log(0.84 / 0.16), rel=0.12)


def test_a_network_without_doubt_expects_full_overlap_and_a_sharp_boundary() -> None:
    scores, mask = ball_scores(0.01, 2), depth_mm() > 0
    said = confidence_of(scores, image(scores), {Structure.LESIONS: mask}, (SPACING,) * 3)[Structure.LESIONS]
    assert said.expected_dice == pytest.approx(1.0, abs=1e-3)
    assert said.boundary_mm < 0.2


def test_what_cleaning_took_away_lowers_the_expected_overlap_by_the_share_that_is_missing() -> None:
    scores, half = ball_scores(0.01, 3), depth_mm() > 0
    half[N // 2 :] = False
    said = confidence_of(scores, image(scores), {Structure.PORTAL_VEIN: half}, (SPACING,) * 3)
    assert said[Structure.PORTAL_VEIN].expected_dice == pytest.approx(2 * 0.5 / 1.5, abs=0.01)


def test_the_expected_overlap_is_multiplied_with_what_was_true_where_the_network_was_tried() -> None:
    scores, mask = ball_scores(1.0, 3), {Structure.PORTAL_VEIN: depth_mm() > 0}
    plain = confidence_of(scores, image(scores), mask, (SPACING,) * 3)[Structure.PORTAL_VEIN]
    tried = confidence_of(scores, image(scores), mask, (SPACING,) * 3, {"portal_vein": 0.5})[Structure.PORTAL_VEIN]
    assert tried.expected_dice == pytest.approx(plain.expected_dice / 2)
    assert tried.boundary_mm == plain.boundary_mm


def test_veins_inside_the_liver_are_liver() -> None:
    scores = ball_scores(0.01, 1)
    vein = np.zeros((N, N, N), dtype=np.bool_)
    vein[20:28, 20:28, 10:38] = True
    scores[4][vein] = scores[1].max() + FAR
    said = confidence_of(scores, image(scores), {Structure.LIVER: depth_mm() > 0}, (SPACING,) * 3)
    assert said[Structure.LIVER].expected_dice == pytest.approx(1.0, abs=1e-3)


def test_masks_on_finer_voxels_are_compared_at_the_networks_centres() -> None:
    scores = ball_scores(0.5, 2)
    coarse = depth_mm() > 0
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(3, 2)
    first = tuple(-s / 2 + SPACING / 2 for s in (0.75, 0.75, 0.5))  # of the network, from the first fine centre
    lattice = IsotropicImage(scores[0], SPACING, (first[0] * 1, first[1] * 1, first[2] * 1))
    whole = confidence_of(scores, image(scores), {Structure.LESIONS: coarse}, (SPACING,) * 3)[Structure.LESIONS]
    said = confidence_of(scores, lattice, {Structure.LESIONS: fine}, (0.75, 0.75, 0.5))[Structure.LESIONS]
    assert said.expected_dice == pytest.approx(whole.expected_dice, abs=0.01)


def test_an_absent_structure_and_one_thinner_than_the_networks_voxels_state_nothing() -> None:
    scores = ball_scores(1.0, 2)
    thin = np.zeros((N * 3, N, N), dtype=np.bool_)
    thin[1, 5, 5] = True  # between the centres at 0 and 3
    empty = np.zeros_like(thin)
    masks = {Structure.LESIONS: thin, Structure.PORTAL_VEIN: empty}
    assert confidence_of(scores, image(scores), masks, (0.5, SPACING, SPACING)) == {}


def test_an_empty_mask_has_no_boundary() -> None:
    with pytest.raises(ValueError, match="no boundary"):
        spread_mm(np.zeros((4, 4, 4), dtype=np.float32), np.zeros((4, 4, 4), dtype=np.bool_), 1.5)


def test_a_spot_that_the_network_itself_doubts_is_left_out_and_counted() -> None:
    scores = np.zeros((6, N, N, N), dtype=np.float32)
    fine = np.zeros((N * 2, N * 2, N * 2), dtype=np.bool_)
    for start, likely in ((5, 0.98), (25, 0.9)):
        scores[2, start : start + 8, 10:18, 10:18] = np.log(likely / (1 - likely) * 5)  # against five other classes
        fine[2 * start : 2 * start + 16, 20:36, 20:36] = True
    lattice = IsotropicImage(scores[0], SPACING, (0.375, 0.375, 0.375))
    kept, dropped = without_doubtful(scores, lattice, fine, (0.75,) * 3, least=0.95)
    assert dropped == 1
    assert kept[10:26].sum() == 16**3
    assert not kept[40:].any()
    everything, none = without_doubtful(scores, lattice, fine, (0.75,) * 3, least=0.85)
    assert none == 0
    assert np.array_equal(everything, fine)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_expected_overlap_is_a_share_and_grows_with_what_is_likely_inside(seed: int, more: float) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random((5, 5, 5)).astype(np.float32)
    mask = rng.random((5, 5, 5)) < 0.5
    surer = np.where(mask, np.maximum(probability, np.float32(more)), probability)
    first, second = expected_dice(probability, mask), expected_dice(surer, mask)
    assert 0.0 <= first <= second + 1e-6 <= 1.0 + 1e-6

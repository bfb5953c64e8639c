"""Synthesis: what is drawn is nested, in range, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from abdomens import small_abdomen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverplan.training import anatomies as t
from liverplan.training.appearance import PHASES, _fade_thin_veins, _paint_patches, draw_look
from liverplan.training.appearance_mr import draw_mr_look, seen_as_mr
from liverplan.training.fields import smooth_noise
from liverplan.training.synthesis import (
    LOCATE_CLASSES,
    SEGMENT_CLASSES,
    Recipe,
    as_mr,
    draw_patch,
    field_of_view,
    scanned,
)

RECIPE = Recipe((32, 32, 32), 3.0, SEGMENT_CLASSES, max_lesions=6)
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(seed=st.integers(0, 10**6))
def test_a_patch_has_the_networks_range_and_known_classes(seed: int) -> None:
    patch = draw_patch(small_abdomen(), RECIPE, np.random.default_rng(seed))
    assert patch.image.shape == patch.target.shape == RECIPE.shape
    assert patch.image.dtype == np.float32
    assert np.isfinite(patch.image).all()
    assert patch.image.min() >= -1.0
    assert patch.image.max() <= 1.0
    assert set(np.unique(patch.target)) <= {0, 1, 2, 3, 4, 5}


def test_the_same_seed_draws_the_same_sample_and_another_seed_another() -> None:
    first, again, other = (draw_patch(small_abdomen(), RECIPE, np.random.default_rng(s)) for s in (7, 7, 8))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.target, again.target)
    assert not np.array_equal(first.image, other.image)


def test_the_portal_phase_shows_veins_brighter_than_liver_and_lesions_apart_from_it() -> None:
    looks = [draw_look(np.random.default_rng(s)) for s in range(200)]
    portal = [look.hounsfield for look in looks if look.phase == "portal"]
    assert len(portal) > 100
    assert {look.phase for look in looks} == set(PHASES)
    for hounsfield in portal:
        assert hounsfield[t.PORTAL] > hounsfield[t.LIVER] + 5
        assert hounsfield[t.HEPATIC] > hounsfield[t.LIVER] + 5
    assert 90 < np.mean([hu[t.LIVER] for hu in portal]) < 120


def test_thick_slices_average_but_keep_a_uniform_object() -> None:
    for seed in range(20):
        image = scanned(np.full((12, 12, 40), 100.0, dtype=np.float32), 1.5, np.random.default_rng(seed))
        assert image.shape == (12, 12, 40)
        assert abs(image.mean() - 100.0) < 3.0


def test_locating_knows_liver_only_and_counts_what_is_inside_as_liver() -> None:
    assert set(LOCATE_CLASSES) == {0, 1}
    assert all(LOCATE_CLASSES[v] == 1 for v in (t.LIVER, t.LESION, t.PORTAL_IN, t.HEPATIC))
    assert LOCATE_CLASSES[t.VENA_CAVA] == LOCATE_CLASSES[t.PORTAL] == LOCATE_CLASSES[t.SPLEEN] == 0


@pytest.mark.parametrize("length", [1.5, 6.0, 40.0])
def test_smooth_noise_has_about_unit_variance(length: float) -> None:
    fields = [smooth_noise((24, 24, 24), length, np.random.default_rng(s)) for s in range(30)]
    assert 0.7 < np.std(np.stack(fields)) < 1.4


@few
@given(seed=st.integers(0, 10**6))
def test_an_mr_patch_has_the_networks_range_and_the_same_classes(seed: int) -> None:
    recipe = Recipe((32, 32, 32), 3.0, SEGMENT_CLASSES, max_lesions=6, modality="MR")
    patch = draw_patch(small_abdomen(), recipe, np.random.default_rng(seed))
    assert np.isfinite(patch.image).all()
    assert patch.image.min() >= -1.0
    assert patch.image.max() <= 1.0
    assert set(np.unique(patch.target)) <= {0, 1, 2, 3, 4, 5}


def test_a_ct_shown_as_an_mr_keeps_air_dark_and_no_order_of_greys() -> None:
    hounsfield = np.array([-1000.0, -950.0, -100.0, 60.0, 110.0, 180.0], dtype=np.float32)
    shown = np.array([seen_as_mr(hounsfield, np.random.default_rng(s)) for s in range(200)])
    assert (shown[:, :2] == -150.0).all()
    assert (shown[:, 2:] > -150.0).all()
    for first, second in ((2, 3), (3, 4), (4, 5)):
        assert 0.2 < (shown[:, first] < shown[:, second]).mean() < 0.8


def test_in_mr_lesions_and_vessels_stand_out_from_the_liver_to_either_side() -> None:
    looks = [draw_mr_look(np.random.default_rng(s)).hounsfield for s in range(200)]
    for tissue in (t.LESION, t.PORTAL):
        apart = np.array([look[tissue] - look[t.LIVER] for look in looks])
        assert (np.abs(apart) > 10).mean() > 0.9
        assert 0.1 < (apart > 0).mean() < 0.95
    assert all(look[t.LUNGS] < look[t.LIVER] for look in looks)


def test_a_scan_may_be_a_slab_of_a_fifth_of_the_patch_and_the_liver_beyond_it_is_not_asked_for() -> None:
    kept = []
    for seed in range(300):
        seen = field_of_view(np.full((32, 32, 40), t.LIVER, dtype=np.uint8), np.random.default_rng(seed))
        assert set(np.unique(seen)) <= {t.LIVER, t.EDGE}
        kept.append((seen == t.LIVER).any((0, 1)).mean())
    assert min(kept) < 0.25
    assert 0.3 < np.mean(np.array(kept) == 1.0) < 0.7
    assert LOCATE_CLASSES[t.EDGE] == SEGMENT_CLASSES[t.EDGE] == 0


def test_patches_of_fat_and_perfusion_stay_liver_and_have_no_edge() -> None:
    """Now and then regions of liver are brighter or darker; within a voxel they change by less than noise does."""
    labels = np.full((40, 40, 40), t.LIVER, dtype=np.uint8)
    labels[:20] = t.SPLEEN
    steps, touched = [], 0
    for seed in range(40):
        hu = np.zeros(labels.shape, dtype=np.float32)
        _paint_patches(hu, labels, 1.5, np.random.default_rng(seed))
        assert not hu[:20].any(), "the spleen is as it was"
        assert np.abs(hu).max() <= 22.0
        touched += bool(hu.any())
        steps.append(float(np.abs(np.diff(hu[20:], axis=1)).max()))
    assert 5 <= touched <= 25
    assert max(steps) < 8.0


def test_thin_veins_are_fainter_than_wide_ones_and_stay_on_their_side_of_the_liver() -> None:
    """A vein narrower than a voxel or two fills its voxels in part: what the scan shows of it is between both."""
    labels = np.full((40, 40, 40), t.LIVER, dtype=np.uint8)
    labels[5:15, 5:15] = t.PORTAL_IN
    labels[25, 25] = labels[26, 25] = t.HEPATIC
    wide, thin = [], []
    for seed in range(60):
        hu = np.where(labels == t.LIVER, 110.0, 165.0).astype(np.float32)
        _fade_thin_veins(hu, labels, 110.0, 1.5, np.random.default_rng(seed))
        assert (hu[labels == t.LIVER] == 110.0).all()
        wide.append(np.median(hu[8:12, 8:12]) - 110.0)
        thin.append(np.median(hu[25:27, 25]) - 110.0)
    assert 45.0 < np.median(wide) < 65.0
    assert 20.0 < np.median(thin) < 48.0
    assert min(thin) > 5.0


def test_mr_slices_lie_across_any_axis_and_mostly_across_the_body() -> None:
    """Fine stripes across an axis stay where slices are thin and vanish where they are thick."""
    recipe = Recipe((32, 32, 32), 1.5, SEGMENT_CLASSES, modality="MR")
    nowhere = np.zeros(recipe.shape, dtype=bool)
    stripes = np.where(np.indices(recipe.shape) // 2 % 2, 200.0, 0.0).astype(np.float32)
    blurred = np.zeros(3, dtype=int)
    for seed in range(120):
        contrast = [as_mr(stripes[axis], nowhere, recipe, np.random.default_rng(seed)) for axis in range(3)]
        seen = [float(np.abs(np.diff(image, axis=axis)).mean()) for axis, image in enumerate(contrast)]
        blurred[int(np.argmin(seen))] += 1
    assert blurred[2] > blurred[1] > blurred[0] > 0

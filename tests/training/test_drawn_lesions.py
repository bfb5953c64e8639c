"""Drawn metastases: inside the liver, of many sizes, and on a real scan nothing else changes."""

from __future__ import annotations

import numpy as np
from abdomens import ellipsoid, small_abdomen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from liverplan.training import anatomies as t
from liverplan.training.lesions import add_lesions, paint_lesion, with_drawn_lesions

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPACING_MM = 3.0


@few
@given(seed=st.integers(0, 10**6))
def test_lesions_lie_where_the_liver_was(seed: int) -> None:
    before = small_abdomen()
    after = before.copy()
    lesions = add_lesions(after, 6, SPACING_MM, np.random.default_rng(seed))
    changed = after != before
    assert (after[changed] == t.LESION).all()
    assert (before[changed] == t.LIVER).all()
    together = np.zeros(before.shape, dtype=bool)
    for lesion in lesions:
        together[lesion.box] |= lesion.mask
    assert np.array_equal(together, changed)


def test_a_lesion_that_displaces_vessels_never_leaves_the_liver() -> None:
    before = small_abdomen()
    before[20:28, 20:28, 20:28] = t.PORTAL_IN
    organ = np.isin(before, (t.LIVER, t.PORTAL_IN))
    displaced = 0
    for seed in range(20):
        after = before.copy()
        add_lesions(after, 6, SPACING_MM, np.random.default_rng(seed))
        assert not ((after == t.LESION) & ~organ).any()
        displaced += bool(((before == t.PORTAL_IN) & (after == t.LESION)).any())
    assert 0 < displaced < 20


def test_sizes_are_those_of_patients_with_a_share_of_large_ones() -> None:
    liver = np.full((90, 90, 90), t.LIVER, dtype=np.uint8)
    sizes = [
        lesion.size_mm
        for seed in range(150)
        for lesion in add_lesions(liver.copy(), 4, SPACING_MM, np.random.default_rng(seed))
    ]
    assert 17 < np.median(sizes) < 27
    assert min(sizes) >= 5
    assert max(sizes) <= 95
    assert 0.08 < np.mean(np.array(sizes) > 45) < 0.3


def test_a_large_lesion_is_darker_than_the_liver_and_uneven_and_deposits_are_brighter_than_either() -> None:
    darker, spread, bright = [], [], 0
    for seed in range(200):
        labels = np.full((60, 60, 60), t.LIVER, dtype=np.uint8)
        rng = np.random.default_rng(seed)
        for lesion in add_lesions(labels, 2, SPACING_MM, rng):
            if lesion.size_mm < 40:
                continue
            hu = np.full(labels.shape, 110.0, dtype=np.float32)
            paint_lesion(hu, lesion, 110.0, 66.0, SPACING_MM, rng)
            inside = hu[lesion.box][lesion.mask]
            assert (hu[lesion.box][~lesion.mask] == 110.0).all()
            darker.append(np.median(inside) < 105.0)
            spread.append(np.subtract(*np.percentile(inside, (90, 10))))
            bright += bool((inside > 149.0).mean() > 0.01)
    assert np.mean(darker) > 0.95
    assert np.median(spread) > 15.0
    assert 0.05 < bright / len(darker) < 0.4


def test_lesions_drawn_into_a_real_scan_leave_the_rest_of_it_alone_and_keep_its_noise() -> None:
    shape = (64, 56, 48)
    liver = ellipsoid(shape, (26.0, 26.0, 24.0), (18.0, 16.0, 18.0))
    rng = np.random.default_rng(5)
    image = np.where(liver, 110.0, -100.0) + 12.0 * rng.standard_normal(shape)
    scan = image.astype(np.float32)
    contrasts = []
    for seed in range(40):
        drawn, lesions = with_drawn_lesions(scan, liver, 4, SPACING_MM, np.random.default_rng(seed))
        if not lesions.any():
            assert np.array_equal(drawn, scan)
            continue
        assert not (lesions & ~liver).any()
        away = ndimage.distance_transform_edt(~lesions) > 8
        assert np.array_equal(drawn[away], scan[away])
        deep = ndimage.binary_erosion(lesions, iterations=3)
        if deep.sum() > 200:
            contrasts.append(np.median(drawn[deep]) - 110.0)
            local = drawn - ndimage.gaussian_filter(drawn, 1.0)
            assert local[deep].std() > 6.0
    assert len(contrasts) > 4
    assert np.median(contrasts) < -12.0

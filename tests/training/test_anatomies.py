"""Putting another patient's liver into a body, and trees into that liver."""

from __future__ import annotations

import numpy as np
from abdomens import ellipsoid, small_abdomen
from scipy import ndimage

from liverplan.training import anatomies as t
from liverplan.training.anatomies import Abdomen, transplant
from liverplan.training.vessels import with_vessels


def segments_like(shape: tuple[int, int, int]) -> t.LabelArray:
    """An ellipsoid cut into a caudate lobe, segment 4, left and right lobe."""
    liver = ellipsoid(shape, tuple(n / 2 for n in shape), tuple(n * 0.45 for n in shape))
    i, j, _ = np.indices(shape)
    segments = np.where(i > shape[0] * 0.7, 2, np.where(i > shape[0] * 0.5, 4, np.where(j > shape[1] * 0.5, 7, 8)))
    segments[(i > shape[0] * 0.55) & (j > shape[1] * 0.65)] = 1
    return np.where(liver, segments, 0).astype(np.uint8)


def host() -> Abdomen:
    labels = small_abdomen((80, 72, 60))
    return Abdomen("made up", labels, 4.0, labels > 0)


def test_the_transplanted_liver_replaces_the_old_one_and_spares_spine_and_vena_cava() -> None:
    body = host()
    grown = transplant(body, segments_like((40, 34, 38)), np.random.default_rng(0))
    assert grown is not None
    new, segments = grown
    for keeps in (t.VENA_CAVA, t.VERTEBRAE):
        assert np.array_equal(new.labels == keeps, body.labels == keeps)
    liver = new.labels == t.LIVER
    assert liver.sum() > 0.5 * (body.labels == t.LIVER).sum()
    assert ((segments > 0) <= liver).all()
    assert not ((new.labels == 0) & (body.labels > 0)).any()


def test_a_liver_that_does_not_fit_is_not_used() -> None:
    body = host()
    tight = Abdomen("tight", body.labels, 4.0, np.zeros_like(body.inner))
    assert transplant(tight, segments_like((40, 34, 38)), np.random.default_rng(0)) is None


def test_trees_grow_inside_the_liver_and_portal_and_hepatic_veins_stay_apart() -> None:
    body = host()
    grown = transplant(body, segments_like((40, 34, 38)), np.random.default_rng(0))
    assert grown is not None
    body_map, segments = (ndimage.zoom(m, 2, order=0) for m in (grown[0].labels, grown[1]))
    labels = with_vessels(body_map, segments, 2.0, np.random.default_rng(1))
    assert labels is not None
    organ = body_map == t.LIVER
    portal, hepatic = labels == t.PORTAL_IN, labels == t.HEPATIC
    assert portal.sum() > 500
    assert hepatic.sum() > 500
    assert not (portal & ~organ).any()
    assert not (ndimage.binary_dilation(portal, np.ones((3, 3, 3))) & hepatic).any()
    assert np.array_equal(labels == t.VENA_CAVA, body_map == t.VENA_CAVA)


def test_a_body_without_vena_cava_offers_no_confluence() -> None:
    labels = small_abdomen()
    labels[labels == t.VENA_CAVA] = t.FAT
    assert with_vessels(labels, None, 4.0, np.random.default_rng(1)) is None


def test_a_livers_own_veins_move_with_it_and_stay_inside_it() -> None:
    segments = segments_like((40, 36, 36))
    veins = np.zeros(segments.shape, dtype=np.bool_)
    veins[10:30, 17:20, 17:20] = True
    with_veins = transplant(host(), segments, np.random.default_rng(0), veins)
    without = transplant(host(), segments, np.random.default_rng(0))
    assert with_veins is not None
    assert without is not None
    vein, liver = with_veins[0].labels == t.VEIN, without[0].labels == t.LIVER
    assert 0.3 * (veins & (segments > 0)).sum() < vein.sum() < 2 * veins.sum()
    assert liver[vein].all()
    assert np.array_equal(with_veins[1] > 0, without[1] > 0)
    assert with_veins[1].max() <= 8

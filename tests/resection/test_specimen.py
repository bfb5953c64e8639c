"""From a shape to a specimen: one piece per lesion group, in reach, nothing stranded, nothing enclosed."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import HIGH_VEIN, TWO_BRANCHES, ball, beyond, grid, hepatic_tree, portal_tree, workspace

from liverplan.resection.specimen import reaches_capsule, specimen_of, tidied
from simple_case import Ball

LESION = Ball((-25.0, 0.0, 0.0), 5.0)


@pytest.fixture(scope="module")
def bare():
    return workspace(grid((1.5, 1.5, 1.5)), [LESION])


@pytest.fixture(scope="module")
def with_trees():
    trees = portal_tree(TWO_BRANCHES), hepatic_tree(HIGH_VEIN)
    return workspace(grid((1.5, 1.5, 1.5)), [LESION], *trees)


def half(work):
    """The right half up to the middle of the lesion's far side, lesion included."""
    return beyond(work, (-10.0, 0.0, 0.0), (-1.0, 0.0, 0.0))


def test_a_fit_specimen_is_left_as_it_is(bare):
    assert np.array_equal(tidied(bare, half(bare)), half(bare))


def test_loose_bits_without_a_lesion_stay_in_the_remnant(bare):
    loose = ball(bare, (30.0, 0.0, 0.0), 5.0)
    assert np.array_equal(tidied(bare, half(bare) | loose), half(bare))


def test_an_enclosed_hole_goes_with_the_specimen(bare):
    hole = ball(bare, (-24.0, 12.0, 4.0), 4.0)
    assert np.array_equal(tidied(bare, half(bare) & ~hole), half(bare))


def test_a_small_stranded_piece_goes_with_the_specimen(bare):
    # A slab with the lesion leaves the tip to its right, 11 mL, without a bridge.
    slab = half(bare) & ~beyond(bare, (-33.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
    assert np.array_equal(tidied(bare, slab), half(bare))


def test_a_large_piece_stays_when_nothing_is_known_of_its_vessels(bare):
    slab = half(bare) & ~beyond(bare, (-20.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
    slab |= ball(bare, LESION.centre, 7.0)
    tip = bare.liver & ~slab & beyond(bare, (-15.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
    assert tip.sum() * bare.grid.voxel_ml > 20.0
    assert np.array_equal(tidied(bare, slab), slab)


def test_a_large_piece_without_outflow_goes_with_the_specimen(with_trees):
    # The hepatic vein runs at x = 0: what is cut off on the right keeps a portal branch and no vein.
    work = with_trees
    slab = half(work) & ~beyond(work, (-20.0, 0.0, 0.0), (-1.0, 0.0, 0.0)) | ball(work, LESION.centre, 7.0)
    assert np.array_equal(tidied(work, slab), half(work))


def test_without_a_lesion_nothing_is_taken(bare):
    assert not tidied(bare, ball(bare, (20.0, 0.0, 0.0), 9.0)).any()
    assert not tidied(bare, np.zeros_like(bare.liver)).any()


def test_a_level_set_takes_liver_only(bare):
    level = (bare.lattice.points_lps_mm[..., 0] + 10.0).astype(np.float32)
    specimen = specimen_of(bare, level)
    assert not (specimen & ~bare.liver).any()
    assert np.array_equal(specimen, half(bare))


def test_reaching_the_capsule_is_asked_of_every_piece(bare):
    buried, open_ = ball(bare, (20.0, 0.0, 0.0), 6.0), half(bare)
    assert reaches_capsule(bare, open_)
    assert not reaches_capsule(bare, buried)
    assert not reaches_capsule(bare, open_ | buried)
    assert not reaches_capsule(bare, np.zeros_like(open_))

"""Bending a cut around a vessel that stays."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import TWO_BRANCHES, grid, portal_tree, workspace

from liverplan.resection.sparing import kept_clear
from simple_case import Ball

CLEAR_MM = 3.0


@pytest.fixture(scope="module")
def bent():
    work = workspace(grid((1.5, 1.5, 1.5)), [Ball((-25.0, 0.0, 14.0), 4.0)], portal_tree(TWO_BRANCHES))
    level = (work.lattice.points_lps_mm[..., 2] * -1.0 - 2.0).astype(np.float32)
    tree = work.field.portal
    right = tree.tree.branch == 1
    return work, level, kept_clear(work, level, tree, right, CLEAR_MM)


def to_right_wall_mm(points: np.ndarray) -> np.ndarray:
    """Closed form: a capsule from (-1, 0, 0) to (-38, 0, 0) of 3 mm radius."""
    foot = np.clip(points[..., 0], -38.0, -1.0)
    return np.linalg.norm(points - np.stack([foot, 0 * foot, 0 * foot], axis=-1), axis=-1) - 3.0


def test_nothing_nearer_to_the_wall_is_taken(bent):
    work, _, found = bent
    near = work.near_liver & (to_right_wall_mm(work.lattice.points_lps_mm) < CLEAR_MM - 0.1)
    assert near.sum() > 50
    assert (found[near] > 0).all()


def test_elsewhere_the_cut_is_unchanged(bent):
    work, level, found = bent
    far = to_right_wall_mm(work.lattice.points_lps_mm) > 3.0 * CLEAR_MM
    assert np.array_equal(np.sign(found[far]), np.sign(level[far]))


def test_the_cut_only_ever_gives_way(bent):
    _, level, found = bent
    assert (found >= level).all()


def test_a_thick_vessels_wall_counts_where_a_twigs_centre_is_nearer():
    # Trunk of 6 mm at x = 0, a twig of 1 mm at x = 9: at x = 7.2 the trunk's wall is 1.2 mm off, the twig's 0.8.
    drawing = {
        "trunk": (None, 6.0, [(0.0, 0.0, -30.0), (0.0, 0.0, 30.0)]),
        "twig": (None, 1.0, [(10.0, 0.0, -30.0), (10.0, 0.0, 30.0)]),
    }
    work = workspace(grid((1.5, 1.5, 1.5)), [Ball((-25.0, 0.0, 0.0), 4.0)], portal_tree(drawing))
    level = np.full(work.lattice.shape, -9.0, dtype=np.float32)
    tree = work.field.portal
    found = kept_clear(work, level, tree, np.ones(len(tree.tree.parent), dtype=bool), 2.0)
    points = work.lattice.points_lps_mm
    radial = np.minimum(
        np.hypot(points[..., 0], points[..., 1]) - 6.0, np.hypot(points[..., 0] - 10.0, points[..., 1]) - 1.0
    )
    near = work.near_liver & (np.abs(points[..., 2]) < 25.0)
    assert (found[near & (radial < 1.8)] > 0).all()
    assert (found[near & (radial > 2.2)] < 0).all()

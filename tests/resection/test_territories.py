"""Which portal branches to take: the smallest set that covers, against trying every set."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hand_made import HALF_AXES_MM, HIGH_VEIN, TWO_BRANCHES, grid, hepatic_tree, portal_tree, voxels, workspace
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.anatomy import Structure
from liverplan.distance import BoundaryError
from liverplan.lesions import find_lesions
from liverplan.margin import Cells, LossField, TreeLoss
from liverplan.resection.territories import UNCOVERED_SHARE, covered_share, smallest_cover, territory_level
from liverplan.resection.workspace import Target, Workspace, cut_off
from liverplan.vessels import VesselTree
from liverplan.volume import Grid
from simple_case import Ball

LESION = Ball((-25.0, 4.0, 12.0), 5.0)
ON = Grid.from_spacing((8, 8, 8), (2.0, 2.0, 2.0))
LABELS = np.zeros(ON.shape, dtype=np.uint8)
LABELS[3:5, 3:5, 3:5] = 1
FOUND = find_lesions(LABELS, ON)


@st.composite
def tiny_trees(draw):
    """Up to nine nodes; per node the mL that it serves outside and inside the margin region."""
    count = draw(st.integers(1, 9))
    parent = [-1] + [draw(st.integers(0, n - 1)) for n in range(1, count)]
    served = draw(st.lists(st.integers(0, 30), min_size=count, max_size=count))
    wanted = draw(st.lists(st.integers(0, 10), min_size=count, max_size=count))
    return np.array(parent, dtype=np.int64), np.array(served, float), np.array(wanted, float)


def tiny_workspace(parent, outside_ml, inside_ml):
    """Two cells per node: one within the margin and one far away."""
    count = len(parent)
    nodes = np.tile(np.arange(count), 2)
    points = np.stack([nodes, 0 * nodes, 0 * nodes], axis=1).astype(float)
    cells = Cells(points, np.concatenate([outside_ml, inside_ml]), np.zeros(2 * count, dtype=np.int32))
    tree = VesselTree(Structure.PORTAL_VEIN, points[:count], np.ones(count), parent, np.arange(count))
    row, where = np.full((1, count), 9.0), np.zeros((1, count), dtype=np.int64)
    loss = TreeLoss(tree, np.zeros(count), row, row, where, nodes)
    distance = np.repeat(np.float32([50.0, 1.0]), count)[None]
    field = LossField(cells, FOUND.lesions, distance, loss, None, 0.5)
    return Workspace(ON, LABELS > 0, FOUND.labels, field, None, None, BoundaryError())


@given(tiny_trees())
@settings(max_examples=150, deadline=None)
def test_no_other_set_of_branches_covers_as_much_for_less(tree):
    parent, outside_ml, inside_ml = tree
    found = smallest_cover(tiny_workspace(parent, outside_ml, inside_ml), [0], 7.0)
    if inside_ml.sum() == 0:
        assert found is None
        return
    served = outside_ml + inside_ml
    assert np.array_equal(found, cut_off(parent, found)), "whole subtrees only"
    uncovered = inside_ml[~found].sum()
    assert uncovered <= UNCOVERED_SHARE * inside_ml.sum() + 1e-9
    for picked in itertools.product((False, True), repeat=len(parent)):
        other = cut_off(parent, np.array(picked))
        if inside_ml[~other].sum() <= uncovered:
            assert served[other].sum() >= served[found].sum() - 1e-9


@pytest.fixture(scope="module")
def two_branches():
    return workspace(
        grid((1.5, 1.5, 1.5)),
        [LESION],
        portal_tree(TWO_BRANCHES),
        hepatic_tree(HIGH_VEIN),
    )


def test_a_lesion_in_the_right_territory_asks_for_the_right_branch_only(two_branches):
    work = two_branches
    tree = work.field.portal.tree
    found = smallest_cover(work, [0], 7.0)
    assert not found[tree.branch != 1].any()
    x = tree.points_lps_mm[found, 0]
    # The margin region spans x from -37 to -13.
    assert x.max() == pytest.approx(-14.0, abs=4.0)
    assert x.min() == -38.0


def test_all_of_a_lesion_that_the_right_branch_serves_is_covered_by_it(two_branches):
    work = two_branches
    right = work.field.portal.tree.branch == 1
    assert covered_share(work, right, 0, 7.0) == pytest.approx(1.0, abs=0.02)
    assert covered_share(work, ~right, 0, 7.0) == pytest.approx(0.0, abs=0.02)


def test_without_a_portal_tree_there_is_no_cover():
    assert smallest_cover(workspace(grid((2.0, 2.0, 2.0)), [LESION]), [0], 7.0) is None


def test_a_territorys_cut_is_the_watershed_and_never_inside_the_margin(two_branches):
    work = two_branches
    tree = work.field.portal.tree
    level = territory_level(work, tree.branch == 1, [0], Target(9.0, 8.0))
    points = work.lattice.points_lps_mm
    inside = work.near_liver & (work.lesion_distance_mm[0] <= 7.9)
    assert (level[inside] < 0).all()
    # Above the trunk the watershed between right and left is the plane x = 0.
    above = work.near_liver & (points[..., 2] > 8.0) & (points[..., 2] < 16.0) & (np.abs(points[..., 1]) > 8.0)
    assert (level[above & (points[..., 0] < -6.0)] < 0).all()
    assert (level[above & (points[..., 0] > 6.0)] > 0).all()


def test_a_territory_is_taken_up_to_the_capsule(two_branches):
    # What stands outside the liver must not push the cut away from its surface.
    work = two_branches
    level = territory_level(work, work.field.portal.tree.branch == 1, [0], Target(9.0, 8.0))
    points = voxels(work.grid)
    rim = ((points / HALF_AXES_MM) ** 2).sum(axis=-1) > 0.9
    right = work.liver & rim & (points[..., 0] < -8.0) & (points[..., 2] > 4.0)
    taken = work.lattice.below_zero(level)
    assert right.sum() > 1000
    assert (taken & right).sum() >= 0.99 * right.sum()

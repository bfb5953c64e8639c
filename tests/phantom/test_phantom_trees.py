"""Vessel trees: what a grown tree promises, and the distance queries against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.phantom.trees import Tree, disentangle, grow_tree, murray_radii

SIZE_MM = np.array([90.0, 60.0, 55.0])


def inside(points: np.ndarray) -> np.ndarray:
    """An ellipsoid's implicit function, scaled so that it never changes faster than the point moves."""
    return (np.linalg.norm(points / SIZE_MM, axis=1) - 1.0) * SIZE_MM.min()


@pytest.fixture(scope="module")
def portal() -> Tree:
    return grow_tree(inside, (0, 30, -45), (0, -0.3, 1), 6.0, 80, np.random.default_rng(1))


@pytest.fixture(scope="module")
def pair(portal: Tree) -> tuple[Tree, Tree]:
    hepatic = grow_tree(inside, (0, 35, 45), (0, -0.6, -1), 7.0, 100, np.random.default_rng(2))
    return disentangle(portal, hepatic, inside, clearance_mm=0.5)


def capsule_oracle(tree: Tree, point: np.ndarray) -> np.ndarray:
    """Distance of one point to each wall, one segment at a time, without vector tricks."""
    walls = []
    for a, b, radius in zip(tree.start_mm, tree.end_mm, tree.radius_mm, strict=True):
        t = np.clip(np.dot(point - a, b - a) / np.dot(b - a, b - a), 0, 1)
        walls.append(np.linalg.norm(point - (a + t * (b - a))) - radius)
    return np.array(walls)


def children_of(tree: Tree) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for segment, parent in enumerate(tree.parent):
        children.setdefault(int(parent), []).append(segment)
    return children


def assert_murray(tree: Tree, exponent: float) -> None:
    for parent, children in children_of(tree).items():
        if parent >= 0:
            flow = sum(tree.radius_mm[c] ** exponent for c in children)
            assert flow == pytest.approx(tree.radius_mm[parent] ** exponent, rel=1e-9)


def test_radii_obey_murrays_law_at_every_branching(portal: Tree, pair: tuple[Tree, Tree]) -> None:
    for tree in (portal, *pair):
        assert_murray(tree, 2.8)


def test_another_exponent_is_kept_too() -> None:
    assert_murray(grow_tree(inside, (0, 30, -45), (0, 0, 1), 6.0, 30, np.random.default_rng(5), 3.0), 3.0)


def test_a_tree_is_connected_and_parents_stand_first(pair: tuple[Tree, Tree]) -> None:
    for tree in pair:
        assert (tree.parent < np.arange(len(tree))).all()
        assert (tree.parent == -1).sum() == 1
        joined = tree.parent >= 0
        assert np.allclose(tree.start_mm[joined], tree.end_mm[tree.parent[joined]])


def test_the_root_has_the_radius_and_place_that_were_asked_for(portal: Tree) -> None:
    assert portal.radius_mm[0] == pytest.approx(6.0)
    assert np.allclose(portal.start_mm[0], (0, 30, -45))
    assert portal.radius_mm.min() >= 1.0


def test_walls_stay_inside_the_organ(pair: tuple[Tree, Tree]) -> None:
    for tree in pair:
        points, segment = tree.axis_points(0.4)
        beyond_trunk = ~np.isin(segment, trunk_segments(tree))
        assert (inside(points) + tree.radius_mm[segment])[beyond_trunk].max() <= 0.26


def trunk_segments(tree: Tree) -> list[int]:
    children, trunk, here = children_of(tree), [], 0
    while True:
        trunk.append(here)
        if len(children.get(here, [])) != 1:
            return trunk
        here = children[here][0]


def test_portal_and_hepatic_walls_keep_their_clearance(pair: tuple[Tree, Tree]) -> None:
    portal, hepatic = pair
    points, segment = hepatic.axis_points(0.1)
    assert (portal.distance_mm(points) - hepatic.radius_mm[segment]).min() >= 0.5


def test_disentangling_loses_few_branches(portal: Tree, pair: tuple[Tree, Tree]) -> None:
    assert len(pair[0].leaves) >= 0.9 * len(portal.leaves)
    assert len(pair[1].leaves) >= 90


def test_terminal_branches_reach_the_whole_organ(portal: Tree) -> None:
    points = np.random.default_rng(3).uniform(-1, 1, (20000, 3)) * SIZE_MM
    points = points[inside(points) < 0]
    distance = portal.axis_distance_mm(points)
    volume_per_leaf = 4 / 3 * np.pi * SIZE_MM.prod() / 80
    reach = (volume_per_leaf * 3 / (4 * np.pi)) ** (1 / 3)
    assert np.percentile(distance, 95) < 1.3 * reach
    assert distance.max() < 2.2 * reach


def test_a_tree_has_the_wanted_leaves_and_a_moderate_number_of_segments(portal: Tree) -> None:
    assert len(portal.leaves) == 80
    assert 150 <= len(portal) <= 900


def test_the_same_seed_grows_the_same_tree(portal: Tree) -> None:
    again = grow_tree(inside, (0, 30, -45), (0, -0.3, 1), 6.0, 80, np.random.default_rng(1))
    assert np.array_equal(again.end_mm, portal.end_mm)


def test_leaves_thinner_than_the_least_radius_are_not_asked_for() -> None:
    tree = grow_tree(inside, (0, 30, -45), (0, 0, 1), 3.0, 500, np.random.default_rng(4), min_radius_mm=1.0)
    assert len(tree.leaves) == int(3.0**2.8)
    assert tree.radius_mm.min() >= 1.0 - 1e-9


def test_avoid_is_respected_while_growing() -> None:
    def ball(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - (35, 0, 0), axis=1) - 18.0

    tree = grow_tree(inside, (0, 30, -45), (0, -0.3, 1), 6.0, 60, np.random.default_rng(6), avoid=ball)
    points, segment = tree.axis_points(0.1)
    assert (ball(points) - tree.radius_mm[segment]).min() >= 0
    assert len(tree.leaves) > 45


def test_an_empty_domain_is_an_error() -> None:
    with pytest.raises(ValueError, match="no part of the domain"):
        grow_tree(lambda p: np.full(len(p), 50.0), (0, 0, 0), (0, 0, 1), 6.0, 20, np.random.default_rng(0))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-150, 150), min_size=3, max_size=3))
def test_distance_and_nearest_segment_agree_with_a_plain_loop(portal: Tree, point: list[float]) -> None:
    here = np.array(point)
    walls = capsule_oracle(portal, here)
    assert portal.distance_mm(here[None])[0] == pytest.approx(walls.min(), abs=1e-9)
    axes = walls + portal.radius_mm
    assert axes[portal.nearest_segment(here[None])[0]] == pytest.approx(axes.min(), abs=1e-9)
    assert walls[portal.nearest_wall_segment(here[None])[0]] == pytest.approx(walls.min(), abs=1e-9)


def test_large_queries_prune_segments_without_changing_the_answer(portal: Tree) -> None:
    points = np.random.default_rng(7).uniform(-120, 120, (30000, 3))
    large = portal.distance_mm(points)
    some = np.arange(0, len(points), 100)
    assert np.allclose(large[some], [capsule_oracle(portal, points[i]).min() for i in some], atol=1e-9)


def test_the_path_minimum_is_the_least_value_towards_the_root() -> None:
    starts = np.zeros((4, 3))
    tree = Tree(starts, starts + 1.0, np.ones(4), np.array([-1, 0, 1, 0], dtype=np.int32))
    assert tree.path_minimum(np.array([5.0, 2.0, 7.0, 6.0])).tolist() == [5.0, 2.0, 2.0, 5.0]


def test_pruning_takes_everything_downstream() -> None:
    starts = np.zeros((4, 3))
    tree = Tree(starts, starts + 1.0, np.arange(1.0, 5.0), np.array([-1, 0, 1, 0], dtype=np.int32))
    kept = tree.kept(np.array([True, False, True, True]))
    assert kept.radius_mm.tolist() == [1.0, 4.0]
    assert kept.parent.tolist() == [-1, 0]


def test_children_before_parents_are_refused() -> None:
    starts = np.zeros((2, 3))
    with pytest.raises(ValueError, match="before its children"):
        Tree(starts, starts, np.ones(2), np.array([1, -1], dtype=np.int32))


def test_murray_radii_split_the_flow() -> None:
    radii = murray_radii(np.array([-1, 0, 0], dtype=np.int32), 6.0, 3.0)
    assert radii == pytest.approx([6.0, 6.0 / 2 ** (1 / 3), 6.0 / 2 ** (1 / 3)])

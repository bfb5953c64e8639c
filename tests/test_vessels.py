"""Rooted vessel trees from masks."""

import numpy as np
import pytest
from scipy import ndimage

import simple_case
from liverplan.anatomy import Structure
from liverplan.vessels import LARGEST_BRIDGED_GAP_MM, trace_hepatic_tree, trace_portal_tree
from liverplan.volume import Grid
from simple_case import CAVA, HEPATIC, PORTAL, tube_distance_mm


@pytest.fixture(scope="module")
def drawn():
    return simple_case.masks(simple_case.grid(), ())


def fork():
    """A trunk that splits into two branches, in a box, with the trunk outside the liver."""
    grid = Grid.from_spacing((110, 80, 40), (1.0, 1.0, 1.0), (-60.0, -40.0, -20.0))
    where = simple_case.voxels(grid)
    trunk = (np.array([-55.0, 0.3, 0.2]), np.array([-10.0, 0.3, 0.2]), 5.0)
    arms = [(np.array([-10.0, 0.3, 0.2]), np.array([40.0, y, 0.2]), 3.0) for y in (-30.0, 30.0)]
    mask = np.min([tube_distance_mm(where, t) for t in (trunk, *arms)], axis=0) <= 0
    liver = where[..., 0] > -25.0
    return mask, liver, grid


def test_the_portal_tree_is_rooted_at_its_thick_end_outside_the_liver(drawn):
    tree = trace_portal_tree(drawn.mask(Structure.PORTAL_VEIN), drawn.mask(Structure.LIVER), drawn.grid)
    root = tree.points_lps_mm[tree.roots[0]]
    assert len(tree.roots) == 1
    assert np.linalg.norm(root - PORTAL[0]) < 6.0
    assert tree.warnings == ()


def test_a_straight_tube_gives_one_branch_on_its_axis_with_its_radius(drawn):
    tree = trace_portal_tree(drawn.mask(Structure.PORTAL_VEIN), drawn.mask(Structure.LIVER), drawn.grid)
    assert tree.branch.max() == 0
    inner = tree.points_lps_mm[5:-5]
    off_axis = tube_distance_mm(inner, PORTAL) + PORTAL[2]
    assert off_axis.max() < 0.8
    assert tree.radius_mm[5:-5].mean() == pytest.approx(PORTAL[2], abs=0.3)


def test_the_hepatic_tree_is_rooted_where_it_meets_the_vena_cava(drawn):
    tree = trace_hepatic_tree(drawn.mask(Structure.HEPATIC_VEINS), drawn.mask(Structure.VENA_CAVA), drawn.grid)
    assert len(tree.roots) == 1
    root = tree.points_lps_mm[tree.roots[0]]
    assert abs(tube_distance_mm(root, CAVA)) < 4.0
    assert abs(tube_distance_mm(root, HEPATIC) + HEPATIC[2]) < 2.0


def test_without_a_vena_cava_the_root_is_assumed_and_the_assumption_is_stated(drawn):
    tree = trace_hepatic_tree(drawn.mask(Structure.HEPATIC_VEINS), None, drawn.grid)
    assert "assumed" in tree.warnings[0]


def test_a_fork_gives_three_branches_and_every_node_reaches_the_root():
    tree = trace_portal_tree(*fork())
    assert tree.branch.max() + 1 == 3
    assert (tree.parent[1:] < np.arange(1, len(tree.parent))).all(), "parents stand before their children"
    assert tree.points_lps_mm[tree.roots[0]][0] < -45.0


def test_neighbouring_nodes_are_no_further_apart_than_voxels(drawn):
    tree = trace_portal_tree(*fork())
    child = np.flatnonzero(tree.parent >= 0)
    steps = np.linalg.norm(tree.points_lps_mm[child] - tree.points_lps_mm[tree.parent[child]], axis=1)
    assert steps.max() < 2.0


def test_the_path_minimum_runs_from_the_root_down():
    tree = trace_portal_tree(*fork())
    values = np.full(len(tree.parent), 9.0)
    trunk = np.flatnonzero(tree.branch == tree.branch[tree.roots[0]])[10]
    values[trunk] = 1.5
    least, where = tree.path_minimum(values)
    beyond = tree.points_lps_mm[:, 0] > 0
    assert (least[beyond] == 1.5).all()
    assert (where[beyond] == trunk).all()
    assert least[tree.roots[0]] == 9.0, "what lies upstream is not affected"


def test_a_gap_in_the_mask_is_bridged_and_reported():
    mask, liver, grid = fork()
    mask = mask & ~((simple_case.voxels(grid)[..., 0] > 10) & (simple_case.voxels(grid)[..., 0] < 15))
    tree = trace_portal_tree(mask, liver, grid)
    assert len(tree.gaps) == 2
    assert all(4.0 < gap.length_mm < 8.0 for gap in tree.gaps)
    assert tree.points_lps_mm[:, 0].max() > 35.0, "the tree goes on beyond the gap"


def test_a_piece_too_far_away_is_left_out_and_its_volume_is_reported():
    mask, liver, grid = fork()
    where = simple_case.voxels(grid)
    mask = mask & ~((where[..., 0] > 5) & (where[..., 0] < 5 + 2.5 * LARGEST_BRIDGED_GAP_MM))
    tree = trace_portal_tree(mask, liver, grid)
    assert tree.gaps == ()
    assert tree.left_out_ml > 0.1
    assert any("left out" in warning for warning in tree.warnings)


def test_a_loop_in_the_mask_does_not_become_a_loop_in_the_tree():
    mask, liver, grid = fork()
    where = simple_case.voxels(grid)
    bar = (np.array([36.0, -28.0, 0.2]), np.array([36.0, 28.0, 0.2]), 2.5)
    tree = trace_portal_tree(mask | (tube_distance_mm(where, bar) <= 0), liver, grid)
    assert (tree.parent < 0).sum() == 1
    assert (tree.parent >= 0).sum() == len(tree.parent) - 1


def test_thick_slices_do_not_break_a_vein_that_crosses_them():
    grid = simple_case.grid((0.8, 0.8, 4.0))
    where = simple_case.voxels(grid)
    oblique = (np.array([-50.0, 0.0, -30.0]), np.array([50.0, 10.0, 30.0]), 2.0)
    mask = tube_distance_mm(where, oblique) <= 0
    tree = trace_portal_tree(mask, np.linalg.norm(where, axis=-1) <= 40, grid)
    assert tree.gaps == ()
    assert tree.length_mm == pytest.approx(np.linalg.norm(oblique[1] - oblique[0]), rel=0.12)


def test_an_empty_mask_has_no_tree():
    with pytest.raises(ValueError, match="at least one voxel"):
        trace_portal_tree(*(np.zeros((4, 4, 4), bool),) * 2, Grid.from_spacing((4, 4, 4), (1, 1, 1)))


def test_a_branch_is_no_thicker_inside_its_fork_than_beyond_it():
    tree = trace_portal_tree(*fork())
    past_the_fork = (tree.points_lps_mm[:, 0] > -9.0) & (tree.points_lps_mm[:, 0] < 35.0)
    branched = tree.branch != tree.branch[tree.roots[0]]
    assert tree.radius_mm[past_the_fork & branched].max() < 3.0 + 0.5


def test_the_root_lies_at_the_end_of_a_trunk_that_is_thickest_in_its_middle():
    mask, liver, grid = fork()
    bulge = (np.array([-42.0, 0.3, 0.2]), np.array([-38.0, 0.3, 0.2]), 7.0)
    tree = trace_portal_tree(mask | (tube_distance_mm(simple_case.voxels(grid), bulge) <= 0), liver, grid)
    assert tree.points_lps_mm[tree.roots[0]][0] < -50.0


def two_veins(film_mm=0.0):
    """A vena cava along the first axis and two parallel veins into it; a film of mask may join them along its wall."""
    grid = Grid.from_spacing((90, 60, 50), (1.0, 1.0, 1.0), (-45.0, -10.0, -25.0))
    where = simple_case.voxels(grid)
    cava = tube_distance_mm(where, (np.array([-60.0, 0.0, 0.0]), np.array([60.0, 0.0, 0.0]), 10.0)) <= 0
    veins = [(np.array([x, 0.0, 0.2]), np.array([x, 45.0, 0.2]), 4.0) for x in (-12.0, 12.0)]
    mask = np.min([tube_distance_mm(where, v) for v in veins], axis=0) <= 0
    beside = (np.abs(where[..., 0]) < 14) & (np.abs(where[..., 2]) < 4) & (where[..., 1] > 0)
    mask |= beside & (np.hypot(where[..., 1], where[..., 2]) <= 10.0 + film_mm)
    return mask, cava, grid


@pytest.mark.parametrize("film_mm", [0.0, 1.0])
def test_veins_that_a_film_joins_along_the_vena_cava_keep_a_root_each(film_mm):
    mask, cava, grid = two_veins(film_mm)
    tree = trace_hepatic_tree(mask, cava, grid)
    roots = tree.points_lps_mm[tree.roots]
    assert sorted(np.sign(roots[:, 0])) == [-1.0, 1.0]
    for node in np.flatnonzero(tree.points_lps_mm[:, 1] > 20.0):
        root = node
        while tree.parent[root] >= 0:
            root = tree.parent[root]
        assert np.sign(tree.points_lps_mm[root, 0]) == np.sign(tree.points_lps_mm[node, 0])


def drawn_tubes(tubes, spacing_mm=0.8):
    grid = Grid.from_spacing((140, 110, 50), (spacing_mm,) * 3, (-56.0, -44.0, -20.0))
    where = simple_case.voxels(grid)
    return [tube_distance_mm(where, tube) <= 0 for tube in tubes], where, grid


def test_axes_and_radii_are_those_of_the_tubes_to_a_tenth_of_a_voxel_right_into_the_fork():
    """Unequal arms at 0.8 mm, none along a voxel axis; what a cross-section sees near the fork is two vessels."""
    point = np.array([-8.0, 0.3, 0.2])
    tubes = [
        (np.array([-50.0, 2.0, 5.0]), point, 5.0),
        (point, np.array([45.0, -28.0, 6.0]), 3.4),
        (point, np.array([40.0, 30.0, -9.0]), 1.7),
    ]
    masks, where, grid = drawn_tubes(tubes)
    tree = trace_portal_tree(np.any(masks, axis=0), where[..., 0] > -25.0, grid)
    from_axis = np.array([np.abs(tube_distance_mm(tree.points_lps_mm, tube) + tube[2]) for tube in tubes])
    own, radius = from_axis.argmin(axis=0), np.array([tube[2] for tube in tubes])
    away = np.linalg.norm(tree.points_lps_mm - point, axis=1) > 1.0
    ends = np.min([np.linalg.norm(tree.points_lps_mm - tube[e], axis=1) for tube in tubes for e in (0, 1)], axis=0)
    inner = away & (ends > 3.0)
    assert np.median(from_axis.min(axis=0)[inner]) < 0.08
    assert np.percentile(from_axis.min(axis=0)[inner], 95) < 0.25
    error = np.abs(tree.radius_mm - radius[own])[inner]
    assert np.median(error) < 0.05
    assert np.percentile(error, 95) < 0.25


def test_where_two_veins_touch_each_stays_with_its_own_trunk():
    """A thin vein ends at the wall of a thick neighbour, much nearer to the neighbour's root than to its own."""
    cava = (np.array([-50.0, -40.0, 0.2]), np.array([-50.0, 40.0, 0.2]), 5.0)
    thick = (np.array([-50.0, -30.0, 0.2]), np.array([40.0, -30.0, 0.2]), 4.0)
    thin = (np.array([-50.0, 30.0, 0.2]), np.array([20.0, 30.0, 0.2]), 2.5)
    side = (np.array([-10.0, 30.0, 0.2]), np.array([20.0, -24.15, 0.2]), 1.6)
    masks, _, grid = drawn_tubes((cava, thick, thin, side))
    assert ndimage.label(np.any(masks[1:], axis=0) & ~masks[0], np.ones((3, 3, 3)))[1] == 1, "they touch"
    tree = trace_hepatic_tree(np.any(masks[1:], axis=0), masks[0], grid)
    root = np.arange(len(tree.parent))
    for node in range(len(root)):
        root[node] = root[tree.parent[node]] if tree.parent[node] >= 0 else node
    on_side = tube_distance_mm(tree.points_lps_mm, side) + side[2] < 0.8
    on_side &= (tree.points_lps_mm[:, 1] < 24.0) & (tree.points_lps_mm[:, 1] > -20.0)
    assert on_side.sum() > 20
    assert (tree.points_lps_mm[root[on_side], 1] > 20.0).all()

"""Names of portal and hepatic branches: right ones, or numbers and the reason."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import named_case
from liverplan.anatomy import Structure
from liverplan.margin import liver_cells
from liverplan.naming import name_hepatic, name_portal
from liverplan.phantom.patient import default_grid, make_phantom
from liverplan.vessels import trace_hepatic_tree, trace_portal_tree
from named_case import drawn

PORTAL_NAMES = {
    "trunk": "main portal vein",
    "right": "right portal vein",
    "anterior": "right anterior branch",
    "P5": "right anterior branch",
    "P8": "right anterior branch",
    "posterior": "right posterior branch",
    "P6": "right posterior branch",
    "P7": "right posterior branch",
    "left": "left portal vein",
    "umbilical": "umbilical portion",
    "P2": "branch to segment 2",
    "P3": "branch to segment 3",
    "P4": "branch to segment 4",
}
HEPATIC_NAMES = {
    "RHV": "right hepatic vein",
    "RHV front": "right hepatic vein",
    "RHV back": "right hepatic vein",
    "MHV": "middle hepatic vein",
    "V8": "middle hepatic vein",
    "V5": "middle hepatic vein",
    "LHV": "left hepatic vein",
    "LHV far": "left hepatic vein",
    "LHV front": "left hepatic vein",
}
LIVER = named_case.liver()
MIRROR_X = np.array([-1.0, 1.0, 1.0])


def called(names, own):
    """The names that each drawn branch's nodes bear, its first 2 mm left out."""
    return {branch: {names.name(n) for n in nodes[2:]} for branch, nodes in own.items()}


def assert_names(names, own, expected):
    assert names.note is None
    assert called(names, own) == {branch: {expected[branch]} for branch in own}


def assert_numbered(names, word):
    assert names.note
    assert all(name.startswith(word) for name in names.names)
    assert set(names.confidence.values()) == {0.0}


def without(drawing, *branches):
    return {name: b for name, b in drawing.items() if name not in branches}


# ------------------------------------------------------------------------------------------------------ portal


def test_every_branch_of_the_usual_portal_tree_is_named():
    tree, own = drawn(named_case.PORTAL)
    names = name_portal(tree, *LIVER)
    assert_names(names, own, PORTAL_NAMES)
    assert names.variants == ()
    assert all(0.5 <= c <= 0.9 for c in names.confidence.values())


def test_a_trifurcation_has_no_right_portal_vein():
    tree, own = drawn(named_case.TRIFURCATION)
    names = name_portal(tree, *LIVER)
    assert_names(names, own, PORTAL_NAMES)
    assert not names.has("right portal vein")
    assert names.variants == ("trifurcation: no right portal trunk",)


def test_a_right_posterior_branch_from_the_main_trunk_is_told_and_the_trunk_goes_on_beyond_it():
    tree, own = drawn(named_case.EARLY_POSTERIOR)
    names = name_portal(tree, *LIVER)
    assert_names(names, own, {**PORTAL_NAMES, "stem": "main portal vein"})
    assert names.variants == ("right posterior branch from the main trunk",)


def test_the_subtree_of_a_branch_is_all_that_hangs_on_it():
    tree, own = drawn(named_case.PORTAL)
    names = name_portal(tree, *LIVER)
    right = np.concatenate([own[b] for b in named_case.RIGHT_PORTAL])
    assert set(names.subtree("right portal vein")) == set(right)
    assert set(names.subtree("main portal vein")) == set(range(len(tree.parent)))
    assert set(names.nodes("right portal vein")) == set(own["right"])
    with pytest.raises(KeyError, match="no branch is called"):
        names.subtree("caudate vein")


@pytest.mark.parametrize("missing", [named_case.LEFT_PORTAL, named_case.RIGHT_PORTAL])
def test_a_tree_on_one_side_only_is_numbered(missing):
    tree, _ = drawn(without(named_case.PORTAL, *missing))
    assert_numbered(name_portal(tree, *LIVER), "portal branch")


def test_a_tree_without_a_fork_is_one_numbered_branch():
    tree, _ = drawn(named_case.TRUNK)
    names = name_portal(tree, *LIVER)
    assert_numbered(names, "portal branch")
    assert names.names == ("portal branch 1",)
    assert "no fork" in names.note


def test_every_unbranched_stretch_of_an_unnamed_tree_has_its_own_number():
    tree, own = drawn(without(named_case.PORTAL, *named_case.LEFT_PORTAL))
    names = name_portal(tree, *LIVER)
    assert len(names.names) == len(own)
    assert all(len({names.name(n) for n in nodes}) == 1 for nodes in own.values())


def test_a_mirrored_patient_is_numbered_not_named_the_wrong_way_round():
    tree, _ = drawn(named_case.PORTAL)
    veins, _ = drawn(named_case.HEPATIC, Structure.HEPATIC_VEINS)
    points, volume = LIVER
    for name, system, word in ((name_portal, tree, "portal branch"), (name_hepatic, veins, "hepatic vein branch")):
        mirrored = replace(system, points_lps_mm=system.points_lps_mm * MIRROR_X)
        assert_numbered(name(mirrored, points * MIRROR_X, volume), word)


def test_a_mirrored_tree_in_an_ordinary_liver_is_numbered():
    tree, _ = drawn(named_case.PORTAL)
    mirrored = replace(tree, points_lps_mm=tree.points_lps_mm * MIRROR_X)
    assert_numbered(name_portal(mirrored, *LIVER), "portal branch")


def test_a_right_anterior_branch_from_the_main_trunk_fits_no_known_pattern_and_is_numbered():
    swapped = dict(named_case.EARLY_POSTERIOR)
    swapped["anterior"] = ("stem", 4.0, [(-20, -2, -8), (-45, -30, 10)])
    swapped["posterior"] = ("trunk", 4.0, [(-20, 12, 5), (-45, 30, 8)])
    tree, _ = drawn(swapped)
    assert_numbered(name_portal(tree, *LIVER), "portal branch")


def test_a_quadrifurcation_is_numbered():
    drawing = dict(named_case.TRIFURCATION)
    drawing["P4"] = ("trunk", 3.0, [(0, -30, 10), (-15, -45, 20), (-30, -35, 45)])
    tree, _ = drawn(drawing)
    assert_numbered(name_portal(tree, *LIVER), "portal branch")


def test_right_branches_above_each_other_leave_the_right_portal_vein_whole():
    tree, own = drawn(named_case.STACKED)
    names = name_portal(tree, *LIVER)
    assert names.note is None
    assert not names.has("right anterior branch")
    assert called(names, own)["P6"] == {"right portal vein"}
    assert any("not told apart" in remark for remark in names.remarks)


def test_a_tree_with_an_assumed_root_is_less_sure():
    tree, _ = drawn(named_case.PORTAL)
    names = name_portal(replace(tree, warnings=("the root is assumed at its thickest end",)), *LIVER)
    assert names.confidence["right portal vein"] <= 0.6


def test_no_liver_gives_numbers():
    tree, _ = drawn(named_case.PORTAL)
    assert_numbered(name_portal(tree, np.empty((0, 3)), np.empty(0)), "portal branch")


def with_spurs(tree, rng, count):
    """Twigs of 3 to 8 mm on random nodes, thin and in any direction: what a rough mask leaves."""
    points, parent, radius, branch = (list(a) for a in (tree.points_lps_mm, tree.parent, tree.radius_mm, tree.branch))
    for number, node in enumerate(rng.integers(0, len(tree.parent), count)):
        way = rng.normal(size=3)
        above = int(node)
        for step in range(int(rng.integers(3, 9))):
            points.append(tree.points_lps_mm[node] + (step + 1) * way / np.linalg.norm(way))
            parent.append(above)
            radius.append(1.0)
            branch.append(len(named_case.PORTAL) + number)
            above = len(points) - 1
    return replace(
        tree,
        points_lps_mm=np.array(points),
        parent=np.array(parent),
        radius_mm=np.array(radius),
        branch=np.array(branch),
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 30))
def test_spurs_and_rough_centrelines_change_no_name(seed, count):
    rng = np.random.default_rng(seed)
    tree, own = drawn(named_case.PORTAL)
    rough = replace(tree, points_lps_mm=tree.points_lps_mm + rng.normal(0, 0.4, tree.points_lps_mm.shape))
    names = name_portal(with_spurs(rough, rng, count), *LIVER)
    assert_names(names, own, PORTAL_NAMES)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), shift=st.tuples(*[st.floats(-400, 400)] * 3))
def test_neither_the_order_of_points_nor_the_origin_of_the_frame_matters(seed, shift):
    order = np.random.default_rng(seed).permutation(len(LIVER[0]))
    for name, drawing, structure in (
        (name_portal, named_case.PORTAL, Structure.PORTAL_VEIN),
        (name_hepatic, named_case.HEPATIC, Structure.HEPATIC_VEINS),
    ):
        tree, _ = drawn(drawing, structure)
        moved = replace(tree, points_lps_mm=tree.points_lps_mm + np.array(shift))
        one, other = name(tree, *LIVER), name(moved, LIVER[0][order] + np.array(shift), LIVER[1][order])
        assert one.names == other.names
        assert np.array_equal(one.name_of, other.name_of)


# ----------------------------------------------------------------------------------------------------- hepatic


def test_the_three_veins_and_the_common_trunk_are_named():
    tree, own = drawn(named_case.HEPATIC, Structure.HEPATIC_VEINS)
    names = name_hepatic(tree, *LIVER)
    assert_names(names, own, {**HEPATIC_NAMES, "common": "common trunk"})
    assert names.variants == ("common trunk of middle and left hepatic vein",)


def test_veins_with_ostia_of_their_own_have_no_common_trunk():
    tree, own = drawn(named_case.SEPARATE_OSTIA, Structure.HEPATIC_VEINS)
    names = name_hepatic(tree, *LIVER)
    assert_names(names, own, HEPATIC_NAMES)
    assert names.variants == ()


def test_an_inferior_right_hepatic_vein_is_told_from_the_right_one():
    tree, own = drawn({**named_case.HEPATIC, **named_case.INFERIOR}, Structure.HEPATIC_VEINS)
    names = name_hepatic(tree, *LIVER)
    assert_names(names, own, {**HEPATIC_NAMES, "common": "common trunk", "IRHV": "inferior right hepatic vein"})
    assert "inferior right hepatic vein" in names.variants


def test_a_thin_vein_below_the_confluence_is_not_called_inferior_right():
    thin = {"IRHV": (None, 1.4, named_case.INFERIOR["IRHV"][2])}
    tree, own = drawn({**named_case.HEPATIC, **thin}, Structure.HEPATIC_VEINS)
    names = name_hepatic(tree, *LIVER)
    assert called(names, own)["IRHV"] == {"unnamed hepatic vein"}


def test_a_right_vein_that_drains_far_below_the_confluence_leaves_the_tree_numbered():
    low = dict(named_case.HEPATIC)
    low["RHV"] = (None, 5.0, [(-28, 32, -15), (-60, 15, 35)])
    tree, _ = drawn(low, Structure.HEPATIC_VEINS)
    names = name_hepatic(tree, *LIVER)
    assert_numbered(names, "hepatic vein branch")
    assert "far below" in names.note


@pytest.mark.parametrize("missing", [named_case.RIGHT_HEPATIC, named_case.MIDDLE_HEPATIC, named_case.LEFT_HEPATIC])
def test_without_one_of_the_three_veins_none_is_named(missing):
    tree, _ = drawn(without(named_case.HEPATIC, *missing), Structure.HEPATIC_VEINS)
    assert_numbered(name_hepatic(tree, *LIVER), "hepatic vein branch")


# ---------------------------------------------------------------------------------------------------- phantoms


def traced(seed, orientation="LPS"):
    """A phantom without lesions, its traced trees and liver cells, every fifth cell kept."""
    phantom = make_phantom(seed, n_lesions=0)
    sizes = {"L": 300, "R": 300, "P": 240, "A": 240, "S": 208, "I": 208}
    i, j, k = (sizes[letter] for letter in orientation)
    grid = default_grid((1.2, 1.2, 1.2), (i, j, k), orientation)
    masks = phantom.segmentation(grid)
    liver = masks.mask(Structure.LIVER)
    portal = trace_portal_tree(masks.mask(Structure.PORTAL_VEIN), liver, grid)
    hepatic = trace_hepatic_tree(masks.mask(Structure.HEPATIC_VEINS), masks.mask(Structure.VENA_CAVA), grid)
    cells = liver_cells(liver, np.zeros(liver.shape, dtype=np.int32), grid)
    return phantom, portal, hepatic, cells.points_lps_mm[::5], cells.volume_ml[::5]


def below(tree, segment):
    """Segments of a phantom's tree at and beyond `segment`."""
    inside = np.zeros(len(tree), dtype=bool)
    inside[segment] = True
    for number, above in enumerate(tree.parent):
        inside[number] |= above >= 0 and inside[above]
    return inside


def true_portal(phantom):
    """Right and left by the order in which the generator grows them: right first, both from the trunk's end."""
    fork = np.flatnonzero(np.bincount(phantom.portal.parent[phantom.portal.parent >= 0]) >= 2)[0]
    right, left = np.flatnonzero(phantom.portal.parent == fork)
    return {"right portal vein": below(phantom.portal, right), "left portal vein": below(phantom.portal, left)}


def true_hepatic(phantom):
    """Right, then middle and left (from one trunk or two ostia), then the inferior right one."""
    tree = phantom.hepatic
    roots = list(np.flatnonzero(tree.parent < 0))
    truth = {"right hepatic vein": below(tree, roots[0])}
    low = [r for r in roots if tree.start_mm[r][2] < tree.start_mm[roots[0]][2] - 25]
    high = [r for r in roots[1:] if r not in low]
    if len(high) == 1:
        fork = high[0]
        while len(high := list(np.flatnonzero(tree.parent == fork))) == 1:
            fork = high[0]
    truth |= {"middle hepatic vein": below(tree, high[0]), "left hepatic vein": below(tree, high[1])}
    return truth | ({"inferior right hepatic vein": below(tree, low[0])} if low else {})


def agreement(names, name, points, volume, tree, segments):
    """Dice of a named branch's territory and the true one."""
    ours = np.isin(names.tree.nearest_node(points), names.subtree(name))
    true = segments[tree.nearest_segment(points)]
    return 2 * volume[ours & true].sum() / (volume[ours].sum() + volume[true].sum())


@pytest.fixture(scope="module", params=range(3))
def patient(request):
    return traced(request.param)


def test_right_and_left_portal_vein_of_a_phantom_are_those_that_the_generator_grew(patient):
    phantom, portal, _, points, volume = patient
    names = name_portal(portal, points, volume)
    assert names.note is None
    for name, segments in true_portal(phantom).items():
        assert agreement(names, name, points, volume, phantom.portal, segments) > 0.95
    plane = np.quantile(points[:, 0], 0.65)
    right = np.isin(portal.nearest_node(points), names.subtree("right portal vein"))
    assert np.mean(right == (points[:, 0] < plane)) > 0.9


def test_the_hepatic_veins_of_a_phantom_are_those_that_the_generator_grew(patient):
    phantom, _, hepatic, points, volume = patient
    names = name_hepatic(hepatic, points, volume)
    assert names.note is None
    for name, segments in true_hepatic(phantom).items():
        # The inferior right vein's territory is small, and its tips lie among those of the right one.
        least = 0.7 if name.startswith("inferior") else 0.9
        assert agreement(names, name, points, volume, phantom.hepatic, segments) > least
    x = [hepatic.points_lps_mm[names.nodes(n)].mean(0)[0] for n in list(true_hepatic(phantom))[:3]]
    assert x == sorted(x)


def test_the_storage_order_of_the_masks_changes_no_name():
    _, portal, hepatic, points, volume = traced(0)
    _, turned_portal, turned_hepatic, turned_points, turned_volume = traced(0, "SAR")
    for name, one, other in ((name_portal, portal, turned_portal), (name_hepatic, hepatic, turned_hepatic)):
        a, b = name(one, points, volume), name(other, turned_points, turned_volume)
        assert set(a.names) == set(b.names)
        here, there = a.name_of[one.nearest_node(points)], b.name_of[other.nearest_node(points)]
        same = np.array(a.names)[here] == np.array(b.names)[there]
        assert same.mean() > 0.98

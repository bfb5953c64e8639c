"""The estimate of Couinaud segments from named trees."""

from pathlib import Path

import numpy as np
import pytest

import named_case
from liverplan.anatomy import Structure
from liverplan.couinaud import SEGMENTS, estimate_segments
from liverplan.naming import name_hepatic, name_portal
from named_case import drawn

POINTS, VOLUME = named_case.liver()


def estimate(portal=named_case.PORTAL, hepatic=named_case.HEPATIC):
    """The estimate for drawn trees, with the portal tree's drawn branches."""
    inflow, own = drawn(portal)
    outflow, _ = drawn(hepatic, Structure.HEPATIC_VEINS)
    names = name_portal(inflow, POINTS, VOLUME)
    return estimate_segments(POINTS, names, name_hepatic(outflow, POINTS, VOLUME)), inflow, own


def at(found, *place):
    """The label of the liver point nearest to a place."""
    return int(found.labels[np.linalg.norm(POINTS - np.array(place), axis=1).argmin()])


def test_each_place_has_the_segment_that_its_branch_and_level_give_it():
    found, _, _ = estimate()
    places = {
        2: (75, -8, 27),
        3: (60, -50, 14),
        4: (-5, -50, 20),
        5: (-75, -35, -25),
        6: (-80, 35, -25),
        7: (-75, 38, 35),
        8: (-70, -30, 48),
        1: (-5, 18, 25),
    }
    assert {segment: at(found, *place) for segment, place in places.items()} == {s: s for s in places}


def test_the_tissue_of_a_named_segmental_branch_is_that_segment():
    found, tree, own = estimate()
    served = tree.nearest_node(POINTS)
    for segment, branch in ((2, "P2"), (3, "P3"), (4, "P4")):
        labels = found.labels[np.isin(served, own[branch])]
        assert set(np.unique(labels)) <= {segment, 1}, "only segment 1 is cut out of a branch's territory"


def test_five_and_six_lie_below_the_right_portal_fork_seven_and_eight_above():
    found, _, _ = estimate()
    level = named_case.PORTAL["right"][2][-1][2]
    for segment in (5, 6):
        assert POINTS[found.labels == segment][:, 2].max() <= level
    for segment in (7, 8):
        assert POINTS[found.labels == segment][:, 2].min() > level


def test_every_labelled_segment_states_its_confidence_and_basis():
    found, _, _ = estimate()
    assert set(np.unique(found.labels)) - {0} == set(SEGMENTS) == set(found.confidence) == set(found.basis)
    assert all(0 < c <= 0.8 for c in found.confidence.values()), "an estimate is never sure"
    assert found.confidence[1] == min(found.confidence.values())
    assert found.note is None


def test_nearly_all_of_the_liver_is_labelled():
    found, _, _ = estimate()
    assert VOLUME[found.labels == 0].sum() / VOLUME.sum() < 0.02


def test_without_named_portal_branches_nothing_is_labelled():
    found, _, _ = estimate(portal=named_case.TRUNK)
    assert not found.labels.any()
    assert found.confidence == {}
    assert "portal branches are not named" in found.note


def test_without_named_hepatic_veins_only_what_portal_branches_tell_is_labelled():
    found, _, _ = estimate(hepatic=named_case.RIGHT_HEPATIC)
    assert set(np.unique(found.labels)) == {0, 2, 3, 4, 5, 6, 7, 8}
    assert 1 not in found.confidence
    assert "hepatic veins are not named" in found.note


def test_the_right_hepatic_vein_parts_front_and_back_where_the_portal_branches_do_not():
    found, _, _ = estimate(portal=named_case.STACKED)
    sure, _, _ = estimate()
    assert at(found, -75, -35, -25) == 5
    assert at(found, -75, 40, 35) == 7
    assert found.confidence[5] < sure.confidence[5]


@pytest.mark.parametrize("portal", [named_case.TRIFURCATION, named_case.EARLY_POSTERIOR])
def test_a_variant_without_right_trunk_has_the_same_segments(portal):
    usual, _, _ = estimate()
    found, _, _ = estimate(portal=portal)
    assert set(found.confidence) == set(SEGMENTS)
    assert np.mean(found.labels == usual.labels) > 0.8


@pytest.mark.shared
def test_a_real_liver_has_shares_in_the_order_of_magnitude_of_anatomy(shared_data: Path):
    from liverplan.io.images import read_image
    from liverplan.io.segmentations import read_segmentation
    from liverplan.margin import liver_cells
    from liverplan.vessels import trace_hepatic_tree, trace_portal_tree

    case = shared_data / "ircad17"
    masks = read_segmentation(case / "masks", read_image(case / "dicom").grid).canonical()
    liver = masks.mask(Structure.LIVER)
    cells = liver_cells(liver, np.zeros(liver.shape, dtype=np.int32), masks.grid)
    points, volume = cells.points_lps_mm[::7], cells.volume_ml[::7]
    portal = trace_portal_tree(masks.mask(Structure.PORTAL_VEIN), liver, masks.grid)
    hepatic = trace_hepatic_tree(masks.mask(Structure.HEPATIC_VEINS), masks.mask(Structure.VENA_CAVA), masks.grid)
    found = estimate_segments(points, name_portal(portal, points, volume), name_hepatic(hepatic, points, volume))
    assert set(found.confidence) == set(SEGMENTS)
    shares = [volume[found.labels == s].sum() / volume.sum() for s in SEGMENTS]
    assert all(0.01 < share < 0.4 for share in shares)
    assert 0.4 < sum(shares[4:]) < 0.8

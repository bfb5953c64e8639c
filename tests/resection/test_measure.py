"""A resection measured: what it takes, what it divides, what that costs, and what the margins are to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hand_made import (
    HIGH_VEIN,
    LIMITS,
    LIVER_ML,
    TWO_BRANCHES,
    ball,
    beyond,
    grid,
    hepatic_tree,
    measured,
    portal_tree,
    sample,
    workspace,
)

from liverplan.anatomy import Structure
from liverplan.quantity import Distance, Quantity, Unknown
from liverplan.resection.measure import Stay
from simple_case import Ball

SPACING = (1.2, 1.2, 1.2)
CENTRE, RADIUS_MM = np.array([-20.0, 0.0, 0.0]), 6.0
"""A ball around the right branch: it divides it and is its only cut."""
LESION = Ball((-20.0, 0.0, 0.0), 2.5)
PARTED_AT_MM = -20.0 + RADIUS_MM + 3.0
"""Where the right branch's wall, 3 mm around its axis, first enters the ball."""


@pytest.fixture(scope="module")
def two_branches():
    return workspace(grid(SPACING), [LESION], portal_tree(TWO_BRANCHES), hepatic_tree(HIGH_VEIN))


@pytest.fixture(scope="module")
def right_divided(two_branches):
    return measured(two_branches, ball(two_branches, CENTRE, RADIUS_MM))


def right_territory(points: np.ndarray) -> np.ndarray:
    """Closed form: nearest to the right branch beyond the division, not to the trunk below or to the rest."""
    x, y, z = points.T
    beyond_it = x < PARTED_AT_MM
    to_trunk = np.hypot(x, y) + np.where(z > 0, z, 0.0)
    to_branch = np.hypot(y, z)
    return beyond_it & (to_branch < np.where(z > 0, np.inf, to_trunk))


def share_ml(inside: np.ndarray) -> float:
    return float(inside.mean()) * LIVER_ML


def test_what_the_divided_branch_served_is_devascularised(two_branches, right_divided):
    points = sample()
    stays = np.linalg.norm(points - CENTRE, axis=1) > RADIUS_MM
    truth = share_ml(right_territory(points) & stays)
    assert right_divided.devascularised_ml == pytest.approx(truth, abs=0.01 * LIVER_ML)
    assert right_divided.congested_ml == 0.0


def test_the_divided_branch_is_listed_with_its_diameter_and_its_territory(right_divided):
    points = sample()
    healthy = np.linalg.norm(points - CENTRE, axis=1) > LESION.radius_mm
    (vessel,) = right_divided.divided
    assert (vessel.structure, vessel.branch) == (Structure.PORTAL_VEIN, "branch 2")
    assert vessel.diameter_mm == pytest.approx(6.0)
    assert vessel.territory_ml == pytest.approx(share_ml(right_territory(points) & healthy), abs=0.01 * LIVER_ML)


def test_the_functional_remnant_is_what_is_neither_taken_nor_cut_off(right_divided):
    points = sample()
    from_ball = np.linalg.norm(points - CENTRE, axis=1)
    stays = from_ball > RADIUS_MM
    healthy = (from_ball > LESION.radius_mm).mean()
    truth = 100.0 * (stays & ~right_territory(points)).mean() / healthy
    flr = right_divided.flr_percent
    assert isinstance(flr, Quantity)
    assert flr.value == pytest.approx(truth, abs=1.0)
    assert flr.low <= truth <= flr.high
    geometric = right_divided.geometric_flr_percent
    assert isinstance(geometric, Quantity)
    assert geometric.value == pytest.approx(100.0 * stays.mean() / healthy, abs=0.3)


def test_a_vessel_that_the_cut_just_passes_widens_the_interval_downwards(two_branches):
    # The wall of the right branch lies half a millimetre below the cut.
    passed = measured(two_branches, ball(two_branches, (-20.0, 0.0, 3.0 + 0.5 + 8.0), 8.0))
    assert not any(v.structure is Structure.PORTAL_VEIN for v in passed.divided)
    assert passed.devascularised_ml == 0.0
    assert isinstance(passed.flr_percent, Quantity)
    assert passed.flr_terms_points["vessels_beside_the_cut_low_points"] > 15.0
    assert passed.flr_percent.low < passed.flr_percent.value - 15.0


def test_specimen_and_remnant_are_the_liver_voxel_by_voxel(two_branches, right_divided):
    work = two_branches
    assert not (right_divided.specimen & ~work.liver).any()
    stays = np.count_nonzero(work.liver & ~right_divided.specimen)
    assert stays + np.count_nonzero(right_divided.specimen) == np.count_nonzero(work.liver)
    assert right_divided.remnant_ml == pytest.approx(stays * work.grid.voxel_ml, rel=1e-12)
    assert isinstance(right_divided.volume_ml, Quantity)
    whole_ml = np.count_nonzero(work.liver) * work.grid.voxel_ml
    assert right_divided.volume_ml.value + right_divided.remnant_ml == pytest.approx(whole_ml, rel=1e-12)


def test_dividing_a_leaf_loses_its_territory_and_no_other(two_branches):
    # Near its tip only what lies beyond the division hangs on the right branch.
    work = two_branches
    leaf = measured(work, ball(work, (-32.0, 0.0, 0.0), 4.0))
    points = sample()
    x, y, z = points.T
    below = (z < 0) & (np.hypot(x, y) < np.hypot(y, z))
    served = (x < -32.0 + 4.0 + 3.0) & ~below
    assert leaf.divided[0].territory_ml == pytest.approx(share_ml(served), abs=0.01 * LIVER_ML)
    assert leaf.devascularised_ml <= leaf.divided[0].territory_ml


def test_a_lesion_left_behind_has_no_margin_and_the_plan_is_not_met(two_branches):
    other_side = measured(two_branches, beyond(two_branches, (15.0, 0.0, 0.0), (1.0, 0.0, 0.0)))
    assert isinstance(other_side.margins[0].distance, Unknown)
    assert isinstance(other_side.margin_mm, Unknown)
    assert "not taken out" in other_side.margin_mm.reason
    assert other_side.meets == "not_met"
    assert other_side.p_margin is None


def test_one_lesion_left_behind_leaves_the_margin_of_the_whole_plan_unknown():
    work = workspace(grid((1.5, 1.5, 1.5)), [LESION, Ball((20.0, 3.0, 2.0), 5.0)])
    found = measured(work, beyond(work, (10.0, 0.0, 0.0), (1.0, 0.0, 0.0)))
    kinds = {type(m.distance) for m in found.margins}
    assert kinds == {Distance, Unknown}
    assert isinstance(found.margin_mm, Unknown)


def test_the_vena_cava_stays_and_limits_the_margin(two_branches):
    witness = ((-20.0, 0.0, 2.5), (-20.0, 0.0, 4.5))
    to_cava = Distance(2.0, 1.4, 2.6, witness)
    specimen = ball(two_branches, CENTRE, 12.0)
    free = measured(two_branches, specimen)
    beside = measured(two_branches, specimen, Stay({0: [(to_cava, Structure.VENA_CAVA)]}))
    assert free.margin_mm.value_mm == pytest.approx(12.0 - LESION.radius_mm, abs=0.4)
    assert beside.margin_mm == to_cava
    assert (beside.margins[0].by, beside.margins[0].structure) == ("vessel", Structure.VENA_CAVA)


def test_a_vein_outside_the_liver_that_stays_limits_the_margin():
    # Lesion under the front of the capsule; the vein runs 3 mm in front of the capsule and is not cut.
    lesion = Ball((0.0, -30.0, 0.0), 6.0)
    vein = portal_tree({"vein": (None, 2.0, [(-30.0, -42.0, 0.0), (30.0, -42.0, 0.0)])})
    work = workspace(grid(SPACING), [lesion], vein)
    found = measured(work, beyond(work, (0.0, -10.0, 0.0), (0.05, -1.0, 0.03)))
    assert (found.margins[0].by, found.margins[0].structure) == ("vessel", Structure.PORTAL_VEIN)
    assert found.margin_mm.value_mm == pytest.approx(42.0 - 30.0 - 6.0 - 2.0, abs=0.4)
    assert not found.divided


def test_without_both_trees_the_functional_remnant_is_unknown_and_the_geometric_one_is_not():
    work = workspace(grid((1.5, 1.5, 1.5)), [LESION], portal_tree(TWO_BRANCHES))
    found = measured(work, ball(work, CENTRE, 12.0))
    assert isinstance(found.flr_percent, Unknown)
    assert isinstance(found.functional_remnant_ml, Unknown)
    assert isinstance(found.geometric_flr_percent, Quantity)
    assert found.congested_ml is None
    assert found.p_flr is None
    assert found.meets != "met"


def test_a_remnant_that_the_scan_does_not_show_is_unknown_and_never_met(two_branches):
    # Wide of the lesion and of the vessels: everything else is met.
    specimen = ball(two_branches, CENTRE, 12.0)
    found = dataclasses.replace(measured(two_branches, specimen), meets="met")
    blind = found.with_unknown_remnant(Unknown("the scan cuts the liver off"), LIMITS)
    assert blind.meets == "undetermined"
    assert isinstance(blind.flr_percent, Unknown)
    assert isinstance(blind.geometric_flr_percent, Unknown)
    assert blind.p_flr is None
    assert blind.margins == found.margins


def test_a_plan_meets_the_protocol_only_with_its_low_ends(two_branches):
    wide, tight = (measured(two_branches, ball(two_branches, CENTRE, r)) for r in (12.0, 9.7))
    assert wide.margin_mm.low_mm >= 7.0
    assert wide.flr_percent.low >= 30.0
    assert wide.meets == "met"
    assert tight.margin_mm.low_mm < 7.0 <= tight.margin_mm.high_mm
    assert tight.meets == "undetermined"
    assert measured(two_branches, ball(two_branches, CENTRE, 6.0)).meets == "not_met"


def test_too_small_a_remnant_is_not_met_whatever_the_margin(two_branches):
    found = measured(two_branches, beyond(two_branches, (28.0, 0.0, 0.0), (-1.0, 0.0, 0.0)))
    assert found.margin_mm.low_mm > 7.0
    assert isinstance(found.flr_percent, Quantity)
    assert found.flr_percent.high < 30.0
    assert found.meets == "not_met"
    assert found.p_flr < 0.05


def test_where_nothing_stays_behind_there_is_no_margin_to_measure():
    work = workspace(grid((1.5, 1.5, 1.5)), [LESION])
    found = measured(work, work.liver.copy())
    assert isinstance(found.margin_mm, Unknown)
    assert found.remnant_ml == 0.0
    assert found.meets == "not_met"


def test_taking_nothing_changes_nothing(two_branches):
    found = measured(two_branches, np.zeros_like(two_branches.liver))
    assert found.divided == ()
    assert found.devascularised_ml == 0.0
    assert found.volume_ml.value == 0.0
    assert found.surface.area_cm2 == 0.0
    assert isinstance(found.margin_mm, Unknown)


def test_the_probability_of_a_margin_falls_with_it(two_branches):
    shares = [measured(two_branches, ball(two_branches, CENTRE, r)).p_margin for r in (8.0, 9.5, 11.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[-1] > 0.95

"""What a displaced boundary would change."""

import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.distance import BoundaryError
from liverplan.lesions import find_lesions
from liverplan.margin import case_bound, flr_percent, liver_cells, loss_field
from liverplan.quantity import Unknown
from liverplan.sensitivity import sensitivity
from liverplan.vessels import trace_hepatic_tree, trace_portal_tree
from simple_case import Ball, truth

BALLS = (Ball((12.0, 3.0, -30.0), 6.0),)


@pytest.fixture(scope="module")
def field():
    drawn = simple_case.masks(simple_case.grid((1.2, 1.2, 1.2)), BALLS)
    liver, cava = drawn.mask(Structure.LIVER), drawn.mask(Structure.VENA_CAVA)
    found = find_lesions(drawn.masks[Structure.LESIONS], drawn.grid)
    portal = trace_portal_tree(drawn.mask(Structure.PORTAL_VEIN), liver, drawn.grid)
    hepatic = trace_hepatic_tree(drawn.mask(Structure.HEPATIC_VEINS), cava, drawn.grid)
    cells = liver_cells(liver, found.labels, drawn.grid)
    return loss_field(cells, found.lesions, portal, hepatic, drawn.grid, BoundaryError())


def test_a_lesion_that_reaches_further_out_leaves_what_a_larger_lesion_would(field):
    bound = case_bound(field, 30.0, [])
    rows = {row.shift_mm: row for row in sensitivity(field, bound, 7.0, 30.0, None).rows}
    grown = (Ball(BALLS[0].centre, BALLS[0].radius_mm + 1.0),)
    # The closed form of the grown lesion, over the liver without the lesion as drawn.
    closed, drawn = truth(grown, 7.0), truth(BALLS, 7.0)
    expected = 100.0 * (closed["liver_ml"] - closed["removed_ml"]) / (drawn["liver_ml"] - drawn["tumour_ml"])
    assert rows[1.0].geometric_flr_percent == pytest.approx(expected, abs=0.3)
    assert rows[0.0].flr_percent == flr_percent(field, 7.0, True)


def test_the_bound_falls_by_the_shift_and_never_below_zero(field):
    bound = case_bound(field, 30.0, [])
    rows = sensitivity(field, bound, 7.0, 30.0, None, shifts_mm=(0.0, 1.0, 500.0)).rows
    assert rows[1].margin_upper_mm == pytest.approx(bound.margin_mm.value - 1.0)
    assert rows[2].margin_upper_mm == 0.0
    assert rows[2].reaches is False


def test_remnants_never_grow_as_the_boundary_moves_out(field):
    rows = sensitivity(field, case_bound(field, 30.0, []), 7.0, 30.0, None).rows
    values = [row.flr_percent for row in rows]
    assert values == sorted(values, reverse=True)


def test_what_is_unknown_stays_unknown(field):
    found = sensitivity(field, Unknown("not known"), 7.0, 30.0, Unknown("cut off"))
    assert found.p_bound is None
    assert found.p_flr is None
    assert {row.flr_percent for row in found.rows} == {None}
    assert {row.reaches for row in found.rows} == {None}


def test_a_remnant_far_above_its_limit_is_certain_and_far_below_impossible(field):
    bound = case_bound(field, 30.0, [])
    assert sensitivity(field, bound, 7.0, 1.0, None).p_flr == pytest.approx(1.0, abs=0.05)
    assert sensitivity(field, bound, 7.0, 99.9, None).p_flr == pytest.approx(0.0, abs=0.05)

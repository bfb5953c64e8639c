"""The margin mathematics against shapes that can be computed by hand (tests/simple_case.py)."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simple_case
from liverplan.anatomy import Structure
from liverplan.distance import BoundaryError, Wall, clearance
from liverplan.lesions import find_lesions
from liverplan.margin import (
    Cells,
    _quantiles,
    case_bound,
    flr_percent,
    lesion_bound,
    liver_cells,
    loss_field,
    margin_curve,
    margin_region,
)
from liverplan.vessels import trace_hepatic_tree, trace_portal_tree
from simple_case import CAVA, HEPATIC, PORTAL, Ball, clearance_mm, tube_distance_mm

EXACT = BoundaryError(0.0, 0.0, 0.0)
NEAR_PORTAL = (Ball((10.0, 0.0, -26.0), 6.0),)
TWO = (Ball((12.0, 3.0, -27.0), 6.0), Ball((-22.0, 4.0, 30.0), 7.0))


def field_of(lesions, spacing=(1.0, 1.0, 1.0), with_trees=True):
    drawn = simple_case.masks(simple_case.grid(spacing), lesions)
    grid, liver = drawn.grid, drawn.mask(Structure.LIVER)
    found = find_lesions(drawn.masks[Structure.LESIONS], grid)
    portal = trace_portal_tree(drawn.mask(Structure.PORTAL_VEIN), liver, grid) if with_trees else None
    cava = drawn.mask(Structure.VENA_CAVA)
    hepatic = trace_hepatic_tree(drawn.mask(Structure.HEPATIC_VEINS), cava, grid) if with_trees else None
    field = loss_field(liver_cells(liver, found.labels, grid), found.lesions, portal, hepatic, grid, EXACT)
    stay = [clearance(lesion.surface, Wall.of(cava, grid), EXACT) for lesion in found]
    return field, stay, drawn, found


@pytest.fixture(scope="module")
def two():
    return field_of(TWO)


@pytest.fixture(scope="module")
def near_portal():
    return field_of(NEAR_PORTAL)


def test_cells_hold_the_liver_and_the_tumour_to_the_last_voxel(two):
    field, _, drawn, found = two
    voxel_ml = drawn.grid.voxel_ml
    assert field.cells.liver_ml == pytest.approx(drawn.mask(Structure.LIVER).sum() * voxel_ml, rel=1e-12)
    assert field.cells.tumour_ml == pytest.approx((found.labels > 0).sum() * voxel_ml, rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 3.0, 5.0, 7.0, 12.0, 20.0])
def test_the_curve_agrees_with_the_shapes_within_one_point(near_portal, margin):
    truth = simple_case.truth(NEAR_PORTAL, margin)
    point = margin_curve(near_portal[0], [margin])[0]
    assert point.flr_percent == pytest.approx(truth["flr_percent"], abs=1.0)
    assert point.geometric_flr_percent == pytest.approx(truth["geometric_flr_percent"], abs=0.3)
    assert point.removed_ml == pytest.approx(truth["removed_ml"], abs=0.02 * truth["removed_ml"] + 0.4)
    assert point.devascularised_ml == pytest.approx(truth["devascularised_ml"], abs=8.0)
    assert point.congested_ml == pytest.approx(truth["congested_ml"], abs=8.0)


def test_on_thick_slices_the_interval_holds_the_truth():
    field, _, _, _ = field_of(NEAR_PORTAL, (0.9, 0.9, 2.5))
    for margin in (3.0, 5.0, 7.0, 12.0, 20.0):
        truth = simple_case.truth(NEAR_PORTAL, margin)
        point = margin_curve(field, [margin])[0]
        assert point.flr_low_percent - 1.0 <= truth["flr_percent"] <= point.flr_high_percent + 1.0


def test_two_lesions_together_agree_with_the_shapes(two):
    # Not within 0.2 mm of a clearance, where the curve jumps.
    for margin in (4.5, 9.0, 14.0):
        truth = simple_case.truth(TWO, margin)
        point = margin_curve(two[0], [margin])[0]
        assert point.flr_percent == pytest.approx(truth["flr_percent"], abs=1.0)


def test_at_margin_zero_only_the_lesions_are_removed(two):
    point = margin_curve(two[0], [0.0])[0]
    assert point.removed_ml == pytest.approx(two[0].cells.tumour_ml, rel=1e-9)
    assert point.geometric_flr_percent == pytest.approx(100.0)


def test_every_part_of_the_liver_is_accounted_for_once(two):
    for point in margin_curve(two[0], [float(m) for m in range(0, 31, 3)]):
        lost = point.devascularised_ml + point.congested_ml - point.devascularised_and_congested_ml
        assert point.removed_ml + lost + point.functional_remnant_ml == pytest.approx(two[0].cells.liver_ml)


@pytest.mark.parametrize("missing", [(), ("portal",), ("hepatic",), ("portal", "hepatic")])
def test_the_curve_counts_what_looking_at_every_cell_counts(two, missing):
    field = replace(two[0], **dict.fromkeys(missing))
    removed, portal, hepatic = field.parts_mm()
    ml, healthy = field.cells.volume_ml, field.cells.liver_ml - field.cells.tumour_ml
    margins = [0.0, 2.5, 7.0, float(removed.max()), 7.0, 12.0]  # one repeated, one at a cell's own distance
    for point, m in zip(margin_curve(field, margins), margins, strict=True):
        kept = removed > m
        dry = None if portal is None else kept & (portal <= m)
        full = None if hepatic is None else kept & (hepatic <= m)
        assert point.removed_ml == pytest.approx(ml[~kept].sum())
        assert point.remnant_ml == pytest.approx(ml[kept].sum(), abs=1e-6)
        assert point.devascularised_ml == (None if dry is None else pytest.approx(ml[dry].sum(), abs=1e-6))
        assert point.congested_ml == (None if full is None else pytest.approx(ml[full].sum(), abs=1e-6))
        if missing:
            assert point.functional_remnant_ml is None
            assert point.flr_percent is None
        else:
            alive = ml[kept & (portal > m) & (hepatic > m)].sum()
            assert point.devascularised_and_congested_ml == pytest.approx(ml[dry & full].sum(), abs=1e-6)
            assert point.functional_remnant_ml == pytest.approx(alive, abs=1e-6)
            assert point.flr_percent == pytest.approx(100 * alive / healthy, abs=1e-6)


def test_a_larger_margin_never_leaves_more(two):
    curve = margin_curve(two[0], [m / 2 for m in range(61)])
    for name in ("flr_percent", "geometric_flr_percent", "remnant_ml"):
        values = [getattr(p, name) for p in curve]
        assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values))


def test_the_interval_of_the_remnant_holds_the_remnant(two):
    field = two[0]
    assert field.half_width_mm > 0
    for p in margin_curve(field, [float(m) for m in range(31)]):
        assert p.flr_low_percent - 1e-9 <= p.flr_percent <= p.flr_high_percent + 1e-9


def test_the_largest_margin_that_leaves_the_limit_does_leave_it_and_a_larger_one_does_not(two):
    field, stay, _, _ = two
    bound = case_bound(field, 30.0, stay)
    at = bound.margin_mm.value
    if bound.limit.structure is not Structure.VENA_CAVA:
        assert flr_percent(field, at - 0.01, True) >= 30.0 > flr_percent(field, at + 0.01, True)


def test_a_lesion_on_the_trunk_of_the_portal_vein_is_limited_by_it():
    # Upstream of everything: dividing the vein here takes the inflow of the whole liver.
    lesion = Ball((-46.0, 0.0, -24.0), 4.0)
    field, stay, _, _ = field_of((lesion,))
    bound = case_bound(field, 30.0, stay)
    assert bound.limit.kind == "vessel"
    assert bound.limit.structure is Structure.PORTAL_VEIN
    assert bound.margin_mm.value == pytest.approx(clearance_mm(lesion, PORTAL), abs=0.4)
    start, end = np.array(bound.limit.witness_lps_mm)
    assert abs(np.linalg.norm(start - np.array(lesion.centre)) - lesion.radius_mm) < 0.5
    assert abs(tube_distance_mm(end, PORTAL)) < 0.7


def test_a_lesion_at_the_last_hepatic_vein_is_limited_by_it():
    lesion = Ball((36.0, -1.0, 24.0), 4.0)
    field, stay, _, _ = field_of((lesion,))
    bound = case_bound(field, 30.0, stay)
    assert bound.limit.structure is Structure.HEPATIC_VEINS
    assert bound.margin_mm.value == pytest.approx(clearance_mm(lesion, HEPATIC), abs=0.4)


def test_a_lesion_at_the_vena_cava_cannot_have_a_margin_wider_than_the_gap():
    lesion = Ball((40.0, 2.0, -20.0), 4.0)
    field, stay, _, _ = field_of((lesion,))
    bound = case_bound(field, 5.0, stay)
    assert bound.limit.structure is Structure.VENA_CAVA
    assert bound.margin_mm.value == pytest.approx(clearance_mm(lesion, CAVA), abs=0.4)


def test_without_vessels_only_the_volume_limits():
    lesion = Ball((0.0, 0.0, 0.0), 10.0)
    field, _, _, _ = field_of((lesion,), with_trees=False)
    assert not field.functional
    bound = case_bound(field, 30.0, [], functional=False)
    # A ball of radius r + m inside the liver's ball leaves 30 % of (liver - lesion); the vena cava's tube is not liver.
    whole = simple_case.truth((lesion,), 0.0)
    parenchyma = whole["liver_ml"] - whole["tumour_ml"]
    assert bound.limit.kind == "remnant"
    geometric = flr_percent(field, bound.margin_mm.value, False)
    assert geometric == pytest.approx(30.0, abs=0.2)
    kept = simple_case.truth((lesion,), bound.margin_mm.value)
    assert kept["geometric_flr_percent"] == pytest.approx(30.0, abs=1.0)
    assert parenchyma > 0


def test_a_functional_remnant_without_both_trees_is_refused_not_guessed():
    field, _, _, _ = field_of(NEAR_PORTAL, with_trees=False)
    with pytest.raises(ValueError, match="both vessel trees"):
        flr_percent(field, 7.0, functional=True)
    assert margin_curve(field, [7.0])[0].flr_percent is None
    assert margin_curve(field, [7.0])[0].geometric_flr_percent < 100.0


def test_alone_a_lesion_may_go_further_than_together_with_the_others(two):
    field, stay, _, _ = two
    case = case_bound(field, 30.0, stay).margin_mm.value
    for row in range(2):
        alone = lesion_bound(field, row, case - 0.01, 30.0, [stay[row]])
        assert alone.margin_mm.value >= case - 0.02


def test_when_the_others_already_take_too_much_no_margin_is_possible(two):
    field, stay, _, _ = two
    assert lesion_bound(field, 0, 60.0, 30.0, stay) is None


def test_contact_is_a_margin_of_zero_never_a_negative_one():
    lesion = Ball((-46.0, 0.0, -18.0), 4.0)
    field, stay, _, _ = field_of((lesion,))
    bound = case_bound(field, 30.0, stay)
    assert bound.margin_mm.value == 0.0
    assert bound.margin_mm.low == 0.0


def test_the_margin_region_is_the_liver_within_the_margin(two):
    field, _, drawn, found = two
    region = margin_region(drawn.mask(Structure.LIVER), found.lesions, drawn.grid, 7.0)
    curve_ml = margin_curve(field, [7.0])[0].removed_ml
    assert (region.sum() * drawn.grid.voxel_ml) == pytest.approx(curve_ml, rel=0.01)
    assert not (region & ~drawn.mask(Structure.LIVER)).any()
    assert region[found.labels > 0].all()


@given(
    st.lists(st.tuples(st.floats(-5, 60), st.floats(0.01, 5.0)), min_size=3, max_size=60),
    st.floats(0.1, 99.0),
)
def test_the_remnant_bound_is_the_quantile_that_sorting_finds(pairs, percent):
    loss, volume = (np.array(column) for column in zip(*pairs, strict=True))
    cells = Cells(np.zeros((len(loss), 3)), volume, np.zeros(len(loss), dtype=np.int32))
    at = _quantiles(cells, loss, [percent])[0]
    order = np.argsort(-loss, kind="stable")
    kept = np.cumsum(volume[order])
    need = percent / 100.0 * volume.sum()
    expected = order[min(int(np.searchsorted(kept, need - 1e-9 * need)), len(order) - 1)]
    assert loss[at] == loss[expected] or abs(kept[np.flatnonzero(order == at)[0]] - need) < 1e-6

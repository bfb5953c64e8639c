"""What an upper bound proves, and what it leaves open."""

import dataclasses

import numpy as np
import pytest

from liverplan.anatomy import Structure
from liverplan.margin import CurvePoint, Limit, UpperBound
from liverplan.mesh import Mesh
from liverplan.protocol import Limits
from liverplan.quality import Quality
from liverplan.quantity import Distance, Quantity, Unknown
from liverplan.resection.cut import CutMargin, CutSurface
from liverplan.resection.measure import MeasuredResection, PlanScore
from liverplan.verdict import Evidence, affected_by_vessels, case_verdict, measures_of

LIMITS = Limits(wide_margin_mm=7.0, flr_percent=30.0, max_lesions=5)
GOOD = Quality((), thin_enough=True, liver_complete=True, enhanced=True)
POINT = CurvePoint(7.0, 50.0, 900.0, 95.0, 94.0, 96.0, 10.0, 5.0, 0.0, 885.0, 60.0, 55.0, 65.0)


def bound(value, half=0.7, kind="vessel", structure=Structure.PORTAL_VEIN):
    return UpperBound(Quantity.around(value, half), Limit(kind, structure))


def evidence(found, geometric=None, quality=GOOD, unread=False):
    return Evidence(LIMITS, found, geometric or found, quality, unread)


def test_a_bound_that_lies_wholly_below_the_wide_margin_makes_it_infeasible():
    verdict = case_verdict(evidence(bound(5.0)))
    assert verdict.wide_margin == "infeasible"
    assert "portal vein" in verdict.reason


@pytest.mark.parametrize("value", [6.5, 7.0, 7.6])
def test_a_bound_whose_interval_holds_the_wide_margin_is_undetermined(value):
    verdict = case_verdict(evidence(bound(value)))
    assert verdict.wide_margin == "undetermined"
    assert "includes" in verdict.reason


def test_a_bound_above_the_wide_margin_never_proves_it_feasible():
    verdict = case_verdict(evidence(bound(25.0)))
    assert verdict.wide_margin == "undetermined"
    assert "no resection plan" in verdict.reason


def test_the_upper_end_exactly_at_the_limit_is_not_below_it():
    assert case_verdict(evidence(UpperBound(Quantity(6.0, 5.0, 7.0), Limit("remnant")))).wide_margin == "undetermined"


def test_masks_that_no_reader_confirmed_leave_every_verdict_open():
    found = evidence(bound(2.0), unread=True)
    assert case_verdict(found).wide_margin == "undetermined"
    assert affected_by_vessels(found) is None
    measures = measures_of(found, 2, "CT", POINT, 1)
    known = [name for name, reading in measures.items() if not isinstance(reading.value, Unknown)]
    assert known == []


def test_slices_too_thick_leave_every_verdict_on_millimetres_open():
    thick = Quality((), thin_enough=False, liver_complete=True, enhanced=True)
    found = evidence(bound(2.0), quality=thick)
    assert case_verdict(found).wide_margin == "undetermined"
    assert isinstance(measures_of(found, 1, "CT", POINT, 0)["margin.upper"].value, Unknown)


def test_volume_alone_can_refute_when_a_vein_is_missing_but_nothing_more():
    missing = Unknown("the hepatic veins are not segmented")
    refuted = evidence(missing, geometric=bound(4.0, kind="remnant", structure=None))
    open_case = evidence(missing, geometric=bound(12.0, kind="remnant", structure=None))
    assert case_verdict(refuted).wide_margin == "infeasible"
    assert case_verdict(open_case).wide_margin == "undetermined"
    assert case_verdict(open_case).reason == missing.reason


def test_vessels_affect_the_margin_only_when_that_is_certain():
    assert affected_by_vessels(evidence(bound(4.0))) is True
    assert affected_by_vessels(evidence(bound(7.2))) is None
    # A bound rules out and never shows: that vessels leave room is known once a resection meets the protocol.
    assert affected_by_vessels(evidence(bound(12.0))) is None
    assert affected_by_vessels(evidence(bound(4.0, kind="remnant", structure=None))) is None
    assert affected_by_vessels(evidence(Unknown("no vein"))) is None


def test_a_readers_count_says_what_the_scan_cannot_show():
    reading = measures_of(evidence(bound(9.0)), 3, "CT", POINT, 0)["lesions.count"]
    assert reading.value == Quantity.exactly(3.0)
    assert "MRI not seen" in reading.note


def test_a_vessel_free_bound_is_not_yet_a_margin_clear_of_vessels():
    reading = measures_of(evidence(bound(20.0)), 1, "CT", POINT, 0)["margin.vessel_limited"]
    assert isinstance(reading.value, Unknown)


def test_the_remnant_is_unknown_without_both_veins_and_never_zero():
    partial = CurvePoint(7.0, 50.0, 900.0, 95.0, 94.0, 96.0, 10.0, None, None, None, None, None, None)
    measures = measures_of(evidence(Unknown("no hepatic veins")), 1, "CT", partial, 0)
    assert isinstance(measures["flr.functional_at_wide_margin"].value, Unknown)
    assert measures["flr.geometric_at_wide_margin"].value == Quantity(95.0, 94.0, 96.0)


def planned(margin=(8.5, 7.6, 9.4), flr=(60.0, 55.0, 65.0), meets="met", name="wedge"):
    """A measured resection as its verdict says; of its shape nothing is looked at here."""
    value, low, high = margin
    distance = Distance(value, low, high, ((0.0, 0.0, 0.0), (value, 0.0, 0.0)))
    return MeasuredResection(
        name=name,
        kind="wedge",
        specimen=np.zeros((1, 1, 1), dtype=np.bool_),
        margins=(CutMargin(distance, "parenchyma"),),
        volume_ml=Quantity(50.0, 45.0, 55.0),
        remnant_ml=900.0,
        functional_remnant_ml=Quantity.around(9.0 * flr[0], 20.0),
        flr_percent=Quantity(*flr),
        geometric_flr_percent=Quantity.around(90.0, 1.0),
        flr_terms_points={},
        devascularised_ml=0.0,
        congested_ml=0.0,
        divided=(),
        surface=CutSurface(Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)), 0.0, 0.0),
        score=PlanScore(value, 900.0, 100.0, 0.05, 30.0),
        meets=meets,
        reason=f"margin {value} mm",
        p_margin=0.9,
        p_flr=0.9,
    )


def with_plans(*plans, found=None, **more):
    return dataclasses.replace(evidence(found or bound(25.0), **more), resections=plans)


def test_a_plan_whose_low_ends_meet_makes_the_margin_feasible_and_is_named():
    verdict = case_verdict(with_plans(planned(name="wedge_a")))
    assert verdict.wide_margin == "feasible"
    assert "'wedge_a'" in verdict.reason


@pytest.mark.parametrize("meets", ["undetermined", "not_met"])
def test_plans_that_do_not_surely_meet_prove_nothing(meets):
    verdict = case_verdict(with_plans(planned(meets=meets), planned(meets=meets, name="b")))
    assert verdict.wide_margin == "undetermined"
    assert "no measured resection shows it" in verdict.reason


def test_the_plan_that_proves_need_not_be_the_first():
    verdict = case_verdict(with_plans(planned(meets="undetermined", name="a"), planned(name="b")))
    assert verdict.wide_margin == "feasible"
    assert "'b'" in verdict.reason


def test_masks_that_no_reader_confirmed_are_never_feasible():
    found = with_plans(planned(), unread=True)
    assert case_verdict(found).wide_margin == "undetermined"
    assert affected_by_vessels(found) is None
    measures = measures_of(found, 1, "CT", POINT, 0)
    assert isinstance(measures["margin.planned"].value, Unknown)
    assert isinstance(measures["flr.planned"].value, Unknown)


def test_thick_slices_are_never_feasible():
    thick = Quality((), thin_enough=False, liver_complete=True, enhanced=True)
    found = with_plans(planned(), quality=thick)
    assert case_verdict(found).wide_margin == "undetermined"
    assert isinstance(measures_of(found, 1, "CT", POINT, 0)["margin.planned"].value, Unknown)


def test_a_remnant_that_the_scan_does_not_show_is_never_feasible():
    why = Unknown("the liver is cut off at the edge of the scan")
    blind = planned().with_unknown_remnant(why, LIMITS)
    verdict = case_verdict(dataclasses.replace(evidence(why), resections=(blind,)))
    assert verdict.wide_margin == "undetermined"
    assert "cut off" in verdict.reason


def test_without_both_veins_no_plan_proves():
    missing = Unknown("the hepatic veins are not segmented")
    found = dataclasses.replace(evidence(missing, geometric=bound(25.0)), resections=(planned(),))
    assert case_verdict(found).wide_margin == "undetermined"
    assert case_verdict(found).reason == missing.reason


def test_a_certificate_of_infeasibility_is_not_overruled_by_a_plan():
    assert case_verdict(with_plans(planned(), found=bound(5.0))).wide_margin == "infeasible"


def test_a_plan_that_meets_shows_that_no_vessel_stands_in_the_way():
    found = with_plans(planned())
    assert affected_by_vessels(found) is False
    reading = measures_of(found, 1, "CT", POINT, 0)["margin.vessel_limited"]
    assert reading.value is False
    assert "'wedge'" in reading.note


def test_what_is_planned_is_read_from_the_best_plan_with_its_interval():
    measures = measures_of(with_plans(planned(), planned(name="b", margin=(9.0, 8.0, 10.0))), 1, "CT", POINT, 0)
    assert measures["margin.planned"].value == Quantity(8.5, 7.6, 9.4)
    assert measures["flr.planned"].value == Quantity(60.0, 55.0, 65.0)
    nothing = measures_of(evidence(bound(25.0)), 1, "CT", POINT, 0)
    assert isinstance(nothing["margin.planned"].value, Unknown)
    assert isinstance(nothing["flr.planned"].value, Unknown)

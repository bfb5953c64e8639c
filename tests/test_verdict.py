"""What an upper bound proves, and what it leaves open."""

import pytest

from liverplan.anatomy import Structure
from liverplan.margin import CurvePoint, Limit, UpperBound
from liverplan.protocol import Limits
from liverplan.quality import Quality
from liverplan.quantity import Quantity, Unknown
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
    assert affected_by_vessels(evidence(bound(12.0))) is False
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

"""What a protocol reads from a record: derived values, contradictions, and the decision that follows."""

from __future__ import annotations

from typing import Any

import pytest

from liverplan.clinical import parse_record
from liverplan.protocol import Reading, decide, load_protocol
from liverplan.quantity import Quantity, Unknown

TRIAL = load_protocol("nct06934018")
BEFORE, CURRENT = "liver_metastases_before_chemotherapy", "liver_metastases_current"
NORMAL: dict[str, Any] = {
    "bilirubin": {"value": 12, "unit": "umol/L"},
    "albumin": {"value": 41, "unit": "g/L"},
    "inr": 1.0,
    "ascites": "none",
    "encephalopathy_grade": 0,
}


def outcome(criterion_id: str, data: dict[str, Any]) -> str:
    """What the trial decides on these facts alone."""
    facts = {name: reading.value for name, reading in parse_record(data).facts().items()}
    return next(r.outcome.value for r in decide(TRIAL, {}, facts).criteria if r.criterion.id == criterion_id)


def score_part(data: dict[str, Any]) -> str:
    facts = {name: reading.value for name, reading in parse_record(data).facts().items()}
    result = next(r for r in decide(TRIAL, {}, facts).criteria if r.criterion.id == "I8")
    return result.parts[0].outcome.value


def test_an_empty_record_has_no_facts_and_no_remarks() -> None:
    record = parse_record({})
    assert record.facts() == {}
    assert record.remarks == ()


def test_labs_and_dates_read_as_text_for_the_evidence() -> None:
    facts = parse_record(NORMAL | {"scan_date": "2026-05-04"}).facts()
    assert facts["bilirubin"] == Reading("12 umol/L")
    assert facts["scan_date"] == Reading("2026-05-04")


def test_a_complete_child_pugh_score_is_exact_and_says_what_it_rests_on() -> None:
    reading = parse_record(NORMAL | {"inr": {"value": 1.0, "by": "the laboratory", "date": "2026-05-01"}}).facts()
    assert reading["child_pugh_score"].value == Quantity.exactly(5)
    assert "INR 1 (by the laboratory, 2026-05-01), 1 point" in reading["child_pugh_score"].note
    assert score_part(NORMAL) == "met"


def test_a_missing_item_bounds_the_score_and_leaves_class_a_open() -> None:
    data = {name: value for name, value in NORMAL.items() if name != "ascites"}
    reading = parse_record(data).facts()["child_pugh_score"]
    assert reading.value == Quantity(7, 5, 7)
    assert "Ascites not recorded, 1 to 3 points" in reading.note
    assert score_part(data) == "undetermined"


def test_seven_points_refute_class_a_whatever_is_missing() -> None:
    assert score_part({"ascites": "moderate_or_severe"}) == "not_met"


def test_without_any_item_there_is_no_score() -> None:
    assert "child_pugh_score" not in parse_record({"ecog": 1}).facts()


def test_without_chemotherapy_the_count_before_is_that_of_now() -> None:
    data = {
        CURRENT: {"value": 3, "by": "the radiologist"},
        "prior_chemotherapy": {"value": False, "date": "2026-05-01"},
    }
    reading = parse_record(data).facts()[BEFORE]
    assert reading == Reading(
        Quantity.exactly(3), "as now (3 (by the radiologist)), because no chemotherapy was given (2026-05-01)"
    )
    assert outcome("E3", data) == "met"


@pytest.mark.parametrize("chemotherapy", [True, None, "unknown"])
def test_with_chemotherapy_or_without_knowing_the_count_before_stays_unknown(chemotherapy: object) -> None:
    data = {CURRENT: 3, "prior_chemotherapy": chemotherapy}
    assert BEFORE not in parse_record(data).facts()
    assert outcome("E3", data) == "undetermined"


@pytest.mark.parametrize(("now", "before"), [(6, 4), (4, 6)])
def test_counts_that_differ_without_chemotherapy_both_count(now: int, before: int) -> None:
    data = {CURRENT: now, BEFORE: before, "prior_chemotherapy": False}
    record = parse_record(data)
    assert record.facts()[BEFORE].value == Quantity(6, 4, 6)
    assert any("prior_chemotherapy is false" in remark for remark in record.remarks)
    assert outcome("E3", data) == "undetermined"


def test_counts_that_agree_without_chemotherapy_are_no_contradiction() -> None:
    record = parse_record({CURRENT: 4, BEFORE: 4, "prior_chemotherapy": False})
    assert record.remarks == ()
    assert record.facts()[BEFORE] == Reading(Quantity.exactly(4))


@pytest.mark.parametrize("clue", [{"other_malignancy_years_since": 2}, {"other_malignancy_cured": False}])
def test_no_other_malignancy_is_not_believed_beside_details_of_one(clue: dict[str, Any]) -> None:
    data = {"other_malignancy": False, **clue}
    record = parse_record(data)
    assert isinstance(record.facts()["other_malignancy"].value, Unknown)
    assert any("other_malignancy is false, but" in remark for remark in record.remarks)
    assert outcome("E5", {"other_malignancy": False}) == "met"
    assert outcome("E5", data) != "met"


def test_a_resected_primary_that_is_still_to_be_resected_is_not_believed() -> None:
    data = {"primary_status": "resected", "primary_interval_weeks": 5}
    assert isinstance(parse_record(data).facts()["primary_status"].value, Unknown)
    assert outcome("I4", {"primary_status": "resected"}) == "met"
    assert outcome("I4", data) == "undetermined"


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (
            {"asa": 4, "serious_comorbidity": False},
            "asa is 4, a constant threat to life, but serious_comorbidity is false",
        ),
        ({"ecog": 5}, "ecog 5 means that the patient is dead"),
        (
            {"planned_surgery_date": "2026-05-18", "inr": {"value": 1, "date": "2026-06-01"}},
            "inr is dated 2026-06-01, after the planned surgery on 2026-05-18",
        ),
        ({"inr": 1.7}, "inr 1.7 lies within 2 % of the Child-Pugh limit 1.7"),
    ],
)
def test_what_needs_a_second_look_is_remarked(data: dict[str, Any], remark: str) -> None:
    assert parse_record(data).remarks == (remark,)

"""Deciding a trial's criteria: the laws of three-valued logic, and the words. Its cases are in tests/protocols."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import liverplan
from liverplan.errors import ClinicalError, UnreadableInput
from liverplan.protocol import (
    FIELDS,
    MEASURES,
    TERMS,
    Outcome,
    Reading,
    Verdict,
    decide,
    load_protocol,
    measures_from_json,
    measures_to_json,
)
from liverplan.protocol.decide import all_of, any_of, compare
from liverplan.protocol.model import AllOf, AnyOf, Criterion
from liverplan.protocol.vocabulary import Bound, Kind, Term
from liverplan.quantity import Quantity, Unknown
from liverplan.report.schema import report_schema

TRIAL = load_protocol("nct06934018")
SEED = Path(__file__).parents[2] / "shared" / "seed"


def outcomes(measures: dict[str, Any], record: dict[str, Any] | None = None) -> dict[str, str]:
    return {r.criterion.id: r.outcome.value for r in decide(TRIAL, measures, record or {}).criteria}


def result_of(criterion_id: str, measures: dict[str, Any], record: dict[str, Any] | None = None) -> Any:
    results = decide(TRIAL, measures, record or {}).criteria
    return next(result for result in results if result.criterion.id == criterion_id)


# --- the trial as a file


def test_the_trial_has_its_21_criteria_in_order() -> None:
    assert [c.id for c in TRIAL.criteria] == [f"I{n}" for n in range(1, 12)] + [f"E{n}" for n in range(1, 11)]
    assert all((c.kind == "inclusion") == c.id.startswith("I") for c in TRIAL.criteria)


@pytest.mark.shared
@pytest.mark.skipif(not SEED.is_dir(), reason="the registry text is not beside the checkout")
def test_every_criterion_has_the_words_and_the_line_of_the_registry_text() -> None:
    lines = next(SEED.glob("*.txt")).read_text(encoding="utf-8").splitlines()
    for criterion in TRIAL.criteria:
        number = int(criterion.source.split("(line ")[1].rstrip(")"))
        assert lines[number - 1] == f"* {criterion.text};"


def test_the_digest_is_that_of_the_file() -> None:
    file = Path(liverplan.__file__).parent / "protocols" / "nct06934018.toml"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == TRIAL.sha256


def test_planning_finds_its_limits_in_the_protocol() -> None:
    assert (TRIAL.limits.wide_margin_mm, TRIAL.limits.flr_percent, TRIAL.limits.max_lesions) == (7.0, 30.0, 5)


# --- the laws


@given(st.lists(st.sampled_from(Outcome), max_size=6), st.randoms())
def test_the_order_of_parts_never_matters(parts: list[Outcome], random: Any) -> None:
    shuffled = random.sample(parts, len(parts))
    assert all_of(shuffled) is all_of(parts)
    assert any_of(shuffled) is any_of(parts)


@given(st.lists(st.sampled_from(Outcome), min_size=1, max_size=6))
def test_an_unknown_part_never_makes_a_conjunction_met(parts: list[Outcome]) -> None:
    assert all_of([*parts, Outcome.UNDETERMINED]) is not Outcome.MET


def quantities() -> st.SearchStrategy[Quantity]:
    ends = st.lists(st.integers(0, 40).map(lambda n: n / 2), min_size=3, max_size=3).map(sorted)
    return ends.map(lambda e: Quantity(e[1], e[0], e[2]))


def values_of(term: Term) -> st.SearchStrategy[Any]:
    if term.kind is Kind.NUMBER:
        return quantities().map(lambda q: Quantity(q.value * 3, q.low * 3, q.high * 3)) | quantities()
    return st.booleans() if term.kind is Kind.FLAG else st.sampled_from(term.choices)


def mapping_of(terms: dict[str, Term]) -> st.SearchStrategy[dict[str, Any]]:
    readable = {name: term for name, term in terms.items() if term.kind is not Kind.RAW}
    return st.fixed_dictionaries({}, optional={name: values_of(term) for name, term in readable.items()})


@given(mapping_of(MEASURES), mapping_of(FIELDS), st.randoms())
def test_the_order_of_criteria_never_matters(measures: dict[str, Any], record: dict[str, Any], random: Any) -> None:
    shuffled = dataclasses.replace(TRIAL, criteria=tuple(random.sample(TRIAL.criteria, len(TRIAL.criteria))))
    straight, mixed = decide(TRIAL, measures, record), decide(shuffled, measures, record)
    assert mixed.verdict is straight.verdict
    assert {r.criterion.id: r.outcome for r in mixed.criteria} == {r.criterion.id: r.outcome for r in straight.criteria}


RESTATING = {"liver_metastases_current", "liver_metastases_before_chemotherapy"}
"""What somebody may state in place of another value; a new statement is a changed value, not an added one."""


@given(mapping_of(MEASURES), mapping_of(FIELDS), mapping_of(MEASURES), mapping_of(FIELDS))
def test_more_knowledge_settles_what_was_open_and_nothing_else(
    measures: dict[str, Any], record: dict[str, Any], seen: dict[str, Any], told: dict[str, Any]
) -> None:
    added = {name: value for name, value in told.items() if name not in RESTATING}
    measured, recorded = {**seen, **measures}, {**added, **record}
    assume(not any(_contradictory(measured, criterion) for criterion in ("I7", "I8")))
    before, after = outcomes(measures, record), outcomes(measured, recorded)
    settled = {name: outcome for name, outcome in before.items() if outcome != "undetermined"}
    assert {name: after[name] for name in settled} == settled


@given(mapping_of(MEASURES), mapping_of(FIELDS))
def test_nothing_left_blank_is_ever_met(measures: dict[str, Any], record: dict[str, Any]) -> None:
    parts = [part for result in decide(TRIAL, measures, record).criteria for part in result.parts]
    for finding in (finding for part in parts for finding in part.findings):
        assert finding.outcome is Outcome.UNDETERMINED or not isinstance(finding.value, Unknown)
    for part in parts:
        assert part.outcome is not Outcome.MET or all(finding.outcome is Outcome.MET for finding in part.findings)


def inputs_of(condition: Any) -> set[str]:
    """Every name that a condition may read."""
    if isinstance(condition, (AllOf, AnyOf)):
        return {name for inner in condition.conditions for name in inputs_of(inner)}
    return {term.name for term in condition.terms} | {condition.outranked_by}


@pytest.mark.parametrize("criterion", TRIAL.criteria, ids=lambda c: c.id)
@given(measures=mapping_of(MEASURES), record=mapping_of(FIELDS))
def test_a_criterion_whose_every_input_is_blank_is_undetermined(
    criterion: Criterion, measures: dict[str, Any], record: dict[str, Any]
) -> None:
    inputs = {name for part in criterion.parts for name in inputs_of(part.condition)}
    if "liver_metastases_before_chemotherapy" in inputs:
        inputs |= {"prior_chemotherapy"}  # without chemotherapy the number of now stands in for the one before it
    left = {name: value for name, value in measures.items() if name not in inputs}
    result = result_of(criterion.id, left, {name: value for name, value in record.items() if name not in inputs})
    assert result.outcome is Outcome.UNDETERMINED
    assert result.missing


@given(mapping_of(MEASURES), mapping_of(FIELDS))
def test_a_decision_survives_the_json_round_trip_of_its_measures(
    measures: dict[str, Any], record: dict[str, Any]
) -> None:
    noted = {name: Reading(value, "a note") for name, value in measures.items()}
    stored = json.loads(json.dumps(measures_to_json(noted, TRIAL.limits), allow_nan=False))
    again = decide(TRIAL, measures_from_json(stored, TRIAL.limits), record)
    assert again.to_json() == decide(TRIAL, noted, record).to_json()


@given(quantities(), quantities() | st.just(Unknown("not read")), mapping_of(FIELDS))
def test_a_stated_count_decides_whatever_the_software_counted_and_both_are_said(
    stated: Quantity, counted: Quantity | Unknown, record: dict[str, Any]
) -> None:
    told = {**record, "liver_metastases_current": Reading(stated, "by radiologist")}
    result = result_of("I5", {"lesions.count": counted}, told)
    assert result.outcome is compare(stated.low, "<=", stated.high, TRIAL.limits.max_lesions)
    assert "(by radiologist); the software" in result.evidence
    assert result.headline.outranked == (("lesions.count", counted),)


@given(mapping_of(FIELDS))
def test_who_stated_something_changes_the_words_and_not_the_outcome(record: dict[str, Any]) -> None:
    noted = {name: Reading(value, "by Dr X, 2026-11-02") for name, value in record.items()}
    assert outcomes({}, noted) == outcomes({}, record)
    for part in (part for result in decide(TRIAL, {}, noted).criteria for part in result.parts):
        assert ("by Dr X" in part.evidence) == any({*finding.read} & {*record} for finding in part.decisive)


@given(mapping_of(MEASURES), mapping_of(FIELDS), st.data())
def test_forgetting_a_value_never_makes_anything_met(
    measures: dict[str, Any], record: dict[str, Any], data: st.DataObject
) -> None:
    before = outcomes(measures, record)
    forgotten = data.draw(st.sampled_from(sorted(measures))) if measures else None
    after = outcomes({n: Unknown("lost") if n == forgotten else v for n, v in measures.items()}, record)
    assert {name for name, outcome in after.items() if outcome == "met"} <= {
        name for name, outcome in before.items() if outcome == "met" or _contradictory(measures, name)
    }


def _contradictory(measures: dict[str, Any], criterion_id: str) -> bool:
    """A plan better than what is possible: only then can losing the bound leave a met behind."""
    pairs = {"I7": ("margin.planned", "margin.upper"), "I8": ("flr.planned", "flr.")}
    lower, upper = pairs.get(criterion_id, ("-", "-"))
    uppers = [q.high for name, q in measures.items() if name.startswith(upper) and name != lower]
    return lower in measures and any(measures[lower].low > high for high in uppers)


@given(st.dictionaries(st.sampled_from([n for n, t in MEASURES.items() if t.bound is Bound.UPPER]), quantities()))
def test_upper_bounds_alone_never_prove_a_criterion(bounds: dict[str, Quantity]) -> None:
    without, with_bounds = outcomes({}), outcomes(dict(bounds))
    assert all(with_bounds[name] != "met" for name in without)


@given(st.dictionaries(st.sampled_from([n for n, t in MEASURES.items() if t.bound is Bound.LOWER]), quantities()))
def test_a_plan_that_falls_short_refutes_nothing(plans: dict[str, Quantity]) -> None:
    assert all(outcome != "not_met" for outcome in outcomes(dict(plans)).values())


@given(quantities(), st.sampled_from([">=", ">", "<=", "<"]), st.integers(0, 40).map(lambda n: n / 2))
def test_an_interval_decides_only_when_every_point_of_it_agrees(q: Quantity, op: str, limit: float) -> None:
    import operator

    holds = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}[op]
    points = {holds(q.low + (q.high - q.low) * step / 8, limit) for step in range(9)}
    expected = Outcome.UNDETERMINED if len(points) == 2 else Outcome.MET if True in points else Outcome.NOT_MET
    assert compare(q.low, op, q.high, limit) is expected


def test_bounds_that_contradict_each_other_decide_nothing() -> None:
    result = result_of("I7", {"margin.planned": Quantity.exactly(8.0), "margin.upper": Quantity.exactly(5.0)})
    assert result.parts[1].outcome is Outcome.UNDETERMINED
    assert "contradict" in result.evidence


def test_a_verdict_is_undetermined_while_anything_is_open_and_negative_once_anything_fails() -> None:
    assert decide(TRIAL, {}).verdict is Verdict.UNDETERMINED
    assert decide(TRIAL, {"lesions.count": Quantity.exactly(9)}).verdict is Verdict.DOES_NOT_MEET


# --- the words


def test_the_evidence_of_a_count_says_what_the_scan_cannot_show() -> None:
    count = Reading(Quantity.exactly(2), "counted on this CT alone")
    evidence = result_of("I5", {"lesions.count": count}).evidence
    assert evidence == (
        "Liver metastases counted on the scan: 2, counted on this CT alone. Required: at most 5. "
        "What this scan does not show is not counted."
    )


def test_contacts_are_listed_and_never_called_invasion() -> None:
    contacts = Reading(Quantity.exactly(1), "lesion 1 with the hepatic veins")
    result = result_of("E4", {"vessels.contacts": contacts})
    assert result.outcome is Outcome.UNDETERMINED
    assert "1, lesion 1 with the hepatic veins; reported, not decided on" in result.evidence
    assert "Contact on the scan is not invasion." in result.evidence
    assert result.missing == ("portal_vein_thrombus", "hepatic_vein_invasion")


def test_a_bound_that_cannot_prove_asks_for_a_plan() -> None:
    result = result_of("I7", {"margin.upper": Quantity(12.31, 11.8, 12.8)}, {"r0_confirmed_by_surgeon": True})
    assert "12.3 mm (11.8 to 12.8)" in result.evidence
    assert "a bound cannot prove it. Measure a resection plan." in result.evidence
    assert "margin.planned" in result.missing


def test_an_interval_that_holds_the_limit_says_so() -> None:
    assert "The limit of 5 lies inside the interval" in result_of("I5", {"lesions.count": Quantity(5, 4, 7)}).evidence


def test_rounding_never_moves_a_number_onto_the_limit() -> None:
    evidence = result_of("I7", {"margin.upper": Quantity(6.99, 6.97, 6.996)}).evidence
    assert "6.99 mm (6.97 to 6.996). Required: at least 7 mm." in evidence


def test_a_refuted_criterion_asks_for_nothing_more() -> None:
    result = result_of("I7", {"margin.upper": Quantity.exactly(3.0)})
    assert result.missing == ()
    assert "surgeon" not in result.evidence


def test_what_decided_is_not_said_to_decide_nothing() -> None:
    measures = {
        "margin.planned": Quantity.exactly(8.0),
        "margin.upper": Quantity.exactly(9.0),
        "margin.vessel_limited": False,
        "reconstruction.available": True,
    }
    result = result_of("I7", measures, {"r0_confirmed_by_surgeon": True})
    assert result.outcome is Outcome.MET
    assert "not decided on" not in result.evidence
    assert "8 mm; reported, not decided on." in result.parts[0].evidence


def test_a_stated_value_stands_where_the_measured_one_stood() -> None:
    result = result_of("I5", {"lesions.count": Quantity.exactly(13)}, {"liver_metastases_current": 2})
    assert (result.headline.term, result.headline.value) == ("liver_metastases_current", Quantity.exactly(2))
    assert result.headline.measured


def test_the_json_of_a_statement_holds_what_it_outranks() -> None:
    block = decide(TRIAL, {"lesions.count": Quantity.exactly(13)}, {"liver_metastases_current": 2}).to_json()
    expected = [{"measure": "lesions.count", "value": {"value": 13.0, "low": 13.0, "high": 13.0}}]
    assert block["criteria"][4]["outranked"] == block["criteria"][4]["parts"][0]["outranked"] == expected
    assert all(c["outranked"] == [] for c in block["criteria"] if c["id"] != "I5")


def test_a_branch_that_failed_asks_for_nothing_more() -> None:
    assert result_of("E5", {}, {"other_malignancy": True, "other_malignancy_cured": True}).missing == (
        "other_malignancy_years_since",
    )


def test_an_alternative_that_is_ruled_out_asks_for_nothing() -> None:
    assert result_of("I4", {}, {"primary_status": "simultaneous"}).missing == ("primary_status",)


def test_a_partly_known_score_asks_for_the_items_that_are_missing() -> None:
    record = {"child_pugh_score": Quantity(6, 5, 7), "bilirubin": "1 mg/dL", "albumin": "4 g/dL", "ascites": "none"}
    result = result_of(
        "I8", {"flr.planned": Quantity.exactly(50), "flr.functional_at_wide_margin": Quantity.exactly(60)}, record
    )
    assert result.missing == ("inr or pt_prolongation_s", "encephalopathy_grade")


def test_the_value_shown_is_the_one_that_decided() -> None:
    upper, planned = Quantity.exactly(5.0), Quantity.exactly(4.0)
    refuted = result_of("I7", {"margin.upper": upper, "margin.planned": planned})
    assert (refuted.headline.term, refuted.headline.value) == ("margin.upper", upper)
    shown = result_of("I7", {"margin.upper": Quantity.exactly(9.0), "margin.planned": planned})
    assert shown.headline.term == "margin.planned"


# --- what goes in


def test_a_measure_outside_the_vocabulary_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"no measure is called 'margin\.uper'"):
        decide(TRIAL, {"margin.uper": Quantity.exactly(1)})


def test_a_measure_of_the_wrong_kind_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"reconstruction\.available is a bool or Unknown"):
        decide(TRIAL, {"reconstruction.available": Quantity.exactly(1)})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"agee": 3}, "agee cannot be used: got an unknown field"),
        ({"age_years": "old"}, "age_years cannot be used: got 'old'; wanted a number in years"),
        ({"age_years": True}, "age_years cannot be used: got True"),
        ({"ecog": float("nan")}, "ecog cannot be used: got nan"),
        ({"consent_signed": 1}, "consent_signed cannot be used: got 1; wanted one of true, false"),
        ({"age_years": Reading("old", "by nurse")}, "age_years cannot be used: got 'old'; wanted a number in years"),
        ({"ascites": "much"}, "ascites cannot be used: got 'much'; wanted one of none, mild, moderate_or_severe"),
    ],
)
def test_a_record_that_cannot_be_used_is_refused_by_name(record: dict[str, object], message: str) -> None:
    with pytest.raises(ClinicalError, match=message):
        decide(TRIAL, {}, record)


def test_a_field_left_empty_is_not_recorded() -> None:
    assert outcomes({}, {"age_years": None})["I1"] == "undetermined"


# --- what comes out


def test_the_eligibility_block_follows_the_schema_of_the_report() -> None:
    schema = report_schema()
    block = {"$schema": schema["$schema"], "$defs": schema["$defs"], **schema["properties"]["eligibility"]}
    measures = {"lesions.count": Quantity.exactly(2), "margin.upper": Quantity(12.0, 11.0, 13.0)}
    stated = {"liver_metastases_current": Reading(Quantity.exactly(4), "by radiologist")}
    for record in ({}, {"age_years": 50, "diagnosis_basis": "biopsy", "consent_signed": True}, stated):
        jsonschema.validate(json.loads(json.dumps(decide(TRIAL, measures, record).to_json(), allow_nan=False)), block)


def test_an_unknown_value_carries_its_reason_in_json() -> None:
    criteria = decide(TRIAL, {"lesions.count": Unknown("no lesions were segmented")}).to_json()["criteria"]
    assert criteria[4]["value"] == {"value": None, "reason": "no lesions were segmented"}
    assert criteria[4]["missing"] == ["lesions.count or liver_metastases_current"]


def test_a_composite_criterion_reports_its_parts() -> None:
    i7 = decide(TRIAL, {"margin.upper": Quantity.exactly(3.0)}).to_json()["criteria"][6]
    assert [part["outcome"] for part in i7["parts"]] == ["undetermined", "not_met", "undetermined", "undetermined"]
    assert (i7["outcome"], i7["limit"], i7["unit"]) == ("not_met", 7.0, "mm")


def test_every_limit_is_also_given_in_words() -> None:
    criteria = {c["id"]: c["required"] for c in decide(TRIAL, {}).to_json()["criteria"]}
    assert (criteria["I5"], criteria["I6"], criteria["I7"]) == ("at most 5", "none or resected r0", "at least 7 mm")
    assert (criteria["I8"], criteria["I10"], criteria["E6"]) == ("at least 30 %", "yes", "more than 6 months")


@given(mapping_of(MEASURES))
def test_stored_measures_read_back_as_they_were(measures: dict[str, Any]) -> None:
    stored = json.loads(json.dumps(measures_to_json(measures, TRIAL.limits), allow_nan=False))
    read = measures_from_json(stored, TRIAL.limits)
    assert {name: reading.value for name, reading in read.items()} == measures


def test_an_unknown_measure_keeps_its_reason_and_a_note_is_kept() -> None:
    stored = measures_to_json({"vessels.contacts": Reading(Unknown("no veins"), "note")}, TRIAL.limits)
    assert stored == {"vessels.contacts": {"value": None, "reason": "no veins", "unit": "count", "note": "note"}}
    assert measures_from_json(stored, TRIAL.limits)["vessels.contacts"] == Reading(Unknown("no veins"), "note")


def test_a_measure_made_for_another_wide_margin_is_unknown_under_a_new_one() -> None:
    stored = measures_to_json({"flr.functional_at_wide_margin": Quantity.exactly(20)}, TRIAL.limits)
    wider = dataclasses.replace(TRIAL.limits, wide_margin_mm=10.0)
    value = measures_from_json(stored, wider)["flr.functional_at_wide_margin"].value
    assert isinstance(value, Unknown)
    assert "wide_margin_mm 7, and this protocol asks for 10" in value.reason


@pytest.mark.parametrize(
    "entry",
    [
        {"value": 3.0, "low": 2.0, "high": 4.0, "unit": "cm"},
        {"value": 3.0, "low": 3.5, "high": 4.0, "unit": "count"},
        {"value": float("nan"), "low": 1.0, "high": 4.0, "unit": "count"},
        {"value": 3.0, "unit": "count"},
        {"value": None, "unit": "count"},
        7,
    ],
)
def test_a_stored_measure_that_does_not_read_is_refused_by_name(entry: object) -> None:
    with pytest.raises(UnreadableInput, match=r"the stored measure 'lesions\.count' cannot be read"):
        measures_from_json({"lesions.count": entry}, TRIAL.limits)


def test_every_term_of_the_vocabulary_has_a_unit_exactly_when_it_is_a_number() -> None:
    for term in TERMS.values():
        assert (term.unit is not None) == (term.kind is Kind.NUMBER), term.name
        assert bool(term.choices) == (term.kind is Kind.CHOICE), term.name

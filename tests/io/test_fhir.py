"""Clinical records from FHIR R4 Bundles: what is taken, what is refused, and that nobody's name comes along."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fhir_resources import (
    LOINC,
    SNOMED,
    bundle,
    coded,
    concept,
    condition,
    consent,
    observation,
    patient,
    procedure,
    refusal,
)
from hypothesis import given
from hypothesis import strategies as st

from liverplan.clinical import ClinicalRecord, Lab, parse_record
from liverplan.clinical.codes import CONDITIONS, OBSERVATIONS
from liverplan.clinical.fields import RECORD_FIELDS
from liverplan.errors import ClinicalError
from liverplan.io.clinical import read_clinical
from liverplan.io.fhir import read_bundle
from liverplan.io.fhir_elements import when

SECRETS = ("Muster", "Maxine", "1961", "MRN-4711", "Hauptstrasse")


def test_a_bundle_becomes_a_record_with_its_provenance() -> None:
    record = read_bundle(
        bundle(
            patient(),
            observation("8302-2", 172, "cm"),
            observation("29463-7", 80.5, "kg"),
            observation("14631-6", 12, "umol/L", performer=[{"reference": "Organization/7", "display": "Central lab"}]),
            observation("1751-7", 41, "g/L"),
            observation("6301-6", 1.0, "{INR}", "2026-05-02T08:30:00+02:00"),
            coded("89247-1", valueInteger=1),
            condition("85828009", "refuted", recordedDate="2026-04-01"),
            procedure("367336001", "completed", performedPeriod={"start": "2026-01-10", "end": "2026-03-20"}),
            procedure("107963000", "preparation", performedDateTime="2026-05-18"),
            consent(dateTime="2026-06-14"),
        )
    )
    assert record.text("sex") == "female"
    assert (record.number("height_cm"), record.number("weight_kg")) == (172, 80.5)
    assert record.lab("bilirubin") == Lab(12, "umol/L")
    assert record.lab("albumin") == Lab(41, "g/L")
    assert (record.number("inr"), record.number("ecog")) == (1.0, 1)
    assert record.flag("autoimmune_disease") is False
    assert record.flag("prior_chemotherapy") is True
    assert record.flag("consent_signed") is True
    assert record.day("planned_surgery_date") == date(2026, 5, 18)
    assert record.number("age_years") == 64  # the day before the 65th birthday
    notes = {name: reading.note for name, reading in record.facts().items()}
    assert notes["bilirubin"] == "by Central lab, 2026-05-01, from FHIR Observation, LOINC 14631-6"
    assert notes["inr"] == "2026-05-02, from FHIR Observation, LOINC 6301-6"
    assert notes["autoimmune_disease"] == "2026-04-01, from FHIR Condition, SNOMED CT 85828009, refuted"
    assert notes["age_years"] == "2026-06-14, from FHIR Patient, computed on the day of the consent"
    assert notes["consent_signed"] == "2026-06-14, from FHIR Consent, active, to NCT06934018"


def test_a_bundle_file_is_recognised_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(bundle(observation("8302-2", 172, "cm"))), encoding="utf-8")
    assert read_clinical(path).number("height_cm") == 172


def test_a_bundle_may_be_larger_than_a_record(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(bundle(observation("8302-2", 172, "cm", note=[{"text": "x" * 2_000_000}]))))
    assert read_clinical(path).number("height_cm") == 172


def test_an_empty_bundle_is_an_empty_record() -> None:
    assert read_bundle(bundle()) == ClinicalRecord()
    assert read_bundle({"resourceType": "Bundle"}) == ClinicalRecord()


# ------------------------------------------------------------------------------------------------------------- privacy


def test_nothing_of_the_patients_identity_gets_into_the_record() -> None:
    me = {"reference": "Patient/p1", "display": "Maxine Muster"}
    record = read_bundle(
        bundle(
            patient(),
            observation("8302-2", 172, "cm", subject=me, performer=[me]),
            condition("85828009", asserter=me, recorder={"display": "Maxine Muster"}),
        )
    )
    everything = json.dumps(record.to_json()) + repr(record) + " ".join(record.remarks) + repr(record.facts())
    assert not [secret for secret in SECRETS if secret in everything]
    assert record.number("age_years") == 64


@pytest.mark.parametrize("born", ["1961-06-35", "1961", "15.6.1961", "1780-01-01"])
def test_a_birth_date_that_gives_no_age_is_not_quoted(born: str) -> None:
    resources = (patient(birthDate=born), observation("8302-2", 172, "cm"))
    try:
        said = " ".join(read_bundle(bundle(*resources)).remarks)
        assert "no age was computed" in said
    except ClinicalError as error:
        said = str(error)
        assert "age_years" in said
    assert born not in said


@pytest.mark.parametrize(("on", "age"), [("2026-06-14", 64), ("2026-06-15", 65), ("2026-06-16", 65)])
def test_the_age_is_in_completed_years_on_the_day_of_the_newest_observation(on: str, age: int) -> None:
    record = read_bundle(bundle(patient(), observation("8302-2", 172, "cm", on), observation("29463-7", 80, "kg")))
    assert record.number("age_years") == age
    assert record.facts()["age_years"].note == f"{on}, from FHIR Patient, computed on the day of the newest observation"


def test_without_a_day_there_is_no_age() -> None:
    record = read_bundle(bundle(patient()))
    assert record.known("age_years") is None
    assert "age_years: the bundle has no date on which to compute the age" in record.remarks


# ------------------------------------------------------------------------------------------------------ whose, and when


def test_two_patients_are_refused() -> None:
    assert refusal(patient(), patient(id="p2")).got == "2 patients"


def test_a_resource_about_somebody_else_is_refused() -> None:
    stranger = observation("8302-2", 172, "cm", subject={"reference": "Patient/p2"})
    assert "about 1 other patient" in refusal(patient(), stranger).got
    assert "about 1 other patient" in refusal(observation("29463-7", 80, "kg"), stranger).got


@pytest.mark.parametrize("ref", ["Patient/p1", "https://fhir.example.org/r4/Patient/p1/_history/3"])
def test_the_same_patient_under_another_reference_is_taken(ref: str) -> None:
    record = read_bundle(bundle(patient(), observation("8302-2", 172, "cm", subject={"reference": ref})))
    assert record.number("height_cm") == 172


def test_a_patient_named_by_a_urn_is_taken() -> None:
    data = bundle(observation("8302-2", 172, "cm", subject={"reference": "urn:uuid:0-1"}))
    data["entry"].append({"fullUrl": "urn:uuid:0-1", "resource": {"resourceType": "Patient", "gender": "male"}})
    assert read_bundle(data).text("sex") == "male"


@pytest.mark.parametrize("dates", [("2026-05-02", "2026-05-01"), ("2026-05-01T10:00:00Z", "2026-05-01T09:59:00Z")])
@pytest.mark.parametrize("newest_first", [True, False])
def test_the_newest_value_counts(dates: tuple[str, str], newest_first: bool) -> None:
    values = [observation("6301-6", 1.2, "1", dates[0]), observation("6301-6", 1.9, "1", dates[1])]
    record = read_bundle(bundle(*(values if newest_first else values[::-1])))
    assert record.number("inr") == 1.2
    assert "older values not used: 1 inr" in record.remarks


def test_times_are_compared_across_time_zones() -> None:
    later, earlier = "2026-05-01T08:00:00-05:00", "2026-05-01T12:00:00+02:00"
    record = read_bundle(bundle(observation("6301-6", 1.2, "1", earlier), observation("6301-6", 1.9, "1", later)))
    assert record.number("inr") == 1.9


@pytest.mark.parametrize(
    "dates",
    [("2026-05-01", "2026-05-01"), ("2026-05-01", "2026-05-01T10:00:00Z"), ("2026-05", "2026-05-20"), (None, None)],
)
def test_different_values_of_one_time_are_refused(dates: tuple[str | None, str | None]) -> None:
    error = refusal(observation("6301-6", 1.2, "1", dates[0]), observation("6301-6", 1.9, "1", dates[1]))
    assert error.what.endswith("inr cannot be used")
    assert "1.2 ratio and 1.9 ratio at the same time" in error.got


def test_the_same_value_twice_is_no_contradiction() -> None:
    assert read_bundle(bundle(observation("6301-6", 1.2, "1"), observation("6301-6", 1.2, "1"))).number("inr") == 1.2


def test_a_dated_value_counts_before_one_without_date() -> None:
    record = read_bundle(bundle(observation("6301-6", 1.9, "1", None), observation("6301-6", 1.2, "1", "2020-01-01")))
    assert record.number("inr") == 1.2


def test_a_month_is_kept_as_it_was_written() -> None:
    note = read_bundle(bundle(observation("6301-6", 1.2, "1", "2026-05"))).facts()["inr"].note
    assert note == "from FHIR Observation, LOINC 6301-6, dated 2026-05"


@pytest.mark.parametrize("written", ["2026-05-01", "2026-05", "2026", "2026-05-01T10:00:00Z", "2026-12", "9999-12-30"])
def test_a_fhir_date_spans_what_it_leaves_open(written: str) -> None:
    span = when(written)
    assert span is not None
    assert span.start <= span.end
    assert (span.end - span.start).days in ((365, 364) if len(written) == 4 else (30,) if len(written) == 7 else (0,))


@pytest.mark.parametrize("written", ["yesterday", "2026-02-30", "2026-5-1", "2026-05-01 10:00", "2026-05-01T25:00:00Z"])
def test_what_is_no_fhir_date_is_refused_by_field(written: str) -> None:
    assert when(written) is None
    assert refusal(observation("6301-6", 1.2, "1", written)).what.endswith("inr cannot be used")


@pytest.mark.parametrize("status", ["registered", "preliminary", "cancelled", "entered-in-error", "unknown"])
def test_only_final_observations_count(status: str) -> None:
    record = read_bundle(bundle(observation("6301-6", 1.2, "1", status=status)))
    assert record.entries == ()
    assert record.remarks == ("1 resource not used: 1 Observation",)


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_amended_and_corrected_observations_count(status: str) -> None:
    assert read_bundle(bundle(observation("6301-6", 1.2, "1", status=status))).number("inr") == 1.2


# -------------------------------------------------------------------------------------------------------- units, codes


@pytest.mark.parametrize(
    ("code", "unit", "field"),
    [
        ("1975-2", "umol/L", "bilirubin"),  # mass per volume by its code, substance by its unit
        ("14631-6", "mg/dL", "bilirubin"),
        ("54347-0", "g/L", "albumin"),
        ("54347-0", "umol/L", "albumin"),
        ("1975-2", "mg/L", "bilirubin"),
        ("8302-2", "[in_i]", "height_cm"),
        ("29463-7", "[lb_av]", "weight_kg"),
        ("29463-7", "", "weight_kg"),
        ("6301-6", "s", "inr"),
    ],
)
def test_a_unit_that_does_not_fit_its_code_is_refused(code: str, unit: str, field: str) -> None:
    error = refusal(observation(code, 30, unit))
    assert error.what.endswith(f"{field}.unit cannot be used")
    assert f"LOINC {code}" in error.got
    assert repr(unit) in error.got


def test_a_unit_and_its_text_that_differ_are_refused() -> None:
    resource = observation("1751-7", 4.1, "g/dL")
    resource["valueQuantity"]["unit"] = "g/L"
    assert "g/dL / g/L" in refusal(resource).got


def test_codes_of_two_fields_are_refused() -> None:
    resource = observation("8302-2", 100, "cm") | {"code": concept(LOINC, "8302-2", "29463-7")}
    assert "height_cm and weight_kg" in refusal(resource).got


def test_codes_that_disagree_about_the_unit_are_refused() -> None:
    resource = observation("1975-2", 12, "umol/L") | {"code": concept(LOINC, "1975-2", "14631-6")}
    assert refusal(resource).what.endswith("bilirubin.unit cannot be used")


def test_a_local_code_beside_the_known_one_does_no_harm() -> None:
    resource = observation("8302-2", 172, "cm")
    resource["code"]["coding"].append({"system": "urn:clinic", "code": "HEIGHT"})
    assert read_bundle(bundle(resource)).number("height_cm") == 172


def test_a_code_of_another_system_is_not_taken_for_loinc() -> None:
    resource = observation("8302-2", 172, "cm") | {"code": concept("urn:clinic", "8302-2")}
    assert read_bundle(bundle(resource)).remarks == ("1 resource not used: 1 Observation",)


@pytest.mark.parametrize(
    ("code", "value", "unit", "field", "expected"),
    [
        ("8302-2", 1.72, "m", "height_cm", 172),
        ("29463-7", 80500, "g", "weight_kg", 80.5),
        ("6301-6", 1.2, "{INR}", "inr", 1.2),
        ("89247-1", 1, "{score}", "ecog", 1),
    ],
)
def test_a_stated_unit_is_converted(code: str, value: float, unit: str, field: str, expected: float) -> None:
    assert read_bundle(bundle(observation(code, value, unit))).number(field) == expected


def test_a_bound_is_no_value() -> None:
    resource = observation("14631-6", 3, "umol/L")
    resource["valueQuantity"]["comparator"] = "<"
    assert "of < 3" in refusal(resource).got


def test_a_value_out_of_range_is_refused_by_its_field() -> None:
    assert refusal(observation("8302-2", 17.2, "cm")).what.endswith("height_cm cannot be used")


@pytest.mark.parametrize("value", ["34", True, None, [34], float("nan")])
def test_what_is_no_number_is_refused(value: object) -> None:
    resource = observation("14631-6", 3, "umol/L")
    resource["valueQuantity"]["value"] = value
    assert refusal(resource).what.endswith("bilirubin cannot be used")


def test_an_observation_without_value_is_not_used() -> None:
    resource = coded("14631-6", dataAbsentReason=concept("urn:x", "unknown"))
    assert read_bundle(bundle(resource)).remarks == ("1 resource not used: 1 Observation",)


@pytest.mark.parametrize(
    ("system", "codes"),
    [
        (LOINC, ["LA9622-7", "LA9623-5", "LA9624-3", "LA9625-0", "LA9626-8", "LA9627-6"]),
        (SNOMED, ["425389002", "422512005", "422894000", "423053003", "423237006", "423409001"]),
    ],
)
def test_ecog_as_a_coded_answer(system: str, codes: list[str]) -> None:
    for grade, code in enumerate(codes):
        resource = coded("89247-1", valueCodeableConcept=concept(system, code))
        assert read_bundle(bundle(resource)).number("ecog") == grade


def test_asa_as_a_coded_answer() -> None:
    resource = coded("", valueCodeableConcept=concept(SNOMED, "413497009")) | {"code": concept(SNOMED, "413347006")}
    assert read_bundle(bundle(resource)).number("asa") == 3


@pytest.mark.parametrize(
    "value",
    [{"valueString": "1"}, {"valueCodeableConcept": concept(LOINC, "LA4489-6")}, {"valueBoolean": True}],
)
def test_an_answer_that_is_not_known_is_refused(value: dict[str, Any]) -> None:
    assert refusal(coded("89247-1", **value)).what.endswith("ecog cannot be used")


# -------------------------------------------------------------------------------------------------------- the leftovers


def test_what_is_not_used_is_counted() -> None:
    others = [{"resourceType": "Encounter"}, {"resourceType": "Encounter"}, {"resourceType": "Claim"}]
    record = read_bundle(bundle(*others, observation("8302-2", 172, "cm")))
    assert record.remarks == ("3 resources not used: 1 Claim, 2 Encounter",)


def test_the_codes_belong_to_fields_of_the_record() -> None:
    for meaning in (*OBSERVATIONS.values(), *CONDITIONS.values()):
        assert meaning.name in RECORD_FIELDS
    for measured in OBSERVATIONS.values():
        assert {unit for unit, _ in measured.units.values()} <= set(RECORD_FIELDS[measured.name].units)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "id",
    "status",
    "code",
    "subject",
    "patient",
    "birthDate",
    "gender",
    "valueQuantity",
    "valueInteger",
    "valueCodeableConcept",
    "effectiveDateTime",
    "effectivePeriod",
    "performer",
    "verificationStatus",
    "clinicalStatus",
    "severity",
    "recordedDate",
    "asserter",
    "reasonCode",
    "reasonReference",
    "policy",
    "dateTime",
]
KINDS = ("Patient", "Observation", "Condition", "Procedure", "Consent", "Other")
CODES = [concept(LOINC, "8302-2"), concept(SNOMED, "389026000"), concept(SNOMED, "367336001")]


@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), JUNK), st.sampled_from(CODES)))
)
def test_damaged_resources_are_read_or_refused_and_never_crash(parts: list[tuple[str, dict[str, Any], Any]]) -> None:
    resources = [{"status": "final", "code": code, **fields, "resourceType": kind} for kind, fields, code in parts]
    try:
        record = read_bundle(bundle(*resources))
        assert parse_record(record.to_json()) == record
    except ClinicalError:
        pass


@given(JUNK)
def test_a_bundle_of_junk_is_an_empty_record(junk: Any) -> None:
    assert read_bundle({"resourceType": "Bundle", "entry": junk}).entries == ()

"""The clinical record: what is taken, what is refused, where a value comes from, and what a blank means."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest
from clinical_records import RECORDS
from hypothesis import given

from liverplan.clinical import RECORD_FIELDS, ClinicalRecord, Lab, Provenance, in_unit, parse_record
from liverplan.clinical.fields import UNIT_SPELLINGS, Field, FieldType
from liverplan.errors import ClinicalError
from liverplan.liver_volume import BodySize
from liverplan.protocol import FIELDS
from liverplan.quantity import Unknown

LABS = ("bilirubin", "albumin")


def test_every_field_of_the_vocabulary_is_taken_except_the_computed_score() -> None:
    assert set(FIELDS) - set(RECORD_FIELDS) == {"child_pugh_score"}
    assert [name for name in FIELDS if name in RECORD_FIELDS] == list(RECORD_FIELDS)


def test_values_have_types() -> None:
    record = parse_record(
        {
            "ecog": 1.0,
            "sex": "female",
            "prior_chemotherapy": False,
            "bilirubin": {"value": 12, "unit": "umol/L"},
            "scan_date": "2026-05-04",
        }
    )
    assert record.number("ecog") == 1
    assert isinstance(record.number("ecog"), int)
    assert record.text("sex") == "female"
    assert record.flag("prior_chemotherapy") is False
    assert record.lab("bilirubin") == Lab(12, "umol/L")
    assert record.day("scan_date") == date(2026, 5, 4)
    assert (
        record.number("asa") is record.text("ascites") is record.flag("consent_signed") is record.lab("albumin") is None
    )


def test_an_entry_carries_who_when_and_from_where() -> None:
    record = parse_record({"ecog": {"value": 1, "date": "2026-05-01", "by": "Dr Weber", "source": "clinic letter"}})
    entry = record.known("ecog")
    assert entry is not None
    assert entry.provenance == Provenance(date(2026, 5, 1), "Dr Weber", "clinic letter")
    assert record.facts()["ecog"].note == "by Dr Weber, 2026-05-01, from clinic letter"


@pytest.mark.parametrize("blank", [None, "unknown", {"value": None}, {"value": "unknown"}])
@pytest.mark.parametrize("name", RECORD_FIELDS)
def test_a_blank_in_any_field_is_as_if_it_were_not_there(name: str, blank: Any) -> None:
    assert parse_record({name: blank}) == ClinicalRecord()


def test_who_stated_that_a_value_is_not_known_is_kept_and_no_fact_comes_of_it() -> None:
    record = parse_record({"ecog": {"value": None, "by": "Dr Weber"}})
    assert record.known("ecog") is None
    assert record.facts() == {}
    assert record.remarks == ("ecog: stated as unknown (by Dr Weber)",)


@pytest.mark.parametrize(("spelling", "unit"), UNIT_SPELLINGS.items())
def test_unambiguous_spellings_of_a_unit_are_taken(spelling: str, unit: str) -> None:
    name, value = ("bilirubin", 20) if unit in RECORD_FIELDS["bilirubin"].units else ("albumin", 6)
    assert parse_record({name: {"value": value, "unit": spelling}}).lab(name) == Lab(value, unit)


def test_a_unit_that_is_the_fields_own_may_be_said() -> None:
    assert parse_record({"height_cm": {"value": 172, "unit": "cm"}}) == parse_record({"height_cm": 172})


NUMERIC = [spec for spec in RECORD_FIELDS.values() if spec.ranges]


@pytest.mark.parametrize(
    ("spec", "unit"), [(s, u) for s in NUMERIC for u in s.units], ids=lambda x: getattr(x, "name", x)
)
def test_the_ends_of_a_range_are_taken_and_what_lies_beyond_is_refused(spec: Field, unit: str) -> None:
    believed = spec.ranges[unit]
    step = 1 if spec.type is FieldType.INTEGER else 1e-6
    for value in (believed.low, believed.high):
        assert parse_record({spec.name: {"value": value, "unit": unit}}).number(spec.name) == value
    for value in (believed.low - step, believed.high + step):
        with pytest.raises(ClinicalError, match=f"{spec.name} cannot be used") as refusal:
            parse_record({spec.name: {"value": value, "unit": unit}})
        assert f"{believed.low:g} to {believed.high:g}" in refusal.value.wanted


@pytest.mark.parametrize("spec", NUMERIC, ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    "value", [True, "1", "1,5", math.nan, math.inf, -math.inf, 10**400, [1], date(2026, 5, 1)], ids=str
)
def test_what_is_no_number_is_refused(spec: Field, value: object) -> None:
    with pytest.raises(ClinicalError, match=spec.name):
        parse_record({spec.name: {"value": value, "unit": spec.units[0]}})


@pytest.mark.parametrize("name", [name for name, spec in RECORD_FIELDS.items() if spec.type is FieldType.FLAG])
@pytest.mark.parametrize("value", [0, 1, "true", "yes", ""])
def test_a_flag_is_true_or_false_and_nothing_else(name: str, value: object) -> None:
    with pytest.raises(ClinicalError, match="wanted true or false"):
        parse_record({name: value})


@pytest.mark.parametrize("name", LABS)
@pytest.mark.parametrize("given_value", [12, {"value": 12}, {"value": 12, "unit": None}])
def test_a_lab_value_without_unit_is_refused(name: str, given_value: object) -> None:
    with pytest.raises(ClinicalError, match=f"{name} cannot be used: got 12 without a unit"):
        parse_record({name: given_value})


def test_a_value_that_fits_the_other_unit_is_refused_with_a_hint_and_not_converted() -> None:
    with pytest.raises(ClinicalError) as refusal:
        parse_record({"albumin": {"value": 41, "unit": "g/dL"}})
    assert refusal.value.do == "Correct the value, or its unit if it is in g/L."


def test_a_decimal_comma_is_named() -> None:
    with pytest.raises(ClinicalError, match="Write decimals with a point"):
        parse_record({"inr": "1,1"})


@pytest.mark.parametrize(("wrong", "right"), [("ecgo", "ecog"), ("age", "age_years"), ("weight", "weight_kg")])
def test_an_unknown_field_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(ClinicalError) as refusal:
        parse_record({wrong: 1})
    assert refusal.value.wanted.startswith(f"{right} (did you mean this?)")


def test_an_unknown_key_of_an_entry_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ClinicalError, match=r"ecog\.sorce .*wanted source \(did you mean this\?\)"):
        parse_record({"ecog": {"value": 1, "sorce": "letter"}})


@pytest.mark.parametrize("day", ["2026-02-30", "2026-5-1", "20260501", "1926-05-01", "2026-05-01T10:00", 20260501, ""])
def test_what_is_no_day_is_refused(day: object) -> None:
    with pytest.raises(ClinicalError, match="scan_date cannot be used"):
        parse_record({"scan_date": day})


def test_surgery_on_the_day_of_the_scan_is_taken_and_before_it_refused() -> None:
    same = {"scan_date": "2026-05-04", "planned_surgery_date": "2026-05-04"}
    assert parse_record(same).days_to_surgery == 0
    with pytest.raises(ClinicalError, match="planned_surgery_date cannot be used"):
        parse_record(same | {"planned_surgery_date": "2026-05-03"})


def test_days_to_surgery_span_a_leap_day() -> None:
    assert parse_record({"scan_date": "2028-02-28", "planned_surgery_date": "2028-03-01"}).days_to_surgery == 2


def test_without_both_dates_the_days_are_unknown_and_the_reason_names_what_is_missing() -> None:
    assert parse_record({"scan_date": "2026-05-04"}).days_to_surgery == Unknown("planned_surgery_date is not recorded")
    assert ClinicalRecord().days_to_surgery == Unknown("scan_date and planned_surgery_date are not recorded")


def test_body_size_and_ecog_in_words() -> None:
    record = parse_record({"height_cm": 172, "ecog": 0})
    assert record.body_size == BodySize(172, None)
    assert record.ecog_wording == "fully active"
    assert ClinicalRecord().ecog_wording == Unknown("ecog is not recorded")


def test_units_convert_both_ways_and_only_where_they_measure_the_same() -> None:
    assert in_unit(Lab(2.0, "mg/dL"), "umol/L") == Lab(34.2, "umol/L")
    assert in_unit(Lab(35, "g/L"), "g/dL") == Lab(3.5, "g/dL")
    with pytest.raises(ValueError, match="g/L does not convert to umol/L"):
        in_unit(Lab(35, "g/L"), "umol/L")


def test_a_field_that_does_not_exist_cannot_be_asked_for() -> None:
    with pytest.raises(KeyError):
        ClinicalRecord().number("ecgo")


# ------------------------------------------------------------------------------------------------- any record at all


@given(RECORDS)
def test_a_record_written_as_json_loads_as_the_same_record(data: dict[str, Any]) -> None:
    record = parse_record(data)
    assert parse_record(record.to_json()) == record
    assert record.to_json() == parse_record(record.to_json()).to_json()


@given(RECORDS)
def test_facts_hold_only_what_was_given_or_derived(data: dict[str, Any]) -> None:
    record = parse_record(data)
    derived = {"child_pugh_score", "liver_metastases_before_chemotherapy"}
    known = {entry.name for entry in record.entries if not isinstance(entry.value, Unknown)}
    assert known <= set(record.facts()) <= known | derived <= set(FIELDS)

"""A record from one row of a table of cases."""

from __future__ import annotations

import pytest
from clinical_records import RECORDS
from hypothesis import given

from liverplan.clinical import ROW_COLUMNS, ClinicalRecord, Lab, parse_record, record_from_row
from liverplan.errors import ClinicalError
from liverplan.quantity import Unknown


def test_cells_are_read_by_the_type_of_their_column() -> None:
    row = {
        "case_id": "007",
        "age_years": "64",
        "weight_kg": " 80.5 ",
        "prior_chemotherapy": "Yes",
        "consent_signed": "FALSE",
        "ascites": "none",
        "bilirubin": "12",
        "bilirubin_unit": "umol/L",
        "scan_date": "2026-05-04",
        "ecog": "",
        "asa": "unknown",
        "albumin": "",
        "albumin_unit": "g/L",
    }
    record = record_from_row(row)
    assert record == parse_record(
        {
            "case_id": "007",
            "age_years": 64,
            "weight_kg": 80.5,
            "prior_chemotherapy": True,
            "consent_signed": False,
            "ascites": "none",
            "bilirubin": {"value": 12, "unit": "umol/L"},
            "scan_date": "2026-05-04",
        }
    )


@pytest.mark.parametrize(
    ("cell", "value"), [("true", True), ("Yes", True), ("TRUE", True), ("false", False), ("No", False), ("no", False)]
)
def test_yes_and_no_are_read_in_any_case(cell: str, value: bool) -> None:
    assert record_from_row({"consent_signed": cell}).flag("consent_signed") is value


def test_an_empty_row_is_an_empty_record() -> None:
    assert record_from_row(dict.fromkeys(ROW_COLUMNS, "")) == ClinicalRecord()


@pytest.mark.parametrize(
    ("column", "cell", "wanted"),
    [
        ("inr", "1,1", "0.5 to 20"),
        ("inr", "0x1", "0.5 to 20"),
        ("inr", "nan", "0.5 to 20"),
        ("inr", "1_0", "0.5 to 20"),
        ("inr", "1e400", "0.5 to 20"),
        ("ecog", "1.5", "a whole number"),
        ("consent_signed", "1", "true or false"),
        ("consent_signed", "n", "true or false"),
        ("bilirubin", "12", "unit"),
        ("sex", "f", "female"),
        ("scan_date", "4.5.2026", "2026-05-01"),
        ("ecgo", "1", "ecog (did you mean this?)"),
        ("bilirubin_units", "mg/dL", "bilirubin_unit (did you mean this?)"),
    ],
)
def test_a_cell_that_does_not_fit_is_refused_by_its_column(column: str, cell: str, wanted: str) -> None:
    with pytest.raises(ClinicalError) as refusal:
        record_from_row({column: cell})
    assert column in refusal.value.what
    assert wanted in refusal.value.wanted


def test_a_lab_is_read_in_its_units_column() -> None:
    assert record_from_row({"albumin": "4.1", "albumin_unit": "g/dL"}).lab("albumin") == Lab(4.1, "g/dL")


@given(RECORDS)
def test_a_row_says_the_same_as_a_file(data: dict[str, object]) -> None:
    """Without provenance, which a row does not carry, and with text as a table trims it."""
    record = parse_record(data)
    row, plain = {}, {}
    for entry in record.entries:
        if isinstance(entry.value, Unknown) or entry.name == "case_id":
            continue
        row[entry.name] = str(entry.value)
        is_lab = entry.name in ("bilirubin", "albumin")
        plain[entry.name] = {"value": entry.value, "unit": entry.unit} if is_lab else entry.value
        row |= {f"{entry.name}_unit": str(entry.unit)} if is_lab else {}
    assert record_from_row(row) == parse_record(plain)

"""The schema takes what the loader takes and refuses what it refuses, as far as a schema can see."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from clinical_records import RECORDS
from hypothesis import given

from liverplan.cli.schema import shipped
from liverplan.clinical import RECORD_FIELDS, parse_record, schema_text, template_text
from liverplan.clinical.fields import FieldType
from liverplan.errors import ClinicalError

SCHEMA = json.loads(schema_text())
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_and_ships_as_clinical() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert "clinical" in shipped()


def test_it_knows_the_fields_in_their_order() -> None:
    assert list(SCHEMA["properties"]) == list(RECORD_FIELDS)


@given(RECORDS)
def test_what_the_loader_takes_fits_the_schema(data: dict[str, Any]) -> None:
    CHECK.validate(data)
    CHECK.validate(parse_record(data).to_json())


def beyond() -> list[tuple[str, Any]]:
    """A little outside each range, in each unit."""
    cases = []
    for spec in RECORD_FIELDS.values():
        for unit, believed in spec.ranges.items():
            step = 1 if spec.type is FieldType.INTEGER else 1e-6
            cases += [(spec.name, {"value": v, "unit": unit}) for v in (believed.low - step, believed.high + step)]
    return cases


REFUSED: list[tuple[str, Any]] = [
    *beyond(),
    ("ecgo", 1),
    ("child_pugh_score", 5),
    ("ecog", 1.5),
    ("ecog", "1"),
    ("ecog", True),
    ("ecog", [1]),
    ("ecog", {}),
    ("ecog", {"by": "Dr Weber"}),
    ("ecog", {"value": 1, "form": "letter"}),
    ("ecog", {"value": 1, "date": "May 2026"}),
    ("ecog", {"value": 1, "by": 7}),
    ("ecog", {"value": 1, "by": ""}),
    ("ecog", {"value": 1, "unit": "points"}),
    ("ecog", {"value": {"value": 1}}),
    ("bilirubin", 12),
    ("bilirubin", {"value": 12}),
    ("bilirubin", {"value": 12, "unit": None}),
    ("bilirubin", {"value": 12, "unit": "mmol/L"}),
    ("albumin", {"value": 41, "unit": "g/dL"}),
    ("consent_signed", "yes"),
    ("consent_signed", 1),
    ("ascites", "no"),
    ("ascites", {"value": "none", "unit": "L"}),
    ("case_id", 7),
    ("case_id", " "),
    ("case_id", "two\nlines"),
    ("case_id", "x" * 201),
    ("scan_date", "01.05.2026"),
    ("scan_date", "2026-13-01"),
    ("scan_date", "1926-05-01"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda x: str(x)[:40])
def test_what_the_schema_refuses_the_loader_refuses(name: str, value: Any) -> None:
    assert not CHECK.is_valid({name: value})
    with pytest.raises(ClinicalError):
        parse_record({name: value})


def test_the_template_is_an_empty_record() -> None:
    assert yaml.safe_load(template_text()) is None


def test_the_template_names_every_field_once_with_a_value_that_loads() -> None:
    lines = [line.removeprefix("#") for line in template_text().splitlines() if line[:1] == "#" and line[1:2].isalpha()]
    given_fields = [yaml.load(line, yaml.BaseLoader) for line in lines]
    names = [name for one in given_fields for name in one]
    assert sorted(names) == sorted(RECORD_FIELDS)
    for line in lines:
        data = json.loads(json.dumps(yaml.safe_load(line), default=str))
        assert len(parse_record(data).entries) == 1
        CHECK.validate(data)


def test_the_template_says_each_unit_choice_and_range() -> None:
    lines = {line.split(":")[0].lstrip("#"): line for line in template_text().splitlines()}
    for name, spec in RECORD_FIELDS.items():
        for choice in spec.term.choices:
            assert choice in lines[name]
        for unit, believed in spec.ranges.items():
            assert f"{believed.high:g}" in lines[name]
            assert unit in lines[name] or spec.type is not FieldType.LAB

"""The fields of the clinical record: names, titles and units from the protocol vocabulary, here with type and range.

A range says what can be true of a living adult; a value outside it is a slip of the pen or of the unit and is refused.

| field | range | why |
|---|---|---|
| age_years, height_cm, weight_kg | 0-120, 100-220, 30-200 | the project's clinical reference, section 5.4 |
| ecog, asa, encephalopathy_grade | 0-5, 1-5, 0-4 | the scales themselves (Oken 1982, ASA, West Haven) |
| bilirubin | 0.1-60 mg/dL, 1.7-1026 umol/L | what is detected, up to the most severe jaundice; the same x 17.1 |
| albumin | 0.5-7 g/dL, 5-70 g/L | the same x 10, so that neither fits under the other's unit |
| inr | 0.5-20 | faster clotting is not seen, more is not measured |
| pt_prolongation_s | -5-120 | a little faster than the control to unclottable |
| metastases | 0-200 | more are not counted one by one |
| primary_interval_weeks | 0-104 | a plan for later than two years is none |
| other_malignancy_years_since | 0-120 | as the age |
| expected_survival_months | 0-600 | fifty years |
| dates | 1980-2099 | no liver is planned on an older scan |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from liverplan.protocol.vocabulary import FIELDS, Kind, Term

FIRST_YEAR, LAST_YEAR = 1980, 2099
MAX_TEXT = 200
"""Letters of a text: names and sources, not letters to the editor."""
UNKNOWN = "unknown"
"""What stands for a blank in any field, beside null and nothing at all."""


class FieldType(Enum):
    """How a field is written."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    LAB = "lab"
    """A number that always needs its unit."""
    FLAG = "flag"
    CHOICE = "choice"
    DATE = "date"


@dataclass(frozen=True)
class Range:
    """Smallest and largest value that is believed."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Field:
    """A field of the record. ranges: what is believed, by canonical unit; the first unit is the one that counts."""

    term: Term
    type: FieldType
    ranges: Mapping[str, Range] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.term.name

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(self.ranges)


UNIT_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "mg/dl": "mg/dL",
        "umol/l": "umol/L",
        "\u00b5mol/L": "umol/L",  # micro sign
        "\u00b5mol/l": "umol/L",
        "\u03bcmol/L": "umol/L",  # Greek mu, which looks the same
        "\u03bcmol/l": "umol/L",
        "g/dl": "g/dL",
        "g/l": "g/L",
    }
)
"""Other spellings of a unit that cannot mean anything else."""

_LABS: Mapping[str, Mapping[str, Range]] = {
    "bilirubin": {"mg/dL": Range(0.1, 60.0), "umol/L": Range(1.7, 1026.0)},
    "albumin": {"g/dL": Range(0.5, 7.0), "g/L": Range(5.0, 70.0)},
}
_INTEGERS: Mapping[str, Range] = {
    "ecog": Range(0, 5),
    "asa": Range(1, 5),
    "encephalopathy_grade": Range(0, 4),
    "liver_metastases_current": Range(0, 200),
    "liver_metastases_before_chemotherapy": Range(0, 200),
}
_NUMBERS: Mapping[str, Range] = {
    "age_years": Range(0, 120),
    "height_cm": Range(100, 220),
    "weight_kg": Range(30, 200),
    "primary_interval_weeks": Range(0, 104),
    "inr": Range(0.5, 20),
    "pt_prolongation_s": Range(-5, 120),
    "other_malignancy_years_since": Range(0, 120),
    "expected_survival_months": Range(0, 600),
}
_DATES = ("scan_date", "planned_surgery_date")
_TYPES = {Kind.FLAG: FieldType.FLAG, Kind.CHOICE: FieldType.CHOICE, Kind.RAW: FieldType.TEXT}


def _field(term: Term) -> Field:
    if term.name in _LABS:
        return Field(term, FieldType.LAB, _LABS[term.name])
    if term.kind is Kind.NUMBER:
        integer = term.name in _INTEGERS
        believed = (_INTEGERS if integer else _NUMBERS)[term.name]
        return Field(term, FieldType.INTEGER if integer else FieldType.NUMBER, {str(term.unit): believed})
    return Field(term, FieldType.DATE if term.name in _DATES else _TYPES[term.kind])


DERIVED = tuple(term.name for term in FIELDS.values() if term.derived_from)
"""Fields of the vocabulary that are computed here and cannot be given."""

RECORD_FIELDS: Mapping[str, Field] = MappingProxyType(
    {name: _field(term) for name, term in FIELDS.items() if name not in DERIVED}
)
"""Every field that a record may hold, in the vocabulary's order."""


_WORDLESS = ("ratio", "grade", "class", "count")


def with_unit(text: str, unit: str | None) -> str:
    """A number and its unit; ratios, grades, classes and counts stand alone."""
    return text if unit is None or unit in _WORDLESS else f"{text} {unit}"


def canonical_unit(unit: str) -> str:
    """The unit under its usual spelling; one that is not known stays as it is."""
    return UNIT_SPELLINGS.get(unit, unit)

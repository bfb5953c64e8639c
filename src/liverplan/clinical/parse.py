"""Plain data (of a YAML or JSON file, a table, a bundle) as a clinical record, or a refusal that names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NoReturn

from liverplan.clinical.entries import Entry, FieldValue, Provenance
from liverplan.clinical.fields import (
    DERIVED,
    FIRST_YEAR,
    LAST_YEAR,
    MAX_TEXT,
    RECORD_FIELDS,
    UNKNOWN,
    Field,
    FieldType,
    Range,
    canonical_unit,
    with_unit,
)
from liverplan.clinical.record import ClinicalRecord
from liverplan.errors import ClinicalError
from liverplan.protocol.tables import one_of
from liverplan.protocol.vocabulary import FIELDS
from liverplan.quantity import Unknown

KEYS = ("value", "unit", "date", "by", "source")
"""What an entry may say beside its value."""
STATED_UNKNOWN = Unknown("stated as unknown")
A_DATE = f"a date as in 2026-05-01, from {FIRST_YEAR} to {LAST_YEAR}"
A_TEXT = f"a text of 1 to {MAX_TEXT} letters in one line, in quotes"
_DO = "Correct the record; `liverplan schema clinical` prints its format."
_POINT = "Write decimals with a point, as in 1.5."
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_COMMA = re.compile(r"[0-9],[0-9]")
_SHOWN = 60
_HUGE = 1e15
"""No field comes near it. NaN and infinity do not pass the comparison either, nor integers that no float holds."""


@dataclass(frozen=True)
class Place:
    """Where a record comes from and on which line each field stands, for messages."""

    where: str = "the clinical record"
    lines: Mapping[str, int] | None = None

    def refuse(self, name: str, got: str, wanted: str, do: str = _DO) -> NoReturn:
        """Raise ClinicalError for a field (NAME or NAME.KEY)."""
        line = (self.lines or {}).get(name.split(".")[0])
        at = f", line {line}" if line else ""
        raise ClinicalError(f"{self.where}{at}: {name} cannot be used", got=got, wanted=wanted, do=do)


def parse_record(
    data: Mapping[str, object], place: Place | None = None, on_reading: tuple[str, ...] = ()
) -> ClinicalRecord:
    """The record that plain data hold: values, or objects {value, unit, date, by, source}, by field name.

    place: where the data come from. on_reading: remarks of whoever read them. null, "unknown" and an absent field are
    blank. Raises ClinicalError naming the field: an unknown name, a wrong type, a value outside its range, a unit that
    does not fit or is missing, a date that is none, dates in the wrong order.
    """
    place = place or Place()
    for name in data:
        _require_field(name, place)
    entries = (_entry(spec, data[name], place) for name, spec in RECORD_FIELDS.items() if name in data)
    record = ClinicalRecord(tuple(entry for entry in entries if entry is not None), on_reading)
    _require_order(record, place)
    return record


def show(value: object) -> str:
    """A value for a message, not longer than a line."""
    if isinstance(value, bool):
        return "true" if value else "false (in YAML an unquoted no or off is false)"
    if value is None:
        return "nothing"
    if isinstance(value, date):
        return f"{value.isoformat()} (a date)"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _require_field(name: object, place: Place) -> None:
    if name in RECORD_FIELDS:
        return
    if name in DERIVED:
        items = [" or ".join(choices) for choices in FIELDS[str(name)].derived_from]
        place.refuse(str(name), "a score, which is computed", f"its items {', '.join(items)}")
    text = name if isinstance(name, str) else repr(name)
    near = next((known for known in RECORD_FIELDS if known.startswith(f"{text}_")), text)
    place.refuse(text[:_SHOWN] or "''", "an unknown field", one_of(list(RECORD_FIELDS), near))


def _entry(spec: Field, given: object, place: Place) -> Entry | None:
    if not isinstance(given, Mapping):
        return None if _is_blank(given) else Entry(spec.name, *_value(spec, given, None, place))
    for key in given:
        if key not in KEYS:
            comma = str(key).isdigit()  # {value: 1,5} reads as the value 1 and a key 5
            place.refuse(f"{spec.name}.{key}", "an unknown key", one_of(KEYS, str(key)), _POINT if comma else _DO)
    if "value" not in given:
        place.refuse(spec.name, "no value", f"value: {wanted(spec)}; null where it is not known")
    provenance = Provenance(
        _optional_date(spec, given.get("date"), place),
        _optional_text(spec, "by", given.get("by"), place),
        _optional_text(spec, "source", given.get("source"), place),
    )
    if _is_blank(given["value"]):
        _unit(spec, given.get("unit"), place)
        return Entry(spec.name, STATED_UNKNOWN, provenance=provenance) if provenance else None
    return Entry(spec.name, *_value(spec, given["value"], given.get("unit"), place), provenance)


def _is_blank(given: object) -> bool:
    return given is None or given == UNKNOWN


def _value(spec: Field, given: object, unit: object, place: Place) -> tuple[FieldValue, str | None]:
    """The value and its unit (None for what has none)."""
    stated = _unit(spec, unit, place)
    if spec.type in (FieldType.NUMBER, FieldType.INTEGER, FieldType.LAB):
        return _number(spec, given, stated, place)
    if spec.type is FieldType.FLAG:
        return _flag(spec, given, place), None
    if spec.type is FieldType.DATE:
        return _date(spec.name, given, place), None
    return _text(spec, given, place), None


def _unit(spec: Field, unit: object, place: Place) -> str | None:
    if unit is None:
        return None
    known = canonical_unit(unit) if isinstance(unit, str) else unit
    if not spec.units:
        place.refuse(f"{spec.name}.unit", show(unit), "no unit: this field has none")
    if not isinstance(known, str) or known not in spec.units:
        place.refuse(f"{spec.name}.unit", show(unit), " or ".join(spec.units))
    return known


def _number(spec: Field, given: object, unit: str | None, place: Place) -> tuple[FieldValue, str]:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not abs(given) <= _HUGE:
        place.refuse(spec.name, show(given), wanted(spec), _POINT if _COMMA.search(str(given)) else _DO)
    if spec.type is FieldType.LAB and unit is None:
        place.refuse(spec.name, f"{given:g} without a unit", wanted(spec))
    counts = unit or spec.units[0]
    if given not in spec.ranges[counts]:
        place.refuse(
            spec.name,
            with_unit(f"{given:.12g}", counts),
            with_unit(str(spec.ranges[counts]), counts),
            _hint(spec, given, counts),
        )
    if spec.type is not FieldType.INTEGER:
        return given, counts
    if given != int(given):
        place.refuse(spec.name, show(given), wanted(spec))
    return int(given), counts


def _hint(spec: Field, given: float, unit: str) -> str:
    """What to do about a value outside its range; the other unit is offered, never taken."""
    fits = [other for other, believed in spec.ranges.items() if other != unit and given in believed]
    return f"Correct the value, or its unit if it is in {' or '.join(fits)}." if fits else _DO


def _flag(spec: Field, given: object, place: Place) -> bool:
    if not isinstance(given, bool):
        place.refuse(spec.name, show(given), wanted(spec))
    return given


def _text(spec: Field, given: object, place: Place) -> str:
    if spec.type is FieldType.CHOICE:
        if not isinstance(given, str) or given not in spec.term.choices:
            place.refuse(spec.name, show(given), one_of([*spec.term.choices, UNKNOWN], str(given)))
        return given
    return _line(spec.name, given, place)


def _line(name: str, given: object, place: Place) -> str:
    """A text of one line that says something."""
    if not isinstance(given, str) or not given.strip() or len(given) > MAX_TEXT or not given.isprintable():
        place.refuse(name, show(given), A_TEXT)
    return given


def _date(name: str, given: object, place: Place) -> date:
    day = given if isinstance(given, date) and not isinstance(given, datetime) else None
    if isinstance(given, str) and _ISO.fullmatch(given):
        try:
            day = date.fromisoformat(given)
        except ValueError:
            day = None
    if day is None or not FIRST_YEAR <= day.year <= LAST_YEAR:
        place.refuse(name, show(given), A_DATE)
    return day


def _optional_date(spec: Field, given: object, place: Place) -> date | None:
    return None if given is None else _date(f"{spec.name}.date", given, place)


def _optional_text(spec: Field, key: str, given: object, place: Place) -> str | None:
    return None if given is None else _line(f"{spec.name}.{key}", given, place)


def _require_order(record: ClinicalRecord, place: Place) -> None:
    scan, surgery = record.day("scan_date"), record.day("planned_surgery_date")
    if scan and surgery and surgery < scan:
        place.refuse("planned_surgery_date", surgery.isoformat(), f"a day not before the scan on {scan.isoformat()}")
    age, since = record.number("age_years"), record.number("other_malignancy_years_since")
    if age is not None and since is not None and since > age:
        place.refuse("other_malignancy_years_since", f"{since:g} years", f"at most the age, {age:g} years")


def wanted(spec: Field) -> str:
    """What a field takes, in words."""
    if spec.type is FieldType.LAB:
        units = ", or ".join(f"{believed} with unit: {unit}" for unit, believed in spec.ranges.items())
        return f"a number and its unit: {units}"
    if spec.type in (FieldType.NUMBER, FieldType.INTEGER):
        return _wanted_number(spec, *next(iter(spec.ranges.items())))
    words: Mapping[FieldType, Any] = {FieldType.FLAG: "true or false", FieldType.DATE: A_DATE, FieldType.TEXT: A_TEXT}
    return str(words.get(spec.type) or one_of([*spec.term.choices, UNKNOWN]))


def _wanted_number(spec: Field, unit: str, believed: Range) -> str:
    whole = spec.type is FieldType.INTEGER
    return f"a {'whole ' if whole else ''}number from {with_unit(str(believed), unit)}"

"""What is known about a case: one `Reading` per term, from the measurements and from the clinical record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from liverplan.errors import ClinicalError, UnreadableInput
from liverplan.protocol.model import Limits
from liverplan.protocol.vocabulary import FIELDS, MEASURES, Kind, Term
from liverplan.quantity import Quantity, Unknown

Value: TypeAlias = Quantity | Unknown | bool | str


@dataclass(frozen=True)
class Reading:
    """A value in the unit of its term, and what the evidence quotes with it.

    note: of a measure, what it rests on ("limited by ..."); of a recorded field, who and when ("by radiologist,
    2026-11-02"). basis: terms that the value was taken over from.
    """

    value: Value
    note: str = ""
    basis: tuple[str, ...] = ()


Measures: TypeAlias = Mapping[str, Reading | Quantity | Unknown | bool]
"""Measured terms by name; the names are those of `vocabulary.MEASURES`."""

Record: TypeAlias = Mapping[str, object]
"""Recorded fields by the names of `vocabulary.FIELDS`: plain values, or Readings whose note says who and when."""

_BEFORE, _NOW, _COUNTED = "liver_metastases_before_chemotherapy", "liver_metastases_current", "lesions.count"
NOT_MEASURED = Reading(Unknown("not measured"))
NOT_RECORDED = Reading(Unknown("not recorded"))


def readings(measures: Measures, clinical: Record) -> dict[str, Reading]:
    """Everything known, by term.

    Raises ValueError for a measure that the vocabulary does not have or of the wrong kind (an error of the caller),
    ClinicalError for a field of the record that is unknown or of the wrong type.
    """
    known = {name: _measured(name, value) for name, value in measures.items()}
    for name, value in clinical.items():
        if value is not None:
            known[name] = _recorded_reading(name, value)
    return known | _before_chemotherapy(known)


def _before_chemotherapy(known: Mapping[str, Reading]) -> dict[str, Reading]:
    """Without chemotherapy the number before it is the number of now: the stated one, else the counted one."""
    prior = known.get("prior_chemotherapy")
    if prior is None or prior.value is not False or is_known(known, _BEFORE):
        return {}
    name = _NOW if is_known(known, _NOW) else _COUNTED
    if name not in known:
        return {}
    now = known[name]
    why = "as now, because no chemotherapy was given"
    note = f"{why}; {now.note}" if now.note else why
    return {_BEFORE: Reading(now.value, note, basis=(name,))}


def is_known(known: Mapping[str, Reading], name: str) -> bool:
    """True where a term has a value."""
    return name in known and not isinstance(known[name].value, Unknown)


def reading_of(known: Mapping[str, Reading], term: Term) -> Reading:
    """The reading of a term; an absent one is unknown, never zero."""
    return known.get(term.name, NOT_MEASURED if term.is_measure else NOT_RECORDED)


def _measured(name: str, value: Reading | Quantity | Unknown | bool) -> Reading:
    if name not in MEASURES:
        raise ValueError(f"no measure is called {name!r}; there are {', '.join(MEASURES)}")
    reading = value if isinstance(value, Reading) else Reading(value)
    wanted = bool if MEASURES[name].kind is Kind.FLAG else Quantity
    if not isinstance(reading.value, (wanted, Unknown)):
        raise ValueError(f"{name} is a {wanted.__name__} or Unknown, got {reading.value!r}")
    return reading


def _recorded_reading(name: str, value: object) -> Reading:
    note = value.note if isinstance(value, Reading) else ""
    return Reading(_recorded(name, value.value if isinstance(value, Reading) else value), note)


def _recorded(name: str, value: object) -> Value:
    if name not in FIELDS:
        raise _clinical_error(name, "an unknown field", f"one of {', '.join(FIELDS)}")
    term = FIELDS[name]
    if isinstance(value, Unknown) or term.kind is Kind.RAW:
        return value if isinstance(value, Unknown) else str(value)
    if term.kind is Kind.NUMBER:
        return _recorded_number(name, value, term)
    legal: tuple[object, ...] = (True, False) if term.kind is Kind.FLAG else term.choices
    if not any(value == allowed and type(value) is type(allowed) for allowed in legal):
        raise _clinical_error(name, repr(value), f"one of {', '.join(str(v).lower() for v in legal)}")
    return value if isinstance(value, bool) else str(value)


def _recorded_number(name: str, value: object, term: Term) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _clinical_error(name, repr(value), f"a number in {term.unit}")
    return Quantity.exactly(float(value))


def _clinical_error(name: str, got: str, wanted: str) -> ClinicalError:
    return ClinicalError(
        f"the clinical record's {name} cannot be used", got=got, wanted=wanted, do="Correct the record."
    )


def measures_to_json(measures: Measures, limits: Limits) -> dict[str, Any]:
    """The measures as report.json holds them, with the protocol limits that each was measured for."""
    result = {}
    for name, value in measures.items():
        reading, term = _measured(name, value), MEASURES[name]
        result[name] = value_to_json(reading.value) | {"unit": term.unit}
        if reading.note:
            result[name]["note"] = reading.note
        if term.depends_on:
            result[name]["measured_for"] = {limit: getattr(limits, limit) for limit in term.depends_on}
    return result


def value_to_json(value: Value) -> dict[str, Any]:
    """{value, low, high} of a quantity, {value: null, reason} of an unknown, {value} of a flag or a choice."""
    if isinstance(value, Quantity):
        return {"value": value.value, "low": value.low, "high": value.high}
    if isinstance(value, Unknown):
        return {"value": None, "reason": value.reason}
    return {"value": value}


def measures_from_json(data: Mapping[str, Any], limits: Limits) -> dict[str, Reading]:
    """The measures that `measures_to_json` wrote, for a decision under `limits`.

    A measure that was made for other limits is Unknown: the imaging has to be planned again for these.
    Raises UnreadableInput naming the measure that does not read.
    """
    return {name: _measure_from_json(name, entry, limits) for name, entry in data.items()}


def _measure_from_json(name: str, entry: Any, limits: Limits) -> Reading:
    try:
        term = MEASURES[name]
        if entry.get("unit") != term.unit:
            raise ValueError(f"unit {entry.get('unit')!r}")
        stale = _other_limits(entry.get("measured_for", {}), term, limits)
        return _measured(name, Reading(stale or _value_from_json(entry, term), str(entry.get("note", ""))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableInput(
            f"the stored measure {name!r} cannot be read",
            got=f"{entry!r} ({error})",
            wanted="an entry as `liverplan plan` writes it",
            do="Plan the case again.",
        ) from error


def _other_limits(measured_for: Mapping[str, float], term: Term, limits: Limits) -> Unknown | None:
    for limit in term.depends_on:
        was, asked = measured_for[limit], getattr(limits, limit)
        if was != asked:
            return Unknown(f"measured for {limit} {was:g}, and this protocol asks for {asked:g}: plan the case again")
    return None


def _value_from_json(entry: Mapping[str, Any], term: Term) -> Value:
    value = entry["value"]
    if value is None:
        return Unknown(str(entry["reason"]))
    if term.kind is Kind.FLAG:
        if not isinstance(value, bool):
            raise ValueError("not true or false")
        return value
    return Quantity(float(value), float(entry["low"]), float(entry["high"]))

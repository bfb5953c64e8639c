"""What the clinical record adds to report.json: the record itself, and shares of standardised liver volumes.

It works on the report and not on the plan: deciding again with another record gives what planning with it gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from liverplan.clinical import RECORD_FIELDS, ChildPugh, ClinicalRecord, parse_record
from liverplan.errors import ProtocolError, UnreadableInput
from liverplan.liver_volume import (
    BodySize,
    StandardVolume,
    bsa_dubois_m2,
    bsa_mosteller_m2,
    discordant,
    remnant_to_weight_percent,
    standardised_flr_percent,
    standardised_volumes_ml,
)
from liverplan.protocol import Decision, Protocol, decide, measures_from_json, protocol_names
from liverplan.quantity import Measured, Quantity, Unknown

_DECIMALS = 4


def with_clinical(report: Mapping[str, Any], record: ClinicalRecord) -> dict[str, Any]:
    """The report with its clinical record, and with what follows from the body's size in the place of what stood there.

    report: as `record.to_record` makes it, or as report.json holds it.
    """
    body = record.body_size
    volumes = standardised_volumes_ml(body)
    known = {name: round(v.volume_ml, _DECIMALS) for name, v in volumes.items() if isinstance(v.volume_ml, float)}
    return {
        **report,
        "liver": {**report["liver"], "standardised_volume_ml": known or None},
        "resections": [
            row | _shares(row, volumes, body, float(report["limits"]["flr_percent"])) for row in report["resections"]
        ],
        "clinical": clinical_block(record),
    }


def decided_again(
    report: Mapping[str, Any], protocol: Protocol, record: ClinicalRecord
) -> tuple[dict[str, Any], Decision]:
    """The report under a protocol and a clinical record, from the measures that it holds.

    Raises UnreadableInput for a report that is damaged and for stored measures that do not read.
    """
    with whole_report():
        decision = decide(protocol, measures_from_json(report["measures"], protocol.limits), record.facts())
        return {**with_clinical(report, record), "eligibility": decision.to_json()}, decision


@contextmanager
def whole_report() -> Iterator[None]:
    """Turn what a damaged report.json leads to into UnreadableInput."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableInput(
            "report.json cannot be decided from again",
            got=f"{type(error).__name__}: {error}"[:200],
            wanted="a report.json as `liverplan plan` writes it",
            do="Plan the case again.",
        ) from error


def clinical_block(record: ClinicalRecord) -> dict[str, Any]:
    """`clinical` of report.json. `fields` loads again as the same record."""
    days = record.days_to_surgery
    return {
        "fields": _fields(record),
        "child_pugh": _child_pugh(record.child_pugh),
        "ecog": _plain(record.ecog_wording),
        "body_surface_m2": {
            "mosteller": _rounded(_plain(bsa_mosteller_m2(record.body_size))),
            "dubois": _rounded(_plain(bsa_dubois_m2(record.body_size))),
        },
        "days_to_surgery": _plain(days),
        "remarks": list(record.remarks),
        "remarks_on_reading": list(record.on_reading),
    }


def stored_record(report: Mapping[str, Any]) -> ClinicalRecord:
    """The clinical record that a report was decided with; an empty one where it holds none.

    Raises ClinicalError when what is stored is no record.
    """
    with whole_report():
        stored = report.get("clinical") or {}
        return parse_record(stored.get("fields", {}), on_reading=tuple(stored.get("remarks_on_reading", ())))


def protocol_of(report: Mapping[str, Any], do: str) -> str:
    """The name of the protocol that a report was decided by, when it comes with the package.

    do: what the user can do otherwise. Raises ProtocolError when it was a file of the user's own.
    """
    with whole_report():
        name = str(report["eligibility"].get("protocol"))
    if name.lower() in protocol_names():
        return name
    raise ProtocolError(
        "the report was decided by a protocol of your own",
        got=repr(name),
        wanted=f"its file, or one of {', '.join(protocol_names())}",
        do=do,
    )


def _fields(record: ClinicalRecord) -> dict[str, Any]:
    """Every field as an object; its unit is said also where the record's format leaves no choice."""
    found = {}
    for name, value in record.to_json().items():
        entry = value if isinstance(value, dict) else {"value": value}
        unit = entry.get("unit") or RECORD_FIELDS[name].term.unit
        found[name] = entry | ({"unit": unit} if unit else {})
    return found


def _child_pugh(found: ChildPugh) -> dict[str, Any]:
    nothing = len(found.missing) == len(found.items)
    grade = found.grade
    score = found.score
    return {
        "score": {"value": None, "reason": "no item is recorded"}
        if nothing
        else {"value": score.value, "low": score.low, "high": score.high},
        "grade": None if isinstance(grade, Unknown) else grade,
        "reason": grade.reason if isinstance(grade, Unknown) else "",
        "items": [{"name": item.name, "low": item.low, "high": item.high, "says": item.says} for item in found.items],
        "missing": list(found.missing),
        "near": list(found.near),
        "note": found.note,
    }


def _shares(
    row: Mapping[str, Any], volumes: Mapping[str, StandardVolume], body: BodySize, flr_limit_percent: float
) -> dict[str, Any]:
    """A resection's functional remnant over the standardised volumes and over the body's weight."""
    remnant_ml, flr = _measured(row["functional_remnant_ml"]), _measured(row["flr_percent"])
    shares = {name: standardised_flr_percent(remnant_ml, volume) for name, volume in volumes.items()}
    told = {name: discordant(flr, share, flr_limit_percent) for name, share in shares.items()}
    known = {name: round(s.value, _DECIMALS) for name, s in shares.items() if isinstance(s, Quantity)}
    blank = all(isinstance(t, Unknown) for t in told.values())
    return {
        "flr_standardised_percent": known or None,
        "flr_to_weight_percent": _json(remnant_to_weight_percent(remnant_ml, body.weight_kg)),
        "denominators_disagree": None if blank else [name for name, t in told.items() if t is True],
    }


def _measured(entry: Mapping[str, Any]) -> Measured:
    if entry["value"] is None:
        return Unknown(str(entry["reason"]))
    return Quantity(float(entry["value"]), float(entry["low"]), float(entry["high"]))


def _json(value: Measured) -> dict[str, Any]:
    if isinstance(value, Unknown):
        return {"value": None, "reason": value.reason}
    return {name: round(getattr(value, name), _DECIMALS) for name in ("value", "low", "high")}


def _plain(value: float | int | str | Unknown) -> dict[str, Any]:
    return {"value": None, "reason": value.reason} if isinstance(value, Unknown) else {"value": value}


def _rounded(entry: dict[str, Any]) -> dict[str, Any]:
    value = entry["value"]
    return entry if value is None else {"value": round(float(value), _DECIMALS)}

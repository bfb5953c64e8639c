"""The clinical record as a form: fields with their types and ranges, and a filled form decided and saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liverplan import audit
from liverplan.clinical import RECORD_FIELDS, ClinicalRecord, parse_record
from liverplan.clinical.fields import Field, FieldType
from liverplan.errors import ClinicalError
from liverplan.io.dicom_out import renew_report
from liverplan.io.fhir_report import write_fhir_report
from liverplan.io.folder import write_json_atomic
from liverplan.protocol import load_protocol
from liverplan.record_clinical import decided_again, protocol_of, stored_record
from liverplan.report import render_report
from liverplan.report.criteria import GROUPS, group_of
from liverplan.report.load import FILE, load_report

_DECIDE_THERE = "Decide with: liverplan eligibility OUT --clinical FILE --protocol FILE."

BLANK = ""
"""What an empty field of the form holds."""


def form(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields in groups by who knows them: {title, fields [{name, title, type, unit, units, choices, range}]}."""
    groups: dict[str, list[dict[str, Any]]] = {group: [] for group in GROUPS}
    for spec in RECORD_FIELDS.values():
        groups[group_of(spec.name)].append(_described(spec))
    return [{"title": title, "fields": fields} for title, fields in groups.items() if fields]


def values(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the report's record says, by field: {value, unit}; BLANK where nothing was stated."""
    stated = stored_record(report).to_json()
    return {name: _shown(spec, stated.get(name)) for name, spec in RECORD_FIELDS.items()}


def save(folder: Path, given: object) -> dict[str, Any]:
    """Decide again with the form's record, write report.json whole or not at all, render the reports; the new report.

    given: {value, unit} by field; a field that is not named stays. Who stated a value, and when, stays with every
    value that was not changed.
    Raises ClinicalError naming the field; ProtocolError for a report decided by a protocol that is not the package's;
    UnreadableInput, OutputError, ResourceError. Nothing is written then.
    """
    # What stands in the file, not what the page was opened with: another program may have written it since.
    report = load_report(folder)
    record = _record(given, stored_record(report))
    decided, _decision = decided_again(report, load_protocol(protocol_of(report, _DECIDE_THERE)), record)
    write_json_atomic(folder / FILE, decided)
    render_report(folder)
    renew_report(folder, decided)
    write_fhir_report(folder, decided)
    audit.record(folder, audit.DECIDED)
    return decided


def _described(spec: Field) -> dict[str, Any]:
    believed = spec.ranges[spec.units[0]] if spec.units else None
    lab = spec.type is FieldType.LAB
    return {
        "name": spec.name,
        "title": spec.term.title,
        "type": spec.type.value,
        "units": list(spec.units) if lab else [],
        "unit": "" if lab or not spec.units else spec.units[0],
        "choices": list(spec.term.choices),
        "range": "" if believed is None or lab else str(believed),
    }


def _shown(spec: Field, stated: Any) -> dict[str, Any]:
    entry = stated if isinstance(stated, Mapping) else {"value": stated}
    value = entry.get("value")
    unit = entry.get("unit") or (spec.units[0] if spec.units else BLANK)
    return {"value": BLANK if value is None else value, "unit": unit}


def _record(given: object, stored: ClinicalRecord) -> ClinicalRecord:
    """The stored record with what the form changed; a field that the form does not name stays."""
    before = stored.to_json()
    data: dict[str, object] = dict(before)
    for name, entry in _entries(given).items():
        spec = RECORD_FIELDS.get(name)
        if spec is None:
            # parse_record refuses it by name.
            data[name] = entry
            continue
        said = _said(spec, entry)
        if said is None:
            data.pop(name, None)
        elif said != _said(spec, _shown(spec, before.get(name))):
            data[name] = said
    return parse_record(data, on_reading=stored.on_reading)


def _entries(given: object) -> Mapping[str, Mapping[str, Any]]:
    """What the page sent, when it has a form's shape. Raises ClinicalError."""
    if isinstance(given, Mapping) and all(
        isinstance(name, str) and isinstance(entry, Mapping) for name, entry in given.items()
    ):
        return given
    raise ClinicalError(
        "what the page sent is no clinical form",
        got=type(given).__name__,
        wanted="an object {value, unit} by field",
        do="Load the page again.",
    )


def _said(spec: Field, entry: Mapping[str, Any]) -> object:
    """A form's entry as a record holds it; None for a blank. What is no number stays text, and is refused by name."""
    value = entry.get("value")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if spec.type in (FieldType.NUMBER, FieldType.INTEGER, FieldType.LAB):
        number = _number(value)
        return {"value": number, "unit": entry.get("unit")} if spec.type is FieldType.LAB else number
    return value


def _number(value: object) -> object:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value

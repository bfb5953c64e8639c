"""A plan's results as a FHIR R4 Bundle: one DiagnosticReport and an Observation per number and verdict.

It says what the DICOM structured report says (`statements`). An interval is two components, the ends of the range of
uncertainty; what could not be assessed has a dataAbsentReason and its reason as a note, never a number. The report is
preliminary: no person has confirmed it. Ids come from what they name, so that the same plan gives the same bundle.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.io import dicom_codes as codes
from liverplan.io.dicom_codes import OWN_SCHEME, Code
from liverplan.io.dicom_source import record_digest
from liverplan.io.folder import write_json_atomic
from liverplan.io.statements import Group, Number, Record, groups

FILE = "fhir/diagnostic_report.json"
OWN_SYSTEM = "urn:liverplan:measurements"
"""Codes of the package's own, the scheme 99LIVERPLAN of DICOM (docs/dicom.md lists them)."""
_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "IBSI": "urn:ibsi",
    "UCUM": "http://unitsofmeasure.org",
    OWN_SCHEME: OWN_SYSTEM,
}
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_LOINC = "http://loinc.org"
_IMAGING = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}

Resource = dict[str, Any]


def write_fhir_report(folder: Path, record: Record) -> Path:
    """Write folder/fhir/diagnostic_report.json of a report.json record. Raises OutputError, ResourceError."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, diagnostic_report(record, (Path(folder) / "report.pdf").is_file()))
    return path


def diagnostic_report(record: Record, has_pdf: bool = False) -> Resource:
    """The Bundle (type "collection"). record: what report.json holds. has_pdf: whether report.pdf lies beside it."""
    digest = record_digest(record)
    observations = [
        one | {"id": _id(digest, str(n))} for n, one in enumerate(o for g in groups(record) for o in _observations(g))
    ]
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "id": _id(digest, "report"),
        "status": "preliminary",
        "category": [{"coding": [_IMAGING]}],
        "code": {
            "coding": [{"system": _LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}],
            "text": "Liver margin report",
        },
        **_subject(record),
        "performer": [{"display": f"liverplan {__version__}"}],
        "result": [{"reference": f"urn:uuid:{one['id']}"} for one in observations],
        **_study(record),
        "conclusion": f"Wide margin {record['case']['wide_margin']}: {record['case']['reason']} {RESEARCH_USE_ONLY}",
    }
    if has_pdf:
        report["presentedForm"] = [{"contentType": "application/pdf", "url": "../report.pdf", "title": "Liver plan"}]
    return {
        "resourceType": "Bundle",
        "id": _id(digest, "bundle"),
        "type": "collection",
        "entry": [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in (report, *observations)],
    }


def _observations(group: Group) -> Iterator[Resource]:
    for number in group.numbers:
        yield _about(group, number.name, number.site) | _value(number)
    for name, verdict in group.verdicts:
        notes = {"note": [{"text": remark} for remark in group.remarks if remark]} if any(group.remarks) else {}
        yield _about(group, name, None) | {"valueCodeableConcept": _concept(verdict)} | notes


def _about(group: Group, name: Code, site: Code | None) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "preliminary",
        "code": _concept(name) | {"text": f"{group.title}: {name[2]}"},
        "bodySite": _concept(site or group.sites[0]),
        "device": {"display": f"liverplan {__version__}"},
    }


def _value(number: Number) -> Resource:
    if number.value is None:
        absent = {"coding": [{"system": _ABSENT, "code": "unknown", "display": "Unknown"}]}
        return {"dataAbsentReason": absent, "note": [{"text": number.reason or "not assessed"}]}
    value: Resource = {"valueQuantity": _quantity(number.value, number.unit)}
    ends = ((codes.LOWER_END, number.low), (codes.UPPER_END, number.high))
    components = [
        {"code": _concept(code), "valueQuantity": _quantity(end, number.unit)} for code, end in ends if end is not None
    ]
    return value | ({"component": components} if components else {})


def _quantity(value: float, unit: Code) -> Resource:
    return {"value": value, "unit": unit[0], "system": _SYSTEMS["UCUM"], "code": unit[0]}


def _concept(code: Code) -> Resource:
    return {"coding": [{"system": _SYSTEMS[code[1]], "code": code[0], "display": code[2]}]}


def _subject(record: Record) -> Resource:
    """The case by the id that the clinical record gives it; nobody where it gives none."""
    fields: Mapping[str, Any] = (record.get("clinical") or {}).get("fields", {})
    case_id = (fields.get("case_id") or {}).get("value")
    return {"subject": {"type": "Patient", "display": str(case_id)}} if case_id else {}


def _study(record: Record) -> Resource:
    series = record["input"].get("series_uid")
    if not series:
        return {}
    identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{series}"}
    return {"imagingStudy": [{"type": "ImagingStudy", "identifier": identifier, "display": "the scan's series"}]}


def _id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(("liverplan", *parts))))

"""FHIR resources of one invented patient, for tests."""

from __future__ import annotations

from typing import Any

import pytest

from liverplan.errors import ClinicalError
from liverplan.io.fhir import read_bundle

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
SUBJECT = {"reference": "Patient/p1"}


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def concept(system: str, *codes: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} for code in codes]}


def patient(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "name": [{"family": "Muster", "given": ["Maxine"]}],
        "identifier": [{"value": "MRN-4711"}],
        "address": [{"line": ["Hauptstrasse 1"]}],
        "gender": "female",
        "birthDate": "1961-06-15",
        **more,
    }


def observation(code: str, value: float, unit: str, on: str | None = "2026-05-01", **more: Any) -> dict[str, Any]:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, code),
        "subject": SUBJECT,
        "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        **more,
    }
    return resource | ({"effectiveDateTime": on} if on else {})


def coded(code: str, **value: Any) -> dict[str, Any]:
    """An Observation with another kind of value."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, code),
        "effectiveDateTime": "2026-05-01",
        **value,
    }


def condition(code: str, verification: str | None = "confirmed", **more: Any) -> dict[str, Any]:
    status = {"verificationStatus": concept(VERIFICATION, verification)} if verification else {}
    return {"resourceType": "Condition", "subject": SUBJECT, "code": concept(SNOMED, code), **status, **more}


def procedure(code: str, status: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Procedure", "subject": SUBJECT, "status": status, "code": concept(SNOMED, code), **more}


def consent(status: str = "active", study: str = "NCT06934018", **more: Any) -> dict[str, Any]:
    policy = [{"uri": f"https://clinicaltrials.gov/study/{study}"}] if study else []
    return {"resourceType": "Consent", "patient": SUBJECT, "status": status, "policy": policy, **more}


def refusal(*resources: dict[str, Any]) -> ClinicalError:
    with pytest.raises(ClinicalError) as caught:
        read_bundle(bundle(*resources))
    return caught.value

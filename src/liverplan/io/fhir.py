"""A FHIR R4 Bundle of one patient as a clinical record. What it does not carry stays unknown.

Used are Patient, Observation, Condition, Procedure and Consent, by the codes of `liverplan.clinical.codes`. Of several
values the newest counts. Nothing is guessed: a unit that does not fit its code, two different values of one time, or a
resource about somebody else is refused. The absence of a Condition is never "no"; only a refuted one is.
Names, birth dates and identifiers stay behind: the record gets the age, and of performers only professionals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from liverplan.clinical.codes import (
    ASCITES_SEVERITY,
    BOWEL_CANCER,
    BOWEL_RESECTION,
    CHEMOTHERAPY,
    CONDITIONS,
    LIVER_RESECTION,
    OBSERVATIONS,
    UCUM,
    Code,
    Measured,
    code_name,
)
from liverplan.clinical.fields import MAX_TEXT, canonical_unit
from liverplan.clinical.parse import Place, parse_record, show
from liverplan.clinical.record import ClinicalRecord
from liverplan.errors import ClinicalError
from liverplan.io.fhir_elements import Resource, When, codings, mapping, mappings, reference, text, when

_FINAL = ("final", "amended", "corrected")
_DO = "Correct the bundle, or write the field into a YAML record."
_PROFESSIONALS = ("Practitioner", "PractitionerRole", "Organization", "CareTeam")
_STUDY = re.compile(r"NCT[0-9]{8}")
_ACTIVE = ("", "active", "recurrence", "relapse")
_GIVEN = ("completed", "in-progress", "stopped")


@dataclass(frozen=True)
class Found:
    """A value of a field with its provenance. when: None where the resource has no date."""

    name: str
    value: object
    kind: str
    code: str
    when: When | None = None
    unit: str | None = None
    by: str | None = None

    def given(self) -> dict[str, object]:
        """The value as `parse_record` takes it."""
        dated = f", dated {self.when.text}" if self.when and not self.when.day else ""
        return {
            "value": self.value,
            "unit": self.unit,
            "date": self.when.day if self.when else None,
            "by": self.by,
            "source": f"FHIR {self.kind}, {self.code}{dated}",
        }


@dataclass
class _Reading:
    """What has been found so far, and what is worth a remark."""

    place: Place
    found: list[Found] = field(default_factory=list)
    unused: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def leave(self, resource: Resource, remark: str = "") -> None:
        self.unused[text(resource, "resourceType") or "unnamed"] += 1
        if remark:
            self.remarks.append(remark)


def is_bundle(data: object) -> bool:
    """True for a JSON object that says that it is a FHIR Bundle."""
    return isinstance(data, Mapping) and data.get("resourceType") == "Bundle"


def read_bundle(bundle: Mapping[str, Any], where: str = "the FHIR bundle") -> ClinicalRecord:
    """The record that a Bundle (parsed JSON) holds. `where` names it in messages.

    Raises ClinicalError for a bundle of two patients, a resource about another patient, an Observation whose unit is
    unknown or contradicts its code, values of one time that differ, and a value that a record refuses.
    """
    entries = mappings(bundle.get("entry"))
    resources = [mapping(entry.get("resource")) for entry in entries]
    _require_one_patient(entries, resources, where)
    reading = _Reading(Place(where))
    for resource in resources:
        reader = _READERS.get(text(resource, "resourceType"))
        if reader is None:
            reading.leave(resource)
        else:
            reader(resource, resources, reading)
    chosen = _newest_of_each(reading)
    data: dict[str, object] = {found.name: found.given() for found in chosen}
    data |= _age(resources, reading)
    return parse_record(data, reading.place, _remarks(reading, chosen))


# ------------------------------------------------------------------------------------------------------------- patient


def _require_one_patient(entries: Sequence[Resource], resources: Sequence[Resource], where: str) -> None:
    patients = [r for r in resources if r.get("resourceType") == "Patient"]
    if len(patients) > 1:
        _refuse(where, f"{len(patients)} patients", "the resources of one patient")
    urls = (text(e, "fullUrl") for e, r in zip(entries, resources, strict=True) if r in patients)
    known = {reference({"reference": url}) for url in urls}
    known |= {f"Patient/{text(r, 'id')}" for r in patients}
    subjects = {reference(r.get(key)) for r in resources for key in ("subject", "patient")} - {""}
    strangers = subjects - known if patients else set(sorted(subjects)[1:])
    if strangers:
        _refuse(where, f"resources about {len(strangers)} other patient(s)", "the resources of one patient")


def _patient(resource: Resource, _: Sequence[Resource], reading: _Reading) -> None:
    gender = text(resource, "gender")
    if gender and gender != "unknown":
        reading.found.append(Found("sex", gender, "Patient", "gender"))
    if resource.get("deceasedBoolean") is True or "deceasedDateTime" in resource:
        reading.remarks.append("the Patient is recorded as deceased")


def _age(resources: Sequence[Resource], reading: _Reading) -> dict[str, object]:
    """Completed years on the day of the consent, else on that of the newest value; {} where there is no such day."""
    birth = next((text(r, "birthDate") for r in resources if r.get("resourceType") == "Patient"), "")
    if not birth:
        return {}
    born = when(birth)
    if born is None or born.day is None:
        reading.remarks.append("age_years: the Patient's birthDate is not a complete date, so no age was computed")
        return {}
    on, said = _day_of_age(resources, reading.found)
    if on is None:
        reading.remarks.append("age_years: the bundle has no date on which to compute the age")
        return {}
    years = on.year - born.day.year - ((on.month, on.day) < (born.day.month, born.day.day))
    return {"age_years": {"value": years, "date": on, "source": f"FHIR Patient, computed on the day of {said}"}}


def _day_of_age(resources: Sequence[Resource], found: Iterable[Found]) -> tuple[date | None, str]:
    consents = [when(text(r, "dateTime")) for r in resources if _is_study_consent(r)]
    signed = [consent.day for consent in consents if consent and consent.day]
    if signed:
        return max(signed), "the consent"
    days = [one.when.day for one in found if one.kind == "Observation" and one.when and one.when.day]
    return (max(days), "the newest observation") if days else (None, "")


# -------------------------------------------------------------------------------------------------------- observations


def _observation(resource: Resource, _: Sequence[Resource], reading: _Reading) -> None:
    codes = [code for code in codings(resource.get("code")) if code in OBSERVATIONS]
    if not codes or text(resource, "status") not in _FINAL or not _has_value(resource):
        reading.leave(resource)
        return
    meanings = [OBSERVATIONS[code] for code in codes]
    name, code = meanings[0].name, " and ".join(map(code_name, codes))
    if any(meaning.name != name for meaning in meanings):
        others = " and ".join(sorted({meaning.name for meaning in meanings}))
        reading.place.refuse(name, f"an Observation coded as {others} ({code})", "codes of one field", _DO)
    value, unit = _observed(resource, meanings, code, reading.place)
    dated = _dated(resource, name, ("effectiveDateTime", "effectiveInstant"), "effectivePeriod", reading.place)
    reading.found.append(Found(name, value, "Observation", code, dated, unit, _professional(resource, "performer")))


def _has_value(resource: Resource) -> bool:
    return any(key.startswith("value") for key in resource)


def _observed(resource: Resource, meanings: Sequence[Measured], code: str, place: Place) -> tuple[object, str | None]:
    """The value and its unit as the record writes them; refused where it is not said beyond doubt."""
    name = meanings[0].name
    if "valueQuantity" in resource:
        return _quantity(mapping(resource["valueQuantity"]), meanings, code, place)
    if "valueInteger" in resource and all(meaning.unitless for meaning in meanings):
        return resource["valueInteger"], None
    answers = {m.answers[c] for m in meanings for c in codings(resource.get("valueCodeableConcept")) if c in m.answers}
    if len(answers) == 1:
        return answers.pop(), None
    key = next(key for key in resource if key.startswith("value"))
    return place.refuse(name, f"an Observation ({code}) with {key} {show(resource[key])}", "a value of this code", _DO)


def _quantity(quantity: Resource, meanings: Sequence[Measured], code: str, place: Place) -> tuple[object, str | None]:
    name = meanings[0].name
    value, unit = quantity.get("value"), _unit(quantity)
    if "comparator" in quantity:
        got = f"an Observation ({code}) of {text(quantity, 'comparator')} {show(value)}"
        place.refuse(name, got, "a value, not a bound", _DO)
    if not unit and all(meaning.unitless for meaning in meanings):
        return value, None
    if not all(unit in meaning.units for meaning in meanings):
        wanted = " or ".join(u for u in meanings[0].units if all(u in m.units for m in meanings))
        got = f"an Observation ({code}) with unit {unit!r}"
        place.refuse(f"{name}.unit", got, wanted or "codes that agree, with a mass per volume", _DO)
    canonical, factor = meanings[0].units[unit]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        place.refuse(name, f"an Observation ({code}) with {show(value)}", "a number", _DO)
    return (value if factor == 1.0 else round(value * factor, 6)), canonical


def _unit(quantity: Resource) -> str:
    """The UCUM code, else the unit as written; "a / b" where the two contradict each other."""
    written, code = canonical_unit(text(quantity, "unit")), canonical_unit(text(quantity, "code"))
    if text(quantity, "system") not in ("", UCUM):
        return written
    known = {unit for meaning in OBSERVATIONS.values() for unit in meaning.units}
    if code and written in known and written != code:
        return f"{code} / {written}"
    return code or written


# ---------------------------------------------------------------------------------------------------------- conditions


def _condition(resource: Resource, _: Sequence[Resource], reading: _Reading) -> None:
    codes = [code for code in codings(resource.get("code")) if code in CONDITIONS]
    status = _status(resource, "verificationStatus")
    if not codes or status == "entered-in-error":
        reading.leave(resource)
        return
    name, code = CONDITIONS[codes[0]].name, code_name(codes[0])
    if len({CONDITIONS[one].name for one in codes}) > 1:
        reading.place.refuse(name, f"a Condition coded as {' and '.join(map(code_name, codes))}", "one field", _DO)
    general = all(CONDITIONS[one].general for one in codes)
    value = _diagnosed(resource, name, status, general)
    if value is None:
        why = status or _status(resource, "clinicalStatus") or "no grade"
        reading.leave(resource, f"{name}: a Condition ({code}; {why}) does not settle it")
        return
    dated = _dated(resource, name, ("recordedDate", "onsetDateTime"), "onsetPeriod", reading.place)
    who = _professional(resource, "asserter") or _professional(resource, "recorder")
    reading.found.append(Found(name, value, "Condition", f"{code}, {status or 'listed'}", dated, by=who))


def _diagnosed(resource: Resource, name: str, status: str, general: bool) -> object:
    """What a Condition says about its field; None where it settles nothing."""
    negative = {"ascites": "none", "encephalopathy_grade": 0}.get(name, False)
    if status == "refuted":
        return negative if general else None
    if status not in ("", "confirmed"):
        return None
    if name not in ("ascites", "encephalopathy_grade"):
        return True
    if name == "encephalopathy_grade" or _status(resource, "clinicalStatus") not in _ACTIVE:
        return None
    return next((ASCITES_SEVERITY[c] for c in codings(resource.get("severity")) if c in ASCITES_SEVERITY), None)


def _status(resource: Resource, key: str) -> str:
    """The code of a status, which FHIR wraps into a CodeableConcept."""
    return next((code for _, code in codings(resource.get(key))), "")


# ------------------------------------------------------------------------------------------------ procedures, consents


def _procedure(resource: Resource, resources: Sequence[Resource], reading: _Reading) -> None:
    codes, status = set(codings(resource.get("code"))), text(resource, "status")
    if not codes & (CHEMOTHERAPY | BOWEL_RESECTION | LIVER_RESECTION):
        reading.leave(resource)
        return
    dated = _dated(resource, "a Procedure", ("performedDateTime",), "performedPeriod", reading.place)
    who = _professional(resource, "asserter") or _professional(resource, "recorder")

    def add(name: str, value: object, of: frozenset[Code]) -> None:
        code = " and ".join(sorted(map(code_name, codes & of)))
        reading.found.append(Found(name, value, "Procedure", code, dated, by=who))

    if codes & CHEMOTHERAPY and status in _GIVEN:
        add("prior_chemotherapy", True, CHEMOTHERAPY)
    elif codes & BOWEL_RESECTION and status == "completed" and _reasons(resource, resources) & BOWEL_CANCER:
        add("primary_status", "resected", BOWEL_RESECTION)
    elif codes & LIVER_RESECTION and status == "preparation" and dated and dated.day:
        add("planned_surgery_date", dated.day, LIVER_RESECTION)
    else:
        known = codes & BOWEL_RESECTION and status == "completed"
        remark = "primary_status: a bowel resection does not say that it was for the colorectal cancer" if known else ""
        reading.leave(resource, remark)


def _reasons(resource: Resource, resources: Sequence[Resource]) -> set[Code]:
    """Codes of why a Procedure was done, those of a Condition in the bundle that it refers to included."""
    found = {code for reason in mappings(resource.get("reasonCode")) for code in codings(reason)}
    cited = {reference(reason) for reason in mappings(resource.get("reasonReference"))}
    for one in resources:
        if one.get("resourceType") == "Condition" and f"Condition/{text(one, 'id')}" in cited:
            found |= set(codings(one.get("code")))
    return found


def _consent(resource: Resource, resources: Sequence[Resource], reading: _Reading) -> None:
    """A consent counts for the study that it names; one in general, or to one of several, is for a person to judge."""
    status, studies = text(resource, "status"), _studies(resource)
    value = {"active": True, "rejected": False, "inactive": False}.get(status)
    all_named = {study for one in resources if one.get("resourceType") == "Consent" for study in _studies(one)}
    if value is None or len(studies) != 1 or len(all_named) != 1:
        why = (
            "does not name one study (NCT number)"
            if len(studies) != 1
            else f"is one of several, to {', '.join(sorted(all_named))}"
        )
        reading.leave(resource, "" if value is None else f"consent_signed: a Consent {why}")
        return
    dated = _dated(resource, "consent_signed", ("dateTime",), "", reading.place)
    reading.found.append(Found("consent_signed", value, "Consent", f"{status}, to {studies[0]}", dated))
    reading.remarks.append(f"consent_signed comes from a Consent to {studies[0]}: check that this is the study")


def _studies(resource: Resource) -> list[str]:
    """Registry numbers in a Consent's policy, identifiers and category."""
    parts = [resource.get(key) for key in ("identifier", "policy", "policyRule", "category", "scope")]
    return sorted(set(_STUDY.findall(repr(parts))))


def _is_study_consent(resource: Resource) -> bool:
    named = len(_studies(resource)) == 1
    return resource.get("resourceType") == "Consent" and text(resource, "status") == "active" and named


# ------------------------------------------------------------------------------------------------------------ choosing


def _newest_of_each(reading: _Reading) -> list[Found]:
    by_field: dict[str, list[Found]] = {}
    for found in reading.found:
        by_field.setdefault(found.name, []).append(found)
    return [_newest(name, several, reading.place) for name, several in by_field.items()]


def _newest(name: str, several: Sequence[Found], place: Place) -> Found:
    """The value of the latest date; refused where another one may be as late and says something else."""
    dated = [found for found in several if found.when]
    latest = max(dated, key=lambda found: (found.when.start, found.when.end), default=several[0])  # type: ignore[union-attr]
    rivals = [f for f in dated if latest.when and f.when and f.when.end >= latest.when.start] if dated else several
    different = {(repr(found.value), found.unit) for found in rivals}
    if len(different) > 1:
        shown = " and ".join(sorted(f"{value} {unit or ''}".strip() for value, unit in different))
        at = latest.when.text if latest.when else "no date"
        place.refuse(name, f"{shown} at the same time ({at})", "one value, or dates that say which is newer", _DO)
    return latest


def _remarks(reading: _Reading, chosen: Sequence[Found]) -> tuple[str, ...]:
    remarks = list(dict.fromkeys(reading.remarks))
    older = Counter(found.name for found in reading.found) - Counter(found.name for found in chosen)
    if older:
        remarks.append(f"older values not used: {_counted(older)}")
    if reading.unused:
        total = reading.unused.total()
        remarks.append(f"{total} resource{'s' if total > 1 else ''} not used: {_counted(reading.unused)}")
    return tuple(remarks)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


# ------------------------------------------------------------------------------------------------------------ elements


def _dated(resource: Resource, name: str, keys: Sequence[str], period: str, place: Place) -> When | None:
    """The date of a resource: one of `keys`, or the start of a period. Refused where it is no FHIR dateTime."""
    written = next((text(resource, key) for key in keys if key in resource), "")
    written = written or text(mapping(resource.get(period)), "start")
    found = when(written) if written else None
    if written and found is None:
        place.refuse(name, f"the date {show(written)}", "a date as in 2026-05-01", _DO)
    return found


def _professional(resource: Resource, key: str) -> str | None:
    """Whom a resource names as its author, if that is a professional or a department; never the patient."""
    given = resource.get(key)
    for one in mappings(given) or [mapping(given)]:
        if reference(one).split("/")[0] in _PROFESSIONALS and text(one, "display").strip():
            return text(one, "display").strip()[:MAX_TEXT]
    return None


def _refuse(where: str, got: str, wanted: str) -> None:
    raise ClinicalError(f"{where} cannot be read", got=got, wanted=wanted, do="Export one patient's resources again.")


_READERS = {
    "Patient": _patient,
    "Observation": _observation,
    "Condition": _condition,
    "Procedure": _procedure,
    "Consent": _consent,
}

"""A case that is planned without its patient: what of it may reach the output folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from liverplan.clinical import ClinicalRecord, parse_record
from liverplan.io.deidentify import Disguise, Pseudonyms
from liverplan.io.dicom_source import SourceSeries
from liverplan.resection.given import GivenResection
from liverplan.volume import Volume

WITHHELD = "withheld"
"""Stands for the name of a file: names of files often name the patient."""
_DATES = ("scan_date", "planned_surgery_date")


def disguise_of(volume: Volume, source: SourceSeries | None, secret: Pseudonyms, pseudonym: str | None) -> Disguise:
    """By the scan's patient and study; by its series, or by the image itself, where no header tells them."""
    if source is not None:
        return Disguise.of(source.first, secret, pseudonym)
    stands_for = volume.facts.get("series_uid") or volume.facts.get("sha256") or ""
    return Disguise(secret, pseudonym or secret.name(stands_for), secret.shift(stands_for))


def disguised_volume(volume: Volume, disguise: Disguise) -> Volume:
    """The volume with another series UID in its facts; its sha256 stays, which only who has the image can compare."""
    facts = dict(volume.facts)
    if facts.get("series_uid"):
        facts["series_uid"] = disguise.pseudonyms.uid(facts["series_uid"])
    return replace(volume, facts=facts)


def disguised_source(source: SourceSeries, disguise: Disguise) -> SourceSeries:
    """The headers that results repeat, without the patient."""
    headers = tuple(disguise.apply(header) for header in source.headers)
    for header in headers:
        header.PatientName = ""  # kept apart, see SourceSeries
    return replace(
        source,
        headers=headers,
        frame_uid=disguise.pseudonyms.uid(source.frame_uid),
        patient_name=disguise.pseudonym,
    )


def disguised_clinical(record: ClinicalRecord, disguise: Disguise) -> ClinicalRecord:
    """The record under the pseudonym: dates moved, who said what and from which paper left away."""
    told: dict[str, Any] = {}
    for name, value in record.to_json().items():
        entry = dict(value) if isinstance(value, Mapping) else {"value": value}
        for words in ("by", "source"):
            entry.pop(words, None)
        if isinstance(entry.get("date"), str):
            entry["date"] = disguise.moved(entry["date"])
        if name in _DATES and isinstance(entry.get("value"), str):
            entry["value"] = disguise.moved(entry["value"])
        told[name] = entry["value"] if set(entry) == {"value"} else entry
    if "case_id" in told:
        told["case_id"] = disguise.pseudonym
    left_out = len(record.on_reading)
    remarks = (f"{left_out} remark(s) on reading the record are withheld",) if left_out else ()
    return parse_record(told, on_reading=remarks)


def disguised_resection(number: int, given: GivenResection) -> GivenResection:
    """A surgeon's resection by its number: its name is a file's."""
    return replace(given, name=f"given_{number + 1}")

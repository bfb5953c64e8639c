"""What in a record contradicts itself or needs a second look. No contradiction is resolved in the patient's favour.

Of a contradicted pair the favourable statement is no longer believed: it is unknown until somebody corrects the record.
"""

from __future__ import annotations

from collections.abc import Iterator

from liverplan.clinical.child_pugh import COAGULATION, child_pugh
from liverplan.clinical.entries import Entries
from liverplan.quantity import Unknown

CURRENT, BEFORE = "liver_metastases_current", "liver_metastases_before_chemotherapy"
_DEAD, _THREATENED = 5, 4
"""ECOG 5; ASA 4 is a severe systemic disease that is a constant threat to life."""


def remarks(record: Entries) -> tuple[str, ...]:
    """Sentences for whoever keeps the record, most serious first."""
    return (
        *disbelieved(record).values(),
        *_counts(record),
        *_coagulation(record),
        *_severity(record),
        *_dates(record),
        *child_pugh(record).near,
        *_stated_unknown(record),
    )


def disbelieved(record: Entries) -> dict[str, str]:
    """Fields whose favourable value another field contradicts, with the contradiction in words."""
    found = {}
    clues = [name for name in ("other_malignancy_cured", "other_malignancy_years_since") if record.known(name)]
    if record.flag("other_malignancy") is False and clues:
        told = " and ".join(f"{name} is given" for name in clues)
        found["other_malignancy"] = f"other_malignancy is false, but {told}"
    if record.text("primary_status") == "resected" and record.known("primary_interval_weeks"):
        found["primary_status"] = (
            "primary_status is resected, but primary_interval_weeks says when it will be resected after the hepatectomy"
        )
    return found


def counts_differ(record: Entries) -> bool:
    """True where no chemotherapy was given and yet the count before it differs from that of now."""
    now, before = record.number(CURRENT), record.number(BEFORE)
    return record.flag("prior_chemotherapy") is False and None not in (now, before) and now != before


def _counts(record: Entries) -> Iterator[str]:
    if counts_differ(record):
        now, before = record.number(CURRENT), record.number(BEFORE)
        yield (
            f"prior_chemotherapy is false, but {BEFORE} ({before:g}) differs from {CURRENT} ({now:g}): "
            "both count as possible"
        )


def _coagulation(record: Entries) -> Iterator[str]:
    if all(record.known(name) for name in COAGULATION):
        differ = child_pugh(record).coagulation_differs
        both = "they differ in Child-Pugh points and both count as possible" if differ else "INR counts"
        yield f"inr and pt_prolongation_s are both given: {both}"


def _severity(record: Entries) -> Iterator[str]:
    asa = record.number("asa")
    if record.number("ecog") == _DEAD:
        yield "ecog 5 means that the patient is dead"
    if asa is not None and asa >= _THREATENED:
        for name in ("serious_comorbidity", "surgical_contraindication"):
            if record.flag(name) is False:
                yield f"asa is {asa:g}, a constant threat to life, but {name} is false"


def _dates(record: Entries) -> Iterator[str]:
    surgery = record.day("planned_surgery_date")
    for entry in record.entries:
        said = entry.provenance.date
        if surgery is not None and said is not None and said > surgery:
            yield f"{entry.name} is dated {said.isoformat()}, after the planned surgery on {surgery.isoformat()}"


def _stated_unknown(record: Entries) -> Iterator[str]:
    for entry in record.entries:
        if isinstance(entry.value, Unknown):
            yield f"{entry.name}: {entry.with_provenance(entry.value.reason)}"

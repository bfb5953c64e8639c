"""What follows from a clinical record without judgement."""

from __future__ import annotations

from liverplan.clinical.entries import Entries
from liverplan.liver_volume import BodySize
from liverplan.quantity import Unknown

ECOG_WORDING = (
    "fully active",
    "no strenuous activity; walks and does light work",
    "cares for himself or herself, no work; up more than half of the waking hours",
    "limited self-care; in bed or chair more than half of the waking hours",
    "completely disabled",
    "dead",
)
"""The grades in short, after Oken 1982 (Am J Clin Oncol 5:649)."""


def ecog_wording(record: Entries) -> str | Unknown:
    """The ECOG performance status in words."""
    grade = record.number("ecog")
    return Unknown("ecog is not recorded") if grade is None else ECOG_WORDING[int(grade)]


def body_size(record: Entries) -> BodySize:
    """Height and weight, None where they are not recorded."""
    return BodySize(record.number("height_cm"), record.number("weight_kg"))


def days_to_surgery(record: Entries) -> int | Unknown:
    """Days from the scan to the planned surgery."""
    scan, surgery = record.day("scan_date"), record.day("planned_surgery_date")
    if scan is None or surgery is None:
        blank = [n for n, d in (("scan_date", scan), ("planned_surgery_date", surgery)) if d is None]
        return Unknown(f"{' and '.join(blank)} {'is' if len(blank) == 1 else 'are'} not recorded")
    return (surgery - scan).days

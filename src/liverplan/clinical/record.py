"""The clinical record of a case: what was stated, by whom, and what a protocol may read from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from liverplan.clinical.child_pugh import ChildPugh, child_pugh
from liverplan.clinical.derived import body_size, days_to_surgery, ecog_wording
from liverplan.clinical.entries import Entries, Entry
from liverplan.clinical.facts import facts
from liverplan.clinical.fields import RECORD_FIELDS, FieldType
from liverplan.clinical.remarks import remarks
from liverplan.liver_volume import BodySize
from liverplan.protocol.reading import Reading
from liverplan.quantity import Unknown


@dataclass(frozen=True)
class ClinicalRecord(Entries):
    """The fields that were given, checked; see `parse_record`. Frozen: a correction is a new record.

    on_reading: what the reader of a file remarks, as resources of a bundle that were not used. Not part of equality.
    """

    on_reading: tuple[str, ...] = field(default=(), compare=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Contradictions, values near a limit, and what the reader left out."""
        return (*remarks(self), *self.on_reading)

    @property
    def child_pugh(self) -> ChildPugh:
        """The Child-Pugh score with bounds."""
        return child_pugh(self)

    @property
    def body_size(self) -> BodySize:
        """Height in cm and weight in kg, None where blank."""
        return body_size(self)

    @property
    def ecog_wording(self) -> str | Unknown:
        """The ECOG performance status in words."""
        return ecog_wording(self)

    @property
    def days_to_surgery(self) -> int | Unknown:
        """Days from the scan to the planned surgery."""
        return days_to_surgery(self)

    def facts(self) -> dict[str, Reading]:
        """What `protocol.decide` reads, by the names of `vocabulary.FIELDS`, derived scores included."""
        return facts(self)

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object that loads again as the same record."""
        return {entry.name: _entry_json(entry) for entry in self.entries}


def _entry_json(entry: Entry) -> Any:
    value = None if isinstance(entry.value, Unknown) else entry.value
    plain = value.isoformat() if isinstance(value, date) else value
    is_lab = RECORD_FIELDS[entry.name].type is FieldType.LAB
    if not (is_lab or entry.provenance):
        return plain
    said = entry.provenance
    parts = {
        "value": plain,
        "unit": entry.unit if is_lab else None,
        "date": said.date.isoformat() if said.date else None,
        "by": said.by,
        "source": said.source,
    }
    return {key: part for key, part in parts.items() if key == "value" or part is not None}

"""The clinical record: what the scan cannot show, checked by name, with who stated it and when.

    record = parse_record({"ecog": 1, "bilirubin": {"value": 12, "unit": "umol/L", "date": "2026-05-01"}})
    record.facts(), record.child_pugh.grade, record.remarks

Files are read by `liverplan.io.clinical`. See docs/clinical-record.md.
"""

from __future__ import annotations

from importlib.resources import files

from liverplan.clinical.child_pugh import ChildPugh, Item, child_pugh
from liverplan.clinical.entries import Entry, Lab, Provenance
from liverplan.clinical.fields import RECORD_FIELDS
from liverplan.clinical.parse import Place, parse_record
from liverplan.clinical.record import ClinicalRecord
from liverplan.clinical.row import ROW_COLUMNS, record_from_row
from liverplan.clinical.units import in_unit

__all__ = [
    "RECORD_FIELDS",
    "ROW_COLUMNS",
    "ChildPugh",
    "ClinicalRecord",
    "Entry",
    "Item",
    "Lab",
    "Place",
    "Provenance",
    "child_pugh",
    "in_unit",
    "parse_record",
    "record_from_row",
    "schema_text",
    "template_text",
]


def template_text() -> str:
    """An annotated record to fill in, as YAML. As it is, it loads as an empty record."""
    return files(__package__).joinpath("template.yaml").read_text(encoding="utf-8")


def schema_text() -> str:
    """The JSON Schema (draft 2020-12) of a record."""
    return files(__package__).joinpath("schema-1.json").read_text(encoding="utf-8")

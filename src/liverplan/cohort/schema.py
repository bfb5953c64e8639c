"""The JSON Schema that `liverplan schema cohort` prints: a row of the input, and under `$defs` the results tables.

The shipped file cohort-1.json is what `cohort_schema` gives; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from liverplan.clinical import RECORD_FIELDS
from liverplan.clinical.fields import Field, FieldType
from liverplan.cohort.cases import ID_PATTERN
from liverplan.cohort.columns import TABLES, TABLES_VERSION, Column
from liverplan.cohort.reading import BETWEEN_PATHS, MARGIN_RANGE_MM, MODALITIES

_BLANK = {"enum": ["", None]}
_TYPES = {"text": "string", "number": "number", "integer": "integer", "flag": "boolean"}


def cohort_schema() -> dict[str, Any]:
    """Draft 2020-12. A row of CSV is an object of texts; a row of Parquet may hold numbers and booleans as well."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:liverplan:schema:cohort-{TABLES_VERSION}",
        "title": f"liverplan cohort, version {TABLES_VERSION}: a row of the input",
        "description": "One row per case, from CSV (UTF-8) or Parquet. An empty cell is unknown. Relative paths start "
        "from the folder of the table. The results tables are under $defs. Research use only, not a medical device.",
        "type": "object",
        "properties": {**_own_columns(), **_clinical_columns()},
        "required": ["id", "image"],
        "not": {"required": ["masks", "segmentation"]},
        "additionalProperties": False,
        "$defs": {name: _table(columns) for name, columns in TABLES.items()},
    }


def _own_columns() -> dict[str, Any]:
    low, high = MARGIN_RANGE_MM
    path = {"type": ["string", "null"]}
    masks = path | {"description": "Masks as `liverplan plan --segmentation` takes them; empty: the model segments"}
    own = f"The surgeon's own resections, several parted by {BETWEEN_PATHS}"
    margin = [{"type": "number", "minimum": low, "maximum": high}, {"type": "string", "pattern": "^[0-9.]*$"}, _BLANK]
    return {
        "id": {
            "type": "string",
            "pattern": f"^{ID_PATTERN}$",
            "description": "Names the folder of the case; no two may be the same",
        },
        "image": {"type": "string", "minLength": 1, "description": "DICOM folder, .nii, .nii.gz, .nrrd or .mha"},
        "segmentation": masks,
        "masks": masks,
        "resection": path | {"description": own},
        "modality": {"anyOf": [{"enum": list(MODALITIES)}, _BLANK], "description": "For files that do not say it"},
        "series_uid": path | {"description": "DICOM series, when the folder has several"},
        "margin_mm": {"anyOf": margin, "description": "Margin to plan resections for; empty: the protocol's"},
        "clinical": path | {"description": "A clinical record as a file, in place of clinical columns"},
    }


def _clinical_columns() -> dict[str, Any]:
    columns = {name: _clinical(field) for name, field in RECORD_FIELDS.items()}
    units = {
        f"{name}_unit": {"anyOf": [{"enum": list(field.units)}, _BLANK], "description": f"Unit of {name}"}
        for name, field in RECORD_FIELDS.items()
        if field.type is FieldType.LAB
    }
    return columns | units


def _clinical(field: Field) -> dict[str, Any]:
    kinds: dict[FieldType, list[dict[str, Any]]] = {
        FieldType.TEXT: [{"type": "string"}],
        FieldType.NUMBER: [{"type": ["number", "string"]}],
        FieldType.INTEGER: [{"type": ["integer", "string"]}],
        FieldType.LAB: [{"type": ["number", "string"]}],
        FieldType.FLAG: [{"type": "boolean"}, {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Yy][Ee][Ss])$"}],
        FieldType.CHOICE: [{"enum": list(field.term.choices)}],
        FieldType.DATE: [{"type": "string", "format": "date"}],
    }
    if field.type is FieldType.FLAG:
        kinds[FieldType.FLAG] += [{"type": "string", "pattern": "^([Ff][Aa][Ll][Ss][Ee]|[Nn][Oo])$"}]
    ranges = "; ".join(f"{believed} {unit}" for unit, believed in field.ranges.items())
    says = field.term.title + (f": {ranges}" if ranges else "")
    return {"anyOf": [*kinds[field.type], _BLANK, {"const": "unknown"}], "description": says}


def _table(columns: tuple[Column, ...]) -> dict[str, Any]:
    properties = {c.name: {"type": [_TYPES[c.kind], "null"], "description": c.says} for c in columns}
    return {
        "type": "object",
        "properties": properties,
        "required": [c.name for c in columns],
        "additionalProperties": False,
    }

"""A row of a table of cases as a clinical record: flat cells of text, labs with a column for their unit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from liverplan.clinical.fields import RECORD_FIELDS, UNKNOWN, Field, FieldType
from liverplan.clinical.parse import Place, parse_record
from liverplan.clinical.record import ClinicalRecord
from liverplan.protocol.tables import one_of

_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_DECIMAL = re.compile(r"[-+]?([0-9]{1,15}(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?", re.ASCII)
"""A decimal point, no comma, no underscore, no hexadecimal, no infinity."""
_UNIT = "_unit"

UNIT_COLUMNS: Mapping[str, str] = {
    f"{name}{_UNIT}": name for name, spec in RECORD_FIELDS.items() if spec.type is FieldType.LAB
}
"""Column of a unit to its field."""
ROW_COLUMNS: tuple[str, ...] = (*RECORD_FIELDS, *UNIT_COLUMNS)
"""Every column that a row may have."""


def record_from_row(row: Mapping[str, str], place: Place | None = None) -> ClinicalRecord:
    """The record in one row, by column name. An empty cell is unknown; true, false, yes and no in any case.

    Labs have their unit beside them: `bilirubin` and `bilirubin_unit`. Raises ClinicalError naming the column.
    """
    place = place or Place("the clinical columns of the row")
    for column in row:
        if column not in ROW_COLUMNS:
            place.refuse(str(column), "an unknown column", one_of(ROW_COLUMNS, str(column)))
    cells = {column: (cell or "").strip() for column, cell in row.items()}
    data = {name: _given(spec, cells) for name, spec in RECORD_FIELDS.items() if cells.get(name)}
    return parse_record(data, place)


def _given(spec: Field, cells: Mapping[str, str]) -> object:
    cell = cells[spec.name]
    if cell == UNKNOWN:
        return None
    if spec.type is FieldType.FLAG:
        return _FLAGS.get(cell.lower(), cell)
    if spec.type in (FieldType.NUMBER, FieldType.INTEGER, FieldType.LAB):
        number = _number(cell)
        unit = cells.get(f"{spec.name}{_UNIT}") or None
        return {"value": number, "unit": unit} if spec.type is FieldType.LAB else number
    return cell


def _number(cell: str) -> object:
    """The number in a cell; a cell that is none stays text and is refused as such."""
    if not _DECIMAL.fullmatch(cell):
        return cell
    return float(cell) if set(cell) & set(".eE") else int(cell)

"""Any clinical record at all, as plain data: every field, plain and with provenance, known and blank."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

from hypothesis import strategies as st

from liverplan.clinical import RECORD_FIELDS
from liverplan.clinical.fields import Field, FieldType

DAYS = st.dates(date(1980, 1, 1), date(2099, 12, 31)).map(date.isoformat)
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=30)
SAID = {"date": DAYS, "by": TEXTS, "source": TEXTS}


def values_of(spec: Field, unit: str | None) -> st.SearchStrategy[Any]:
    if unit is not None:
        believed = spec.ranges[unit]
        if spec.type is FieldType.INTEGER:
            return st.integers(int(believed.low), int(believed.high))
        return st.floats(believed.low, believed.high) | st.integers(math.ceil(believed.low), int(believed.high))
    if spec.type is FieldType.FLAG:
        return st.booleans()
    if spec.type is FieldType.CHOICE:
        return st.sampled_from(spec.term.choices)
    return DAYS if spec.type is FieldType.DATE else TEXTS


def given_values(spec: Field) -> st.SearchStrategy[Any]:
    """Legal ways to give a field, plain and as an object."""
    unit = st.sampled_from(spec.units) if spec.units else st.none()
    objects = unit.flatmap(
        lambda u: st.fixed_dictionaries(
            {"value": values_of(spec, u) | st.none(), "unit": st.just(u)},
            optional=SAID,
        )
    )
    plain = st.nothing() if spec.type is FieldType.LAB else values_of(spec, spec.units[0] if spec.units else None)
    return plain | objects | st.sampled_from([None, "unknown"])


ORDERED = ("scan_date", "planned_surgery_date", "age_years", "other_malignancy_years_since")
"""Pairs that may contradict each other: one of each is enough here."""
RECORDS = st.fixed_dictionaries(
    {}, optional={name: given_values(spec) for name, spec in RECORD_FIELDS.items() if name not in ORDERED[1::2]}
)

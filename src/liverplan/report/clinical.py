"""The clinical record of a case as a reader sees it: who stated what and when, Child-Pugh, contradictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liverplan.protocol.vocabulary import TERMS
from liverplan.report import wording


@dataclass(frozen=True)
class Row:
    """A field that was stated. said: by whom, when, from where; "" where nobody is named."""

    name: str
    title: str
    value: str
    said: str


@dataclass(frozen=True)
class ClinicalView:
    """What is shown of report.json's `clinical`. Sentences are "" where there is nothing to say."""

    rows: tuple[Row, ...]
    child_pugh: str
    interval: str
    remarks: tuple[str, ...]


def clinical_view(clinical: Mapping[str, Any] | None) -> ClinicalView | None:
    """The section's content; None where the report has no clinical record."""
    if clinical is None:
        return None
    fields = clinical.get("fields") or {}
    return ClinicalView(
        rows=tuple(_row(name, stated) for name, stated in fields.items()),
        child_pugh=_child_pugh(clinical.get("child_pugh")),
        interval=_interval(clinical.get("days_to_surgery")),
        remarks=tuple(str(remark) for remark in clinical.get("remarks") or []),
    )


def _row(name: str, stated: Any) -> Row:
    """A field, stated as an object or as its plain value."""
    told = stated if isinstance(stated, Mapping) else {"value": stated}
    term = TERMS.get(name)
    unit = told.get("unit") or (None if term is None else term.unit)
    value = told.get("value")
    text = value.replace("_", " ") if isinstance(value, str) else wording.value_text(value, _shown(unit))
    said = ", ".join(str(told[key]) for key in ("by", "date", "source") if told.get(key))
    return Row(name, name.replace("_", " ") if term is None else term.title, text, said)


def _shown(unit: str | None) -> str | None:
    """Ratios and classes stand alone."""
    return None if unit in ("ratio", "class") else unit


def _child_pugh(score: Mapping[str, Any] | None) -> str:
    """`Child-Pugh 5 points, class A.`; what is missing leaves a range, never a class."""
    if not score:
        return ""
    points, grade = score.get("score"), score.get("grade")
    said = f"Child-Pugh {_points(points)}"
    if isinstance(grade, str):
        said += f", class {grade}"
    elif isinstance(grade, Mapping) and grade.get("value"):
        said += f", class {grade['value']}"
    else:
        why = grade.get("reason") if isinstance(grade, Mapping) else None
        said += f", class undetermined{f' ({why})' if why else ''}"
    missing = score.get("missing") or []
    notes = [f"not recorded: {', '.join(_title(name) for name in missing)}"] if missing else []
    notes += [str(note) for note in (*(score.get("near") or []), score.get("note")) if note]
    return " ".join(wording.sentence(words) for words in (said, *notes))


def _points(points: Mapping[str, Any] | float | None) -> str:
    if points is None:
        return "points undetermined"
    if not isinstance(points, Mapping):
        return f"{points:g} points"
    if points.get("value") is None:
        return f"points undetermined ({points.get('reason') or 'no reason recorded'})"
    low, high = points.get("low"), points.get("high")
    if low is None or high is None or low == high:
        return f"{points['value']:g} points"
    return f"{low:g} to {high:g} points"


def _interval(days: Any) -> str:
    if isinstance(days, Mapping):
        return wording.sentence(f"days from scan to surgery: {days.get('reason') or wording.NOT_RECORDED}")
    return "" if days is None else f"{days:g} days from the scan to the planned surgery."


def _title(name: str) -> str:
    return " or ".join(TERMS[n].title if n in TERMS else n.replace("_", " ") for n in str(name).split(" or "))

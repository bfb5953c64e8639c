"""The left column as plain data: what report.json says, in the report's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from liverplan.anatomy import Structure
from liverplan.report import criteria, wording
from liverplan.report.answer import answer, limited_by
from liverplan.report.rendering import SHELL
from liverplan.viewer.targets import Target, lesion_target

_ROWS = (
    ("Removed", "removed_ml", "mL"),
    ("Devascularised", "devascularised_ml", "mL"),
    ("Congested", "congested_ml", "mL"),
    ("Remnant", "remnant_ml", "mL"),
    ("Functional remnant", "functional_remnant_ml", "mL"),
)
_SHARES = (
    ("Functional remnant (FLR)", "flr"),
    ("Remnant by volume (geometric FLR)", "geometric_flr"),
)
REACHES = "Margin and remnant"
"""The row that says whether a resection reaches the protocol's margin and remnant, in the report's words for it."""
BETWEEN_ROWS = "not known yet: report.json has whole millimetres only"


def panel(report: Mapping[str, Any], places: Mapping[str, Target]) -> dict[str, Any]:
    """Everything of the left column that does not depend on the margin."""
    return {
        "answer": _answer(report),
        "lesions": [_lesion(lesion, places) for lesion in report["lesions"]],
        "resections": [_resection(row, places) for row in report["resections"]],
        "eligibility": _eligibility(report["eligibility"]),
        "quality": [_check(check) for check in report["quality"]],
        "input": _input(report),
    }


def margin_rows(row: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """The numbers at one margin, as name and value with interval."""
    if row is None:
        return [{"name": name, "value": BETWEEN_ROWS if not n else ""} for n, (name, *_) in enumerate(_ROWS)]
    volumes = [{"name": name, "value": wording.quantity_text(row[key], unit)} for name, key, unit in _ROWS]
    return volumes + [{"name": name, "value": wording.interval(_share(row, key), "%")} for name, key in _SHARES]


_COMPARED: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    (REACHES, lambda row: wording.REACHES[row["meets_protocol"]]),
    ("Why", lambda row: wording.sentence(row["reason"])),
    ("Taken out", lambda row: wording.interval(row["volume_ml"], "mL")),
    ("Functional remnant (FLR)", lambda row: wording.interval(row["flr_percent"], "%")),
    ("Functional remnant, volume", lambda row: wording.interval(row["functional_remnant_ml"], "mL")),
    ("Remnant by volume", lambda row: wording.interval(row["geometric_flr_percent"], "%")),
    ("Devascularised", lambda row: wording.ml(row["devascularised_ml"])),
    ("Congested", lambda row: wording.ml(row["congested_ml"])),
    ("Cut surface", lambda row: f"{wording.number(row['cut_area_cm2'], 1)} cm2"),
    ("Vessels divided", lambda row: "; ".join(_divided(row)) or "none"),
)


def live_resection(row: Mapping[str, Any]) -> dict[str, Any]:
    """A resection that is not in the report yet: {meets, lines [{name, value}]}, margins per lesion among them."""
    return {"meets": row["meets_protocol"], "lines": [{"name": n, "value": v} for n, v in _lines(row)]}


def compared(report: Mapping[str, Any], one: str, other: str) -> list[dict[str, Any]]:
    """Two resections of the report side by side: {name, one, other, differ}; [] where one is not there."""
    rows = {row["name"]: dict(_lines(row)) for row in report["resections"] if row["name"] in (one, other)}
    if one not in rows or other not in rows:
        return []
    names = list(dict.fromkeys([*rows[one], *rows[other]]))
    sides = [(name, rows[one].get(name, ""), rows[other].get(name, "")) for name in names]
    return [{"name": name, "one": a, "other": b, "differ": a != b} for name, a, b in sides]


def _lines(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a resection does, in words; numbers as report.json has them."""
    margins = [(f"Margin, lesion {m['lesion_id']}", wording.interval(m, "mm")) for m in row["margin_mm"]]
    told = [(name, tell(row)) for name, tell in _COMPARED]
    return [*told[:2], *margins, *told[2:]]


def _divided(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{v['branch'] or wording.structure_title(v['structure'])}, {wording.mm(v['diameter_mm'])}"
        for v in row["divided_vessels"]
    ]


def _share(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value, low, high = (row[f"{key}_{part}"] for part in ("percent", "low_percent", "high_percent"))
    if value is None:
        return {"value": None, "reason": "inflow, outflow or the whole liver is not known"}
    return {"value": value, "low": low, "high": high}


def _answer(report: Mapping[str, Any]) -> dict[str, Any]:
    told = answer(report)
    return {
        "title": told["title"],
        "verdict": told["verdict"],
        "feasible": report["case"]["wide_margin"],
        "sentence": told["sentence"],
        "reason": wording.sentence(report["case"]["reason"]),
        "limit": told["limit"],
        "most": wording.interval(report["case"]["margin_upper_mm"], "mm"),
        "unread": report["segmentation"]["origin"] == "model",
    }


def _lesion(lesion: Mapping[str, Any], places: Mapping[str, Target]) -> dict[str, Any]:
    number = int(lesion["id"])
    prefix = f"{lesion_target(number)}-"
    segments = ", ".join(str(s) for s in lesion["segments"] or []) or "not known"
    return {
        "target": lesion_target(number),
        "id": number,
        "title": f"Lesion {number}",
        "size": f"{wording.mm(lesion['longest_diameter_mm'])}, {wording.ml(lesion['volume_ml'])}, segment {segments}",
        "most": wording.interval(lesion["margin_upper_mm"], "mm"),
        "limit": limited_by(lesion),
        "wide_margin": lesion["wide_margin"],
        "verdict": wording.FEASIBILITY[lesion["wide_margin"]],
        "distances": [
            {"target": p.id, "title": p.title, "value": p.value} for p in places.values() if p.id.startswith(prefix)
        ],
    }


def _resection(row: Mapping[str, Any], places: Mapping[str, Target]) -> dict[str, Any]:
    prefix = f"resection-{row['name']}-"
    least = min((m for m in row["margin_mm"] if m["value"] is not None), key=lambda m: m["value"], default=None)
    return {
        "name": row["name"],
        "title": wording.plan_title(row["name"]),
        "kind": row["kind"],
        "meets": row["meets_protocol"],
        "meets_title": wording.REACHES[row["meets_protocol"]],
        "reason": wording.sentence(row["reason"]),
        "margin": wording.interval(least, "mm"),
        "volume": wording.interval(row["volume_ml"], "mL"),
        "flr": wording.interval(row["flr_percent"], "%"),
        "divided": _divided(row),
        "margins": [
            {"target": p.id, "title": p.title.rsplit(": ", 1)[-1], "value": p.value}
            for p in places.values()
            if p.id.startswith(prefix)
        ],
    }


def _eligibility(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": wording.ELIGIBILITY[told["verdict"]],
        "verdict": told["verdict"],
        "sentence": criteria.verdict_sentence(told),
        "counts": criteria.counts(told),
        "criteria": [
            {
                "id": line.id,
                "text": line.text,
                "outcome": line.outcome,
                "outcome_title": wording.OUTCOME[line.outcome],
                "evidence": line.evidence,
                "missing": ", ".join(line.missing),
                "part": line.part,
            }
            for line in criteria.lines(told)
        ],
        "obtain": [
            {"title": group.title, "items": [item.title for item in group.items]} for group in criteria.to_obtain(told)
        ],
    }


def _check(check: Mapping[str, Any]) -> dict[str, str]:
    return {
        "name": str(check["check"]).replace("_", " "),
        "status": check["status"],
        "message": wording.sentence(check["message"]),
    }


def _input(report: Mapping[str, Any]) -> str:
    given = report["input"]
    spacing = " x ".join(f"{s:.3g}" for s in given["spacing_mm"])
    phase = f", {given['phase']}" if given.get("phase") else ""
    liver = wording.ml(report["liver"]["volume_ml"])
    return f"{given['modality']}{phase}, voxels {spacing} mm, liver {liver}"


def layer_title(name: str) -> str:
    """What a surface of the 3D view is called on the page."""
    if name == SHELL:
        return "Margin"
    known = {s.value: s.title for s in Structure}
    return known.get(name, name.replace("_", " ").capitalize())

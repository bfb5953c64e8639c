"""OUT/tables/*.csv: the numbers of report.json for spreadsheets and statistics, units in the column names.

Full precision; an empty cell was not assessable, and the reason stands beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from liverplan.io.folder import write_text_atomic, writing
from liverplan.report.criteria import parts_of
from liverplan.report.load import whole

FOLDER = "tables"
_ENDS = [f"{end}_{axis}_lps_mm" for end in ("lesion", "vessel") for axis in "xyz"]
_CLEARANCE_COLUMNS = [
    *("lesion_id", "structure", "clearance_mm", "clearance_low_mm", "clearance_high_mm", "reason"),
    *("contact", "vessel_diameter_mm", *_ENDS),
]
_LESION_COLUMNS = [
    *("lesion_id", "volume_ml", "longest_diameter_mm", "centroid_x_lps_mm", "centroid_y_lps_mm", "centroid_z_lps_mm"),
    *("segments", "capsule_distance_mm", "nearest_lesion_mm"),
    *("margin_upper_mm", "margin_upper_low_mm", "margin_upper_high_mm", "margin_upper_reason"),
    *("margin_planned_mm", "margin_planned_low_mm", "margin_planned_high_mm"),
    *("limiting_kind", "limiting_structure", "wide_margin", "reason"),
]


def write_tables(out_dir: Path, report: Mapping[str, Any]) -> list[Path]:
    """Write lesions, clearances, margin_curve, eligibility with its parts, structures, quality, resections.

    Raises UnreadableInput when the report lacks what schema 1 asks for, OutputError, ResourceError.
    """
    folder = Path(out_dir) / FOLDER
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with whole(out_dir):
        tables = {name: _csv(columns, rows) for name, (columns, rows) in _tables(report).items()}
    paths = []
    for name, text in tables.items():
        paths.append(folder / f"{name}.csv")
        write_text_atomic(paths[-1], text)
    return paths


def _tables(report: Mapping[str, Any]) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Columns and rows by name."""
    return {
        "lesions": (_LESION_COLUMNS, [_lesion(lesion) for lesion in report["lesions"]]),
        "clearances": (
            _CLEARANCE_COLUMNS,
            [_clearance(entry, v) for entry in report["lesions"] for v in entry["vessels"]],
        ),
        "margin_curve": _margin_curve(report["margin_curve"]),
        "eligibility": _eligibility(report["eligibility"]),
        "eligibility_parts": _eligibility_parts(report["eligibility"]),
        "structures": _structures(report["segmentation"]),
        "quality": _quality(report["quality"]),
        "resections": _resections(report["resections"]),
        "divided_vessels": _divided_vessels(report["resections"]),
        "vessel_choices": _vessel_choices(report["lesions"]),
    }


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    """A value as a cell; text that a spreadsheet would run as a formula is made plain text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return _cell("; ".join(str(_cell(item)) for item in value))
    if isinstance(value, Mapping):
        return _cell(value.get("value"))
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def _three(measured: Mapping[str, Any] | None) -> list[Any]:
    return [measured.get(key) for key in ("value", "low", "high")] if measured else [None, None, None]


def _lesion(lesion: Mapping[str, Any]) -> list[Any]:
    upper, limiting = lesion["margin_upper_mm"], lesion["limiting"]
    return [
        *(lesion[key] for key in ("id", "volume_ml", "longest_diameter_mm")),
        *lesion["centroid_lps_mm"],
        *(lesion[key] for key in ("segments", "capsule_distance_mm", "nearest_lesion_mm")),
        *_three(upper),
        upper.get("reason"),
        *_three(lesion["margin_planned_mm"]),
        *(limiting["kind"], limiting["structure"], lesion["wide_margin"], lesion["reason"]),
    ]


def _clearance(lesion: Mapping[str, Any], vessel: Mapping[str, Any]) -> list[Any]:
    clearance = vessel["clearance_mm"]
    witness = vessel["witness_lps_mm"] or [[None] * 3, [None] * 3]
    facts = [clearance.get("reason"), vessel["contact"], vessel["diameter_mm"]]
    return [lesion["id"], vessel["structure"], *_three(clearance), *facts, *witness[0], *witness[1]]


def _margin_curve(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    columns = (
        list(rows[0]) if rows else ["margin_mm", "removed_ml", "remnant_ml", "flr_percent", "geometric_flr_percent"]
    )
    return columns, [[row.get(column) for column in columns] for row in rows]


def _eligibility(eligibility: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    columns = ["id", "kind", "text", "source", "outcome", "value", "limit", "unit", "evidence", "missing"]
    return columns, [[criterion[column] for column in columns] for criterion in eligibility["criteria"]]


def _eligibility_parts(eligibility: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """A row per part of a criterion, with what software had measured where a statement decided."""
    said = ["says", "outcome", "measure", "value", "limit", "unit", "evidence", "missing"]
    rows = []
    for criterion in eligibility["criteria"]:
        for id_, part in parts_of(criterion):
            outranked = [f"{entry['measure']} {_cell(entry['value'])}" for entry in part["outranked"]]
            rows.append([criterion["id"], id_, *(part[column] for column in said), outranked])
    return ["criterion", "part", *said, "outranked"], rows


def _structures(segmentation: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    facts = segmentation["structures"].items()
    return ["structure", "present", "volume_ml"], [[name, s["present"], s["volume_ml"]] for name, s in facts]


def _quality(checks: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    columns = ["check", "status", "value", "message"]
    return columns, [[check[column] for column in columns] for check in checks]


_PLAN = ["resection", "rank", "kind", "meets_protocol", "reason", "lesion_id"]
_PLAN_MEASURED = {
    "volume_ml": "resected_ml",
    "flr_percent": "flr_percent",
    "geometric_flr_percent": "geometric_flr_percent",
    "functional_remnant_ml": "functional_remnant_ml",
    "flr_to_weight_percent": "flr_to_weight_percent",
}
_PLAN_PLAIN = ["remnant_ml", "devascularised_ml", "congested_ml", "cut_area_cm2"]


def _spread(name: str) -> list[str]:
    """Column names of a quantity and its ends, the unit last: flr_percent, flr_low_percent, flr_high_percent."""
    stem, unit = name.rsplit("_", 1)
    return [name, f"{stem}_low_{unit}", f"{stem}_high_{unit}"]


def _resections(plans: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """A row per resection and lesion, so that no margin hides behind another."""
    formulas = sorted({f for plan in plans for f in plan["flr_standardised_percent"] or {}})
    columns = [*_PLAN, *_spread("margin_mm"), "margin_set_by", "margin_structure", "margin_reason"]
    columns += [column for name in _PLAN_MEASURED.values() for column in _spread(name)]
    columns += [*_PLAN_PLAIN, *(f"flr_over_{f}_percent" for f in formulas), "p_margin", "p_flr"]
    rows = []
    for rank, plan in enumerate(plans, 1):
        chances = plan.get("probability") or {}
        facts = [value for key in _PLAN_MEASURED for value in _three(plan.get(key))]
        facts += [plan[key] for key in _PLAN_PLAIN]
        facts += [(plan["flr_standardised_percent"] or {}).get(f) for f in formulas]
        facts += [chances.get("margin_at_least_limit"), chances.get("flr_at_least_limit")]
        head = [plan["name"], rank, plan["kind"], plan["meets_protocol"], plan["reason"]]
        for m in plan["margin_mm"]:
            told = [m.get(key) for key in ("set_by", "structure", "reason")]
            rows.append([*head, m["lesion_id"], *_three(m), *told, *facts])
    return columns, rows


def _divided_vessels(plans: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    columns = ["structure", "branch", "diameter_mm", "territory_ml"]
    rows = [[plan["name"], *(v[c] for c in columns)] for plan in plans for v in plan["divided_vessels"]]
    return ["resection", *columns], rows


def _vessel_choices(lesions: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    first, last = ["structure", "branch", "diameter_mm"], ["if_divided_territory_ml", "if_divided_territory_percent"]
    rows = [
        [lesion["id"], *(c[k] for k in first), *_three(c["if_kept_margin_mm"]), *(c[k] for k in last)]
        for lesion in lesions
        for c in lesion.get("vessel_choices", [])
    ]
    return ["lesion_id", *first, *_spread("if_kept_margin_mm"), *last], rows

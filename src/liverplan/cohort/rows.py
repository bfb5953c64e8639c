"""A case's report.json as rows of the results tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


def case_rows(case_id: str, report: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, list[Row]]:
    """The rows of one case by table, without what the driver knows (position, status, folder)."""
    return {
        "cases": [{"case_id": case_id, **_case(report)}],
        "lesions": [{"case_id": case_id, **_lesion(lesion)} for lesion in report["lesions"]],
        "resections": [
            {"case_id": case_id, "rank": rank, **_resection(plan)}
            for rank, plan in enumerate(report["resections"], start=1)
        ],
        "criteria": [{"case_id": case_id, **_criterion(c)} for c in report["eligibility"]["criteria"]],
        "quality": [{"case_id": case_id, **_check(check)} for check in report["quality"]],
        "timings": _timings(case_id, run),
    }


def _case(report: Mapping[str, Any]) -> Row:
    case, liver, decided = report["case"], report["liver"], report["eligibility"]
    model = report["segmentation"]["model"] or {}
    outcomes = [criterion["outcome"] for criterion in decided["criteria"]]
    statuses = [check["status"] for check in report["quality"]]
    return {
        "protocol": decided["protocol"],
        "protocol_version": decided["version"],
        "verdict": decided["verdict"],
        **{f"criteria_{name}": outcomes.count(name) for name in ("met", "not_met", "undetermined")},
        "wide_margin": case["wide_margin"],
        "wide_margin_reason": case["reason"],
        **_measured("margin_upper", "mm", case["margin_upper_mm"]),
        **_limiting(case.get("limiting")),
        "affected_by_vessels": case["affected_by_vessels"],
        "lesions": len(report["lesions"]),
        "largest_lesion_mm": max((lesion["longest_diameter_mm"] for lesion in report["lesions"]), default=None),
        "liver_volume_ml": liver["volume_ml"],
        "liver_volume_low_ml": liver["volume_low_ml"],
        "liver_volume_high_ml": liver["volume_high_ml"],
        "tumour_volume_ml": liver["tumour_volume_ml"],
        **_at_wide_margin(report),
        **_best(report),
        "quality_warnings": statuses.count("warning"),
        "quality_fails": statuses.count("fail"),
        "modality": report["input"]["modality"],
        **{f"spacing_{axis}_mm": step for axis, step in zip("ijk", report["input"]["spacing_mm"], strict=True)},
        "image_sha256": report["input"]["sha256"],
        "segmentation_origin": report["segmentation"]["origin"],
        "model": model.get("name"),
        "model_sha256": model.get("sha256"),
        "software_version": report["software"]["version"],
    }


def _at_wide_margin(report: Mapping[str, Any]) -> Row:
    """Remnants of the curve at the protocol's wide margin; nothing where the curve has no such row."""
    wide_mm = (report.get("limits") or {}).get("wide_margin_mm")
    row: Row = next((row for row in report["margin_curve"] if wide_mm is not None and row["margin_mm"] == wide_mm), {})
    names = [f"{kind}_{part}percent" for kind in ("flr", "geometric_flr") for part in ("", "low_", "high_")]
    return {"wide_margin_mm": wide_mm, **{name: row.get(name) for name in names}}


def _best(report: Mapping[str, Any]) -> Row:
    named = report["case"].get("best_resection")
    best = next((plan for plan in report["resections"] if named in (None, plan["name"])), None)
    if best is None:
        return {}
    return {
        "best_resection": best["name"],
        "best_kind": best["kind"],
        "best_meets_protocol": best["meets_protocol"],
        **_measured("best_margin", "mm", _least_margin(best), reason=False),
        **_measured("best_flr", "percent", best["flr_percent"]),
    }


def _lesion(lesion: Mapping[str, Any]) -> Row:
    nearest = min(
        (v for v in lesion["vessels"] if v["clearance_mm"]["value"] is not None),
        key=lambda vessel: float(vessel["clearance_mm"]["value"]),
        default=None,
    )
    touched = [vessel["contact"] for vessel in lesion["vessels"]]
    plain = ("volume_ml", "longest_diameter_mm", "capsule_distance_mm", "nearest_lesion_mm", "wide_margin", "reason")
    return {
        "lesion_id": lesion["id"],
        **{name: lesion[name] for name in plain},
        **{f"centroid_{a}_lps_mm": value for a, value in zip("xyz", lesion["centroid_lps_mm"], strict=True)},
        "segments": None if lesion["segments"] is None else " ".join(str(s) for s in lesion["segments"]),
        **_measured("margin_upper", "mm", lesion["margin_upper_mm"]),
        **_measured("margin_planned", "mm", lesion["margin_planned_mm"]),
        **_limiting(lesion["limiting"]),
        "nearest_vessel": None if nearest is None else nearest["structure"],
        **_measured("nearest_vessel_clearance", "mm", nearest and nearest["clearance_mm"], reason=False),
        "contact": True if True in touched else (None if None in touched or not touched else False),
    }


def _resection(plan: Mapping[str, Any]) -> Row:
    plain = ("name", "kind", "meets_protocol", "reason", "remnant_ml", "devascularised_ml", "congested_ml")
    return {
        **{name: plan[name] for name in plain},
        **_measured("margin", "mm", _least_margin(plan), reason=False),
        **_measured("volume", "ml", plan["volume_ml"]),
        **_measured("flr", "percent", plan["flr_percent"]),
        "divided_vessels": None if plan["divided_vessels"] is None else len(plan["divided_vessels"]),
        "cut_area_cm2": plan["cut_area_cm2"],
    }


def _least_margin(plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """None when a lesion has no margin, so that no lesion is hidden behind another."""
    margins = plan["margin_mm"]
    if not margins or any(margin["value"] is None for margin in margins):
        return None
    found: Mapping[str, Any] = min(margins, key=lambda margin: float(margin["value"]))
    return found


def _criterion(criterion: Mapping[str, Any]) -> Row:
    value = criterion["value"]
    measured = isinstance(value, Mapping)
    return {
        "criterion": criterion["id"],
        **{name: criterion[name] for name in ("kind", "outcome", "unit", "evidence", "text")},
        "value": _plain(value["value"] if measured else value),
        "value_reason": value.get("reason") if measured else None,
        "limit": _plain(criterion["limit"]),
        "missing": "; ".join(criterion["missing"]) or None,
    }


def _check(check: Mapping[str, Any]) -> Row:
    return {**{name: check[name] for name in ("check", "status", "message")}, "value": _plain(check["value"])}


def _timings(case_id: str, run: Mapping[str, Any]) -> list[Row]:
    seconds: Mapping[str, float] = run.get("seconds", {})
    return [{"case_id": case_id, "stage": stage, "seconds": value} for stage, value in seconds.items()]


def _measured(name: str, unit: str, given: Mapping[str, Any] | None, reason: bool = True) -> Row:
    found = given or {}
    row = {f"{name}_{end}{unit}": found.get(key) for end, key in (("", "value"), ("low_", "low"), ("high_", "high"))}
    return row | ({f"{name}_reason": found.get("reason")} if reason else {})


def _limiting(limiting: Mapping[str, Any] | None) -> Row:
    found = limiting or {}
    return {"limiting_kind": found.get("kind"), "limiting_structure": found.get("structure")}


def _plain(value: object) -> str | None:
    """A value of any type as text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return " ".join(str(_plain(item)) for item in value)
    return json.dumps(value)

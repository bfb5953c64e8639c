"""A plan as report.json holds it (schema 1). Names and meaning: docs/outputs.md and `liverplan schema report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from liverplan import __version__
from liverplan import record_resections as resections
from liverplan.anatomy import Structure
from liverplan.findings import LesionFinding, VesselFinding
from liverplan.margin import CurvePoint, Limit, UpperBound
from liverplan.plan import Plan
from liverplan.protocol import measures_to_json
from liverplan.quantity import Distance, Quantity, Unknown
from liverplan.record_clinical import whole_report, with_clinical
from liverplan.vessels import VesselTree
from liverplan.volume import Confidence

SCHEMA_VERSION = "1"
_DECIMALS = 4

ASSUMPTIONS = (
    "Distances are image distances in the scanned state; tissue lost at the cut and deformation are not included.",
    "The margin runs from the lesion to tissue that stays behind; the capsule is not a cut surface.",
    "Portal branches are end vessels: a divided branch takes the inflow of everything downstream of it.",
    "A divided hepatic vein leaves its territory congested; venous collaterals are ignored, which is conservative.",
    "Artery and bile duct run with the portal branch; they are not segmented.",
    "Territories follow the nearest branch of each segmented tree: branches missing in a mask distort them.",
    "Intervals of remnants move the lesions' boundary and the vessels' forks; missing branches are not included.",
)


def to_record(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON-ready dictionary: no NaN, no infinity, no zero as a stand-in; numbers rounded to 1e-4."""
    limits = plan.protocol.limits
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "software": {"name": "liverplan", "version": __version__},
        "research_use_only": True,
        "input": _input(plan),
        "quality": [
            {"check": c.check, "status": c.status, "value": c.value, "message": c.message} for c in plan.quality.checks
        ],
        "segmentation": _segmentation(plan),
        "liver": _liver(plan),
        "lesions": [_lesion(f, plan.segmentation.has(Structure.COUINAUD)) for f in plan.findings],
        "margin_curve": [_curve_row(p, plan.remnant_known is not None) for p in plan.curve],
        "limits": {
            "wide_margin_mm": limits.wide_margin_mm,
            "flr_percent": limits.flr_percent,
            "source": f"{plan.protocol.id}, version {plan.protocol.version}",
        },
        "vessel_trees": {
            s.value: _tree(plan.trees.get(s), plan.missing_trees.get(s, ""))
            for s in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS)
        },
        "case": _case(plan),
        "resections": [resections.resection(plan, r) for r in plan.resections],
        "named_anatomy": resections.named_anatomy(plan),
        "measures": measures_to_json(plan.measures, limits),
        "eligibility": plan.decision.to_json(),
        "assumptions": list(ASSUMPTIONS),
    }
    return with_clinical(rounded(record), plan.wishes.clinical)


def _input(plan: Plan) -> dict[str, Any]:
    grid, facts = plan.volume.grid, plan.volume.facts
    return {
        "modality": plan.volume.modality,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "orientation": grid.orientation,
        "sha256": facts.get("sha256"),
        "series_uid": facts.get("series_uid"),
        "phase": facts.get("phase"),
    }


def _segmentation(plan: Plan) -> dict[str, Any]:
    segmentation = plan.segmentation
    structures = {}
    for structure in Structure:
        if structure is Structure.LIVER_VESSELS and not segmentation.has(structure):
            continue
        present = segmentation.has(structure)
        volume_ml = float(segmentation.mask(structure).sum() * plan.volume.grid.voxel_ml) if present else None
        row: dict[str, Any] = {"volume_ml": volume_ml, "present": present}
        if present and structure in segmentation.confidence:
            row["confidence"] = asdict(segmentation.confidence[structure])
        structures[structure.value] = row
    model = dict(segmentation.model) if segmentation.model is not None else None
    return {"origin": segmentation.origin, "model": model, "structures": structures}


def stated_confidence(record: Mapping[str, Any]) -> dict[Structure, Confidence]:
    """What a model said of its masks, by structure, from report.json. Raises UnreadableInput when that is damaged."""
    with whole_report():
        rows = record["segmentation"]["structures"].items()
        return {
            Structure(name): Confidence(float(said["expected_dice"]), float(said["boundary_mm"]))
            for name, row in rows
            if (said := row.get("confidence"))
        }


def _liver(plan: Plan) -> dict[str, Any]:
    return {
        "volume_ml": plan.liver_ml.value,
        "volume_low_ml": plan.liver_ml.low,
        "volume_high_ml": plan.liver_ml.high,
        "tumour_volume_ml": plan.tumour_ml,
        "liver_segments": _segment_volumes(plan),
        "liver_segments_estimated": resections.estimated_segments(plan),
    }


def _segment_volumes(plan: Plan) -> dict[str, float] | None:
    """Volume in mL of each given Couinaud segment inside the liver; None without a map."""
    segmentation = plan.segmentation
    if not segmentation.has(Structure.COUINAUD):
        return None
    labels = segmentation.masks[Structure.COUINAUD][segmentation.mask(Structure.LIVER)]
    counts = np.bincount(labels, minlength=9)[1:9]
    return {str(n + 1): float(count * plan.volume.grid.voxel_ml) for n, count in enumerate(counts)}


def _lesion(finding: LesionFinding, segments_given: bool) -> dict[str, Any]:
    lesion, nearest = finding.lesion, finding.nearest_lesion
    return {
        "id": lesion.id,
        "volume_ml": lesion.volume_ml,
        "longest_diameter_mm": lesion.longest_diameter_mm,
        "longest_diameter_witness_lps_mm": lesion.longest_diameter_witness_lps_mm,
        "centroid_lps_mm": lesion.centroid_lps_mm,
        "segments": list(finding.segments) if finding.segments else None,
        "segments_source": ("given" if segments_given else "estimated") if finding.segments else None,
        "capsule_distance_mm": finding.capsule.value_mm,
        "capsule_distance": _with_witness(finding.capsule),
        "nearest_lesion_mm": nearest[0].value_mm if nearest else None,
        "nearest_lesion": _with_witness(nearest[0]) | {"lesion_id": nearest[1]} if nearest else None,
        "vessels": [_vessel(v) for v in finding.vessels],
        "margin_upper_mm": _bound(finding.upper),
        "margin_planned_mm": resections.planned_margin(finding.planned),
        "vessel_choices": [resections.choice(c) for c in finding.choices],
        "limiting": _limiting(finding.upper, finding.limiting_kind),
        "wide_margin": finding.verdict.wide_margin,
        "reason": finding.verdict.reason,
    }


def _vessel(finding: VesselFinding) -> dict[str, Any]:
    clearance = finding.clearance
    known = isinstance(clearance, Distance)
    return {
        "structure": finding.structure.value,
        "clearance_mm": _distance(clearance) if isinstance(clearance, Distance) else _unknown(clearance),
        "witness_lps_mm": clearance.witness_lps_mm if isinstance(clearance, Distance) else None,
        "contact": finding.contact if known else None,
        "diameter_mm": finding.diameter_mm,
    }


def _curve_row(point: CurvePoint, remnant_unknown: bool) -> dict[str, Any]:
    row = {name: getattr(point, name) for name in point.__dataclass_fields__}
    if remnant_unknown:
        row |= {name: None for name in row if "flr" in name or "remnant" in name}
    return row


def _case(plan: Plan) -> dict[str, Any]:
    kind = plan.upper.limit.kind if isinstance(plan.upper, UpperBound) else "none"
    return {
        "margin_upper_mm": _bound(plan.upper),
        "geometric_margin_upper_mm": _bound(plan.geometric_upper),
        "wide_margin": plan.verdict.wide_margin,
        "reason": plan.verdict.reason,
        "affected_by_vessels": plan.affected_by_vessels,
        "predicted_fresh_margin_mm": resections.fresh_margins(plan.fresh),
        "sensitivity": resections.sensitivity(plan.sensitivity),
        "best_resection": plan.resections[0].name if plan.resections else None,
        "planned_for_mm": plan.wishes.margin_mm or plan.protocol.limits.wide_margin_mm,
        "limiting": _limiting(plan.upper, kind),
    }


def _tree(tree: VesselTree | None, why_missing: str) -> dict[str, Any]:
    if tree is None:
        nothing: dict[str, Any] = {"present": False, "roots": [], "n_branches": None, "length_mm": None, "gaps": []}
        return nothing | {"confidence": "warning", "message": why_missing}
    roots = [
        {"position_lps_mm": tree.points_lps_mm[r].tolist(), "diameter_mm": 2.0 * float(tree.radius_mm[r])}
        for r in tree.roots
    ]
    gaps = [{"from_lps_mm": g.start_lps_mm, "to_lps_mm": g.end_lps_mm, "length_mm": g.length_mm} for g in tree.gaps]
    return {
        "present": True,
        "roots": roots,
        "n_branches": int(tree.branch.max()) + 1,
        "length_mm": tree.length_mm,
        "gaps": gaps,
        "confidence": "warning" if tree.warnings or tree.gaps else "ok",
        "message": "; ".join((*tree.warnings, *_gap_message(tree))) or "a connected tree with its root",
    }


def _gap_message(tree: VesselTree) -> tuple[str, ...]:
    if not tree.gaps:
        return ()
    longest = max(g.length_mm for g in tree.gaps)
    return (f"{len(tree.gaps)} gaps in the mask bridged, the longest {longest:.1f} mm",)


def _limiting(bound: UpperBound | Unknown, kind: str) -> dict[str, Any]:
    limit = bound.limit if isinstance(bound, UpperBound) else Limit(kind)
    structure = limit.structure.value if limit.structure is not None else None
    return {"kind": kind, "structure": structure, "witness_lps_mm": limit.witness_lps_mm}


def _bound(bound: UpperBound | Unknown) -> dict[str, Any]:
    return _unknown(bound) if isinstance(bound, Unknown) else _quantity(bound.margin_mm)


def _distance(distance: Distance) -> dict[str, Any]:
    return _quantity(distance.quantity) | {"terms": dict(distance.terms_mm)}


def _with_witness(distance: Distance) -> dict[str, Any]:
    return _quantity(distance.quantity) | {"witness_lps_mm": distance.witness_lps_mm}


def _quantity(quantity: Quantity) -> dict[str, Any]:
    return {"value": quantity.value, "low": quantity.low, "high": quantity.high}


def _unknown(unknown: Unknown) -> dict[str, Any]:
    return {"value": None, "reason": unknown.reason}


def rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        # + 0.0 turns the -0.0 that rounding leaves into 0.0.
        return round(value, _DECIMALS) + 0.0
    return value

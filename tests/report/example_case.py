"""A hand-made case whose report, masks, surfaces and image agree with one another: closed-form shapes, no scan."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.mesh import Mesh, surface_of_mask
from liverplan.volume import Grid, Segmentation, Volume

LIVER_CENTRE = np.array([-40.0, 0.0, 0.0])
LIVER_AXES = np.array([90.0, 65.0, 65.0])
LESIONS = ((np.array([-74.0, -12.0, 24.0]), 14.0), (np.array([-1.0, -15.5, 24.0]), 8.0))
TUBES = {
    Structure.PORTAL_VEIN: (
        ((4, 16, -62), (-20, 6, -14), 6.5),
        ((-20, 6, -14), (-56, 4, -4), 5.0),
        ((-56, 4, -4), (-98, -14, 4), 3.0),
        ((-56, 4, -4), (-92, 24, -22), 3.0),
        ((-20, 6, -14), (16, -14, 2), 4.5),
        ((16, -14, 2), (26, -30, 12), 2.5),
    ),
    Structure.HEPATIC_VEINS: (
        ((-24, 44, 44), (-66, 26, 26), 4.5),
        ((-66, 26, 26), (-104, -6, -16), 3.0),
        ((-22, 42, 44), (-34, 0, 18), 4.0),
        ((-34, 0, 18), (-46, -34, -20), 2.5),
        ((-20, 42, 44), (10, 0, 22), 4.0),
        ((10, 0, 22), (30, -12, 16), 2.5),
    ),
    Structure.VENA_CAVA: (((-20, 52, -70), (-22, 50, 62), 11.0),),
}
INCLUSION = (
    "Age >= 18 years",
    "ECOG 0-1",
    "Colorectal liver metastasis diagnosed",
    "Primary resected or resectable 4-6 weeks after hepatectomy",
    "At most 5 liver metastases",
    "No extrahepatic metastases, or radically resected",
    "R0 and a wide margin (>= 7 mm) technically possible, not affected by intrahepatic vessels",
    "Child-Pugh A and remaining liver volume >= 30 %",
    "No clear surgical contraindication",
    "Informed consent signed",
    "Good compliance",
)
EXCLUSION = (
    "Untreated extrahepatic metastases",
    "Staged hepatectomy planned (PVE, ALPPS)",
    "More than 5 liver metastases before chemotherapy",
    "Portal vein tumour thrombus or hepatic vein invasion",
    "Another malignancy, uncured or less than 5 years ago",
    "Expected survival <= 6 months",
    "Psychotropic substance abuse or mental disorder",
    "Immunodeficiency or autoimmune disease",
    "Serious concomitant disease",
    "Unable to understand the study",
)
CRITERIA = (
    *((f"I{number}", "inclusion", text) for number, text in enumerate(INCLUSION, 1)),
    *((f"E{number}", "exclusion", text) for number, text in enumerate(EXCLUSION, 1)),
)


def grid(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5)) -> Grid:
    shape = tuple(int(np.ceil(n / s)) for n, s in zip((220, 170, 160), spacing_mm, strict=True))
    return Grid.from_spacing(shape, spacing_mm, (-150.0, -85.0, -80.0))


@lru_cache(maxsize=2)
def segmentation(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5)) -> Segmentation:
    lattice = grid(spacing_mm)
    points = lattice.to_world(np.stack(np.indices(lattice.shape), axis=-1))
    masks = {Structure.LIVER: np.linalg.norm((points - LIVER_CENTRE) / LIVER_AXES, axis=-1) <= 1.0}
    lesions = np.zeros(lattice.shape, dtype=np.uint8)
    for number, (centre, radius) in enumerate(LESIONS, 1):
        lesions[np.linalg.norm(points - centre, axis=-1) <= radius] = number
    for structure, tubes in TUBES.items():
        masks[structure] = np.any([_to_axis(points, a, b) <= r for a, b, r in tubes], axis=0)
    return Segmentation(lattice, {s: m.astype(np.uint8) for s, m in masks.items()} | {Structure.LESIONS: lesions})


def volume(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5)) -> Volume:
    """A portal-phase look: liver 105 HU, veins brighter, lesions darker."""
    masks = segmentation(spacing_mm)
    image = np.full(masks.grid.shape, -60.0, dtype=np.float32)
    for structure, hu in ((Structure.LIVER, 105), (Structure.HEPATIC_VEINS, 165), (Structure.PORTAL_VEIN, 175)):
        image[masks.mask(structure)] = hu
    image[masks.mask(Structure.VENA_CAVA)] = 150
    image[masks.mask(Structure.LESIONS)] = 60
    return Volume(masks.grid, image + np.random.default_rng(1).normal(0, 10, image.shape).astype(np.float32))


def meshes(spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5)) -> dict[str, Mesh]:
    masks = segmentation(spacing_mm)
    points = masks.grid.to_world(np.stack(np.indices(masks.grid.shape), axis=-1))
    surfaces = {s.value: surface_of_mask(masks.mask(s), masks.grid) for s in masks.masks if s is not Structure.LESIONS}
    for number in range(1, len(LESIONS) + 1):
        lesion = np.asarray(masks.masks[Structure.LESIONS] == number)
        surfaces[f"lesion_{number}"] = surface_of_mask(lesion, masks.grid)
    near = np.any([np.linalg.norm(points - c, axis=-1) <= r + 7.0 for c, r in LESIONS], axis=0)
    surfaces["margin_shell"] = surface_of_mask(near & masks.mask(Structure.LIVER), masks.grid)
    return surfaces


PLAN_RADIUS_MM = LESIONS[0][1] + 8.0
"""The plan: a ball around lesion 1 that leaves 8 mm everywhere; lesion 2 stays."""


def planned_surface_and_mask(spacing_mm: tuple[float, float, float]) -> tuple[Mesh, np.ndarray]:
    """The cut of the plan `wedges`, and its specimen (i, j, k)."""
    masks = segmentation(spacing_mm)
    points = masks.grid.to_world(np.stack(np.indices(masks.grid.shape), axis=-1))
    ball = np.linalg.norm(points - LESIONS[0][0], axis=-1) <= PLAN_RADIUS_MM
    specimen = ball & masks.mask(Structure.LIVER)
    return surface_of_mask(specimen, masks.grid), specimen.astype(np.uint8)


def _resection() -> dict[str, Any]:
    centre, radius = LESIONS[0]
    down = np.array([0.0, 0.0, -1.0])
    witness = [(centre + radius * down).tolist(), (centre + PLAN_RADIUS_MM * down).tolist()]
    first = {"lesion_id": 1, **_around(8.0, 0.6), "witness_lps_mm": witness, "terms": {"segmentation_mm": 0.5}}
    second = {"lesion_id": 2, **_around(9.1, 0.7), "witness_lps_mm": witness, "terms": {"segmentation_mm": 0.5}}
    return {
        "name": "wedges",
        "kind": "wedge",
        "mask": "resections/wedges.nii.gz",
        "margin_mm": [
            first | {"set_by": "parenchyma", "structure": None},
            second | {"set_by": "vessel", "structure": "hepatic_veins"},
        ],
        "volume_ml": _around(44.6, 3.0),
        "remnant_ml": 1548.2,
        "flr_percent": _around(71.3, 1.4) | {"terms": {"territories_points": 1.0}},
        "flr_standardised_percent": {"urata": 84.5},
        "devascularised_ml": 120.4,
        "congested_ml": 301.7,
        "divided_vessels": [
            {"structure": "portal_vein", "branch": "segment 8", "diameter_mm": 3.4, "territory_ml": 48.3}
        ],
        "cut_area_cm2": 60.8,
        "meets_protocol": "met",
        "reason": "margin 8.0 mm [7.4 to 8.6], asked 7 mm",
        "functional_remnant_ml": _around(1126.0, 22.0),
        "geometric_flr_percent": _around(97.2, 0.4),
        "flr_to_weight_percent": {"value": None, "reason": "weight is not recorded"},
        "denominators_disagree": [],
        "probability": {"margin_at_least_limit": 0.9995, "flr_at_least_limit": 1.0},
        "score": {
            "safety_margin_mm": 8.0,
            "remnant_ml": 1534.6,
            "perfused_percent": 73.4,
            "curvature_per_mm": 0.045,
            "area_cm2": 60.8,
        },
        "notes": ["given as a label map"],
    }


def _names(variants: list[str], why_numbered: str | None) -> dict[str, Any]:
    branch = {"name": "right portal vein", "confidence": 0.9, "diameter_mm": 11.6, "territory_ml": 1018.9}
    return {
        "named": why_numbered is None,
        "note": why_numbered,
        "variants": variants,
        "remarks": [],
        "branches": [branch] if why_numbered is None else [],
        "n_numbered": 0 if why_numbered is None else 6,
    }


def _choice() -> dict[str, Any]:
    return {
        "structure": "hepatic_veins",
        "branch": "left hepatic vein",
        "diameter_mm": 5.0,
        "if_kept_margin_mm": _around(3.3, 0.8),
        "if_kept_witness_lps_mm": [[0, 0, 0], [3, 0, 0]],
        "if_divided_territory_ml": 363.0,
        "if_divided_territory_percent": 22.9,
    }


def report() -> dict[str, Any]:
    """A report that satisfies schema 1: lesion 1 with room, lesion 2 undetermined beside the left hepatic vein."""
    lesions = [_lesion(1), _lesion(2)]
    return {
        "schema_version": "1",
        "software": {"name": "liverplan", "version": "0.1.0"},
        "research_use_only": True,
        "input": {
            "modality": "CT",
            "shape": [110, 85, 64],
            "spacing_mm": [2.0, 2.0, 2.5],
            "orientation": "LPS",
            "sha256": "ab" * 32,
            "series_uid": None,
            "phase": "portal venous",
        },
        "quality": [
            {"check": "slice_thickness", "status": "warning", "value": 2.5, "message": "2.5 mm slices: add 2.0 mm."},
            {"check": "phase", "status": "ok", "value": "portal venous", "message": "Vessels 60 HU above the liver."},
            {"check": "coverage", "status": "ok", "value": None, "message": "The whole liver is in the field of view."},
        ],
        "segmentation": {
            "origin": "given",
            "model": None,
            "structures": {
                "liver": {"volume_ml": 1592.8, "present": True},
                "lesions": {"volume_ml": 13.6, "present": True},
                "portal_vein": {"volume_ml": 16.2, "present": True},
                "hepatic_veins": {"volume_ml": 14.9, "present": True},
                "inferior_vena_cava": {"volume_ml": 50.2, "present": True},
                "couinaud": {"volume_ml": None, "present": False},
            },
        },
        "liver": {
            "volume_ml": 1592.8,
            "volume_low_ml": 1561.0,
            "volume_high_ml": 1624.7,
            "tumour_volume_ml": 13.6,
            "standardised_volume_ml": None,
            "liver_segments": None,
        },
        "lesions": lesions,
        "margin_curve": [_row(m) for m in range(31)],
        "limits": {"wide_margin_mm": 7.0, "flr_percent": 30.0, "source": "NCT06934018, inclusion criteria 7 and 8"},
        "vessel_trees": {
            "portal_vein": _tree((4, 16, -62), 13.0, 6, 214.0, []),
            "hepatic_veins": _tree((-22, 43, 44), 9.0, 6, 238.0, [((-34, 0, 18), (-36, -4, 15), 5.4)]),
        },
        "case": {
            "margin_upper_mm": lesions[1]["margin_upper_mm"],
            "wide_margin": "undetermined",
            "reason": "The 7 mm limit lies inside the interval of lesion 2 to the hepatic veins.",
            "affected_by_vessels": None,
            "predicted_fresh_margin_mm": {
                "cusa": _around(4.5, 4.5) | {"p_at_least_7": 0.1413, "title": "CUSA", "illustrative": True}
            },
            "best_resection": "wedges",
            "limiting": lesions[1]["limiting"],
        },
        "resections": [_resection()],
        "named_anatomy": {"portal_vein": _names(["trifurcation"], None), "hepatic_veins": _names([], "two roots")},
        "eligibility": {
            "protocol": "NCT06934018",
            "version": "1.0",
            "sha256": "cd" * 32,
            "verdict": "undetermined",
            "criteria": [_criterion(*entry) for entry in CRITERIA],
        },
        "assumptions": [
            "Portal branches are end vessels.",
            "A divided hepatic vein leaves its territory congested; venous collaterals are ignored.",
            "Artery and bile duct run with the portal branch.",
        ],
    }


def _to_axis(points: np.ndarray, a: Any, b: Any) -> np.ndarray:
    """Distance (...) from points (..., 3) to the segment a-b."""
    return np.linalg.norm(points - _foot(points, a, b), axis=-1)


def _foot(points: np.ndarray, a: Any, b: Any) -> np.ndarray:
    start, along = np.array(a, dtype=float), np.array(b, dtype=float) - np.array(a, dtype=float)
    t = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
    return start + t[..., None] * along


def _clearance(number: int, structure: Structure) -> dict[str, Any]:
    centre, radius = LESIONS[number - 1]
    gap, foot, tube = min(
        (
            (round(float(_to_axis(centre, a, b)) - radius - r, 3), _foot(centre, a, b), r)
            for a, b, r in TUBES[structure]
        ),
        key=lambda candidate: float(candidate[0]),
    )
    along = (foot - centre) / np.linalg.norm(foot - centre)
    return {
        "structure": structure.value,
        "clearance_mm": _around(gap, 0.8),
        "witness_lps_mm": [(centre + radius * along).round(2).tolist(), (foot - tube * along).round(2).tolist()],
        "contact": bool(gap <= 0),
        "diameter_mm": 2 * tube,
    }


def _lesion(number: int) -> dict[str, Any]:
    centre, radius = LESIONS[number - 1]
    vessels = sorted((_clearance(number, s) for s in TUBES), key=lambda v: v["clearance_mm"]["value"])
    other, other_radius = LESIONS[2 - number]
    apart = float(np.linalg.norm(centre - other))
    along = (other - centre) / apart
    touching = [(centre + radius * along).round(2).tolist(), (other - other_radius * along).round(2).tolist()]
    capsule = float((1 - np.linalg.norm((centre - LIVER_CENTRE) / LIVER_AXES)) * 55 - radius)
    across = np.array([radius, 0.0, 0.0])
    ends = [(centre - across).tolist(), (centre + across).tolist()]
    gap = float(round(apart - radius - other_radius, 2))
    first = number == 1
    return {
        "id": number,
        "volume_ml": round(float(4 / 3 * np.pi * radius**3) / 1000, 2),
        "longest_diameter_mm": 2 * radius,
        "longest_diameter_witness_lps_mm": ends,
        "centroid_lps_mm": centre.tolist(),
        "segments": [8] if first else None,
        "capsule_distance_mm": round(capsule, 2),
        "capsule_distance": {**_around(capsule, 0.8), "witness_lps_mm": ends},
        "nearest_lesion_mm": gap,
        "nearest_lesion": {**_around(gap, 1.0), "witness_lps_mm": touching, "lesion_id": 3 - number},
        "vessels": vessels,
        "margin_upper_mm": {"value": 11.4, "low": 10.6, "high": 12.2} if first else vessels[0]["clearance_mm"],
        "margin_planned_mm": None,
        "vessel_choices": [_choice()],
        "limiting": {
            "kind": "vessel",
            "structure": vessels[0]["structure"],
            "witness_lps_mm": vessels[0]["witness_lps_mm"],
        },
        "wide_margin": "undetermined",
        "reason": "no resection plan has been measured" if first else "7 mm lies inside the interval",
    }


def _row(margin: int) -> dict[str, Any]:
    removed = min(sum(4 / 3 * np.pi * (r + margin) ** 3 for _, r in LESIONS) / 1000, 1500.0)
    inflow = 0.0 if margin < 5 else 30.0 * (margin - 4)
    outflow = 0.0 if margin < 7 else 25.0 * (margin - 6)
    both = 0.4 * min(inflow, outflow)
    functional = max(1592.8 - removed - inflow - outflow + both, 0.0)
    geometric_flr, flr = (100 * part / (1592.8 - 13.6) for part in (1592.8 - removed, functional))
    return {
        "margin_mm": margin,
        "removed_ml": removed,
        "devascularised_ml": inflow,
        "congested_ml": outflow,
        "devascularised_and_congested_ml": both,
        "remnant_ml": 1592.8 - removed,
        "functional_remnant_ml": functional,
        "flr_percent": flr,
        "geometric_flr_percent": geometric_flr,
        "flr_low_percent": max(flr - 1.2 - 0.15 * margin, 0.0),
        "flr_high_percent": min(flr + 1.2 + 0.1 * margin, 100.0),
        "geometric_flr_low_percent": geometric_flr - 0.8,
        "geometric_flr_high_percent": geometric_flr + 0.8,
    }


def _tree(root: tuple[float, ...], diameter: float, branches: int, length: float, gaps: list[Any]) -> dict[str, Any]:
    bridged = [{"from_lps_mm": list(a), "to_lps_mm": list(b), "length_mm": mm} for a, b, mm in gaps]
    return {
        "present": True,
        "roots": [{"position_lps_mm": list(root), "diameter_mm": diameter}],
        "n_branches": branches,
        "length_mm": length,
        "gaps": bridged,
        "confidence": "warning" if gaps else "ok",
        "message": f"{len(gaps)} gap bridged." if gaps else "One connected tree.",
    }


def _criterion(identifier: str, kind: str, text: str) -> dict[str, Any]:
    found = "2 lesions in the given masks."
    known: dict[str, dict[str, Any]] = {
        "I5": {"outcome": "met", "value": 2, "limit": 5, "evidence": found, "missing": []},
        "I7": {
            "value": _around(7.2, 0.8),
            "limit": 7.0,
            "unit": "mm",
            "evidence": "The interval holds 7 mm.",
            "missing": ["a measured resection", "r0_confirmed_by_surgeon"],
        },
    }
    empty = {"outcome": "undetermined", "value": None, "limit": None, "unit": None, "evidence": "Not recorded."}
    facts = {**empty, "missing": ["clinical record"], **known.get(identifier, {})}
    return {"id": identifier, "kind": kind, "text": text, "source": f"{kind} {identifier}", **facts}


def clinical() -> dict[str, Any]:
    """A clinical record in which one item of the Child-Pugh score is missing."""
    by = {"by": "laboratory", "date": "2026-11-02", "source": None}
    stated = {"value": 0, "unit": None, "by": None, "date": None, "source": None}
    return {
        "fields": {
            "bilirubin": {"value": 0.8, "unit": "mg/dL", **by},
            "ecog": stated,
            "primary_status": {**stated, "value": "in_situ_planned_after"},
            "prior_chemotherapy": {**stated, "value": False},
        },
        "child_pugh": {
            "score": {"value": 7.0, "low": 5.0, "high": 7.0},
            "grade": {"value": None, "reason": "class A to B"},
            "missing": ["encephalopathy_grade"],
            "near": [],
            "note": "",
        },
        "remarks": ["prior chemotherapy is no, but the counts differ"],
        "days_to_surgery": 12,
    }


def parts() -> list[dict[str, Any]]:
    """Parts of a composite criterion: one open, one that fails, one that a statement decided."""

    def part(says: str, outcome: str, **more: Any) -> dict[str, Any]:
        empty = {"measure": "r0_confirmed_by_surgeon", "value": None, "limit": True, "unit": None, "required": "yes"}
        return {"says": says, "outcome": outcome, **empty, "evidence": "Ask.", "missing": [], "outranked": [], **more}

    wide = {"measure": "margin.upper", "value": _around(3.2, 0.8), "limit": 7.0, "unit": "mm"}
    counted = {"outranked": [{"measure": "lesions.count", "value": _around(13.0, 0.0)}]}
    return [
        part("R0 resection possible", "undetermined", missing=["r0_confirmed_by_surgeon"]),
        part("wide margin achievable", "not_met", **wide, required="at least 7 mm", evidence="Too near the vena cava."),
        part("few metastases", "met", **counted, evidence="Stated 2 (by radiologist)."),
    ]


def _around(value: float, half_width: float) -> dict[str, float]:
    return {"value": value, "low": value - half_width, "high": value + half_width}

"""The part of report.json that is about resections, named anatomy and what follows from a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.fresh_margin import FreshMargin
from liverplan.lesions import Lesion
from liverplan.quantity import Distance, Measured, Unknown
from liverplan.resection.choices import VesselChoice
from liverplan.resection.cut import CutMargin
from liverplan.resection.measure import MeasuredResection
from liverplan.sensitivity import Sensitivity

if TYPE_CHECKING:
    from liverplan.plan import Plan


def measured(value: Measured) -> dict[str, Any]:
    """A quantity, or null with the reason."""
    if isinstance(value, Unknown):
        return {"value": None, "reason": value.reason}
    return {"value": value.value, "low": value.low, "high": value.high}


def resection(plan: Plan, found: MeasuredResection) -> dict[str, Any]:
    """One row of `resections`; shares over standardised volumes follow from the clinical record."""
    return row(found, plan.lesion_map.lesions, plan.remnant_known is None)


def row(found: MeasuredResection, lesions: Sequence[Lesion], remnant_known: bool) -> dict[str, Any]:
    """As `resection`, of a resection measured outside a plan, on lesions in the order of its margins."""
    return {
        "name": found.name,
        "kind": found.kind,
        "mask": f"resections/{found.name}.nii.gz",
        "margin_mm": [
            {"lesion_id": lesion.id, **cut_margin(m)} for lesion, m in zip(lesions, found.margins, strict=True)
        ],
        "volume_ml": measured(found.volume_ml),
        "remnant_ml": found.remnant_ml if remnant_known else None,
        "flr_percent": measured(found.flr_percent) | _terms(found.flr_terms_points),
        "devascularised_ml": found.devascularised_ml if remnant_known else None,
        "congested_ml": found.congested_ml if remnant_known else None,
        "divided_vessels": [
            {
                "structure": v.structure.value,
                "branch": v.branch,
                "diameter_mm": v.diameter_mm,
                "territory_ml": v.territory_ml if remnant_known else None,
            }
            for v in found.divided
        ],
        "cut_area_cm2": found.surface.area_cm2,
        "meets_protocol": found.meets,
        "reason": found.reason,
        "functional_remnant_ml": measured(found.functional_remnant_ml),
        "geometric_flr_percent": measured(found.geometric_flr_percent),
        "probability": {"margin_at_least_limit": found.p_margin, "flr_at_least_limit": found.p_flr},
        "score": {name: getattr(found.score, name) for name in found.score.__dataclass_fields__}
        if remnant_known
        else None,
        "notes": list(found.notes),
    }


def cut_margin(margin: CutMargin) -> dict[str, Any]:
    """A lesion's margin in a resection, with its witness, its terms and what sets it."""
    if isinstance(margin.distance, Unknown):
        return {"value": None, "reason": margin.distance.reason}
    structure = margin.structure.value if margin.structure is not None else None
    return {
        **measured(margin.distance.quantity),
        "witness_lps_mm": margin.distance.witness_lps_mm,
        "terms": dict(margin.distance.terms_mm),
        "set_by": margin.by,
        "structure": structure,
    }


def planned_margin(planned: Distance | Unknown) -> dict[str, Any] | None:
    """`margin_planned_mm`: null where no resection takes the lesion out."""
    return measured(planned.quantity) if isinstance(planned, Distance) else None


def choice(found: VesselChoice) -> dict[str, Any]:
    return {
        "structure": found.structure.value,
        "branch": found.branch,
        "diameter_mm": found.diameter_mm,
        "if_kept_margin_mm": measured(found.margin_if_kept.quantity),
        "if_kept_witness_lps_mm": found.margin_if_kept.witness_lps_mm,
        "if_divided_territory_ml": found.territory_ml,
        "if_divided_territory_percent": found.territory_percent,
    }


def sensitivity(found: Sensitivity) -> dict[str, Any]:
    """The case under shifts of the lesions' boundary, and the probabilities that follow from its spread."""
    return {
        "boundary_shifts": [asdict(row) for row in found.rows],
        "p_margin_upper_at_least_limit": found.p_bound,
        "p_flr_at_wide_margin_at_least_limit": found.p_flr,
    }


def fresh_margins(fresh: Mapping[str, FreshMargin] | Unknown) -> dict[str, Any]:
    """By device; `p_at_least_7` (the number is the protocol's limit in mm) as contract section 4 names it."""
    if isinstance(fresh, Unknown):
        return {"value": None, "reason": fresh.reason}
    return {
        device: {
            **measured(f.margin_mm),
            f"p_at_least_{f.limit_mm:g}": f.p_at_least,
            "title": f.title,
            "illustrative": f.illustrative,
        }
        for device, f in fresh.items()
    }


def named_anatomy(plan: Plan) -> dict[str, Any]:
    """Names of each tree's branches with what they serve, variants, and why a tree is only numbered."""
    return {s.value: _names(plan, s) for s in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS) if s in plan.names}


def estimated_segments(plan: Plan) -> dict[str, Any] | None:
    """Couinaud segments as the trees suggest them: mL and confidence of each; null without both trees."""
    estimate = plan.segments
    if estimate is None:
        return None
    volumes = np.bincount(estimate.labels, plan.field.cells.volume_ml, minlength=9)
    return {
        "volume_ml": {str(n): float(volumes[n]) for n in range(1, 9) if n in estimate.confidence},
        "confidence": {str(n): value for n, value in estimate.confidence.items()},
        "unlabelled_ml": float(volumes[0]),
        "note": estimate.note,
    }


def _names(plan: Plan, structure: Structure) -> dict[str, Any]:
    names = plan.names[structure]
    loss = plan.field.portal if structure is Structure.PORTAL_VEIN else plan.field.hepatic
    assert loss is not None
    served = np.bincount(loss.node, plan.field.cells.volume_ml, minlength=len(loss.tree.parent))
    branches = [
        {
            "name": name,
            "confidence": names.confidence[name],
            "diameter_mm": 2.0 * float(np.max(names.tree.radius_mm[names.nodes(name)])),
            "territory_ml": float(served[names.subtree(name)].sum()),
        }
        for name in names.names
    ]
    return {
        "named": names.named,
        "note": names.note,
        "variants": list(names.variants),
        "remarks": list(names.remarks),
        "branches": branches if names.named else [],
        "n_numbered": 0 if names.named else len(names.names),
    }


def _terms(terms: Mapping[str, float]) -> dict[str, Any]:
    return {"terms": dict(terms)} if terms else {}

"""What a plan of a phantom should find, computed from the shapes and never from voxels. Written as truth.json.

Schema 1. Lengths mm, volumes mL, fractions percent, points LPS mm. `null` is what does not exist (no lesions).

    schema_version "1", research_use_only true, seed, modality
    liver {volume_ml, standard_error_ml, tumour_volume_ml}
    lesions [ {id 1.., kind "sphere"|"ellipsoid", centroid_lps_mm, semi_axes_mm, axes (rows), volume_ml,
               longest_diameter_mm, capsule_distance_mm, capsule_witness_lps_mm,
               nearest_lesion_mm|null, nearest_lesion_witness_lps_mm|null,
               vessels [ {structure, clearance_mm, witness_lps_mm [lesion surface, vessel wall], diameter_mm} ],
               margin_upper_mm|null, limiting} ]
    margin_curve [ {margin_mm 0..30, removed_ml, devascularised_ml, congested_ml, remnant_ml,
                    flr_percent, geometric_flr_percent} ]
    case {margin_upper_mm|null, standard_error_mm|null,
          limiting {kind "vessel"|"remnant"|"lesion"|"none", structure|null, witness_lps_mm|null}}
    method {what was exact and what was sampled}

Exact: lesion volumes, clearances with witnesses, distances between lesions (all convex, to 1e-6 mm); the capsule
distance (a search over directions, refined to 1e-6 mm; the liver's surface includes its bed of the vena cava).
Sampled: the liver's volume, the curve and the largest margins, by scrambled Sobol points with fixed seeds; the
standard error is that of the mean of independent scrambles.
The liver is the whole organ with lesions and intrahepatic vessels, without the vena cava. devascularised_ml and
congested_ml count, each for itself, what is not removed but has lost inflow or outflow; a point may be in both.
margin_upper_mm: the largest margin with flr_percent >= 30 and no lesion nearer to the vena cava; the main portal vein
needs no clause of its own, since losing it loses everything. Per lesion the others are held at 7 mm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.phantom.clearance import Gap, gap_between, gap_to_surface, gap_to_tree
from liverplan.phantom.loss import LossField, loss_field
from liverplan.phantom.shapes import Blob, Ellipsoid, Sphere
from liverplan.volume import FloatArray

if TYPE_CHECKING:
    from liverplan.phantom.patient import Phantom

VESSELS = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA)
MARGINS_MM = tuple(range(31))
REMNANT_PERCENT = 30.0
OTHERS_HELD_AT_MM = 7.0
"""The protocol's limits (trial NCT06934018); a phantom's truth is stated for them."""


def truth_of(phantom: Phantom, log2_points: int = 17) -> dict[str, Any]:
    """The truth as plain JSON values, from eight times 2^log2_points points; about ten seconds per patient."""
    field = loss_field(phantom.liver, phantom.portal, phantom.hepatic, phantom.lesions, log2_points=log2_points)
    tumour_ml = float(sum(lesion.volume_ml for lesion in phantom.lesions))
    counts = np.bincount(field.replicate.astype(int), minlength=field.n_replicates)
    per_replicate = counts * field.weight_ml * field.n_replicates
    gaps = [{s: gap_to_tree(lesion, phantom.tree(s)) for s in VESSELS} for lesion in phantom.lesions]
    return {
        "schema_version": "1",
        "research_use_only": True,
        "seed": phantom.seed,
        "modality": phantom.modality,
        "liver": {
            "volume_ml": float(per_replicate.mean()),
            "standard_error_ml": _standard_error(per_replicate.astype(np.float64)),
            "tumour_volume_ml": tumour_ml,
        },
        "lesions": [_lesion(phantom, number, gaps[number], field, tumour_ml) for number in range(len(gaps))],
        "margin_curve": _curve(field, tumour_ml),
        "case": _case(phantom, gaps, field, tumour_ml),
        "method": _method(field),
    }


def _lesion(
    phantom: Phantom, number: int, gaps: dict[Structure, Gap], field: LossField, tumour_ml: float
) -> dict[str, Any]:
    blob = phantom.lesions[number]
    capsule = gap_to_surface(blob, phantom.liver)
    others = [gap_between(blob, other) for other in phantom.lesions if other is not blob]
    nearest = min(others, key=lambda gap: gap.value_mm, default=None)
    upper, limiting = _lesion_upper(phantom, number, gaps, field, tumour_ml)
    return {
        "id": number + 1,
        **_geometry(blob),
        "capsule_distance_mm": capsule.value_mm,
        "capsule_witness_lps_mm": _points(capsule),
        "nearest_lesion_mm": None if nearest is None else nearest.value_mm,
        "nearest_lesion_witness_lps_mm": None if nearest is None else _points(nearest),
        "vessels": [_vessel(phantom, structure, gap) for structure, gap in gaps.items()],
        "margin_upper_mm": upper,
        "limiting": limiting,
    }


def _geometry(blob: Blob) -> dict[str, Any]:
    if isinstance(blob, Sphere):
        kind, semi, axes = "sphere", (blob.radius_mm,) * 3, np.eye(3)
    elif isinstance(blob, Ellipsoid):
        kind, semi, axes = "ellipsoid", blob.semi_axes_mm, np.array(blob.axes)
    else:
        raise TypeError(f"no truth for a lesion of kind {type(blob).__name__}")
    return {
        "kind": kind,
        "centroid_lps_mm": list(blob.centre_mm),
        "semi_axes_mm": [float(v) for v in semi],
        "axes": axes.tolist(),
        "volume_ml": blob.volume_ml,
        "longest_diameter_mm": 2.0 * float(max(semi)),
    }


def _vessel(phantom: Phantom, structure: Structure, gap: Gap) -> dict[str, Any]:
    tree = phantom.tree(structure)
    segment = int(tree.nearest_wall_segment(np.array([gap.witness_lps_mm[1]]))[0])
    return {
        "structure": structure.value,
        "clearance_mm": gap.value_mm,
        "witness_lps_mm": _points(gap),
        "diameter_mm": 2.0 * float(tree.radius_mm[segment]),
    }


def _curve(field: LossField, tumour_ml: float) -> list[dict[str, float]]:
    """The remnant against the margin, 0 to 30 mm; without lesions nothing is ever lost."""
    parts = (field.removed, field.inflow, field.outflow)
    removed, inflow, outflow = (part.min(0, initial=np.inf) for part in parts)
    total_ml = removed.size * field.weight_ml
    healthy_ml = total_ml - tumour_ml
    rows = []
    for margin in MARGINS_MM:
        cut, dry, congested = removed <= margin, inflow <= margin, outflow <= margin
        remnant_ml = float((~(cut | dry | congested)).sum()) * field.weight_ml
        removed_ml = float(cut.sum()) * field.weight_ml
        rows.append(
            {
                "margin_mm": margin,
                "removed_ml": removed_ml,
                "devascularised_ml": float((dry & ~cut).sum()) * field.weight_ml,
                "congested_ml": float((congested & ~cut).sum()) * field.weight_ml,
                "remnant_ml": remnant_ml,
                "flr_percent": 100.0 * remnant_ml / healthy_ml,
                "geometric_flr_percent": 100.0 * (total_ml - removed_ml) / healthy_ml,
            }
        )
    return rows


def _case(phantom: Phantom, gaps: list[dict[Structure, Gap]], field: LossField, tumour_ml: float) -> dict[str, Any]:
    if not gaps:
        limiting = {"kind": "none", "structure": None, "witness_lps_mm": None}
        return {"margin_upper_mm": None, "standard_error_mm": None, "limiting": limiting}
    loss = field.loss.min(0)
    allowed = _largest_margin(loss, field.weight_ml, loss.size * field.weight_ml - tumour_ml)
    cava = min((gap[Structure.VENA_CAVA] for gap in gaps), key=lambda gap: gap.value_mm)
    return {
        "margin_upper_mm": min(allowed, cava.value_mm),
        "standard_error_mm": _upper_error(field, tumour_ml) if allowed < cava.value_mm else 0.0,
        "limiting": _limiting(phantom, field, range(len(gaps)), allowed, cava),
    }


def _lesion_upper(
    phantom: Phantom, number: int, gaps: dict[Structure, Gap], field: LossField, tumour_ml: float
) -> tuple[float | None, dict[str, Any]]:
    """The largest margin of one lesion while the others have theirs of 7 mm; None when those alone cost too much."""
    loss = field.loss
    kept = np.delete(loss, number, axis=0).min(0, initial=np.inf) > OTHERS_HELD_AT_MM
    healthy_ml = loss.shape[1] * field.weight_ml - tumour_ml
    allowed = _largest_margin(np.where(kept, loss[number], -np.inf), field.weight_ml, healthy_ml)
    if allowed == -np.inf:
        return None, {"kind": "lesion", "structure": None, "witness_lps_mm": None}
    cava = gaps[Structure.VENA_CAVA]
    return min(allowed, cava.value_mm), _limiting(phantom, field, [number], allowed, cava)


def _largest_margin(loss: FloatArray, weight_ml: float, healthy_ml: float) -> float:
    """The largest m with {loss > m} still 30 % of the healthy liver: a quantile of the losses."""
    needed = int(np.ceil(REMNANT_PERCENT / 100.0 * healthy_ml / weight_ml))
    return float(np.partition(loss, loss.size - needed)[loss.size - needed])


def _upper_error(field: LossField, tumour_ml: float) -> float:
    uppers = []
    for replicate in range(field.n_replicates):
        loss = field.loss[:, field.replicate == replicate].min(0)
        weight_ml = field.weight_ml * field.n_replicates
        uppers.append(_largest_margin(loss, weight_ml, loss.size * weight_ml - tumour_ml))
    return _standard_error(np.array(uppers, dtype=np.float64))


def _limiting(
    phantom: Phantom, field: LossField, lesions: range | list[int], allowed: float, cava: Gap
) -> dict[str, Any]:
    """What stops a larger margin: the vena cava, a branch whose division costs the remnant, or the volume itself."""
    if cava.value_mm <= allowed:
        return {"kind": "vessel", "structure": Structure.VENA_CAVA.value, "witness_lps_mm": _points(cava)}
    rows = list(lesions)
    parts = np.array([part[rows].min(0) for part in (field.removed, field.inflow, field.outflow)])
    # What is lost next: the points whose loss is at the limit, by the way in which most of them are lost.
    at_limit = np.abs(parts.min(0) - allowed) <= 0.02
    cause = int(np.bincount(parts[:, at_limit].argmin(0), minlength=3).argmax())
    if cause == 0:
        return {"kind": "remnant", "structure": None, "witness_lps_mm": None}
    structure = VESSELS[cause - 1]
    witness = _branch_witness(phantom, structure, [phantom.lesions[row] for row in rows], allowed)
    return {"kind": "vessel", "structure": structure.value, "witness_lps_mm": witness}


def _branch_witness(
    phantom: Phantom, structure: Structure, lesions: list[Blob], clearance_mm: float
) -> list[list[float]]:
    """Lesion surface and vessel wall where the wall clearance is `clearance_mm`."""
    tree = phantom.tree(structure)
    axis, owner = tree.axis_points(0.1)
    off = np.array([np.abs(b.distance_mm(axis) - tree.radius_mm[owner] - clearance_mm) for b in lesions])
    lesion, place = np.unravel_index(int(off.argmin()), off.shape)
    surface = lesions[lesion].surface_point(axis[place][None])[0]
    towards = surface - axis[place]
    wall = axis[place] + tree.radius_mm[owner[place]] * towards / np.linalg.norm(towards)
    return [surface.tolist(), wall.tolist()]


def _method(field: LossField) -> dict[str, Any]:
    return {
        "exact": "lesion volumes, clearances, distances between lesions (1e-6 mm); capsule distance (refined search)",
        "sampled": "liver volume, margin curve, largest margins: scrambled Sobol points in the liver, fixed seeds",
        "points_in_liver": int(field.removed.shape[1]),
        "replicates": field.n_replicates,
        "remnant_limit_percent": REMNANT_PERCENT,
        "other_lesions_held_at_mm": OTHERS_HELD_AT_MM,
    }


def _points(gap: Gap) -> list[list[float]]:
    return [list(point) for point in gap.witness_lps_mm]


def _standard_error(values: FloatArray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(np.size(values)))

"""How well one segmentation agrees with another: overlap, surfaces, volumes, lesions found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.volume import BoolArray, Grid, Segmentation, bounding_box

SURFACE_TOLERANCE_MM = 2.0
SIZE_BINS_MM = ((0.0, 10.0), (10.0, 20.0), (20.0, float("inf")))
"""Equivalent sphere diameter of reference lesions."""
VENOUS_SYSTEM = "venous_system"
"""Hepatic veins and vena cava together: some references do not part them, or part them elsewhere."""
_SCORED = (
    Structure.LIVER,
    Structure.LESIONS,
    Structure.PORTAL_VEIN,
    Structure.HEPATIC_VEINS,
    Structure.VENA_CAVA,
)


def compare(guess: Segmentation, truth: Segmentation) -> dict[str, Any]:
    """Scores per structure that `truth` holds, and lesion detection. Raises GeometryMismatch on different grids."""
    truth.grid.require_same(guess.grid, "the prediction")
    structures = {
        s.value: overlap(guess.mask(s), truth.mask(s), truth.grid) | {"drawn": s in guess.masks}
        for s in _SCORED
        if truth.has(s)
    }
    veins = (Structure.HEPATIC_VEINS, Structure.VENA_CAVA)
    if any(truth.has(s) for s in veins):
        both = [seg.mask(veins[0]) | seg.mask(veins[1]) for seg in (guess, truth)]
        structures[VENOUS_SYSTEM] = overlap(both[0], both[1], truth.grid) | {
            "drawn": any(s in guess.masks for s in veins)
        }
    result: dict[str, Any] = {"structures": structures}
    if Structure.LESIONS in truth.masks:
        result["lesions"] = detection(guess.mask(Structure.LESIONS), truth.mask(Structure.LESIONS), truth.grid)
    return result


def overlap(guess: BoolArray, truth: BoolArray, grid: Grid) -> dict[str, float]:
    """Dice, surface Dice at 2 mm, and both volumes in mL."""
    total = int(guess.sum()) + int(truth.sum())
    return {
        "dice": 1.0 if total == 0 else 2.0 * int((guess & truth).sum()) / total,
        "surface_dice_2mm": surface_dice(guess, truth, grid),
        "volume_ml": float(guess.sum()) * grid.voxel_ml,
        "reference_ml": float(truth.sum()) * grid.voxel_ml,
    }


def surface_dice(guess: BoolArray, truth: BoolArray, grid: Grid, tolerance_mm: float = SURFACE_TOLERANCE_MM) -> float:
    """Share of both surfaces within the tolerance of the other (Nikolov et al. 2021), counted in border voxels."""
    both = guess | truth
    if not both.any():
        return 1.0
    if not guess.any() or not truth.any():
        return 0.0
    box = bounding_box(both, (2, 2, 2))
    first, second = border(guess[box]), border(truth[box])
    to_second = ndimage.distance_transform_edt(~second, grid.spacing_mm)
    to_first = ndimage.distance_transform_edt(~first, grid.spacing_mm)
    near = int((to_second[first] <= tolerance_mm).sum()) + int((to_first[second] <= tolerance_mm).sum())
    return near / (int(first.sum()) + int(second.sum()))


def border(mask: BoolArray) -> BoolArray:
    """Voxels of `mask` with a neighbour outside of it."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def detection(guess: BoolArray, truth: BoolArray, grid: Grid) -> dict[str, Any]:
    """Reference lesions touched by the prediction, by size, and predicted pieces that touch none."""
    pieces = np.ones((3, 3, 3))
    wanted, n_wanted = ndimage.label(truth, pieces)
    found, n_found = ndimage.label(guess, pieces)
    hit = np.bincount(wanted[guess], minlength=n_wanted + 1)[1:] > 0
    volume_mm3 = np.bincount(wanted.ravel(), minlength=n_wanted + 1)[1:] * grid.voxel_ml * 1000.0
    diameter_mm = np.cbrt(6.0 * volume_mm3 / np.pi)
    touching = np.bincount(found[truth], minlength=n_found + 1)[1:] > 0
    return {
        "reference": n_wanted,
        "detected": int(hit.sum()),
        "false_positives": int((~touching).sum()),
        "by_size": [
            {
                "from_mm": low,
                "to_mm": None if np.isinf(high) else high,
                "reference": int(here.sum()),
                "detected": int(hit[here].sum()),
            }
            for low, high in SIZE_BINS_MM
            for here in [(diameter_mm >= low) & (diameter_mm < high)]
        ],
    }


def table(case: Mapping[str, Any]) -> str:
    """The scores of a case as lines of text."""
    lines = [
        str(case.get("image", "")),
        f"  {'structure':<20} {'Dice':>6} {'NSD 2 mm':>9} {'mL':>8} {'reference mL':>13}",
    ]
    for name, s in case["structures"].items():
        drawn = "" if s["drawn"] else "  (not drawn)"
        lines.append(
            f"  {name:<20} {s['dice']:>6.3f} {s['surface_dice_2mm']:>9.3f} "
            f"{s['volume_ml']:>8.1f} {s['reference_ml']:>13.1f}{drawn}"
        )
    if "lesions" in case:
        d = case["lesions"]
        lines.append(f"  lesions: {d['detected']} of {d['reference']} detected, {d['false_positives']} false")
    return "\n".join(lines)

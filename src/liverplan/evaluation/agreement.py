"""How well one segmentation agrees with another, structure by structure: overlap, surfaces, centrelines, volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.quantity import Unknown
from liverplan.volume import BoolArray, Grid, Segmentation, bounding_box

Value: TypeAlias = float | Unknown

TOLERANCES_MM = (1.0, 2.0, 3.0)
"""Of the surface Dice."""
EXPECTED_DICE = "expected_dice"
VENOUS_SYSTEM = "venous_system"
"""Hepatic veins and vena cava together: some references do not part them, or part them elsewhere."""
SCORED = (
    Structure.LIVER,
    Structure.LESIONS,
    Structure.PORTAL_VEIN,
    Structure.HEPATIC_VEINS,
    Structure.VENA_CAVA,
)
_TUBULAR = (Structure.PORTAL_VEIN.value, Structure.HEPATIC_VEINS.value, Structure.LIVER_VESSELS.value)
"""Trees, whose centrelines are compared as well."""
_VEINS = (Structure.HEPATIC_VEINS, Structure.VENA_CAVA)
_BRANCHING = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.LIVER_VESSELS)
_NEITHER = Unknown("neither side has a voxel of it")
_ONE_EMPTY = Unknown("one side has no voxel of it, so there is no distance")


@dataclass(frozen=True)
class StructureScore:
    """Scores of one structure. drawn: whether the prediction has a mask of it, empty or not. values: by name, see
    `overlap`; expected_dice besides where the prediction states how sure it is."""

    structure: str
    drawn: bool
    values: Mapping[str, Value]


def compare(guess: Segmentation, truth: Segmentation) -> tuple[StructureScore, ...]:
    """Scores of every structure that `truth` holds. Raises GeometryMismatch on different grids."""
    truth.grid.require_same(guess.grid, "the prediction")
    return tuple(
        StructureScore(name, drawn, overlap(first, second, truth.grid, tubular=name in _TUBULAR) | _stated(guess, name))
        for name, drawn, first, second in _pairs(guess, truth)
    )


def _stated(guess: Segmentation, name: str) -> dict[str, Value]:
    """What the prediction expects of itself."""
    stated = {s.value: said.expected_dice for s, said in guess.confidence.items()}
    return {EXPECTED_DICE: stated[name]} if name in stated else {}


def overlap(guess: BoolArray, truth: BoolArray, grid: Grid, *, tubular: bool = False) -> dict[str, Value]:
    """dice; surface_dice_1mm, _2mm, _3mm; hd95_mm; cldice (for tubular ones); volume_ml, reference_ml,
    volume_error_ml (prediction minus reference) and volume_error_percent of the reference.

    guess, truth: (i, j, k) on `grid`. A score that is not defined (nothing on either side) is Unknown, not 1.
    """
    volume_ml, reference_ml = float(guess.sum()) * grid.voxel_ml, float(truth.sum()) * grid.voxel_ml
    total_ml = volume_ml + reference_ml
    both_ml = float((guess & truth).sum()) * grid.voxel_ml
    values: dict[str, Value] = {"dice": 2.0 * both_ml / total_ml if total_ml else _NEITHER}
    values |= surface_scores(guess, truth, grid)
    if tubular:
        values["cldice"] = centreline_dice(guess, truth)
    return values | {
        "volume_ml": volume_ml,
        "reference_ml": reference_ml,
        "volume_error_ml": volume_ml - reference_ml,
        "volume_error_percent": 100.0 * (volume_ml - reference_ml) / reference_ml
        if reference_ml
        else Unknown("the reference has no voxel of it"),
    }


def surface_scores(guess: BoolArray, truth: BoolArray, grid: Grid) -> dict[str, Value]:
    """Surface Dice at each tolerance (Nikolov et al. 2021) and the 95th percentile of both directed surface distances
    (the larger one), weighted by area, by the authors' own implementation."""
    names = [f"surface_dice_{tolerance:g}mm" for tolerance in TOLERANCES_MM]
    if not guess.any() and not truth.any():
        return dict.fromkeys([*names, "hd95_mm"], _NEITHER)
    if not guess.any() or not truth.any():
        return {**dict.fromkeys(names, 0.0), "hd95_mm": _ONE_EMPTY}
    from surface_distance import (
        compute_robust_hausdorff,
        compute_surface_dice_at_tolerance,
        compute_surface_distances,
    )

    box = bounding_box(guess | truth, (2, 2, 2))
    distances = compute_surface_distances(_plain(truth[box]), _plain(guess[box]), grid.spacing_mm)
    scores: dict[str, Value] = {
        name: float(compute_surface_dice_at_tolerance(distances, tolerance))
        for name, tolerance in zip(names, TOLERANCES_MM, strict=True)
    }
    return scores | {"hd95_mm": float(compute_robust_hausdorff(distances, 95.0))}


def centreline_dice(guess: BoolArray, truth: BoolArray) -> Value:
    """clDice (Shit et al. 2021): how much of each side's skeleton lies inside the other side, as a harmonic mean.

    Skeletons are of voxels (Lee et al. 1994), so that thick slices count for as much as thin ones.
    """
    if not guess.any() and not truth.any():
        return _NEITHER
    if not guess.any() or not truth.any():
        return 0.0
    from skimage.morphology import skeletonize

    box = bounding_box(guess | truth, (1, 1, 1))
    guess, truth = _plain(guess[box]), _plain(truth[box])
    lines = skeletonize(guess) > 0, skeletonize(truth) > 0
    if not all(line.any() for line in lines):  # a flat spot thins to nothing
        return Unknown("it has no centreline")
    precision, sensitivity = float(truth[lines[0]].mean()), float(guess[lines[1]].mean())
    together = precision + sensitivity
    return 2.0 * precision * sensitivity / together if together else 0.0


def _pairs(guess: Segmentation, truth: Segmentation) -> Iterator[tuple[str, bool, BoolArray, BoolArray]]:
    """Name, whether it was drawn, and both masks of everything that is scored."""
    for structure in SCORED:
        if truth.has(structure):
            yield structure.value, structure in guess.masks, guess.mask(structure), truth.mask(structure)
    if any(truth.has(s) for s in _VEINS):
        yield VENOUS_SYSTEM, _any_drawn(guess, _VEINS), _union(guess, _VEINS), _union(truth, _VEINS)
    if any(truth.has(s) for s in _BRANCHING) and any(Structure.LIVER_VESSELS in s.masks for s in (guess, truth)):
        # One side does not part them, and may end them at the liver: compared together, inside the reference's liver.
        liver = truth.mask(Structure.LIVER)
        first, second = _union(guess, _BRANCHING) & liver, _union(truth, _BRANCHING) & liver
        yield Structure.LIVER_VESSELS.value, _any_drawn(guess, _BRANCHING), first, second
    if truth.has(Structure.COUINAUD) and Structure.COUINAUD in guess.masks:
        ours, theirs = guess.masks[Structure.COUINAUD], truth.masks[Structure.COUINAUD]
        yield from ((f"segment_{n}", True, ours == n, theirs == n) for n in range(1, 9))


def _any_drawn(segmentation: Segmentation, structures: tuple[Structure, ...]) -> bool:
    return any(s in segmentation.masks for s in structures)


def _union(segmentation: Segmentation, structures: tuple[Structure, ...]) -> BoolArray:
    return np.asarray(np.logical_or.reduce([segmentation.mask(s) for s in structures]))


def _plain(mask: BoolArray) -> npt.NDArray[np.bool_]:
    """In C order, as the libraries walk."""
    return np.ascontiguousarray(mask)

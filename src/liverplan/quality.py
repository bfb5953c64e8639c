"""Is this scan, with these masks, good enough for the question? Each check has a status, a value and a sentence.

A check that fails takes the numbers that rest on it out of the report; a warning stays beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liverplan.anatomy import Structure
from liverplan.lesions import LesionMap
from liverplan.vessels import VesselTree
from liverplan.volume import BoolArray, Confidence, Segmentation, Volume, bounding_box

SLICE_OK_MM = 1.5
SLICE_WARNING_MM = 2.5
SLICE_LIMIT_MM = 5.0
"""Slice spacing: reconstructions of 1 to 1.5 mm are ideal, up to 2.5 mm acceptable; above 5 mm a distance along the
slice direction is uncertain by more than 4 mm (95 %), so that no statement about 7 mm can stand on it."""
CUT_OFF_MM2 = 100.0
"""Area of liver on an outermost slice from which the scan counts as cut off."""
ENHANCEMENT_HU = 20.0
"""Least contrast between a vein and the liver in CT for the vein's mask to be believed."""
LEAST_EXPECTED_DICE = 0.7
"""Below this overlap with the truth a structure counts as doubtful: two readers of a lesion or a vein agree better."""


@dataclass(frozen=True)
class Check:
    """One finding: name, status "ok" | "warning" | "fail", the value behind it, and a sentence for the reader."""

    check: str
    status: str
    value: float | str | bool | None
    message: str


@dataclass(frozen=True)
class Quality:
    """All checks of a case, and the ones that verdicts depend on."""

    checks: tuple[Check, ...]
    thin_enough: bool
    liver_complete: bool
    enhanced: bool | None
    """Both vein systems stand out from the liver (CT); None when that could not be measured."""


def assess(
    volume: Volume,
    segmentation: Segmentation,
    lesions: LesionMap,
    trees: Mapping[Structure, VesselTree],
) -> Quality:
    """Every check on a case. All arguments share one grid; arrays are (i, j, k)."""
    liver = segmentation.mask(Structure.LIVER)
    slices = _slice_check(volume)
    coverage = _coverage_check(liver, volume)
    contrast = [_contrast_check(volume, segmentation, s) for s in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS)]
    checks = [
        slices,
        coverage,
        _modality_check(volume),
        _phase_check(volume),
        *_reading_checks(volume),
        *[c for c in contrast if c is not None],
        *_structure_checks(segmentation),
        *_lesion_checks(lesions),
        *[c for tree in trees.values() for c in _tree_checks(tree)],
        *[Check("masks", "warning", None, note) for note in segmentation.notes],
    ]
    known = [c.status == "ok" for c in contrast if c is not None]
    enhanced = all(known) if len(known) == 2 else None
    return Quality(tuple(checks), slices.status != "fail", coverage.status != "fail", enhanced)


def _slice_check(volume: Volume) -> Check:
    thickest = max([*volume.grid.spacing_mm, float(volume.facts.get("slice_thickness_mm", 0.0))])
    if thickest <= SLICE_OK_MM + 0.05:
        return Check("slice_thickness", "ok", thickest, f"Slices of {thickest:.1f} mm resolve a 7 mm margin.")
    if thickest <= SLICE_WARNING_MM:
        return Check("slice_thickness", "warning", thickest, f"Slices of {thickest:.1f} mm: intervals are wider.")
    if thickest <= SLICE_LIMIT_MM:
        message = f"Slices of {thickest:.1f} mm: distances along the slice direction are uncertain by millimetres."
        return Check("slice_thickness", "warning", thickest, message)
    message = f"Slices of {thickest:.1f} mm cannot carry a statement about millimetres of margin; obtain thin slices."
    return Check("slice_thickness", "fail", thickest, message)


def _coverage_check(liver: BoolArray, volume: Volume) -> Check:
    """The largest area of liver on an outermost layer of the image, along any axis."""
    spacing = volume.grid.spacing_mm
    largest = 0.0
    for axis in range(3):
        area = float(np.prod([s for a, s in enumerate(spacing) if a != axis]))
        for layer in (0, -1):
            largest = max(largest, float(np.moveaxis(liver, axis, 0)[layer].sum()) * area)
    if largest < CUT_OFF_MM2:
        return Check("liver_coverage", "ok", largest, "The whole liver lies inside the scan.")
    message = (
        f"The liver is cut off at the edge of the scan ({largest / 100:.0f} cm2 there): its volume and every remnant "
        "are unknown. Obtain a scan of the whole liver."
    )
    return Check("liver_coverage", "fail", largest, message)


def _modality_check(volume: Volume) -> Check:
    known = volume.modality in ("CT", "MR")
    message = f"{volume.modality} image." if known else "Neither the file nor the values say whether this is CT or MR."
    return Check("modality", "ok" if known else "warning", volume.modality, message)


def _phase_check(volume: Volume) -> Check:
    phase = volume.facts.get("phase")
    if phase is None:
        return Check("phase", "warning", None, "The file does not say in which contrast phase it was taken.")
    good = "portal" in phase.lower()
    return Check("phase", "ok" if good else "warning", phase, f"Contrast phase according to the file: {phase}.")


def _reading_checks(volume: Volume) -> list[Check]:
    """What was chosen, mended or left out when a DICOM series was read (`liverplan.io.dicom`)."""
    checks = [Check("reading", "warning", None, note) for note in volume.facts.get("reading_notes", "").splitlines()]
    reason = volume.facts.get("series_reason")
    return [Check("series", "ok", None, f"This series was read: {reason}."), *checks] if reason else checks


def _contrast_check(volume: Volume, segmentation: Segmentation, structure: Structure) -> Check | None:
    """Difference of medians between a vein inside the liver and the parenchyma, in HU; None when not measurable."""
    if volume.modality != "CT" or not segmentation.has(structure):
        return None
    liver = segmentation.mask(Structure.LIVER)
    if not liver.any():
        return None
    i, j, k = bounding_box(liver)
    box = (slice(i.start, i.stop, 2), slice(j.start, j.stop, 2), k)
    values, inside = volume.array[box], liver[box]
    vein = (segmentation.masks[structure][box] > 0) & inside
    others = inside & ~vein
    if Structure.LESIONS in segmentation.masks:
        others &= segmentation.masks[Structure.LESIONS][box] == 0
    if vein.sum() < 50 or others.sum() < 50:
        return None
    contrast = float(np.median(values[vein]) - np.median(values[others]))
    name = f"contrast_{structure.value}"
    if contrast >= ENHANCEMENT_HU:
        return Check(name, "ok", contrast, f"{structure.title}: {contrast:.0f} HU above the liver.")
    message = (
        f"{structure.title}: only {contrast:.0f} HU above the liver (less than {ENHANCEMENT_HU:.0f}); "
        "the scan may not be in the portal-venous phase, or the mask may be wrong."
    )
    return Check(name, "warning", contrast, message)


def _structure_checks(segmentation: Segmentation) -> list[Check]:
    checks = []
    for structure in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA):
        if not segmentation.has(structure):
            message = f"{structure.title} not segmented: what depends on it is undetermined."
            checks.append(Check(f"structure_{structure.value}", "warning", False, message))
    checks += [_confidence_check(structure, said) for structure, said in segmentation.confidence.items()]
    if segmentation.origin == "model":
        message = (
            "The masks were made by a model and not read by a person: every verdict on them is undetermined until a "
            "reader has confirmed or corrected them."
        )
        checks.append(Check("masks_read_by_person", "warning", False, message))
    return checks


def _confidence_check(structure: Structure, said: Confidence) -> Check:
    """Whether a model trusts its own mask."""
    name, share = f"confidence_{structure.value}", f"{100 * said.expected_dice:.0f} %"
    if said.expected_dice >= LEAST_EXPECTED_DICE:
        return Check(name, "ok", said.expected_dice, f"{structure.title}: the model expects {share} overlap.")
    message = (
        f"{structure.title}: the model expects only {share} overlap with the truth (below "
        f"{100 * LEAST_EXPECTED_DICE:.0f} %); look for what it missed and what it took in."
    )
    return Check(name, "warning", said.expected_dice, message)


def _lesion_checks(lesions: LesionMap) -> list[Check]:
    if not lesions.strays:
        return []
    where = "; ".join(f"({p[0]:.0f}, {p[1]:.0f}, {p[2]:.0f}) mm, {n} voxels" for p, n in lesions.strays[:5])
    message = f"{len(lesions.strays)} stray specks in the lesion mask were not counted as lesions: {where}."
    return [Check("lesion_strays", "warning", float(len(lesions.strays)), message)]


def _tree_checks(tree: VesselTree) -> list[Check]:
    name = f"tree_{tree.structure.value}"
    checks = [Check(name, "warning", None, f"{tree.structure.title}: {w}.") for w in tree.warnings]
    if tree.gaps:
        longest = max(g.length_mm for g in tree.gaps)
        message = (
            f"{tree.structure.title}: {len(tree.gaps)} gaps in the mask were bridged, the longest {longest:.1f} mm."
        )
        checks.append(Check(f"{name}_gaps", "warning", float(len(tree.gaps)), message))
    return checks or [Check(name, "ok", None, f"{tree.structure.title}: a connected tree with its root.")]

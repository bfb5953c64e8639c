"""From class labels to masks of structures: one liver without holes, lesions inside it, no islands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.segmentation.cascade import LARGEST_LIVER_ML, SMALLEST_LIVER_ML, largest_piece, no_liver
from liverplan.segmentation.resampling import Spacing
from liverplan.volume import BoolArray, bounding_box

Labels = npt.NDArray[np.uint8]

LEAST_LESION_ML = 0.065
"""A sphere of 5 mm: smaller spots are noise to this model."""
SHELL_MM = 2.2
"""Partial volume between liver and fat looks like a lesion, but only this deep."""
SKIN_MM = 3.0
LEAST_EMBEDDED = 0.6
"""Share of a lesion's surroundings, `SKIN_MM` thick, that must be liver."""
LEAST_CAVA_CONTACT_MM = 50.0
CAVA_GAP_MM = 6.0
"""In the three whole livers of the multi-organ label maps (training data) the vena cava stays within 6 mm of the liver
over 90 to 98 mm of height, the portal vein over 26 to 44 mm, heart and aorta over at most 26 mm."""
LEAST_PIECE_ML = {Structure.PORTAL_VEIN: 0.3, Structure.HEPATIC_VEINS: 0.3, Structure.VENA_CAVA: 1.0}
"""Connected pieces of vessels below this are dropped."""
PLAUSIBLE_ML = {
    Structure.PORTAL_VEIN: (4.0, 150.0),
    Structure.HEPATIC_VEINS: (4.0, 150.0),
    Structure.VENA_CAVA: (8.0, 200.0),
}
"""A structure outside this range is left out, so that what rests on it is undetermined and never wrong."""
_TOUCH = np.ones((3, 3, 3))
_CLASS = {
    Structure.LESIONS: 2,
    Structure.PORTAL_VEIN: 3,
    Structure.HEPATIC_VEINS: 4,
    Structure.VENA_CAVA: 5,
}


_IS_LIVER, _IS_INNER_VESSEL = np.isin(np.arange(256), (1, 2)), np.isin(np.arange(256), (3, 4))
"""By class: parenchyma and lesions; portal vein and hepatic veins."""


def clean(labels: Labels, spacing_mm: Spacing) -> tuple[dict[Structure, BoolArray], list[str]]:
    """Masks by structure and notes on what was left out. labels: classes 0 to 5.

    Raises SegmentationRefused when what remains of the liver is not one.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    liver = whole_liver(labels, spacing_mm)
    liver_ml = float(liver.sum()) * voxel_ml
    if not SMALLEST_LIVER_ML <= liver_ml <= LARGEST_LIVER_ML:
        raise no_liver(f"{liver_ml:.0f} mL that look like liver")
    masks, notes = {Structure.LIVER: liver}, list[str]()
    lesions = without_shells((labels == _CLASS[Structure.LESIONS]) & liver, spacing_mm)
    lesions = without_islands(lesions, LEAST_LESION_ML / voxel_ml)
    masks[Structure.LESIONS], at_the_edge = embedded(lesions, liver, spacing_mm)
    if at_the_edge:
        notes.append(f"{at_the_edge} spot(s) at the liver's edge looked like lesions and were left out: look there.")
    at_liver = ndimage.binary_dilation(liver)
    for structure, (low, high) in PLAUSIBLE_ML.items():
        least_voxels = LEAST_PIECE_ML[structure] / voxel_ml
        mask = labels == _CLASS[structure]
        if structure is Structure.VENA_CAVA:
            mask = along_the_liver(without_islands(mask, least_voxels), liver, spacing_mm)
        else:
            mask = without_islands(mask, least_voxels, at_liver)
        volume_ml = float(mask.sum()) * voxel_ml
        if low <= volume_ml <= high:
            masks[structure] = mask
        else:
            notes.append(
                f"{structure.title}: the model found {volume_ml:.1f} mL, outside the plausible {low:.0f} to "
                f"{high:.0f} mL; left out, so what depends on it is undetermined."
            )
    return masks, notes


def whole_liver(labels: Labels, spacing_mm: Spacing) -> BoolArray:
    """Parenchyma and lesions, the largest piece, with the vessels and gaps that it encloses."""
    core = largest_piece(_opened(_IS_LIVER[labels]))
    within = _IS_INNER_VESSEL[labels] & _surrounded(core, spacing_mm)
    return filled(largest_piece(core | within))


def filled(mask: BoolArray) -> BoolArray:
    """A mask with the holes that it encloses on all sides (6 neighbours). Empty stays empty."""
    if not mask.any():
        return mask
    box, out = bounding_box(mask), mask.copy()
    gaps, count = ndimage.label(~mask[box])
    hole = np.ones(count + 1, dtype=np.bool_)
    for axis in range(3):
        ends = gaps.take((0, -1), axis)
        hole[np.unique(ends)] = False
    hole[0] = False
    out[box] |= hole[gaps]
    return out


def _opened(mask: BoolArray) -> BoolArray:
    """Bridges of a voxel's width cut."""
    return np.asarray(ndimage.binary_dilation(ndimage.binary_erosion(mask), mask=mask))


def _surrounded(core: BoolArray, spacing_mm: Spacing, reach_mm: float = 25.0) -> BoolArray:
    """Where most of the neighbourhood is liver: inside the organ, not at its hilum's mouth."""
    size = [max(1, 2 * round(reach_mm / s / 2) + 1) for s in spacing_mm]
    share = ndimage.uniform_filter(core.astype(np.float32), size)
    return np.asarray(share > 0.5)


def along_the_liver(mask: BoolArray, liver: BoolArray, spacing_mm: Spacing) -> BoolArray:
    """The piece that follows the liver over most height, if that is as long as a vena cava must; otherwise nothing."""
    parts, _ = ndimage.label(mask, _TOUCH)
    best, best_mm = 0, LEAST_CAVA_CONTACT_MM
    margin = tuple(round(CAVA_GAP_MM / s) + 1 for s in spacing_mm)
    for number, inner in enumerate(ndimage.find_objects(parts), start=1):
        box = tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(inner, margin, strict=True))
        if not liver[box].any():
            continue
        near = ndimage.distance_transform_edt(~liver[box], spacing_mm) <= CAVA_GAP_MM
        height_mm = float((near & (parts[box] == number)).any(axis=(0, 1)).sum()) * spacing_mm[2]
        if height_mm >= best_mm:
            best, best_mm = number, height_mm
    return np.asarray(parts == best) if best else np.zeros_like(mask)


def embedded(lesions: BoolArray, liver: BoolArray, spacing_mm: Spacing) -> tuple[BoolArray, int]:
    """Lesions with liver on most sides, and how many pieces had not: fissures and neighbours look like lesions."""
    kept, dropped = lesions.copy(), 0
    parts, _ = ndimage.label(lesions, _TOUCH)
    margin = tuple(max(1, round(SKIN_MM / s)) for s in spacing_mm)
    for number, inner in enumerate(ndimage.find_objects(parts), start=1):
        box = tuple(slice(max(0, s.start - m - 1), s.stop + m + 1) for s, m in zip(inner, margin, strict=True))
        piece = parts[box] == number
        skin = (ndimage.distance_transform_edt(~piece, spacing_mm) <= max(SKIN_MM, *spacing_mm)) & ~piece
        if liver[box][skin].mean() < LEAST_EMBEDDED:
            kept[box][piece] = False
            dropped += 1
    return kept, dropped


def without_shells(mask: BoolArray, spacing_mm: Spacing, least_radius_mm: float = SHELL_MM) -> BoolArray:
    """What a ball of that radius can reach inside the mask: thin layers along the liver's edge go, round spots stay.

    Piece by piece in boxes a voxel wider than they are, where the nearest voxel outside of a piece always lies.
    """
    reach_mm = least_radius_mm + min(spacing_mm) / 2  # distances are to voxel centres, half a voxel beyond the edge
    parts, _ = ndimage.label(mask, _TOUCH)
    pieces = [
        (number, tuple(slice(max(0, s.start - 1), s.stop + 1) for s in inner))
        for number, inner in enumerate(ndimage.find_objects(parts), start=1)
    ]
    out = np.zeros_like(mask)
    for number, box in pieces:
        piece = parts[box] == number
        deep = ndimage.distance_transform_edt(piece, spacing_mm) > reach_mm
        if deep.any():
            out[box] |= piece & (ndimage.distance_transform_edt(~deep, spacing_mm) <= reach_mm)
    return out


def without_islands(mask: BoolArray, least_voxels: float, touching: BoolArray | None = None) -> BoolArray:
    """Connected pieces (26 neighbours) of at least that many voxels; with `touching`, only those that meet it."""
    out = np.zeros_like(mask)
    if not mask.any():
        return out
    box = bounding_box(mask)
    parts, count = ndimage.label(mask[box], _TOUCH)
    keep = np.bincount(parts[mask[box]], minlength=count + 1) >= least_voxels
    if touching is not None:
        keep &= np.bincount(parts[mask[box] & touching[box]], minlength=count + 1) > 0
    keep[0] = False
    out[box] = keep[parts]
    return out


def cut_off(liver: BoolArray, box: Sequence[slice], shape: tuple[int, ...]) -> list[str]:
    """A note when the liver reaches the first or last slice of the scan."""
    levels = np.flatnonzero(liver.any(axis=(0, 1))) + box[2].start
    ends = [end for end, level in (("lower", 0), ("upper", shape[2] - 1)) if level in (levels[0], levels[-1])]
    return [f"The liver reaches the {' and '.join(ends)} end of the scan: part of it may be missing."] if ends else []

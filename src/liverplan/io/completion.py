"""What counts as liver: masks as given become the whole organ, or are refused.

Readers leave lesions and vessels out of the liver, or draw a lesion across its edge. The organ is made whole from what
lies inside its filled outline; a lesion with no contact to it is an error in the masks and never repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.errors import SegmentationRefused
from liverplan.volume import BoolArray, Grid, Segmentation, bounding_box

WORTH_A_NOTE = 0.005
"""A liver that grows by more than this share of its volume is mentioned."""
_INSIDE = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.LIVER_VESSELS)
_TOUCH = ndimage.generate_binary_structure(3, 3)


def completed(
    grid: Grid, masks: Mapping[Structure, npt.NDArray[np.uint8]], notes: Sequence[str], *, touching: bool
) -> Segmentation:
    """The segmentation whose liver holds its lesions and the vessels inside its filled outline.

    `touching`: voxels of vessels next to the outline count as well (single label maps, where vessels overwrite liver).
    Raises SegmentationRefused when the liver is empty or a lesion has no contact with it.
    """
    liver = np.asarray(masks[Structure.LIVER] > 0)
    if not liver.any():
        raise SegmentationRefused(
            "the liver mask is empty", got="no voxels", wanted="a segmented liver", do="Segment the liver first."
        )
    box = _around(liver, masks.get(Structure.LESIONS))
    part = {s: np.asarray(masks[s][box] > 0) for s in (Structure.LESIONS, *_INSIDE) if s in masks}
    inner = liver[box]
    wanted = _any_of(part.values(), inner)
    outline = filled(inner, wanted)
    said = list(notes)
    if Structure.LESIONS in part:
        said += _check_lesions(part[Structure.LESIONS], inner, outline, grid.cropped(box))
        inner = inner | part[Structure.LESIONS]
        if (part[Structure.LESIONS] & ~outline).any():
            outline = filled(inner, wanted)
    for structure in _INSIDE:
        if structure in part:
            inner = inner | _left_out(part[structure], inner, outline, touching)
    before, after = int(liver.sum()), int(inner.sum())
    if after > before * (1 + WORTH_A_NOTE):
        said.append(
            f"The liver mask grew from {before * grid.voxel_ml:.0f} to {after * grid.voxel_ml:.0f} mL: lesions and "
            "vessels inside it had been left out."
        )
    whole = np.zeros(grid.shape, dtype=np.uint8, order="F")
    whole[box] = inner
    return Segmentation(grid, {**masks, Structure.LIVER: whole}, notes=tuple(said))


def filled(mask: BoolArray, wanted: BoolArray) -> BoolArray:
    """`mask` with its cavities closed, also those that only close within one plane of voxels (a vessel's tunnel).

    Only planes that hold voxels of `wanted` outside `mask` are looked at: the answer is for those voxels.
    """
    if mask.flags.f_contiguous and not mask.flags.c_contiguous:  # ndimage walks along the last axis
        return filled(mask.T, wanted.T).T
    result = mask.copy()
    missing = wanted & ~mask
    for axis in range(3):
        planes = np.flatnonzero(missing.any(axis=tuple(a for a in range(3) if a != axis)))
        if planes.size:
            index = tuple(planes if a == axis else slice(None) for a in range(3))
            result[index] |= _holes_in_planes(mask.take(planes, axis), axis)
    return result


def _holes_in_planes(mask: BoolArray, axis: int) -> BoolArray:
    """Voxels that `mask` encloses within their plane across `axis`: one labelling for all planes at once."""
    in_plane = ndimage.generate_binary_structure(3, 1)
    in_plane[tuple(slice(None, None, 2) if a == axis else 1 for a in range(3))] = False
    labels, n = ndimage.label(~mask, in_plane)
    open_to_the_edge = np.zeros(n + 1, dtype=np.bool_)
    open_to_the_edge[0] = True
    for other in range(3):
        if other != axis:
            open_to_the_edge[np.moveaxis(labels, other, 0)[[0, -1]]] = True
    return np.asarray(~open_to_the_edge[labels])


def _around(liver: BoolArray, lesions: npt.NDArray[np.uint8] | None) -> tuple[slice, slice, slice]:
    """The box of the liver and its lesions with a layer of one voxel; vessels beyond it stay outside the liver."""
    boxes = [bounding_box(liver, (1, 1, 1))]
    if lesions is not None and lesions.any():
        boxes.append(bounding_box(lesions, (1, 1, 1)))
    i, j, k = (slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
    return i, j, k


def _any_of(masks: Iterable[BoolArray], like: BoolArray) -> BoolArray:
    total = np.zeros_like(like)
    for mask in masks:
        total |= mask
    return total


def grown(mask: BoolArray) -> BoolArray:
    """`mask` and its 26 neighbours (three shifts along each axis: ten times faster than a general dilation)."""
    result = mask.copy()
    for axis in range(3):
        source = np.moveaxis(result.copy(), axis, 0)
        target = np.moveaxis(result, axis, 0)
        target[1:] |= source[:-1]
        target[:-1] |= source[1:]
    return result


def _check_lesions(lesions: BoolArray, liver: BoolArray, outline: BoolArray, grid: Grid) -> list[str]:
    """Notes on lesions that cross the liver's edge. Raises SegmentationRefused for one without contact to it."""
    notes = []
    for box, lesion in _pieces(lesions):
        volume_ml = float(lesion.sum()) * grid.voxel_ml
        if not (grown(lesion) & outline[box]).any():
            raise _outside(lesion, box, volume_ml, grid)
        outside_ml = float((lesion & ~outline[box]).sum()) * grid.voxel_ml
        if outside_ml > 0.01 * volume_ml and (lesion & liver[box]).any():
            notes.append(
                f"A lesion of {volume_ml:.1f} mL lay {outside_ml:.1f} mL outside the liver mask: counted as liver."
            )
    return notes


def _left_out(vessel: BoolArray, liver: BoolArray, outline: BoolArray, touching: bool) -> BoolArray:
    """What of `vessel` belongs to the liver and is not in it.

    A reader's liver that holds most of the vessel's inner part is left as it was drawn: at the hilum and at the
    confluence the filled outline reaches further than the organ.
    """
    inside = vessel & (grown(outline) if touching else outline)
    missing = inside & ~liver
    if not touching and int(missing.sum()) * 2 <= int(inside.sum()):
        return np.zeros_like(liver)
    return missing


def _pieces(mask: BoolArray) -> Iterator[tuple[tuple[slice, slice, slice], BoolArray]]:
    """Connected pieces (26 neighbours), each with a box one voxel wider than itself where the array allows it."""
    if not mask.any():
        return
    whole = bounding_box(mask, (1, 1, 1))
    labels, _ = ndimage.label(mask[whole], _TOUCH)
    for n, inner in enumerate(ndimage.find_objects(labels), start=1):
        wide = [slice(max(0, s.start - 1), min(size, s.stop + 1)) for s, size in zip(inner, labels.shape, strict=True)]
        piece = labels[tuple(wide)] == n
        i, j, k = (slice(w.start + o.start, w.stop + o.start) for w, o in zip(wide, whole, strict=True))
        yield (i, j, k), piece


def _outside(lesion: BoolArray, box: tuple[slice, ...], volume_ml: float, grid: Grid) -> SegmentationRefused:
    index = np.argwhere(lesion).mean(axis=0) + [s.start for s in box]
    x, y, z = grid.to_world(index)
    return SegmentationRefused(
        "a lesion lies outside the liver",
        got=f"{volume_ml:.2f} mL around ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS without contact to the liver mask",
        wanted="lesions of the liver only",
        do="Correct the lesion mask or the liver mask; extrahepatic disease belongs into the clinical record.",
    )

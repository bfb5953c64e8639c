"""What a network mistakes for something else, drawn into a patch: touching neighbours, fissures, cysts, the hilum.

The label maps leave a gap of fat around a liver that was put into another trunk, and no map has fissures, cysts or what
lies around the portal vein where it enters: without them a network takes every dark spot for a lesion.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.training import anatomies as t
from liverplan.training.anatomies import LabelArray
from liverplan.training.fields import box_around, offsets, smooth_noise

_NEIGHBOURS = (t.STOMACH, t.PANCREAS, t.DUODENUM, t.SMALL_BOWEL, t.COLON, t.MUSCLE, t.WALL, t.OTHER, t.SPLEEN)
"""What may lie against the liver without fat between."""
_WIDE_MM = 2.5
"""Half the width of a portal vein that still has a visible sheath."""


def with_mimics(labels: LabelArray, spacing_mm: float, rng: np.random.Generator) -> LabelArray:
    """A patch of tissue values with touching neighbours, fissures and cysts, each now and then."""
    if rng.random() < 0.6:
        labels = _closed_up(labels, spacing_mm, rng)
    room = np.flatnonzero(labels == t.LIVER)
    if len(room) < 500:
        return labels
    for _ in range(int(rng.integers(0, 4))):
        _cut_fissure(labels, spacing_mm, rng)
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(1, 4))):
            _put_cyst(labels, room[rng.integers(len(room))], spacing_mm, rng)
    if rng.random() < 0.7:
        _fill_hilum(labels, spacing_mm, rng)
    return labels


def _closed_up(labels: LabelArray, spacing_mm: float, rng: np.random.Generator) -> LabelArray:
    """Neighbours grown through the fat towards the liver, in some regions of the patch."""
    coarse = labels[::2, ::2, ::2]
    source = np.isin(coarse, _NEIGHBOURS)
    if not source.any():
        return labels
    away, nearest = ndimage.distance_transform_edt(~source, return_indices=True)
    region = smooth_noise(coarse.shape, 40.0 / spacing_mm / 2, rng) > rng.uniform(-1.0, 0.7)
    grows = region & (away * 2 * spacing_mm < rng.uniform(4.0, 24.0))
    grown = np.where(grows, coarse[tuple(nearest)], t.FAT).astype(np.uint8)
    grown = grown.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: labels.shape[0], : labels.shape[1], : labels.shape[2]]
    return np.where(labels == t.FAT, grown, labels).astype(np.uint8)


def _cut_fissure(labels: LabelArray, spacing_mm: float, rng: np.random.Generator) -> None:
    """A curved sheet of fat, 1 to 5 mm thick, from the liver's surface 10 to 35 mm into it; in place."""
    coarse = labels[::3, ::3, ::3] == t.LIVER
    surface = np.argwhere(coarse & ~ndimage.binary_erosion(coarse))
    if len(surface) == 0:
        return
    start = surface[rng.integers(len(surface))] * 3
    reach_mm = rng.uniform(10.0, 35.0)
    box = box_around(start, reach_mm / spacing_mm, labels.shape)
    offset = offsets(start, box, spacing_mm)
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    normal, along, across = (np.tensordot(axes[a], offset, axes=1) for a in range(3))
    bent = normal + (along**2 * rng.normal(0, 0.4) + across**2 * rng.normal(0, 0.4)) / reach_mm
    inside = np.linalg.norm(offset, axis=0) < reach_mm
    part = labels[box]
    part[(part == t.LIVER) & inside & (np.abs(bent) < rng.uniform(0.5, 2.5))] = t.FAT


def _put_cyst(labels: LabelArray, voxel: int, spacing_mm: float, rng: np.random.Generator) -> None:
    """A ball of water of 4 to 25 mm; in place."""
    centre = np.array(np.unravel_index(voxel, labels.shape))
    radius_mm = rng.uniform(2.0, 12.5) * rng.uniform(0.4, 1.0)
    box = box_around(centre, radius_mm / spacing_mm, labels.shape)
    part = labels[box]
    part[(part == t.LIVER) & (np.linalg.norm(offsets(centre, box, spacing_mm), axis=0) < radius_mm)] = t.CYST


def _fill_hilum(labels: LabelArray, spacing_mm: float, rng: np.random.Generator) -> None:
    """Fat or soft tissue around the wide portal branches near where they enter, and a bile duct along them; in place.

    Both thin out with the distance to the entry. The tissue is outside of the liver, as readers draw it; a duct within
    the liver is liver.
    """
    entry = np.argwhere((labels == t.PORTAL_IN) & ndimage.binary_dilation(labels == t.PORTAL))
    if len(entry) == 0:
        return
    centre, reach_mm = entry[rng.integers(len(entry))], rng.uniform(15.0, 50.0)
    box = box_around(centre, reach_mm / spacing_mm, labels.shape)
    part = labels[box]
    portal = np.isin(part, (t.PORTAL_IN, t.PORTAL))
    wide = portal & (ndimage.distance_transform_edt(portal) * spacing_mm > _WIDE_MM)
    if not wide.any():
        return
    from_axis, nearest = ndimage.distance_transform_edt(~wide, return_indices=True)
    away_mm = from_axis * spacing_mm - _WIDE_MM
    share = np.clip(1.0 - np.linalg.norm(offsets(centre, box, spacing_mm), axis=0) / reach_mm, 0.0, 1.0)
    width_mm = rng.uniform(1.0, 8.0) * (1.0 + 0.5 * smooth_noise(part.shape, 12.0 / spacing_mm, rng))
    room = part == t.LIVER
    part[room & (away_mm < width_mm * share)] = t.FAT if rng.random() < 0.5 else t.OTHER
    if rng.random() < 0.4:
        beside = _beside(nearest, rng) & (away_mm < rng.uniform(2.0, 8.0) * np.sqrt(share))
        part[beside & room] = t.CYST


def _beside(nearest: npt.NDArray[np.int_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Voxels that see the vein's nearest voxel in one drawn direction, within about 35 degrees."""
    toward = np.indices(nearest.shape[1:]) - nearest
    direction = rng.standard_normal(3)
    along = np.tensordot(direction / np.linalg.norm(direction), toward, axes=1)
    return np.asarray(along > 0.82 * np.linalg.norm(toward, axis=0).clip(1e-6))

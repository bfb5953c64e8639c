"""What a network mistakes for something else, drawn into a patch: neighbours that touch the liver, fissures, cysts.

The label maps leave a gap of fat around a liver that was put into another trunk, and no map has fissures or cysts:
without them a network takes every dark spot for a lesion.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.training import anatomies as t
from liverplan.training.anatomies import LabelArray

_NEIGHBOURS = (t.STOMACH, t.PANCREAS, t.DUODENUM, t.SMALL_BOWEL, t.COLON, t.MUSCLE, t.WALL, t.OTHER, t.SPLEEN)
"""What may lie against the liver without fat between."""


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
    return labels


def _closed_up(labels: LabelArray, spacing_mm: float, rng: np.random.Generator) -> LabelArray:
    """Neighbours grown through the fat towards the liver, in some regions of the patch."""
    from liverplan.training.synthesis import smooth_noise

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
    box = _box_around(start, reach_mm / spacing_mm, labels.shape)
    offset = _offsets(start, box, spacing_mm)
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
    box = _box_around(centre, radius_mm / spacing_mm, labels.shape)
    part = labels[box]
    part[(part == t.LIVER) & (np.linalg.norm(_offsets(centre, box, spacing_mm), axis=0) < radius_mm)] = t.CYST


def _box_around(centre: npt.NDArray[np.int_], reach_vox: float, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    reach = int(np.ceil(reach_vox))
    i, j, k = (slice(max(int(c) - reach, 0), min(int(c) + reach + 1, n)) for c, n in zip(centre, shape, strict=True))
    return i, j, k


def _offsets(
    centre: npt.NDArray[np.int_], box: tuple[slice, slice, slice], spacing_mm: float
) -> npt.NDArray[np.float64]:
    """Vectors from `centre` to the voxels of `box`, mm, shape (3, i, j, k)."""
    axes = [(np.arange(side.start, side.stop) - c) * spacing_mm for side, c in zip(box, centre, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))

"""Lesions as instances: one connected metastasis each, with its volume, surface and longest diameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverplan.distance import farthest_pair
from liverplan.quantity import Point, as_point
from liverplan.surface import Surface, sub_voxel_surface
from liverplan.volume import AnyArray, BoolArray, Grid, bounding_box

SMALLEST_LESION_VOXELS = 3
"""Smaller components are strays of the mask: reported, not counted (shared convention of reading tools)."""

LabelArray = AnyArray
"""Whole numbers, in a type wide enough for the largest."""


@dataclass(frozen=True)
class Lesion:
    """One metastasis. `id` counts from 1 by decreasing volume; volumes in mL, lengths in mm, points in LPS mm."""

    id: int
    volume_ml: float
    centroid_lps_mm: Point
    longest_diameter_mm: float
    longest_diameter_witness_lps_mm: tuple[Point, Point]
    surface: Surface


@dataclass(frozen=True)
class LesionMap:
    """All lesions of a case: label per voxel (0 none, else Lesion.id), the lesions, and strays left uncounted."""

    labels: LabelArray
    lesions: tuple[Lesion, ...]
    strays: tuple[tuple[Point, int], ...]

    def __iter__(self) -> Iterator[Lesion]:
        return iter(self.lesions)

    def __len__(self) -> int:
        return len(self.lesions)


def find_lesions(mask: AnyArray, grid: Grid) -> LesionMap:
    """Split a lesion mask (i, j, k) into instances, largest first.

    Two or more label values are taken as the reader's own instances; a single value is split into components that share
    a face, an edge or a corner. Components below SMALLEST_LESION_VOXELS are listed as strays.
    """
    # In the mask's own memory order: mixing orders makes every later comparison ten times slower.
    if not mask.any():
        return LesionMap(np.zeros_like(mask, dtype=np.uint8), (), ())
    box = bounding_box(mask)
    pieces = _instances(mask[box])
    # A byte per voxel unless there are more lesions than it counts: the map is as large as the image.
    labels = np.zeros_like(mask, dtype=np.uint8 if pieces.max() <= 255 else np.int32)
    sizes = np.bincount(pieces.ravel())[1:]
    part = grid.cropped(box)
    order = sorted(range(1, len(sizes) + 1), key=lambda n: (-sizes[n - 1], _first_voxel(pieces, n)))
    lesions: list[Lesion] = []
    strays: list[tuple[Point, int]] = []
    for piece in order:
        if sizes[piece - 1] == 0:
            continue
        inside = np.asarray(pieces == piece)
        if sizes[piece - 1] < SMALLEST_LESION_VOXELS:
            strays.append((as_point(part.to_world(np.argwhere(inside).mean(0))), int(sizes[piece - 1])))
            continue
        lesions.append(_lesion(len(lesions) + 1, inside, part))
        labels[box][inside] = len(lesions)
    return LesionMap(labels, tuple(lesions), tuple(strays))


def _instances(mask: AnyArray) -> LabelArray:
    values = np.unique(mask[mask > 0])
    if len(values) > 1:
        return np.where(mask > 0, np.searchsorted(values, mask) + 1, 0).astype(np.int32)
    pieces, _ = ndimage.label(mask > 0, structure=np.ones((3, 3, 3)))
    return np.asarray(pieces, dtype=np.int32)


def _first_voxel(pieces: LabelArray, number: int) -> int:
    return int((pieces == number).argmax())


def _lesion(number: int, inside: BoolArray, grid: Grid) -> Lesion:
    surface = sub_voxel_surface(inside, grid)
    diameter, start, end = farthest_pair(surface.vertices_lps_mm)
    centroid = as_point(grid.to_world(np.argwhere(inside).mean(0)))
    volume_ml = float(inside.sum() * grid.voxel_ml)
    return Lesion(number, volume_ml, centroid, diameter, (as_point(start), as_point(end)), surface)

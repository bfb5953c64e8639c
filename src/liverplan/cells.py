"""The liver as small cells whose volumes add up exactly: what margins and remnants are counted in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liverplan.volume import BoolArray, FloatArray, Grid, bounding_box, pooled_count

LabelArray = npt.NDArray[np.int32]

CELL_MM = 1.25
"""Voxels are pooled into cells of about this size; volumes stay exact because each cell keeps its voxel count."""


@dataclass(frozen=True)
class Cells:
    """The liver as N small cells: centre (N, 3) LPS mm, volume (N,) mL, lesion id (N,) or 0 for parenchyma."""

    points_lps_mm: FloatArray
    volume_ml: FloatArray
    lesion: LabelArray

    @cached_property
    def liver_ml(self) -> float:
        return float(self.volume_ml.sum())

    @cached_property
    def tumour_ml(self) -> float:
        return float(self.volume_ml[self.lesion > 0].sum())


def liver_cells(liver: BoolArray, lesion_labels: LabelArray, grid: Grid) -> Cells:
    """Pool the liver's voxels into cells of about CELL_MM; parenchyma and each lesion are kept apart inside a cell.

    liver, lesion_labels: (i, j, k) on `grid`; every lesion voxel is a liver voxel. The cells' volumes add up to the
    voxels' volume exactly.
    """
    box = bounding_box(liver)
    pool = _pool(grid)
    part = grid.cropped(box)
    inside, labels = liver[box], np.where(liver[box], lesion_labels[box], 0)
    kinds = [0, *np.unique(labels[labels > 0]).tolist()]
    centres, volumes, owners = [], [], []
    for kind in kinds:
        count = pooled_count(inside & (labels == kind), pool)
        ijk = np.argwhere(count)
        centre = ijk * np.array(pool) + (np.array(pool) - 1) / 2.0
        centres.append(part.to_world(centre))
        volumes.append(count[tuple(ijk.T)] * grid.voxel_ml)
        owners.append(np.full(len(ijk), kind, dtype=np.int32))
    return Cells(np.concatenate(centres), np.concatenate(volumes), np.concatenate(owners))


@dataclass(frozen=True)
class ParenchymaCells:
    """The blocks of voxels behind the cells of parenchyma, in the order of `liver_cells`, to count masks in."""

    parenchyma: BoolArray
    box: tuple[slice, slice, slice]
    pool: tuple[int, int, int]
    blocks: tuple[npt.NDArray[np.int64], ...]
    voxel_ml: float

    @classmethod
    def of(cls, liver: BoolArray, lesion_labels: LabelArray, grid: Grid) -> ParenchymaCells:
        """liver, lesion_labels: (i, j, k) on `grid`."""
        box = bounding_box(liver)
        i, j, k = _pool(grid)
        parenchyma = liver[box] & (lesion_labels[box] == 0)
        return cls(parenchyma, box, (i, j, k), np.nonzero(pooled_count(parenchyma, (i, j, k))), grid.voxel_ml)

    def ml(self, mask: BoolArray) -> FloatArray:
        """How much of a mask's (i, j, k) tumour-free liver lies in each cell, mL."""
        return np.asarray(pooled_count(self.parenchyma & mask[self.box], self.pool)[self.blocks] * self.voxel_ml)


def _pool(grid: Grid) -> tuple[int, int, int]:
    i, j, k = (max(1, round(CELL_MM / s)) for s in grid.spacing_mm)
    return i, j, k

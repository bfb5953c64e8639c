"""What every resection is planned and measured on: the liver, its loss field, and a lattice for smooth shapes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liverplan.cells import LabelArray, ParenchymaCells
from liverplan.distance import BoundaryError
from liverplan.margin import LossField, TreeLoss
from liverplan.naming import TreeNames
from liverplan.quantity import Distance
from liverplan.surface import refined
from liverplan.volume import BoolArray, FloatArray, Grid, border, bounding_box, pooled_count

LATTICE_MM = 2.5
"""Pitch of the lattice that shapes are drawn on; a sphere of 10 mm radius interpolated from it is 0.08 mm off."""

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lattice:
    """Every `step`-th voxel of a grid along each axis, one lattice point of margin around it.

    A level set is an array of this shape: negative where tissue is taken out, in mm near its zero.
    """

    grid: Grid
    step: tuple[int, int, int]

    @classmethod
    def over(cls, grid: Grid) -> Lattice:
        i, j, k = (max(1, round(LATTICE_MM / s)) for s in grid.spacing_mm)
        return cls(grid, (i, j, k))

    @property
    def shape(self) -> tuple[int, int, int]:
        i, j, k = (-(-(n - 1) // s) + 3 for n, s in zip(self.grid.shape, self.step, strict=True))
        return i, j, k

    @property
    def pitch_mm(self) -> tuple[float, float, float]:
        i, j, k = (n * s for n, s in zip(self.step, self.grid.spacing_mm, strict=True))
        return i, j, k

    @cached_property
    def points_lps_mm(self) -> FloatArray:
        """Positions of the lattice points, (i, j, k, 3)."""
        return self.grid.to_world((np.moveaxis(np.indices(self.shape), 0, -1) - 1) * np.array(self.step))

    def index(self, points_lps_mm: FloatArray) -> FloatArray:
        """Fractional lattice index of points (..., 3)."""
        return np.asarray(self.grid.to_index(points_lps_mm) / np.array(self.step) + 1.0)

    def below_zero(self, level: Float32Array) -> BoolArray:
        """Voxels (i, j, k) of the grid where the level set, interpolated linearly, is at most 0."""
        found = np.zeros(self.grid.shape, dtype=np.bool_)
        if not (level <= 0).any():
            return found
        box = bounding_box(level <= 0, (1, 1, 1))
        fine = refined(level[box], list(self.step)) <= 0
        to, of = [], []
        for size, step, part, count in zip(self.grid.shape, self.step, box, fine.shape, strict=True):
            first = (part.start - 1) * step
            to.append(slice(max(first, 0), min(first + count, size)))
            of.append(slice(max(-first, 0), min(size - first, count)))
        found[tuple(to)] = fine[tuple(of)]
        return found

    def blocks(self, mask: BoolArray) -> npt.NDArray[np.int32]:
        """Voxels of a mask in the block at each inner lattice point, for cheap work on the whole liver."""
        return pooled_count(mask, self.step)


@dataclass(frozen=True)
class Target:
    """What a candidate is cut for, mm. wide_mm: where nothing stands in the way. tight_mm: beside vessels that can be
    kept; still the margin asked for, with its interval."""

    wide_mm: float
    tight_mm: float


@dataclass(frozen=True)
class Workspace:
    """A case as resections see it; arrays (i, j, k) on `grid`, cells and trees as in the loss field.

    portal_names, hepatic_names: None where that tree is missing.
    """

    grid: Grid
    liver: BoolArray
    lesion_labels: LabelArray
    field: LossField
    portal_names: TreeNames | None
    hepatic_names: TreeNames | None
    error: BoundaryError

    @cached_property
    def lattice(self) -> Lattice:
        return Lattice.over(self.grid)

    @cached_property
    def lesion_distance_mm(self) -> Float32Array:
        """(L, i, j, k) distance of the lattice's points to each lesion, negative inside."""
        points = self.lattice.points_lps_mm.reshape(-1, 3)
        rows = [lesion.surface.signed_distance_mm(points) for lesion in self.field.lesions]
        shape = (len(rows), *self.lattice.shape)
        return np.array(rows, dtype=np.float32).reshape(shape)

    @cached_property
    def near_liver(self) -> BoolArray:
        """Lattice points in the liver or beside it: where level sets have to be right."""
        from scipy.ndimage import binary_dilation

        count = self.liver_blocks
        inside = np.zeros(self.lattice.shape, dtype=np.bool_)
        inside[tuple(slice(1, 1 + n) for n in count.shape)] = count > 0
        return np.asarray(binary_dilation(inside, np.ones((3, 3, 3)), iterations=1))

    @cached_property
    def lesion_voxels(self) -> tuple[tuple[IntArray, ...], ...]:
        """Per lesion the indices of its voxels, as `numpy.nonzero` gives them."""
        where = np.nonzero(self.lesion_labels)
        label = self.lesion_labels[where]
        return tuple(tuple(axis[label == lesion.id] for axis in where) for lesion in self.field.lesions)

    @cached_property
    def liver_box(self) -> tuple[slice, slice, slice]:
        return bounding_box(self.liver)

    @cached_property
    def liver_blocks(self) -> npt.NDArray[np.int32]:
        return self.lattice.blocks(self.liver)

    @cached_property
    def surface_voxels(self) -> BoolArray:
        """The liver's voxels on its surface, (i, j, k)."""
        return border(self.liver)

    @cached_property
    def margins_found(self) -> dict[tuple[int, bytes], Distance | None]:
        """Margins measured already, by lesion and what the specimen is around it: candidates share their wedges."""
        return {}

    @cached_property
    def cells_on_lattice(self) -> IntArray:
        """Per cell of the loss field the lattice point nearest to it, counted in C order; (N,)."""
        index = np.rint(self.lattice.index(self.field.cells.points_lps_mm)).astype(np.int64)
        return np.asarray(np.ravel_multi_index(tuple(index.T), self.lattice.shape))

    @cached_property
    def parenchyma(self) -> IntArray:
        """Cells (numbers) that hold liver without tumour."""
        return np.flatnonzero(self.field.cells.lesion == 0)

    @cached_property
    def parenchyma_cells(self) -> ParenchymaCells:
        return ParenchymaCells.of(self.liver, self.lesion_labels, self.grid)

    def prepare(self) -> None:
        """Compute now what threads would otherwise compute twice."""
        _ = self.near_liver, self.lesion_distance_mm, self.liver_box, self.lesion_voxels, self.surface_voxels
        _ = self.parenchyma, self.parenchyma_cells, self.cells_on_lattice

    @property
    def trees(self) -> tuple[TreeLoss, ...]:
        return tuple(t for t in (self.field.portal, self.field.hepatic) if t is not None)

    def names_of(self, tree: TreeLoss) -> TreeNames | None:
        return self.portal_names if tree is self.field.portal else self.hepatic_names


def cut_off(parent: IntArray, divided: BoolArray) -> BoolArray:
    """Nodes that hang on a divided one, itself included; `divided` is (nodes,) or (many, nodes)."""
    lost = divided.copy()
    above = np.where(parent >= 0, parent, np.arange(len(parent)))
    for _ in range(max(1, int(np.ceil(np.log2(len(parent) + 1))))):
        lost |= lost[..., above]
        above = above[above]
    return lost


def topmost(parent: IntArray, nodes: BoolArray) -> BoolArray:
    """Of some nodes (nodes,) those that no other of them lies above, on the way from the root."""
    return np.asarray(nodes & ~np.where(parent >= 0, cut_off(parent, nodes)[parent], False))

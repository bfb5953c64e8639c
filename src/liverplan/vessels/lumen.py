"""The inside of a vessel mask as a graph of voxels, its loose pieces joined across small gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from liverplan.surface import refined, symmetric_distance_map
from liverplan.vessels.tree import IntArray
from liverplan.volume import BoolArray, FloatArray, Grid, bounding_box

LARGEST_BRIDGED_GAP_MM = 10.0
"""Pieces further away from the tree than this stay out of it and are reported."""
SMALLEST_PIECE_ML = 0.02
"""Pieces below this that do not touch the tree are noise of the mask; their volume is still reported."""
WORKING_SPACING_MM = 1.0
"""Thick slices are interpolated down to about this spacing before paths are traced."""
_CENTRING_POWER = 8
"""Nearly the path whose narrowest place is widest: where two veins touch, the neck between them is no way through."""
_OFFSETS = np.array([o for o in np.ndindex(3, 3, 3) if o != (1, 1, 1)])


@dataclass(frozen=True)
class Walls:
    """Points (M, 3) LPS mm halfway between lumen voxels and their outer neighbours: the wall, without bias.

    weight: (M,) 1 / spacing^2 along the axis that was crossed. pitch_mm: the lattice's largest spacing.
    """

    points: FloatArray
    weight: FloatArray
    pitch_mm: float

    def where(self, kept: BoolArray) -> Walls:
        return Walls(self.points[kept], self.weight[kept], self.pitch_mm)


@dataclass(frozen=True)
class Lumen:
    """The voxels of a vessel mask on a working lattice, with depth below the wall and a graph of neighbours."""

    grid: Grid
    ijk: IntArray
    points: FloatArray
    depth_mm: FloatArray
    piece: IntArray
    graph: sparse.csr_matrix
    gaps: tuple[tuple[int, int], ...]
    pitch_mm: float

    @classmethod
    def of(cls, mask: BoolArray, grid: Grid) -> Lumen:
        if not mask.any():
            raise ValueError("a vessel tree needs at least one voxel")
        fine, lattice = _working_lattice(mask, grid)
        ijk = np.argwhere(fine)
        points = lattice.to_world(ijk)
        number = np.full(tuple(n + 2 for n in fine.shape), -1, dtype=np.int32)
        number[tuple((ijk + 1).T)] = np.arange(len(ijk))
        depth = _depth(number, ijk, points, lattice)
        edges = _neighbours(number, ijk)
        graph = _graph(points, depth, edges, min(lattice.spacing_mm))
        _, piece = connected_components(graph, directed=False)
        joins = _joins(points, piece, lattice.voxel_ml)
        if joins:
            graph = graph + _joining(points, joins, len(points))
        return cls(lattice, ijk, points, depth, piece, graph.tocsr(), tuple(joins), max(lattice.spacing_mm))

    def walls(self) -> Walls:
        """Where the lumen ends, between voxels that share a face."""
        inside = np.zeros(self.ijk.max(axis=0) + 3, dtype=bool)
        inside[tuple((self.ijk + 1).T)] = True
        points, weight = [], []
        for axis, spacing_mm in enumerate(self.grid.spacing_mm):
            for side in (-1, 1):
                step = np.zeros(3, dtype=np.int64)
                step[axis] = side
                last = self.ijk[~inside[tuple((self.ijk + 1 + step).T)]]
                points.append(self.grid.to_world(last + 0.5 * step))
                weight.append(np.full(len(last), spacing_mm**-2))
        return Walls(np.concatenate(points), np.concatenate(weight), self.pitch_mm)


def _working_lattice(mask: BoolArray, grid: Grid) -> tuple[BoolArray, Grid]:
    """The mask cropped to its box, thick axes interpolated (shape-based) to about WORKING_SPACING_MM."""
    box = bounding_box(mask)
    cropped, part = mask[box], grid.cropped(box)
    factors = [max(1, round(s / WORKING_SPACING_MM)) for s in grid.spacing_mm]
    if max(factors) == 1:
        return cropped, part
    padded = np.pad(cropped, 2)
    fine = refined(symmetric_distance_map(padded, grid.spacing_mm), factors) < 0
    affine = part.affine.copy()
    affine[:3, 3] = part.to_world([-2.0, -2.0, -2.0])
    affine[:3, :3] = affine[:3, :3] / np.array(factors)
    shape = (fine.shape[0], fine.shape[1], fine.shape[2])
    # Interpolation may lose a vessel of one voxel: its own voxels always stay.
    centres = fine[tuple(slice(None, None, f) for f in factors)]
    centres |= padded
    return np.asarray(fine), Grid(shape, affine)


def _depth(number: npt.NDArray[np.int32], ijk: IntArray, points: FloatArray, grid: Grid) -> FloatArray:
    """Depth of each lumen voxel below the wall in mm: mean of the distances to the nearest outer and inner border.

    number: lumen voxel numbers on the lattice padded by one, -1 outside.
    """
    outer, on_border = [], np.zeros(len(ijk), dtype=bool)
    for offset in _OFFSETS:
        beside = ijk + offset
        outside = number[tuple(beside.T)] < 0
        outer.append(np.ravel_multi_index(tuple(beside[outside].T), number.shape))
        if np.abs(offset - 1).sum() == 1:
            on_border |= outside
    shell = np.stack(np.unravel_index(np.unique(np.concatenate(outer)), number.shape), axis=1) - 1
    to_outer = cKDTree(grid.to_world(shell)).query(points, workers=-1)[0]
    to_inner = cKDTree(points[on_border]).query(points, workers=-1)[0]
    return np.asarray(0.5 * (to_outer + to_inner))


def _neighbours(number: npt.NDArray[np.int32], ijk: IntArray) -> IntArray:
    """Pairs (E, 2) of lumen voxels that share a face, an edge or a corner."""
    pairs = []
    for offset in _OFFSETS[13:]:
        other = number[tuple((ijk + offset).T)]
        found = np.flatnonzero(other >= 0)
        pairs.append(np.stack([found, other[found]], axis=1))
    return np.concatenate(pairs)


def _graph(points: FloatArray, depth: FloatArray, edges: IntArray, pitch_mm: float) -> sparse.coo_matrix:
    """Edge cost = length / depth^_CENTRING_POWER (in pitches): a path keeps to the middle of the lumen."""
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    middle = 0.5 * (depth[edges[:, 0]] + depth[edges[:, 1]]) / pitch_mm
    cost = length / middle**_CENTRING_POWER
    return sparse.coo_matrix((cost, (edges[:, 0], edges[:, 1])), shape=(len(points), len(points)))


def _joins(points: FloatArray, piece: IntArray, voxel_ml: float) -> list[tuple[int, int]]:
    """Voxel pairs (tree side, piece side) that join every piece within reach to the growing main piece."""
    sizes = np.bincount(piece)
    main = piece == sizes.argmax()
    worth = np.flatnonzero(sizes * voxel_ml >= SMALLEST_PIECE_ML)
    waiting = set(worth.tolist()) - {int(sizes.argmax())}
    joins: list[tuple[int, int]] = []
    while waiting:
        open_voxels = np.flatnonzero(np.isin(piece, list(waiting)))
        gap, nearest = cKDTree(points[main]).query(points[open_voxels], distance_upper_bound=LARGEST_BRIDGED_GAP_MM)
        if not np.isfinite(gap).any():
            break
        on_main = np.flatnonzero(main)
        best = int(np.argmin(gap))
        joined = int(piece[open_voxels[best]])
        joins.append((int(on_main[nearest[best]]), int(open_voxels[best])))
        main |= piece == joined
        waiting.discard(joined)
    return joins


def _joining(points: FloatArray, joins: list[tuple[int, int]], count: int) -> sparse.coo_matrix:
    """Edges across gaps: dear enough that no path takes one where the lumen connects."""
    pairs = np.array(joins)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return sparse.coo_matrix((1e3 + 1e3 * length, (pairs[:, 0], pairs[:, 1])), shape=(count, count))

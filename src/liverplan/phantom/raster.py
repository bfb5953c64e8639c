"""Shapes onto grids of any spacing and orientation.

Signed distances bound how far a surface is, so a block of voxels that lies deeper or farther than its own radius is
settled by its middle alone; only blocks at the surface are evaluated voxel by voxel. Vessel segments are drawn one by
one in their own boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from liverplan.phantom.shapes import Box, Shape
from liverplan.phantom.trees import Tree
from liverplan.volume import BoolArray, FloatArray, Grid

Float32Array = npt.NDArray[np.float32]
_BLOCK = 12
FAR_MM = 1e3


def mask_of(shape: Shape, grid: Grid) -> BoolArray:
    """Voxels whose centre lies inside the shape, (i, j, k)."""
    return np.asarray(distance_band(shape, grid, 0.0) < 0)


def mask_of_tree(tree: Tree, grid: Grid) -> BoolArray:
    """Voxels whose centre lies inside the lumen, (i, j, k)."""
    return np.asarray(tree_distance_band(tree, grid, 0.0) < 0)


def distance_band(shape: Shape, grid: Grid, band_mm: float) -> Float32Array:
    """Signed distance bound (i, j, k) where it is within `band_mm` of the surface; elsewhere +-FAR_MM.

    The sign is exact at every voxel centre.
    """
    field = np.full(grid.shape, FAR_MM, dtype=np.float32)
    window = index_window(shape.box_mm(), grid, band_mm)
    if window is None:
        return field
    for part in _tiles(window, _BLOCK * 8):
        _fill_tile(field, part, shape.signed_mm, grid, band_mm)
    return field


def tree_distance_band(tree: Tree, grid: Grid, band_mm: float) -> Float32Array:
    """As `distance_band`, for a tree: distance to the nearest wall, segment by segment."""
    field = np.full(grid.shape, FAR_MM, dtype=np.float32)
    inverse = np.linalg.inv(grid.affine)
    starts, ends = (grid.to_index(p) for p in (tree.start_mm, tree.end_mm))
    stretch = np.linalg.norm(inverse[:3, :3], axis=1)
    for a, b, p, q, radius in zip(starts, ends, tree.start_mm, tree.end_mm, tree.radius_mm, strict=True):
        reach = (radius + band_mm) * stretch
        low = np.maximum(np.ceil(np.minimum(a, b) - reach).astype(int), 0)
        high = np.minimum(np.floor(np.maximum(a, b) + reach).astype(int) + 1, grid.shape)
        if (low >= high).any():
            continue
        box = tuple(slice(u, v) for u, v in zip(low, high, strict=True))
        field[box] = np.minimum(field[box], _capsule_on_box(grid, low, high, p, q, radius))
    return field


def index_window(box: Box, grid: Grid, margin_mm: float = 0.0) -> tuple[slice, slice, slice] | None:
    """The voxels that a world box (infinite sides allowed) grown by `margin_mm` can reach, or None."""
    corners = grid.corners_lps_mm()
    low = np.maximum(box[0] - margin_mm, corners.min(0) - 1.0)
    high = np.minimum(box[1] + margin_mm, corners.max(0) + 1.0)
    if (low > high).any():
        return None
    sides = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    index = grid.to_index(sides)
    first = np.maximum(np.floor(index.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(0)).astype(int) + 1, grid.shape)
    if (first >= last).any():
        return None
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def box_points(grid: Grid, box: tuple[slice, slice, slice]) -> FloatArray:
    """LPS mm (n, 3) of the voxels of a box, in C order."""
    i, j, k = (grid.affine[:3, a] * np.arange(s.start, s.stop)[:, None] for a, s in enumerate(box))
    points = i[:, None, None] + j[None, :, None] + k[None, None, :] + grid.affine[:3, 3]
    return np.asarray(points.reshape(-1, 3))


def _tiles(window: tuple[slice, slice, slice], size: int) -> Iterator[tuple[slice, slice, slice]]:
    starts = [range(s.start, s.stop, size) for s in window]
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                ends = [min(v + size, s.stop) for v, s in zip((i, j, k), window, strict=True)]
                yield slice(i, ends[0]), slice(j, ends[1]), slice(k, ends[2])


def _fill_tile(
    field: Float32Array,
    tile: tuple[slice, slice, slice],
    signed_mm: Callable[[FloatArray], FloatArray],
    grid: Grid,
    band_mm: float,
) -> None:
    """Settle the tile's blocks by their middles, then the undecided blocks voxel by voxel, all in one call."""
    blocks = list(_tiles(tile, _BLOCK))
    middles = grid.to_world([[(s.start + s.stop - 1) / 2 for s in block] for block in blocks])
    radius = [np.linalg.norm(np.ptp(grid.to_world(_corners(b)), axis=0)) / 2 for b in blocks]
    at_middle = signed_mm(middles)
    certain = np.abs(at_middle) > np.array(radius) + band_mm
    for block, value in zip(np.array(blocks, dtype=object)[certain], at_middle[certain], strict=True):
        field[tuple(block)] = np.copysign(FAR_MM, value)
    open_blocks = [block for block, settled in zip(blocks, certain, strict=True) if not settled]
    if not open_blocks:
        return
    clouds = [box_points(grid, block) for block in open_blocks]
    values = signed_mm(np.concatenate(clouds)).astype(np.float32)
    first = 0
    for block, cloud in zip(open_blocks, clouds, strict=True):
        field[block] = values[first : first + len(cloud)].reshape([s.stop - s.start for s in block])
        first += len(cloud)


def _corners(block: tuple[slice, slice, slice]) -> npt.NDArray[np.float64]:
    sides = [(s.start, s.stop - 1) for s in block]
    return np.array(np.meshgrid(*sides), dtype=np.float64).reshape(3, -1).T


def _capsule_on_box(
    grid: Grid,
    low: npt.NDArray[np.int_],
    high: npt.NDArray[np.int_],
    start: FloatArray,
    end: FloatArray,
    radius: float,
) -> Float32Array:
    """Signed distance to one capsule on a box of voxels; the sums over axes are taken before the voxels."""
    along = end - start
    square = max(float(along @ along), 1e-18)
    offset = grid.affine[:3, 3] - start
    steps = [grid.affine[:3, a] * np.arange(low[a], high[a])[:, None] for a in range(3)]
    way = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :] + offset
    t = np.clip(way @ along / square, 0.0, 1.0)
    gap = way - t[..., None] * along
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", gap, gap)) - radius, dtype=np.float32)

"""Shapes onto grids of any spacing and orientation.

Signed distances bound how far a surface is, so a block of voxels that lies deeper or farther than its own radius is
settled by its middle alone; only blocks at the surface are evaluated voxel by voxel. Vessel segments are drawn one by
one in their own boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.phantom.shapes import Box, Shape
from liverplan.phantom.trees import Tree
from liverplan.volume import BoolArray, FloatArray, Grid

Float32Array = npt.NDArray[np.float32]
Block: TypeAlias = tuple[slice, slice, slice]
_BLOCK = 12
FAR_MM = 1e3


def mask_of(shape: Shape, grid: Grid) -> BoolArray:
    """Voxels whose centre lies inside the shape, (i, j, k)."""
    mask = np.zeros(grid.shape, dtype=np.bool_)
    for block, field in shape_blocks(shape, grid):
        mask[block] = True if field is None else field < 0
    return mask


def mask_of_tree(tree: Tree, grid: Grid) -> BoolArray:
    """Voxels whose centre lies inside the lumen, (i, j, k)."""
    return np.asarray(tree_distance_band(tree, grid, 0.0) < 0)


def shape_blocks(shape: Shape, grid: Grid, band_mm: float = 0.0) -> Iterator[tuple[Block, Float32Array | None]]:
    """Blocks of voxels that the shape reaches: None where it fills them, else their signed distance bound.

    Within `band_mm` outside the surface blocks are still given; the sign is exact at every voxel centre.
    """
    window = index_window(shape.box_mm(), grid, band_mm)
    if window is not None:
        for tile in _tiles(window, _BLOCK * 8):
            yield from _tile_blocks(tile, shape.signed_mm, grid, band_mm)


def distance_band(shape: Shape, grid: Grid, band_mm: float) -> Float32Array:
    """Signed distance bound (i, j, k) within `band_mm` of the surface; elsewhere +-FAR_MM. The sign is exact."""
    values = np.full(grid.shape, FAR_MM, dtype=np.float32)
    for block, field in shape_blocks(shape, grid, band_mm):
        values[block] = -FAR_MM if field is None else field
    return values


def tree_distance_band(tree: Tree, grid: Grid, band_mm: float) -> Float32Array:
    """Signed distance (i, j, k) to the nearest wall where it is within `band_mm` outside; FAR_MM elsewhere."""
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


def index_window(box: Box, grid: Grid, margin_mm: float = 0.0) -> Block | None:
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


def box_points(grid: Grid, box: Block) -> FloatArray:
    """LPS mm (n, 3) of the voxels of a box, in C order."""
    i, j, k = (grid.affine[:3, a] * np.arange(s.start, s.stop)[:, None] for a, s in enumerate(box))
    points = i[:, None, None] + j[None, :, None] + k[None, None, :] + grid.affine[:3, 3]
    return np.asarray(points.reshape(-1, 3))


def _tiles(window: Block, size: int) -> Iterator[Block]:
    starts = [range(s.start, s.stop, size) for s in window]
    for i in starts[0]:
        for j in starts[1]:
            for k in starts[2]:
                ends = [min(v + size, s.stop) for v, s in zip((i, j, k), window, strict=True)]
                yield slice(i, ends[0]), slice(j, ends[1]), slice(k, ends[2])


def _tile_blocks(
    tile: Block, signed_mm: Callable[[FloatArray], FloatArray], grid: Grid, band_mm: float
) -> Iterator[tuple[Block, Float32Array | None]]:
    """Settle the tile's blocks by their middles, then the undecided blocks voxel by voxel, all in one call."""
    blocks = list(_tiles(tile, _BLOCK))
    middles = grid.to_world([[(s.start + s.stop - 1) / 2 for s in block] for block in blocks])
    radius = np.linalg.norm(np.array(grid.spacing_mm) * [[s.stop - s.start - 1 for s in b] for b in blocks], axis=1) / 2
    at_middle = signed_mm(middles)
    certain = np.abs(at_middle) > radius + band_mm
    for index in np.flatnonzero(certain & (at_middle < 0)):
        yield blocks[index], None
    undecided = [blocks[index] for index in np.flatnonzero(~certain)]
    if not undecided:
        return
    clouds = [box_points(grid, block) for block in undecided]
    values = signed_mm(np.concatenate(clouds)).astype(np.float32)
    first = 0
    for block, cloud in zip(undecided, clouds, strict=True):
        yield block, values[first : first + len(cloud)].reshape([s.stop - s.start for s in block])
        first += len(cloud)


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

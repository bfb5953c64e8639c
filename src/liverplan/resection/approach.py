"""From where to cut: the approach direction of a wedge, among many, that costs the least functioning liver."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates, minimum_filter

from liverplan.resection.sparing import kept_clear
from liverplan.resection.workspace import LATTICE_MM, Float32Array, Target, Workspace, cut_off
from liverplan.surface import Solid
from liverplan.volume import FloatArray

DIRECTIONS = 256
OPENING_DEG = 12.0
"""Half the angle by which a wedge widens towards the capsule: room for the instrument."""
AREA_ML_PER_CM2 = 0.15
"""What a square centimetre of cut surface weighs against lost liver when directions are compared: a shorter and
shallower cut wins among those that cost the same tissue."""
FINALISTS = 5
CLEAR_MM = 1.0
"""A wedge that passes a wall nearer than this is taken to divide the vessel."""
WORTH_SHARE = 0.02
"""A wedge gives way to vessels that serve at least this part of the liver."""
_APART_DEG = 12.0
_CLOUD_CELLS = 10_000
_BIN_MM = 5.0
_FAR_MM = 1e3


def directions(count: int = DIRECTIONS) -> FloatArray:
    """Unit vectors spread evenly over the sphere (Fibonacci spiral), (count, 3)."""
    n = np.arange(count) + 0.5
    height = 1.0 - 2.0 * n / count
    turn = np.pi * (1.0 + np.sqrt(5.0)) * n
    flat = np.sqrt(1.0 - height**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)


def best_wedge(work: Workspace, rows: list[int], target: Target) -> Float32Array:
    """Level set on the lattice of the wedge around the lesions `rows` along the way to the capsule that costs least.

    It is cut for the target's wide margin, and gives way to vessels that a wedge for the tight one would pass by. All
    directions are compared roughly, on a sample of the liver and without the opening; FINALISTS of them, apart from
    each other, as they would be cut.
    """
    ways = directions()
    costs = _Costs(work, rows, target.wide_mm)
    order = np.argsort([costs.roughly(way) for way in ways], kind="stable")
    finalists: list[int] = []
    for n in order:
        if all(ways[n] @ ways[m] < np.cos(np.radians(_APART_DEG)) for m in finalists):
            finalists.append(int(n))
        if len(finalists) == FINALISTS:
            break
    levels = [swept_level(work, rows, target.wide_mm, ways[n]) for n in finalists]
    best = int(np.argmin([costs.exactly(level) for level in levels]))
    tight = swept_level(work, rows, target.tight_mm, ways[finalists[best]])
    return _giving_way(work, levels[best], tight)


def _giving_way(work: Workspace, wide: Float32Array, tight: Float32Array) -> Float32Array:
    """The wide wedge bent around the vessels that the tight one leaves alone; never inside the tight one."""
    level = wide
    for tree in work.trees:
        at, radius_mm = tree.tree.points_lps_mm, tree.tree.radius_mm
        beside = (_at(work, wide, at) <= radius_mm + CLEAR_MM) & (_at(work, tight, at) > radius_mm)
        beside &= tree.hanging_ml >= WORTH_SHARE * work.field.cells.liver_ml
        if beside.any():
            level = kept_clear(work, level, tree, beside, CLEAR_MM + 0.2)
    return np.asarray(np.minimum(level, tight), dtype=np.float32)


def swept_level(work: Workspace, rows: list[int], margin_mm: float, way: FloatArray) -> Float32Array:
    """Level set of the lesions' margin region swept along `way`, widening by OPENING_DEG, on the lattice (mm).

    The sweep is the union over t >= 0 of { d(x - t way) <= margin + t tan(opening) }.
    """
    distance = work.lesion_distance_mm[rows].min(axis=0)
    where = np.argwhere(work.near_liver)
    points = work.lattice.points_lps_mm[work.near_liver]
    region = points[distance[tuple(where.T)] <= margin_mm]
    if len(region) == 0:
        region = points
    middle = 0.5 * (region.min(axis=0) + region.max(axis=0))
    ball_mm = float(np.linalg.norm(region - middle, axis=1).max()) + 4.0 * LATTICE_MM
    along = (points - middle) @ way
    opening = np.tan(np.radians(OPENING_DEG))
    across = np.linalg.norm(points - middle - along[:, None] * way, axis=1)
    # A cone around the region's ball holds all that the sweep reaches or comes near to.
    cone = np.flatnonzero((along >= -ball_mm) & (across <= ball_mm + (along + ball_mm) * opening))
    cone = cone[np.argsort(along[cone], kind="stable")]
    where, along = where[cone], along[cone]
    step_mm = min(work.lattice.pitch_mm)
    origin = np.array(work.grid.origin_lps_mm)
    back = work.lattice.index(origin - way * step_mm) - work.lattice.index(origin)
    level = distance[tuple(where.T)] - np.float32(margin_mm)
    for n in range(1, int((along[-1] + ball_mm) / step_mm) + 1):
        widened = n * step_mm * opening
        # Points that t leads back to the ball, widened; the others find nothing nearer there.
        reach = ball_mm + widened
        some = slice(*np.searchsorted(along, (n * step_mm - reach, n * step_mm + reach)))
        behind = (where[some] + n * back).T
        at = map_coordinates(distance, behind, order=1, mode="constant", cval=_FAR_MM)
        level[some] = np.minimum(level[some], at - margin_mm - widened)
    full = np.full(work.lattice.shape, _FAR_MM, dtype=np.float32)
    full[tuple(where.T)] = level
    return full


class _Costs:
    """What a direction costs, on a fixed sample of cells and on the vessels' nodes."""

    def __init__(self, work: Workspace, rows: list[int], margin_mm: float) -> None:
        cells = work.field.cells
        count = len(cells.volume_ml)
        sample = np.random.default_rng(0).permutation(count)[:_CLOUD_CELLS]
        self._work = work
        self._points = cells.points_lps_mm[sample]
        self._middle = self._points.mean(axis=0)
        self._reach_mm = float(np.linalg.norm(self._points - self._middle, axis=1).max())
        self._ml = cells.volume_ml[sample] * (cells.liver_ml / cells.volume_ml[sample].sum())
        self._taken = work.field.distance_mm[rows][:, sample].min(axis=0) <= margin_mm
        liver = Solid(work.liver, work.grid)
        self._trees = [
            (
                t.tree,
                t.node[sample],
                t.clearance_mm[rows].min(axis=0) <= margin_mm,
                liver.contains(t.tree.points_lps_mm),
            )
            for t in work.trees
        ]

    def exactly(self, level: Float32Array) -> float:
        """The same for a wedge as it would be cut (its level set on the lattice)."""
        work = self._work
        swept = _at(work, level, self._points) <= 0
        lost = swept.copy()
        for tree, node, must, inside in self._trees:
            hit = must | (inside & (_at(work, level, tree.points_lps_mm) <= tree.radius_mm + CLEAR_MM))
            lost |= cut_off(tree.parent, hit)[node]
        wall = (np.abs(level) < LATTICE_MM) & work.near_liver
        area_cm2 = float(wall.sum()) * np.prod(work.lattice.pitch_mm) / (2.0 * LATTICE_MM) / 100.0
        return float(self._ml[lost].sum() + AREA_ML_PER_CM2 * area_cm2)

    def roughly(self, way: FloatArray) -> float:
        """Lost mL, plus the cut's area at AREA_ML_PER_CM2, for a sweep along `way` that does not widen."""
        across = np.linalg.svd(way[None])[2][1:]
        flat, height = self._points @ across.T, self._points @ way
        start = (self._middle @ across.T) - self._reach_mm - 2 * _BIN_MM
        size = (int(np.ceil(2 * self._reach_mm / _BIN_MM)) + 5,) * 2
        lowest = np.full(size, np.inf)
        bins = ((flat - start) / _BIN_MM).astype(int)
        np.minimum.at(lowest, tuple(bins[self._taken].T), height[self._taken])
        swept = height >= lowest[tuple(bins.T)]
        lost = swept | self._taken
        beside = minimum_filter(lowest, 3)
        for tree, node, must, inside in self._trees:
            at = tree.points_lps_mm
            where = np.clip(((at @ across.T - start) / _BIN_MM).astype(int), 0, np.array(size) - 1)
            hit = must | (inside & (at @ way >= beside[tuple(where.T)]))
            lost |= cut_off(tree.parent, hit)[node]
        width = np.isfinite(lowest).sum() * _BIN_MM**2
        depth = float(np.ptp(height[swept])) if swept.any() else 0.0
        area_cm2 = (2.0 * np.sqrt(np.pi * width) * depth + width) / 100.0
        return float(self._ml[lost].sum() + AREA_ML_PER_CM2 * area_cm2)


def _at(work: Workspace, level: Float32Array, points: FloatArray) -> FloatArray:
    """The level set at points (N, 3)."""
    return np.asarray(map_coordinates(level, work.lattice.index(points).T, order=1, mode="nearest"))

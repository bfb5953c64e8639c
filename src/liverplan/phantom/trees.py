"""Vessel trees as unions of capsules: queries on them, and growing one inside an organ.

A `Tree` is a forest of straight segments, each with one wall radius. `grow_tree` fills a domain with such a tree:
the domain's volume is halved again and again across its widest side and every half is reached by a curved branch
(the volume-filling idea of Tawhai et al., Ann Biomed Eng 2000;28:793, used there for airways). Every terminal branch
serves the same volume, and radii follow Murray's law r_parent^g = sum r_child^g exactly at every branching, with
g = 2.8 by default (liver models use 2.7 to 3.0, the project's clinical reference, section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.volume import BoolArray, FloatArray

IntArray: TypeAlias = npt.NDArray[np.int32]
DistanceFunction: TypeAlias = Callable[[FloatArray], FloatArray]
"""Signed distance in mm at LPS points (M, 3), negative inside; must not change faster than the point moves."""


@dataclass(frozen=True)
class Tree:
    """Straight vessel segments (LPS mm). A segment begins where its parent ends; parents stand before children.

    start_mm, end_mm: (N, 3). radius_mm: (N,), the wall's. parent: (N,) int32, -1 for the segments at a root.
    """

    start_mm: FloatArray
    end_mm: FloatArray
    radius_mm: FloatArray
    parent: IntArray

    def __post_init__(self) -> None:
        n = len(self.radius_mm)
        if self.start_mm.shape != (n, 3) or self.end_mm.shape != (n, 3) or self.parent.shape != (n,):
            raise ValueError(f"a tree of {n} radii needs (N, 3) starts and ends and (N,) parents")
        if (self.parent >= np.arange(n)).any():
            raise ValueError("a parent segment stands before its children")

    def __len__(self) -> int:
        return len(self.radius_mm)

    @property
    def length_mm(self) -> FloatArray:
        """Axis length of every segment, (N,)."""
        return np.asarray(np.linalg.norm(self.end_mm - self.start_mm, axis=1))

    @property
    def leaves(self) -> npt.NDArray[np.intp]:
        """Indices of the segments without children."""
        return np.setdiff1d(np.arange(len(self)), self.parent)

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Signed distance (M,) from points (M, 3) to the wall of the union of capsules, negative in the lumen.

        Exact outside; inside the lumen where capsules overlap it is a lower bound of the depth's magnitude.
        """
        return _nearest(self, points_mm, self.radius_mm)[0]

    def axis_distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Distance (M,) from points (M, 3) to the nearest point of any segment's axis."""
        return _nearest(self, points_mm, np.zeros(len(self)))[0]

    def nearest_segment(self, points_mm: FloatArray) -> IntArray:
        """Index (M,) of the segment whose axis is nearest to each point (M, 3); the parent's at a joint."""
        return _nearest(self, points_mm, np.zeros(len(self)))[1]

    def nearest_wall_segment(self, points_mm: FloatArray) -> IntArray:
        """Index (M,) of the segment whose wall is nearest to each point (M, 3)."""
        return _nearest(self, points_mm, self.radius_mm)[1]

    def fraction_along(self, points_mm: FloatArray, segment: IntArray) -> FloatArray:
        """Where on `segment` (M,) the axis point nearest to each point (M, 3) lies: 0 at the start, 1 at the end."""
        start, along = self.start_mm[segment], (self.end_mm - self.start_mm)[segment]
        square = np.maximum((along**2).sum(1), 1e-18)
        return np.asarray(np.clip(((points_mm - start) * along).sum(1) / square, 0.0, 1.0))

    def path_minimum(self, values: FloatArray) -> FloatArray:
        """For each segment the least of `values` (N,) on the way from the root to it, itself included."""
        least = np.array(values, dtype=np.float64)
        for segment, parent in enumerate(self.parent):
            if parent >= 0:
                least[segment] = min(least[segment], least[parent])
        return least

    def kept(self, keep: BoolArray) -> Tree:
        """The tree of the segments in `keep` (N,) whose every ancestor is kept as well."""
        keep = np.array(keep)
        for segment, parent in enumerate(self.parent):
            if parent >= 0:
                keep[segment] &= keep[parent]
        number = np.cumsum(keep) - 1
        parent = np.where(self.parent[keep] >= 0, number[self.parent[keep]], -1).astype(np.int32)
        return Tree(self.start_mm[keep], self.end_mm[keep], self.radius_mm[keep], parent)

    def followed_by(self, other: Tree, segment: int = -1) -> Tree:
        """Both trees as one; the roots of `other` become children of `segment` (-1: they stay roots)."""
        shifted = np.where(other.parent >= 0, other.parent + len(self), segment).astype(np.int32)
        return Tree(
            np.concatenate([self.start_mm, other.start_mm]),
            np.concatenate([self.end_mm, other.end_mm]),
            np.concatenate([self.radius_mm, other.radius_mm]),
            np.concatenate([self.parent, shifted]),
        )

    def axis_points(self, step_mm: float) -> tuple[FloatArray, IntArray]:
        """Points (P, 3) on the axes at most `step_mm` apart, both ends included, and their segment (P,)."""
        counts = np.maximum(np.ceil(self.length_mm / step_mm).astype(int), 1) + 1
        segment = np.repeat(np.arange(len(self), dtype=np.int32), counts)
        rank = np.arange(len(segment)) - np.repeat(np.cumsum(counts) - counts, counts)
        t = (rank / (counts[segment] - 1))[:, None]
        return self.start_mm[segment] * (1 - t) + self.end_mm[segment] * t, segment


def murray_radii(
    parent: IntArray, root_radius_mm: float, exponent: float = 2.8, leaf_flow: FloatArray | None = None
) -> FloatArray:
    """Radii (N,) that obey r_parent^g = sum r_child^g, one flow unit per leaf (or `leaf_flow` (N,) at the leaves).

    Every root gets the share of `root_radius_mm` that its flow has in the largest root's.
    """
    is_leaf = np.ones(len(parent), dtype=bool)
    is_leaf[parent[parent >= 0]] = False
    flow = np.where(is_leaf, 1.0 if leaf_flow is None else leaf_flow, 0.0)
    for segment in range(len(parent) - 1, -1, -1):
        if parent[segment] >= 0:
            flow[parent[segment]] += flow[segment]
    return np.asarray(root_radius_mm * (flow / flow[parent < 0].max()) ** (1.0 / exponent))


def grow_tree(
    inside: DistanceFunction,
    root_mm: npt.ArrayLike,
    root_direction: npt.ArrayLike,
    root_radius_mm: float,
    n_leaves: int,
    rng: np.random.Generator,
    murray_exponent: float = 2.8,
    min_radius_mm: float = 1.0,
    avoid: DistanceFunction | None = None,
) -> Tree:
    """Fill the domain `inside` < 0 with a tree from `root_mm` (LPS mm; may lie at or outside the surface).

    n_leaves: terminal branches; fewer when they would be thinner than `min_radius_mm`, or where the domain or `avoid`
    leaves no room. avoid: signed distance to what no wall may touch, the wanted clearance already subtracted.
    All walls lie inside the domain and outside `avoid`; only the trunk up to the first branching may do neither.
    Raises ValueError when the domain is empty or out of reach (more than 300 mm from the root along an axis).
    """
    n_leaves = max(2, min(n_leaves, int((root_radius_mm / min_radius_mm) ** murray_exponent + 1e-9)))
    root = np.asarray(root_mm, dtype=np.float64)
    points = _domain_points(inside, root, 40 * n_leaves, rng)
    growth = _Growth(inside, avoid, root_radius_mm, n_leaves, murray_exponent, rng)
    growth.fill(root, _unit(np.asarray(root_direction, dtype=np.float64)), points)
    return settle_tree(growth.tree(root), inside, avoid, murray_exponent)


def settle_tree(
    tree: Tree,
    inside: DistanceFunction,
    avoid: DistanceFunction | None = None,
    murray_exponent: float = 2.8,
    rounds: int = 30,
) -> Tree:
    """Bend a grown tree clear of the domain's wall and of `avoid`; cut off what cannot be bent. Radii follow Murray."""
    root_radius = float(tree.radius_mm[tree.parent < 0].max())
    tree = _bent(tree, inside, avoid, rounds)
    for _ in range(40):
        keep = _trunk(tree) | ~_violating(tree, inside, avoid)
        if keep.all():
            break
        tree = tree.kept(keep)
        radius = murray_radii(tree.parent, root_radius, murray_exponent)
        tree = Tree(tree.start_mm, tree.end_mm, radius, tree.parent)
    return tree


def disentangle(
    first: Tree,
    second: Tree,
    inside: DistanceFunction,
    clearance_mm: float = 0.5,
    avoid: DistanceFunction | None = None,
    murray_exponent: float = 2.8,
) -> tuple[Tree, Tree]:
    """Both trees bent and trimmed until their walls are `clearance_mm` apart; the thinner branch gives way.

    avoid: what neither tree may touch. Where two trunks up to the first branching meet, nothing can give way.
    """

    def beside(other: Tree) -> DistanceFunction:
        return _nearest_of(avoid, lambda points: other.distance_mm(points) - clearance_mm)

    thick_mm = 0.4 * min(float(first.radius_mm.max()), float(second.radius_mm.max()))
    second = settle_tree(second, inside, beside(first.kept(first.radius_mm >= thick_mm)), murray_exponent)
    first = settle_tree(first, inside, beside(second.kept(second.radius_mm >= thick_mm)), murray_exponent)
    return first, settle_tree(second, inside, beside(first), murray_exponent)


def _nearest_of(one: DistanceFunction | None, other: DistanceFunction) -> DistanceFunction:
    return other if one is None else lambda points: np.minimum(one(points), other(points))


# Growing

_STEP_MM = 5.0
_REACH_MM = 300.0
_CLEAR_MM = 0.6
"""Room asked for between a wall and what it keeps away from while there is a choice; the final check asks for none."""


class _Growth:
    """Branches placed one by one, each as a curved chain of nodes."""

    def __init__(
        self,
        inside: DistanceFunction,
        avoid: DistanceFunction | None,
        root_radius_mm: float,
        n_leaves: int,
        exponent: float,
        rng: np.random.Generator,
    ) -> None:
        self._inside, self._avoid, self._rng = inside, avoid, rng
        self._n_leaves = n_leaves
        self._root_radius_mm, self._exponent = root_radius_mm, exponent
        self._end: list[FloatArray] = []
        self._parent: list[int] = []
        self._radius: list[float] = []

    def fill(self, root: FloatArray, direction: FloatArray, points: FloatArray) -> None:
        """Reach every part of `points` (P, 3): a stack of (parent segment, where, heading, points, leaves)."""
        waiting = [(-1, root, direction, points, self._n_leaves)]
        while waiting:
            parent, here, heading, cloud, leaves = waiting.pop()
            segment, end, heading = self._branch(parent, here, heading, cloud, leaves)
            if leaves > 1 and len(cloud) > 1:
                share = int(np.clip(round(leaves * self._rng.uniform(0.34, 0.66)), 1, leaves - 1))
                first, second = _halves(cloud, end, heading, share / leaves)
                waiting += [(segment, end, heading, second, leaves - share), (segment, end, heading, first, share)]

    def tree(self, root: FloatArray) -> Tree:
        end, parent = np.array(self._end), np.array(self._parent, dtype=np.int32)
        start = np.where((parent >= 0)[:, None], end[parent], root)
        return Tree(start, end, np.array(self._radius), parent)

    def _branch(
        self, parent: int, here: FloatArray, heading: FloatArray, cloud: FloatArray, leaves: int
    ) -> tuple[int, FloatArray, FloatArray]:
        """Append the best of several curved branches towards the cloud's centre: (last segment, its end, heading)."""
        radius = self._root_radius_mm * (leaves / self._n_leaves) ** (1.0 / self._exponent)
        curves = self._candidates(here, heading, cloud.mean(0), radius, leaves)
        curve = curves[int(np.argmin(self._cost(curves, radius)))]
        for point in curve[1:]:
            self._parent.append(parent)
            self._end.append(point)
            self._radius.append(radius)
            parent = len(self._end) - 1
        return parent, curve[-1], _unit(curve[-1] - curve[-2])

    def _candidates(
        self, here: FloatArray, heading: FloatArray, target: FloatArray, radius: float, leaves: int
    ) -> FloatArray:
        """Quadratic Bezier curves (C, n, 3) that leave along the heading; the first goes straight for the target."""
        way = target - here
        distance = float(np.linalg.norm(way)) + 1e-9
        reach = 1.25 if leaves == 1 else self._rng.uniform(0.36, 0.5)
        length = max(reach * distance, 2.0 * radius)
        wobble = self._rng.normal(0.0, 0.25, (16, 3)) * length
        wobble[0] = 0.0
        shorter = np.linspace(1.0, 0.4, 16)[:, None]
        end = here + way / distance * length * shorter + wobble
        bend = here + (heading * 0.45 + self._rng.normal(0.0, 0.06, 3)) * length
        t = np.linspace(0.0, 1.0, max(int(np.ceil(length / _STEP_MM)), 2) + 1)[:, None]
        return np.asarray((1 - t) ** 2 * here + 2 * t * (1 - t) * bend + t**2 * end[:, None, :])

    def _cost(self, curves: FloatArray, radius: float) -> FloatArray:
        """How far each curve is from the ideal one, and ten times how deep it gets into what it must not touch."""
        flat = curves.reshape(-1, 3)
        trespass = np.maximum(self._inside(flat) + radius + _CLEAR_MM, 0.0)
        if self._avoid is not None:
            trespass += np.maximum(radius + _CLEAR_MM - self._avoid(flat), 0.0)
        astray = np.linalg.norm(curves[:, -1] - curves[0, -1], axis=1)
        return np.asarray(astray + 10.0 * trespass.reshape(len(curves), -1).max(1))


def _halves(cloud: FloatArray, here: FloatArray, heading: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
    """The cloud cut across its widest side seen along the heading; the first part holds `share` of the points."""
    relative = cloud - here
    lateral = relative - np.outer(relative @ heading, heading)
    lateral -= lateral.mean(0)
    axis = np.linalg.eigh(lateral.T @ lateral)[1][:, -1]
    order = np.argsort(lateral @ axis, kind="stable")
    cut = int(np.clip(round(share * len(cloud)), 1, len(cloud) - 1))
    return cloud[order[:cut]], cloud[order[cut:]]


def _domain_points(inside: DistanceFunction, root: FloatArray, wanted: int, rng: np.random.Generator) -> FloatArray:
    """About `wanted` evenly spread points of the domain: a coarse search around the root, then a jittered lattice."""
    coarse_mm = 12.0
    steps = np.arange(-_REACH_MM, _REACH_MM + 1e-9, coarse_mm)
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) + root
    near = lattice[inside(lattice) < coarse_mm * 0.87]
    if len(near) == 0:
        raise ValueError(
            f"no part of the domain lies within {_REACH_MM:.0f} mm of the root {np.round(root, 1).tolist()}"
        )
    low, high = near.min(0) - coarse_mm, near.max(0) + coarse_mm
    fine_mm = float(np.clip((len(near) * coarse_mm**3 / (2.0 * wanted)) ** (1 / 3), 0.5, 8.0))
    axes = [np.arange(a, b, fine_mm) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    points += rng.uniform(-0.4, 0.4, points.shape) * fine_mm
    points = points[inside(points) < -1.5]
    if len(points) < 4:
        raise ValueError("the domain is too small for a tree")
    return np.asarray(points)


# Making room


def _trunk(tree: Tree) -> BoolArray:
    """Segments from each root to its first branching, (N,)."""
    children = np.bincount(tree.parent[tree.parent >= 0], minlength=len(tree))
    trunk = np.zeros(len(tree), dtype=np.bool_)
    for segment, parent in enumerate(tree.parent):
        trunk[segment] = parent < 0 or (trunk[parent] and children[parent] == 1)
    return trunk


def _violating(tree: Tree, inside: DistanceFunction, avoid: DistanceFunction | None) -> BoolArray:
    """Segments (N,) whose wall may leave the domain or touch `avoid`; certain within the sampling step."""
    step = 0.5
    points, segment = tree.axis_points(step)
    need = tree.radius_mm[segment] + step / 2
    bad = inside(points) > -need + step / 2
    if avoid is not None:
        bad |= avoid(points) < need
    return np.asarray(np.bincount(segment, weights=bad, minlength=len(tree)) > 0)


def _bent(tree: Tree, inside: DistanceFunction, avoid: DistanceFunction | None, rounds: int) -> Tree:
    """Move the ends of segments, smoothing and pushing in turn; roots stay."""
    end, is_root = tree.end_mm.copy(), tree.parent < 0
    need = tree.radius_mm + _CLEAR_MM
    rules = [(lambda points: -inside(points), np.where(_trunk(tree), -np.inf, need))]
    rules += [(avoid, need)] if avoid is not None else []
    at_end, at_middle = ([_Keeper(*rule) for rule in rules] for _ in range(2))
    for step in range(rounds):
        if step < rounds - 6:
            end += _smoothing(tree, _starts(tree, end), end)
        push_end = sum((keeper.push(end) for keeper in at_end), np.zeros_like(end))
        middle = (_starts(tree, end) + end) / 2
        push_middle = sum((keeper.push(middle) for keeper in at_middle), np.zeros_like(end))
        move = push_end + push_middle
        np.add.at(move, tree.parent[~is_root], push_middle[~is_root])
        size = np.linalg.norm(move, axis=1, keepdims=True)
        if size.max() == 0.0 and step > 6:
            break
        end += move * np.minimum(1.0, 3.0 / np.maximum(size, 1e-9))
    return Tree(_starts(tree, end), end, tree.radius_mm, tree.parent)


def _starts(tree: Tree, end: FloatArray) -> FloatArray:
    """Where segments begin when they end at `end` (N, 3)."""
    return np.where((tree.parent < 0)[:, None], tree.start_mm, end[tree.parent])


class _Keeper:
    """Keeps points where `distance` is at least `need` (N,); asks again only for points that may have left."""

    def __init__(self, distance: DistanceFunction, need: FloatArray) -> None:
        self._distance, self._need = distance, need
        self._slack = np.where(np.isfinite(need), -np.inf, np.inf)
        self._last: FloatArray | None = None

    def push(self, points: FloatArray) -> FloatArray:
        """Displacement (N, 3) along the gradient that brings the points (N, 3) back."""
        if self._last is not None:
            self._slack -= np.linalg.norm(points - self._last, axis=1)
        self._last = points.copy()
        asked = np.flatnonzero(self._slack <= 0)
        if asked.size:
            self._slack[asked] = self._distance(points[asked]) - self._need[asked]
        return _along_gradient(self._distance, points, np.maximum(-self._slack, 0.0))


def _smoothing(tree: Tree, start: FloatArray, end: FloatArray) -> FloatArray:
    """A step of every inner segment end towards the middle of its neighbours, thick children counting more."""
    weight = tree.radius_mm**2
    has_parent = tree.parent >= 0
    total, pull = np.zeros(len(tree)), np.zeros_like(end)
    np.add.at(total, tree.parent[has_parent], weight[has_parent])
    np.add.at(pull, tree.parent[has_parent], (weight[:, None] * end)[has_parent])
    inner = total > 0
    step = np.zeros_like(end)
    step[inner] = 0.12 * (0.5 * start[inner] + 0.5 * pull[inner] / total[inner, None] - end[inner])
    return step


def _along_gradient(distance: DistanceFunction, points: FloatArray, amount: FloatArray) -> FloatArray:
    """`amount` (N,) mm along the gradient of `distance` at the points with a positive amount, zero elsewhere."""
    move, hit = np.zeros_like(points), np.flatnonzero(amount > 0)
    if hit.size == 0:
        return move
    h = 0.5
    probes = points[hit, None, :] + h * np.concatenate([np.eye(3), -np.eye(3)])
    values = distance(probes.reshape(-1, 3)).reshape(-1, 6)
    move[hit] = amount[hit, None] * np.apply_along_axis(_unit, 1, values[:, :3] - values[:, 3:])
    return move


def _unit(vector: FloatArray) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-12 else np.zeros_like(vector)


# Nearest segments

_BRUTE_PAIRS = 1_500_000
_BLOCK_POINTS = 500


def _nearest(tree: Tree, points_mm: FloatArray, offset: FloatArray) -> tuple[FloatArray, IntArray]:
    """Least axis distance minus `offset` (N,) over the segments, and which, at points (M, 3).

    Points are taken in blocks. Distances change no faster than the point moves, so only segments whose distance from
    the block's middle exceeds the least one by no more than the block's extent can be nearest anywhere in it.
    """
    points = np.ascontiguousarray(points_mm, dtype=np.float64)
    if len(points) * len(tree) <= _BRUTE_PAIRS:
        return _brute_nearest(tree, points, offset, np.arange(len(tree)))
    least, which = np.empty(len(points)), np.empty(len(points), dtype=np.int32)
    for block in _blocks(points):
        cloud = points[block]
        middle = (cloud.min(0) + cloud.max(0)) / 2
        extent = float(np.sqrt(((cloud - middle) ** 2).sum(1).max()))
        from_middle = _axis_distances(tree, middle[None], slice(None))[0] - offset
        near = np.flatnonzero(from_middle <= from_middle.min() + 2 * extent + 1e-9)
        least[block], which[block] = _brute_nearest(tree, cloud, offset, near)
    return least, which


def _blocks(points: FloatArray) -> list[npt.NDArray[np.intp]]:
    """Indices of the points of each non-empty cube; cubes hold about `_BLOCK_POINTS` points of an even cloud."""
    extent = np.maximum(np.ptp(points, axis=0), 1.0)
    block_mm = max(4.0, float((_BLOCK_POINTS * extent.prod() / len(points)) ** (1 / 3)))
    cell = np.floor((points - points.min(0)) / block_mm).astype(np.int64)
    size = cell.max(0) + 1
    key = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    order = np.argsort(key, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(key[order])) + 1)


def _brute_nearest(
    tree: Tree, points: FloatArray, offset: FloatArray, segments: npt.NDArray[np.intp]
) -> tuple[FloatArray, IntArray]:
    """Least distance and segment for every point, over the given segments only; the lower index wins a tie."""
    rows = max(1, 4_000_000 // max(1, len(segments)))
    least, which = np.empty(len(points)), np.empty(len(points), dtype=np.int32)
    for first in range(0, len(points), rows):
        part = slice(first, first + rows)
        distance = _axis_distances(tree, points[part], segments) - offset[segments]
        best = distance.argmin(1)
        least[part] = distance[np.arange(len(best)), best]
        which[part] = segments[best]
    return least, which


def _axis_distances(tree: Tree, points: FloatArray, segments: npt.NDArray[np.intp] | slice) -> FloatArray:
    """Distances (M, S) from points (M, 3) to the axes of segments."""
    start = tree.start_mm[segments]
    along = tree.end_mm[segments] - start
    square = np.maximum((along**2).sum(1), 1e-18)
    t = np.clip((points @ along.T - (start * along).sum(1)) / square, 0.0, 1.0)
    total = np.zeros_like(t)
    for axis in range(3):
        total += (points[:, axis, None] - start[:, axis] - t * along[:, axis]) ** 2
    return np.asarray(np.sqrt(total))

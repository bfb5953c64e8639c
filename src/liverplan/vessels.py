"""Rooted vessel trees from masks.

A tree is found in the mask's own voxels, as in TEASAR (Sato 2000): paths from the root to the farthest voxels along a
cost that keeps to the middle of the lumen, each path claiming the voxels around it, until none is left. This gives a
tree by construction: no loops, no spurs shorter than a vessel is thick, one parent per node. Pieces that the mask left
apart are joined across small gaps, and every gap is reported.

Roots: the portal vein's at its thick end outside the liver (the main portal vein), the hepatic veins' where they meet
the vena cava. Where a root had to be assumed, `VesselTree.warnings` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from liverplan.anatomy import Structure
from liverplan.quantity import Point, as_point
from liverplan.surface import refined, symmetric_distance_map
from liverplan.volume import AnyArray, BoolArray, FloatArray, Grid, border, bounding_box

IntArray = npt.NDArray[np.int64]

LARGEST_BRIDGED_GAP_MM = 10.0
"""Pieces further away from the tree than this stay out of it and are reported."""
SMALLEST_PIECE_ML = 0.02
"""Pieces below this that do not touch the tree are noise of the mask; their volume is still reported."""
WORKING_SPACING_MM = 1.0
"""Thick slices are interpolated down to about this spacing before paths are traced."""
CLAIM_RADII = 1.5
CLAIM_MM = 2.0
"""A path claims the voxels within CLAIM_RADII x radius + CLAIM_MM: shorter side branches are bumps of the wall."""
ROOT_CONTACT_MM = 3.0
"""A hepatic vein that comes this near to the vena cava's voxels joins it there."""
SMALLEST_ROOT_RADIUS_MM = 1.2
"""Thinner contacts with the vena cava are no root: veins that drain into it measure 3 mm and more across."""
_CENTRING_POWER = 2
_SLAB_PITCHES = 1.5
"""Half-thickness of the slab of voxels that a cross-section is taken from, in lattice pitches."""
_SMALLEST_DISC = 12
_SMOOTHING_PASSES = 3


@dataclass(frozen=True)
class Gap:
    """A stretch where the mask was interrupted and the tree was joined: two LPS points and their distance."""

    start_lps_mm: Point
    end_lps_mm: Point
    length_mm: float


@dataclass(frozen=True)
class VesselTree:
    """Centreline graph of one vessel system. Parents stand before their children.

    points_lps_mm: (N, 3). radius_mm: (N,) distance to the wall. parent: (N,) index, -1 at a root.
    branch: (N,) number of the unbranched stretch that the node belongs to.
    gaps: where pieces were joined. left_out_ml: volume of pieces that could not be joined.
    warnings: sentences on what had to be assumed.
    """

    structure: Structure
    points_lps_mm: FloatArray
    radius_mm: FloatArray
    parent: IntArray
    branch: IntArray
    gaps: tuple[Gap, ...] = ()
    left_out_ml: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def roots(self) -> IntArray:
        return np.flatnonzero(self.parent < 0)

    @property
    def length_mm(self) -> float:
        child = np.flatnonzero(self.parent >= 0)
        steps = self.points_lps_mm[child] - self.points_lps_mm[self.parent[child]]
        return float(np.linalg.norm(steps, axis=1).sum())

    def path_minimum(self, values: FloatArray) -> tuple[FloatArray, IntArray]:
        """For each node the least of `values` (N,) on the path from its root, and the node that it stands at."""
        least = values.astype(np.float64, copy=True)
        where = np.arange(len(values))
        for node, above in enumerate(self.parent):
            if above >= 0 and least[above] <= least[node]:
                least[node] = least[above]
                where[node] = where[above]
        return least, where

    def subtree_sum(self, values: AnyArray) -> FloatArray:
        """For each node the sum of `values` (N,) over itself and everything that hangs on it."""
        total: FloatArray = values.astype(np.float64, copy=True)
        for node in range(len(self.parent) - 1, -1, -1):
            if self.parent[node] >= 0:
                total[self.parent[node]] += total[node]
        return total

    def nearest_node(self, points_lps_mm: FloatArray, workers: int = -1) -> IntArray:
        """tau: the node whose centreline segment (to its parent) is nearest to each point (M, 3); (M,).

        Nodes lie closer than a voxel apart, so the segment's nearest end decides, refined among the two segments there.
        """
        return np.asarray(cKDTree(self.points_lps_mm).query(points_lps_mm, workers=workers)[1])


def trace_portal_tree(mask: BoolArray, liver: BoolArray, grid: Grid) -> VesselTree:
    """The portal tree, rooted at the main portal vein: the thick end that lies outside the liver.

    mask, liver: (i, j, k) on `grid`. Raises ValueError when the mask is empty.
    """
    lumen = _Lumen.of(mask, grid)
    first = lumen.forest([int(lumen.depth_mm.argmax())])
    depth_outside = _depth_outside(first.points, liver, grid)
    root, warnings = _thick_end(first, depth_outside)
    return lumen.tree(Structure.PORTAL_VEIN, [root], warnings)


def trace_hepatic_tree(mask: BoolArray, vena_cava: BoolArray | None, grid: Grid) -> VesselTree:
    """The hepatic veins' trees, one root wherever they meet the vena cava.

    vena_cava: mask or None when it was not segmented; then the thickest end of the largest piece is taken, with a
    warning. Raises ValueError when `mask` is empty.
    """
    if vena_cava is not None and vena_cava.any():
        free = mask & ~vena_cava
        lumen = _Lumen.of(free if free.any() else mask, grid)
        roots = _contacts(lumen, vena_cava, grid)
        if roots:
            return lumen.tree(Structure.HEPATIC_VEINS, roots, ())
        nearest = _nearest_to(lumen, vena_cava, grid)
        return lumen.tree(
            Structure.HEPATIC_VEINS,
            [nearest],
            ("no hepatic vein reaches the vena cava in the masks; the root is the vein's point nearest to it",),
        )
    lumen = _Lumen.of(mask, grid)
    first = lumen.forest([int(lumen.depth_mm.argmax())])
    root, _ = _thick_end(first, np.zeros(len(first.points)))
    warning = "the vena cava is not segmented; the hepatic veins' root is assumed at their thickest end"
    return lumen.tree(Structure.HEPATIC_VEINS, [root], (warning,))


@dataclass(frozen=True)
class _Forest:
    """Traced paths over lumen voxels: node voxels, parents, branch numbers, and nodes' positions and radii."""

    voxel: IntArray
    parent: IntArray
    branch: IntArray
    points: FloatArray
    radius: FloatArray

    def ends(self) -> IntArray:
        """Nodes without children, and the roots."""
        has_child = np.zeros(len(self.parent), dtype=bool)
        has_child[self.parent[self.parent >= 0]] = True
        return np.flatnonzero(~has_child | (self.parent < 0))

    def stretch(self, end: int, length_mm: float) -> IntArray:
        """Nodes from an end inwards, up to `length_mm` (from a root: down its thickest children)."""
        nodes, gone = [end], 0.0
        node = end
        while gone < length_mm:
            following = int(self.parent[node]) if self.parent[end] >= 0 else self._first_child(node)
            if following < 0:
                break
            gone += float(np.linalg.norm(self.points[following] - self.points[node]))
            nodes.append(following)
            node = following
        return np.array(nodes)

    def _first_child(self, node: int) -> int:
        children = np.flatnonzero(self.parent == node)
        return int(children[self.radius[children].argmax()]) if len(children) else -1


@dataclass(frozen=True)
class _Lumen:
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
    def of(cls, mask: BoolArray, grid: Grid) -> _Lumen:
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

    def tree(self, structure: Structure, roots: list[int], warnings: tuple[str, ...]) -> VesselTree:
        """The forest from the given root voxels, in its final form."""
        forest = self.forest(roots)
        reached = np.unique(self._component()[forest.voxel])
        left_out = ~np.isin(self._component(), reached)
        gaps = tuple(self._gap(a, b) for a, b in self.gaps if not left_out[a])
        left_out_ml = float(left_out.sum() * self.grid.voxel_ml)
        if left_out_ml > SMALLEST_PIECE_ML:
            warnings = (
                *warnings,
                f"{left_out_ml:.1f} mL lie more than {LARGEST_BRIDGED_GAP_MM:.0f} mm from the tree and are left out",
            )
        return VesselTree(
            structure, forest.points, forest.radius, forest.parent, forest.branch, gaps, left_out_ml, warnings
        )

    def forest(self, roots: list[int]) -> _Forest:
        """Paths to the farthest unclaimed voxels until every voxel that can be reached is claimed."""
        cost, before = _multi_source(self.graph, roots)
        length = _lengths(self.points, before, cost)
        claimed = ~np.isfinite(cost)
        search = cKDTree(self.points)
        node_of = {root: n for n, root in enumerate(roots)}
        parent, branch = [-1] * len(roots), list(range(len(roots)))
        voxels = list(roots)
        self._claim(search, np.array(roots), claimed)
        n_branches = len(roots)
        for voxel in np.argsort(-np.where(np.isfinite(length), length, -1.0), kind="stable"):
            if claimed[voxel]:
                continue
            path = _path(int(voxel), before, node_of)
            for step in path:
                above = node_of[int(before[step])]
                node_of[step] = len(voxels)
                voxels.append(step)
                parent.append(above)
                branch.append(n_branches)
            n_branches += 1
            self._claim(search, np.array(path), claimed)
        voxel = np.array(voxels)
        parents = np.array(parent)
        points, radius = self._centred(voxel, _smooth(self.points[voxel], parents), parents)
        return _Forest(voxel, parents, _branches(parents), points, radius)

    def _claim(self, search: cKDTree, path: IntArray, claimed: BoolArray) -> None:
        radii = CLAIM_RADII * self.depth_mm[path] + CLAIM_MM
        for hits in search.query_ball_point(self.points[path], radii):
            claimed[hits] = True

    def _centred(self, voxel: IntArray, points: FloatArray, parent: IntArray) -> tuple[FloatArray, FloatArray]:
        """Nodes moved to the middle of their cross-section, and the radius of a disc of its area.

        The deepest voxel can lie most of a voxel off the axis, and its depth is short by as much; the cross-section's
        centroid and area average over its voxels. Both stay within a voxel of the depth map: at a branching the
        cross-section belongs to two vessels.
        """
        depth = self.depth_mm[voxel]
        heading = _tangents(points, parent)
        reach = 1.6 * depth + 1.5 * self.pitch_mm
        near = cKDTree(self.points).query_ball_point(points, reach)
        centres, radius = points.copy(), depth.copy()
        for node, members in enumerate(near):
            offset = self.points[members] - points[node]
            along = offset @ heading[node]
            disc = offset[np.abs(along) <= _SLAB_PITCHES * self.pitch_mm]
            if len(disc) < _SMALLEST_DISC:
                continue
            area = len(disc) * self.grid.voxel_ml * 1000.0 / (2.0 * _SLAB_PITCHES * self.pitch_mm)
            radius[node] = np.clip(np.sqrt(area / np.pi), depth[node], depth[node] + self.pitch_mm)
            shift = disc.mean(axis=0)
            shift = shift - (shift @ heading[node]) * heading[node]
            centres[node] += shift * min(1.0, self.pitch_mm / max(float(np.linalg.norm(shift)), 1e-9))
        return _smooth(centres, parent), radius

    def _component(self) -> IntArray:
        return np.asarray(connected_components(self.graph, directed=False)[1])

    def _gap(self, a: int, b: int) -> Gap:
        start, end = self.points[a], self.points[b]
        return Gap(as_point(start), as_point(end), float(np.linalg.norm(end - start)))


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


_OFFSETS = np.array([o for o in np.ndindex(3, 3, 3) if o != (1, 1, 1)])


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


def _multi_source(graph: sparse.csr_matrix, roots: list[int]) -> tuple[FloatArray, IntArray]:
    """Cost of the cheapest path from any root, and the voxel before each on it (negative at roots and where none)."""
    cost, before, _ = dijkstra(graph, directed=False, indices=roots, return_predecessors=True, min_only=True)
    return np.asarray(cost), np.asarray(before, dtype=np.int64)


def _lengths(points: FloatArray, before: IntArray, cost: FloatArray) -> FloatArray:
    """Length in mm of the path to each voxel; infinity where there is none."""
    length = np.where(np.isfinite(cost), 0.0, np.inf)
    step = np.linalg.norm(points - points[np.maximum(before, 0)], axis=1)
    for voxel in np.argsort(cost, kind="stable"):
        above = before[voxel]
        if above >= 0:
            length[voxel] = length[above] + step[voxel]
    return length


def _path(end: int, before: IntArray, node_of: dict[int, int]) -> list[int]:
    """New voxels from the existing tree down to `end`."""
    path = []
    voxel = end
    while voxel not in node_of:
        path.append(voxel)
        voxel = int(before[voxel])
    return path[::-1]


def _branches(parent: IntArray) -> IntArray:
    """Number of the unbranched stretch of each node: a new one starts at every root and below every branching."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    branch = np.zeros(len(parent), dtype=np.int64)
    count = 0
    for node, above in enumerate(parent):
        if above < 0 or children[above] > 1:
            branch[node] = count
            count += 1
        else:
            branch[node] = branch[above]
    return branch


def _smooth(points: FloatArray, parent: IntArray) -> FloatArray:
    """Centreline without its voxel steps: each inner node moves to the mean of itself, its parent and its children."""
    children = np.bincount(parent[parent >= 0], minlength=len(parent))
    child = np.flatnonzero(parent >= 0)
    inner = (parent >= 0) & (children == 1)
    smooth = points.copy()
    for _ in range(_SMOOTHING_PASSES):
        below = np.zeros_like(points)
        np.add.at(below, parent[child], smooth[child])
        moved = (smooth + smooth[np.maximum(parent, 0)] + below) / 3.0
        smooth = np.where(inner[:, None], moved, smooth)
    return np.asarray(smooth)


def _tangents(points: FloatArray, parent: IntArray) -> FloatArray:
    """Unit direction of the vessel at each node: from its parent to its last child where it has them; (N, 3)."""
    child = np.flatnonzero(parent >= 0)
    ahead, behind = points.copy(), points.copy()
    ahead[parent[child]] = points[child]
    behind[child] = points[parent[child]]
    heading = ahead - behind
    return np.asarray(heading / np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9))


def _depth_outside(points: FloatArray, liver: BoolArray, grid: Grid) -> FloatArray:
    """Distance in mm from points outside the liver to its nearest voxel; 0 inside."""
    index = np.rint(grid.to_index(points)).astype(int)
    within = ((index >= 0) & (index < liver.shape)).all(axis=1)
    inside = np.zeros(len(points), dtype=bool)
    inside[within] = liver[tuple(index[within].T)]
    if inside.all() or not liver.any():
        return np.zeros(len(points))
    return np.where(inside, 0.0, _to_mask(points, liver, grid, np.inf))


def _thick_end(forest: _Forest, outside_mm: FloatArray) -> tuple[int, tuple[str, ...]]:
    """The lumen voxel of the thickest end, of those outside the liver if there are any."""
    ends = forest.ends()
    thickness = np.array([np.median(forest.radius[forest.stretch(int(e), 12.0)]) for e in ends])
    outside = outside_mm[ends] > 3.0
    warnings: tuple[str, ...] = ()
    if outside.any():
        thickness = np.where(outside, thickness, -1.0)
    else:
        warnings = ("the vein's trunk outside the liver is not in the mask; the root is assumed at its thickest end",)
    return int(forest.voxel[ends[int(thickness.argmax())]]), warnings


def _contacts(lumen: _Lumen, vena_cava: BoolArray, grid: Grid) -> list[int]:
    """One root voxel for each patch where a vein's lumen meets the vena cava: the deepest voxel of the patch.

    Patches thinner than a vein are left-overs of the two masks' common border and drain nothing.
    """
    touching = np.flatnonzero(_to_mask(lumen.points, vena_cava, grid, ROOT_CONTACT_MM) <= ROOT_CONTACT_MM)
    if len(touching) == 0:
        return []
    _, patch = connected_components(lumen.graph[touching][:, touching], directed=False)
    roots = []
    for number in range(patch.max() + 1):
        members = touching[patch == number]
        deepest = int(members[lumen.depth_mm[members].argmax()])
        if lumen.depth_mm[deepest] >= SMALLEST_ROOT_RADIUS_MM:
            roots.append(deepest)
    return roots


def _nearest_to(lumen: _Lumen, vena_cava: BoolArray, grid: Grid) -> int:
    return int(_to_mask(lumen.points, vena_cava, grid, np.inf).argmin())


def _to_mask(points: FloatArray, mask: BoolArray, grid: Grid, reach_mm: float) -> FloatArray:
    """Distance of points (N, 3) to the nearest voxel of a mask, infinite beyond `reach_mm`."""
    box = bounding_box(mask)
    voxels = np.argwhere(border(mask[box])) + np.array([s.start for s in box])
    tree = cKDTree(grid.to_world(voxels))
    return np.asarray(tree.query(points, distance_upper_bound=reach_mm, workers=-1)[0])

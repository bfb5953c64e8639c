"""Resections that follow the portal tree: which branches to take, and the watershed beside what stays."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from liverplan.margin import TreeLoss
from liverplan.naming import TreeNames
from liverplan.naming.names import downstream
from liverplan.resection.sparing import kept_clear
from liverplan.resection.workspace import Float32Array, Target, Workspace
from liverplan.volume import BoolArray, FloatArray

UNCOVERED_SHARE = 0.10
"""Of a margin region this much may lie outside the territories: it is taken with them, whatever serves it."""
SPARED_MM = 2.5
"""The cut keeps this far from the wall of a vessel that goes on to serve the remnant."""
SPARED_RADIUS_MM = 1.2
"""Thinner vessels are not kept clear of: they serve less than the territories' own error."""
SPARED_SHARE = 0.04
"""A vein is kept clear of when it drains this part of the liver from the remnant, even if most of it drains the
specimen: the middle hepatic vein in a right hepatectomy."""
_FAR_MM = 60.0


def smallest_cover(work: Workspace, rows: list[int], margin_mm: float) -> BoolArray | None:
    """Portal nodes (nodes,) of the smallest set of subtrees whose territories hold the lesions' margin region.

    "Smallest" in mL, with at most UNCOVERED_SHARE of the region outside. None without a portal tree.
    """
    portal = work.field.portal
    if portal is None:
        return None
    served, wanted = _served(work, portal, rows, margin_mm)
    if wanted.sum() <= 0:
        return None
    low, high = 0.0, 1e4
    chosen = np.zeros(len(portal.tree.parent), dtype=np.bool_)
    for _ in range(24):
        weight = np.sqrt(max(low, 1e-3) * high)
        taken = _cheapest(portal, served, wanted, weight)
        if wanted[~taken].sum() <= UNCOVERED_SHARE * wanted.sum():
            chosen, high = taken, weight
        else:
            low = weight
        if high / max(low, 1e-3) < 1.05:
            break
    return chosen if chosen.any() else None


def covering_names(
    work: Workspace, names: TreeNames, choices: list[str], rows: list[int], margin_mm: float
) -> list[str]:
    """Of the named branches the ones whose territories hold more than UNCOVERED_SHARE of the lesions' margin region."""
    portal = work.field.portal
    assert portal is not None
    _, wanted = _served(work, portal, rows, margin_mm)
    shares = {name: float(wanted[names.subtree(name)].sum() / max(wanted.sum(), 1e-9)) for name in choices}
    return [name for name, share in shares.items() if share > UNCOVERED_SHARE]


def covered_share(work: Workspace, taken: BoolArray, row: int, margin_mm: float) -> float:
    """Part of one lesion's margin region (tumour-free) that lies in the territories of the portal nodes `taken`."""
    portal = work.field.portal
    assert portal is not None
    _, wanted = _served(work, portal, [row], margin_mm)
    return float(wanted[taken].sum() / max(wanted.sum(), 1e-9))


def territory_level(work: Workspace, taken: BoolArray, rows: list[int], target: Target) -> Float32Array:
    """Level set (mm) on the lattice of the tissue nearer to the taken portal nodes than to the others.

    Its zero is the watershed between both sets of centrelines, smoothed, and bent around every vessel that goes on
    to serve the remnant. United with the margin region of the lesions `rows`, which gives way to such vessels down to
    the tight margin and no further.
    """
    portal = work.field.portal
    assert portal is not None
    level = np.full(work.lattice.shape, _FAR_MM, dtype=np.float32)
    where = work.near_liver
    points = work.lattice.points_lps_mm[where]
    to_taken, to_kept = (_distance(points, portal.tree.points_lps_mm[nodes]) for nodes in (taken, ~taken))
    level[where] = 0.5 * (to_taken - to_kept)
    distance = work.lesion_distance_mm[rows].min(axis=0) if rows else np.full_like(level, _FAR_MM)
    level = np.minimum(_smoothed(level, where), distance - target.wide_mm)
    for tree in work.trees:
        kept = _kept(work, tree, level, taken if tree is portal else None)
        if kept.any():
            level = kept_clear(work, level, tree, kept, SPARED_MM)
    return np.asarray(np.minimum(level, distance - target.tight_mm), dtype=np.float32)


def _smoothed(level: Float32Array, where: BoolArray) -> Float32Array:
    """The level set smoothed over its points in `where`; what stands outside must not leak in at the capsule."""
    inside = gaussian_filter(np.where(where, level, 0.0), 1.0)
    weight = gaussian_filter(where.astype(np.float32), 1.0)
    return np.where(where, inside / np.maximum(weight, 1e-3), level).astype(np.float32)


def _served(work: Workspace, portal: TreeLoss, rows: list[int], margin_mm: float) -> tuple[FloatArray, FloatArray]:
    """Per portal node the mL that it serves, and the mL of those in the margin region; tumour left out."""
    cells = work.field.cells
    healthy = np.where(cells.lesion == 0, cells.volume_ml, 0.0)
    region = work.field.distance_mm[rows].min(axis=0) <= margin_mm
    count = len(portal.tree.parent)
    served = np.bincount(portal.node, healthy, minlength=count).astype(np.float64)
    return served, np.bincount(portal.node[region], healthy[region], minlength=count).astype(np.float64)


def _cheapest(portal: TreeLoss, served: FloatArray, wanted: FloatArray, weight: float) -> BoolArray:
    """Subtrees with the least (mL taken + weight x mL of the region left uncovered), from the leaves to the root."""
    parent = portal.tree.parent
    whole = portal.tree.subtree_sum(served)
    best = weight * wanted
    take = np.zeros(len(parent), dtype=np.bool_)
    for node in range(len(parent) - 1, -1, -1):
        # At this point best[node] holds its own uncovered cost plus the best of all its children.
        if whole[node] < best[node]:
            best[node], take[node] = whole[node], True
        if parent[node] >= 0:
            best[parent[node]] += best[node]
    return downstream(portal.tree, take)


def _kept(work: Workspace, tree: TreeLoss, level: Float32Array, taken: BoolArray | None) -> BoolArray:
    """Nodes that go on to serve the remnant: most of what hangs on them stays, or much of the liver hangs on them.

    Of the portal tree everything that is not `taken` goes on, however little of it stays.
    """
    cells = work.field.cells
    stays = level.ravel()[work.cells_on_lattice] > 0
    count = len(tree.tree.parent)
    kept, whole = (
        tree.tree.subtree_sum(np.bincount(tree.node[some], cells.volume_ml[some], minlength=count))
        for some in (stays, np.ones_like(stays))
    )
    worth = (kept >= 0.5 * whole) | (kept >= SPARED_SHARE * cells.liver_ml)
    serves = ~taken if taken is not None else worth
    return np.asarray(serves & (kept > 0) & (tree.tree.radius_mm >= SPARED_RADIUS_MM))


def _distance(points: FloatArray, nodes: FloatArray) -> FloatArray:
    if len(nodes) == 0:
        return np.full(len(points), _FAR_MM)
    return np.asarray(np.minimum(cKDTree(nodes).query(points, workers=-1)[0], _FAR_MM))

"""Rooted vessel trees from masks.

A tree is found in the mask's own voxels, as in TEASAR (Sato 2000): paths from the root to the farthest voxels along a
cost that keeps to the middle of the lumen, each path claiming the voxels around it, until none is left. This gives a
tree by construction: no loops, no spurs shorter than a vessel is thick, one parent per node. Pieces that the mask left
apart are joined across small gaps, and every gap is reported.

Roots: the portal vein's at its thick end outside the liver (the main portal vein), the hepatic veins' where they meet
the vena cava. Where a root had to be assumed, `VesselTree.warnings` says so.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from liverplan.anatomy import Structure
from liverplan.quantity import as_point
from liverplan.vessels.fit import fitted
from liverplan.vessels.forest import trace
from liverplan.vessels.lumen import LARGEST_BRIDGED_GAP_MM, SMALLEST_PIECE_ML, Lumen, Walls
from liverplan.vessels.roots import away_from, contacts, depth_outside, nearest_to, thick_end
from liverplan.vessels.tree import Gap, IntArray, VesselTree
from liverplan.volume import BoolArray, Grid


def trace_portal_tree(mask: BoolArray, liver: BoolArray, grid: Grid) -> VesselTree:
    """The portal tree, rooted at the main portal vein: the thick end that lies outside the liver.

    mask, liver: (i, j, k) on `grid`. Raises ValueError when the mask is empty.
    """
    lumen = Lumen.of(mask, grid)
    first = trace(lumen, [int(lumen.depth_mm.argmax())])
    root, warnings = thick_end(first, depth_outside(first.points, liver, grid))
    return _grown(lumen, lumen.walls(), Structure.PORTAL_VEIN, [root], warnings)


def trace_hepatic_tree(mask: BoolArray, vena_cava: BoolArray | None, grid: Grid) -> VesselTree:
    """The hepatic veins' trees, one root wherever they meet the vena cava.

    vena_cava: mask or None when it was not segmented; then the thickest end of the largest piece is taken, with a
    warning. Raises ValueError when `mask` is empty.
    """
    if vena_cava is not None and vena_cava.any():
        free = mask & ~vena_cava
        lumen = Lumen.of(free if free.any() else mask, grid)
        roots = contacts(lumen, vena_cava, grid)
        walls = away_from(lumen.walls(), vena_cava, grid)
        if roots:
            return _grown(lumen, walls, Structure.HEPATIC_VEINS, roots, ())
        nearest = nearest_to(lumen, vena_cava, grid)
        return _grown(
            lumen,
            walls,
            Structure.HEPATIC_VEINS,
            [nearest],
            ("no hepatic vein reaches the vena cava in the masks; the root is the vein's point nearest to it",),
        )
    lumen = Lumen.of(mask, grid)
    first = trace(lumen, [int(lumen.depth_mm.argmax())])
    root, _ = thick_end(first, np.zeros(len(first.points)))
    warning = "the vena cava is not segmented; the hepatic veins' root is assumed at their thickest end"
    return _grown(lumen, lumen.walls(), Structure.HEPATIC_VEINS, [root], (warning,))


def _grown(lumen: Lumen, walls: Walls, structure: Structure, roots: list[int], warnings: tuple[str, ...]) -> VesselTree:
    """The tree from the given root voxels, with what was bridged and what was left out."""
    forest = fitted(trace(lumen, roots), walls)
    component = connected_components(lumen.graph, directed=False)[1]
    left_out = ~np.isin(component, np.unique(component[forest.voxel]))
    gaps = tuple(_gap(lumen, a, b) for a, b in lumen.gaps if not left_out[a])
    left_out_ml = float(left_out.sum() * lumen.grid.voxel_ml)
    if left_out_ml > SMALLEST_PIECE_ML:
        warnings = (
            *warnings,
            f"{left_out_ml:.1f} mL lie more than {LARGEST_BRIDGED_GAP_MM:.0f} mm from the tree and are left out",
        )
    return VesselTree(
        structure, forest.points, forest.radius, forest.parent, forest.branch, gaps, left_out_ml, warnings
    )


def _gap(lumen: Lumen, a: int, b: int) -> Gap:
    start, end = lumen.points[a], lumen.points[b]
    return Gap(as_point(start), as_point(end), float(np.linalg.norm(end - start)))


__all__ = ["LARGEST_BRIDGED_GAP_MM", "Gap", "IntArray", "VesselTree", "trace_hepatic_tree", "trace_portal_tree"]

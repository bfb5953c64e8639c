"""Keep it or divide it: what follows, for each vessel that runs through a lesion's wide margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.anatomy import Structure
from liverplan.distance import distance_between
from liverplan.margin import TreeLoss
from liverplan.quantity import Distance
from liverplan.resection.workspace import Workspace, cut_off, topmost

LEAST_DIAMETER_MM = 2.0
"""Thinner vessels are sealed without a decision (clinical reference 3.1, class D)."""
MOST_LISTED = 6


@dataclass(frozen=True)
class VesselChoice:
    """A vessel within the wide margin of a lesion.

    margin_if_kept: the lesion's clearance to its wall, the margin there if it is detached and kept (R1 vascular below
    the protocol's margin). territory_ml: tumour-free liver that loses it if it is divided; percent: of the liver
    without tumour.
    """

    structure: Structure
    branch: str
    diameter_mm: float
    margin_if_kept: Distance
    territory_ml: float
    territory_percent: float


def vessel_choices(work: Workspace, row: int, wide_margin_mm: float) -> tuple[VesselChoice, ...]:
    """For a lesion (row number) the vessels that its wide margin divides, those with the largest territory first."""
    found = [choice for tree in work.trees for choice in _in_tree(work, tree, row, wide_margin_mm)]
    return tuple(sorted(found, key=lambda c: -c.territory_ml)[:MOST_LISTED])


def _in_tree(work: Workspace, tree: TreeLoss, row: int, wide_margin_mm: float) -> list[VesselChoice]:
    parent, clearance = tree.tree.parent, tree.clearance_mm[row]
    near = clearance <= wide_margin_mm
    first = topmost(parent, near)
    cells = work.field.cells
    names = work.names_of(tree)
    lesion = work.field.lesions[row]
    choices = []
    for node in np.flatnonzero(first & (2.0 * tree.tree.radius_mm >= LEAST_DIAMETER_MM)):
        start = np.zeros(len(parent), dtype=np.bool_)
        start[node] = True
        along = np.flatnonzero(cut_off(parent, start) & near)
        nearest = int(along[clearance[along].argmin()])
        on_lesion, wall = tree.witness(lesion, nearest)
        error = (work.error.lesion_mm, work.error.vessel_mm)
        choices.append(
            VesselChoice(
                tree.tree.structure,
                names.name(int(node)) if names is not None else f"branch {int(tree.tree.branch[node]) + 1}",
                2.0 * float(tree.tree.radius_mm[node]),
                distance_between(float(clearance[nearest]), on_lesion, wall, work.grid, error),
                float(tree.hanging_ml[node]),
                float(100.0 * tree.hanging_ml[node] / (cells.liver_ml - cells.tumour_ml)),
            )
        )
    return choices

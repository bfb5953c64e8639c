"""The margin mathematics: one loss field, every margin at once, and the bound that no resection can beat.

Whoever achieves margin m removes at least R(m) = { x : d(x) <= m } and divides every vessel that enters it. A place in
the liver is therefore lost at the margin

    loss(x) = min( d(x),  least clearance c(u) on the portal path to x,  least clearance on the hepatic path to x )

with d the distance to the lesions, c(u) = d(centreline at u) - r(u), and the path running from the tree's root to the
node nearest to x. The functional remnant at every margin is the survival curve of `loss`. Derivation and assumptions:
docs/margins.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.cells import Cells, ParenchymaCells, liver_cells
from liverplan.distance import BoundaryError, combined_mm, discretisation_mm
from liverplan.lesions import Lesion
from liverplan.quantity import Distance, Point, Quantity, as_point
from liverplan.vessels import VesselTree
from liverplan.volume import BoolArray, FloatArray, Grid

Float32Array = npt.NDArray[np.float32]

TREE_ERROR_MM = 1.0
"""95 % of the margins at which whole phantoms lose a branch are found to within this (scripts/bench/accuracy): where
vessels part, a traced centreline follows the wrong one for about a millimetre."""
FLR_ERROR_POINTS = 1.0
"""Between jumps the functional remnant of whole phantoms is right to within a point (scripts/bench/accuracy)."""
_RANGE_MM, _RANGES = 0.25, 1024
"""Losses are counted in ranges of this width before the few that matter are sorted."""
_EDGE_MM = np.float32(1e-4)
"""Tissue outside every lesion is kept this far from it, so that margin 0 removes the lesions and nothing else."""


@dataclass(frozen=True)
class TreeLoss:
    """What one vessel tree does to the cells.

    hanging_ml: (nodes,) what hangs on each node, tumour left out.
    clearance_mm: (L, nodes) c(u) per lesion. path_mm: (L, nodes) least clearance on the path from the root.
    path_node: (L, nodes) the node where it stands. node: (N,) tau, the node that serves each cell.
    """

    tree: VesselTree
    hanging_ml: FloatArray
    clearance_mm: FloatArray
    path_mm: FloatArray
    path_node: npt.NDArray[np.int64]
    node: npt.NDArray[np.int64]

    def loss_mm(self, lesions: npt.NDArray[np.int64]) -> FloatArray:
        """The margin at which each cell loses this tree, for a set of lesions (row numbers); (N,)."""
        return np.asarray(self.path_mm[lesions].min(axis=0)[self.node])

    def witness(self, lesion: Lesion, node: int) -> tuple[FloatArray, FloatArray]:
        """What a node's clearance runs between, LPS mm: points on the lesion and on the vessel's wall, (3,) each."""
        centre = self.tree.points_lps_mm[node]
        on_lesion = lesion.surface.nearest_vertex(centre)
        towards = on_lesion - centre
        gap = max(float(np.linalg.norm(towards)), 1e-9)
        return on_lesion, centre + towards * min(1.0, float(self.tree.radius_mm[node]) / gap)


@dataclass(frozen=True)
class _Remnant:
    """Cells in the order in which they are lost: at which margin (N,), and the mL of those from there on (N + 1,)."""

    lost_at_mm: FloatArray
    kept_ml: FloatArray

    @classmethod
    def of(cls, lost_at_mm: FloatArray, volume_ml: FloatArray) -> _Remnant:
        order = np.argsort(lost_at_mm, kind="stable")
        return cls(lost_at_mm[order], np.append(np.cumsum(volume_ml[order][::-1])[::-1], 0.0))

    def ml(self, margin_mm: float) -> float:
        return float(self.kept_ml[np.searchsorted(self.lost_at_mm, margin_mm, side="right")])


@dataclass(frozen=True)
class LossField:
    """The loss field of a case: distances (L, N) in mm per lesion, and the two trees where they were segmented."""

    cells: Cells
    lesions: tuple[Lesion, ...]
    distance_mm: Float32Array
    portal: TreeLoss | None
    hepatic: TreeLoss | None
    half_width_mm: float
    """By this much the lesions' boundary, and with it `loss`, may be displaced."""

    @property
    def functional_half_width_mm(self) -> float:
        """The same for losses through vessels: the traced trees' own error comes on top."""
        return combined_mm(self.half_width_mm, TREE_ERROR_MM)

    @property
    def functional(self) -> bool:
        """True when inflow and outflow are both known, so that functional remnants exist."""
        return self.portal is not None and self.hepatic is not None

    def parts_mm(self, lesions: Sequence[int] | None = None) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        """The margins at which each cell is removed, loses inflow, loses outflow; (N,), None for an absent tree."""
        return self._together if lesions is None else self._parts_mm(np.array(lesions, dtype=np.int64))

    @cached_property
    def remnants(self) -> tuple[_Remnant, _Remnant | None]:
        """What stays at any margin >= 0: of volume alone, and fed and drained (None where a tree is missing)."""
        removed, portal, hepatic = self.parts_mm()
        volume = self.cells.volume_ml
        if portal is None or hepatic is None:
            return _Remnant.of(removed, volume), None
        lost = np.minimum(np.minimum(removed, portal), hepatic)
        return _Remnant.of(removed, volume), _Remnant.of(lost, volume)

    @cached_property
    def _together(self) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        """The parts for all lesions, which every margin of the curve reads."""
        return self._parts_mm(np.arange(len(self.lesions)))

    def _parts_mm(self, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        never = np.full(len(self.cells.volume_ml), np.inf)
        removed = self.distance_mm[rows].min(axis=0).astype(np.float64) if len(rows) else never
        portal, hepatic = (
            None if tree is None else tree.loss_mm(rows) if len(rows) else never for tree in (self.portal, self.hepatic)
        )
        return removed, portal, hepatic


@dataclass(frozen=True)
class CurvePoint:
    """The liver at one margin; volumes in mL, None where a vessel tree is missing.

    devascularised and congested count tissue that is not removed but has lost inflow, or outflow; both counts include
    `devascularised_and_congested_ml`. FLR is over liver minus tumour.
    """

    margin_mm: float
    removed_ml: float
    remnant_ml: float
    geometric_flr_percent: float
    geometric_flr_low_percent: float
    geometric_flr_high_percent: float
    devascularised_ml: float | None
    congested_ml: float | None
    devascularised_and_congested_ml: float | None
    functional_remnant_ml: float | None
    flr_percent: float | None
    flr_low_percent: float | None
    flr_high_percent: float | None


@dataclass(frozen=True)
class Limit:
    """What stops a larger margin: kind "vessel" | "remnant" | "lesion" | "none", the structure, and where."""

    kind: str
    structure: Structure | None = None
    witness_lps_mm: tuple[Point, Point] | None = None


@dataclass(frozen=True)
class UpperBound:
    """The largest margin that any resection can have, and what limits it."""

    margin_mm: Quantity
    limit: Limit


def margin_region(liver: BoolArray, lesions: Sequence[Lesion], grid: Grid, margin_mm: float) -> BoolArray:
    """R(m): the liver's voxels (i, j, k) within `margin_mm` of any lesion's surface, lesions included."""
    region = np.zeros_like(liver)
    for lesion in lesions:
        index = grid.to_index(lesion.surface.vertices_lps_mm)
        reach = margin_mm / np.array(grid.spacing_mm)
        low = np.maximum(np.floor(index.min(0) - reach), 0).astype(int)
        high = np.minimum(np.ceil(index.max(0) + reach) + 1, liver.shape).astype(int)
        box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        open_voxels = np.argwhere(liver[box] & ~region[box]) + low
        near = open_voxels[lesion.surface.signed_distance_mm(grid.to_world(open_voxels)) <= margin_mm]
        region[tuple(near.T)] = True
    return region


def loss_field(
    cells: Cells,
    lesions: tuple[Lesion, ...],
    portal: VesselTree | None,
    hepatic: VesselTree | None,
    grid: Grid,
    error: BoundaryError,
    distance_mm: Float32Array | None = None,
) -> LossField:
    """One signed distance per lesion and cell, one pass down each tree, one lookup per cell.

    distance_mm: what `lesion_distances_mm` gives, where it is known already.
    """
    distance = lesion_distances_mm(cells, lesions) if distance_mm is None else distance_mm
    half_width = combined_mm(discretisation_mm(grid), error.lesion_mm)
    return LossField(
        cells, lesions, distance, _tree_loss(portal, lesions, cells), _tree_loss(hepatic, lesions, cells), half_width
    )


def lesion_distances_mm(cells: Cells, lesions: tuple[Lesion, ...]) -> Float32Array:
    """Signed distance of every cell to every lesion, (L, N) mm, negative inside."""
    distance = np.empty((len(lesions), len(cells.volume_ml)), dtype=np.float32)
    for row, lesion in enumerate(lesions):
        signed = lesion.surface.signed_distance_mm(cells.points_lps_mm).astype(np.float32)
        own = cells.lesion == lesion.id
        # The voxels say which side a cell is on; the surface says how far it is from it.
        distance[row] = np.where(own, np.minimum(signed, -_EDGE_MM), np.maximum(signed, _EDGE_MM))
    return distance


def margin_curve(field: LossField, margins_mm: Sequence[float]) -> tuple[CurvePoint, ...]:
    """The liver at each margin, all read off the same loss field."""
    margins = np.unique(np.asarray(margins_mm, dtype=np.float64))
    counted = _counted(field, margins)
    return tuple(_curve_point(field, m, counted, int(np.searchsorted(margins, m))) for m in margins_mm)


def flr_percent(field: LossField, margin_mm: float, functional: bool) -> float:
    """Remnant over (liver - tumour) in percent at a margin; functional: also fed and drained."""
    by_volume, alive = field.remnants
    if not functional:
        return _share(field.cells, by_volume.ml(max(margin_mm, 0.0)))
    if alive is None:
        raise ValueError("a functional remnant needs both vessel trees")
    if margin_mm >= 0.0:
        return _share(field.cells, alive.ml(margin_mm))
    removed, portal, hepatic = field.parts_mm()
    assert portal is not None
    assert hepatic is not None
    kept = (removed > 0.0) & (portal > margin_mm) & (hepatic > margin_mm)
    return _share(field.cells, field.cells.volume_ml[kept].sum())


def case_bound(
    field: LossField, flr_limit_percent: float, vena_cava: Sequence[Distance], functional: bool = True
) -> UpperBound:
    """M_up of the case: the largest m with FLR(m) >= the limit and no vena cava closer than m to any lesion.

    vena_cava: clearances of the lesions to structures that must stay and carry no tree. `functional` False gives the
    weaker bound from volume alone, for cases without both trees.
    """
    rows = list(range(len(field.lesions)))
    alive = np.ones(len(field.cells.volume_ml), dtype=bool)
    return _bound(field, rows, alive, flr_limit_percent, vena_cava, functional)


def lesion_bound(
    field: LossField,
    row: int,
    wide_margin_mm: float,
    flr_limit_percent: float,
    vena_cava: Sequence[Distance],
    functional: bool = True,
) -> UpperBound | None:
    """The same bound for one lesion (row number) with the others held at the protocol's margin.

    None when the others at that margin already leave less than the FLR limit: no margin of this lesion is possible.
    """
    beside = field.functional_half_width_mm if functional else field.half_width_mm
    found, wider, narrower = (
        _beside_others(field, row, max(margin, 0.0), flr_limit_percent, vena_cava, functional)
        for margin in (wide_margin_mm, wide_margin_mm + beside, wide_margin_mm - beside)
    )
    if found is None:
        return None
    # What the others take is uncertain as well: a branch that they divide only just may be kept, or the reverse.
    low = min(found.margin_mm.low, wider.margin_mm.low if wider is not None else 0.0)
    high = max(found.margin_mm.high, narrower.margin_mm.high if narrower is not None else 0.0)
    return UpperBound(Quantity(found.margin_mm.value, low, high), found.limit)


def _beside_others(
    field: LossField,
    row: int,
    others_margin_mm: float,
    flr_limit_percent: float,
    stay: Sequence[Distance],
    functional: bool,
) -> UpperBound | None:
    """The bound of one lesion on what the others leave at a given margin; None when that is below the limit."""
    others = [r for r in range(len(field.lesions)) if r != row]
    removed, portal, hepatic = field.parts_mm(others)
    alive = removed > others_margin_mm
    if functional and others:
        assert portal is not None
        assert hepatic is not None
        alive &= (portal > others_margin_mm) & (hepatic > others_margin_mm)
    if _share(field.cells, field.cells.volume_ml[alive].sum()) < flr_limit_percent:
        return None
    return _bound(field, [row], alive, flr_limit_percent, stay, functional)


def _bound(
    field: LossField,
    rows: list[int],
    alive: BoolArray,
    flr_limit_percent: float,
    stay: Sequence[Distance],
    functional: bool,
) -> UpperBound:
    bounds = [_remnant_bound(field, rows, alive, flr_limit_percent, functional)]
    for distance in stay:
        witness = distance.witness_lps_mm
        bounds.append(UpperBound(_not_negative(distance.quantity), Limit("vessel", Structure.VENA_CAVA, witness)))
    tightest = min(bounds, key=lambda b: b.margin_mm.value)
    low, high = min(b.margin_mm.low for b in bounds), min(b.margin_mm.high for b in bounds)
    return UpperBound(Quantity(tightest.margin_mm.value, low, high), tightest.limit)


def _remnant_bound(
    field: LossField, rows: list[int], alive: BoolArray, flr_limit_percent: float, functional: bool
) -> UpperBound:
    """The quantile of `loss` where the remnant reaches its limit; a vessel limits when that is its clearance."""
    removed, portal, hepatic = field.parts_mm(rows)
    parts = [removed] + ([p for p in (portal, hepatic) if p is not None] if functional else [])
    loss = np.where(alive, np.minimum.reduce(parts), -np.inf)
    error = FLR_ERROR_POINTS if functional else 0.0
    half_width = field.functional_half_width_mm if functional else field.half_width_mm
    at, early, late = _quantiles(field.cells, loss, [flr_limit_percent + e for e in (0.0, error, -error)])
    value = float(loss[at])
    # Between two branches the remnant hardly changes: a point of it may be the whole way to the next branch.
    low, high = min(value, float(loss[early])) - half_width, max(value, float(loss[late])) + half_width
    limit = Limit("remnant", None, None)
    for tree_loss, part in ((field.portal, portal), (field.hepatic, hepatic)):
        if functional and tree_loss is not None and part is not None and part[at] <= loss[at]:
            limit = _vessel_limit(field, tree_loss, rows, at)
    return UpperBound(_not_negative(Quantity(value, max(low, -1e3), high)), limit)


def _quantiles(cells: Cells, loss: FloatArray, flr_percents: Sequence[float]) -> list[int]:
    """The cells whose loss is the largest margin that leaves each percentage of (liver - tumour)."""
    need_ml = np.array(flr_percents) / 100.0 * (cells.liver_ml - cells.tumour_ml)
    # Whole ranges of loss are counted first, so that only the cells of a few ranges have to be sorted.
    ranges = np.clip((loss + _RANGE_MM) / _RANGE_MM, 0, _RANGES - 1).astype(np.int64)
    counted_ml = np.bincount(ranges, cells.volume_ml, minlength=_RANGES)[::-1]
    at_least_ml: FloatArray = np.cumsum(counted_ml, dtype=np.float64)[::-1]
    return [_quantile(cells, loss, ranges, at_least_ml, float(need)) for need in need_ml]


def _quantile(
    cells: Cells, loss: FloatArray, ranges: npt.NDArray[np.int64], at_least_ml: FloatArray, need_ml: float
) -> int:
    """The cell at which the remnant, counted down from the greatest loss, reaches `need_ml`."""
    reached = np.flatnonzero(at_least_ml >= need_ml)
    at = int(reached[-1]) if len(reached) else int(np.flatnonzero(at_least_ml)[0])
    some = np.flatnonzero(ranges == at)
    order = some[np.argsort(-loss[some], kind="stable")]
    above_ml = at_least_ml[at + 1] if at + 1 < len(at_least_ml) else 0.0
    kept_ml = above_ml + np.cumsum(cells.volume_ml[order])
    return int(order[min(int(np.searchsorted(kept_ml, need_ml)), len(order) - 1)])


def _vessel_limit(field: LossField, tree_loss: TreeLoss, rows: list[int], cell: int) -> Limit:
    """The vessel node whose division costs the cell its tree; the witness joins lesion and wall."""
    served_by = tree_loss.node[cell]
    row = rows[int(tree_loss.path_mm[rows, served_by].argmin())]
    node = int(tree_loss.path_node[row, served_by])
    on_lesion, wall = tree_loss.witness(field.lesions[row], node)
    return Limit("vessel", tree_loss.tree.structure, (as_point(on_lesion), as_point(wall)))


def _tree_loss(tree: VesselTree | None, lesions: tuple[Lesion, ...], cells: Cells) -> TreeLoss | None:
    if tree is None:
        return None
    shape = (len(lesions), len(tree.parent))
    clearance, path, where = np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.int64)
    for row, lesion in enumerate(lesions):
        clearance[row] = lesion.surface.signed_distance_mm(tree.points_lps_mm) - tree.radius_mm
        path[row], where[row] = tree.path_minimum(clearance[row])
    node = tree.nearest_node(cells.points_lps_mm)
    healthy = np.where(cells.lesion == 0, cells.volume_ml, 0.0)
    hanging = tree.subtree_sum(np.bincount(node, healthy, minlength=len(tree.parent)))
    return TreeLoss(tree, hanging, clearance, path, where, node)


def _counted(field: LossField, margins: FloatArray) -> FloatArray:
    """mL of the cells by how many of the (rising) margins they outlast: as tissue, with inflow, with outflow.

    Shape (M + 1, M + 1, M + 1); an absent tree is outlasted by none. One pass over the cells for a whole curve.
    """
    size = len(margins) + 1
    code = np.zeros(len(field.cells.volume_ml), dtype=np.int64)
    for part in field.parts_mm():
        code *= size
        if part is not None:
            code += np.searchsorted(margins, part, side="left")
    counted = np.bincount(code, field.cells.volume_ml, minlength=size**3)
    return np.asarray(counted.reshape(size, size, size), dtype=np.float64)


def _curve_point(field: LossField, margin_mm: float, counted: FloatArray, at: int) -> CurvePoint:
    """The liver at the margin number `at` of `counted`: what outlasts more than `at` margins outlasts this one."""
    kept, alive, lost, either = counted[at + 1 :], slice(at + 1, None), slice(0, at + 1), slice(None)
    has_portal, has_hepatic = field.portal is not None, field.hepatic is not None

    def kept_ml(inflow: slice, outflow: slice, known: bool) -> float | None:
        return float(kept[:, inflow, outflow].sum()) if known else None

    # Every remnant is summed over what is kept, never subtracted: value and interval agree to the last digit.
    low, high = margin_mm + field.half_width_mm, margin_mm - field.half_width_mm
    wider = field.functional_half_width_mm
    flr = [
        flr_percent(field, m, True) if field.functional else None
        for m in (margin_mm, margin_mm + wider, margin_mm - wider)
    ]
    return CurvePoint(
        margin_mm=margin_mm,
        removed_ml=float(counted[: at + 1].sum()),
        remnant_ml=float(kept.sum()),
        geometric_flr_percent=flr_percent(field, margin_mm, False),
        geometric_flr_low_percent=flr_percent(field, low, False),
        geometric_flr_high_percent=flr_percent(field, high, False),
        devascularised_ml=kept_ml(lost, either, has_portal),
        congested_ml=kept_ml(either, lost, has_hepatic),
        devascularised_and_congested_ml=kept_ml(lost, lost, has_portal and has_hepatic),
        functional_remnant_ml=kept_ml(alive, alive, has_portal and has_hepatic),
        flr_percent=flr[0],
        flr_low_percent=None if flr[1] is None else max(flr[1] - FLR_ERROR_POINTS, 0.0),
        flr_high_percent=None if flr[2] is None else min(flr[2] + FLR_ERROR_POINTS, 100.0),
    )


def _share(cells: Cells, remnant_ml: float) -> float:
    """Percent of (liver - tumour); sums in another order differ in the last digit, and no more than all remains."""
    return min(float(100.0 * remnant_ml / (cells.liver_ml - cells.tumour_ml)), 100.0)


def _not_negative(quantity: Quantity) -> Quantity:
    """A margin below zero does not exist: contact is a margin of 0 (its interval keeps the upper end)."""
    return Quantity(max(quantity.value, 0.0), max(quantity.low, 0.0), max(quantity.high, 0.0))


__all__ = [
    "Cells",
    "CurvePoint",
    "Limit",
    "LossField",
    "ParenchymaCells",
    "TreeLoss",
    "UpperBound",
    "case_bound",
    "flr_percent",
    "lesion_bound",
    "lesion_distances_mm",
    "liver_cells",
    "loss_field",
    "margin_curve",
    "margin_region",
]

"""Any resection measured: margins, volumes, remnants, vessels divided, the cut - proposed and given ones alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from liverplan.anatomy import Structure
from liverplan.margin import FLR_ERROR_POINTS, TreeLoss
from liverplan.probability import p_at_least
from liverplan.protocol import Limits
from liverplan.quantity import Distance, Measured, Quantity, Unknown
from liverplan.resection.cut import CutMargin, CutSurface, cut_surface, parenchymal_margin, vessel_margin
from liverplan.resection.workspace import Workspace, cut_off, topmost
from liverplan.surface import Solid
from liverplan.volume import BoolArray, FloatArray, border, bounding_box

WALL_ERROR_MM = 1.0
"""A wall that the cut passes nearer than this may be divided or may be kept: reader's boundary and tracing."""
LISTED_DIAMETER_MM = 2.0
"""Divided vessels from this diameter are listed (clinical reference 8, vessel_class_mm)."""
LEFT_BEHIND_SHARE = 0.5
"""A lesion with more than this of it outside the specimen stays behind; with less it is cut through."""


@dataclass(frozen=True)
class DividedVessel:
    """A branch where the cut divides it: its name (or number), diameter at the cut in mm, and all that hangs on it in
    mL, tumour left out."""

    structure: Structure
    branch: str
    diameter_mm: float
    territory_ml: float


@dataclass(frozen=True)
class PlanScore:
    """The five criteria of Demedts 2010 beside each other, never as one sum: safety margin (mm), remnant (mL), its
    perfused part (percent), mean curvature of the cut (1/mm), its area (cm2)."""

    safety_margin_mm: float | None
    remnant_ml: float
    perfused_percent: float | None
    curvature_per_mm: float
    area_cm2: float


@dataclass(frozen=True)
class MeasuredResection:
    """A resection and everything measured on it. specimen: (i, j, k) on the workspace's grid.

    margins: per lesion in the order of the workspace. flr: functional, over liver minus tumour, percent;
    flr_terms_points: what its interval is made of, in points. p_margin: at least this probable that every lesion has
    the protocol's margin; p_flr: that the functional remnant reaches its limit.
    """

    name: str
    kind: str
    specimen: BoolArray
    margins: tuple[CutMargin, ...]
    volume_ml: Quantity
    remnant_ml: float
    functional_remnant_ml: Measured
    flr_percent: Measured
    geometric_flr_percent: Measured
    flr_terms_points: Mapping[str, float]
    devascularised_ml: float | None
    congested_ml: float | None
    divided: tuple[DividedVessel, ...]
    surface: CutSurface
    score: PlanScore
    meets: str
    reason: str
    p_margin: float | None
    p_flr: float | None
    notes: tuple[str, ...] = ()

    def with_unknown_remnant(self, why: Unknown, limits: Limits) -> MeasuredResection:
        """The same with nothing said about the remnant: the scan does not show the whole liver."""
        meets, reason = _meets(self.margins, why, limits)
        return replace(
            self,
            functional_remnant_ml=why,
            flr_percent=why,
            geometric_flr_percent=why,
            flr_terms_points={},
            meets=meets,
            reason=reason,
            p_flr=None,
        )

    @property
    def margin_mm(self) -> Distance | Unknown:
        """The least margin over the lesions: Unknown when one of them stays behind, or when there is none."""
        found = [m.distance for m in self.margins]
        for distance in found:
            if isinstance(distance, Unknown):
                return distance
        known = [d for d in found if isinstance(d, Distance)]
        return min(known, key=lambda d: d.value_mm) if known else Unknown("there is no lesion")


@dataclass(frozen=True)
class Stay:
    """What stays whatever is cut: the lesions' clearances to it, per row of the loss field (the vena cava)."""

    distances: Mapping[int, Sequence[tuple[Distance, Structure]]]


def measure(
    work: Workspace,
    name: str,
    kind: str,
    specimen: BoolArray,
    limits: Limits,
    stay: Stay,
    notes: tuple[str, ...] = (),
) -> MeasuredResection:
    """Everything that the table of resections shows for one of them. specimen: liver voxels (i, j, k) taken out."""
    edge = _edge(work, specimen)
    divided_at = [_divided(work, tree, specimen, edge, (0.0, WALL_ERROR_MM, -WALL_ERROR_MM)) for tree in work.trees]
    remnant = _Remnant.of(work, specimen, divided_at)
    stays = tuple(~cut_off(t.tree.parent, d[0]) for t, d in zip(work.trees, divided_at, strict=True))
    margins = tuple(_margin(work, row, specimen, remnant, stays, stay) for row in range(len(work.field.lesions)))
    surface = cut_surface(work, specimen)
    meets, reason = _meets(margins, remnant.flr_percent, limits)
    known = [m.distance.quantity for m in margins if isinstance(m.distance, Distance)]
    complete = bool(known) and len(known) == len(margins)
    flr = remnant.flr_percent
    perfused = None if isinstance(flr, Unknown) else 100.0 * remnant.functional_ml / max(remnant.parenchyma_ml, 1e-9)
    return MeasuredResection(
        name=name,
        kind=kind,
        specimen=specimen,
        margins=margins,
        volume_ml=_volume(work, specimen),
        remnant_ml=float((work.liver & ~specimen).sum() * work.grid.voxel_ml),
        functional_remnant_ml=remnant.functional,
        flr_percent=flr,
        geometric_flr_percent=remnant.geometric_percent,
        flr_terms_points=remnant.terms_points,
        devascularised_ml=remnant.devascularised_ml,
        congested_ml=remnant.congested_ml,
        divided=_all_vessels(work, divided_at),
        surface=surface,
        score=PlanScore(
            min((q.value for q in known), default=None) if complete else None,
            remnant.parenchyma_ml,
            perfused,
            surface.mean_curvature_per_mm,
            surface.area_cm2,
        ),
        meets=meets,
        reason=reason,
        # At least: that all lesions have the margin is no less likely than this (Bonferroni), however they correlate.
        p_margin=max(0.0, 1.0 - sum(1.0 - p_at_least(q, limits.wide_margin_mm) for q in known)) if complete else None,
        p_flr=None if isinstance(flr, Unknown) else p_at_least(flr, limits.flr_percent),
        notes=notes,
    )


@dataclass(frozen=True)
class _Remnant:
    """What stays, in mL per parenchyma cell, and what of it is fed and drained."""

    cells_ml: FloatArray
    parenchyma_ml: float
    functional_ml: float
    functional: Measured
    flr_percent: Measured
    geometric_percent: Quantity
    terms_points: Mapping[str, float]
    devascularised_ml: float | None
    congested_ml: float | None

    @classmethod
    def of(cls, work: Workspace, specimen: BoolArray, divided_at: list[list[BoolArray]]) -> _Remnant:
        ml = work.parenchyma_cells.ml(~specimen)
        cells = work.field.cells
        healthy = cells.liver_ml - cells.tumour_ml
        geometric = Quantity.around(100.0 * float(ml.sum()) / healthy, _boundary_points(work, ml), floor=0.0)
        lost = [
            [cut_off(t.tree.parent, at)[t.node[work.parenchyma]] for at in each]
            for t, each in zip(work.trees, divided_at, strict=True)
        ]
        by_tree = {t.tree.structure: float(ml[each[0]].sum()) for t, each in zip(work.trees, lost, strict=True)}
        functional: Measured = Unknown("inflow and outflow are not both known: a vessel system is not segmented")
        flr: Measured = functional
        terms: dict[str, float] = {}
        if work.field.functional:
            value, low, high = (float(ml[~(lost[0][n] | lost[1][n])].sum()) for n in range(3))
            spread = FLR_ERROR_POINTS + _boundary_points(work, ml)
            flr = _spread(100.0 / healthy * np.array([value, low, high]), spread)
            functional = _spread(np.array([value, low, high]), spread * healthy / 100.0)
            terms = {
                "territories_points": FLR_ERROR_POINTS,
                "tumour_boundary_points": _boundary_points(work, ml),
                "vessels_beside_the_cut_low_points": 100.0 * (value - low) / healthy,
                "vessels_beside_the_cut_high_points": 100.0 * (high - value) / healthy,
            }
        return cls(
            ml,
            float(ml.sum()),
            functional.value if isinstance(functional, Quantity) else 0.0,
            functional,
            flr,
            geometric,
            terms,
            by_tree.get(Structure.PORTAL_VEIN),
            by_tree.get(Structure.HEPATIC_VEINS),
        )


def _spread(values: FloatArray, half_width: float) -> Quantity:
    """A value with its interval: [value, lowest, highest] each widened by the same half-width, none below 0."""
    value, low, high = (float(v) for v in values)
    return Quantity(value, max(min(value, low) - half_width, 0.0), max(value, high) + half_width)


def _boundary_points(work: Workspace, remnant_ml: FloatArray) -> float:
    """Percentage points by which the tumours' drawn boundary moves the FLR: it changes the denominator."""
    cells = work.field.cells
    healthy = cells.liver_ml - cells.tumour_ml
    shift_ml = sum(lesion.surface.mesh.area_cm2 for lesion in work.field.lesions) * work.error.lesion_mm / 10.0
    return float(100.0 * remnant_ml.sum() / healthy * shift_ml / healthy)


def _edge(work: Workspace, specimen: BoolArray) -> cKDTree | None:
    """The specimen's border voxels, for finding the nearest; None when it is empty."""
    if not specimen.any():
        return None
    box = bounding_box(specimen)
    edge = np.argwhere(border(specimen[box])) + np.array([s.start for s in box])
    return cKDTree(work.grid.to_world(edge), balanced_tree=False)


def _divided(
    work: Workspace, tree: TreeLoss, specimen: BoolArray, edge: cKDTree | None, shifts_mm: tuple[float, ...]
) -> list[BoolArray]:
    """Nodes whose wall lies in the specimen, with the cut moved outwards by each shift in mm; (nodes,) each."""
    points = tree.tree.points_lps_mm
    if edge is None:
        return [np.zeros(len(points), dtype=np.bool_) for _ in shifts_mm]
    distance = edge.query(points, workers=-1)[0]
    inside = Solid(specimen, work.grid).contains(points)
    # The specimen ends half a voxel beyond its outermost voxel centres.
    outside_mm = np.where(inside, -distance, distance) - 0.5 * min(work.grid.spacing_mm)
    return [outside_mm - tree.tree.radius_mm <= shift for shift in shifts_mm]


def _all_vessels(work: Workspace, divided_at: list[list[BoolArray]]) -> tuple[DividedVessel, ...]:
    """The divided branches of both trees, the largest territory first."""
    found = [v for t, d in zip(work.trees, divided_at, strict=True) for v in _vessels(work, t, d[0])]
    return tuple(sorted(found, key=lambda v: -v.territory_ml))


def _vessels(work: Workspace, tree: TreeLoss, divided: BoolArray) -> list[DividedVessel]:
    """The branches of one tree that the cut meets first on the way from the root."""
    parent = tree.tree.parent
    first = topmost(parent, divided)
    names = work.names_of(tree)
    found = [
        DividedVessel(
            tree.tree.structure,
            names.name(int(node)) if names is not None else f"branch {int(tree.tree.branch[node]) + 1}",
            2.0 * float(tree.tree.radius_mm[node]),
            float(tree.hanging_ml[node]),
        )
        for node in np.flatnonzero(first)
    ]
    return [v for v in found if v.diameter_mm >= LISTED_DIAMETER_MM]


def _margin(
    work: Workspace, row: int, specimen: BoolArray, remnant: _Remnant, stays: tuple[BoolArray, ...], stay: Stay
) -> CutMargin:
    """The least of: distance to the remnant, to vessels that stay, to what always stays."""
    lesion = work.field.lesions[row]
    outside = 1.0 - float(specimen[work.lesion_voxels[row]].mean())
    if outside > LEFT_BEHIND_SHARE:
        return CutMargin(Unknown(f"lesion {lesion.id} is not taken out"), "parenchyma")
    beside = work.field.distance_mm[row][work.parenchyma][remnant.cells_ml > 0]
    nearest = float(beside.min()) if beside.size else np.inf
    candidates: list[tuple[Distance, str, Structure | None]] = []
    to_remnant = parenchymal_margin(work, row, specimen, 0.0 if outside > 0 else nearest)
    if to_remnant is not None:
        candidates.append((to_remnant, "parenchyma", None))
    vessel = vessel_margin(work, row, stays)
    for distance, structure in ([vessel] if vessel is not None else []) + list(stay.distances.get(row, ())):
        candidates.append((distance, "vessel", structure))
    if not candidates:
        return CutMargin(Unknown("nothing stays behind"), "parenchyma")
    return CutMargin(*min(candidates, key=lambda c: c[0].value_mm))


def _volume(work: Workspace, specimen: BoolArray) -> Quantity:
    """Voxels counted; the interval moves the capsule that was drawn around the specimen by the reader's error."""
    value = float(specimen.sum() * work.grid.voxel_ml)
    edge = work.surface_voxels & specimen
    spacing = work.grid.spacing_mm
    capsule_cm2 = float(edge.sum()) * (work.grid.voxel_ml * 1000.0 / float(np.mean(spacing))) / 100.0
    return Quantity.around(value, min(capsule_cm2 * work.error.liver_mm / 10.0, value))


def _meets(margins: tuple[CutMargin, ...], flr: Measured, limits: Limits) -> tuple[str, str]:
    """Whether the resection shows what the protocol asks for: its low ends prove, its high ends refute."""
    if not margins:
        return "undetermined", "there is no lesion in the segmentation"
    left = [m.distance.reason for m in margins if isinstance(m.distance, Unknown)]
    if left:
        return "not_met", "; ".join(left)
    known = [m.distance for m in margins if isinstance(m.distance, Distance)]
    least = min(known, key=lambda d: d.value_mm)
    low, high = min(d.low_mm for d in known), min(d.high_mm for d in known)
    wide, share = limits.wide_margin_mm, limits.flr_percent
    margin = f"margin {least.value_mm:.1f} mm [{low:.1f} to {high:.1f}], asked {wide:g} mm"
    if high < wide:
        return "not_met", margin
    if isinstance(flr, Unknown):
        return "undetermined", f"{margin}; functional remnant: {flr.reason}"
    found = f"{margin}; functional remnant {flr.value:.1f} % [{flr.low:.1f} to {flr.high:.1f}], asked {share:g} %"
    if flr.high < share:
        return "not_met", found
    return ("met" if low >= wide and flr.low >= share else "undetermined"), found

"""The story: an image and its segmentation become margins, remnants and a decision."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.cells import CELL_MM, liver_cells
from liverplan.clinical import ClinicalRecord
from liverplan.couinaud import SegmentEstimate, estimate_segments
from liverplan.distance import BoundaryError
from liverplan.errors import SegmentationRefused
from liverplan.findings import (
    LesionFinding,
    VesselFinding,
    estimated_segments,
    given_segments,
    lesion_finding,
    plural_verb,
    vessel_findings,
    walls_of,
)
from liverplan.fresh_margin import CutLossModel, FreshMargin, load_cut_loss, predict
from liverplan.lesions import LabelArray, LesionMap, find_lesions
from liverplan.margin import (
    CurvePoint,
    LossField,
    UpperBound,
    case_bound,
    lesion_bound,
    lesion_distances_mm,
    loss_field,
    margin_curve,
)
from liverplan.naming import TreeNames, name_hepatic, name_portal
from liverplan.protocol import Decision, Limits, Protocol, Reading, decide
from liverplan.quality import Quality, assess
from liverplan.quantity import Distance, Quantity, Unknown
from liverplan.resection.given import GivenResection
from liverplan.resection.measure import MeasuredResection, Stay, measure
from liverplan.resection.table import resections_of
from liverplan.resection.workspace import Workspace
from liverplan.sensitivity import Sensitivity, sensitivity
from liverplan.surface import Surface, pooled_surface
from liverplan.verdict import (
    NO_PLAN,
    UNREAD,
    Evidence,
    Verdict,
    affected_by_vessels,
    case_verdict,
    measures_of,
    open_where_unsafe,
)
from liverplan.vessels import VesselTree, trace_hepatic_tree, trace_portal_tree
from liverplan.volume import Grid, Reorientation, Segmentation, Volume, bounding_box

CURVE_MM = tuple(float(m) for m in range(31))
"""Margins at which the report tabulates the liver."""
MODEL_BOUNDARY = BoundaryError(lesion_mm=3.0, vessel_mm=3.0, liver_mm=3.0)
"""Least boundary error of a model's masks; a model that states a larger one is believed. Neither covers what a model
missed altogether: verdicts on unread masks are undetermined whatever the interval says."""
CUT_OFF = "the liver is cut off at the edge of the scan, so that its remnant is unknown"
_CONTEXT_MM = 12.0

Box = tuple[slice, slice, slice]

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Wishes:
    """What a plan is asked for beside the protocol.

    margin_mm: the margin that proposed resections are cut for; None for the protocol's. given: the surgeon's own, on
    the image's grid. clinical: what the criteria read beside the scan. cut_loss: for margins on the fresh specimen.
    """

    margin_mm: float | None = None
    given: tuple[GivenResection, ...] = ()
    clinical: ClinicalRecord = field(default_factory=lambda: ClinicalRecord(()))
    cut_loss: CutLossModel = field(default_factory=load_cut_loss)


@dataclass(frozen=True)
class Plan:
    """The result of planning a case. Volumes mL, lengths mm, points LPS mm; see docs/outputs.md."""

    volume: Volume
    segmentation: Segmentation
    """The masks on the image's own grid; each lesion carries its id as label."""
    protocol: Protocol
    lesion_map: LesionMap
    trees: Mapping[Structure, VesselTree]
    missing_trees: Mapping[Structure, str]
    liver_ml: Quantity
    tumour_ml: float
    field: LossField
    curve: tuple[CurvePoint, ...]
    remnant_known: Unknown | None
    """Why remnants are unknown (a liver cut off by the scan), None when they are known."""
    findings: tuple[LesionFinding, ...]
    upper: UpperBound | Unknown
    geometric_upper: UpperBound | Unknown
    verdict: Verdict
    affected_by_vessels: bool | None
    quality: Quality
    measures: Mapping[str, Reading]
    decision: Decision
    names: Mapping[Structure, TreeNames]
    segments: SegmentEstimate | None
    """Couinaud segments of the loss field's cells, estimated from the trees; None without both trees."""
    resections: tuple[MeasuredResection, ...]
    """Proposed and given ones, the best first; specimens on `workspace.grid`."""
    workspace: Workspace
    fresh: Mapping[str, FreshMargin] | Unknown
    """The best resection's margin as expected on the fresh specimen, by device."""
    sensitivity: Sensitivity
    wishes: Wishes
    seconds: Mapping[str, float]

    def specimen_on_image(self, resection: MeasuredResection) -> npt.NDArray[np.uint8]:
        """A resection's specimen as a mask (i, j, k) on the image's own grid."""
        turn = Reorientation.to_lps(self.volume.grid)
        whole = turn.grid(self.volume.grid)
        start = np.rint(whole.to_index(self.workspace.grid.origin_lps_mm)).astype(int)
        mask = np.zeros(whole.shape, dtype=np.uint8, order="F")
        box = tuple(slice(a, a + n) for a, n in zip(start, resection.specimen.shape, strict=True))
        mask[box] = resection.specimen
        return turn.undo(mask)


def plan(
    volume: Volume,
    segmentation: Segmentation,
    protocol: Protocol,
    progress: Progress = lambda _fraction, _stage: None,
    wishes: Wishes | None = None,
) -> Plan:
    """Measure a case, plan resections, and decide the protocol's criteria on it.

    volume and segmentation share one grid, in any orientation. Raises GeometryMismatch when they do not,
    SegmentationRefused when there is no liver.
    """
    wishes = wishes or Wishes()
    volume.grid.require_same(segmentation.grid, "the segmentation")
    if not segmentation.has(Structure.LIVER):
        raise SegmentationRefused(
            "there is no liver in the segmentation",
            got="an empty or absent liver mask",
            wanted="a mask of the whole liver",
            do="Segment the liver, or let the model do it (leave --segmentation away).",
        )
    clock = _Clock(progress)
    image = volume.canonical()
    with ThreadPoolExecutor(max_workers=1) as pool:
        assessing: list[Future[Quality]] = []

        def beside(masks: Segmentation, whole_map: LesionMap, trees: Mapping[Structure, VesselTree]) -> None:
            assessing.append(pool.submit(assess, image, masks, whole_map, trees))

        ready = prepare(segmentation.canonical(), clock.stage, beside)
        quality = assessing[0].result()
    work, trees, missing, lesion_map = ready.work, ready.trees, ready.missing_trees, ready.lesion_map
    field, vessels = work.field, ready.vessels
    clock.stage(0.65, "margin curve")
    curve = margin_curve(field, CURVE_MM)
    clock.stage(0.7, "resections")
    limits = protocol.limits
    wanted_mm = limits.wide_margin_mm if wishes.margin_mm is None else wishes.margin_mm
    given = [_on_workspace(g, segmentation.grid, ready.box) for g in wishes.given]
    measured = resections_of(work, limits, wanted_mm, ready.stay, given)
    resections = open_where_unsafe(measured, segmentation.origin == "model", quality)
    clock.stage(0.95, "bounds and verdicts")
    judge = _Judge(field, limits, quality, missing, vessels, segmentation.origin == "model", resections)
    segments = given_segments(ready.masks, lesion_map) or estimated_segments(ready.segments, field)

    def finding_of(row: int) -> LesionFinding:
        lesion_id = field.lesions[row].id
        return lesion_finding(row, judge.lesion(row), vessels[lesion_id], segments.get(lesion_id), ready.capsule, work)

    with ThreadPoolExecutor(max_workers=2) as pool:
        findings = tuple(pool.map(finding_of, range(len(field.lesions))))
    evidence = judge.case()
    at_wide = judge.remnant_unknown or margin_curve(field, [limits.wide_margin_mm])[0]
    contacts = sum(bool(v.contact) for found in vessels.values() for v in found)
    measures = measures_of(evidence, len(lesion_map), volume.modality, at_wide, contacts)
    clock.stage(1.0, "done")
    return Plan(
        volume=volume,
        segmentation=_with_ids(segmentation, ready.labels),
        protocol=protocol,
        lesion_map=lesion_map,
        trees=trees,
        missing_trees=missing,
        liver_ml=_liver_ml(field.cells.liver_ml, ready.capsule, work.error),
        tumour_ml=field.cells.tumour_ml,
        field=field,
        curve=curve,
        remnant_known=judge.remnant_unknown,
        findings=findings,
        upper=evidence.bound,
        geometric_upper=evidence.geometric,
        verdict=case_verdict(evidence),
        affected_by_vessels=affected_by_vessels(evidence),
        quality=quality,
        measures=measures,
        decision=decide(protocol, measures, wishes.clinical.facts()),
        names=ready.names,
        segments=ready.segments,
        resections=evidence.resections,
        workspace=work,
        fresh=_fresh(evidence, wishes.cut_loss),
        sensitivity=sensitivity(
            field, evidence.bound, limits.wide_margin_mm, limits.flr_percent, judge.remnant_unknown
        ),
        wishes=wishes,
        seconds=clock.seconds,
    )


@dataclass(frozen=True)
class Prepared:
    """What every resection of a case is planned and measured on, from its masks alone.

    masks and work are cut to `box`, the liver's box with some context on the canonical grid; labels are the lesions' on
    all of it. stay: what no resection takes out.
    """

    masks: Segmentation
    box: Box
    labels: LabelArray
    lesion_map: LesionMap
    trees: Mapping[Structure, VesselTree]
    missing_trees: Mapping[Structure, str]
    capsule: Surface
    work: Workspace
    names: Mapping[Structure, TreeNames]
    segments: SegmentEstimate | None
    vessels: Mapping[int, tuple[VesselFinding, ...]]

    @property
    def stay(self) -> Stay:
        return _what_stays(self.work.field, self.vessels)


Beside = Callable[[Segmentation, LesionMap, Mapping[Structure, VesselTree]], None]


def prepare(
    masks: Segmentation,
    progress: Progress = lambda _fraction, _stage: None,
    beside: Beside = lambda _masks, _lesions, _trees: None,
) -> Prepared:
    """Lesions, trees, loss field and clearances from canonical masks; `plan` goes on from here, and so does a viewer.

    beside: called once the trees are traced, with the whole masks, to start what else needs them.
    """
    lesion_mask = masks.masks.get(Structure.LESIONS, np.zeros(masks.grid.shape, dtype=np.uint8))
    whole_map = find_lesions(lesion_mask, masks.grid)
    error = _boundary_error(masks)
    box = _box_of(masks, whole_map)
    with ThreadPoolExecutor(max_workers=2) as pool:
        # Tracing and nearest neighbours wait for each other's processors only.
        tracing, missing = _traced_beside(pool, masks, masks.grid)
        progress(0.1, "distances and vessel trees")
        inner, lesion_map = _cropped(masks, whole_map, box)
        liver = inner.mask(Structure.LIVER) | (lesion_map.labels > 0)
        grid = inner.grid
        capsule = pooled_surface(liver, grid, CELL_MM)
        cells = liver_cells(liver, lesion_map.labels, grid)
        distance_mm = lesion_distances_mm(cells, lesion_map.lesions)
        trees = {structure: tree.result() for structure, tree in tracing.items()}
    progress(0.35, "quality and loss field")
    beside(masks, whole_map, trees)
    portal, hepatic = trees.get(Structure.PORTAL_VEIN), trees.get(Structure.HEPATIC_VEINS)
    field = loss_field(cells, lesion_map.lesions, portal, hepatic, grid, error, distance_mm)
    names, estimate = _named(field)
    # One memory order for all that resections compare: mixed orders cost ten times as much.
    work = Workspace(
        grid,
        np.ascontiguousarray(liver),
        np.ascontiguousarray(lesion_map.labels),
        field,
        names.get(Structure.PORTAL_VEIN),
        names.get(Structure.HEPATIC_VEINS),
        error,
    )
    progress(0.6, "clearances")
    walls = walls_of(inner)
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = pool.map(lambda lesion: vessel_findings(lesion, walls, trees, error), lesion_map)
        vessels = {lesion.id: vessel for lesion, vessel in zip(lesion_map, found, strict=True)}
    return Prepared(inner, box, whole_map.labels, lesion_map, trees, missing, capsule, work, names, estimate, vessels)


def measure_given(ready: Prepared, given: GivenResection, limits: Limits, quality: Quality) -> MeasuredResection:
    """A resection of the surgeon's measured alone, as `plan` measures it among others. given: on `ready.work.grid`."""
    notes = (given.source, *given.notes)
    found = measure(ready.work, given.name, "given", given.specimen, limits, ready.stay, notes)
    if not quality.liver_complete:
        found = found.with_unknown_remnant(Unknown(CUT_OFF), limits)
    return open_where_unsafe((found,), ready.masks.origin == "model", quality)[0]


class _Clock:
    """Seconds per stage, and the progress call."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._name, self._since = progress, "lesions", time.perf_counter()

    def stage(self, fraction: float, name: str) -> None:
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now
        self._progress(fraction, name)


@dataclass(frozen=True)
class _Judge:
    """What bounds and verdicts are made of."""

    field: LossField
    limits: Limits
    quality: Quality
    missing: Mapping[Structure, str]
    vessels: Mapping[int, tuple[VesselFinding, ...]]
    unread: bool
    resections: tuple[MeasuredResection, ...]

    @property
    def remnant_unknown(self) -> Unknown | None:
        if self.quality.liver_complete:
            return None
        return Unknown(CUT_OFF)

    def case(self) -> Evidence:
        stay = [d for row in range(len(self.field.lesions)) for d in self._stay(row)]
        if not self.field.lesions:
            none = Unknown("there is no lesion in the segmentation")
            return Evidence(self.limits, none, none, self.quality, self.unread, self.resections)
        flr = self.limits.flr_percent
        return self._evidence(lambda functional: case_bound(self.field, flr, stay, functional))

    def lesion(self, row: int) -> Evidence:
        wide, flr, stay = self.limits.wide_margin_mm, self.limits.flr_percent, self._stay(row)
        return self._evidence(lambda functional: lesion_bound(self.field, row, wide, flr, stay, functional))

    def _evidence(self, bound: Callable[[bool], UpperBound | None]) -> Evidence:
        crowded = Unknown("the other lesions at the protocol's margin already leave less than the remnant's limit")
        if self.remnant_unknown is not None:
            unknown = self.remnant_unknown
            return Evidence(self.limits, unknown, unknown, self.quality, self.unread, self._without_remnant())
        full: UpperBound | Unknown = Unknown("; ".join(self.missing.values()))
        if self.field.functional:
            full = bound(True) or crowded
        return Evidence(self.limits, full, bound(False) or crowded, self.quality, self.unread, self.resections)

    def _without_remnant(self) -> tuple[MeasuredResection, ...]:
        """The resections of a liver that the scan cuts off: their margins hold, their remnants are unknown."""
        unknown = self.remnant_unknown
        assert unknown is not None
        told = tuple(r.with_unknown_remnant(unknown, self.limits) for r in self.resections)
        return open_where_unsafe(told, self.unread, self.quality)

    def _stay(self, row: int) -> list[Distance]:
        """Clearances to what must stay and has no tree of its own: the vena cava."""
        found = self.vessels[self.field.lesions[row].id]
        cava = [v.clearance for v in found if v.structure is Structure.VENA_CAVA]
        return [c for c in cava if isinstance(c, Distance)]


def _traced_beside(
    pool: Executor, masks: Segmentation, grid: Grid
) -> tuple[dict[Structure, Future[VesselTree]], dict[Structure, str]]:
    """The vessel trees that exist, being traced, and why the others do not."""
    beside = {Structure.PORTAL_VEIN: Structure.LIVER, Structure.HEPATIC_VEINS: Structure.VENA_CAVA}
    trace = {Structure.PORTAL_VEIN: trace_portal_tree, Structure.HEPATIC_VEINS: trace_hepatic_tree}
    found = [s for s in trace if masks.has(s)]
    missing = {s: f"the {s.title.lower()} {plural_verb(s)} not segmented" for s in trace if s not in found}
    return {s: pool.submit(trace[s], masks.mask(s), masks.mask(beside[s]), grid) for s in found}, missing


def _box_of(masks: Segmentation, lesion_map: LesionMap) -> Box:
    """The liver's box (lesions included) with some context: what lies beyond cannot matter to a margin."""
    around = [int(np.ceil(_CONTEXT_MM / s)) for s in masks.grid.spacing_mm]
    return bounding_box(masks.mask(Structure.LIVER) | (lesion_map.labels > 0), (around[0], around[1], around[2]))


def _cropped(masks: Segmentation, lesion_map: LesionMap, box: Box) -> tuple[Segmentation, LesionMap]:
    parts = {s: m[box] for s, m in masks.masks.items()}
    cut = replace(masks, grid=masks.grid.cropped(box), masks=parts)
    return cut, LesionMap(lesion_map.labels[box], lesion_map.lesions, lesion_map.strays)


def _boundary_error(masks: Segmentation) -> BoundaryError:
    """A reader's, or the larger of what models do at best and what this one states of each kind of structure."""
    if masks.origin != "model":
        return BoundaryError()

    def stated_mm(*structures: Structure) -> float:
        return max((masks.confidence[s].boundary_mm for s in structures if s in masks.confidence), default=0.0)

    veins = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA)
    return BoundaryError(
        max(MODEL_BOUNDARY.lesion_mm, stated_mm(Structure.LESIONS)),
        max(MODEL_BOUNDARY.vessel_mm, stated_mm(*veins)),
        max(MODEL_BOUNDARY.liver_mm, stated_mm(Structure.LIVER)),
    )


def _on_workspace(given: GivenResection, grid: Grid, box: Box) -> GivenResection:
    """A given resection in the workspace's storage order and box."""
    return replace(given, specimen=np.ascontiguousarray(Reorientation.to_lps(grid).apply(given.specimen)[box]))


def _named(field: LossField) -> tuple[dict[Structure, TreeNames], SegmentEstimate | None]:
    """What the trees' branches are called, and the segments that follow from them."""
    cells = field.cells
    names: dict[Structure, TreeNames] = {}
    for loss, name in ((field.portal, name_portal), (field.hepatic, name_hepatic)):
        if loss is not None:
            names[loss.tree.structure] = name(loss.tree, cells.points_lps_mm, cells.volume_ml, loss.node)
    if field.portal is None or field.hepatic is None:
        return names, None
    portal, hepatic = names[Structure.PORTAL_VEIN], names[Structure.HEPATIC_VEINS]
    return names, estimate_segments(cells.points_lps_mm, portal, hepatic, field.portal.node, field.hepatic.node)


def _what_stays(field: LossField, vessels: Mapping[int, tuple[VesselFinding, ...]]) -> Stay:
    """The vena cava, and vessels that belong to neither tree: nothing divides them."""
    rows = {}
    for row, lesion in enumerate(field.lesions):
        found = [v for v in vessels[lesion.id] if v.structure is Structure.VENA_CAVA]
        rows[row] = [(v.clearance, v.structure) for v in found if isinstance(v.clearance, Distance)]
    return Stay(rows)


def _fresh(evidence: Evidence, model: CutLossModel) -> Mapping[str, FreshMargin] | Unknown:
    """The fresh margin that the best resection leads to."""
    if evidence.best is None:
        return Unknown(NO_PLAN)
    margin = evidence.best.margin_mm
    if isinstance(margin, Unknown):
        return margin
    if evidence.unread:
        return Unknown(UNREAD)
    return predict(margin.quantity, evidence.limits.wide_margin_mm, model)


def _with_ids(segmentation: Segmentation, canonical_labels: LabelArray) -> Segmentation:
    """The segmentation with each lesion's id as its label; `canonical_labels` are stored in canonical order."""
    if Structure.LESIONS not in segmentation.masks:
        return segmentation
    if canonical_labels.dtype != np.uint8:
        canonical_labels = np.minimum(canonical_labels, 255).astype(np.uint8)
    labels = Reorientation.to_lps(segmentation.grid).undo(canonical_labels)
    return replace(segmentation, masks={**segmentation.masks, Structure.LESIONS: labels})


def _liver_ml(liver_ml: float, capsule: Surface, error: BoundaryError) -> Quantity:
    """The liver's volume; its interval moves the whole boundary by the reader's error."""
    half_ml = capsule.mesh.area_cm2 * error.liver_mm / 10.0
    return Quantity.around(liver_ml, min(half_ml, liver_ml))

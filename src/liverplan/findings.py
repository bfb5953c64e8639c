"""What is found for one lesion: where it lies, what is near, how far a margin can go, what the best plan gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from liverplan.anatomy import VESSELS, Structure
from liverplan.couinaud import SegmentEstimate
from liverplan.distance import BoundaryError, Wall, clearance, distance_between, nearest_points
from liverplan.lesions import Lesion, LesionMap
from liverplan.margin import LossField, UpperBound
from liverplan.quantity import Distance, Unknown
from liverplan.resection.choices import VesselChoice, vessel_choices
from liverplan.resection.workspace import Workspace
from liverplan.surface import Surface
from liverplan.verdict import NO_PLAN, Evidence, Verdict, lesion_verdict
from liverplan.vessels import VesselTree
from liverplan.volume import Grid, Segmentation

SEGMENT_SHARE = 0.05
"""A lesion is said to lie in a segment that holds at least this share of it; less is the maps' uncertainty."""


@dataclass(frozen=True)
class VesselFinding:
    """A lesion beside one vessel structure: clearance (or why there is none), contact, the vessel's diameter."""

    structure: Structure
    clearance: Distance | Unknown
    contact: bool | None
    diameter_mm: float | None


@dataclass(frozen=True)
class LesionFinding:
    """Everything measured for one lesion. nearest_lesion: distance and the other's id, None when it is alone."""

    lesion: Lesion
    segments: tuple[int, ...] | None
    """Couinaud segments that the lesion lies in, by decreasing share; None without a map of segments."""
    capsule: Distance
    nearest_lesion: tuple[Distance, int] | None
    vessels: tuple[VesselFinding, ...]
    upper: UpperBound | Unknown
    limiting_kind: str
    verdict: Verdict
    planned: Distance | Unknown
    """The lesion's margin in the best resection."""
    choices: tuple[VesselChoice, ...]
    """The vessels in its wide margin: what keeping or dividing each means."""


def walls_of(masks: Segmentation) -> dict[Structure, Wall]:
    """The walls of every vessel structure that is there."""
    return {s: Wall.of(masks.mask(s), masks.grid) for s in VESSELS if masks.has(s)}


def vessel_findings(
    lesion: Lesion, walls: Mapping[Structure, Wall], trees: Mapping[Structure, VesselTree], error: BoundaryError
) -> tuple[VesselFinding, ...]:
    """The lesion beside every vessel structure; the merged one only where the systems are not apart."""
    findings = []
    for structure in VESSELS:
        if structure in walls:
            distance = clearance(lesion.surface, walls[structure], error)
            contact = distance.value_mm <= distance.terms_mm["discretisation_mm"]
            findings.append(VesselFinding(structure, distance, contact, _diameter(trees.get(structure), distance)))
        elif structure is not Structure.LIVER_VESSELS:
            reason = Unknown(f"the {structure.title.lower()} {plural_verb(structure)} not segmented")
            findings.append(VesselFinding(structure, reason, None, None))
    return tuple(findings)


def _diameter(tree: VesselTree | None, distance: Distance) -> float | None:
    """Diameter in mm of the branch at the wall's witness point."""
    if tree is None:
        return None
    wall = np.array(distance.witness_lps_mm[1])
    to_wall = np.abs(np.linalg.norm(tree.points_lps_mm - wall, axis=1) - tree.radius_mm)
    return float(2.0 * tree.radius_mm[int(to_wall.argmin())])


def given_segments(masks: Segmentation, lesion_map: LesionMap) -> Mapping[int, tuple[int, ...]]:
    """Per lesion the given Couinaud segments that hold at least SEGMENT_SHARE of it; empty without a map."""
    if not masks.has(Structure.COUINAUD):
        return {}
    found = {}
    for lesion in lesion_map:
        labels = masks.masks[Structure.COUINAUD][lesion_map.labels == lesion.id]
        shares = np.bincount(labels, minlength=9)[1:9] / max(len(labels), 1)
        order = sorted(range(8), key=lambda n: -shares[n])
        found[lesion.id] = tuple(n + 1 for n in order if shares[n] >= SEGMENT_SHARE)
    return found


def estimated_segments(estimate: SegmentEstimate | None, field: LossField) -> Mapping[int, tuple[int, ...]]:
    """The same from the estimate; a lesion of which less than half can be told has none."""
    found = {}
    for lesion in field.lesions if estimate is not None else ():
        assert estimate is not None
        own = field.cells.lesion == lesion.id
        shares = np.bincount(estimate.labels[own], field.cells.volume_ml[own], minlength=9)[:9]
        shares = shares / max(shares.sum(), 1e-9)
        if shares[0] < 0.5:
            order = sorted(range(1, 9), key=lambda n: -shares[n])
            found[lesion.id] = tuple(n for n in order if shares[n] >= SEGMENT_SHARE)
    return found


def lesion_finding(
    row: int,
    evidence: Evidence,
    vessels: tuple[VesselFinding, ...],
    segments: tuple[int, ...] | None,
    capsule: Surface,
    work: Workspace,
) -> LesionFinding:
    """Everything about one lesion (row number of the loss field), from what its bounds and plans prove."""
    grid, error, lesions = work.grid, work.error, work.field.lesions
    lesion = lesions[row]
    verdict = lesion_verdict(evidence)
    bound = evidence.bound
    kind = bound.limit.kind if isinstance(bound, UpperBound) else "none"
    if isinstance(bound, Unknown) and bound.reason.startswith("the other lesions"):
        kind = "lesion"
    others = [other for other in lesions if other.id != lesion.id]
    nearest = min((_between(lesion, o, grid, error) for o in others), key=lambda d: d[0].value_mm, default=None)
    return LesionFinding(
        lesion,
        segments,
        _to_capsule(lesion, capsule, grid, error),
        nearest,
        vessels,
        bound,
        kind,
        verdict,
        evidence.best.margins[row].distance if evidence.best is not None else Unknown(NO_PLAN),
        vessel_choices(work, row, evidence.limits.wide_margin_mm),
    )


def _between(lesion: Lesion, other: Lesion, grid: Grid, error: BoundaryError) -> tuple[Distance, int]:
    value, start, end = nearest_points(lesion.surface, other.surface)
    return distance_between(value, start, end, grid, (error.lesion_mm, error.lesion_mm)), other.id


def _to_capsule(lesion: Lesion, capsule: Surface, grid: Grid, error: BoundaryError) -> Distance:
    """Depth of the lesion below the liver's surface; 0 where it reaches it. Never a margin, only anatomy."""
    depth = -capsule.signed_distance_mm(lesion.surface.vertices_lps_mm)
    at = int(depth.argmin())
    start = lesion.surface.vertices_lps_mm[at]
    end = capsule.nearest_vertex(start)
    found = distance_between(float(depth[at]), start, end, grid, (error.lesion_mm, error.liver_mm))
    value, low, high = (max(v, 0.0) for v in (found.value_mm, found.low_mm, found.high_mm))
    return Distance(value, low, high, found.witness_lps_mm, found.terms_mm)


def plural_verb(structure: Structure) -> str:
    """ "is" or "are", as the structure's title asks for."""
    return "are" if structure is Structure.HEPATIC_VEINS else "is"

"""Lesions put where they were asked for: a chosen clearance to a chosen wall, disjoint, inside the liver.

A place is found beside a vessel that matters (a thick branch); the thin branches in the way are then bent aside, as a
growing metastasis does, and the lesion is moved the last millimetre until the clearance is the wanted one to 1e-7 mm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from liverplan.anatomy import Structure
from liverplan.phantom.clearance import Gap, axis_clearance, gap_between, gap_to_surface, gap_to_tree
from liverplan.phantom.organs import turned
from liverplan.phantom.shapes import Blob, Ellipsoid, Sphere, sobol_points, tight_box
from liverplan.phantom.trees import Tree, murray_radii, settle_tree
from liverplan.phantom.vasculature import MURRAY_EXPONENT, TREE_CLEARANCE_MM, Vasculature
from liverplan.quantity import Point, as_point
from liverplan.volume import BoolArray, FloatArray

NEAR = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA, Structure.LIVER)
"""What a lesion's clearance can be asked for; LIVER means the liver's surface (a subcapsular lesion)."""
_APART_MM = 8.0
_MATTERS_MM = 2.0
"""Branches of at least this radius are named in a plan (4 mm vessels and up)."""
_FREE_MM = 3.0
"""Clearance that lesions keep from what nobody asked them to be near."""


@dataclass(frozen=True)
class LesionRequest:
    """A metastasis of `diameter_mm` (the longest) and, when `near` is given, `clearance_mm` to that wall.

    A clearance <= 0 is contact or overlap. ratios: other axes over the longest; (1, 1) is a sphere.
    branch_mm: least diameter of the portal or hepatic branch that `near` means; thinner ones make room.
    """

    diameter_mm: float
    near: Structure | None = None
    clearance_mm: float = 5.0
    ratios: tuple[float, float] = (1.0, 1.0)
    branch_mm: float = 4.0

    def __post_init__(self) -> None:
        if self.near is not None and self.near not in NEAR:
            raise ValueError(f"a clearance is to one of {[s.value for s in NEAR]}, got {self.near.value}")
        if not self.diameter_mm > 0 or not all(0 < r <= 1 for r in self.ratios):
            raise ValueError(f"a lesion has a positive diameter and axis ratios in (0, 1], got {self}")


def place_lesions(
    vessels: Vasculature, requests: tuple[LesionRequest, ...], rng: np.random.Generator
) -> tuple[Vasculature, tuple[Blob, ...]]:
    """The vessels bent around the lesions, and the lesions in the order of the requests.

    Raises ValueError when the liver has no room for a request.
    """
    blobs: list[Blob] = []
    rough: list[Blob] = []
    for request in requests:
        rough.append(_rough_place(vessels, request, rough, rng))
    vessels, rough = _bent_around(vessels, requests, rough)
    for number, (request, blob) in enumerate(zip(requests, rough, strict=True)):
        others = blobs + rough[number + 1 :]
        blobs.append(_exact_place(vessels, request, blob, others))
    return vessels, tuple(blobs)


def random_requests(count: int, rng: np.random.Generator) -> tuple[LesionRequest, ...]:
    """Sizes like the TCIA cohort's (longest diameter median 20.8 mm, IQR 13.5 to 25.1), mostly ellipsoids."""
    sizes = np.clip(np.exp(rng.normal(np.log(20.0), 0.45, count)), 8.0, 45.0)
    ratios = [(float(a), float(b)) for a, b in np.sort(rng.uniform(0.75, 1.0, (count, 2)), axis=1)[:, ::-1]]
    return tuple(LesionRequest(round(float(d), 1), ratios=r) for d, r in zip(sizes, ratios, strict=True))


def clearance(vessels: Vasculature, structure: Structure, blob: Blob) -> Gap:
    """The gap from a lesion to a structure's wall; LIVER is the liver's surface from inside."""
    if structure is Structure.LIVER:
        return gap_to_surface(blob, vessels.liver)
    return gap_to_tree(blob, tree_of(vessels, structure))


def tree_of(vessels: Vasculature, structure: Structure) -> Tree:
    return {
        Structure.PORTAL_VEIN: vessels.portal,
        Structure.HEPATIC_VEINS: vessels.hepatic,
        Structure.VENA_CAVA: vessels.vena_cava,
    }[structure]


def moved(blob: Blob, to_mm: FloatArray) -> Blob:
    """The same lesion with another centre."""
    if not isinstance(blob, Sphere | Ellipsoid):
        raise TypeError(f"only spheres and ellipsoids are moved, got {type(blob).__name__}")
    return replace(blob, centre_mm=as_point(to_mm))


def _rough_place(vessels: Vasculature, request: LesionRequest, others: list[Blob], rng: np.random.Generator) -> Blob:
    """A place with room, at about the wanted distance from a wall that matters."""
    low, high = tight_box(vessels.liver)
    places = sobol_points(low, high, 15, int(rng.integers(2**31)))
    depth = -vessels.liver.signed_mm(places)
    radius = request.diameter_mm / 2
    capsule_mm = request.clearance_mm if request.near is Structure.LIVER else _FREE_MM
    places, depth = places[depth > 0.5 * radius], depth[depth > 0.5 * radius]
    cost = 4.0 * np.maximum(radius + capsule_mm - depth, 0.0)
    for structure in (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA):
        tree = tree_of(vessels, structure)
        matters = tree.kept(tree.radius_mm >= (request.branch_mm / 2 if structure is request.near else _MATTERS_MM))
        gap = matters.distance_mm(places) - radius
        wanted = request.clearance_mm if structure is request.near else 6.0
        cost += np.abs(gap - wanted) if structure is request.near else 2.0 * np.maximum(wanted - gap, 0.0)
    if request.near is Structure.LIVER:
        cost += np.abs(depth - radius - request.clearance_mm)
    elif request.near is None:
        cost += rng.uniform(0.0, 3.0, len(cost))
    for other in others:
        cost += 10.0 * np.maximum(_APART_MM + 2 * radius - other.distance_mm(places) - radius, 0.0)
    if len(cost) == 0 or cost.min() > 0.6 * radius + 6.0:
        raise ValueError(f"the liver has no room for a lesion of {request.diameter_mm} mm; use fewer or smaller ones")
    best = np.argsort(cost, kind="stable")[:12]
    return _blob(request, as_point(places[rng.choice(best)]), rng)


def _blob(request: LesionRequest, centre: Point, rng: np.random.Generator) -> Blob:
    radius = request.diameter_mm / 2
    if request.ratios == (1.0, 1.0):
        return Sphere(centre, radius)
    a, b, c = (float(v) for v in rng.uniform(-180, 180, 3))
    return Ellipsoid(centre, (radius, radius * request.ratios[0], radius * request.ratios[1]), turned((a, b, c)))


def _bent_around(
    vessels: Vasculature, requests: tuple[LesionRequest, ...], blobs: list[Blob]
) -> tuple[Vasculature, list[Blob]]:
    """Both trees moved out of the lesions, then each lesion to its clearance from a branch that matters."""

    def around(structure: Structure, also: Tree | None) -> Callable[[FloatArray], FloatArray]:
        def signed(points: FloatArray) -> FloatArray:
            walls = [
                blob.signed_mm(points) - _room(request, structure)
                for request, blob in zip(requests, blobs, strict=True)
            ]
            if also is not None:
                walls.append(also.distance_mm(points) - TREE_CLEARANCE_MM)
            return np.asarray(np.min(walls, axis=0))

        return signed

    if not requests:
        return vessels, blobs
    inside = vessels.liver.signed_mm
    portal = settle_tree(vessels.portal, inside, around(Structure.PORTAL_VEIN, vessels.hepatic), MURRAY_EXPONENT)
    hepatic = settle_tree(vessels.hepatic, inside, around(Structure.HEPATIC_VEINS, portal), MURRAY_EXPONENT)
    trees = {Structure.PORTAL_VEIN: portal, Structure.HEPATIC_VEINS: hepatic}
    beside = []
    for request, blob in zip(requests, blobs, strict=True):
        if request.near in trees:
            tree = trees[request.near]
            thick = tree.radius_mm >= request.branch_mm / 2
            blob = _at_clearance(partial(gap_to_tree, tree=tree.kept(thick)), request, blob)
            trees[request.near] = _without_twigs(tree, thick, blob, request.clearance_mm + 1.0)
        beside.append(blob)
    return replace(vessels, portal=trees[Structure.PORTAL_VEIN], hepatic=trees[Structure.HEPATIC_VEINS]), beside


def _without_twigs(tree: Tree, thick: BoolArray, blob: Blob, reach_mm: float) -> Tree:
    """The tree without thin branches near a lesion, so that its clearance is to a branch that matters."""
    gap = axis_clearance(blob, tree)[0] - tree.radius_mm
    kept = tree.kept(thick | (gap > max(reach_mm, 1.0)))
    flow = kept.radius_mm**MURRAY_EXPONENT  # a thick branch that lost its twigs stays thick up to its blunt end
    return replace(kept, radius_mm=murray_radii(kept.parent, float(tree.radius_mm.max()), MURRAY_EXPONENT, flow))


def _room(request: LesionRequest, structure: Structure) -> float:
    """How far a tree stays from a lesion before the lesion's last move."""
    if structure is request.near:
        return max(request.clearance_mm + 1.0, _FREE_MM)
    return _FREE_MM + 1.5


def _exact_place(vessels: Vasculature, request: LesionRequest, blob: Blob, others: list[Blob]) -> Blob:
    """The lesion moved along its witness line to the wanted clearance; then everything is checked."""
    if request.near is not None:
        near = request.near
        blob = _at_clearance(lambda b: clearance(vessels, near, b), request, blob)
    for structure in NEAR:
        least = 1.0 if structure is not request.near else min(request.clearance_mm, 0.0) - 1e-6
        if structure is Structure.LIVER and _well_inside(vessels, blob, least):
            continue
        found = clearance(vessels, structure, blob).value_mm
        if found < least:
            raise ValueError(
                f"no place for a lesion of {request.diameter_mm} mm: {structure.value} would be {found:.1f} mm away"
            )
    for other in others:
        gap_between(blob, other)
    return blob


def _well_inside(vessels: Vasculature, blob: Blob, least_mm: float) -> bool:
    """True when a ball around the lesion is certainly `least_mm` inside the liver: the cheap answer for most."""
    low, high = blob.box_mm()
    depth = -float(vessels.liver.signed_mm(np.array([blob.centre_mm]))[0])
    return depth >= float((high - low).max()) / 2 * 1.75 + least_mm


def _at_clearance(measure: Callable[[Blob], Gap], request: LesionRequest, blob: Blob) -> Blob:
    """Newton steps along the witness line: moving by a millimetre along it changes the clearance by one."""
    for _ in range(60):
        gap = measure(blob)
        excess = gap.value_mm - request.clearance_mm
        if abs(excess) < 1e-7:
            return blob
        lesion, wall = (np.array(w) for w in gap.witness_lps_mm)
        way = (wall - lesion) * np.sign(gap.value_mm) if abs(gap.value_mm) > 1e-6 else lesion - np.array(blob.centre_mm)
        blob = moved(blob, np.array(blob.centre_mm) + excess * way / np.linalg.norm(way))
    raise ValueError(f"no place for a lesion of {request.diameter_mm} mm with a clearance of {request.clearance_mm} mm")

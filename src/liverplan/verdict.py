"""What bounds and plans prove about the wide margin, and the measures that the protocol's criteria read.

An upper bound can refute and never prove: "infeasible" needs its upper end below the protocol's margin. A measured
resection can prove and never refute: "feasible" needs one whose low ends meet the protocol's margin and remnant.
Everything else is undetermined, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from liverplan.anatomy import Structure
from liverplan.margin import CurvePoint, UpperBound
from liverplan.protocol import Limits, Reading
from liverplan.quality import Quality
from liverplan.quantity import Measured, Quantity, Unknown
from liverplan.resection.measure import MeasuredResection

NO_PLAN = "no resection plan has been measured"
UNREAD = "the masks were made by a model and no reader has confirmed them"
TOO_THICK = "the slices are too thick for a statement about millimetres"


@dataclass(frozen=True)
class Verdict:
    """wide_margin: "feasible" | "infeasible" | "undetermined", with one sentence that says why."""

    wide_margin: str
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What a verdict may rest on. bound: with both trees where they exist; geometric: by volume alone.

    unread: the masks were made by a model and nobody has confirmed them. resections: measured plans, the best first.
    """

    limits: Limits
    bound: UpperBound | Unknown
    geometric: UpperBound | Unknown
    quality: Quality
    unread: bool
    resections: tuple[MeasuredResection, ...] = ()

    @property
    def best(self) -> MeasuredResection | None:
        return self.resections[0] if self.resections else None

    @property
    def proof(self) -> MeasuredResection | None:
        """The best resection that meets the protocol with the low ends of its intervals."""
        return next((r for r in self.resections if r.meets == "met"), None)


def case_verdict(evidence: Evidence) -> Verdict:
    """The case's verdict on the protocol's wide margin."""
    return _verdict(evidence, "every resection of all lesions")


def lesion_verdict(evidence: Evidence) -> Verdict:
    """The same for one lesion with the others held at the protocol's margin."""
    return _verdict(evidence, "every resection of this lesion, the others at the protocol's margin")


def affected_by_vessels(evidence: Evidence) -> bool | None:
    """True when a vessel makes the wide margin impossible, None when that is open, False when it is possible.

    Possible: a measured resection meets the protocol, so that no vessel that stays comes nearer than its margin.
    """
    bound = evidence.bound
    if isinstance(bound, Unknown) or evidence.unread or not evidence.quality.thin_enough:
        return None
    if bound.margin_mm.high < evidence.limits.wide_margin_mm and bound.limit.kind == "vessel":
        return True
    return False if _verdict(evidence, "").wide_margin == "feasible" else None


def measures_of(
    evidence: Evidence, n_lesions: int, modality: str, at_wide_margin: CurvePoint | Unknown, contacts: int
) -> dict[str, Reading]:
    """The protocol vocabulary's measures of a case, each with the sentence that the evidence quotes."""
    limited = affected_by_vessels(evidence)
    return {
        "lesions.count": _count(evidence, n_lesions, modality),
        "margin.upper": _upper(evidence),
        "margin.planned": _planned_margin(evidence),
        "margin.vessel_limited": _vessel_limited(evidence, limited),
        "flr.functional_at_wide_margin": _flr(evidence, at_wide_margin, functional=True),
        "flr.geometric_at_wide_margin": _flr(evidence, at_wide_margin, functional=False),
        "flr.planned": _planned_flr(evidence),
        "reconstruction.available": _reconstruction(evidence),
        "vessels.contacts": Reading(_unless_unread(evidence, Quantity.exactly(float(contacts)))),
    }


def open_where_unsafe(
    resections: tuple[MeasuredResection, ...], unread: bool, quality: Quality
) -> tuple[MeasuredResection, ...]:
    """Resections whose verdict is undetermined where nothing can be proven: masks that nobody read, thick slices."""
    why = UNREAD if unread else TOO_THICK if not quality.thin_enough else None
    if why is None:
        return resections
    return tuple(replace(r, meets="undetermined", reason=f"{why}; {r.reason}") for r in resections)


def describe_limit(bound: UpperBound) -> str:
    """What limits a bound, in words."""
    structure = bound.limit.structure
    if bound.limit.kind == "vessel" and structure is not None:
        name = structure.title.lower()
        return f"the {name}" if structure is Structure.VENA_CAVA else f"dividing the {name} there"
    return "the volume that has to remain"


def _verdict(evidence: Evidence, what: str) -> Verdict:
    wide = evidence.limits.wide_margin_mm
    if evidence.unread:
        return Verdict("undetermined", UNREAD)
    if not evidence.quality.thin_enough:
        return Verdict("undetermined", TOO_THICK)
    bound = evidence.bound if isinstance(evidence.bound, UpperBound) else evidence.geometric
    if isinstance(bound, Unknown):
        return Verdict("undetermined", bound.reason)
    margin = bound.margin_mm
    found = f"{margin.value:.1f} mm [{margin.low:.1f} to {margin.high:.1f}], limited by {describe_limit(bound)}"
    if margin.high < wide:
        return Verdict("infeasible", f"{what} has a margin of at most {found}; the protocol asks for {wide:g} mm")
    if isinstance(evidence.bound, Unknown):
        return Verdict("undetermined", evidence.bound.reason)
    if evidence.proof is not None:
        return Verdict("feasible", f"the resection '{evidence.proof.name}' shows it: {evidence.proof.reason}")
    if margin.low < wide:
        return Verdict("undetermined", f"the upper bound of {found} includes the protocol's {wide:g} mm")
    shown = NO_PLAN if evidence.best is None else f"no measured resection shows it ({_nearest_plan(evidence.best)})"
    return Verdict("undetermined", f"a margin of up to {found} is not excluded, but {shown}")


def _nearest_plan(best: MeasuredResection) -> str:
    return f"the best, '{best.name}', has {best.reason}"


def _planned_margin(evidence: Evidence) -> Reading:
    best = evidence.best
    if best is None:
        return Reading(Unknown(NO_PLAN))
    if isinstance(best.margin_mm, Unknown):
        return Reading(best.margin_mm)
    value = _unless_unread(evidence, best.margin_mm.quantity)
    if isinstance(value, Quantity) and not evidence.quality.thin_enough:
        value = Unknown(TOO_THICK)
    return Reading(value, _of_plan(best) if isinstance(value, Quantity) else "")


def _planned_flr(evidence: Evidence) -> Reading:
    best = evidence.best
    if best is None:
        return Reading(Unknown(NO_PLAN))
    if isinstance(best.flr_percent, Unknown):
        return Reading(best.flr_percent)
    value = _unless_unread(evidence, best.flr_percent)
    return Reading(value, _of_plan(best) if isinstance(value, Quantity) else "")


def _of_plan(best: MeasuredResection) -> str:
    return f"of the resection '{best.name}'"


def _vessel_limited(evidence: Evidence, limited: bool | None) -> Reading:
    if limited is True:
        return Reading(True)
    if limited is False and evidence.proof is not None:
        return Reading(False, f"the resection '{evidence.proof.name}' keeps the margin to every vessel that stays")
    return Reading(Unknown(_why_vessels_open(evidence)))


def _count(evidence: Evidence, n_lesions: int, modality: str) -> Reading:
    if evidence.unread:
        return Reading(Unknown(f"a model found {n_lesions}; a reader must confirm the number"))
    note = f"counted on this {modality} alone: metastases below 10 mm may be missed"
    if modality == "CT":
        note += ", MRI not seen"
    return Reading(Quantity.exactly(float(n_lesions)), note)


def _upper(evidence: Evidence) -> Reading:
    value: Measured
    bound = evidence.bound
    if isinstance(bound, Unknown):
        value, note = bound, ""
    else:
        value, note = _unless_unread(evidence, bound.margin_mm), f"limited by {describe_limit(bound)}"
    if isinstance(value, Quantity) and not evidence.quality.thin_enough:
        value = Unknown(TOO_THICK)
    return Reading(value, note if isinstance(value, Quantity) else "")


def _flr(evidence: Evidence, point: CurvePoint | Unknown, functional: bool) -> Reading:
    if isinstance(point, Unknown):
        return Reading(point)
    if not functional:
        found = Quantity(point.geometric_flr_percent, point.geometric_flr_low_percent, point.geometric_flr_high_percent)
        return Reading(_unless_unread(evidence, found))
    value, low, high = point.flr_percent, point.flr_low_percent, point.flr_high_percent
    if value is None or low is None or high is None:
        return Reading(Unknown("inflow and outflow are not both known: a vessel system is not segmented"))
    return Reading(_unless_unread(evidence, Quantity(value, low, high)))


def _reconstruction(evidence: Evidence) -> Reading:
    if isinstance(evidence.bound, Unknown):
        return Reading(Unknown(evidence.bound.reason))
    if evidence.unread:
        return Reading(Unknown("reconstructed by a model; a reader must confirm it"))
    if evidence.quality.enhanced is None:
        return Reading(Unknown("the contrast of the vessels could not be measured on this image"))
    if not evidence.quality.enhanced:
        return Reading(Unknown("the vessels do not stand out from the liver: the phase or the masks are in doubt"))
    return Reading(True, "liver, lesions, portal and hepatic veins reconstructed in 3D")


def _unless_unread(evidence: Evidence, value: Quantity) -> Measured:
    if evidence.unread:
        return Unknown("measured on masks that a model made and no reader has confirmed")
    return value


def _why_vessels_open(evidence: Evidence) -> str:
    if isinstance(evidence.bound, Unknown):
        return evidence.bound.reason
    return _verdict(evidence, "every resection").reason

"""What errors of the masks do to the numbers that a surgeon reads: both sides are planned, and the plans compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from liverplan.anatomy import VESSELS
from liverplan.evaluation.detection import Detection
from liverplan.findings import LesionFinding
from liverplan.margin import UpperBound, margin_curve
from liverplan.plan import Plan, plan
from liverplan.protocol import Protocol
from liverplan.quantity import Distance, Measured, Quantity, Unknown
from liverplan.volume import Segmentation, Volume

NEAREST_VESSEL = "nearest_vessel"
"""The least of a lesion's clearances: what bounds a margin, whatever the vessel is called."""


@dataclass(frozen=True)
class Error:
    """One number of the plan, from the reference's masks and from the predicted ones, in one unit.

    value: predicted minus reference. inside: whether the reference's value lies in the predicted interval.
    """

    reference: Measured
    predicted: Measured

    @property
    def value(self) -> float | Unknown:
        for side in (self.reference, self.predicted):
            if isinstance(side, Unknown):
                return side
        assert isinstance(self.reference, Quantity)
        assert isinstance(self.predicted, Quantity)
        return self.predicted.value - self.reference.value

    @property
    def inside(self) -> bool | None:
        if isinstance(self.reference, Unknown) or isinstance(self.predicted, Unknown):
            return None
        return self.predicted.low <= self.reference.value <= self.predicted.high


@dataclass(frozen=True)
class ClearanceError:
    """A reference lesion beside one vessel structure (or NEAREST_VESSEL), mm."""

    lesion: int
    structure: str
    error: Error


@dataclass(frozen=True)
class PlanErrors:
    """The errors of a case. measures: `functional_flr_percent` and `geometric_flr_percent` at the protocol's margin,
    and `upper_margin_mm`. Remnants of proposed resections are not compared: each side proposes other ones."""

    margin_mm: float
    clearances: tuple[ClearanceError, ...]
    measures: Mapping[str, Error]


def plan_errors(
    volume: Volume, guess: Segmentation, truth: Segmentation, detection: Detection, protocol: Protocol
) -> PlanErrors:
    """Plan both sides on the same image. The prediction is planned as a model's masks, with a model's intervals.

    Raises SegmentationRefused when one side cannot be planned.
    """
    right = plan(volume, truth, protocol)
    made = plan(volume, replace(guess, origin="model"), protocol)
    wide_mm = protocol.limits.wide_margin_mm
    theirs, ours = case_measures(right, wide_mm), case_measures(made, wide_mm)
    measures = {name: Error(theirs[name], ours[name]) for name in theirs}
    return PlanErrors(wide_mm, _clearances(right, made, detection), measures)


def case_measures(planned: Plan, wide_mm: float) -> dict[str, Measured]:
    """The numbers of a plan that are compared, by name; see PlanErrors."""
    bound = planned.upper.margin_mm if isinstance(planned.upper, UpperBound) else planned.upper
    measures: dict[str, Measured] = {"upper_margin_mm": bound}
    if planned.remnant_known is not None:
        return {
            "functional_flr_percent": planned.remnant_known,
            "geometric_flr_percent": planned.remnant_known,
        } | measures
    at = margin_curve(planned.field, [wide_mm])[0]
    functional: Measured = Unknown("; ".join(planned.missing_trees.values()) or "a vessel tree is missing")
    if at.flr_percent is not None and at.flr_low_percent is not None and at.flr_high_percent is not None:
        functional = Quantity(at.flr_percent, at.flr_low_percent, at.flr_high_percent)
    geometric = Quantity(at.geometric_flr_percent, at.geometric_flr_low_percent, at.geometric_flr_high_percent)
    return {"functional_flr_percent": functional, "geometric_flr_percent": geometric} | measures


def _clearances(right: Plan, made: Plan, detection: Detection) -> tuple[ClearanceError, ...]:
    theirs = {finding.lesion.id: _by_structure(finding) for finding in right.findings}
    ours = {finding.lesion.id: _by_structure(finding) for finding in made.findings}
    errors = []
    for outcome in detection.lesions:
        missed = Unknown("the lesion was not found" if not outcome.found else "drawn as part of another lesion")
        predicted = ours.get(outcome.partner) if outcome.partner is not None else None
        for name, reference in theirs.get(outcome.id, {}).items():
            known = missed if predicted is None else predicted.get(name, Unknown("the vessel was not drawn"))
            errors.append(ClearanceError(outcome.id, name, Error(reference, known)))
    return tuple(errors)


def _by_structure(finding: LesionFinding) -> dict[str, Measured]:
    """Clearances that are known, by structure, and the least of them."""
    found: dict[str, Measured] = {
        v.structure.value: v.clearance.quantity for v in finding.vessels if isinstance(v.clearance, Distance)
    }
    known = [q for q in found.values() if isinstance(q, Quantity)]
    if known:
        found[NEAREST_VESSEL] = min(known, key=lambda q: q.value)
    return found


STRUCTURES = (*(s.value for s in VESSELS), NEAREST_VESSEL)
"""What clearances are compared to, in the order of tables."""

"""One case evaluated, and many of them summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import LiverplanError
from liverplan.evaluation import intervals
from liverplan.evaluation.agreement import EXPECTED_DICE, StructureScore, compare
from liverplan.evaluation.detection import SIZE_BINS_MM, Detection, detect, panoptic_quality
from liverplan.evaluation.intervals import Estimate, estimate
from liverplan.evaluation.planning import STRUCTURES, Error, PlanErrors, plan_errors
from liverplan.lesions import find_lesions
from liverplan.protocol import Protocol
from liverplan.quantity import Unknown
from liverplan.volume import FloatArray, Segmentation, Volume

NO_CONFIDENCE = Unknown("the masks state no confidence")
"""Masks that were given, and those of models of others, do not say how sure they are."""


@dataclass(frozen=True)
class CaseResult:
    """Everything about one case, which is one patient. lesions: Unknown where the reference says nothing on lesions."""

    id: str
    structures: tuple[StructureScore, ...]
    lesions: Detection | Unknown
    plans: PlanErrors | Unknown


@dataclass(frozen=True)
class Failure:
    """A case that could not be evaluated, and why. It is in no figure."""

    id: str
    reason: str


@dataclass(frozen=True)
class ErrorSummary:
    """Errors of one number (predicted minus reference). inside: share whose reference lies in the predicted interval.
    unknown: how many have no error, by reason."""

    bias: Estimate
    mean_absolute: Estimate
    median_absolute: Estimate
    absolute_p95: Estimate
    inside: Estimate
    unknown: Mapping[str, int]


@dataclass(frozen=True)
class LesionSummary:
    """Sensitivity and false positives per patient, over all sizes and by size (as SIZE_BINS_MM); panoptic quality."""

    sensitivity: Estimate
    false_positives: Estimate
    sensitivity_by_size: tuple[Estimate, ...]
    false_positives_by_size: tuple[Estimate, ...]
    panoptic_quality: Estimate


@dataclass(frozen=True)
class Summary:
    """The figures over all cases. structures: by structure and score. reliability: by structure, how far the overlap
    that the masks expected of themselves lies from what it was, in the mean."""

    structures: Mapping[str, Mapping[str, Estimate]]
    lesions: LesionSummary
    clearances: Mapping[str, ErrorSummary]
    measures: Mapping[str, ErrorSummary]
    reliability: Mapping[str, Estimate | Unknown]


def evaluate_case(
    case_id: str, volume: Volume, guess: Segmentation, truth: Segmentation, protocol: Protocol | None
) -> CaseResult:
    """Score `guess` against `truth`; with a protocol both are planned as well. Raises GeometryMismatch."""
    structures = compare(guess, truth)
    lesions: Detection | Unknown = Unknown("the reference has no lesion mask")
    plans: PlanErrors | Unknown = Unknown("plans were not asked for")
    if Structure.LESIONS in truth.masks:
        found = guess.masks.get(Structure.LESIONS, np.zeros(guess.grid.shape, dtype=np.uint8))
        lesions = detect(find_lesions(found, guess.grid), find_lesions(truth.masks[Structure.LESIONS], truth.grid))
    if protocol is not None:
        none = Detection((), (), 0)
        detection = none if isinstance(lesions, Unknown) else lesions
        try:
            plans = plan_errors(volume, guess, truth, detection, protocol)
        except LiverplanError as refused:
            plans = Unknown(f"{refused.what} ({refused.got})")
    return CaseResult(case_id, structures, lesions, plans)


def without_image(truth: Segmentation) -> Volume:
    """A stand-in for the scan, where only masks are given: clearances and remnants are measured on masks alone; what
    plans say on the quality of the scan is not used here."""
    return Volume(truth.grid, np.broadcast_to(np.int16(0), truth.grid.shape), "unknown")


def summarise(cases: Sequence[CaseResult]) -> Summary:
    """The figures over all cases with their intervals."""
    structures = _structure_figures(cases)
    return Summary(
        structures,
        _lesion_figures([c.lesions for c in cases if isinstance(c.lesions, Detection)]),
        {name: s for name in STRUCTURES if (s := _errors(cases, _clearance_of(name), True)) is not None},
        {name: s for name in _measure_names(cases) if (s := _errors(cases, _measure_of(name), False)) is not None},
        {name: _reliability(cases, name) for name in structures},
    )


def expected_and_true(cases: Sequence[CaseResult], name: str) -> FloatArray:
    """(n, 2): the Dice that a structure's mask expected and what it was, of the cases where both are known."""
    scores = [s.values for c in cases for s in c.structures if s.structure == name]
    pairs = [(v.get(EXPECTED_DICE), v["dice"]) for v in scores]
    known = [(e, d) for e, d in pairs if isinstance(e, float) and isinstance(d, float)]
    return np.array(known, dtype=float).reshape(-1, 2)


def _reliability(cases: Sequence[CaseResult], name: str) -> Estimate | Unknown:
    groups = [expected_and_true([case], name) for case in cases]
    if not any(len(group) for group in groups):
        return NO_CONFIDENCE
    return estimate([group[:, :1] - group[:, 1:] for group in groups], intervals.mean_absolute)


def _structure_figures(cases: Sequence[CaseResult]) -> dict[str, dict[str, Estimate]]:
    figures: dict[str, dict[str, Estimate]] = {}
    names = dict.fromkeys(s.structure for c in cases for s in c.structures)
    for name in names:
        scores = [s for c in cases for s in c.structures if s.structure == name]
        values = dict.fromkeys(v for s in scores for v in s.values)
        figures[name] = {v: estimate([_known([s.values.get(v)]) for s in scores], intervals.mean) for v in values}
    return figures


def _lesion_figures(cases: Sequence[Detection]) -> LesionSummary:
    def found(size: int | None) -> Estimate:
        groups = [[float(o.found) for o in c.lesions if size in (None, o.bin)] for c in cases]
        return estimate([_known(g) for g in groups], intervals.mean, per_lesion=True)

    def false(size: int | None) -> Estimate:
        counts = [float(sum(size in (None, o.bin) for o in c.false_positives)) for c in cases]
        return estimate([_known([n]) for n in counts], intervals.mean)

    sizes = range(len(SIZE_BINS_MM))
    return LesionSummary(
        found(None),
        false(None),
        tuple(found(n) for n in sizes),
        tuple(false(n) for n in sizes),
        estimate([c.panoptic_rows for c in cases], panoptic_quality, per_lesion=True),
    )


def _errors(
    cases: Sequence[CaseResult], of: Callable[[PlanErrors], Iterable[Error]], per_lesion: bool
) -> ErrorSummary | None:
    """None when no reference states the number at all."""
    groups = [list(of(c.plans)) for c in cases if isinstance(c.plans, PlanErrors)]
    if not any(groups):
        return None
    errors = [_known([e.value for e in group]) for group in groups]
    inside = [_known([float(e.inside) for e in group if e.inside is not None]) for group in groups]
    unknown: dict[str, int] = {}
    for value in (e.value for group in groups for e in group):
        if isinstance(value, Unknown):
            unknown[value.reason] = unknown.get(value.reason, 0) + 1
    return ErrorSummary(
        estimate(errors, intervals.mean, per_lesion),
        estimate(errors, intervals.mean_absolute, per_lesion),
        estimate(errors, intervals.median_absolute, per_lesion),
        estimate(errors, intervals.absolute_p95, per_lesion),
        estimate(inside, intervals.mean, per_lesion),
        unknown,
    )


def _clearance_of(structure: str) -> Callable[[PlanErrors], Iterable[Error]]:
    return lambda plans: [c.error for c in plans.clearances if c.structure == structure]


def _measure_of(name: str) -> Callable[[PlanErrors], Iterable[Error]]:
    return lambda plans: [plans.measures[name]] if name in plans.measures else []


def _measure_names(cases: Sequence[CaseResult]) -> list[str]:
    return list(dict.fromkeys(name for c in cases if isinstance(c.plans, PlanErrors) for name in c.plans.measures))


def _known(values: Iterable[float | Unknown | None]) -> FloatArray:
    """One row for each value that is known."""
    known = [v for v in values if v is not None and not isinstance(v, Unknown)]
    return np.array(known, dtype=float).reshape(-1, 1)

"""An evaluation as lines for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from liverplan.evaluation.detection import SIZE_BINS_MM, Detection
from liverplan.evaluation.intervals import Estimate
from liverplan.evaluation.run import CaseResult, ErrorSummary, Failure, LesionSummary, Summary
from liverplan.quantity import Unknown

_SCORES = (
    ("dice", "Dice", 3),
    ("surface_dice_1mm", "NSD 1 mm", 3),
    ("surface_dice_2mm", "NSD 2 mm", 3),
    ("surface_dice_3mm", "NSD 3 mm", 3),
    ("hd95_mm", "HD95 mm", 1),
    ("cldice", "clDice", 3),
    ("volume_error_percent", "volume %", 1),
)
_SHORT = [row for row in _SCORES if row[0] not in ("surface_dice_1mm", "surface_dice_3mm")]
"""What the summary shows on one line; the files have all."""
_UNITS = {"upper_margin_mm": "mm"}
_TITLES = {
    "functional_flr_percent": "functional FLR at the margin",
    "geometric_flr_percent": "geometric FLR at the margin",
    "upper_margin_mm": "upper bound of the margin",
}


def case_table(case: CaseResult) -> str:
    """The scores of one case."""
    lines = [case.id, f"  {'structure':<19}" + "".join(f"{title:>10}" for _, title, _ in _SCORES)]
    for score in case.structures:
        cells = "".join(f"{_number(score.values.get(name), digits):>10}" for name, _, digits in _SCORES)
        lines.append(f"  {score.structure:<19}{cells}{'' if score.drawn else '  (not drawn)'}")
    if isinstance(case.lesions, Detection):
        found, false = sum(o.found for o in case.lesions.lesions), len(case.lesions.false_positives)
        lines.append(f"  lesions: {found} of {len(case.lesions.lesions)} detected, {false} false")
    if isinstance(case.plans, Unknown):
        lines.append(f"  plans: {case.plans.reason}")
    return "\n".join(lines)


def summary_table(summary: Summary, n_cases: int, failures: Sequence[Failure]) -> str:
    """The figures over all cases with their 95 % intervals."""
    lines = [f"{n_cases} case{'' if n_cases == 1 else 's'}; 95 % intervals by bootstrap in brackets"]
    lines += [f"  not evaluated: {failure.id}: {failure.reason}" for failure in failures]
    for name, scores in summary.structures.items():
        shown = [f"{title} {_estimate(scores[key], digits)}" for key, title, digits in _SHORT if key in scores]
        lines.append(f"  {name:<19}" + ", ".join(shown))
    lines += _lesion_lines(summary.lesions)
    lines += ["  error (predicted - reference)"] if summary.clearances or summary.measures else []
    lines += [_error_line(f"clearance to {n.replace('_', ' ')}", e, "mm") for n, e in summary.clearances.items()]
    lines += [_error_line(_TITLES.get(n, n), e, _UNITS.get(n, "points")) for n, e in summary.measures.items()]
    return "\n".join(lines)


def size_title(index: int) -> str:
    """ "below 10 mm", "10 to 20 mm", "20 mm and more"."""
    low, high = SIZE_BINS_MM[index]
    if low == 0:
        return f"below {high:g} mm"
    return f"{low:g} mm and more" if high == float("inf") else f"{low:g} to {high:g} mm"


def _lesion_lines(lesions: LesionSummary) -> list[str]:
    if lesions.false_positives.n == 0:
        return []
    lines = [
        f"  lesions: sensitivity {_estimate(lesions.sensitivity, 2)} of {lesions.sensitivity.n}, "
        f"{_estimate(lesions.false_positives, 2)} false per patient, "
        f"panoptic quality {_estimate(lesions.panoptic_quality, 2)}"
    ]
    for n, (found, false) in enumerate(zip(lesions.sensitivity_by_size, lesions.false_positives_by_size, strict=True)):
        lines.append(
            f"    {size_title(n):<16} sensitivity {_estimate(found, 2)} of {found.n}, "
            f"{_estimate(false, 2)} false per patient"
        )
    return lines


def _error_line(title: str, errors: ErrorSummary, unit: str) -> str:
    left_out = sum(errors.unknown.values())
    tail = f"; {left_out} without an error ({', '.join(errors.unknown)})" if left_out else ""
    return (
        f"    {title}: mean {_estimate(errors.bias, 1)}, mean absolute {_estimate(errors.mean_absolute, 1)}, "
        f"95th percentile {_estimate(errors.absolute_p95, 1)} {unit}; reference inside the predicted interval "
        f"{_estimate(errors.inside, 2)} of {errors.inside.n}{tail}"
    )


def _estimate(estimate: Estimate, digits: int) -> str:
    if isinstance(estimate.value, Unknown):
        return "-"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _number(value: float | Unknown | None, digits: int) -> str:
    return "-" if value is None or isinstance(value, Unknown) else f"{value:.{digits}f}"

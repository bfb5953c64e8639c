"""Plots of an evaluation, each as PNG and SVG: agreement of structures, lesions by size, clearances and remnants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liverplan.anatomy import Structure
from liverplan.evaluation.detection import SIZE_BINS_MM
from liverplan.evaluation.intervals import Estimate
from liverplan.evaluation.planning import NEAREST_VESSEL, Error, PlanErrors
from liverplan.evaluation.run import CaseResult, Summary, expected_and_true
from liverplan.evaluation.text import size_title
from liverplan.quantity import Quantity, Unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SCORES = (("dice", "Dice"), ("surface_dice_1mm", "1 mm"), ("surface_dice_2mm", "2 mm"), ("surface_dice_3mm", "3 mm"))
_INK, _SOFT, _LINE = "#1f3a5f", "#8fa9c8", "#b0442f"
_PIXELS_PER_INCH = 130


def draw_plots(folder: Path, cases: Sequence[CaseResult], summary: Summary) -> list[Path]:
    """structures, lesions, plans and reliability as .png and .svg; a plot without anything to show is left out."""
    stated = [name for name, value in summary.reliability.items() if not isinstance(value, Unknown)]
    drawn = {
        "structures": structure_plot(cases, summary) if summary.structures else None,
        "lesions": lesion_plot(summary) if summary.lesions.false_positives.n else None,
        "plans": plan_plot(cases, summary) if summary.clearances or summary.measures else None,
        "reliability": reliability_plot(cases, stated) if stated else None,
    }
    paths = []
    for name, figure in drawn.items():
        for suffix in ("png", "svg") if figure is not None else ():
            assert figure is not None
            path = folder / f"{name}.{suffix}"
            # Without a date the same cases give the same file.
            figure.savefig(path, dpi=_PIXELS_PER_INCH, metadata={"Date": None} if suffix == "svg" else None)
            paths.append(path)
    return paths


def structure_plot(cases: Sequence[CaseResult], summary: Summary) -> Figure:
    """Dice and surface Dice of every structure: a dot for each case, the mean with its interval."""
    names = list(summary.structures)
    figure = _figure(2.2 + 1.6 * len(names), 3.6)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for at, name in zip(axes, names, strict=True):
        for x, (score, _) in enumerate(_SCORES):
            for case in cases:
                values = [s.values[score] for s in case.structures if s.structure == name]
                at.plot([x] * len(values), values, ".", color=_SOFT, zorder=1) if _all_known(values) else None
            _with_interval(at, x, summary.structures[name][score])
        at.set_title(_title(name), fontsize=9)
        at.set_xticks(range(len(_SCORES)), [title for _, title in _SCORES], rotation=45, fontsize=8)
        at.set_xlim(-0.5, len(_SCORES) - 0.5)
        at.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("Dice; surface Dice at 1, 2, 3 mm")
    return figure


def lesion_plot(summary: Summary) -> Figure:
    """Sensitivity and false positives per patient by size."""
    figure = _figure(7.2, 3.4)
    left, right = figure.subplots(1, 2)
    lesions, labels = summary.lesions, [size_title(n) for n in range(len(SIZE_BINS_MM))]
    for at, estimates, title in (
        (left, lesions.sensitivity_by_size, "sensitivity"),
        (right, lesions.false_positives_by_size, "false positives per patient"),
    ):
        for x, estimate in enumerate(estimates):
            _with_interval(at, x, estimate)
        counted = [f"{label}\n(n = {e.n})" for label, e in zip(labels, lesions.sensitivity_by_size, strict=True)]
        at.set_xticks(range(len(labels)), counted if at is left else labels, fontsize=8)
        at.set_xlim(-0.5, len(labels) - 0.5)
        at.set_title(title, fontsize=9)
    left.set_ylim(-0.02, 1.02)
    right.set_ylim(0.0, max(1.0, right.get_ylim()[1]))
    return figure


def plan_plot(cases: Sequence[CaseResult], summary: Summary) -> Figure:
    """Predicted against reference, with the predicted interval: the nearest vessel's clearance, and the remnant."""
    figure = _figure(7.6, 3.8)
    left, right = figure.subplots(1, 2)
    plans = [c.plans for c in cases if isinstance(c.plans, PlanErrors)]
    clearances = [c.error for p in plans for c in p.clearances if c.structure == NEAREST_VESSEL]
    functional = [p.measures["functional_flr_percent"] for p in plans]
    use = "functional" if any(_known(e) for e in functional) else "geometric"
    remnants = functional if use == "functional" else [p.measures["geometric_flr_percent"] for p in plans]
    _against(left, clearances, "clearance to the nearest vessel, mm")
    margin = f" at {plans[0].margin_mm:g} mm" if plans else ""
    _against(right, remnants, f"{use} FLR{margin}, %")
    for at, errors, unit in (
        (left, summary.clearances.get(NEAREST_VESSEL), "mm"),
        (right, summary.measures.get(f"{use}_flr_percent"), "points"),
    ):
        if errors is not None and not isinstance(errors.mean_absolute.value, Unknown):
            at.set_title(f"mean absolute error {_words(errors.mean_absolute)} {unit}", fontsize=9)
    return figure


def reliability_plot(cases: Sequence[CaseResult], names: Sequence[str]) -> Figure:
    """Dice against the Dice that the model expected, a dot for each case: below the line it was too sure of itself."""
    figure = _figure(2.6 * len(names) + 0.4, 2.9)
    for at, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        pairs = expected_and_true(cases, name)
        at.plot(pairs[:, 0], pairs[:, 1], ".", color=_INK)
        at.axline((0.0, 0.0), slope=1.0, color=_LINE, linewidth=0.8)
        at.set_xlim(-0.02, 1.02)
        at.set_ylim(-0.02, 1.02)
        at.set_aspect("equal")
        at.set_title(f"{_title(name)} (n = {len(pairs)})", fontsize=9)
        at.set_xlabel("expected Dice", fontsize=8)
    figure.axes[0].set_ylabel("Dice", fontsize=8)
    return figure


def _against(at: Axes, errors: Sequence[Error], title: str) -> None:
    known = [pair for e in errors if (pair := _known(e)) is not None]
    for reference, predicted in known:
        spread = [[predicted.value - predicted.low], [predicted.high - predicted.value]]
        at.errorbar(reference.value, predicted.value, yerr=spread, fmt="o", color=_INK, ecolor=_SOFT, markersize=4)
    ends = [v for r, p in known for v in (r.value, p.value)] or [0.0, 1.0]
    at.axline((min(ends), min(ends)), slope=1.0, color=_LINE, linewidth=0.8)
    missing = len(errors) - len(known)
    at.set_xlabel(f"reference: {title}" + (f"\n({missing} without a predicted value)" if missing else ""), fontsize=8)
    at.set_ylabel("predicted", fontsize=8)


def _with_interval(at: Axes, x: float, estimate: Estimate) -> None:
    if isinstance(estimate.value, Unknown):
        return
    at.plot([x], [estimate.value], "o", color=_INK, markersize=5, zorder=3)
    if estimate.low is not None and estimate.high is not None:
        at.plot([x, x], [estimate.low, estimate.high], "-", color=_INK, linewidth=1.6, zorder=2)


def _known(error: Error) -> tuple[Quantity, Quantity] | None:
    if isinstance(error.reference, Unknown) or isinstance(error.predicted, Unknown):
        return None
    return error.reference, error.predicted


def _all_known(values: Sequence[float | Unknown]) -> bool:
    return not any(isinstance(v, Unknown) for v in values)


def _words(estimate: Estimate) -> str:
    interval = "" if estimate.low is None or estimate.high is None else f" [{estimate.low:.1f}, {estimate.high:.1f}]"
    return f"{estimate.value:.1f}{interval}"


def _title(name: str) -> str:
    known = {s.value: s.title for s in Structure}
    return known.get(name, name.replace("_", " ").capitalize()).partition(" (")[0]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")

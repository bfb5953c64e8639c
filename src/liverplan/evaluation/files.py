"""Results of an evaluation: `evaluation.json`, tables as CSV, plots as PNG and SVG, in one folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.evaluation.detection import SIZE_BINS_MM, Detection, LesionOutcome
from liverplan.evaluation.intervals import LEVEL_PERCENT, N_RESAMPLES, Estimate
from liverplan.evaluation.planning import Error, PlanErrors
from liverplan.evaluation.run import CaseResult, ErrorSummary, Failure, LesionSummary, Summary
from liverplan.io.folder import MARKER, write_json_atomic, write_text_atomic
from liverplan.quantity import Measured, Unknown

SCHEMA_VERSION = 1

Row = Mapping[str, Any]


def write_evaluation(
    folder: Path,
    cases: Sequence[CaseResult],
    failures: Sequence[Failure],
    summary: Summary,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything into `folder`, which exists, and return what evaluation.json holds. about: what was compared,
    for run.json. Raises OutputError, ResourceError.
    """
    from liverplan.evaluation.plots import draw_plots

    content = to_json(cases, failures, summary)
    write_json_atomic(folder / "evaluation.json", content)
    for name, rows in tables(cases).items():
        write_text_atomic(folder / f"{name}.csv", as_csv(rows))
    draw_plots(folder, cases, summary)
    software = {"name": "liverplan", "version": __version__}
    write_json_atomic(folder / MARKER, {"command": "evaluate", "software": software, **about})
    return content


def to_json(cases: Sequence[CaseResult], failures: Sequence[Failure], summary: Summary) -> dict[str, Any]:
    """What `evaluation.json` and `--json` say. A number that is not known is null, with the reason beside it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "research_use_only": RESEARCH_USE_ONLY,
        "bootstrap": {"level_percent": LEVEL_PERCENT, "resamples": N_RESAMPLES, "method": "percentile"},
        "summary": summary_to_json(summary),
        "cases": [case_to_json(case) for case in cases],
        "failures": [asdict(failure) for failure in failures],
    }


def summary_to_json(summary: Summary) -> dict[str, Any]:
    return {
        "structures": {
            name: {score: e.to_json() for score, e in scores.items()} for name, scores in summary.structures.items()
        },
        "lesions": _lesions_to_json(summary.lesions),
        "clearance_error_mm": {name: _errors_to_json(errors) for name, errors in summary.clearances.items()},
        "plan_error": {name: _errors_to_json(errors) for name, errors in summary.measures.items()},
        "reliability": {
            name: _unknown(value) if isinstance(value, Unknown) else value.to_json()
            for name, value in summary.reliability.items()
        },
    }


def case_to_json(case: CaseResult) -> dict[str, Any]:
    return {
        "id": case.id,
        "structures": {
            s.structure: {"drawn": s.drawn} | {name: _value(value) for name, value in s.values.items()}
            for s in case.structures
        },
        "lesions": _detection_to_json(case.lesions) if isinstance(case.lesions, Detection) else _unknown(case.lesions),
        "plan": _plans_to_json(case.plans) if isinstance(case.plans, PlanErrors) else _unknown(case.plans),
    }


def tables(cases: Sequence[CaseResult]) -> dict[str, list[dict[str, Any]]]:
    """The CSV files by name: one row for each score of a structure, lesion, clearance, and number of the plan."""
    structures, lesions, clearances, measures = (list[dict[str, Any]]() for _ in range(4))
    for case in cases:
        for score in case.structures:
            known = {name: _blank(value) for name, value in score.values.items()}
            structures.append({"case": case.id, "structure": score.structure, "drawn": score.drawn, **known})
        if isinstance(case.lesions, Detection):
            outcomes = (*case.lesions.lesions, *case.lesions.false_positives)
            lesions += [{"case": case.id, **_lesion_row(outcome)} for outcome in outcomes]
        if isinstance(case.plans, PlanErrors):
            clearances += [
                {"case": case.id, "lesion": c.lesion, "structure": c.structure, **_error_row(c.error)}
                for c in case.plans.clearances
            ]
            measures += [
                {"case": case.id, "measure": name, **_error_row(error)} for name, error in case.plans.measures.items()
            ]
    return {"structures": structures, "lesions": lesions, "clearances": clearances, "plans": measures}


def as_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV under all columns that occur; a value that is not known is empty."""
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({c: _cell(v) for c, v in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else f"{value:.6g}" if isinstance(value, float) else value


def _lesion_row(outcome: LesionOutcome) -> dict[str, Any]:
    return {
        "kind": "reference" if outcome.reference else "false_positive",
        "lesion": outcome.id,
        "diameter_mm": outcome.diameter_mm,
        "longest_diameter_mm": outcome.longest_diameter_mm,
        "volume_ml": outcome.volume_ml,
        "found": outcome.found if outcome.reference else "",
        "iou": outcome.iou if outcome.reference else "",
    }


def _error_row(error: Error) -> dict[str, Any]:
    unknown = error.value.reason if isinstance(error.value, Unknown) else ""
    low, high = ("", "") if isinstance(error.predicted, Unknown) else (error.predicted.low, error.predicted.high)
    return {
        "reference": "" if isinstance(error.reference, Unknown) else error.reference.value,
        "predicted": "" if isinstance(error.predicted, Unknown) else error.predicted.value,
        "predicted_low": low,
        "predicted_high": high,
        "error": "" if isinstance(error.value, Unknown) else error.value,
        "inside": "" if error.inside is None else error.inside,
        "unknown": unknown,
    }


def _lesions_to_json(lesions: LesionSummary) -> dict[str, Any]:
    sizes = zip(SIZE_BINS_MM, lesions.sensitivity_by_size, lesions.false_positives_by_size, strict=True)
    return {
        "sensitivity": lesions.sensitivity.to_json(),
        "false_positives_per_patient": lesions.false_positives.to_json(),
        "panoptic_quality": lesions.panoptic_quality.to_json(),
        "by_size": [
            {
                "from_mm": low,
                "to_mm": None if high == float("inf") else high,
                "sensitivity": found.to_json(),
                "false_positives_per_patient": false.to_json(),
            }
            for (low, high), found, false in sizes
        ],
    }


def _errors_to_json(errors: ErrorSummary) -> dict[str, Any]:
    figures: dict[str, Estimate] = {
        "bias": errors.bias,
        "mean_absolute": errors.mean_absolute,
        "median_absolute": errors.median_absolute,
        "absolute_p95": errors.absolute_p95,
        "reference_inside_predicted_interval": errors.inside,
    }
    return {name: e.to_json() for name, e in figures.items()} | {"unknown": dict(errors.unknown)}


def _detection_to_json(lesions: Detection) -> dict[str, Any]:
    return {
        "reference": len(lesions.lesions),
        "detected": sum(o.found for o in lesions.lesions),
        "predicted": lesions.n_predicted,
        "false_positives": len(lesions.false_positives),
        "outcomes": [_lesion_row(o) | {"found": o.found} for o in (*lesions.lesions, *lesions.false_positives)],
    }


def _plans_to_json(plans: PlanErrors) -> dict[str, Any]:
    return {
        "margin_mm": plans.margin_mm,
        "clearances": [
            {"lesion": c.lesion, "structure": c.structure, **_error_to_json(c.error)} for c in plans.clearances
        ],
        "measures": {name: _error_to_json(error) for name, error in plans.measures.items()},
    }


def _error_to_json(error: Error) -> dict[str, Any]:
    return {
        "reference": _measured(error.reference),
        "predicted": _measured(error.predicted),
        "error": _unknown(error.value) if isinstance(error.value, Unknown) else {"value": error.value},
        "inside": error.inside,
    }


def _measured(value: Measured) -> dict[str, Any]:
    return _unknown(value) if isinstance(value, Unknown) else asdict(value)


def _unknown(unknown: Unknown) -> dict[str, Any]:
    return {"value": None, "reason": unknown.reason}


def _value(value: float | Unknown) -> Any:
    """A score in JSON: the number itself, or null and why."""
    return _unknown(value) if isinstance(value, Unknown) else value


def _blank(value: float | Unknown) -> Any:
    return "" if isinstance(value, Unknown) else value

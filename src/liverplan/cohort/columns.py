"""The results tables, column by column: names with units, types, and what they say. Version 1.

An empty cell was not assessable (or does not apply); the reason stands beside it. Nothing here is a time except in
`timings`, so that two runs give the same tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TABLES_VERSION = "1"


@dataclass(frozen=True)
class Column:
    """A column of a results table. kind: "text", "number", "integer" or "flag"."""

    name: str
    kind: str
    says: str


def _text(name: str, says: str) -> Column:
    return Column(name, "text", says)


def _number(name: str, says: str) -> Column:
    return Column(name, "number", says)


def _count(name: str, says: str) -> Column:
    return Column(name, "integer", says)


def _measured(name: str, unit: str, says: str, reason: bool = True) -> Iterable[Column]:
    """A value with its interval and, where it is missing, why."""
    yield _number(f"{name}_{unit}", says)
    yield _number(f"{name}_low_{unit}", f"lower end of the interval of {name}_{unit}")
    yield _number(f"{name}_high_{unit}", f"upper end of the interval of {name}_{unit}")
    if reason:
        yield _text(f"{name}_reason", f"why {name}_{unit} is empty")


_ID = _text("case_id", "the id of the case")
_CASES = (
    _ID,
    _count("position", "the place of the case in the input, from 1"),
    _text("status", "done, failed, or pending (not planned yet)"),
    _text(
        "failure_kind", "refused (input), error (a fault of the program), resources (memory, disk), timeout or killed"
    ),
    _text("failure_stage", "what was being done when the case failed"),
    _text("failure_reason", "why the case failed"),
    _text("log", "the log of a case that failed, from the folder of the cohort"),
    _text("result", "the folder of the case, from the folder of the cohort"),
    _text("protocol", "id of the protocol"),
    _text("protocol_version", "its version"),
    _text("verdict", "meets_recorded_criteria, does_not_meet or undetermined; not a decision on a patient"),
    _count("criteria_met", "criteria that are met"),
    _count("criteria_not_met", "criteria that are not met"),
    _count("criteria_undetermined", "criteria for which something is missing"),
    _text("wide_margin", "feasible, infeasible or undetermined"),
    _text("wide_margin_reason", "why"),
    *_measured("margin_upper", "mm", "largest margin that any resection can achieve"),
    _text("limiting_kind", "what limits it: vessel, remnant, lesion or none"),
    _text("limiting_structure", "which structure"),
    Column("affected_by_vessels", "flag", "whether vessels limit the margin"),
    _count("lesions", "lesions found"),
    _number("largest_lesion_mm", "longest diameter of the largest lesion"),
    _number("liver_volume_ml", "liver with lesions and vessels"),
    _number("liver_volume_low_ml", "lower end of its interval"),
    _number("liver_volume_high_ml", "upper end of its interval"),
    _number("tumour_volume_ml", "all lesions"),
    _number("wide_margin_mm", "the protocol's wide margin"),
    *_measured("flr", "percent", "functional remnant when the protocol's wide margin is removed", reason=False),
    *_measured("geometric_flr", "percent", "the same without regard to inflow and outflow", reason=False),
    _text("best_resection", "name of the best resection"),
    _text("best_kind", "its kind"),
    _text("best_meets_protocol", "met, not_met or undetermined"),
    *_measured("best_margin", "mm", "its least margin over the lesions", reason=False),
    *_measured("best_flr", "percent", "its functional remnant"),
    _count("quality_warnings", "checks of scan and masks with a warning"),
    _count("quality_fails", "checks of scan and masks that failed"),
    _text("modality", "CT, MR or unknown"),
    *(_number(f"spacing_{axis}_mm", f"voxel size along {axis}") for axis in "ijk"),
    _text("image_sha256", "of the image"),
    _text("segmentation_origin", "given or model"),
    _text("model", "name of the model"),
    _text("model_sha256", "of its weights"),
    _text("software_version", "of liverplan"),
    _text("content_sha256", "of everything that the case was planned from"),
)
_LESIONS = (
    _ID,
    _count("lesion_id", "number of the lesion in the case"),
    _number("volume_ml", "volume"),
    _number("longest_diameter_mm", "longest diameter"),
    *(_number(f"centroid_{axis}_lps_mm", f"centroid, {axis} in LPS") for axis in "xyz"),
    _text("segments", "Couinaud segments, parted by blanks"),
    _number("capsule_distance_mm", "depth below the capsule"),
    _number("nearest_lesion_mm", "distance to the next lesion"),
    *_measured("margin_upper", "mm", "largest margin around this lesion, the others at the protocol's"),
    *_measured("margin_planned", "mm", "margin in the best resection"),
    _text("limiting_kind", "what limits it: vessel, remnant, lesion or none"),
    _text("limiting_structure", "which structure"),
    _text("nearest_vessel", "the vessel with the least clearance"),
    *_measured("nearest_vessel_clearance", "mm", "its clearance", reason=False),
    Column("contact", "flag", "whether any vessel is touched; contact is not invasion"),
    _text("wide_margin", "feasible, infeasible or undetermined"),
    _text("reason", "why"),
)
_RESECTIONS = (
    _ID,
    _count("rank", "place in the list of the case, the best first"),
    _text("name", "name of the resection"),
    _text("kind", "wedge, segmental, hepatectomy, combined or given"),
    _text("meets_protocol", "met, not_met or undetermined"),
    _text("reason", "why"),
    *_measured("margin", "mm", "least margin over the lesions", reason=False),
    *_measured("volume", "ml", "what is taken out"),
    _number("remnant_ml", "what stays"),
    *_measured("flr", "percent", "functional remnant"),
    _number("devascularised_ml", "remnant without inflow"),
    _number("congested_ml", "remnant without outflow"),
    _count("divided_vessels", "branches that are divided"),
    _number("cut_area_cm2", "area of the cut"),
)
_CRITERIA = (
    _ID,
    _text("criterion", "id in the protocol"),
    _text("kind", "inclusion or exclusion"),
    _text("outcome", "met, not_met or undetermined; for an exclusion, met means not excluded by it"),
    _text("value", "what was read"),
    _text("value_reason", "why value is empty"),
    _text("limit", "what it was held against"),
    _text("unit", "unit of value and limit"),
    _text("evidence", "where the value comes from"),
    _text("missing", "what would settle it, parted by semicolons"),
    _text("text", "the criterion's wording"),
)
_QUALITY = (
    _ID,
    _text("check", "name of the check"),
    _text("status", "ok, warning or fail"),
    _text("value", "what was found"),
    _text("message", "in words"),
)
_TIMINGS = (
    _ID,
    _text("stage", "stage of the work; `case` is the whole case"),
    _number("seconds", "wall time"),
    _number("peak_memory_mb", "largest memory of the worker so far, for the stage `case`"),
    _count("attempts", "attempts in the run that finished it, for the stage `case`"),
    _text("worker", "where it ran, for the stage `case`"),
)

TABLES: Mapping[str, tuple[Column, ...]] = {
    "cases": _CASES,
    "lesions": _LESIONS,
    "resections": _RESECTIONS,
    "criteria": _CRITERIA,
    "quality": _QUALITY,
    "timings": _TIMINGS,
}
"""Every results table by name; `cases` has a row for every case of the input, the others for cases that are done."""

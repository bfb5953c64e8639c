"""The schema of report.json lets a good report pass and refuses what would mislead a reader."""

from __future__ import annotations

import copy
import math
from typing import Any

import example_case
import jsonschema
import pytest
from report_rules import validate_report

from liverplan.report.schema import report_schema


def at(report: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The container and the key of a dotted path."""
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    node: Any = report
    for step in way:
        node = node[step]
    return node, last


def changed(path: str, value: Any) -> dict[str, Any]:
    report = example_case.report()
    node, key = at(report, path)
    node[key] = value
    return report


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


def test_a_complete_report_passes() -> None:
    validate_report(example_case.report())


def test_a_case_without_lesions_passes() -> None:
    validate_report({**example_case.report(), "lesions": [], "margin_curve": []})


@pytest.mark.parametrize("key", report_schema()["required"])
def test_no_key_of_the_contract_may_be_missing(key: str) -> None:
    report = example_case.report()
    del report[key]
    with pytest.raises(jsonschema.ValidationError):
        validate_report(report)


@pytest.mark.parametrize(
    "path",
    [
        "input.spacing_mm",
        "liver.standardised_volume_ml",
        "lesions.0.margin_planned_mm",
        "lesions.0.vessels.0.witness_lps_mm",
        "margin_curve.3.flr_percent",
        "case.affected_by_vessels",
        "eligibility.criteria.2.missing",
    ],
)
def test_what_is_unknown_is_null_and_not_absent(path: str) -> None:
    report = example_case.report()
    node, key = at(report, path)
    del node[key]
    with pytest.raises(jsonschema.ValidationError):
        validate_report(report)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", ["liver.volume_ml", "lesions.0.margin_upper_mm.low", "margin_curve.7.flr_percent"])
def test_nan_and_infinity_are_refused_by_the_schema_alone(path: str, bad: float) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(report_schema()).validate(changed(path, bad))


@pytest.mark.parametrize(
    ("path", "bare"),
    [
        ("lesions.0.margin_upper_mm", 7.2),
        ("lesions.0.vessels.0.clearance_mm", 7.2),
        ("lesions.0.vessels.0.clearance_mm", {"value": 7.2}),
        ("lesions.0.vessels.0.clearance_mm", {"value": None}),
        ("lesions.0.vessels.0.clearance_mm", {"value": None, "reason": ""}),
        ("lesions.0.vessels.0.clearance_mm", {"value": None, "low": 0, "high": 0, "reason": "not segmented"}),
        ("case.margin_upper_mm", None),
    ],
)
def test_a_measured_quantity_has_an_interval_or_a_reason(path: str, bare: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_report(changed(path, bare))


def test_a_vessel_that_is_not_segmented_has_a_reason_and_neither_witness_nor_contact() -> None:
    report = example_case.report()
    report["lesions"][0]["vessels"][0] |= {
        "clearance_mm": {"value": None, "reason": "not segmented"},
        "witness_lps_mm": None,
        "contact": None,
    }
    validate_report(report)


def test_a_measured_clearance_without_a_witness_is_refused() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_report(changed("lesions.0.vessels.0.witness_lps_mm", None))


def test_a_value_outside_its_interval_is_refused() -> None:
    with pytest.raises(AssertionError):
        validate_report(changed("case.margin_upper_mm", {"value": 9.0, "low": 6.0, "high": 8.0}))


def test_zero_does_not_stand_in_for_an_absent_structure() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_report(changed("segmentation.structures.couinaud.volume_ml", 0.0))


def test_a_single_lesion_has_no_distance_to_the_next() -> None:
    report = example_case.report()
    report["lesions"] = report["lesions"][:1]
    with pytest.raises(jsonschema.ValidationError):
        validate_report(report)
    report["lesions"][0] |= {"nearest_lesion_mm": None, "nearest_lesion": None}
    validate_report(report)


@pytest.mark.parametrize(("tree", "lost"), [("portal_vein", "devascularised_ml"), ("hepatic_veins", "congested_ml")])
def test_without_a_tree_its_losses_are_null_and_not_zero(tree: str, lost: str) -> None:
    report = example_case.report()
    empty = {"present": False, "roots": [], "n_branches": None, "length_mm": None, "gaps": []}
    report["vessel_trees"][tree] |= empty
    unknown = (
        "devascularised_and_congested_ml",
        "functional_remnant_ml",
        "flr_percent",
        "flr_low_percent",
        "flr_high_percent",
    )
    for row in report["margin_curve"]:
        row |= dict.fromkeys((*unknown, lost))
    validate_report(copy.deepcopy(report))
    report["margin_curve"][0][lost] = 0.0
    with pytest.raises(jsonschema.ValidationError):
        validate_report(report)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("case.wide_margin", "eligible"),
        ("resections.0.margin_mm.0.set_by", "luck"),
        ("resections.0.probability.margin_at_least_limit", 1.2),
        ("lesions.0.vessel_choices.0.if_kept_margin_mm", 3.3),
        ("named_anatomy.portal_vein.named", "yes"),
        ("eligibility.verdict", "eligible"),
        ("eligibility.criteria.0.outcome", "yes"),
        ("research_use_only", False),
        ("schema_version", "2"),
        ("input.orientation", "XYZ"),
    ],
)
def test_only_the_words_of_the_contract_are_verdicts(path: str, word: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate_report(changed(path, word))


def test_other_fields_may_be_added() -> None:
    validate_report(changed("lesions.0.note", "seen on MR as well"))

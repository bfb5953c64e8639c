"""The left column: report.json in words, and places that lie where the report measured them."""

from __future__ import annotations

import numpy as np
import pytest

from liverplan.report import wording
from liverplan.viewer.opened import open_case
from liverplan.viewer.panel import margin_rows, panel
from liverplan.viewer.targets import targets


@pytest.fixture(scope="module")
def report(planned):
    return open_case(planned).report


@pytest.fixture(scope="module")
def shown(report):
    return panel(report, targets(report))


def test_the_verdict_stands_with_its_reason_and_its_bound(report, shown):
    assert shown["answer"]["verdict"] == wording.FEASIBILITY[report["case"]["wide_margin"]]
    assert report["case"]["reason"][1:] in shown["answer"]["reason"]
    assert shown["answer"]["most"] == wording.interval(report["case"]["margin_upper_mm"], "mm")


def test_every_lesion_lists_every_distance_that_was_measured(report, shown):
    for lesion, row in zip(report["lesions"], shown["lesions"], strict=True):
        for vessel in lesion["vessels"]:
            told = wording.interval(vessel["clearance_mm"], "mm")
            assert told in [d["value"] for d in row["distances"]]


def test_every_resection_stands_in_the_reports_order_with_its_least_margin(report, shown):
    assert [row["name"] for row in shown["resections"]] == [row["name"] for row in report["resections"]]
    for row, told in zip(report["resections"], shown["resections"], strict=True):
        least = min((m for m in row["margin_mm"] if m["value"] is not None), key=lambda m: m["value"])
        assert told["margin"] == wording.interval(least, "mm")


def test_the_criteria_say_what_is_missing(report, shown):
    missing = {name for c in report["eligibility"]["criteria"] for name in c["missing"]}
    assert missing, "nothing was recorded, so that something is missing"
    assert sum(len(group["items"]) for group in shown["eligibility"]["obtain"]) == len(missing)
    ids = [c["id"] for c in shown["eligibility"]["criteria"] if not c["part"]]
    assert ids == [c["id"] for c in report["eligibility"]["criteria"]]


def test_a_line_is_as_long_as_its_clearance(report):
    places = targets(report)
    for lesion in report["lesions"]:
        for number, vessel in enumerate(lesion["vessels"]):
            ends = np.array(places[f"lesion-{lesion['id']}-vessel-{number}"].ends_lps_mm)
            assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(vessel["clearance_mm"]["value"], abs=1.0)


def test_a_jump_to_a_lesion_leads_to_its_own_end_of_the_line(report):
    for lesion in report["lesions"]:
        target = targets(report)[f"lesion-{lesion['id']}"]
        reach = np.linalg.norm(np.array(target.at_lps_mm) - lesion["centroid_lps_mm"])
        assert reach <= 0.6 * lesion["longest_diameter_mm"]


def test_numbers_at_a_margin_carry_units_and_intervals(report):
    row = report["margin_curve"][7]
    told = {line["name"]: line["value"] for line in margin_rows(row)}
    assert told["Removed"] == wording.ml(row["removed_ml"])
    assert "[" in told["Functional remnant (FLR)"]
    assert "[" in told["Remnant by volume (geometric FLR)"]


def test_what_is_not_known_is_said_and_never_zero(report):
    row = dict.fromkeys(report["margin_curve"][7]) | {"margin_mm": 7.0}
    told = [line["value"] for line in margin_rows(row)]
    assert all(value.startswith("not assessable") for value in told)
    assert len(margin_rows(None)) > 0

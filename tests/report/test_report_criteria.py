"""What a reader of the criteria is told to obtain, and where."""

from __future__ import annotations

from typing import Any

import example_case
import pytest

from liverplan.protocol.vocabulary import FIELDS, MEASURES
from liverplan.report.criteria import MEASURED, OTHER, failures, group_of, lines, title_of, to_obtain, verdict_sentence


def eligibility(*outcomes: str) -> dict[str, Any]:
    """As many criteria as outcomes; the verdict that follows from them."""
    block = example_case.report()["eligibility"]
    block["criteria"] = [
        {**criterion, "outcome": outcome, "missing": []}
        for criterion, outcome in zip(block["criteria"], outcomes, strict=False)
    ]
    decided = "undetermined" if "undetermined" in outcomes else "meets_recorded_criteria"
    return {**block, "verdict": "does_not_meet" if "not_met" in outcomes else decided}


@pytest.mark.parametrize("name", FIELDS)
def test_somebody_is_named_for_every_field_of_the_record(name: str) -> None:
    assert group_of(name) not in (MEASURED, OTHER)


@pytest.mark.parametrize("name", MEASURES)
def test_what_imaging_gives_is_measured(name: str) -> None:
    assert group_of(name) == MEASURED


def test_where_a_statement_would_do_the_person_is_asked() -> None:
    assert group_of("lesions.count or liver_metastases_current") == "Ask the radiologist"


def test_a_name_that_nobody_knows_is_still_asked_for() -> None:
    assert (group_of("a measured resection"), title_of("a measured resection")) == (OTHER, "a measured resection")


def test_a_field_that_two_criteria_wait_for_is_asked_for_once() -> None:
    block = eligibility("undetermined", "undetermined")
    for criterion in block["criteria"]:
        criterion["missing"] = ["extrahepatic_disease"]
    (group,) = to_obtain(block)
    assert [(item.title, item.serves) for item in group.items] == [("Extrahepatic metastases", "I1, I2")]


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        (("met", "met"), "All 2 criteria are met by what was recorded and measured; the investigator must confirm."),
        (("met", "undetermined"), "No criterion fails, and 1 of 2 cannot be decided yet."),
        (("not_met", "met"), "I1 is not met."),
        (("not_met", "not_met", "undetermined"), "I1 and I2 are not met. 1 of 3 cannot be decided yet."),
    ],
)
def test_the_verdict_is_a_sentence(outcomes: tuple[str, ...], sentence: str) -> None:
    assert verdict_sentence(eligibility(*outcomes)) == sentence


def test_of_a_composite_criterion_only_the_parts_that_fail_are_named() -> None:
    block = eligibility("not_met", "not_met")
    block["criteria"][0]["parts"] = example_case.parts()
    assert [failure.id for failure in failures(block)] == ["I1b", "I2"]


def test_a_criterion_with_one_part_is_one_line() -> None:
    block = eligibility("met", "met")
    block["criteria"][0]["parts"] = example_case.parts()[:1]
    block["criteria"][1]["parts"] = example_case.parts()
    assert [line.id for line in lines(block)] == ["I1", "I2", "I2a", "I2b", "I2c"]

"""Numbers as words: as many decimals as the measurement deserves, never a blank, never a stand-in."""

from __future__ import annotations

import pytest

from liverplan.report import wording

UNKNOWN = {"value": None, "reason": "the portal vein is not segmented"}


def plain(text: str) -> str:
    return text.replace(wording.NBSP, " ")


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (7.1123, "mm", "7.1 mm"),
        (-0.04, "mm", "0.0 mm"),
        (-1.26, "mm", "\N{MINUS SIGN}1.3 mm"),
        (1860.6, "mL", "1861 mL"),
        (85.62, "mL", "85.6 mL"),
        (66.56, "%", "66.6 %"),
        (None, "mL", "not assessable"),
    ],
)
def test_plain_numbers(value: float | None, unit: str, words: str) -> None:
    assert plain(wording.quantity_text(value, unit)) == words


def test_an_interval_stands_beside_its_value() -> None:
    assert plain(wording.interval({"value": 7.11, "low": 6.31, "high": 7.91}, "mm")) == "7.1 mm [6.3 to 7.9]"


def test_what_is_unknown_says_why() -> None:
    assert wording.interval(UNKNOWN, "mm") == "not assessable: the portal vein is not segmented"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "years", "not recorded"),
        ({"value": None, "reason": "not recorded"}, "yes/no", "not recorded"),
        (UNKNOWN, "mm", "not assessable: the portal vein is not segmented"),
        (True, None, "yes"),
        (0, "grade", "0"),
        (5, "count", "5"),
        ({"value": 2.0, "low": 2.0, "high": 2.0}, "count", "2"),
        ({"value": 66.56, "low": 66.2, "high": 73.4}, "percent", "66.6 % [66.2 to 73.4]"),
        (30.0, "percent", "30 %"),
        (2.5, None, "2.5"),
        (["biopsy", "clinical"], None, "biopsy, clinical"),
    ],
)
def test_values_of_criteria(value: object, unit: str | None, words: str) -> None:
    assert plain(wording.value_text(value, unit)) == words


def test_a_sentence_begins_and_ends_as_one() -> None:
    assert wording.sentence("no plan was measured") == "No plan was measured."
    assert wording.sentence("Done.") == "Done."
    assert wording.sentence("") == ""


def test_an_unknown_structure_is_shown_by_its_name() -> None:
    assert wording.structure_title("hepatic_artery") == "hepatic artery"
    assert wording.structure_title("portal_vein") == "Portal vein"

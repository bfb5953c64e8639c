"""Child-Pugh: the whole grid against the table written out once more, bounds against brute force, limits flagged."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.clinical import ClinicalRecord, parse_record
from liverplan.quantity import Quantity, Unknown

# One row per points, read off the printed table: a value well inside, and both ends of the middle column.
PRINTED = """
item              unit    one                  two                    three
bilirubin         mg/dL   0.5  1.9  1.99       2    2.5  3            3.01  3.1  10
bilirubin         umol/L  8    33   33.9       34   40   51           51.1  52   171
albumin           g/dL    4.2  3.6  3.51       3.5  3.1  2.8          2.79  2.7  2
albumin           g/L     42   36   35.1       35   31   28           27.9  27   20
inr               -       1    1.6  1.69       1.7  2    2.3          2.31  2.4  4
pt_prolongation_s -       0    3    3.9        4    5    6            6.1   7    20
"""
ASCITES = {"none": 1, "mild": 2, "moderate_or_severe": 3}
ENCEPHALOPATHY = {0: 1, 1: 2, 2: 2, 3: 3, 4: 3}
CLASSES = {5: "A", 6: "A", 7: "B", 8: "B", 9: "B", 10: "C", 11: "C", 12: "C", 13: "C", 14: "C", 15: "C"}


def printed_values() -> dict[tuple[str, str], dict[int, list[float]]]:
    """{(item, unit): {points: values}} of the table above."""
    rows = [line.split() for line in PRINTED.strip().splitlines()[1:]]
    return {(r[0], r[1]): {p: [float(v) for v in r[3 * p - 1 : 3 * p + 2]] for p in (1, 2, 3)} for r in rows}


VALUES = printed_values()


def field(item: str, unit: str, value: float) -> dict[str, Any]:
    return {item: value if unit == "-" else {"value": value, "unit": unit}}


def record_of(*parts: dict[str, Any]) -> ClinicalRecord:
    return parse_record({name: value for part in parts for name, value in part.items()})


@pytest.mark.parametrize(
    ("item", "unit", "points", "value"),
    [(i, u, p, v) for (i, u), columns in VALUES.items() for p, values in columns.items() for v in values],
)
def test_each_value_counts_as_the_table_prints(item: str, unit: str, points: int, value: float) -> None:
    """The other four items are missing and add 1 to 3 each."""
    score = record_of(field(item, unit, value)).child_pugh
    assert (score.low, score.high) == (points + 4, points + 12)


@pytest.mark.parametrize("bilirubin", ["mg/dL", "umol/L"])
@pytest.mark.parametrize("albumin", ["g/dL", "g/L"])
@pytest.mark.parametrize("clotting", ["inr", "pt_prolongation_s"])
def test_all_243_combinations_in_both_units(bilirubin: str, albumin: str, clotting: str) -> None:
    seen = 0
    for b, a, c, (wet, w), (grade, g) in itertools.product(
        (1, 2, 3), (1, 2, 3), (1, 2, 3), ASCITES.items(), ((0, 1), (2, 2), (3, 3))
    ):
        score = record_of(
            field("bilirubin", bilirubin, VALUES["bilirubin", bilirubin][b][1]),
            field("albumin", albumin, VALUES["albumin", albumin][a][1]),
            field(clotting, "-", VALUES[clotting, "-"][c][1]),
            {"ascites": wet, "encephalopathy_grade": grade},
        ).child_pugh
        total = b + a + c + w + g
        assert score.score == Quantity.exactly(total)
        assert score.grade == CLASSES[total]
        seen += 1
    assert seen == 243


@pytest.mark.parametrize(("grade", "points"), ENCEPHALOPATHY.items())
def test_every_grade_of_encephalopathy(grade: int, points: int) -> None:
    assert parse_record({"encephalopathy_grade": grade}).child_pugh.low == points + 4


def test_a_value_is_judged_in_the_unit_given() -> None:
    """34 umol/L are 1.99 mg/dL: two points under the one name, one under the other."""
    assert parse_record({"bilirubin": {"value": 34, "unit": "umol/L"}}).child_pugh.low == 6
    assert parse_record({"bilirubin": {"value": 1.99, "unit": "mg/dL"}}).child_pugh.low == 5


ITEMS = {
    "bilirubin": [{"value": v, "unit": "umol/L"} for v in (10, 40, 60)],
    "albumin": [{"value": v, "unit": "g/L"} for v in (40, 30, 20)],
    "inr": [1.0, 2.0, 3.0],
    "ascites": list(ASCITES),
    "encephalopathy_grade": [0, 1, 3],
}


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in ITEMS.items()}))
def test_bounds_are_those_of_every_completion(known: dict[str, Any]) -> None:
    blank = [name for name in ITEMS if name not in known]
    completed = [
        parse_record(known | dict(zip(blank, values, strict=True))).child_pugh
        for values in itertools.product(*(ITEMS[name] for name in blank))
    ]
    totals = [score.score.value for score in completed]
    score = parse_record(known).child_pugh
    assert (score.low, score.high) == (min(totals), max(totals))
    assert len(score.missing) == len(blank)
    grades = {score.grade for score in completed}
    assert score.grade == grades.pop() if len(grades) == 1 else isinstance(score.grade, Unknown)


def test_an_open_class_says_what_is_missing() -> None:
    grade = record_of({"bilirubin": {"value": 12, "unit": "umol/L"}, "inr": 1.0}).child_pugh.grade
    assert grade == Unknown("5 to 11 points, class A to C; not recorded: albumin, ascites, encephalopathy_grade")


def test_four_normal_items_leave_class_a_open_and_two_bad_ones_settle_it() -> None:
    normal = {"albumin": {"value": 40, "unit": "g/L"}, "inr": 1.0, "ascites": "none", "encephalopathy_grade": 0}
    assert isinstance(parse_record(normal).child_pugh.grade, Unknown)  # 5 to 7
    bad = {
        "ascites": "moderate_or_severe",
        "encephalopathy_grade": 3,
        "inr": 3,
        "albumin": {"value": 40, "unit": "g/L"},
    }
    assert parse_record(bad).child_pugh.grade == "C"  # 11 to 13


@pytest.mark.parametrize(
    ("item", "unit", "value", "flagged"),
    [
        ("bilirubin", "umol/L", 33.32, True),
        ("bilirubin", "umol/L", 33.31, False),
        ("bilirubin", "umol/L", 34, True),
        ("bilirubin", "umol/L", 34.68, True),
        ("bilirubin", "umol/L", 34.7, False),
        ("albumin", "g/dL", 3.5, True),
        ("albumin", "g/dL", 3.6, False),
        ("albumin", "g/L", 28.5, True),
        ("inr", "-", 1.73, True),
        ("pt_prolongation_s", "-", 6.1, True),
        ("pt_prolongation_s", "-", 5.5, False),
    ],
)
def test_values_within_two_percent_of_a_limit_are_flagged(item: str, unit: str, value: float, flagged: bool) -> None:
    record = record_of(field(item, unit, value))
    assert [item in sentence for sentence in record.child_pugh.near] == ([True] if flagged else [])
    assert any("within 2 %" in remark for remark in record.remarks) == flagged


def test_inr_and_prothrombin_time_that_agree_count_once() -> None:
    both = parse_record({"inr": 1.0, "pt_prolongation_s": 2})
    assert both.child_pugh.score == parse_record({"inr": 1.0}).child_pugh.score
    assert "inr and pt_prolongation_s are both given: INR counts" in both.remarks


@pytest.mark.parametrize(("inr", "seconds", "low", "high"), [(1.0, 5, 5, 6), (2.0, 1, 5, 6), (1.0, 10, 5, 7)])
def test_inr_and_prothrombin_time_that_differ_both_count(inr: float, seconds: float, low: int, high: int) -> None:
    others = {name: values[0] for name, values in ITEMS.items() if name != "inr"}
    record = parse_record({**others, "inr": inr, "pt_prolongation_s": seconds})
    assert record.child_pugh.score == Quantity(high, low, high)
    assert any("they differ in Child-Pugh points" in remark for remark in record.remarks)
    if high > 6:
        assert record.child_pugh.grade == Unknown("5 to 7 points, class A to B; INR and prothrombin time disagree")

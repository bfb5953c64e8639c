"""The trial's cases, told as a clinician tells them (*.toml beside this file), and what they have to cover."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liverplan.protocol import Decision, Outcome, Reading, decide, load_protocol
from liverplan.protocol.model import AllOf, AnyOf, Condition, FactCheck, NumberCheck
from liverplan.protocol.reading import readings
from liverplan.protocol.vocabulary import TERMS
from liverplan.quantity import Quantity, Unknown

TRIAL = load_protocol("nct06934018")
TOLD = [tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(Path(__file__).parent.glob("*.toml"))]
CASES: list[dict[str, Any]] = [case for told in TOLD for case in told["case"]]
(FULL,) = (told["full"] for told in TOLD if "full" in told)


def as_measure(value: Any) -> Quantity | Unknown | bool:
    """[value, low, high], a number, true or false, or the reason why it is not known."""
    if isinstance(value, (bool, str)):
        return value if isinstance(value, bool) else Unknown(value)
    return Quantity(*value) if isinstance(value, list) else Quantity.exactly(value)


def as_recorded(value: Any) -> Any:
    """[low, high], { value, by }, or the value as it is."""
    if isinstance(value, dict):
        return Reading(as_recorded(value["value"]), value["by"])
    return Quantity((value[0] + value[1]) / 2, *value) if isinstance(value, list) else value


def known_of(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured, and what was recorded."""
    start = FULL if case.get("full") else {"given": {}, "record": {}}
    given, record = start["given"] | case.get("given", {}), start["record"] | case.get("record", {})
    blank = case.get("blank", [])
    assert {*blank} <= {*given, *record}, "a name to blank that is not there"
    return (
        {name: as_measure(value) for name, value in given.items() if name not in blank},
        {name: as_recorded(value) for name, value in record.items() if name not in blank},
    )


def decided(case: dict[str, Any]) -> Decision:
    return decide(TRIAL, *known_of(case))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_the_trial_decides(case: dict[str, Any]) -> None:
    decision = decided(case)
    results = {result.criterion.id: result for result in decision.criteria}
    expect = case.get("expect", {})
    assert {name: results[name].outcome.value for name in expect} == expect
    assert decision.verdict.value == case.get("verdict", decision.verdict.value)
    for name, words in case.get("evidence", {}).items():
        for sentence in [words] if isinstance(words, str) else words:
            assert sentence in results[name].evidence
    for name, names in case.get("missing", {}).items():
        assert list(results[name].missing) == names


def test_every_case_says_what_it_expects_in_keys_that_exist() -> None:
    for case in CASES:
        assert {*case} <= {"name", "given", "record", "expect", "verdict", "evidence", "missing", "full", "blank"}
        assert "expect" in case or "verdict" in case, case["name"]
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("criterion", TRIAL.criteria, ids=lambda c: c.id)
@pytest.mark.parametrize("outcome", Outcome, ids=lambda o: o.value)
def test_every_criterion_has_a_case_for_each_outcome(criterion: Any, outcome: Outcome) -> None:
    assert any(case.get("expect", {}).get(criterion.id) == outcome.value for case in CASES)


def checks_of(condition: Condition) -> Iterator[NumberCheck | FactCheck]:
    if isinstance(condition, (AllOf, AnyOf)):
        for inner in condition.conditions:
            yield from checks_of(inner)
        return
    yield condition
    if condition.outranked_by:
        yield condition.on_statement()


PARTS = [(criterion.id, number, part) for criterion in TRIAL.criteria for number, part in enumerate(criterion.parts)]


@pytest.mark.parametrize(("criterion", "number", "part"), PARTS, ids=[f"{c} {part.says}" for c, _, part in PARTS])
def test_every_part_of_a_criterion_is_seen_in_each_of_its_outcomes(criterion: str, number: int, part: Any) -> None:
    seen = {
        result.parts[number].outcome
        for case in CASES
        for result in decided(case).criteria
        if result.criterion.id == criterion
    }
    never_fails = part.says == "segmentation and three-dimensional reconstruction available"
    assert seen == ({*Outcome} - {Outcome.NOT_MET} if never_fails else {*Outcome})


NUMBERS = [
    (criterion, term, check)
    for criterion, _, part in PARTS
    for check in checks_of(part.condition)
    if isinstance(check, NumberCheck)
    for term in (TERMS[name] for name in dict.fromkeys((*check.at_least, *check.at_most)))
]


def values(term: str) -> Iterator[Quantity]:
    for case in CASES:
        reading = readings(*known_of(case)).get(term)
        if reading is not None and isinstance(reading.value, Quantity):
            yield reading.value


@pytest.mark.parametrize(("criterion", "term", "check"), NUMBERS, ids=[f"{c} {t.name} {k.op}" for c, t, k in NUMBERS])
def test_every_number_is_tried_exactly_at_its_limit_and_on_both_sides_of_it(
    criterion: str, term: Any, check: NumberCheck
) -> None:
    ends = {end for q in values(term.name) for end in decisive_ends(q, term.name, check)}
    assert check.limit in ends, f"{criterion}: no case has {term.name} exactly at {check.limit:g}"
    straddled = any(q.low < check.limit < q.high for q in values(term.name))
    assert straddled, f"{criterion}: no case has {term.name} on both sides of {check.limit:g}"


def decisive_ends(quantity: Quantity, term: str, check: NumberCheck) -> set[float]:
    """The end of an interval that a bound decides with; a number that was measured itself has to be exact."""
    if check.at_least == check.at_most:
        return {quantity.value} if quantity.low == quantity.high else set()
    return {quantity.low if term in check.at_least else quantity.high}

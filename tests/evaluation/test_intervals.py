"""Bootstrap intervals: patients are drawn with their lesions; what has no spread has no interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.evaluation.intervals import Estimate, absolute_p95, estimate, mean, mean_absolute, median_absolute
from liverplan.quantity import Unknown

values = st.lists(st.floats(-50, 50, allow_nan=False), min_size=1, max_size=6)


def column(numbers) -> np.ndarray:
    return np.array(numbers, dtype=float).reshape(-1, 1)


@settings(max_examples=15, deadline=None)
@given(st.lists(values, min_size=2, max_size=5))
def test_an_interval_of_a_mean_lies_within_the_values_and_around_the_mean(groups) -> None:
    found = estimate([column(g) for g in groups], mean)
    everything = [v for g in groups for v in g]
    assert found.value == pytest.approx(np.mean(everything))
    assert found.low is not None
    assert found.high is not None
    assert min(everything) - 1e-9 <= found.low <= found.high <= max(everything) + 1e-9
    assert (found.n, found.patients, found.drawn) == (len(everything), len(groups), "patients")


def test_the_interval_of_a_mean_of_many_is_that_of_the_normal_distribution() -> None:
    numbers = np.random.default_rng(3).normal(10.0, 4.0, 100)
    found = estimate([column([v]) for v in numbers], mean)
    half = 1.96 * numbers.std() / 10.0
    assert found.low == pytest.approx(numbers.mean() - half, abs=0.15)
    assert found.high == pytest.approx(numbers.mean() + half, abs=0.15)


def test_patients_are_drawn_whole_so_that_their_lesions_do_not_count_as_independent() -> None:
    groups = [column([0.0] * 20), column([1.0] * 20), column([0.0] * 20), column([1.0] * 20)]
    whole = estimate(groups, mean, per_lesion=True)
    assert (whole.low, whole.high) == (0.0, 1.0)


def test_lesions_are_drawn_where_there_is_one_patient() -> None:
    found = estimate([column([0, 1, 1, 1])], mean, per_lesion=True)
    assert found.drawn == "lesions"
    assert found.low is not None
    assert found.low < 0.75 < found.high


def test_one_value_has_no_interval_and_says_why() -> None:
    found = estimate([column([0.8])], mean)
    assert (found.value, found.low, found.high) == (0.8, None, None)
    assert "no spread" in found.why_no_interval
    one_of_two = estimate([column([0.8]), column([])], mean)
    assert (one_of_two.n, one_of_two.patients, one_of_two.low) == (1, 1, None)


def test_nothing_is_unknown_in_figure_and_json() -> None:
    found = estimate([column([]), column([])], mean)
    assert isinstance(found.value, Unknown)
    assert found.to_json()["value"] is None
    assert found.to_json()["reason"]


def test_the_same_cases_give_the_same_interval() -> None:
    groups = [column([v]) for v in (1.0, 4.0, 9.0)]
    assert isinstance(first := estimate(groups, mean), Estimate)
    assert first == estimate(groups, mean)


def test_statistics_of_signed_errors() -> None:
    rows = column([-3.0, 1.0, 2.0])
    assert mean(rows) == 0.0
    assert mean_absolute(rows) == 2.0
    assert median_absolute(rows) == 2.0
    assert absolute_p95(rows) == pytest.approx(2.9)

"""Figures over patients with bootstrap intervals: patients are drawn, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liverplan.quantity import Unknown
from liverplan.volume import FloatArray

LEVEL_PERCENT = 95.0
N_RESAMPLES = 2000
SEED = 20260101
"""The same cases give the same intervals."""

Statistic = Callable[[FloatArray], float | None]
"""Of the pooled rows (n, columns); None where it is not defined on them."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap interval (percentile, 95 %). n: values that it was computed from; patients: how many
    they come from; drawn: what was drawn with replacement, "patients" or, where there is one, its "lesions"."""

    value: float | Unknown
    low: float | None
    high: float | None
    n: int
    patients: int
    drawn: str | None
    why_no_interval: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; an unknown figure is null with its reason."""
        value = self.value
        known = {"value": None, "reason": value.reason} if isinstance(value, Unknown) else {"value": value}
        interval = {"low": self.low, "high": self.high, "drawn": self.drawn, "why_no_interval": self.why_no_interval}
        return known | interval | {"n": self.n, "patients": self.patients}


def estimate(groups: Sequence[FloatArray], statistic: Statistic, per_lesion: bool = False) -> Estimate:
    """`statistic` of all rows with its interval. groups: rows (n, columns) of each patient; empty ones count as
    patients that have none. per_lesion: rows are lesions, which are drawn where there is one patient only."""
    filled = [g for g in groups if len(g)]
    n = sum(len(g) for g in filled)
    if not filled:
        return Estimate(Unknown("there is nothing to compute it from"), None, None, 0, 0, None)
    value = statistic(np.concatenate(filled))
    if value is None:
        return Estimate(Unknown("it is not defined on these cases"), None, None, n, len(filled), None)
    if len(groups) > 1:
        units, drawn = list(groups) if len(filled) > 1 else [], "patients"
    else:
        units, drawn = ([row[None] for row in filled[0]], "lesions") if per_lesion else ([], "patients")
    if len(units) < 2:
        return Estimate(value, None, None, n, len(filled), None, f"one {drawn.removesuffix('s')} alone has no spread")
    low, high = _interval(units, statistic)
    return Estimate(value, low, high, n, len(filled), drawn)


def _interval(units: Sequence[FloatArray], statistic: Statistic) -> tuple[float, float]:
    """Draws on which the statistic is not defined (no lesion of that size) are left out."""
    rng, drawn = np.random.default_rng(SEED), np.full(N_RESAMPLES, np.nan)
    for number in range(N_RESAMPLES):
        sample = np.concatenate([units[n] for n in rng.integers(len(units), size=len(units))])
        value = statistic(sample) if len(sample) else None
        drawn[number] = np.nan if value is None else value
    tail = (100.0 - LEVEL_PERCENT) / 2
    low, high = np.nanpercentile(drawn, [tail, 100.0 - tail])
    return float(low), float(high)


def mean(rows: FloatArray) -> float:
    """Of the first column."""
    return float(rows[:, 0].mean())


def mean_absolute(rows: FloatArray) -> float:
    """Of the first column."""
    return float(np.abs(rows[:, 0]).mean())


def median_absolute(rows: FloatArray) -> float:
    """Of the first column."""
    return float(np.median(np.abs(rows[:, 0])))


def absolute_p95(rows: FloatArray) -> float:
    """95th percentile of the first column's absolute values."""
    return float(np.percentile(np.abs(rows[:, 0]), 95.0))

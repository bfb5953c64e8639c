"""How probable it is that a quantity with an interval meets a limit.

An interval [low, high] is read as the central 95 % of a distribution whose median is the value: 2.5 % below `low`,
2.5 % above `high`. Each side is half a Gaussian with its own width (a two-piece normal), and holds half of the
probability. Intervals of remnants and bounds come from moving a boundary both ways along a monotone curve
(docs/margins.md): a Gaussian shift keeps the median and both ends there, so `p_at_least` of such an interval agrees
with `p_curve_at_least` at these three, and everywhere if the curve is straight on either side of its value.

A zero-width side holds its half of the probability at the value itself; a zero-width interval is a step.
An end that was clipped (a depth not below 0) is not a 2.5 % point: ask with the interval before it was clipped.
Nothing that the interval leaves out is in the probability either: wrong territories, missing structures, deformation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from liverplan.quantity import Quantity

Z_95 = float(ndtri(0.975))
"""Half-width of a central 95 % interval, in standard deviations of a Gaussian (1.96)."""


def p_at_least(quantity: Quantity, limit: float) -> float:
    """Probability that the true value is `limit` or more. `limit` is in the quantity's unit and may be infinite.

    Raises ValueError when the limit is NaN.
    """
    if math.isnan(limit):
        raise ValueError("a limit is a number, got NaN")
    half_width = quantity.high - quantity.value if limit > quantity.value else quantity.value - quantity.low
    return _upper_tail(limit - quantity.value, half_width / Z_95)


def p_below(quantity: Quantity, limit: float) -> float:
    """Probability that the true value is less than `limit`: 1 - p_at_least."""
    return 1.0 - p_at_least(quantity, limit)


def p_curve_at_least(
    values_at_shifts: Sequence[float], shifts_mm: Sequence[float], sd_mm: float, limit: float
) -> float:
    """Probability that a curve's value is `limit` or more where its shift is Gaussian: mean 0, `sd_mm`.

    values_at_shifts: (n,) values of a monotone curve (rising or falling; flat stretches allowed), for example FLR in
    percent when the lesions' boundary lies `shifts_mm` further out; shifts_mm: (n,) rising. Between samples the curve
    is a straight line; beyond the outer samples it keeps their value.

    Raises ValueError when the samples do not fit these words, or do not reach 1.96 sd_mm on both sides of 0: what lies
    beyond them would then be more than the 5 % that an interval leaves out.
    """
    values, shifts = np.asarray(values_at_shifts, dtype=float), np.asarray(shifts_mm, dtype=float)
    _require_curve(values, shifts, sd_mm, limit)
    if values[0] <= values[-1]:
        return _upper_tail(_first_at_least(values, shifts, limit), sd_mm)
    # The curve falls: it meets the limit at all shifts up to a last one. Mirrored, that is a rising curve's first one.
    return _upper_tail(_first_at_least(values[::-1], -shifts[::-1], limit), sd_mm)


def _upper_tail(distance: float, sd: float) -> float:
    """P(Z >= distance) for Z Gaussian with mean 0 and `sd`; a step that includes 0 when sd is 0."""
    if sd == 0.0:
        return float(distance <= 0.0)
    return float(ndtr(-distance / sd))


def _first_at_least(rising: np.ndarray, shifts: np.ndarray, limit: float) -> float:
    """The least shift at which a rising piecewise linear curve reaches `limit`: -inf when always, inf when never."""
    at = int(np.searchsorted(rising, limit, side="left"))
    if at == 0:
        return -math.inf
    if at == len(rising):
        return math.inf
    share = (limit - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(shifts[at - 1] + share * (shifts[at] - shifts[at - 1]))


def _require_curve(values: np.ndarray, shifts: np.ndarray, sd_mm: float, limit: float) -> None:
    if values.ndim != 1 or values.shape != shifts.shape or len(values) < 2:
        raise ValueError(f"a curve has two or more values, one per shift; got shapes {values.shape} and {shifts.shape}")
    if not (np.isfinite(values).all() and np.isfinite(shifts).all()) or math.isnan(limit):
        raise ValueError("values, shifts and the limit of a curve are numbers; use Unknown where one is not known")
    if not (math.isfinite(sd_mm) and sd_mm >= 0.0):
        raise ValueError(f"a standard deviation is zero or more, got {sd_mm}")
    steps = np.diff(values)
    if not (np.diff(shifts) > 0.0).all() or not ((steps >= 0.0).all() or (steps <= 0.0).all()):
        raise ValueError("shifts rise, and the values at them rise or fall throughout")
    reach = Z_95 * sd_mm * (1.0 - 1e-9)
    if shifts[0] > -reach or shifts[-1] < reach:
        raise ValueError(f"the shifts reach {reach:.2f} mm on both sides of 0, got {shifts[0]:g} to {shifts[-1]:g} mm")

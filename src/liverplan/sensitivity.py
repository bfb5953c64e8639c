"""What a displaced boundary would change: remnant, bound and probabilities under shifts of the lesions' surface.

If the lesions reach `shift` further out than they were drawn, every place is lost `shift` earlier: loss becomes
loss - shift (docs/margins.md). The remnant at margin m is then the one read at m + shift, and the bound falls by shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverplan.margin import LossField, UpperBound, flr_percent
from liverplan.probability import Z_95, p_at_least, p_curve_at_least
from liverplan.quantity import Unknown

SHIFTS_MM = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
_SAMPLES = 25


@dataclass(frozen=True)
class Shifted:
    """The case if the lesions' boundary lay `shift_mm` further out. FLR at the protocol's margin; None where unknown.

    margin_upper_mm: the bound, not below 0. reaches: whether it still reaches the protocol's margin.
    """

    shift_mm: float
    flr_percent: float | None
    geometric_flr_percent: float | None
    margin_upper_mm: float | None
    reaches: bool | None


@dataclass(frozen=True)
class Sensitivity:
    """rows by shift; p_bound: that the largest possible margin reaches the protocol's; p_flr: that the remnant left by
    the margin region alone, the most that any resection can leave, reaches its limit. None where unknown."""

    rows: tuple[Shifted, ...]
    p_bound: float | None
    p_flr: float | None


def sensitivity(
    field: LossField,
    bound: UpperBound | Unknown,
    wide_margin_mm: float,
    flr_limit_percent: float,
    remnant_unknown: Unknown | None,
    shifts_mm: Sequence[float] = SHIFTS_MM,
) -> Sensitivity:
    """The case under boundary shifts (mm, outwards positive); without lesions there is nothing to shift."""
    if not field.lesions:
        return Sensitivity((), None, None)
    known = remnant_unknown is None
    rows = tuple(_shifted(field, bound, wide_margin_mm, s, known) for s in shifts_mm)
    p_bound = None if isinstance(bound, Unknown) else p_at_least(bound.margin_mm, wide_margin_mm)
    return Sensitivity(rows, p_bound, _p_flr(field, wide_margin_mm, flr_limit_percent) if known else None)


def _shifted(
    field: LossField, bound: UpperBound | Unknown, wide_margin_mm: float, shift_mm: float, known: bool
) -> Shifted:
    upper = None if isinstance(bound, Unknown) else max(bound.margin_mm.value - shift_mm, 0.0)
    at = wide_margin_mm + shift_mm
    return Shifted(
        shift_mm,
        flr_percent(field, at, True) if known and field.functional else None,
        flr_percent(field, at, False) if known else None,
        upper,
        None if upper is None else upper >= wide_margin_mm,
    )


def _p_flr(field: LossField, wide_margin_mm: float, limit_percent: float) -> float:
    """Functional where both trees are there: Gaussian shifts whose 95 % half-width is the loss field's own."""
    half_width = field.functional_half_width_mm if field.functional else field.half_width_mm
    shifts = np.linspace(-1.5 * half_width, 1.5 * half_width, _SAMPLES)
    values = [flr_percent(field, wide_margin_mm + float(s), field.functional) for s in shifts]
    return p_curve_at_least(values, shifts.tolist(), half_width / Z_95, limit_percent)

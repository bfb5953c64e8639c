"""The probability that a quantity meets a limit, against scipy.stats and drawn samples."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from liverplan.probability import Z_95, p_at_least, p_below, p_curve_at_least
from liverplan.quantity import Quantity

WIDTHS = st.floats(0.0, 20.0).filter(lambda width: width == 0.0 or width > 1e-6)
LIMITS = st.floats(-60.0, 60.0)


@st.composite
def quantities(draw):
    value = draw(st.floats(-50.0, 50.0))
    return Quantity(value, value - draw(WIDTHS), value + draw(WIDTHS))


@st.composite
def curves(draw):
    """A monotone curve with its shifts, and a spread that the shifts reach."""
    sd = draw(st.floats(0.1, 5.0))
    reach = draw(st.floats(2.0, 4.0)) * sd
    steps = draw(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12))
    rising = draw(st.floats(-50.0, 50.0)) + np.concatenate([[0.0], np.cumsum(steps)])
    values = rising if draw(st.booleans()) else rising[::-1]
    return values, np.linspace(-reach, reach, len(values)), sd


# ------------------------------------------------------------------------------------------------ one interval


@given(st.floats(-50.0, 50.0), st.floats(0.1, 20.0), LIMITS)
def test_an_even_interval_is_the_central_95_percent_of_a_gaussian(value, half, limit):
    gaussian = stats.norm(value, half / stats.norm.ppf(0.975))
    assert p_at_least(Quantity.around(value, half), limit) == pytest.approx(gaussian.sf(limit), abs=1e-12)


@given(st.floats(-50.0, 50.0), st.floats(0.1, 20.0), st.floats(0.1, 20.0))
def test_value_and_ends_are_the_median_and_the_two_and_a_half_percent_points(value, below, above):
    found = Quantity(value, value - below, value + above)
    at = [p_at_least(found, limit) for limit in (found.low, found.value, found.high)]
    assert at == pytest.approx([0.975, 0.5, 0.025], abs=1e-9)


def test_each_side_of_an_uneven_interval_has_its_own_width():
    z = np.random.default_rng(1).standard_normal(400_000)
    drawn = 10.0 + np.where(z < 0.0, 1.0 / Z_95 * z, 4.0 / Z_95 * z)
    for limit in (9.0, 9.7, 10.5, 12.0, 13.0):
        assert p_at_least(Quantity(10.0, 9.0, 14.0), limit) == pytest.approx((drawn >= limit).mean(), abs=0.004)


@given(st.floats(-50.0, 50.0), LIMITS)
def test_a_value_without_uncertainty_meets_a_limit_or_does_not(value, limit):
    assert p_at_least(Quantity.exactly(value), limit) == (1.0 if value >= limit else 0.0)


def test_a_value_exactly_at_the_limit_meets_it():
    assert p_at_least(Quantity.exactly(30.0), 30.0) == 1.0


def test_a_side_without_width_holds_its_half_at_the_value():
    floored = Quantity(0.0, 0.0, 3.0)
    assert p_at_least(floored, 0.0) == 1.0
    assert p_at_least(floored, 1e-9) == pytest.approx(0.5)
    assert p_at_least(floored, 3.0) == pytest.approx(0.025)


@given(quantities(), LIMITS, LIMITS)
def test_a_probability_lies_between_0_and_1_and_falls_as_the_limit_rises(quantity, one, other):
    low, high = sorted((one, other))
    assert 1.0 >= p_at_least(quantity, low) >= p_at_least(quantity, high) >= 0.0


@given(quantities(), LIMITS)
def test_at_least_and_below_make_up_the_whole(quantity, limit):
    assert p_at_least(quantity, limit) + p_below(quantity, limit) == pytest.approx(1.0)


@given(quantities(), LIMITS)
def test_the_mirrored_quantity_has_the_complementary_probability(quantity, limit):
    assume(limit != quantity.value and quantity.low < quantity.value < quantity.high)
    mirrored = Quantity(-quantity.value, -quantity.high, -quantity.low)
    assert p_at_least(mirrored, -limit) == pytest.approx(p_below(quantity, limit), abs=1e-9)


def test_infinite_limits_are_always_and_never_met():
    found = Quantity(5.0, 4.0, 7.0)
    assert (p_at_least(found, -math.inf), p_at_least(found, math.inf)) == (1.0, 0.0)


def test_a_limit_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        p_at_least(Quantity(5.0, 4.0, 7.0), math.nan)


# ------------------------------------------------------------------------------------------------ along a curve


@given(curves(), LIMITS)
def test_a_curve_gives_the_share_of_gaussian_shifts_at_which_it_meets_the_limit(curve, limit):
    values, shifts, sd = curve
    edges = np.linspace(-6.0 * sd, 6.0 * sd, 40_001)
    middles = (edges[1:] + edges[:-1]) / 2.0
    mass = np.diff(stats.norm(0.0, sd).cdf(edges))
    assume(np.abs(values - limit).min() > 1e-6)
    expected = mass[np.interp(middles, shifts, values) >= limit].sum()
    assert p_curve_at_least(values, shifts, sd, limit) == pytest.approx(expected, abs=1e-3)


@given(st.floats(-30.0, 30.0), st.floats(0.1, 5.0), st.sampled_from([-3.0, -0.5, 0.5, 3.0]), LIMITS)
def test_a_straight_curve_agrees_with_the_interval_that_it_makes(value, sd, slope, limit):
    assume(abs(limit - value) < 2.9 * sd * abs(slope))
    shifts = [-3.0 * sd, 0.0, 3.0 * sd]
    interval = Quantity.around(value, Z_95 * sd * abs(slope))
    found = p_curve_at_least([value + slope * shift for shift in shifts], shifts, sd, limit)
    assert found == pytest.approx(p_at_least(interval, limit), abs=1e-9)


@given(curves(), LIMITS, LIMITS)
def test_the_curves_probability_lies_between_0_and_1_and_falls_as_the_limit_rises(curve, one, other):
    low, high = sorted((one, other))
    assert 1.0 >= p_curve_at_least(*curve, low) >= p_curve_at_least(*curve, high) >= 0.0


@given(curves(), LIMITS)
def test_a_curve_and_its_reverse_are_complementary(curve, limit):
    values, shifts, sd = curve
    assume(np.abs(values - limit).min() > 1e-6)
    below = 1.0 - p_curve_at_least(values, shifts, sd, limit)
    assert p_curve_at_least(-values, shifts, sd, -limit) == pytest.approx(below, abs=1e-9)


def test_a_jump_that_crosses_the_limit_puts_the_probability_where_the_jump_is():
    shifts = [-4.0, 0.999, 1.001, 4.0]
    found = p_curve_at_least([45.0, 45.0, 20.0, 20.0], shifts, 1.0, 30.0)
    assert found == pytest.approx(stats.norm.cdf(1.0), abs=1e-3)


def test_a_flat_stretch_at_the_limit_meets_it():
    assert p_curve_at_least([40.0, 30.0, 30.0, 20.0], [-3.0, -1.0, 1.0, 3.0], 1.0, 30.0) == pytest.approx(
        stats.norm.cdf(1.0)
    )


def test_a_curve_that_never_or_always_meets_the_limit_says_so():
    shifts = [-2.0, 0.0, 2.0]
    assert p_curve_at_least([50.0, 45.0, 40.0], shifts, 1.0, 30.0) == 1.0
    assert p_curve_at_least([29.0, 25.0, 20.0], shifts, 1.0, 30.0) == 0.0


def test_without_spread_a_curve_is_judged_where_it_stands():
    shifts = [-1.0, 0.0, 1.0]
    assert p_curve_at_least([35.0, 30.0, 25.0], shifts, 0.0, 30.0) == 1.0
    assert p_curve_at_least([35.0, 29.9, 25.0], shifts, 0.0, 30.0) == 0.0


def test_samples_that_end_where_the_interval_ends_are_enough():
    assert p_curve_at_least([35.0, 25.0], [-Z_95 * 0.7, Z_95 * 0.7], 0.7, 30.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "shifts", "sd", "limit", "message"),
    [
        ([40.0, 30.0], [-1.0, 0.0, 1.0], 0.3, 30.0, "one per shift"),
        ([40.0], [0.0], 0.3, 30.0, "two or more"),
        ([40.0, math.nan, 20.0], [-1.0, 0.0, 1.0], 0.3, 30.0, "use Unknown"),
        ([40.0, 30.0, 20.0], [-1.0, 0.0, 1.0], 0.3, math.nan, "use Unknown"),
        ([40.0, 30.0, 20.0], [-1.0, 0.0, 1.0], -0.3, 30.0, "zero or more"),
        ([40.0, 30.0, 20.0], [1.0, 0.0, -1.0], 0.3, 30.0, "shifts rise"),
        ([40.0, 30.0, 35.0], [-1.0, 0.0, 1.0], 0.3, 30.0, "rise or fall throughout"),
        ([40.0, 30.0, 20.0], [-1.0, 0.0, 1.0], 0.6, 30.0, "both sides of 0"),
    ],
)
def test_samples_that_make_no_curve_are_refused(values, shifts, sd, limit, message):
    with pytest.raises(ValueError, match=message):
        p_curve_at_least(values, shifts, sd, limit)

"""Quantities carry intervals and refuse stand-ins."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.quantity import Distance, Quantity


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_neither_nan_nor_infinity_is_a_quantity(bad):
    with pytest.raises(ValueError, match="finite"):
        Quantity(bad, bad, bad)


def test_a_value_outside_its_interval_is_refused():
    with pytest.raises(ValueError, match="inside its interval"):
        Quantity(5.0, 6.0, 7.0)


@given(st.floats(-100, 100), st.floats(0, 50), st.floats(-10, 10))
def test_a_floor_holds_for_value_and_both_ends(value, half, floor):
    found = Quantity.around(value, half, floor=floor)
    assert floor <= found.low <= found.value <= found.high


def test_a_distance_is_a_quantity_with_witnesses():
    distance = Distance(5.0, 4.0, 6.0, ((0.0, 0.0, 0.0), (3.0, 4.0, 0.0)))
    assert distance.quantity == Quantity(5.0, 4.0, 6.0)

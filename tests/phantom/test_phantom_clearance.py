"""Exact gaps between lesions, vessels and the liver's surface."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.phantom.clearance import gap_between, gap_to_surface, gap_to_tree
from liverplan.phantom.organs import turned
from liverplan.phantom.shapes import Ellipsoid, Sphere
from liverplan.phantom.trees import Tree


def straight(start: tuple[float, ...], end: tuple[float, ...], radius: float) -> Tree:
    return Tree(np.array([start]), np.array([end]), np.array([radius]), np.array([-1], dtype=np.int32))


@settings(deadline=None)
@given(st.floats(2, 20), st.floats(0.5, 8), st.floats(-5, 30), st.floats(-40, 40))
def test_a_ball_beside_a_straight_vessel_is_exact(ball: float, vessel: float, gap: float, along: float) -> None:
    centre = (along, ball + vessel + gap, 0.0)
    found = gap_to_tree(Sphere(centre, ball), straight((-60, 0, 0), (60, 0, 0), vessel))
    if ball + vessel + gap > vessel:
        assert found.value_mm == pytest.approx(gap, abs=1e-6)


def test_witness_points_lie_on_the_two_surfaces_as_far_apart_as_the_gap_says() -> None:
    lesion = Ellipsoid((0, 20, 3), (10, 7, 6), turned((20, 30, 40)))
    vessel = straight((-60, 0, -10), (60, 5, 10), 3.0)
    found = gap_to_tree(lesion, vessel)
    surface, wall = (np.array([w]) for w in found.witness_lps_mm)
    assert abs(lesion.distance_mm(surface)[0]) < 1e-6
    assert abs(vessel.distance_mm(wall)[0]) < 1e-6
    assert np.linalg.norm(surface - wall) == pytest.approx(found.value_mm, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.floats(4, 14)] * 3), st.floats(-30, 30))
def test_the_gap_of_an_ellipsoid_is_the_least_over_a_fine_axis(
    turn: tuple[float, float, float], semi: tuple[float, float, float], height: float
) -> None:
    lesion = Ellipsoid((0, 22, 0), semi, turned(turn))
    vessel = straight((-50, 0, height), (50, 8, -height), 2.0)
    axis, _ = vessel.axis_points(0.02)
    by_hand = lesion.distance_mm(axis).min() - 2.0
    assert gap_to_tree(lesion, vessel).value_mm == pytest.approx(by_hand, abs=1e-4)
    assert gap_to_tree(lesion, vessel).value_mm <= by_hand + 1e-9


def test_an_overlap_is_negative_and_as_deep_as_it_says() -> None:
    found = gap_to_tree(Sphere((0, 8, 0), 10), straight((-60, 0, 0), (60, 0, 0), 2.0))
    assert found.value_mm == pytest.approx(-4.0, abs=1e-6)
    surface, wall = (np.array(w) for w in found.witness_lps_mm)
    assert np.linalg.norm(surface - wall) == pytest.approx(4.0, abs=1e-6)


def test_two_balls_and_two_ellipsoids_apart() -> None:
    assert gap_between(Sphere((0, 0, 0), 5), Sphere((0, 0, 20), 6)).value_mm == pytest.approx(9.0, abs=1e-8)
    one, other = (
        Ellipsoid((0, 0, 0), (9, 5, 4), turned((10, 20, 30))),
        Ellipsoid((22, 6, 3), (8, 6, 5), turned((50, 0, 9))),
    )
    samples = np.random.default_rng(0).normal(size=(200000, 3))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    cloud = np.array(other.centre_mm) + (samples * other.semi_axes_mm) @ np.array(other.axes)
    by_hand = one.distance_mm(cloud).min()
    assert gap_between(one, other).value_mm == pytest.approx(by_hand, abs=2e-3)


def test_overlapping_lesions_are_an_error() -> None:
    with pytest.raises(ValueError, match="overlap"):
        gap_between(Sphere((0, 0, 0), 5), Sphere((0, 0, 7), 6))


def test_the_distance_to_the_organs_surface_is_exact_in_a_ball() -> None:
    organ = Sphere((0, 0, 0), 60)
    assert gap_to_surface(Sphere((20, 10, 5), 8), organ).value_mm == pytest.approx(
        60 - 8 - np.linalg.norm((20, 10, 5)), abs=1e-6
    )


def test_a_lesion_that_sticks_out_of_the_organ_has_a_negative_distance() -> None:
    assert gap_to_surface(Sphere((50, 0, 0), 12), Sphere((0, 0, 0), 60)).value_mm == pytest.approx(-2.0, abs=1e-6)

"""Distances: sub-voxel, with intervals that hold the truth and witnesses that can be checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.distance import BoundaryError, Wall, clearance, closest_on_triangles, discretisation_mm, nearest_points
from liverplan.surface import sub_voxel_surface
from liverplan.volume import Grid
from simple_case import tube_distance_mm

EXACT = BoundaryError(0.0, 0.0, 0.0)


def ball_beside_tube(spacing, radius, tube_radius, gap, angle):
    """A ball at the origin and a tube at a known gap; the tube's axis is tilted by `angle` (radians)."""
    axis = np.array([np.cos(angle), np.sin(angle) * 0.6, np.sin(angle) * 0.8])
    across = np.cross(axis, [0.3, -0.5, 0.8])
    across /= np.linalg.norm(across)
    foot = across * (radius + gap + tube_radius)
    tube = (foot - 14 * axis, foot + 14 * axis, tube_radius)
    low = np.minimum(-radius, np.minimum(tube[0], tube[1]) - tube_radius) - 4
    high = np.maximum(radius, np.maximum(tube[0], tube[1]) + tube_radius) + 4
    shape = tuple(int(n) for n in np.ceil((high - low) / np.array(spacing)) + 1)
    grid = Grid.from_spacing(shape, spacing, tuple(low))
    where = grid.to_world(np.stack(np.indices(shape), -1))
    return np.linalg.norm(where, axis=-1) <= radius, tube_distance_mm(where, tube) <= 0, grid, tube


@settings(max_examples=20, deadline=None)
@given(st.floats(5, 15), st.floats(1.5, 5), st.floats(0.5, 12), st.floats(0, 3))
def test_the_clearance_to_a_tube_is_right_to_a_third_of_a_millimetre(radius, tube_radius, gap, angle):
    lesion, vessel, grid, _ = ball_beside_tube((0.8, 0.8, 0.8), radius, tube_radius, gap, angle)
    found = clearance(sub_voxel_surface(lesion, grid), Wall.of(vessel, grid), EXACT)
    assert found.value_mm == pytest.approx(gap, abs=0.35)


@settings(max_examples=12, deadline=None)
@given(st.floats(6, 15), st.floats(2, 5), st.floats(0.5, 12), st.floats(0, 3))
def test_witnesses_lie_on_both_walls_and_are_as_far_apart_as_the_distance_says(radius, tube_radius, gap, angle):
    lesion, vessel, grid, tube = ball_beside_tube((0.8, 0.8, 0.8), radius, tube_radius, gap, angle)
    found = clearance(sub_voxel_surface(lesion, grid), Wall.of(vessel, grid), EXACT)
    start, end = np.array(found.witness_lps_mm)
    assert np.linalg.norm(start) == pytest.approx(radius, abs=0.4)
    assert tube_distance_mm(end, tube) == pytest.approx(0.0, abs=0.4)
    assert np.linalg.norm(end - start) == pytest.approx(found.value_mm, abs=1e-6)


def test_thick_slices_widen_the_interval_most_along_the_slice_direction():
    grid = Grid.from_spacing((5, 5, 5), (0.8, 0.8, 5.0))
    across, along = (discretisation_mm(grid, np.array(v)) for v in ([1.0, 0, 0], [0, 0, 1.0]))
    isotropic = discretisation_mm(Grid.from_spacing((5, 5, 5), (0.8, 0.8, 0.8)), np.array([0, 0, 1.0]))
    assert isotropic < across < along
    assert along > 2.0, "a distance along 5 mm slices is uncertain by millimetres"


def test_a_readers_boundary_error_widens_the_interval_and_leaves_the_value():
    lesion, vessel, grid, _ = ball_beside_tube((0.8, 0.8, 0.8), 8.0, 3.0, 5.0, 0.4)
    surface = sub_voxel_surface(lesion, grid)
    exact, read = (
        clearance(surface, Wall.of(vessel, grid), EXACT),
        clearance(surface, Wall.of(vessel, grid), BoundaryError()),
    )
    assert read.value_mm == exact.value_mm
    assert read.low_mm < exact.low_mm <= exact.value_mm <= exact.high_mm < read.high_mm


def test_overlapping_structures_have_a_negative_distance():
    lesion, vessel, grid, _ = ball_beside_tube((0.8, 0.8, 0.8), 10.0, 3.0, -2.5, 0.4)
    assert clearance(sub_voxel_surface(lesion, grid), Wall.of(vessel, grid), EXACT).value_mm == pytest.approx(
        -2.5, abs=0.4
    )


def test_a_vessel_that_is_cut_by_the_box_is_not_measured_to_its_cap():
    # A long tube far away: the box around the nearest wall cuts it, and the cut is no wall.
    spacing = (1.0, 1.0, 1.0)
    grid = Grid.from_spacing((40, 40, 120), spacing)
    where = grid.to_world(np.stack(np.indices(grid.shape), -1))
    vessel = np.linalg.norm(where[..., :2] - 30.0, axis=-1) <= 4.0
    lesion = np.linalg.norm(where - np.array([10.2, 30.1, 60.3]), axis=-1) <= 6.0
    found = clearance(sub_voxel_surface(lesion, grid), Wall.of(vessel, grid), EXACT)
    assert found.value_mm == pytest.approx(30 - 10.2 - 10.0, abs=0.3)
    assert abs(found.witness_lps_mm[1][2] - 60.3) < 3.0


def test_the_clearance_to_an_absent_structure_is_an_error_not_infinity():
    _, vessel, grid, _ = ball_beside_tube((1.0, 1.0, 1.0), 8.0, 3.0, 5.0, 0.4)
    with pytest.raises(ValueError, match="does not exist"):
        Wall.of(np.zeros_like(vessel), grid)


def test_two_balls_are_as_far_apart_as_their_surfaces():
    grid = Grid.from_spacing((70, 40, 40), (1.0, 1.0, 1.0))
    where = grid.to_world(np.stack(np.indices(grid.shape), -1))
    one = np.linalg.norm(where - np.array([15.3, 20.1, 19.7]), axis=-1) <= 8.0
    two = np.linalg.norm(where - np.array([50.2, 20.4, 20.0]), axis=-1) <= 10.0
    value, _, _ = nearest_points(sub_voxel_surface(one, grid), sub_voxel_surface(two, grid))
    assert value == pytest.approx(np.linalg.norm([34.9, 0.3, 0.3]) - 18.0, abs=0.2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=12, max_size=12))
def test_the_closest_point_on_a_triangle_beats_every_other_point_of_it(numbers):
    values = np.array(numbers).reshape(4, 3)
    point, triangle = values[0], values[1:]
    foot = closest_on_triangles(point[None, None], triangle[None, None].reshape(1, 1, 3, 3))[0, 0]
    rng = np.random.default_rng(0)
    weights = rng.dirichlet((1, 1, 1), 400)
    others = weights @ triangle
    assert np.linalg.norm(foot - point) <= np.linalg.norm(others - point, axis=1).min() + 1e-6

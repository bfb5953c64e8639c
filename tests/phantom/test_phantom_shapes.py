"""Signed distances against brute force, and the one promise every shape keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.phantom.organs import liver_outline, sized, turned
from liverplan.phantom.shapes import (
    Capsule,
    Carved,
    Common,
    Ellipsoid,
    EllipticCylinder,
    HalfSpace,
    Placed,
    Shape,
    SmoothUnion,
    Sphere,
    tight_box,
    volume_ml,
)

coordinate = st.floats(-60, 60)
point = st.tuples(coordinate, coordinate, coordinate)
semi_axis = st.floats(2.0, 30.0)
ellipsoids = st.builds(
    Ellipsoid,
    st.just((1.0, -2.0, 3.0)),
    st.tuples(semi_axis, semi_axis, semi_axis),
    st.tuples(*[st.floats(-180, 180)] * 3).map(turned),
)
SHAPES: dict[str, Shape] = {
    "sphere": Sphere((1, 2, 3), 12.0),
    "ellipsoid": Ellipsoid((0, 0, 0), (20, 12, 7), turned((20, 40, -30))),
    "capsule": Capsule((-10, 0, 5), (15, 8, -4), 4.0),
    "half space": HalfSpace((1, 1, 1), (1, -2, 0.5)),
    "cylinder": EllipticCylinder((2, 3), (25, 15)),
    "squarer cylinder": EllipticCylinder((2, 3), (25, 15), 2.5),
    "smooth union": SmoothUnion((Sphere((0, 0, 0), 12), Ellipsoid((14, 0, 0), (18, 9, 8))), 8.0),
    "carved": Carved(Sphere((0, 0, 0), 20), (Capsule((10, 0, -30), (10, 0, 30), 6),), 4.0),
    "common": Common((Sphere((0, 0, 0), 20), HalfSpace((0, 0, 0), (0, 0, 1)))),
    "placed": Placed(Sphere((5, 0, 0), 10), 1.7, (3.0, -2.0, 1.0)),
    "liver": liver_outline(np.random.default_rng(0)),
}


def surface_samples(shape: Ellipsoid, count: int = 60000) -> np.ndarray:
    directions = np.random.default_rng(0).normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.array(shape.centre_mm) + (directions * shape.semi_axes_mm) @ np.array(shape.axes)


@settings(max_examples=40, deadline=None)
@given(ellipsoids, point)
def test_the_ellipsoid_distance_is_the_least_over_its_surface(shape: Ellipsoid, where: tuple[float, ...]) -> None:
    here = np.array([where])
    nearest = np.linalg.norm(surface_samples(shape) - here, axis=1).min()
    found = abs(shape.distance_mm(here)[0])
    spacing = 4.0 * max(shape.semi_axes_mm) / np.sqrt(60000)  # how far apart the samples lie at worst
    assert found <= nearest + 1e-9
    assert nearest <= np.hypot(found, 4 * spacing) + spacing


@settings(max_examples=60, deadline=None)
@given(ellipsoids, point)
def test_the_nearest_surface_point_lies_on_the_ellipsoid_and_square_to_it(
    shape: Ellipsoid, where: tuple[float, ...]
) -> None:
    here = np.array([where])
    local = (shape.surface_point(here)[0] - shape.centre_mm) @ np.array(shape.axes).T
    semi = np.array(shape.semi_axes_mm)
    assert np.sum((local / semi) ** 2) == pytest.approx(1.0, abs=1e-7)
    normal = local / semi**2
    way = (here[0] - shape.centre_mm) @ np.array(shape.axes).T - local
    if np.linalg.norm(way) > 1e-3:
        assert np.linalg.norm(np.cross(way, normal)) <= 1e-5 * np.linalg.norm(way) * np.linalg.norm(normal)


@pytest.mark.parametrize("where", [(0, 0, 0), (0, 0, 1e-9), (5, 0, 0), (0, 3, 0)])
def test_the_ellipsoid_distance_is_right_on_its_symmetry_planes(where: tuple[float, ...]) -> None:
    shape = Ellipsoid((0, 0, 0), (20, 12, 7))
    nearest = np.linalg.norm(surface_samples(shape) - where, axis=1).min()
    assert shape.distance_mm(np.array([where]))[0] == pytest.approx(-nearest, abs=0.02)


def test_a_ball_written_as_an_ellipsoid_is_the_ball() -> None:
    points = np.random.default_rng(1).uniform(-40, 40, (500, 3))
    ball = Ellipsoid((1, 2, 3), (9, 9, 9), turned((10, 20, 30)))
    assert ball.distance_mm(points) == pytest.approx(Sphere((1, 2, 3), 9).distance_mm(points), abs=1e-9)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=60, deadline=None)
@given(point, st.floats(0.01, 20), st.tuples(*[st.floats(-1, 1)] * 3))
def test_signed_values_never_change_faster_than_the_point_moves(
    name: str, where: tuple[float, ...], step: float, way: tuple[float, ...]
) -> None:
    size = np.linalg.norm(way)
    if size < 1e-3:
        return
    pair = np.array([where, np.array(where) + step * np.array(way) / size])
    values = SHAPES[name].signed_mm(pair)
    assert abs(values[1] - values[0]) <= step * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("name", [n for n in SHAPES if n not in ("half space", "cylinder", "squarer cylinder")])
def test_a_shape_lies_in_its_boxes(name: str) -> None:
    points = np.random.default_rng(2).uniform(-150, 150, (40000, 3))
    inner = points[SHAPES[name].signed_mm(points) < 0]
    for low, high in (SHAPES[name].box_mm(), tight_box(SHAPES[name])):
        assert (inner >= low).all()
        assert (inner <= high).all()


def test_capsule_and_half_space_against_arithmetic() -> None:
    capsule = Capsule((0, 0, 0), (10, 0, 0), 2.0)
    assert capsule.signed_mm(np.array([[5.0, 6, 0], [13, 4, 0], [5, 0, 0]])) == pytest.approx([4.0, 3.0, -2.0])
    plane = HalfSpace((0, 0, 5), (0, 0, 2))
    assert plane.signed_mm(np.array([[9.0, 9, 8]])) == pytest.approx([3.0])


def test_volumes_agree_with_the_formula() -> None:
    assert volume_ml(Sphere((3, 4, 5), 30)) == pytest.approx(Sphere((3, 4, 5), 30).volume_ml, rel=2e-3)
    shape = Ellipsoid((0, 0, 0), (30, 20, 10), turned((30, 20, 10)))
    assert volume_ml(shape) == pytest.approx(4 / 3 * np.pi * 6.0, rel=2e-3)


@pytest.mark.parametrize("wanted", [1000.0, 1450.0, 1900.0])
def test_a_liver_has_the_size_and_extents_of_an_adults(wanted: float) -> None:
    liver = sized(liver_outline(np.random.default_rng(3)), wanted)
    assert volume_ml(liver) == pytest.approx(wanted, rel=5e-3)
    low, high = tight_box(liver, 2.0)
    across, deep, tall = high - low
    assert 170 <= across <= 250
    assert 110 <= deep <= 190
    assert 105 <= tall <= 170


def test_the_right_lobe_is_thick_and_on_the_patients_right() -> None:
    liver = sized(liver_outline(np.random.default_rng(4)), 1450.0)
    points = np.random.default_rng(5).uniform(-140, 140, (200000, 3))
    inner = points[liver.signed_mm(points) < 0]
    right, left = inner[inner[:, 0] < -40], inner[inner[:, 0] > 30]
    assert len(right) > 4 * len(left)
    assert np.ptp(right[:, 2]) > 1.5 * np.ptp(left[:, 2])

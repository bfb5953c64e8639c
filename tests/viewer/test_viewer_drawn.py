"""A cut drawn on the liver: its wall goes through the clicks, and its numbers are those of the same plane."""

from __future__ import annotations

import numpy as np
import pytest

from liverplan.viewer.cutting import measure_plane
from liverplan.viewer.drawn import FAR_MM, Click, curve, measure_drawn, wall
from liverplan.viewer.margins import rebuild
from liverplan.viewer.opened import open_case

DOWN = np.array([0.0, 0.0, -1.0])
BACK = np.array([0.0, 1.0, 0.0])


@pytest.fixture(scope="module")
def opened(planned):
    return open_case(planned)


@pytest.fixture(scope="module")
def ready(opened):
    return rebuild(opened.segmentation, lambda _fraction, _stage: None).prepared


def clicks(*points, along=BACK):
    return [Click(np.array(point, dtype=float), along) for point in points]


def test_a_line_through_two_clicks_is_straight_and_through_three_goes_through_each():
    straight = curve(np.array([[0.0, 0, 0], [10.0, 0, 0]]))
    assert np.abs(straight[:, 1:]).max() == 0.0
    points = np.array([[0.0, 0, 0], [10.0, 5, 0], [20.0, 0, 0]])
    for point in points:
        assert np.linalg.norm(curve(points) - point, axis=1).min() < 1e-9


def test_the_wall_holds_the_way_that_was_looked_and_ends_beyond_any_liver():
    vertices = wall(clicks((0, -50, 20), (10, -50, -20))).vertices_lps_mm
    normal = np.cross([10.0, 0, -40], BACK)
    assert np.abs((vertices - [0, -50, 20]) @ normal).max() / np.linalg.norm(normal) < 1e-6
    assert np.ptp(vertices[:, 1]) == pytest.approx(2 * FAR_MM)
    assert np.ptp(vertices[:, 2]) > 2 * FAR_MM * 0.9


@pytest.mark.parametrize("towards", [BACK, DOWN])
def test_two_clicks_cut_as_the_plane_through_them_does(opened, ready, towards):
    """Both clicks at x = 20: the plane x = 20, whatever way it was looked, as long as that lies in the plane."""
    ends = ((20, -40, 30), (20, -40, -30)) if towards is BACK else ((20, -30, 40), (20, 30, 40))
    drawn = measure_drawn(ready, "cut", wall(clicks(*ends, along=towards)), opened.segmentation, opened.report)
    plane = measure_plane(ready, "cut", np.array([20.0, 0, 0]), np.array([1.0, 0, 0]), opened.report)
    assert np.array_equal(drawn.specimen, plane.specimen)
    assert drawn.row["margin_mm"] == plane.row["margin_mm"]
    assert drawn.row["flr_percent"] == plane.row["flr_percent"]


def test_a_bent_cut_takes_out_what_lies_on_the_lesions_side_of_the_bend(opened, ready):
    """A wall along z whose line is V-shaped in x and y: x = 20 - |y| / 2 on the liver."""
    bent = clicks((0, -40, 60), (20, 0, 60), (0, 40, 60), along=DOWN)
    found = measure_drawn(ready, "cut", wall(bent), opened.segmentation, opened.report)
    at = found.grid.to_world(np.argwhere(found.specimen))
    assert (at[:, 0] < 24 - np.abs(at[:, 1]) / 2 + 6).all()
    kept = found.grid.to_world(np.argwhere(~found.specimen & (ready.work.liver)))
    assert (kept[:, 0] > 14 - np.abs(kept[:, 1]) / 2 - 6).all()


def test_a_click_in_3d_is_a_place_on_the_liver_and_the_way_that_was_looked(planned):
    from liverplan.viewer.serve import DrawingTest

    if not DrawingTest().passed():
        pytest.skip("VTK finds no OpenGL here")
    from liverplan.viewer.space import SpaceView

    view = SpaceView()
    view.open(planned)
    view.window.Render()
    at, along = view.liver_at(0.5, 0.5)
    assert along == pytest.approx(BACK, abs=1e-6)
    assert np.linalg.norm(at) == pytest.approx(55.0, abs=2.5), "on the ball's surface"
    assert at[1] < 0, "on the side that is seen"
    higher, _ = view.liver_at(0.5, 0.4)
    assert higher[2] > at[2] + 5
    assert view.liver_at(0.01, 0.01) is None

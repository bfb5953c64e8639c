"""Where things lie on a slice's page: radiological convention, millimetres, outlines on their organs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.viewer.frames import PLANES, flat, pixels_of, to_index, to_page
from liverplan.viewer.outlines import Outlined
from liverplan.volume import Grid

GRID = Grid.from_spacing((40, 50, 30), (0.8, 1.1, 2.5), (-13.0, 7.0, 41.0))
AXIAL, CORONAL, SAGITTAL = PLANES
MIDDLE = GRID.to_world([20, 25, 15])
LEFT, POSTERIOR, SUPERIOR = np.eye(3)


def on_page(plane, towards):
    """Which way 10 mm of a patient direction go on the page."""
    return to_page(plane, GRID, MIDDLE + 10.0 * towards) - to_page(plane, GRID, MIDDLE)


def test_the_patients_left_is_on_the_right_and_anterior_or_superior_on_top():
    assert on_page(AXIAL, LEFT) == pytest.approx([10.0, 0.0])
    assert on_page(AXIAL, POSTERIOR) == pytest.approx([0.0, -10.0])
    assert on_page(CORONAL, LEFT) == pytest.approx([10.0, 0.0])
    assert on_page(CORONAL, SUPERIOR) == pytest.approx([0.0, 10.0])
    assert on_page(SAGITTAL, POSTERIOR) == pytest.approx([10.0, 0.0])
    assert on_page(SAGITTAL, SUPERIOR) == pytest.approx([0.0, 10.0])


def test_the_letters_at_the_edges_say_the_same():
    assert flat(AXIAL, GRID, 0).letters() == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert flat(CORONAL, GRID, 0).letters() == {"left": "R", "right": "L", "top": "S", "bottom": "I"}
    assert flat(SAGITTAL, GRID, 0).letters() == {"left": "A", "right": "P", "top": "S", "bottom": "I"}


@given(st.sampled_from(PLANES), st.tuples(st.floats(0, 39), st.floats(0, 49), st.floats(0, 29)))
def test_a_click_comes_back_to_the_place_that_was_clicked(plane, at):
    page = to_page(plane, GRID, GRID.to_world(at))
    assert to_index(plane, GRID, page.tolist(), at[plane.across]) == pytest.approx(np.array(at), abs=1e-9)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_scan_lies_under_its_own_places(plane):
    """One bright voxel: its pixel's centre on the page is where its world point is."""
    array, voxel = np.zeros(GRID.shape, dtype=np.int16), (11, 33, 7)
    array[voxel] = 1
    pixels, origin = pixels_of(plane, GRID, array, voxel[plane.across])
    (row, column), spacing = np.argwhere(pixels)[0], GRID.spacing_mm
    found = origin[0] + column * spacing[plane.right], origin[1] + row * spacing[plane.down]
    assert found == pytest.approx(to_page(plane, GRID, GRID.to_world(voxel)))


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_an_outline_goes_around_its_mask(plane):
    """A box of voxels: the outline's middle is the box's middle, its size the box's."""
    mask = np.zeros(GRID.shape, dtype=np.uint8)
    mask[10:20, 20:36, 8:18] = 1
    outlined = Outlined.of(mask, GRID, (255, 0, 0))
    (line,) = outlined.lines(plane, (15, 28, 13)[plane.across])
    middle = to_page(plane, GRID, GRID.to_world([14.5, 27.5, 12.5]))
    assert (line.min(0) + line.max(0)) / 2 == pytest.approx(middle, abs=0.05)
    size = np.array([10, 16, 10]) * GRID.spacing_mm
    assert np.ptp(line, axis=0) == pytest.approx([size[plane.right], size[plane.down]], abs=0.6)
    assert outlined.lines(plane, 0) == []


def test_an_empty_mask_has_no_outline():
    assert Outlined.of(np.zeros(GRID.shape, dtype=np.uint8), GRID, (0, 0, 0)) is None

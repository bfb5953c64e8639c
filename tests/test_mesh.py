"""Surfaces: volume, area and orientation of shapes with a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.mesh import Mesh, joined, surface_of_mask
from liverplan.volume import Grid

TETRAHEDRON = Mesh(
    np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
)


def ball(radius_mm: float, grid: Grid) -> np.ndarray:
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    return np.asarray(np.linalg.norm(points - middle, axis=-1) <= radius_mm)


@given(st.tuples(*[st.floats(-1e4, 1e4)] * 3))
def test_volume_does_not_depend_on_where_the_mesh_is(shift: tuple[float, float, float]) -> None:
    moved = Mesh(TETRAHEDRON.vertices_lps_mm + shift, TETRAHEDRON.faces)
    assert moved.volume_ml == pytest.approx(1 / 6, rel=1e-6)


def test_area_of_a_tetrahedron() -> None:
    assert TETRAHEDRON.area_cm2 == pytest.approx((3 * 50 + 50 * np.sqrt(3)) / 100)


def test_inside_out_is_negative() -> None:
    assert TETRAHEDRON.flipped().volume_ml == pytest.approx(-1 / 6)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_the_surface_of_a_ball_has_its_volume_and_faces_outwards_in_every_orientation(flips: tuple[int, ...]) -> None:
    grid = Grid((50, 50, 26), np.diag([*(np.array([1.0, 1.0, 2.0]) * flips), 1.0]))
    mesh = surface_of_mask(ball(20.0, grid), grid)
    assert mesh.volume_ml == pytest.approx(4 / 3 * np.pi * 8.0, rel=0.01)


def test_a_mask_at_the_image_border_is_closed() -> None:
    grid = Grid.from_spacing((10, 10, 10), (1, 1, 1))
    mesh = surface_of_mask(np.ones(grid.shape, bool), grid, blur_voxels=0.0)
    edges = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_single_voxel_does_not_vanish() -> None:
    grid = Grid.from_spacing((5, 5, 5), (1, 1, 1))
    mask = np.zeros(grid.shape, bool)
    mask[2, 2, 2] = True
    assert not surface_of_mask(mask, grid).is_empty


def test_a_vessel_one_voxel_thin_stays_in_one_piece() -> None:
    from vtkmodules.vtkFiltersCore import vtkPolyDataConnectivityFilter

    from liverplan.io.meshes import to_polydata

    grid = Grid.from_spacing((30, 30, 30), (0.8, 0.8, 2.0))
    mask = np.zeros(grid.shape, bool)
    for step in range(24):
        mask[3 + step, 15, 3 + step // 2] = mask[3 + step, 15, 3 + (step + 1) // 2] = True
    pieces = vtkPolyDataConnectivityFilter()
    pieces.SetInputData(to_polydata(surface_of_mask(mask, grid)))
    pieces.SetExtractionModeToAllRegions()
    pieces.Update()
    assert pieces.GetNumberOfExtractedRegions() == 1


def test_an_empty_mask_is_an_empty_mesh() -> None:
    grid = Grid.from_spacing((5, 5, 5), (1, 1, 1))
    assert surface_of_mask(np.zeros(grid.shape, bool), grid).is_empty


def test_joined_meshes_keep_their_volumes() -> None:
    far = Mesh(TETRAHEDRON.vertices_lps_mm + 100, TETRAHEDRON.faces)
    assert joined(TETRAHEDRON, far).volume_ml == pytest.approx(1 / 3)


@pytest.mark.parametrize("faces", [[[0, 1, 4]], [[-1, 0, 1]]])
def test_faces_that_point_nowhere_are_refused(faces: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="faces"):
        Mesh(TETRAHEDRON.vertices_lps_mm, np.array(faces))


def test_vertices_without_a_place_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))

"""Sub-voxel surfaces: where the boundary of a mask lies."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liverplan.surface import Surface, pooled_surface, sub_voxel_surface, symmetric_distance_map
from liverplan.volume import Grid


def ball(spacing, radius_mm, centre=(0.0, 0.0, 0.0)):
    shape = tuple(int(2 * (radius_mm + 4 * max(spacing)) / s) + 1 for s in spacing)
    origin = tuple(-(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True))
    grid = Grid.from_spacing(shape, spacing, origin)
    where = grid.to_world(np.stack(np.indices(shape), -1))
    return np.linalg.norm(where - np.array(centre), axis=-1) <= radius_mm, grid


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (0.8, 0.8, 2.5), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("radius", [4.0, 10.0, 25.0])
def test_the_surface_of_a_ball_has_its_radius_and_volume(spacing, radius):
    mask, grid = ball(spacing, radius, (0.21, -0.13, 0.37))
    surface = sub_voxel_surface(mask, grid)
    found = np.linalg.norm(surface.vertices_lps_mm - np.array((0.21, -0.13, 0.37)), axis=1)
    assert abs(found.mean() - radius) < 0.12 * max(spacing)
    # A ball of a few slices has no better volume than its slices.
    tolerance = 0.03 if radius >= 6 * max(spacing) else 0.2
    assert surface.mesh.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=tolerance)


def test_normals_point_outwards():
    surface = sub_voxel_surface(*ball((1.0, 1.0, 1.0), 8.0))
    outward = surface.vertices_lps_mm / np.linalg.norm(surface.vertices_lps_mm, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", outward, surface.normals).min() > 0.8


@settings(max_examples=25, deadline=None)
@given(st.floats(6, 20), st.lists(st.floats(-45, 45), min_size=3, max_size=3))
def test_signed_distance_to_a_ball_matches_its_closed_form(radius, point):
    # From the very middle the shallowest of all places answers, not the typical one.
    assume(np.linalg.norm(point) > 2.0)
    # Off the lattice: a ball centred on a voxel has flat caps half a voxel wide.
    centre = np.array((0.21, -0.13, 0.37))
    surface = sub_voxel_surface(*ball((1.0, 1.0, 1.0), radius, centre))
    truth = np.linalg.norm(point) - radius
    found = surface.signed_distance_mm(np.array([point]) + centre)[0]
    # Beyond 12 mm a sample of the vertices answers, up to 0.1 mm too long.
    assert found == pytest.approx(truth, abs=0.5)


def test_no_voxel_of_a_thin_vessel_vanishes():
    mask = np.zeros((40, 9, 9), dtype=bool)
    mask[5:35, 4, 4] = True
    grid = Grid.from_spacing(mask.shape, (0.8, 0.8, 0.8))
    surface = sub_voxel_surface(mask, grid)
    centres = grid.to_world(np.argwhere(mask))
    assert (surface.tree.query(centres)[0] < 0.8).all()


def test_an_empty_mask_has_no_surface_and_says_so():
    with pytest.raises(ValueError, match="empty mask"):
        sub_voxel_surface(np.zeros((4, 4, 4), dtype=bool), Grid.from_spacing((4, 4, 4), (1, 1, 1)))


def test_the_symmetric_distance_map_is_odd_under_swapping_inside_and_outside():
    mask, grid = ball((0.8, 0.8, 2.5), 6.0)
    there = symmetric_distance_map(mask, grid.spacing_mm)
    assert np.allclose(there, -symmetric_distance_map(~mask, grid.spacing_mm), atol=1e-5)


def test_the_pooled_surface_of_a_large_organ_keeps_its_volume():
    mask, grid = ball((0.8, 0.8, 1.0), 55.0)
    assert pooled_surface(mask, grid, 1.25).mesh.volume_ml == pytest.approx(mask.sum() * grid.voxel_ml, rel=0.002)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-120, 120), min_size=3, max_size=3), st.integers(0, 5))
def test_far_from_a_ragged_lesion_every_point_is_outside_and_as_far_as_its_nearest_voxel(point, seed):
    # Sheets and spikes: at their edges the nearest vertex's normal points anywhere.
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 24, 24), dtype=bool)
    mask[3:21, 11, 3:21] = rng.random((18, 18)) > 0.2
    mask[11, 3:21, 12] = True
    grid = Grid.from_spacing(mask.shape, (1.0, 1.0, 1.6), (-12.0, -12.0, -19.0))
    to_voxels = np.linalg.norm(grid.to_world(np.argwhere(mask)) - np.array(point), axis=1).min()
    assume(to_voxels > 4.0)
    found = sub_voxel_surface(mask, grid).signed_distance_mm(np.array([point]))[0]
    assert found == pytest.approx(to_voxels, abs=1.5)


def test_an_open_piece_of_surface_has_no_inside():
    whole = sub_voxel_surface(*ball((1.0, 1.0, 1.0), 6.0))
    with pytest.raises(ValueError, match="no inside"):
        Surface(whole.mesh, whole.normals, whole.pitch_mm).signed_distance_mm(np.zeros((1, 3)))


def test_distances_of_many_points_agree_with_the_closed_form_near_and_far():
    middle = np.array((0.21, -0.13, 0.37))
    surface = sub_voxel_surface(*ball((1.0, 1.0, 1.0), 15.0, middle))
    points = np.random.default_rng(0).uniform(-80.0, 80.0, (150_000, 3))
    away = np.linalg.norm(points - middle, axis=1)
    error = surface.signed_distance_mm(points) - (away - 15.0)
    far = away > 45.0
    assert np.abs(error[~far & (away > 2.0)]).max() < 0.5
    assert np.abs(error[far]).max() < 0.45, "0.2 mm of it are the ball of voxels itself"
    some = points[:2000]
    difference = surface.signed_distance_mm(points)[: len(some)] - surface.signed_distance_mm(some)
    assert -0.02 < difference.min() <= difference.max() < 0.2

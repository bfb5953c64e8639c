"""Grids say where voxels are: the same patient in any storage order has the same positions in millimetres."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverplan.anatomy import Structure
from liverplan.errors import GeometryError, GeometryMismatch
from liverplan.volume import Grid, Reorientation, Segmentation, Volume, bounding_box

ORIENTATIONS = [(p, f) for p in itertools.permutations(range(3)) for f in itertools.product((False, True), repeat=3)]
assert len(ORIENTATIONS) == 48


def oblique_affine(angles_deg: tuple[float, float, float] = (12.0, -20.0, 7.0)) -> np.ndarray:
    """Rotations about x, y and z, spacing 0.8 x 0.9 x 2.5 mm, an origin far from zero."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        turn = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.8, 0.9, 2.5]
    affine[:3, 3] = [-170.5, -120.25, 640.0]
    return affine


def stored(grid: Grid, array: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[Grid, np.ndarray]:
    """The same voxels in another storage order, computed from first principles (one matrix product)."""
    change = np.zeros((4, 4))
    change[3, 3] = 1.0
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        change[old, new] = -1.0 if flip else 1.0
        change[old, 3] = array.shape[old] - 1 if flip else 0.0
    turned = array.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
    return Grid(turned.shape, grid.affine @ change, grid.frame_uid), turned


@pytest.fixture(params=["axial", "oblique"])
def base(request: pytest.FixtureRequest) -> tuple[Grid, np.ndarray]:
    affine = oblique_affine() if request.param == "oblique" else Grid.from_spacing((1, 1, 1), (0.7, 0.8, 2.5)).affine
    array = np.random.default_rng(3).permutation(4 * 5 * 6).reshape(4, 5, 6)
    return Grid((4, 5, 6), affine, "1.2.3"), array


def world_of_values(grid: Grid, array: np.ndarray) -> np.ndarray:
    """World position of value 0, 1, 2 ...: independent of the storage order."""
    return grid.to_world(np.argwhere(np.ones(array.shape)))[np.argsort(array.ravel())]


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_every_storage_order_has_the_same_world_positions(base, axes, flips) -> None:
    grid, array = base
    turned_grid, turned = stored(grid, array, axes, flips)
    assert np.allclose(world_of_values(turned_grid, turned), world_of_values(grid, array), atol=1e-9)


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_the_canonical_volume_is_the_same_for_every_storage_order(base, axes, flips) -> None:
    grid, array = base
    expected = Volume(grid, array).canonical()
    got = Volume(*stored(grid, array, axes, flips)).canonical()
    assert np.array_equal(got.array, expected.array)
    assert np.allclose(got.grid.affine, expected.grid.affine, atol=1e-9)
    assert got.grid.orientation == "LPS"
    assert got.grid.frame_uid == "1.2.3"


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_reorientation_is_undone_exactly_and_without_a_copy(base, axes, flips) -> None:
    grid, array = stored(*base, axes, flips)
    turn = Reorientation.to_lps(grid)
    canonical = turn.apply(array)
    assert np.shares_memory(canonical, array)
    assert np.array_equal(turn.undo(canonical), array)


def test_letters_are_the_directions_in_which_the_voxel_axes_travel() -> None:
    assert Grid.from_spacing((2, 2, 2), (1, 1, 1)).orientation == "LPS"
    assert Grid((2, 2, 2), np.diag([-1.0, -1.0, 1.0, 1.0])).orientation == "RAS"
    coronal = np.eye(4)[[0, 2, 1, 3]] * np.array([1.0, -1.0, 1.0, 1.0])
    assert Grid((2, 2, 2), coronal).orientation == "LIP"


def test_volume_of_a_voxel_and_spacing_survive_an_oblique_affine() -> None:
    grid = Grid((4, 5, 6), oblique_affine())
    assert grid.spacing_mm == pytest.approx((0.8, 0.9, 2.5))
    assert grid.voxel_ml == pytest.approx(0.8 * 0.9 * 2.5 / 1000)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-500, 500), min_size=3, max_size=3), st.tuples(*[st.floats(-180, 180)] * 3))
def test_world_and_index_are_inverse(point: list[float], angles: tuple[float, float, float]) -> None:
    grid = Grid((4, 5, 6), oblique_affine(angles))
    assert np.allclose(grid.to_world(grid.to_index(point)), point, atol=1e-7)


def test_a_crop_keeps_every_voxel_where_it_was() -> None:
    grid = Grid((4, 5, 6), oblique_affine(), "1.2.3")
    cropped = grid.cropped((slice(1, 3), slice(2, 5), slice(0, 4)))
    assert cropped.shape == (2, 3, 4)
    assert np.allclose(cropped.to_world([0, 0, 0]), grid.to_world([1, 2, 0]))
    assert cropped.frame_uid == "1.2.3"


def test_the_affine_cannot_be_changed_afterwards() -> None:
    grid = Grid.from_spacing((2, 2, 2), (1, 1, 1))
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2.0


# ---- refusals ---------------------------------------------------------------------------------------------------


def affine(**changes: float) -> np.ndarray:
    matrix = np.eye(4)
    for name, value in changes.items():
        matrix[int(name[1]), int(name[2])] = value
    return matrix


@pytest.mark.parametrize(
    ("shape", "matrix", "message"),
    [
        ((4, 5), np.eye(4), "not a three-dimensional image"),
        ((4, 5, 6, 2), np.eye(4), "not a three-dimensional image"),
        ((4, 0, 6), np.eye(4), "not a three-dimensional image"),
        ((4, 5, 6), affine(a11=0.0), "spacing is zero"),
        ((4, 5, 6), affine(a11=np.nan), "affine cannot be used"),
        ((4, 5, 6), affine(a03=np.inf), "affine cannot be used"),
        ((4, 5, 6), np.eye(3), "affine cannot be used"),
        ((4, 5, 6), affine(a02=0.2), "not at right angles"),
        ((4, 5, 6), affine(a00=1.0, a10=1.0, a11=1.0), "not at right angles"),
    ],
)
def test_a_grid_that_cannot_be_measured_on_is_refused(shape, matrix, message) -> None:
    with pytest.raises(GeometryError, match=message):
        Grid(shape, matrix)


def test_rounding_of_float32_files_is_not_shear() -> None:
    assert Grid((512, 512, 300), oblique_affine().astype(np.float32)).spacing_mm[0] == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Grid.from_spacing((4, 5, 7), (1, 1, 1), frame_uid="1.2"), "shape"),
        (Grid.from_spacing((4, 5, 6), (1, 1, 1), frame_uid="9.9"), "frame of reference"),
        (Grid.from_spacing((4, 5, 6), (1, 1, 1.05), frame_uid="1.2"), "0.25 mm away"),
        (Grid.from_spacing((4, 5, 6), (1, 1, 1), (0, 0, 0.5), frame_uid="1.2"), "0.50 mm away"),
        (Grid((4, 5, 6), np.diag([-1.0, -1.0, 1.0, 1.0]), frame_uid="1.2"), "mm away"),
    ],
)
def test_a_mask_on_another_grid_is_refused_by_name_and_reason(other: Grid, message: str) -> None:
    image = Grid.from_spacing((4, 5, 6), (1, 1, 1), frame_uid="1.2")
    with pytest.raises(GeometryMismatch, match=f"the mask of the liver.*{message}"):
        image.require_same(other, "the mask of the liver")
    assert not image.same_as(other)


def test_a_grid_without_a_frame_of_reference_matches_one_with_it() -> None:
    with_uid = Grid.from_spacing((4, 5, 6), (1, 1, 1), frame_uid="1.2")
    without = Grid.from_spacing((4, 5, 6), (1, 1, 1))
    assert with_uid.same_as(without)
    assert without.same_as(with_uid)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_voxel_without_a_value_is_refused(bad: float) -> None:
    array = np.zeros((4, 5, 6), dtype=np.float32)
    array[1, 2, 3] = bad
    with pytest.raises(GeometryError, match="1 voxels that are NaN or infinite"):
        Volume(Grid.from_spacing((4, 5, 6), (1, 1, 1)), array)


def test_an_array_of_another_shape_is_refused() -> None:
    grid = Grid.from_spacing((4, 5, 6), (1, 1, 1))
    with pytest.raises(GeometryMismatch, match="the image does not have its grid's shape"):
        Volume(grid, np.zeros((4, 5, 7)))
    with pytest.raises(GeometryMismatch, match="the mask of liver does not have"):
        Segmentation(grid, {Structure.LIVER: np.zeros((4, 5, 7), np.uint8)})


def test_an_absent_structure_is_not_there_and_has_an_empty_mask() -> None:
    grid = Grid.from_spacing((4, 5, 6), (1, 1, 1))
    segmentation = Segmentation(grid, {Structure.LESIONS: np.zeros((4, 5, 6), np.uint8)})
    assert not segmentation.has(Structure.LIVER)
    assert not segmentation.has(Structure.LESIONS)
    assert not segmentation.mask(Structure.LIVER).any()
    assert segmentation.mask(Structure.LIVER).shape == grid.shape


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS[::7])
def test_masks_turn_with_their_grid(base, axes, flips) -> None:
    grid, array = base
    mask = (array % 3 == 0).astype(np.uint8)
    expected = Segmentation(grid, {Structure.LIVER: mask}).canonical()
    turned_grid, turned = stored(grid, mask, axes, flips)
    got = Segmentation(turned_grid, {Structure.LIVER: turned}, notes=("a",)).canonical()
    assert np.array_equal(got.masks[Structure.LIVER], expected.masks[Structure.LIVER])
    assert got.grid.same_as(expected.grid)
    assert got.notes == ("a",)


def test_the_box_around_a_mask_is_tight_grows_and_stops_at_the_edge() -> None:
    mask = np.zeros((8, 9, 10), dtype=bool)
    mask[2:4, 5:9, 3] = True
    assert bounding_box(mask) == (slice(2, 4), slice(5, 9), slice(3, 4))
    assert bounding_box(mask, (1, 2, 5)) == (slice(1, 5), slice(3, 9), slice(0, 9))
    with pytest.raises(ValueError, match="empty mask"):
        bounding_box(np.zeros((2, 2, 2)))

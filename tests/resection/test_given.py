"""Which side of a cut is the specimen: chosen by the lesions, else by a stated rule, and always some of the liver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from liverplan.errors import InputError
from liverplan.resection.given import (
    GivenResection,
    Otherwise,
    combined,
    half_space,
    require_part,
    side_taken_out,
    sides_of_surface,
)
from liverplan.volume import Grid

SHAPE = (20, 12, 10)
LIVER = np.zeros(SHAPE, dtype=np.bool_)
LIVER[1:19, 1:11, 1:9] = True
ABOVE = np.zeros(SHAPE, dtype=np.bool_)
ABOVE[12:] = True
"""The positive side of a cut between i = 11 and 12: the smaller one."""
NO_LESION = np.zeros(SHAPE, dtype=np.bool_)


def lesion_at(*planes: int) -> np.ndarray:
    mask = NO_LESION.copy()
    mask[list(planes), 5, 5] = True
    return mask


@pytest.mark.parametrize("otherwise", Otherwise)
@pytest.mark.parametrize(("plane", "on_positive"), [(15, True), (4, False)])
def test_the_side_with_the_lesions_is_taken_out(plane: int, on_positive: bool, otherwise: Otherwise) -> None:
    specimen, note = side_taken_out(ABOVE, LIVER, lesion_at(plane), otherwise, 0.001)
    assert np.array_equal(specimen, LIVER & (ABOVE if on_positive else ~ABOVE))
    assert note.startswith("The side that holds the lesions")


@pytest.mark.parametrize("lesions", [NO_LESION, lesion_at(4, 15)])
@pytest.mark.parametrize("positive", [ABOVE, ~ABOVE])
def test_without_the_lesions_help_a_plane_takes_the_side_of_its_normal(
    lesions: np.ndarray, positive: np.ndarray
) -> None:
    specimen, note = side_taken_out(positive, LIVER, lesions, Otherwise.POSITIVE, 0.001)
    assert np.array_equal(specimen, LIVER & positive)
    assert note.endswith("the side that the normal points to is taken out.")


@pytest.mark.parametrize("lesions", [NO_LESION, lesion_at(4, 15)])
@pytest.mark.parametrize("positive", [ABOVE, ~ABOVE])
def test_without_the_lesions_help_a_surface_takes_the_smaller_side(lesions: np.ndarray, positive: np.ndarray) -> None:
    specimen, note = side_taken_out(positive, LIVER, lesions, Otherwise.SMALLER, 0.001)
    assert np.array_equal(specimen, LIVER & ABOVE)
    assert note.endswith("the smaller side is taken out.")


def test_the_note_says_how_much_lesion_lies_on_either_side() -> None:
    _, note = side_taken_out(ABOVE, LIVER, lesion_at(3, 4, 15), Otherwise.SMALLER, 0.01)
    assert "Lesions lie on both sides of the cut (0.01 mL on the side taken out, 0.02 mL on the other)" in note


@examples(st.integers(0, 2**32 - 1), st.sampled_from(Otherwise))
def test_specimen_and_remainder_are_the_liver(seed: int, otherwise: Otherwise) -> None:
    random = np.random.default_rng(seed)
    positive, liver, lesions = random.random((3, 4, 5, 6)) < np.array([0.5, 0.7, 0.02]).reshape(3, 1, 1, 1)
    specimen, _ = side_taken_out(positive, liver, lesions & liver, otherwise, 1.0)
    assert not (specimen & ~liver).any()
    assert np.array_equal(specimen | (liver & ~specimen), liver)
    assert np.array_equal(specimen, liver & positive) or np.array_equal(specimen, liver & ~positive)


@examples(
    st.lists(st.floats(-40, 40), min_size=3, max_size=3),
    st.lists(st.integers(-5, 5), min_size=3, max_size=3).filter(any),
    st.floats(0.01, 100),
)
def test_a_half_space_is_what_the_scalar_product_says(point: list[float], normal: list[int], length: float) -> None:
    turn, _ = np.linalg.qr(np.array([[1.0, 0.2, -0.3], [0.1, 1.0, 0.4], [0.3, -0.2, 1.0]]))
    affine = np.eye(4)
    affine[:3, :3] = turn * [1.0, -2.0, 3.5]
    affine[:3, 3] = (10.0, -5.0, 3.0)
    grid = Grid((9, 8, 7), affine)
    got = half_space(grid, np.array(point), length * np.array(normal, dtype=float))
    away = (grid.to_world(np.stack(np.indices(grid.shape), axis=-1)) - point) @ normal / np.linalg.norm(normal)
    clear = np.abs(away) > 1e-5
    assert np.array_equal(got[clear], (away > 0)[clear])


def test_a_voxel_on_the_plane_goes_with_the_positive_side() -> None:
    grid = Grid.from_spacing((5, 5, 5), (1.0, 1.0, 1.0))
    assert half_space(grid, np.array([2.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])).sum() == 75
    assert half_space(grid, np.array([2.0, 0.0, 0.0]), np.array([-1.0, 0.0, 0.0])).sum() == 75


# ---- surfaces ---------------------------------------------------------------------------------------------------

SPACING = (1.0, 1.0, 1.0)


def to_plane() -> np.ndarray:
    """Signed distance to the plane i = 11.5, as it is known near the plane."""
    away = np.broadcast_to(np.arange(20.0).reshape(-1, 1, 1) - 11.5, SHAPE).astype(np.float32)
    return np.where(np.abs(away) < 2.0, away, np.inf).astype(np.float32)


def test_the_band_decides_and_the_rest_follows_by_connection() -> None:
    sides = sides_of_surface(to_plane(), LIVER, 2.0, SPACING)
    assert not sides.leaks
    assert np.array_equal(sides.positive & LIVER, LIVER & ABOVE)


def test_a_surface_with_a_hole_leaks() -> None:
    distance = to_plane()
    distance[:, 5:7, 5:7] = np.inf
    assert sides_of_surface(distance, LIVER, 2.0, SPACING).leaks


def test_an_island_of_liver_goes_with_the_nearest_side() -> None:
    liver = LIVER.copy()
    liver[3, :, :] = liver[17, :, :] = False
    sides = sides_of_surface(to_plane(), liver, 2.0, SPACING)
    assert not sides.leaks
    assert np.array_equal(sides.positive & liver, liver & ABOVE)


def test_a_surface_far_from_the_liver_leaves_one_side_empty() -> None:
    sides = sides_of_surface(np.full(SHAPE, np.inf, dtype=np.float32), LIVER, 2.0, SPACING)
    assert not sides.leaks
    assert not sides.positive.any()


# ---- what is no resection, and several --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specimen", "got"), [(NO_LESION, "without a voxel"), (~LIVER, "without a voxel"), (LIVER, "whole liver")]
)
def test_nothing_and_everything_are_no_resection(specimen: np.ndarray, got: str) -> None:
    with pytest.raises(InputError, match=got) as error:
        require_part(specimen, LIVER, "cut.stl", "Check it.")
    assert error.value.do == "Check it."
    require_part(LIVER & ABOVE, LIVER, "cut.stl", "Check it.")


def resection(name: str, specimen: np.ndarray, source: str = "plane") -> GivenResection:
    return GivenResection(name, LIVER & specimen, source, ())


def test_two_resections_combine_to_their_union() -> None:
    first, second = lesion_at(3), lesion_at(4)
    union = combined([resection("a", first), resection("b", second, "label map")], LIVER)
    assert union is not None
    assert (union.name, union.source) == ("given_combined", "plane + label map")
    assert np.array_equal(union.specimen, first | second)
    assert "a, b" in union.notes[0]


def test_one_resection_and_two_that_leave_nothing_have_no_union() -> None:
    assert combined([resection("a", ABOVE)], LIVER) is None
    assert combined([resection("a", ABOVE), resection("b", ~ABOVE)], LIVER) is None

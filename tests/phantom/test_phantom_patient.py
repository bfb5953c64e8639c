"""Whole patients: placed lesions, masks on any grid, files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liverplan.anatomy import Structure
from liverplan.phantom.clearance import gap_between, gap_to_surface, gap_to_tree
from liverplan.phantom.lesions import LesionRequest, place_lesions, tree_of
from liverplan.phantom.patient import Phantom, default_grid, make_phantom
from liverplan.phantom.raster import distance_band, mask_of
from liverplan.phantom.shapes import Sphere, volume_ml
from liverplan.phantom.vasculature import Vasculature
from liverplan.volume import Grid

TREES = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA)
COARSE_MM = (5.0, 5.0, 5.0)


@pytest.fixture(scope="module")
def patient() -> Phantom:
    return make_phantom(0)


@pytest.fixture(scope="module")
def vessels(patient: Phantom) -> Vasculature:
    return Vasculature(patient.liver, patient.portal, patient.hepatic, patient.vena_cava)


def test_the_demo_has_three_lesions_at_the_clearances_it_promises(patient: Phantom) -> None:
    first, second, third = patient.lesions
    assert gap_to_tree(first, patient.portal).value_mm == pytest.approx(9.4, abs=1e-6)
    assert gap_to_surface(second, patient.liver).value_mm == pytest.approx(1.0, abs=1e-5)
    assert gap_to_tree(third, patient.hepatic).value_mm == pytest.approx(5.4, abs=1e-6)


def test_lesions_lie_in_the_liver_apart_from_each_other_and_from_every_vessel(patient: Phantom) -> None:
    for number, lesion in enumerate(patient.lesions):
        assert gap_to_surface(lesion, patient.liver).value_mm >= 0.99
        assert all(gap_to_tree(lesion, patient.tree(s)).value_mm >= 1.0 for s in TREES)
        assert all(gap_between(lesion, other).value_mm > 0 for other in patient.lesions[:number])


def test_portal_and_hepatic_walls_do_not_touch(patient: Phantom) -> None:
    points, segment = patient.hepatic.axis_points(0.2)
    assert (patient.portal.distance_mm(points) - patient.hepatic.radius_mm[segment]).min() >= 0.5


def test_the_portal_trunk_comes_from_outside_and_is_twelve_millimetres_wide(patient: Phantom) -> None:
    assert patient.liver.signed_mm(patient.portal.start_mm[:1])[0] > 15.0
    assert patient.portal.radius_mm[0] == pytest.approx(6.0)
    outside = patient.liver.signed_mm(patient.portal.end_mm) > 0
    assert 25.0 <= patient.portal.length_mm[outside].sum() <= 70.0


def test_hepatic_veins_end_in_the_vena_cava(patient: Phantom) -> None:
    roots = patient.hepatic.start_mm[patient.hepatic.parent < 0]
    assert 2 <= len(roots) <= 4
    radius = patient.hepatic.radius_mm[patient.hepatic.parent < 0]
    assert (patient.vena_cava.distance_mm(roots) <= -radius).all()


def test_the_vena_cava_is_not_liver(patient: Phantom) -> None:
    middle = (patient.vena_cava.start_mm + patient.vena_cava.end_mm) / 2
    assert (patient.liver.signed_mm(middle) > 0).all()


def test_vessels_take_a_plausible_share_of_the_liver(patient: Phantom) -> None:
    grid = default_grid((1.5, 1.5, 1.5))
    found = patient.segmentation(grid)
    liver = found.mask(Structure.LIVER)
    for structure in TREES[:2]:
        share = (found.mask(structure) & liver).sum() / liver.sum()
        assert 0.008 <= share <= 0.035


def test_the_same_seed_is_the_same_patient_and_another_is_not(patient: Phantom) -> None:
    again, other = make_phantom(0), make_phantom(1, n_lesions=1)
    assert np.array_equal(again.portal.end_mm, patient.portal.end_mm)
    assert np.array_equal(again.hepatic.radius_mm, patient.hepatic.radius_mm)
    assert again.lesions == patient.lesions
    assert other.lesions != patient.lesions


@pytest.mark.parametrize(
    ("near", "clearance"),
    [
        (Structure.PORTAL_VEIN, 3.0),
        (Structure.HEPATIC_VEINS, 7.0),
        (Structure.VENA_CAVA, 4.0),
        (Structure.LIVER, 2.0),
        (Structure.PORTAL_VEIN, -1.5),
    ],
)
def test_a_wished_clearance_is_exact(near: Structure, clearance: float, vessels: Vasculature) -> None:
    request = LesionRequest(20.0, near, clearance, (0.9, 0.8))
    around, (lesion,) = place_lesions(vessels, (request,), np.random.default_rng(2))
    gap = (
        gap_to_surface(lesion, around.liver) if near is Structure.LIVER else gap_to_tree(lesion, tree_of(around, near))
    )
    assert gap.value_mm == pytest.approx(clearance, abs=1e-5)
    for other in TREES:
        if other is not near:
            assert gap_to_tree(lesion, tree_of(around, other)).value_mm >= 1.0


def test_a_wish_that_cannot_be_placed_is_an_error(vessels: Vasculature) -> None:
    too_many = tuple(LesionRequest(80.0) for _ in range(5))
    with pytest.raises(ValueError, match=r"no room|no place"):
        place_lesions(vessels, too_many, np.random.default_rng(0))


@pytest.mark.parametrize("letters", ["RAS", "LPS", "SAR", "IPL"])
def test_an_orientation_changes_the_storage_and_nothing_else(patient: Phantom, letters: str) -> None:
    straight = default_grid((4.0, 4.0, 4.0), (90, 72, 62))
    sizes = {"L": 90, "R": 90, "P": 72, "A": 72, "S": 62, "I": 62}
    turned = default_grid((4.0, 4.0, 4.0), tuple(sizes[x] for x in letters), letters)  # type: ignore[arg-type]
    assert turned.orientation == letters
    one, other = (patient.segmentation(grid).canonical() for grid in (straight, turned))
    assert one.grid.same_as(other.grid)
    for structure, mask in one.masks.items():
        assert np.array_equal(mask, other.masks[structure])


def test_an_oblique_grid_holds_the_same_volumes(patient: Phantom) -> None:
    angle = np.radians(17.0)
    affine = np.eye(4)
    affine[:3, :3] = 1.5 * np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, 3] = np.array((0, 10, 5)) - affine[:3, :3] @ np.array([90, 80, 60])
    grid = Grid((181, 161, 121), affine)
    found = patient.segmentation(grid).mask(Structure.LIVER).sum() * grid.voxel_ml
    assert found == pytest.approx(volume_ml(patient.liver), rel=4e-3)


def test_a_rasterised_volume_approaches_the_exact_one_as_voxels_shrink() -> None:
    ball = Sphere((0.3, -0.2, 0.1), 12.0)
    errors = []
    for spacing in (3.0, 1.5, 0.75, 0.4):
        n = int(30 / spacing)
        grid = Grid.from_spacing((n, n, n), (spacing,) * 3, (-15.0, -15.0, -15.0))
        errors.append(abs(mask_of(ball, grid).sum() * grid.voxel_ml / ball.volume_ml - 1))
    assert errors[-1] < 2e-3
    assert errors[-1] < errors[0]


def test_block_pruning_does_not_change_a_mask(patient: Phantom) -> None:
    grid = default_grid((5.0, 5.0, 5.0))
    every_voxel = patient.liver.signed_mm(grid.to_world(np.argwhere(np.ones(grid.shape)))).reshape(grid.shape)
    assert np.array_equal(mask_of(patient.liver, grid), every_voxel < 0)
    band = distance_band(patient.liver, grid, 6.0)
    near = np.abs(every_voxel) < 6.0
    assert np.allclose(band[near], every_voxel[near], atol=1e-3)


def test_a_structure_out_of_view_is_empty(patient: Phantom) -> None:
    far = Grid.from_spacing((10, 10, 10), (2, 2, 2), (900.0, 0.0, 0.0))
    assert not any(mask.any() for mask in patient.segmentation(far).masks.values())


def test_the_ct_shows_tissues_at_their_values(patient: Phantom) -> None:
    image, masks = patient.render(default_grid(COARSE_MM))
    assert image.array.dtype == np.int16
    assert image.array.min() >= -1024
    liver = masks.mask(Structure.LIVER) & ~masks.mask(Structure.PORTAL_VEIN) & ~masks.mask(Structure.LESIONS)
    assert 85 <= np.median(image.array[liver]) <= 140
    assert np.median(image.array[masks.mask(Structure.VENA_CAVA)]) > np.median(image.array[liver])
    assert np.median(image.array[masks.mask(Structure.LESIONS)]) < np.median(image.array[liver]) - 15
    assert (image.array < -700).mean() > 0.1


def test_the_mr_has_bright_veins_and_no_hounsfield_air(patient: Phantom) -> None:
    made = replace(patient, modality="MR")
    image, masks = made.render(default_grid(COARSE_MM))
    liver = np.median(image.array[masks.mask(Structure.LIVER)])
    assert image.modality == "MR"
    assert image.array.min() >= 0
    assert np.median(image.array[masks.mask(Structure.VENA_CAVA)]) > 1.3 * liver
    assert np.median(image.array[masks.mask(Structure.LESIONS)]) < 0.9 * liver


def test_noise_is_what_was_asked_for(patient: Phantom) -> None:
    quiet, loud = (replace(patient, noise=level) for level in (0.0, 30.0))
    grid = default_grid(COARSE_MM)
    difference = loud.render(grid)[0].array.astype(float) - quiet.render(grid)[0].array
    inside = quiet.segmentation(grid).mask(Structure.LIVER)
    assert difference[inside].std() == pytest.approx(30.0, rel=0.1)


def test_a_patient_on_disk_opens_on_its_own_grid(patient: Phantom, tmp_path: Path) -> None:
    from liverplan.io.images import read_image
    from liverplan.io.segmentations import read_segmentation
    from liverplan.phantom.files import write_phantom

    grid = default_grid((6.0, 6.0, 7.0), orientation="RAS")
    truth = write_phantom(patient, tmp_path / "demo", grid)
    image = read_image(tmp_path / "demo" / "image.nii.gz")
    masks = read_segmentation(tmp_path / "demo" / "masks", image.grid)
    assert image.grid.same_as(grid)
    assert set(np.unique(masks.masks[Structure.LESIONS])) == {0, 1, 2, 3}
    assert json.loads((tmp_path / "demo" / "truth.json").read_text()) == truth
    assert truth["research_use_only"] is True


@pytest.mark.parametrize("letters", ["LLS", "XYZ", "LP"])
def test_letters_that_are_no_orientation_are_refused(letters: str) -> None:
    with pytest.raises(ValueError, match="one letter each"):
        default_grid(orientation=letters)

"""The cascade's geometry, with a threshold in the networks' place: same millilitres however the scan is stored."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from cases import SURE, BrightestIsLiver, BrightIsLiver, ellipsoid_ct, ellipsoid_mr, write_small_models

from liverplan.anatomy import Structure
from liverplan.errors import GeometryError, ResourceError, SegmentationRefused
from liverplan.segmentation import cascade, segment
from liverplan.segmentation.models import find_model, model_for
from liverplan.volume import Grid, Volume


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cascade, "load_engine", BrightIsLiver)
    return write_small_models(tmp_path / "models")


def stored_as(volume: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same patient in another storage order."""
    affine = volume.grid.affine[:, [*axes, 3]].copy()
    array = volume.array.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
            array = np.flip(array, axis)
    return Volume(Grid(array.shape, affine), np.ascontiguousarray(array))


def test_the_liver_is_found_with_its_volume_and_its_lesion(models: Path) -> None:
    volume = ellipsoid_ct()
    result = segment(volume, models)
    liver_ml = result.mask(Structure.LIVER).sum() * volume.grid.voxel_ml
    truth_ml = 4 / 3 * np.pi * 72 * 60 * 62.5 / 1000
    assert liver_ml == pytest.approx(truth_ml, rel=0.03)
    assert result.has(Structure.LESIONS)
    assert not (result.mask(Structure.LESIONS) & ~result.mask(Structure.LIVER)).any()
    assert result.origin == "model"
    assert result.model is not None
    assert len(result.model["sha256"]) == 64


def test_the_network_says_how_sure_it_is_of_what_it_draws(models: Path) -> None:
    result = segment(ellipsoid_ct(), models)
    assert set(result.confidence) == set(result.masks)
    assert result.confidence[Structure.LIVER].expected_dice > 0.95
    assert result.confidence[Structure.LIVER].boundary_mm < 2.0


class Unsure(BrightIsLiver):
    """Draws the same and is sure of nothing."""

    def __call__(self, patch: np.ndarray) -> np.ndarray:
        return super().__call__(patch) / SURE


def test_what_the_network_doubts_is_no_lesion_and_said(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "load_engine", Unsure)
    result = segment(ellipsoid_ct(), models)
    assert not result.has(Structure.LESIONS)
    assert any("1 spot(s) that the model itself doubts" in note for note in result.notes)
    assert result.confidence[Structure.LIVER].expected_dice < 0.9


def test_structures_that_the_model_does_not_draw_are_absent_and_said_to_be(models: Path) -> None:
    result = segment(ellipsoid_ct(), models)
    assert Structure.PORTAL_VEIN not in result.masks
    assert any("Portal vein" in note and "undetermined" in note for note in result.notes)


def test_every_storage_order_of_a_patient_gives_the_same_masks(models: Path) -> None:
    volume = ellipsoid_ct()
    reference = segment(volume, models).canonical()
    orders = list(itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3)))
    for axes, flips in orders[::7]:
        turned = stored_as(volume, axes, flips)
        result = segment(turned, models)
        assert result.grid.same_as(turned.grid)
        for structure, mask in result.canonical().masks.items():
            assert np.array_equal(mask, reference.masks[structure])


@pytest.mark.parametrize("spacing", [(1.2, 1.2, 2.5), (3.0, 3.0, 7.5), (1.5, 1.5, 1.5), (4.0, 4.0, 4.0)])
def test_spacing_and_slice_thickness_do_not_change_the_volume(
    models: Path, spacing: tuple[float, float, float]
) -> None:
    volume = ellipsoid_ct(spacing)
    liver_ml = segment(volume, models).mask(Structure.LIVER).sum() * volume.grid.voxel_ml
    assert liver_ml == pytest.approx(1131, rel=0.05)


def test_a_scan_smaller_than_the_window_still_works(models: Path) -> None:
    volume = ellipsoid_ct()
    box = (slice(10, 66), slice(18, 60), slice(6, 36))
    cropped = Volume(volume.grid.cropped(box), volume.array[box].copy())
    cropped.array[0] = -1000
    liver_ml = segment(cropped, models).mask(Structure.LIVER).sum() * volume.grid.voxel_ml
    assert liver_ml == pytest.approx(1131, rel=0.05)


def test_a_liver_cut_off_by_the_scan_is_noted(models: Path) -> None:
    volume = ellipsoid_ct()
    box = (slice(0, 96), slice(0, 80), slice(20, 42))
    cropped = Volume(volume.grid.cropped(box), volume.array[box].copy())
    assert any("lower end of the scan" in note for note in segment(cropped, models).notes)


def test_noise_air_and_a_tiny_bright_spot_are_refused(models: Path) -> None:
    grid = Grid.from_spacing((60, 60, 40), (4.0, 4.0, 5.0))
    rng = np.random.default_rng(0)
    spot = np.full(grid.shape, -1000, dtype=np.int16)
    spot[20:26, 20:26, 20:24] = 110
    for array in (np.full(grid.shape, -1000, dtype=np.int16), rng.normal(-500, 30, grid.shape), spot):
        with pytest.raises(SegmentationRefused, match="no plausible liver"):
            segment(Volume(grid, array), models)


def test_an_image_without_air_or_an_mr_is_refused(models: Path) -> None:
    grid = Grid.from_spacing((30, 30, 30), (5.0, 5.0, 5.0))
    with pytest.raises(SegmentationRefused, match="no plausible liver"):
        segment(Volume(grid, np.full(grid.shape, 110, dtype=np.int16)), models)
    with pytest.raises(SegmentationRefused, match="MR"):
        segment(Volume(grid, np.full(grid.shape, 110, dtype=np.int16), "MR"), models)


def test_a_model_for_mr_finds_the_liver_in_signal_of_any_unit_and_says_nothing_of_lesions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade, "load_engine", BrightestIsLiver)
    models = write_small_models(tmp_path / "mr", "MR")
    volume = ellipsoid_mr()
    masks = segment(volume, models)
    other = segment(Volume(volume.grid, volume.array * 7, "MR"), models)
    assert masks.mask(Structure.LIVER).sum() * volume.grid.voxel_ml == pytest.approx(1131, rel=0.05)
    assert np.array_equal(masks.mask(Structure.LIVER), other.mask(Structure.LIVER))
    assert set(masks.masks) == {Structure.LIVER}
    assert any("nothing else was looked for" in note for note in masks.notes)


def test_a_model_for_mr_refuses_a_ct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "load_engine", BrightestIsLiver)
    with pytest.raises(SegmentationRefused, match="cannot segment"):
        segment(ellipsoid_ct(), write_small_models(tmp_path / "mr", "MR"))


def test_each_modality_has_its_own_model_and_a_half_trained_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liverplan.segmentation.models.models_folder", lambda: tmp_path)
    write_small_models(tmp_path)
    assert model_for("MR").name == model_for("CT").name == "liverplan_ct"
    write_small_models(tmp_path, "MR")
    assert model_for("MR").name == "liverplan_mr"
    assert model_for("unknown").name == "liverplan_ct"
    registry = tomllib.loads((tmp_path / "registry.toml").read_text(encoding="utf-8"))
    del registry["models"]["liverplan_mr"]["stages"]["locate"]
    (tmp_path / "registry.toml").write_text(tomli_w.dumps(registry), encoding="utf-8")
    assert model_for("MR").name == "liverplan_ct"


def test_of_a_folder_with_models_for_both_the_images_modality_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade, "load_engine", BrightestIsLiver)
    write_small_models(write_small_models(tmp_path), "MR")
    masks = segment(ellipsoid_mr(), tmp_path)
    assert masks.model is not None
    assert masks.model["name"] == "liverplan_mr"
    assert find_model(tmp_path).name == find_model(tmp_path, "unknown").name == "liverplan_ct"


def test_asking_for_a_gpu_that_is_not_there_is_an_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ResourceError, match="CUDA"):
        segment(ellipsoid_ct(), models, "cuda")


def test_progress_only_goes_forward(models: Path) -> None:
    seen: list[float] = []
    segment(ellipsoid_ct(), models, progress=lambda fraction, stage: seen.append(fraction))
    assert seen == sorted(seen)
    assert len(seen) >= 3


def test_a_two_dimensional_image_never_gets_here() -> None:
    with pytest.raises(GeometryError):
        Grid((10, 10, 0), np.eye(4))

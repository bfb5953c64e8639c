"""A DICOM series is one regular lattice of slices, or it is refused with the reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_series import COLUMNS, ROWS, SPACING_MM, THICKNESS_MM, voxels, write_series
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from liverplan.errors import GeometryError, UnreadableInput
from liverplan.io.dicom import choose_series, list_series, phase_of
from liverplan.io.images import read_image

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def test_a_good_series_is_read_exactly(tmp_path: Path) -> None:
    uid = write_series(tmp_path / "study" / "deep" / "series")
    volume = read_image(tmp_path)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, voxels())
    assert volume.grid.shape == (COLUMNS, ROWS, 6)
    assert volume.grid.spacing_mm == pytest.approx((SPACING_MM[1], SPACING_MM[0], THICKNESS_MM))
    assert volume.grid.origin_lps_mm == pytest.approx((-20.0, -30.0, 100.0))
    assert volume.grid.orientation == "LPS"
    assert volume.grid.frame_uid
    assert volume.modality == "CT"
    assert volume.facts["series_uid"] == uid
    assert volume.facts["phase"] == "portal_venous"
    assert volume.facts["slice_thickness_mm"] == "2.5"


def test_a_coronal_oblique_series_keeps_its_positions(tmp_path: Path) -> None:
    angle = np.radians(5.0)
    orientation = (np.cos(angle), np.sin(angle), 0.0, 0.0, 0.0, -1.0)
    normal = np.cross(orientation[:3], orientation[3:])
    write_series(tmp_path, orientation=orientation)
    volume = read_image(tmp_path)
    assert np.array_equal(volume.array, voxels())
    assert volume.grid.to_world([3, 5, 2]) == pytest.approx(
        np.array([-20.0, -30.0, 100.0])
        + 3 * SPACING_MM[1] * np.array(orientation[:3])
        + 5 * SPACING_MM[0] * np.array(orientation[3:])
        + 2 * THICKNESS_MM * normal,
        abs=1e-5,
    )


def test_a_series_agrees_with_simpleitk(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    write_series(tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    oracle = reader.Execute()
    volume = read_image(tmp_path)
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(oracle).transpose(2, 1, 0))
    for index in ((0, 0, 0), (COLUMNS - 1, 3, 5)):
        expected = oracle.TransformIndexToPhysicalPoint(index)
        assert volume.grid.to_world(index) == pytest.approx(expected, abs=1e-6)


def test_the_hash_follows_the_content_and_not_the_file_names(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for n, path in enumerate(sorted((tmp_path / "b").iterdir())):
        path.rename(path.with_name(f"{99 - n}.dcm"))
    hashes = [read_image(tmp_path / name).facts["sha256"] for name in "ab"]
    assert hashes[0] == hashes[1]
    write_series(tmp_path / "c", voxels() + 1)
    assert read_image(tmp_path / "c").facts["sha256"] != hashes[0]


def test_every_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope = 1.5 if k == 2 else 1

    write_series(tmp_path, change=change)
    volume = read_image(tmp_path)
    expected = voxels().astype(np.float32)
    expected[:, :, 2] = (voxels()[:, :, 2] + 1024) * 1.5 - 1024
    assert np.allclose(volume.array, expected)


def test_values_beyond_int16_are_not_wrapped(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope = 100

    write_series(tmp_path, change=change)
    expected = (voxels().astype(np.int32) + 1024) * 100 - 1024
    assert expected.max() > 32767
    assert np.array_equal(read_image(tmp_path).array, expected)


def test_run_length_encoded_slices_are_read(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(read_image(tmp_path).array, voxels())


def test_jpeg_2000_slices_are_read(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")

    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleIntercept = 0  # keeps the pixels at 16 bits: the encoder takes no more than 31

    write_series(tmp_path, change=change)
    for path in tmp_path.iterdir():
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor("JPEG2000")
        writer.Execute(image)
        assert dcmread(path).file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert np.array_equal(read_image(tmp_path).array, voxels() + 1024)


def test_junk_hidden_files_and_a_media_directory_are_ignored(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "s" / ".DS_Store").write_bytes(b"\0" * 200)
    (tmp_path / "s" / "._IM0003").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"not read")
    assert np.array_equal(read_image(tmp_path).array, voxels())
    assert np.array_equal(read_image(tmp_path / "DICOMDIR").array, voxels())


def test_a_file_without_preamble_is_a_slice_all_the_same(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        path.write_bytes(path.read_bytes().removeprefix(b"\0" * 128 + b"DICM"))
    assert np.array_equal(read_image(tmp_path).array, voxels())


# ---- the gate ---------------------------------------------------------------------------------------------------


def test_missing_slices_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(12), skip=(4, 5))
    with pytest.raises(GeometryError, match=r"missing slices.*2 missing.*7\.50 mm instead of 2\.50 mm"):
        read_image(tmp_path)


def test_unequal_spacing_is_refused(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-20, -30, 100 + (k * 2.5 if k < 4 else 10 + (k - 4) * 3.1)]

    write_series(tmp_path, voxels(12), change=change)
    with pytest.raises(GeometryError, match="not equally spaced"):
        read_image(tmp_path)


def test_positions_rounded_by_the_scanner_are_accepted(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-20, -30, round(100 + k * 0.625, 2)]

    write_series(tmp_path, voxels(40), change=change)
    assert read_image(tmp_path).grid.spacing_mm[2] == pytest.approx(0.625, abs=1e-3)


@pytest.mark.parametrize("degrees", [1.0, 12.0, -20.0])
def test_a_tilted_gantry_is_corrected_and_said(tmp_path: Path, degrees: float) -> None:
    tilt = np.radians(degrees)
    write_series(tmp_path, orientation=(1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)), step=(0, 0, 2.5))
    volume = read_image(tmp_path)
    assert f"tilted by {abs(degrees):.1f} degrees" in volume.facts["reading_notes"]
    assert volume.grid.spacing_mm[2] == pytest.approx(2.5 * np.cos(tilt))
    assert volume.grid.shape[1] == ROWS + int(np.ceil(5 * 2.5 * abs(np.sin(tilt)) / SPACING_MM[0]))


def test_a_slice_in_another_plane_is_refused(tmp_path: Path) -> None:
    uid = write_series(tmp_path)
    frame = dcmread(next(p for p in tmp_path.iterdir())).FrameOfReferenceUID

    def change(k: int, dataset: Dataset) -> None:
        dataset.FrameOfReferenceUID = frame

    write_series(tmp_path / "x", voxels(1), uid=uid, orientation=(0, 1, 0, 0, 0, -1), change=change)
    with pytest.raises(GeometryError, match="not parallel"):
        read_image(tmp_path)


def _set(**values: object):
    def change(k: int, dataset: Dataset) -> None:
        if k == 2:
            for name, value in values.items():
                setattr(dataset, name, value)

    return change


def _fewer_rows(k: int, dataset: Dataset) -> None:
    if k == 2:
        dataset.Rows -= 2
        dataset.PixelData = dataset.PixelData[: dataset.Rows * dataset.Columns * 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_fewer_rows, "different image sizes"),
        (_set(PixelSpacing=[0.9, 0.7]), "different pixel spacings"),
        (_set(PixelSpacing=[0.0, 0.7]), "pixel spacing of IM0017 cannot be used"),
        (_set(PixelSpacing=[-0.8, 0.7]), "pixel spacing of IM0017 cannot be used"),
        (_set(PixelSpacing=None), "pixel spacing of IM0017 cannot be used"),
        (_set(FrameOfReferenceUID="1.2.3.4"), "different frames of reference"),
        (_set(ImageOrientationPatient=None), "missing slices"),
        (_set(ImagePositionPatient=None), "missing slices"),
    ],
)
def test_slices_that_differ_are_refused(tmp_path: Path, change, message: str) -> None:
    write_series(tmp_path, change=change)
    with pytest.raises(GeometryError, match=message):
        read_image(tmp_path)


def test_axes_that_are_no_rotation_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, orientation=(1, 0, 0, 0.5, 0.5, 0), step=(0, 0, 2.5))
    with pytest.raises(GeometryError, match="orientation of the slices cannot be used"):
        read_image(tmp_path)


@pytest.mark.parametrize("modality", ["PT", "US", "SEG", ""])
def test_other_modalities_are_refused(tmp_path: Path, modality: str) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.Modality = modality

    write_series(tmp_path, change=change)
    with pytest.raises(UnreadableInput, match=f"modality {modality or 'unknown'}.*CT or MR"):
        read_image(tmp_path)


def test_a_single_slice_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(1))
    with pytest.raises(GeometryError, match="single slice"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("keep", "why"), [(0.9, "of 384 bytes of pixels"), (0.3, "ends before the image"), (0.05, "ends before the image")]
)
def test_a_truncated_slice_is_refused_by_name(tmp_path: Path, keep: float, why: str) -> None:
    write_series(tmp_path)
    path = tmp_path / "IM0024"
    content = path.read_bytes()
    path.write_bytes(content[: max(140, int(len(content) * keep))])
    with pytest.raises(UnreadableInput, match=f"IM0024 is damaged.*{why}"):
        read_image(tmp_path)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UnreadableInput, match="no DICOM images in the folder"):
        read_image(tmp_path)


# ---- the choice -------------------------------------------------------------------------------------------------


def test_the_only_scan_is_taken_beside_a_localizer_and_a_report(tmp_path: Path) -> None:
    def localizer(k: int, dataset: Dataset) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    uid = write_series(tmp_path / "1", description="anything")
    write_series(tmp_path / "2", voxels(2), description="scout", change=localizer)
    series = list_series(tmp_path)
    assert [s.n_slices for s in series] == [6, 2]
    assert [s.is_scan for s in series] == [True, False]
    assert read_image(tmp_path).facts["series_uid"] == uid


def test_the_portal_venous_series_is_proposed_among_several(tmp_path: Path) -> None:
    write_series(tmp_path / "1", description="Abdomen arterial 1.0")
    uid = write_series(tmp_path / "2", description="Abdomen portal-venous 2.5")
    write_series(tmp_path / "3", description="Abdomen delayed")
    assert read_image(tmp_path).facts["series_uid"] == uid


def test_an_unclear_choice_lists_the_series_and_a_uid_settles_it(tmp_path: Path) -> None:
    first = write_series(tmp_path / "1", description="Abdomen 1.0")
    second = write_series(tmp_path / "2", voxels(8), description="Abdomen 5.0")
    with pytest.raises(UnreadableInput) as refused:
        read_image(tmp_path)
    for part in (first, second, "Abdomen 1.0", "6 slices", "8 slices", "--series"):
        assert part in str(refused.value)
    assert "Secret" not in str(refused.value)
    assert "PAT-0815" not in str(refused.value)
    assert read_image(tmp_path, first).facts["series_uid"] == first
    with pytest.raises(UnreadableInput, match="not in the folder"):
        read_image(tmp_path, generate_uid())


def test_choosing_needs_no_files(tmp_path: Path) -> None:
    write_series(tmp_path)
    (info,) = list_series(tmp_path)
    assert choose_series([info]) is info
    assert len(info.files) == 6


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("ABD PORTAL VENOUS 1.5mm", "portal_venous"),
        ("Abd_PV_1.0", "portal_venous"),
        ("Leber portalvenös", "portal_venous"),
        ("venous", "portal_venous"),
        ("Late arterial", None),
        ("ARTERIAL", "arterial"),
        ("delayed 5 min", "delayed"),
        ("delayed venous", "delayed"),
        ("t1_vibe_20min_HBP", "hepatobiliary"),
        ("without contrast", "unenhanced"),
        ("arterial and portal", None),
        ("NEW HASTE CORONAL", None),
        ("THORAX", None),
        ("", None),
    ],
)
def test_a_phase_is_what_the_description_says_and_nothing_else(description: str, phase: str | None) -> None:
    assert phase_of(description) == phase


# ---- real scans -------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_real_portal_venous_ct_is_read_on_the_grid_of_its_masks(shared_data: Path) -> None:
    from liverplan.io.images import read_file

    volume = read_image(shared_data / "ircad17" / "dicom")
    assert volume.grid.shape == (512, 512, 119)
    assert volume.grid.spacing_mm == pytest.approx((0.743, 0.743, 1.6), abs=1e-4)
    assert volume.array.dtype == np.int16
    assert volume.modality == "CT"
    for path in sorted((shared_data / "ircad17" / "masks").glob("*.nii.gz")):
        volume.grid.require_same(read_file(path).grid, path.name)


@pytest.mark.shared
def test_a_real_coronal_oblique_mr_is_read(shared_data: Path) -> None:
    volume = read_image(shared_data / "tcga_lihc_mr")
    assert volume.modality == "MR"
    assert volume.grid.shape == (256, 256, 30)
    assert volume.grid.orientation == "LIP"
    assert volume.grid.spacing_mm == pytest.approx((1.5625, 1.5625, 8.75), abs=1e-3)

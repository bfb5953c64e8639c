"""Image files are read exactly, on an exact grid, or refused with the reason."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from liverplan.errors import GeometryError, GeometryMismatch, InputError, UnreadableInput
from liverplan.io.images import read_image
from liverplan.io.writing import write_volume
from liverplan.volume import Grid, Volume

ORIENTATIONS = [(p, s) for p in itertools.permutations(range(3)) for s in itertools.product((1, -1), repeat=3)]
RAS = np.diag([-0.7, -0.8, 2.5, 1.0])
RAS[:3, 3] = [40.0, 25.5, -300.25]


def hu(shape: tuple[int, int, int] = (6, 7, 8)) -> np.ndarray:
    """Every voxel another value, air to bone: no two mirror images are equal."""
    return (np.arange(np.prod(shape)).reshape(shape) * 5 - 1000).astype(np.int16)


def save(path: Path, array: np.ndarray | None = None, affine: np.ndarray = RAS, **header: object) -> Path:
    image = nibabel.Nifti1Image(hu() if array is None else array, affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def patched(path: Path, offset: int, content: bytes) -> Path:
    """The uncompressed NIfTI file with some header bytes replaced: what no library would write."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(bytes(raw))
    return path


def oblique() -> np.ndarray:
    a, b = np.radians(17.0), np.radians(-8.0)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tip = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tip @ np.diag([0.7, 0.8, 2.5])
    affine[:3, 3] = [-120.0, 88.5, 400.0]
    return affine


ORIENTED = [oblique(), *[np.eye(4)[[*axes, 3]] * [*signs, 1] for axes, signs in ORIENTATIONS]]


# ---- what is read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "CT.NII.GZ"])
def test_a_nifti_is_read_exactly_and_turned_from_ras_to_lps(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save(tmp_path / name.lower()).rename(path)
    volume = read_image(path)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, hu())
    assert volume.grid.affine == pytest.approx(np.diag([-1, -1, 1, 1]) @ RAS, abs=1e-6)
    assert volume.grid.orientation == "LPS"
    assert volume.modality == "CT"
    assert volume.facts["modality_source"] == "values"
    assert len(volume.facts["sha256"]) == 64


@pytest.mark.parametrize("affine", ORIENTED)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_positions_agree_with_nibabel_or_simpleitk_in_every_orientation(tmp_path: Path, affine, suffix) -> None:
    affine = affine @ np.diag([0.7, 0.8, 2.5, 1.0]) if np.allclose(np.abs(affine[:3, :3]).sum(0), 1) else affine
    path = save(tmp_path / "ct.nii.gz", affine=affine)
    indices = np.array([[0, 0, 0], [5, 0, 0], [0, 6, 0], [0, 0, 7], [2, 3, 4]])
    expected = nibabel.affines.apply_affine(nibabel.load(path).affine, indices) * [-1, -1, 1]
    if suffix != ".nii.gz":
        sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / f"ct{suffix}"))
    volume = read_image(tmp_path / f"ct{suffix}")
    assert np.array_equal(volume.array, hu())
    assert volume.grid.to_world(indices) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("affine", ORIENTED)
def test_what_is_written_agrees_with_nibabel_and_simpleitk(tmp_path: Path, affine) -> None:
    affine = affine.copy()
    affine[:3, 3] += [10.5, -20.25, 30.0]
    volume = Volume(Grid((6, 7, 8), affine), hu())
    path = write_volume(volume, tmp_path / "out.nii.gz")
    indices = np.array([[0, 0, 0], [5, 0, 0], [0, 6, 0], [0, 0, 7], [2, 3, 4]])
    world = volume.grid.to_world(indices)
    by_nibabel = nibabel.load(path)
    assert np.array_equal(np.asarray(by_nibabel.dataobj), hu())
    assert nibabel.affines.apply_affine(by_nibabel.affine, indices) == pytest.approx(world * [-1, -1, 1], abs=1e-4)
    assert nibabel.affines.apply_affine(by_nibabel.get_qform(), indices) == pytest.approx(world * [-1, -1, 1], abs=1e-3)
    by_itk = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(by_itk).transpose(2, 1, 0), hu())
    for index, point in zip(indices.tolist(), world, strict=True):
        assert by_itk.TransformIndexToPhysicalPoint(index) == pytest.approx(point, abs=1e-3)
    volume.grid.require_same(read_image(path).grid, "what was written")


def test_a_written_file_has_the_affine_of_the_file_that_was_read_to_the_bit(tmp_path: Path) -> None:
    path = save(tmp_path / "in.nii.gz", affine=oblique())
    written = write_volume(read_image(path), tmp_path / "out.nii.gz")
    assert np.array_equal(nibabel.load(path).affine, nibabel.load(written).affine)


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    volume = read_image(save(tmp_path / "in.nii.gz"))
    a, b = (write_volume(volume, tmp_path / name) for name in ("a.nii.gz", "b.nii.gz"))
    assert a.read_bytes() == b.read_bytes()


def test_big_endian_and_nifti_2_are_read(tmp_path: Path) -> None:
    big = nibabel.Nifti1Image(hu().astype(">i2"), RAS, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    nibabel.save(nibabel.Nifti2Image(hu(), RAS), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        assert np.array_equal(read_image(tmp_path / name).array, hu())


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"), [(1, -1024, np.int16), (2, 0, np.int16), (0.5, 3, np.float32)]
)
def test_slope_and_intercept_are_applied(tmp_path: Path, slope, intercept, dtype) -> None:
    path = save(tmp_path / "ct.nii")
    patched(path, 112, np.array([slope, intercept], "<f4").tobytes())
    volume = read_image(path)
    assert volume.array.dtype == dtype
    assert np.array_equal(volume.array, hu() * slope + intercept)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_whole_numbers_that_fit_are_kept_as_int16(tmp_path: Path, dtype) -> None:
    array = np.abs(hu()).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(array, RAS, dtype=dtype), tmp_path / "a.nii.gz")
    volume = read_image(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, array)


def test_whole_numbers_that_do_not_fit_are_not_wrapped(tmp_path: Path) -> None:
    array = np.abs(hu()).astype(np.int32) * 100
    assert np.array_equal(read_image(save(tmp_path / "a.nii.gz", array)).array, array)


def test_the_modality_is_what_the_values_show_or_what_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "mr.nii.gz", np.abs(hu()))
    assert read_image(path).modality == "unknown"
    assert read_image(path).facts["modality_source"] == "none"
    assert read_image(path, modality="MR").modality == "MR"
    assert read_image(path, modality="MR").facts["modality_source"] == "told"


def test_a_fourth_axis_of_one_is_dropped(tmp_path: Path) -> None:
    assert np.array_equal(read_image(save(tmp_path / "a.nii.gz", hu()[..., None])).array, hu())


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [True, False])
def test_nrrd_and_metaimage_are_read(tmp_path: Path, suffix: str, compressed: bool) -> None:
    image = sitk.GetImageFromArray(hu().transpose(2, 1, 0))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((1.5, -2.5, 3.5))
    path = tmp_path / f"ct{suffix}"
    sitk.WriteImage(image, str(path), useCompression=compressed)
    volume = read_image(path)
    assert np.array_equal(volume.array, hu())
    assert volume.grid.spacing_mm == pytest.approx((0.7, 0.8, 2.5))
    assert volume.grid.origin_lps_mm == pytest.approx((1.5, -2.5, 3.5))


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    import hashlib

    path = save(tmp_path / "a.nii.gz")
    assert read_image(path).facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_reading_takes_little_more_memory_than_the_array(tmp_path: Path) -> None:
    array = np.zeros((256, 256, 200), dtype=np.int16)
    array[::2] = -1000
    path = save(tmp_path / "a.nii.gz", array)
    read_image(path)  # what is imported on the way is not counted
    tracemalloc.start()
    volume = read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.0 * volume.array.nbytes + (32 << 20)


# ---- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0.5, 0.97])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "raw.nrrd", "a.mha", "raw.mha"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 21, 22)).astype(np.int16)
    if name.startswith("a.nii"):
        save(path, array)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=not name.startswith("raw"))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UnreadableInput, match=r"damaged or incomplete|cannot be read"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_flipped_bit_in_compressed_voxels_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    array = np.random.default_rng(0).integers(-1000, 1000, (20, 21, 22)).astype(np.int16)
    if name == "a.nii.gz":
        save(path, array)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path), useCompression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableInput, match=r"damaged or incomplete|cannot be read"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
@pytest.mark.parametrize(
    "content", [b"", b"this is a letter, not a scan\n" * 40, b"\0" * 2000, b"\x1f\x8b" + b"\7" * 900]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableInput, match=r"empty|is not a|damaged|cannot be read"):
        read_image(path)


def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path: Path) -> None:
    path = patched(save(tmp_path / "a.nii"), 42, np.array([30000, 30000, 30000], "<i2").tobytes())
    with pytest.raises(UnreadableInput, match="promises"):
        read_image(path)
    zipped = tmp_path / "a.nii.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UnreadableInput, match="promises"):
        read_image(zipped)


@pytest.mark.parametrize(("name", "key"), [("a.mha", "DimSize = "), ("a.nrrd", "sizes: ")])
@pytest.mark.parametrize("packed", [False, True])
def test_itk_is_not_asked_to_make_room_for_what_a_file_cannot_hold(
    name: str, key: str, packed: bool, tmp_path: Path
) -> None:
    image = sitk.GetImageFromArray(np.zeros((6, 5, 4), dtype=np.int16))
    path = tmp_path / name
    sitk.WriteImage(image, str(path), packed)
    assert read_image(path).grid.shape == (4, 5, 6)
    path.write_bytes(path.read_bytes().replace(f"{key}4 5 6".encode(), f"{key}9000 9000 9000".encode()))
    with pytest.raises(UnreadableInput, match="promises 729000000000 voxels"):
        read_image(path)


@pytest.mark.parametrize("spelling", ["data file", "datafile", "DataFile"])
def test_voxels_of_a_nrrd_lie_beside_its_header_however_that_is_spelled(spelling: str, tmp_path: Path) -> None:
    """ITK obeys both spellings; neither may lead out of the header's folder."""
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(6, 5, 4))
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    sitk.WriteImage(image, str(home / "a.nhdr"))
    voxels = next(path for path in home.iterdir() if path.suffix != ".nhdr")
    header = (home / "a.nhdr").read_text()
    said = next(line for line in header.splitlines() if line.startswith("data file:"))
    (elsewhere / voxels.name).write_bytes(voxels.read_bytes())

    def pointing_to(place: str) -> Path:
        (home / "b.nhdr").write_text(header.replace(said, f"{spelling}: {place}"))
        return home / "b.nhdr"

    assert read_image(pointing_to(voxels.name)).grid.shape == (4, 5, 6)
    for place in (f"../elsewhere/{voxels.name}", str(elsewhere / voxels.name)):
        with pytest.raises(UnreadableInput, match="not beside it"):
            read_image(pointing_to(place))
    both = header.replace(said, f"{said}\n{spelling}: ../elsewhere/{voxels.name}")
    (home / "b.nhdr").write_text(both)
    with pytest.raises(UnreadableInput, match="twice"):
        read_image(home / "b.nhdr")


def test_a_missing_file_and_a_wrong_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="does not exist"):
        read_image(tmp_path / "none.nii.gz")
    (tmp_path / "a.png").write_bytes(b"png")
    with pytest.raises(UnreadableInput, match=r"a file ending in \.png.*DICOM folder"):
        read_image(tmp_path / "a.png")


def test_a_series_cannot_be_chosen_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="series was chosen in something that has none"):
        read_image(save(tmp_path / "a.nii.gz"), "1.2.3")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (hu()[:, :, 0], "2D, shape"),
        (hu()[:, :, :1], r"2D, shape|a single slice"),
        (np.stack([hu(), hu()], -1), "4D, shape"),
        (np.stack([hu()] * 3, -1)[..., None, :], "5D, shape"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_an_image_that_is_not_3d_is_refused(tmp_path: Path, array: np.ndarray, message: str, suffix: str) -> None:
    path = save(tmp_path / "a.nii.gz", array)
    if suffix != ".nii.gz":
        if array.ndim > 4:
            pytest.skip("these formats hold at most four axes here")
        sitk.WriteImage(sitk.ReadImage(str(path)), str(tmp_path / f"a{suffix}"))
    with pytest.raises(GeometryError, match=message):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, suffix: str) -> None:
    colour = sitk.GetImageFromArray(np.zeros((8, 7, 6, 3), np.uint8), isVector=True)
    sitk.WriteImage(colour, str(tmp_path / f"rgb{suffix}"))
    with pytest.raises(InputError, match=r"is not a scan|5D"):
        read_image(tmp_path / f"rgb{suffix}")
    if suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(hu().astype(np.complex64), RAS), tmp_path / "c.nii.gz")
        with pytest.raises(UnreadableInput, match="complex numbers"):
            read_image(tmp_path / "c.nii.gz")
        dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        nibabel.save(nibabel.Nifti1Image(np.zeros((6, 7, 8), dtype), RAS), tmp_path / "rgb24.nii.gz")
        with pytest.raises(UnreadableInput, match="colours or vectors"):
            read_image(tmp_path / "rgb24.nii.gz")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_voxels_without_a_value_are_refused(tmp_path: Path, bad: float, suffix: str) -> None:
    array = hu().astype(np.float64)
    array[1, 2, 3] = bad
    path = tmp_path / f"a{suffix}"
    if suffix == ".nii.gz":
        save(path, array)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(GeometryError, match="1 voxels that are NaN or infinite"):
        read_image(path)


PIXDIM, QCODE, SCODE, SROW = 80, 252, 254, 280


@pytest.mark.parametrize("bad", [0.0, -0.8, np.nan, np.inf])
def test_a_spacing_that_is_no_length_is_refused(tmp_path: Path, bad: float) -> None:
    path = patched(save(tmp_path / "a.nii"), PIXDIM, np.array([bad], "<f4").tobytes())
    with pytest.raises(GeometryError, match="voxel spacing"):
        read_image(path)


def _forms(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(hu(), None)
    image.header.set_zooms((0.7, 0.8, 2.5))
    image.set_sform(sform, 1 if sform is not None else 0)
    image.set_qform(qform, 1 if qform is not None else 0)
    nibabel.save(image, path)
    return path


def _with(matrix: np.ndarray, row: int, column: int, value: float) -> np.ndarray:
    changed = matrix.copy()
    changed[row, column] = value
    return changed


@pytest.mark.parametrize("qform", [None, RAS])
def test_a_sheared_affine_is_refused_even_beside_a_good_qform(tmp_path: Path, qform: np.ndarray | None) -> None:
    path = _forms(tmp_path / "a.nii.gz", _with(RAS, 0, 2, 0.5), qform)
    with pytest.raises(GeometryError, match="not at right angles"):
        read_image(path)


@pytest.mark.parametrize("matrix", [np.diag([0.0, 0, 0, 1]), _with(np.diag([1.0, 1, 1, 1]), 1, 1, 0.0)])
def test_a_singular_affine_is_refused(tmp_path: Path, matrix: np.ndarray) -> None:
    path = patched(save(tmp_path / "a.nii"), SROW, matrix[:3].astype("<f4").tobytes())
    with pytest.raises(GeometryError, match=r"spacing is zero|right angles"):
        read_image(path)


def test_an_affine_of_nan_is_refused(tmp_path: Path) -> None:
    path = patched(save(tmp_path / "a.nii"), SROW, np.full(12, np.nan, "<f4").tobytes())
    with pytest.raises(GeometryError, match="affine cannot be used"):
        read_image(path)


@pytest.mark.parametrize(
    "other", [_with(RAS, 0, 3, 41.0), np.diag([0.7, 0.8, 2.5, 1.0]), RAS @ np.diag([1.0, 1.0, 1.2, 1.0])]
)
def test_a_sform_and_a_qform_that_disagree_are_refused(tmp_path: Path, other: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="says twice where its voxels are"):
        read_image(_forms(tmp_path / "a.nii.gz", other, RAS))


def test_a_sform_that_disagrees_with_the_voxel_size_is_refused(tmp_path: Path) -> None:
    path = _forms(tmp_path / "a.nii", RAS, None)
    patched(path, PIXDIM, np.array([0.7, 0.8, 1.0], "<f4").tobytes())
    with pytest.raises(GeometryError, match="sform and pixdim"):
        read_image(path)


def test_one_form_is_enough(tmp_path: Path) -> None:
    for name, forms in {"s": (RAS, None), "q": (None, RAS)}.items():
        volume = read_image(_forms(tmp_path / f"{name}.nii.gz", *forms))
        assert volume.grid.affine == pytest.approx(np.diag([-1, -1, 1, 1]) @ RAS, abs=1e-4)


def test_a_file_that_does_not_say_where_left_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="does not say where the patient's left is"):
        read_image(_forms(tmp_path / "a.nii.gz", None, None))


def test_metres_and_micrometres_are_refused(tmp_path: Path) -> None:
    for code, unit in ((1, "metres"), (3, "micrometres")):
        path = patched(save(tmp_path / "a.nii"), 123, bytes([code]))
        with pytest.raises(GeometryError, match=unit):
            read_image(path)


def _nrrd(path: Path, *lines: str) -> Path:
    head = ["NRRD0004", "type: short", "encoding: raw", "endian: little", "dimension: 3", "sizes: 6 7 8", *lines]
    path.write_bytes("\n".join([*head, "", ""]).encode() + hu().tobytes(order="F"))
    return path


LPS, ORIGIN = "space: left-posterior-superior", "space origin: (1,2,3)"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("spacings: 1 2 3",), "does not say where its voxels are"),
        ((), "does not say where its voxels are"),
        (("spacings: 1 -2 3",), "voxel spacing"),
        (("spacings: 1 0 3",), "voxel spacing"),
        (("spacings: 1 nan 3",), "voxel spacing"),
        ((LPS, "space directions: (1,0,0) (0,2,0) (0.5,0,3)", ORIGIN), "not at right angles"),
        ((LPS, "space directions: (1,0,0) (0,0,0) (0,0,3)", ORIGIN), r"cannot be read|spacing is zero"),
        ((LPS, "space directions: (1,0,0) (1,0,0) (0,0,3)", ORIGIN), r"cannot be read|right angles"),
        ((LPS, 'space units: "m" "m" "m"', "space directions: (1,0,0) (0,2,0) (0,0,3)", ORIGIN), "not millimetres"),
    ],
)
def test_a_nrrd_without_usable_geometry_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(_nrrd(tmp_path / "a.nrrd", *lines))


def test_a_nrrd_in_ras_is_turned(tmp_path: Path) -> None:
    lines = ("space: right-anterior-superior", "space directions: (1,0,0) (0,2,0) (0,0,3)", ORIGIN)
    volume = read_image(_nrrd(tmp_path / "a.nrrd", *lines))
    assert np.array_equal(volume.array, hu())
    assert volume.grid.to_world([1, 1, 1]) == pytest.approx([-2.0, -4.0, 6.0])


def _mha(path: Path, *lines: str) -> Path:
    head = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", *lines]
    head += ["DimSize = 6 7 8", "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]
    path.write_bytes("\n".join(head).encode() + hu().tobytes(order="F"))
    return path


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "does not say where its voxels are"),
        (("ElementSpacing = 1 0 3",), "voxel spacing"),
        (("ElementSpacing = 1 -2 3",), "voxel spacing"),
        (("ElementSpacing = 1 nan 3",), "voxel spacing"),
        (("ElementSpacing = 1 two 3",), "voxel spacing"),
        (("ElementSpacing = 1 2 ²3",), "voxel spacing"),
        (("ElementSpacing = 1 2 3", "TransformMatrix = 1 0 0 0 1 0 0.1 0 0.99"), "not at right angles"),
    ],
)
def test_a_metaimage_without_usable_geometry_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_image(_mha(tmp_path / "a.mha", *lines))


@pytest.mark.parametrize(
    ("old", "new", "got"),
    [
        ("NDims = 3", "NDims = 255", "255 dimensions"),
        ("NDims = 3", "NDims = -3", "-3 dimensions"),
        ("NDims = 3", "ObjectSubType = X", "no dimensions"),
        ("NDims = 3", "NDims = 3\nNDims = 255", "ndims twice"),
        ("DimSize = 6 7 8", "DimSize = 6 7 8 9", "4 numbers for dimsize"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 2 3 4 5", "5 numbers for elementspacing"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 2 3\nOffset = 0 0", "2 numbers for offset"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 2 3\nRotation = 1 0 0 0 1 0 0 0 1 0", "10 numbers for rotation"),
        ("ElementType", "ElementNumberOfChannels = 99999\nElementType", "99999 channels"),
    ],
)
def test_a_metaimage_whose_rows_do_not_fit_its_dimensions_is_refused_before_itk_reads_it(
    tmp_path: Path, old: str, new: str, got: str
) -> None:
    """ITK ends the program on some of these."""
    path = _mha(tmp_path / "a.mha", "ElementSpacing = 1 2 3")
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    with pytest.raises(UnreadableInput) as refused:
        read_image(path)
    assert got in refused.value.got


@pytest.mark.parametrize("target", ["../secret.raw", "/etc/hostname", "absent.raw", "x" * 300])
def test_a_header_cannot_name_a_file_elsewhere(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret.raw").write_bytes(hu().tobytes(order="F"))
    folder = tmp_path / "case"
    folder.mkdir()
    path = _mha(folder / "a.mhd", "ElementSpacing = 1 2 3")
    path.write_bytes(path.read_bytes().split(b"LOCAL")[0] + target.encode() + b"\n")
    with pytest.raises(UnreadableInput, match="not beside it"):
        read_image(path)


def test_every_refusal_has_four_parts(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_image(tmp_path / "none.nii.gz")
    assert all((refused.value.what, refused.value.got, refused.value.wanted, refused.value.do))
    assert refused.value.exit_status == 3
    assert not isinstance(refused.value, GeometryMismatch)

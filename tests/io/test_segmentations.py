"""Masks become one liver case on the image's own grid, or are refused by name."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, InputError, SegmentationRefused, UnreadableInput
from liverplan.io.segmentations import ReadAhead, read_segmentation
from liverplan.io.slicer import structure_of
from liverplan.io.writing import write_segmentation, write_slicer_segmentation
from liverplan.volume import Grid, Segmentation

SHAPE = (44, 40, 30)
GRID = Grid.from_spacing(SHAPE, (1.5, 1.5, 2.0), (-30.0, 10.0, 200.0))
ORIENTATIONS = [(p, f) for p in itertools.permutations(range(3)) for f in itertools.product((False, True), repeat=3)]
ALL = ("liver", "lesions", "portal_vein", "hepatic_veins", "inferior_vena_cava")


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """In voxels."""
    i, j, k = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 <= radius**2


def tube(start: tuple[int, int, int], axis: int, length: int, radius: float) -> np.ndarray:
    i, j, k = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    away = sum((x - c) ** 2 for n, (x, c) in enumerate(zip((i, j, k), start, strict=True)) if n != axis)
    along = (i, j, k)[axis] - start[axis]
    return (away <= radius**2) & (along >= 0) & (along < length)


def case() -> dict[str, np.ndarray]:
    """A liver with two lesions, a portal vein that enters from below, a hepatic vein that leaves upward, a cava."""
    liver = ball((20, 20, 15), 12)
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[ball((14, 20, 15), 2.2)] = 1
    lesions[ball((26, 16, 18), 2.2)] = 2
    return {
        "liver": liver.astype(np.uint8),
        "lesions": lesions,
        "portal_vein": tube((20, 24, 0), 2, 14, 1.6).astype(np.uint8),
        "hepatic_veins": tube((24, 24, 18), 2, 10, 1.6).astype(np.uint8),
        "inferior_vena_cava": tube((20, 36, 0), 2, 30, 2.6).astype(np.uint8),
    }


def save(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1, -1, 1, 1]) @ grid.affine), path)
    return path


def folder(path: Path, masks: dict[str, np.ndarray] | None = None, **changes: np.ndarray | None) -> Path:
    path.mkdir(exist_ok=True)
    for name, array in {**(case() if masks is None else masks), **changes}.items():
        if array is not None:
            save(path / f"{name}.nii.gz", array)
    return path


# ---- folders ----------------------------------------------------------------------------------------------------


def test_a_folder_of_masks_is_read_as_drawn(tmp_path: Path) -> None:
    segmentation = read_segmentation(folder(tmp_path / "m"), GRID)
    assert {s.value for s in segmentation.masks} == set(ALL)
    for name, array in case().items():
        got = segmentation.masks[Structure(name)]
        assert got.dtype == np.uint8
        assert np.array_equal(got, array), name
    assert segmentation.origin == "given"
    assert segmentation.notes == ()


def test_masks_read_ahead_are_those_that_are_read_in_turn(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", spleen=ball((5, 5, 5), 2).astype(np.uint8))
    with ThreadPoolExecutor(2) as pool:
        ahead = read_segmentation(path, GRID, ReadAhead(path, pool))
    in_turn = read_segmentation(path, GRID)
    assert ahead.notes == in_turn.notes
    assert all(np.array_equal(ahead.masks[s], m) for s, m in in_turn.masks.items())


def test_what_is_wrong_with_a_mask_is_said_when_it_was_read_ahead(tmp_path: Path) -> None:
    path = folder(tmp_path / "m")
    (path / "lesions.nii.gz").write_bytes((path / "lesions.nii.gz").read_bytes()[:200])
    with ThreadPoolExecutor(1) as pool, pytest.raises(UnreadableInput, match="lesions"):
        read_segmentation(path, GRID, ReadAhead(path, pool))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_masks_may_come_in_any_file_format(tmp_path: Path, suffix: str) -> None:
    for name, array in case().items():
        image = sitk.ReadImage(str(save(tmp_path / "x.nii", array)))
        sitk.WriteImage(image, str(tmp_path / f"{name}{suffix}"))
    (tmp_path / "x.nii").unlink()
    segmentation = read_segmentation(tmp_path, GRID)
    assert all(np.array_equal(segmentation.masks[Structure(n)], a) for n, a in case().items())


def test_names_of_totalsegmentator_are_known(tmp_path: Path) -> None:
    masks = case()
    halves = {1: np.zeros(SHAPE, np.uint8), 8: np.zeros(SHAPE, np.uint8)}
    halves[1][:20], halves[8][20:] = masks["liver"][:20], masks["liver"][20:]
    path = folder(
        tmp_path / "ts",
        {
            "liver": masks["liver"],
            "inferior_vena_cava": masks["inferior_vena_cava"],
            "portal_vein_and_splenic_vein": masks["portal_vein"],
            "liver_tumor": masks["lesions"],
            "liver_vessels": masks["hepatic_veins"],
            "liver_segment_1": halves[1],
            "liver_segment_8": halves[8],
            "spleen": masks["liver"],
        },
    )
    segmentation = read_segmentation(path, GRID)
    assert np.array_equal(segmentation.masks[Structure.PORTAL_VEIN], masks["portal_vein"])
    assert np.array_equal(segmentation.masks[Structure.LESIONS], masks["lesions"])
    assert np.array_equal(segmentation.masks[Structure.LIVER_VESSELS], masks["hepatic_veins"])
    assert np.unique(segmentation.masks[Structure.COUINAUD]).tolist() == [0, 1, 8]
    assert segmentation.notes == ("Files not recognised and not used: spleen.nii.gz.",)


def test_unknown_files_are_reported_and_never_guessed(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", arteries=case()["portal_vein"], my_lesions_v2=case()["lesions"])
    (path / "notes.txt").write_text("hello")
    (path / ".hidden.nii.gz").write_bytes(b"junk")
    segmentation = read_segmentation(path, GRID)
    assert set(segmentation.masks) == {Structure(n) for n in ALL}
    assert segmentation.notes == ("Files not recognised and not used: arteries.nii.gz, my_lesions_v2.nii.gz.",)


def test_an_empty_lesion_mask_says_none_found_and_an_absent_one_says_nothing(tmp_path: Path) -> None:
    looked = read_segmentation(folder(tmp_path / "a", lesions=np.zeros(SHAPE, np.uint8)), GRID)
    assert Structure.LESIONS in looked.masks
    assert not looked.has(Structure.LESIONS)
    absent = read_segmentation(folder(tmp_path / "b", lesions=None), GRID)
    assert Structure.LESIONS not in absent.masks


def test_a_mask_of_255_is_a_mask(tmp_path: Path) -> None:
    masks = {name: (array > 0).astype(np.uint8) * 255 for name, array in case().items()}
    segmentation = read_segmentation(folder(tmp_path / "m", masks), GRID)
    assert all(np.unique(m).tolist() == [0, 1] for m in segmentation.masks.values())


def test_float_masks_of_whole_numbers_are_masks(tmp_path: Path) -> None:
    segmentation = read_segmentation(folder(tmp_path / "m", liver=case()["liver"].astype(np.float64)), GRID)
    assert np.array_equal(segmentation.masks[Structure.LIVER], case()["liver"])


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_a_mask_in_another_voxel_order_is_turned_and_not_resampled(tmp_path: Path, axes, flips) -> None:
    change = np.zeros((4, 4))
    change[3, 3] = 1.0
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        change[old, new], change[old, 3] = (-1.0, SHAPE[old] - 1) if flip else (1.0, 0.0)
    for name, array in case().items():
        if name in ("liver", "lesions"):
            turned = array.transpose(axes)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
            save(tmp_path / f"{name}.nii", turned, Grid(turned.shape, GRID.affine @ change))
    segmentation = read_segmentation(tmp_path, GRID)
    assert np.array_equal(segmentation.masks[Structure.LIVER], case()["liver"])
    assert np.array_equal(segmentation.masks[Structure.LESIONS], case()["lesions"])


# ---- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid.from_spacing(SHAPE, (1.5, 1.5, 2.5), (-30.0, 10.0, 200.0)), "voxels up to 14.50 mm away"),
        (Grid.from_spacing(SHAPE, (1.5, 1.5, 2.0), (-30.0, 10.0, 201.0)), "voxels up to 1.00 mm away"),
        (Grid(SHAPE, np.diag([-1.5, -1.5, 2.0, 1.0])), "mm away"),
    ],
)
def test_a_mask_on_another_grid_is_refused_by_name(tmp_path: Path, grid: Grid, message: str) -> None:
    path = folder(tmp_path / "m")
    save(path / "portal_vein.nii.gz", case()["portal_vein"], grid)
    with pytest.raises(GeometryMismatch, match=f"portal_vein.nii.gz is not on the image's grid.*{message}"):
        read_segmentation(path, GRID)


def test_a_mask_of_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", lesions=case()["lesions"][:, :, :-1])
    with pytest.raises(GeometryMismatch, match=r"lesions.nii.gz.*shape \(44, 40, 29\)"):
        read_segmentation(path, GRID)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("liver", None, "has no liver"),
        ("liver", np.zeros(SHAPE, np.uint8), "liver mask is empty"),
        ("liver", case()["liver"] * 0.4, r"liver.nii.gz is not a mask.*fractions"),
        ("lesions", -case()["lesions"].astype(np.int16), r"lesions.nii.gz is not a mask.*from -2 to 0"),
        ("lesions", case()["lesions"].astype(np.int16) * 200, r"lesions.nii.gz is not a mask.*from 0 to 400"),
        ("couinaud", case()["liver"] * 9, r"couinaud.nii.gz is not a mask.*from 0 to 9"),
    ],
)
def test_masks_that_cannot_be_a_case_are_refused(tmp_path: Path, name: str, array, message: str) -> None:
    with pytest.raises(SegmentationRefused, match=message):
        read_segmentation(folder(tmp_path / "m", **{name: array}), GRID)


def test_nan_in_a_mask_is_refused(tmp_path: Path) -> None:
    array = case()["liver"].astype(np.float32)
    array[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        read_segmentation(folder(tmp_path / "m", liver=array), GRID)


def test_a_lesion_outside_the_liver_is_refused_with_its_place_and_size(tmp_path: Path) -> None:
    lesions = case()["lesions"]
    lesions[ball((40, 36, 25), 2.2)] = 3
    volume_ml = ball((40, 36, 25), 2.2).sum() * GRID.voxel_ml
    with pytest.raises(SegmentationRefused) as refused:
        read_segmentation(folder(tmp_path / "m", lesions=lesions), GRID)
    assert f"{volume_ml:.2f} mL" in refused.value.got
    assert "(30.0, 64.0, 250.0) mm LPS" in refused.value.got


def test_two_files_for_one_structure_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "a")
    save(path / "liver.nii", case()["liver"])
    with pytest.raises(SegmentationRefused, match="two files for 'liver'"):
        read_segmentation(path, GRID)
    with pytest.raises(SegmentationRefused, match="two files claim to be the lesions"):
        read_segmentation(folder(tmp_path / "b", liver_tumor=case()["lesions"]), GRID)


def test_a_missing_or_a_damaged_dicom_segmentation_is_refused_with_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="does not exist"):
        read_segmentation(tmp_path / "none", GRID)
    (tmp_path / "seg.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    with pytest.raises(UnreadableInput, match=r"cannot be read as a DICOM segmentation.*seg\.nrrd"):
        read_segmentation(tmp_path / "seg.dcm", GRID)


# ---- what counts as liver ---------------------------------------------------------------------------------------


def test_lesions_and_vessels_left_out_of_the_liver_become_part_of_it(tmp_path: Path) -> None:
    masks = case()
    parenchyma = masks["liver"].copy()
    for name in ("lesions", "portal_vein", "hepatic_veins"):
        parenchyma[masks[name] > 0] = 0
    segmentation = read_segmentation(folder(tmp_path / "m", liver=parenchyma), GRID)
    got = segmentation.masks[Structure.LIVER]
    assert not (got & ~masks["liver"]).any()
    assert got.sum() == pytest.approx(masks["liver"].sum(), rel=0.003)
    assert any("grew from" in note for note in segmentation.notes)


def test_a_lesion_across_the_capsule_counts_as_liver_and_is_mentioned(tmp_path: Path) -> None:
    lesions = ball((9, 20, 15), 4).astype(np.uint8)
    segmentation = read_segmentation(folder(tmp_path / "m", lesions=lesions), GRID)
    assert (segmentation.masks[Structure.LIVER] >= lesions).all()
    assert any("outside the liver mask: counted as liver" in note for note in segmentation.notes)


def test_the_liver_always_holds_its_lesions(tmp_path: Path) -> None:
    segmentation = read_segmentation(folder(tmp_path / "m"), GRID)
    assert (segmentation.mask(Structure.LIVER) | ~segmentation.mask(Structure.LESIONS)).all()


# ---- one label map ----------------------------------------------------------------------------------------------


def label_map() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for value, name in enumerate(ALL, start=1):
        labels[case()[name] > 0] = value
    return labels


def test_a_label_map_gives_back_the_whole_liver(tmp_path: Path) -> None:
    segmentation = read_segmentation(save(tmp_path / "labels.nii.gz", label_map()), GRID)
    masks = case()
    for value, name in enumerate(ALL[1:], start=2):
        assert np.array_equal(segmentation.mask(Structure(name)), label_map() == value), name
    got, true = segmentation.mask(Structure.LIVER), masks["liver"] > 0
    assert got[true].all()
    # One layer of vessel that touches the outline is liver by definition, the rest of the trunks is not.
    assert (got & ~true).sum() <= 2 * 9 * 2
    assert not got[:, :, :2].any()


def test_a_label_map_without_lesions_has_none(tmp_path: Path) -> None:
    labels = label_map()
    labels[labels == 2] = 1
    segmentation = read_segmentation(save(tmp_path / "labels.nii.gz", labels), GRID)
    assert Structure.LESIONS in segmentation.masks
    assert not segmentation.has(Structure.LESIONS)


def test_a_label_map_without_a_vessel_system_does_not_pretend_to_have_one(tmp_path: Path) -> None:
    labels = label_map()
    labels[labels == 3] = 1
    assert Structure.PORTAL_VEIN not in read_segmentation(save(tmp_path / "l.nii.gz", labels), GRID).masks


@pytest.mark.parametrize("bad", [6, 63])
def test_an_unknown_label_is_refused(tmp_path: Path, bad: int) -> None:
    labels = label_map()
    labels[0, 0, 0] = bad
    with pytest.raises(SegmentationRefused, match=rf"label values that are not known: got {bad};"):
        read_segmentation(save(tmp_path / "l.nii.gz", labels), GRID)


def test_a_label_map_without_liver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentationRefused, match="has no liver"):
        read_segmentation(save(tmp_path / "l.nii.gz", (label_map() == 2).astype(np.uint8) * 2), GRID)


# ---- written and read again -------------------------------------------------------------------------------------


def whole_case(grid: Grid = GRID) -> Segmentation:
    masks = {Structure(n): np.asfortranarray(a) for n, a in case().items()}
    couinaud = case()["liver"] * 4
    couinaud[:20][couinaud[:20] > 0] = 7
    return Segmentation(grid, {**masks, Structure.COUINAUD: couinaud})


def oblique_grid() -> Grid:
    a = np.radians(11.0)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.8, 0.8, -2.0])
    affine[:3, 3] = [33.3, -44.4, 555.5]
    return Grid(SHAPE, affine)


@pytest.mark.parametrize("grid", [GRID, oblique_grid()])
def test_masks_that_are_written_are_read_back_on_the_image_grid(tmp_path: Path, grid: Grid) -> None:
    segmentation = whole_case(grid)
    paths = write_segmentation(segmentation, tmp_path / "segmentation")
    assert sorted(p.name for p in paths) == sorted(f"{s.value}.nii.gz" for s in segmentation.masks)
    again = read_segmentation(tmp_path / "segmentation", grid)
    for structure, mask in segmentation.masks.items():
        assert np.array_equal(again.masks[structure], mask), structure
    assert nibabel.load(paths[0]).get_data_dtype() == np.uint8


@pytest.mark.parametrize("grid", [GRID, oblique_grid()])
def test_a_slicer_segmentation_is_read_back(tmp_path: Path, grid: Grid) -> None:
    segmentation = whole_case(grid)
    path = write_slicer_segmentation(segmentation, tmp_path / "segmentation.seg.nrrd")
    again = read_segmentation(path, grid)
    assert set(again.masks) == set(segmentation.masks)
    for structure, mask in segmentation.masks.items():
        assert np.array_equal(again.masks[structure], mask), structure


def test_simpleitk_sees_the_segments_where_the_image_is(tmp_path: Path) -> None:
    grid = oblique_grid()
    path = write_slicer_segmentation(whole_case(grid), tmp_path / "s.seg.nrrd")
    image = sitk.ReadImage(str(path))
    assert image.GetSize() == SHAPE
    for index in ((0, 0, 0), (43, 39, 29), (3, 5, 7)):
        assert image.TransformIndexToPhysicalPoint(index) == pytest.approx(grid.to_world(index), abs=1e-6)
    names = {image.GetMetaData(f"Segment{n}_Name") for n in range(8)}
    assert {"Liver", "Lesion 1", "Lesion 2", "Portal vein", "Hepatic veins", "Inferior vena cava"} <= names
    layers = sitk.GetArrayFromImage(image)
    liver = next(n for n in range(8) if image.GetMetaData(f"Segment{n}_Name") == "Liver")
    layer, value = (int(image.GetMetaData(f"Segment{liver}_{key}")) for key in ("Layer", "LabelValue"))
    assert np.array_equal(layers[..., layer].transpose(2, 1, 0) == value, case()["liver"] > 0)


def test_a_segmentation_that_slicer_cropped_is_put_back_in_place(tmp_path: Path) -> None:
    """3D Slicer stores the box around the segments, in its own voxel order."""
    labels = label_map()
    image = sitk.ReadImage(str(save(tmp_path / "l.nii", labels)))[4:40, 2:39, 0:30]
    image = sitk.Flip(image, (True, False, True))
    for n, name in enumerate(("Liver", "Tumor", "Portal Vein", "hepatic vein", "IVC")):
        for key, value in {"ID": f"Segment_{n}", "Name": name, "LabelValue": str(n + 1), "Layer": "0"}.items():
            image.SetMetaData(f"Segment{n}_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "Segmentation.seg.nrrd"), useCompression=True)
    segmentation = read_segmentation(tmp_path / "Segmentation.seg.nrrd", GRID)
    for value, name in enumerate(ALL[1:], start=2):
        assert np.array_equal(segmentation.mask(Structure(name)), labels == value), name


@pytest.mark.parametrize(
    ("shift", "message"), [((0.7, 0, 0), "not on the image's grid"), ((60, 0, 0), "beyond the image")]
)
def test_a_slicer_segmentation_of_another_image_is_refused(tmp_path: Path, shift, message: str) -> None:
    affine = GRID.affine.copy()
    affine[:3, 3] += shift
    path = write_slicer_segmentation(whole_case(Grid(SHAPE, affine)), tmp_path / "s.seg.nrrd")
    with pytest.raises(GeometryMismatch, match=message):
        read_segmentation(path, GRID)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("Liver", (Structure.LIVER, None)),
        ("Lesion 2", (Structure.LESIONS, 2)),
        ("tumors", (Structure.LESIONS, None)),
        ("Metastases", (Structure.LESIONS, None)),
        ("Portal vein", (Structure.PORTAL_VEIN, None)),
        ("hepatic_veins", (Structure.HEPATIC_VEINS, None)),
        ("IVC", (Structure.VENA_CAVA, None)),
        ("Liver segment 4", (Structure.COUINAUD, 4)),
        ("liver_segment_9", (None, None)),
        ("Segment_1", (None, None)),
        ("Liver 2", (None, None)),
        ("right portal vein", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_segment_name_means_a_structure_or_nothing(name: str, meaning) -> None:
    assert structure_of(name) == meaning

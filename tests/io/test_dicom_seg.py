"""Masks go into a DICOM Segmentation and come back voxel by voxel, for other readers and for this one."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_case import CORONAL, FRAME, Scan, by_pydicom, expected, random_masks, scan, step_along, without_frame
from dicom_series import AXIAL
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, SegmentationRefused, UnreadableInput
from liverplan.io.dicom_codes import COUINAUD, concept
from liverplan.io.dicom_labelmap import painted, write_label_map
from liverplan.io.dicom_seg import write_seg
from liverplan.io.dicom_seg_in import read_dicom_seg
from liverplan.io.segmentations import read_segmentation
from liverplan.io.writing import write_mask
from liverplan.volume import Grid, Segmentation

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
FEET_FIRST = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
ANGLE = np.radians(7.0)
OBLIQUE = (np.cos(ANGLE), np.sin(ANGLE), 0.0, -np.sin(ANGLE), np.cos(ANGLE), 0.0)
GEOMETRIES = {
    "axial": (AXIAL, 1),
    "axial, slices from the top": (AXIAL, -1),
    "rows upside down": (FEET_FIRST, 1),
    "coronal": (CORONAL, 1),
    "sagittal, slices from the right": (SAGITTAL, -1),
    "oblique": (OBLIQUE, 1),
}


def scan_like(folder: Path, name: str, shape: tuple[int, int, int] = (16, 12, 6)) -> Scan:
    orientation, direction = GEOMETRIES[name]
    return scan(folder, shape, orientation, step=direction * step_along(orientation))


def write(case: Scan, segmentation: Segmentation, path: Path) -> Dataset:
    write_seg(path, segmentation, case.source)
    return dcmread(path)


def read_back(path: Path, grid: Grid) -> dict[str, np.ndarray]:
    return {s.name: s.mask for s in read_dicom_seg(path, grid)}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return list(found) == list(wanted) and all(np.array_equal(found[name], wanted[name]) for name in wanted)


# ---- out, for other readers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("shape", [(16, 12, 6), (7, 5, 4)], ids=["whole bytes", "frames that end within a byte"])
def test_every_reader_finds_every_voxel_in_its_place(tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    case = scan_like(tmp_path / "scan", name, shape)
    masks = random_masks(case.grid)
    seg = write(case, masks, tmp_path / "seg.dcm")
    wanted = expected(masks)
    assert same(by_pydicom(seg, case.source), wanted)
    assert same(read_back(tmp_path / "seg.dcm", case.grid), wanted)
    theirs = highdicom.seg.segread(tmp_path / "seg.dcm")
    pixels = theirs.get_pixels_by_source_instance([h.SOPInstanceUID for h in case.source.headers])
    assert same({label: pixels[..., n].transpose(2, 1, 0) > 0 for n, label in enumerate(wanted)}, wanted)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_highdicom_sees_the_masks_at_the_same_millimetres(tmp_path: Path, name: str) -> None:
    """By positions alone, without the references to the images: the affine that highdicom derives is the oracle."""
    case = scan_like(tmp_path / "scan", name)
    masks = random_masks(case.grid)
    write(case, masks, tmp_path / "seg.dcm")
    volume = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(segment_numbers=[1], allow_missing_positions=True)
    found = volume.affine @ np.append(np.argwhere(volume.array[..., 0]), np.ones((int(volume.array.sum()), 1)), 1).T
    wanted = case.grid.to_world(np.argwhere(masks.masks[Structure.LIVER]))
    assert sorted(map(tuple, np.round(found[:3].T, 3) + 0.0)) == sorted(map(tuple, np.round(wanted, 3) + 0.0))


def test_the_object_says_what_it_is_and_whose(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    seg = write(case, random_masks(case.grid), tmp_path / "seg.dcm")
    assert seg.SegmentationType == "BINARY"
    assert seg.BitsAllocated == 1
    assert seg.FrameOfReferenceUID == FRAME
    assert seg.PatientName == "Secret^Name"
    assert seg.PatientID == "PAT-0815"
    assert seg.StudyInstanceUID == case.source.first.StudyInstanceUID
    assert seg.SeriesInstanceUID != case.source.series_uid
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == case.source.series_uid
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 6
    assert "Research use only" in seg.ContentDescription
    assert seg.SegmentsOverlap == "YES"


def test_segments_carry_codes_colours_and_their_own_tracking_uids(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    seg = write(case, random_masks(case.grid), tmp_path / "seg.dcm")
    codes = {s.SegmentLabel: s.SegmentedPropertyTypeCodeSequence[0] for s in seg.SegmentSequence}
    assert {label: code.CodeValue for label, code in codes.items()} == {
        "Liver": "10200004",
        "Lesion 1": "14799000",
        "Lesion 2": "14799000",
        "Lesion 3": "14799000",
        "Portal vein": "32764006",
        "Hepatic veins": "8993003",
        "Inferior vena cava": "64131007",
        "Liver vessels (portal and hepatic not apart)": "59820001",
        "Liver segment 5": "277959000",
        "Liver segment 8": "277962002",
    }
    assert {code.CodingSchemeDesignator for code in codes.values()} == {"SCT"}
    assert [s.TrackingID for s in seg.SegmentSequence] == list(codes)
    assert len({s.TrackingUID for s in seg.SegmentSequence}) == len(codes)
    assert {s.SegmentAlgorithmType for s in seg.SegmentSequence} == {"MANUAL"}
    theirs = highdicom.seg.segread(tmp_path / "seg.dcm")
    for description in theirs.SegmentSequence:
        value = highdicom.color.CIELabColor(*_lab(description.RecommendedDisplayCIELabValue)).to_rgb()
        if description.SegmentLabel == "Liver":
            assert np.allclose(value, Structure.LIVER.info.rgb, atol=2)


def _lab(stored: list[int]) -> tuple[float, float, float]:
    lightness, a, b = stored
    return lightness / 65535 * 100, a / 65535 * 255 - 128, b / 65535 * 255 - 128


def test_masks_of_a_model_name_the_model(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    masks = random_masks(case.grid)
    made = Segmentation(case.grid, masks.masks, "model", {"name": "liver-net", "sha256": "ab" * 32})
    for segment in write(case, made, tmp_path / "seg.dcm").SegmentSequence:
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "liver-net"
        assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "ab" * 8


def test_uids_follow_the_content(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    masks = random_masks(case.grid)
    first, again = (write(case, masks, tmp_path / name) for name in ("a.dcm", "b.dcm"))
    other = write(case, random_masks(case.grid, seed=1), tmp_path / "c.dcm")
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    assert first.SegmentSequence[1].TrackingUID == again.SegmentSequence[1].TrackingUID
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID != other.SeriesInstanceUID
    assert first.PixelData == again.PixelData


def test_segments_that_share_no_voxel_are_said_to_be_apart(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    liver, cava = np.zeros(case.grid.shape, np.uint8), np.zeros(case.grid.shape, np.uint8)
    liver[:5], cava[9:] = 1, 1
    masks = Segmentation(case.grid, {Structure.LIVER: liver, Structure.VENA_CAVA: cava})
    assert write(case, masks, tmp_path / "seg.dcm").SegmentsOverlap == "NO"


def test_masks_on_another_grid_are_not_written(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    other = Grid.from_spacing(case.grid.shape, (1.0, 1.0, 1.0))
    with pytest.raises(GeometryMismatch):
        write_seg(tmp_path / "seg.dcm", random_masks(other), case.source)
    assert not (tmp_path / "seg.dcm").exists()


# ---- in ----------------------------------------------------------------------------------------------------------


def liver_with_lesions(grid: Grid) -> Segmentation:
    """A box with two lesions inside and a vein: what `read_segmentation` leaves as it is."""
    liver, lesions, portal = (np.zeros(grid.shape, dtype=np.uint8, order="F") for _ in range(3))
    liver[2:14, 1:11, 1:5] = 1
    lesions[4:6, 3:5, 2:4] = 2
    lesions[9:12, 6:8, 2] = 1
    portal[7, 2:9, 2] = 1
    masks = {Structure.LIVER: liver, Structure.LESIONS: lesions, Structure.PORTAL_VEIN: portal}
    return Segmentation(grid, masks)


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_a_segmentation_comes_back_as_it_was(tmp_path: Path, as_folder: bool) -> None:
    case = scan(tmp_path / "scan")
    masks = liver_with_lesions(case.grid)
    path = tmp_path / "deep" / "er" / "IM0001"
    path.parent.mkdir(parents=True)
    write(case, masks, path)
    shutil.copytree(case.folder, tmp_path / "deep" / "scan")
    found = read_segmentation(tmp_path / "deep" if as_folder else path, case.grid)
    assert found.notes == ()
    assert set(found.masks) == set(masks.masks)
    for structure, mask in masks.masks.items():
        assert np.array_equal(found.masks[structure], mask), structure


def test_looked_for_and_not_found_stays_apart_from_not_looked_for(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    masks = liver_with_lesions(case.grid).masks
    none = {**masks, Structure.LESIONS: np.zeros(case.grid.shape, dtype=np.uint8)}
    write(case, Segmentation(case.grid, none), tmp_path / "none.dcm")
    found = read_segmentation(tmp_path / "none.dcm", case.grid)
    assert Structure.LESIONS in found.masks
    assert not found.has(Structure.LESIONS)
    without = {s: m for s, m in masks.items() if s is not Structure.LESIONS}
    write(case, Segmentation(case.grid, without), tmp_path / "without.dcm")
    assert Structure.LESIONS not in read_segmentation(tmp_path / "without.dcm", case.grid).masks


ALL_24 = [
    (axes, signs)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
    if np.linalg.det(np.eye(3)[list(axes)] * np.array(signs)[:, None]) > 0
]


@pytest.mark.parametrize(("axes", "signs"), ALL_24)
def test_a_segmentation_stored_along_other_axes_of_the_same_voxels_is_turned(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[float, ...]
) -> None:
    """The same lattice sliced in every direction: rows, columns and slices of the file are other axes of the image."""
    size, mm, corner = np.array([9, 7, 5]), np.array([0.7, 0.8, 2.5]), np.array([-20.0, -30.0, 100.0])
    image = scan(tmp_path / "image", (9, 7, 5), origin=corner, spacing=(0.8, 0.7))
    along = np.eye(3)[list(axes)] * np.array(signs)[:, None]
    start = corner + sum(((size[a] - 1) * mm[a]) * np.eye(3)[a] for a, s in zip(axes, signs, strict=True) if s < 0)
    i, j, k = axes
    stored = scan(
        tmp_path / "stored",
        (int(size[i]), int(size[j]), int(size[k])),
        tuple(np.concatenate([along[0], along[1]])),
        tuple(start),
        along[2] * mm[k],
        (float(mm[j]), float(mm[i])),
    )
    masks = random_masks(stored.grid, seed=3)
    write(stored, masks, tmp_path / "seg.dcm")
    for name, mask in read_back(tmp_path / "seg.dcm", image.grid).items():
        here = np.round(image.grid.to_world(np.argwhere(mask)), 3) + 0.0
        there = np.round(stored.grid.to_world(np.argwhere(expected(masks)[name])), 3) + 0.0
        assert sorted(map(tuple, here)) == sorted(map(tuple, there))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_frames_means_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, shuffle: np.random.RandomState
) -> None:
    folder = tmp_path_factory.mktemp("frames")
    case = scan(folder / "scan", (8, 6, 4))
    masks = random_masks(case.grid, seed)
    seg = write(case, masks, folder / "seg.dcm")
    order = list(range(int(seg.NumberOfFrames)))
    shuffle.shuffle(order)
    frames = seg.pixel_array[order]
    seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[n] for n in order]
    seg.PixelData = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    seg.save_as(folder / "shuffled.dcm")
    assert same(read_back(folder / "shuffled.dcm", case.grid), expected(masks))


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    case, other = scan(tmp_path / "scan"), scan(tmp_path / "other", frame="1.2.3.4")
    write(other, liver_with_lesions(other.grid), tmp_path / "seg.dcm")
    with pytest.raises(GeometryMismatch, match="another DICOM frame of reference"):
        read_segmentation(tmp_path / "seg.dcm", case.grid)
    assert read_segmentation(tmp_path / "seg.dcm", without_frame(case.grid)).has(Structure.LIVER)


@pytest.mark.parametrize(
    ("origin", "spacing"),
    [((-20.0, -30.0, 101.0), (0.8, 0.7)), ((-19.8, -30.0, 100.0), (0.8, 0.7)), ((-20.0, -30.0, 100.0), (0.8, 0.75))],
    ids=["between slices", "between columns", "another pixel size"],
)
def test_voxels_that_are_not_the_images_are_refused_and_never_resampled(
    tmp_path: Path, origin: tuple[float, ...], spacing: tuple[float, float]
) -> None:
    case, other = scan(tmp_path / "scan"), scan(tmp_path / "other", origin=origin, spacing=spacing)
    write(other, liver_with_lesions(other.grid), tmp_path / "seg.dcm")
    with pytest.raises(GeometryMismatch, match="not on the image's grid"):
        read_segmentation(tmp_path / "seg.dcm", case.grid)


@pytest.mark.parametrize("turned", [False, True], ids=["as the image", "rows and columns run the other way"])
def test_a_part_of_the_lattice_is_placed_and_what_reaches_beyond_the_image_is_refused(
    tmp_path: Path, turned: bool
) -> None:
    case = scan(tmp_path / "scan")
    corner = np.array([-20.0 - 0.7 * 2, -30.0 - 0.8, 100.0 - 2.5])
    sign = -1.0 if turned else 1.0
    if turned:
        corner += [0.7 * 19, 0.8 * 14, 0.0]
    wide = scan(tmp_path / "wide", (20, 15, 9), (sign, 0.0, 0.0, 0.0, sign, 0.0), corner)
    inner = liver_with_lesions(case.grid).masks[Structure.LIVER]
    liver = np.zeros(wide.grid.shape, dtype=np.uint8)
    there = liver[::-1, ::-1] if turned else liver
    there[2:18, 1:13, 1:7] = inner
    write(wide, Segmentation(wide.grid, {Structure.LIVER: liver}), tmp_path / "seg.dcm")
    assert np.array_equal(read_segmentation(tmp_path / "seg.dcm", case.grid).masks[Structure.LIVER], inner)
    there[0, 5, 3] = 1
    write(wide, Segmentation(wide.grid, {Structure.LIVER: liver}), tmp_path / "seg.dcm")
    with pytest.raises(GeometryMismatch, match=r"beyond the image.*1 voxels outside"):
        read_segmentation(tmp_path / "seg.dcm", case.grid)


# ---- files of others ---------------------------------------------------------------------------------------------


def made_by_highdicom(
    case: Scan, path: Path, kind: str, segments: list[tuple[str, tuple[str, str, str], bool]], pixels: np.ndarray
) -> Path:
    """A SEG by highdicom alone: (label, type, of the liver) per segment; pixels (frames, rows, columns, segments)."""
    from highdicom.seg import SegmentDescription

    described = [
        SegmentDescription(
            n,
            label,
            concept(("49755003", "SCT", "Morphologically Abnormal Structure")),
            concept(code),
            "MANUAL",
            anatomic_regions=[concept(("10200004", "SCT", "Liver"))] if of_the_liver else None,
        )
        for n, (label, code, of_the_liver) in enumerate(segments, start=1)
    ]
    seg = highdicom.seg.Segmentation(
        list(case.source.headers), pixels, kind, described, "1.2.3", 1, "1.2.3.4", 1, "maker", "model", "1", "1"
    )
    seg.save_as(path)
    return path


LIVER = ("10200004", "SCT", "Liver")
MASS = ("4147007", "SCT", "Mass")


def stack(*masks: np.ndarray) -> np.ndarray:
    return np.stack([m.transpose(2, 1, 0) for m in masks], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_segments_of_another_writer_are_read(tmp_path: Path, kind: str) -> None:
    case = scan(tmp_path / "scan")
    masks = liver_with_lesions(case.grid).masks
    lesion = masks[Structure.LESIONS] == 2
    liver = masks[Structure.LIVER].astype(bool) & ~lesion  # a label map cannot overlap
    path = made_by_highdicom(
        case, tmp_path / "seg.dcm", kind, [("organ", LIVER, False), ("x", MASS, True)], stack(liver, lesion)
    )
    found = {s.structure: s.mask for s in read_dicom_seg(path, case.grid)}
    assert np.array_equal(found[Structure.LIVER], liver)
    assert np.array_equal(found[Structure.LESIONS], lesion)


def test_probabilities_are_refused(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    pixels = np.full((6, 12, 16, 1), 0.4)
    path = made_by_highdicom(case, tmp_path / "seg.dcm", "FRACTIONAL", [("Liver", LIVER, False)], pixels)
    with pytest.raises(SegmentationRefused, match="probabilities"):
        read_segmentation(path, case.grid)


@pytest.mark.parametrize(
    ("label", "code", "of_the_liver", "structure"),
    [
        ("whatever", ("94381002", "SCT", "Secondary malignant neoplasm of liver"), False, Structure.LESIONS),
        ("whatever", MASS, True, Structure.LESIONS),
        ("Lesion 2", MASS, False, Structure.LESIONS),
        ("whatever", MASS, False, None),
        ("whatever", ("32764006", "SCT", "Portal vein"), False, Structure.PORTAL_VEIN),
        ("liver", ("64131007", "SCT", "Inferior vena cava"), False, Structure.VENA_CAVA),
        ("whatever", ("59820001", "SCT", "Blood Vessel"), False, None),
        ("whatever", COUINAUD[4], False, Structure.COUINAUD),
        ("hepatic_veins", ("T-1", "99OTHER", "?"), False, Structure.HEPATIC_VEINS),
        ("spleen", ("78961009", "SCT", "Spleen"), False, None),
    ],
)
def test_the_code_decides_and_the_label_where_the_code_says_nothing(
    tmp_path: Path, label: str, code: tuple[str, str, str], of_the_liver: bool, structure: Structure | None
) -> None:
    case = scan(tmp_path / "scan")
    mask = liver_with_lesions(case.grid).masks[Structure.LIVER]
    path = made_by_highdicom(case, tmp_path / "seg.dcm", "BINARY", [(label, code, of_the_liver)], stack(mask))
    (segment,) = read_dicom_seg(path, case.grid)
    assert segment.structure is structure
    assert segment.number == {"Lesion 2": 2}.get(label, 4 if code == COUINAUD[4] else None)


def test_a_tumour_of_another_organ_is_none_of_the_liver(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    seg = write(case, liver_with_lesions(case.grid), tmp_path / "seg.dcm")
    seg.SegmentSequence[1].AnatomicRegionSequence[0].CodeValue = "64033007"  # kidney
    seg.save_as(tmp_path / "seg.dcm")
    found = read_segmentation(tmp_path / "seg.dcm", case.grid)
    assert any("Segments not recognised and not used: Lesion 1" in note for note in found.notes)
    assert np.unique(found.masks[Structure.LESIONS]).tolist() == [0, 2]


def test_two_livers_are_refused(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    mask = liver_with_lesions(case.grid).masks[Structure.LIVER]
    segments = [("Liver", LIVER, False), ("Liver again", LIVER, False)]
    path = made_by_highdicom(case, tmp_path / "seg.dcm", "BINARY", segments, stack(mask, mask))
    with pytest.raises(SegmentationRefused, match="claim to be the liver"):
        read_segmentation(path, case.grid)


def test_what_is_no_segmentation_or_is_damaged_is_refused(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    slice_file = next(case.folder.iterdir())
    with pytest.raises(UnreadableInput, match=r"no segmentation \(CT\)"):
        read_segmentation(slice_file, case.grid)
    with pytest.raises(SegmentationRefused, match="no liver"):
        read_segmentation(case.folder, case.grid)
    seg = write(case, liver_with_lesions(case.grid), tmp_path / "seg.dcm")
    seg.PixelData = seg.PixelData[:40]
    seg.save_as(tmp_path / "short.dcm")
    with pytest.raises(UnreadableInput, match="40 bytes of pixels"):
        read_segmentation(tmp_path / "short.dcm", case.grid)
    seg = dcmread(tmp_path / "seg.dcm")
    del seg.SharedFunctionalGroupsSequence
    seg.save_as(tmp_path / "bare.dcm")
    with pytest.raises(UnreadableInput, match="how a frame lies"):
        read_segmentation(tmp_path / "bare.dcm", case.grid)


def test_a_folder_with_two_segmentations_is_refused_and_masks_go_before_them(tmp_path: Path) -> None:
    case = scan(tmp_path / "scan")
    both = tmp_path / "both"
    both.mkdir()
    write(case, liver_with_lesions(case.grid), both / "a.dcm")
    write(case, liver_with_lesions(case.grid), both / "b.dcm")
    with pytest.raises(SegmentationRefused, match=r"several DICOM segmentations.*a\.dcm, b\.dcm"):
        read_segmentation(both, case.grid)
    shutil.copytree(case.folder, both / "scan")
    (both / "b.dcm").unlink()
    assert read_segmentation(both, case.grid).has(Structure.LIVER)
    write_mask(random_masks(case.grid).masks[Structure.LIVER], case.grid, both / "liver.nii.gz")
    assert Structure.PORTAL_VEIN not in read_segmentation(both, case.grid).masks


def test_a_label_map_reads_back_as_what_each_voxel_was_given_to(tmp_path: Path) -> None:
    made = scan(tmp_path / "scan")
    masks = random_masks(made.grid)
    written = write_label_map(tmp_path / "map.dcm", masks, made.source)
    labels, named = painted(masks)
    assert dcmread(tmp_path / "map.dcm").SegmentationType == "LABELMAP"
    read = read_dicom_seg(tmp_path / "map.dcm", made.grid)
    found = {(s.structure, s.number if s.structure is Structure.LESIONS else None): s.mask for s in read}
    assert [(e.structure, e.value) for e in written.entries] == [(s, v) for s, v, _ in named]
    for number, (structure, value, _) in enumerate(named, start=1):
        assert np.array_equal(found[structure, value], labels == number), structure
    lesion = masks.masks[Structure.LESIONS]
    assert all(np.array_equal(found[Structure.LESIONS, v], lesion == v) for v in (1, 2, 3)), (
        "nothing lies over a lesion"
    )
    assert Structure.COUINAUD not in {e.structure for e in written.entries}


def test_highdicom_reads_the_label_map_as_we_do(tmp_path: Path) -> None:
    made = scan(tmp_path / "scan")
    masks = random_masks(made.grid, seed=3)
    write_label_map(tmp_path / "map.dcm", masks, made.source)
    seg = highdicom.seg.segread(tmp_path / "map.dcm")
    uids = [h.SOPInstanceUID for h in made.source.headers]
    pixels = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(pixels.transpose(2, 1, 0), painted(masks)[0])


@pytest.mark.parametrize("keyword", ["SegmentNumber", "ReferencedSegmentNumber", "ImagePositionPatient"])
def test_a_damaged_value_is_refused_wherever_it_stands(tmp_path: Path, keyword: str) -> None:
    made = scan(tmp_path / "scan")
    write_seg(tmp_path / "seg.dcm", random_masks(made.grid), made.source)
    seg = dcmread(tmp_path / "seg.dcm")
    frame = seg.PerFrameFunctionalGroupsSequence[3]
    holder = {
        "SegmentNumber": seg.SegmentSequence[1],
        "ReferencedSegmentNumber": frame.SegmentIdentificationSequence[0],
        "ImagePositionPatient": frame.PlanePositionSequence[0],
    }[keyword]
    holder.add(DataElement(holder[keyword].tag, "LO", "Liver"))
    seg.save_as(tmp_path / "broken.dcm", implicit_vr=False, little_endian=True)
    with pytest.raises(UnreadableInput, match="cannot be read as a DICOM segmentation"):
        list(read_dicom_seg(tmp_path / "broken.dcm", made.grid))


def test_a_sequence_that_is_cut_short_in_a_segment_is_refused(tmp_path: Path) -> None:
    """Nested sequences are read when they are asked for, long after the file was opened."""
    made = scan(tmp_path / "scan")
    write_seg(tmp_path / "seg.dcm", random_masks(made.grid), made.source)
    whole = (tmp_path / "seg.dcm").read_bytes()
    code_sequence = b"\x62\x00\x0f\x00SQ\x00\x00"  # Segmented Property Type, explicit VR: its length follows
    at = whole.rindex(code_sequence) + len(code_sequence)
    (tmp_path / "cut.dcm").write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    with pytest.raises(UnreadableInput, match="cannot be read as a DICOM segmentation"):
        list(read_dicom_seg(tmp_path / "cut.dcm", made.grid))

"""Four layouts are told apart by what lies in the folder, and what is wrong with a folder is said case by case."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_scans import label_map, patient, write_dicom, write_nnunet, write_patient, write_patients

from liverplan.anatomy import Structure
from liverplan.errors import InputError, SegmentationRefused, UnreadableInput
from liverplan.io.images import read_image
from liverplan.io.writing import write_mask, write_segmentation, write_slicer_segmentation, write_volume
from liverplan.training.datasets import Case, Dataset, find_cases, structure_named
from liverplan.training.preprocessed import read_case

FIVE = {
    Structure.LIVER,
    Structure.LESIONS,
    Structure.PORTAL_VEIN,
    Structure.HEPATIC_VEINS,
    Structure.VENA_CAVA,
}


def holds_patient(case: Case, seed: int) -> None:
    """The case's image and masks are those of `patient(seed)`."""
    volume, segmentation = patient(seed)
    read, masks = read_case(case)
    assert np.array_equal(read.canonical().array, volume.canonical().array)
    assert set(masks.masks) == FIVE
    for structure in FIVE:
        assert np.array_equal(masks.canonical().mask(structure), segmentation.canonical().mask(structure)), structure


def problems(folder: Path) -> list[str]:
    return [f"{p.where}: {p.what}: {p.got}" for p in find_cases(folder).problems]


# ---- nnU-Net -----------------------------------------------------------------------------------------------------


def test_an_nnunet_folder_is_read_by_the_names_of_its_labels(tmp_path: Path) -> None:
    dataset = find_cases(write_nnunet(tmp_path))
    assert (dataset.layout, dataset.problems) == ("nnU-Net", ())
    assert [case.name for case in dataset.cases] == ["case_000", "case_001", "case_002"]
    for seed, case in enumerate(dataset.cases):
        holds_patient(case, seed)


def test_labels_may_have_other_numbers_and_names_and_regions(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, 1)
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"] = {"background": 0, "liver": [1, 2], "cancer": 2, "vessel": [3, 4], "spleen": 5}
    (folder / "dataset.json").write_text(json.dumps(described))
    dataset = find_cases(folder)
    _, masks = read_case(dataset.cases[0])
    assert set(masks.masks) == {Structure.LIVER, Structure.LESIONS, Structure.LIVER_VESSELS}
    assert np.array_equal(masks.mask(Structure.LESIONS), patient(0)[1].mask(Structure.LESIONS))
    assert dataset.unknown_names == ("spleen",)


def test_a_foreign_label_is_refused_with_its_value_and_size(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, 1)
    grid = patient(0)[1].grid
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[5:20, 5:20, 5:20] = 1
    labels[0, 0, :3] = 9
    write_mask(labels, grid, folder / "labelsTr/case_000.nii.gz")
    with pytest.raises(SegmentationRefused, match=r"9 \(3 voxels\)"):
        read_case(find_cases(folder).cases[0])


def test_missing_and_superfluous_nnunet_files_are_named(tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path, 4)
    (folder / "labelsTr/case_000.nii.gz").unlink()
    (folder / "imagesTr/case_001_0000.nii.gz").unlink()
    shutil.copy(folder / "imagesTr/case_002_0000.nii.gz", folder / "imagesTr/case_002_0001.nii.gz")
    assert problems(folder) == [
        "case_000: something is missing: no mask for case_000_0000.nii.gz",
        "case_001: something is missing: no image for case_001.nii.gz",
        "case_002: two files claim to be the same thing: case_002_0000.nii.gz and case_002_0001.nii.gz "
        "and case_002.nii.gz",
    ]


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"labels": {"1": "liver"}}, "invalid literal"),
        ({"labels": {"liver": 1, "ignore": 2}}, "ignore"),
        ({"channel_names": {"0": "CT", "1": "PET"}}, "2 channels"),
        (None, "No such file"),
    ],
)
def test_a_dataset_json_that_does_not_say_what_labels_mean_is_a_problem(
    tmp_path: Path, change: dict[str, object] | None, got: str
) -> None:
    folder = write_nnunet(tmp_path, 1)
    path = folder / "dataset.json"
    if change is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert any(got in problem for problem in problems(folder))


# ---- BIDS --------------------------------------------------------------------------------------------------------


def write_bids(folder: Path, table: bool) -> Path:
    """Subject 1: two sessions, label maps in derivatives. Subject 2: a mask per structure beside the image."""
    for seed, scan in enumerate(("sub-01/ses-a/ct/sub-01_ses-a", "sub-01/ses-b/ct/sub-01_ses-b", "sub-02/ct/sub-02")):
        volume, segmentation = patient(seed)
        path = folder / scan
        path.parent.mkdir(parents=True)
        write_volume(volume, path.with_name(f"{path.name}_ct.nii.gz"))
        if scan.startswith("sub-01"):
            labels = np.zeros(volume.grid.shape, dtype=np.uint8)
            for value, structure in ((1, Structure.LIVER), (7, Structure.VENA_CAVA), (2, Structure.LESIONS)):
                labels[segmentation.mask(structure)] = value
            write_mask(labels, volume.grid, folder / f"derivatives/readers/{scan}_desc-r1_dseg.nii.gz")
        else:
            for structure in FIVE:
                name = f"{path.name}_label-{structure.value.replace('_', '')}_mask.nii.gz"
                write_mask(segmentation.mask(structure).astype(np.uint8), volume.grid, path.with_name(name))
    if table:
        (folder / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tliver\n2\tlesion\n7\tinferior vena cava\n")
    return folder


def test_a_bids_folder_has_sessions_of_one_patient_and_two_kinds_of_masks(tmp_path: Path) -> None:
    dataset = find_cases(write_bids(tmp_path, table=True))
    assert (dataset.layout, dataset.problems) == ("BIDS", ())
    assert [(c.name, c.patient) for c in dataset.cases] == [
        ("sub-01_ses-a", "sub-01"),
        ("sub-01_ses-b", "sub-01"),
        ("sub-02", "sub-02"),
    ]
    holds_patient(dataset.cases[2], 2)
    _, masks = read_case(dataset.cases[1])
    assert set(masks.masks) == {Structure.LIVER, Structure.LESIONS, Structure.VENA_CAVA}
    assert np.array_equal(masks.mask(Structure.LESIONS), patient(1)[1].mask(Structure.LESIONS))


def test_without_its_table_a_bids_label_map_has_the_contracts_values(tmp_path: Path) -> None:
    with pytest.raises(SegmentationRefused, match="not known: got 7"):
        read_case(find_cases(write_bids(tmp_path, table=False)).cases[0])


def test_a_table_that_does_not_load_is_refused(tmp_path: Path) -> None:
    folder = write_bids(tmp_path, table=True)
    (folder / "dseg.tsv").write_text("value,name\n1,liver\n")
    with pytest.raises(UnreadableInput, match=r"dseg\.tsv"):
        find_cases(folder)


def test_a_subject_without_image_or_masks_is_named(tmp_path: Path) -> None:
    folder = write_bids(tmp_path, table=True)
    (folder / "sub-03").mkdir()
    for mask in folder.glob("sub-02/ct/*mask.nii.gz"):
        mask.unlink()
    assert problems(folder) == [
        "sub-02: something is missing: no masks for this image",
        "sub-03: something is missing: no image",
    ]


# ---- a folder per patient ----------------------------------------------------------------------------------------


def test_phantoms_as_written_are_a_training_set(tmp_path: Path) -> None:
    dataset = find_cases(write_patients(tmp_path, 2))
    assert dataset.problems == ()
    holds_patient(dataset.cases[1], 1)


@pytest.mark.parametrize("kind", ["beside", "slicer", "label map"])
def test_masks_may_lie_beside_the_image_in_one_file_or_several(tmp_path: Path, kind: str) -> None:
    volume, segmentation = patient(5)
    folder = tmp_path / "somebody"
    folder.mkdir()
    write_volume(volume, folder / "portal phase.nii.gz")
    if kind == "beside":
        write_segmentation(segmentation, folder)
    elif kind == "slicer":
        write_slicer_segmentation(segmentation, folder / "reader.seg.nrrd")
    else:
        write_mask(label_map(segmentation), volume.grid, folder / "labels.nii.gz")
    dataset = find_cases(tmp_path)
    assert dataset.problems == ()
    holds_patient(dataset.cases[0], 5)


def test_a_dicom_series_with_a_seg_is_a_case(tmp_path: Path) -> None:
    write_dicom(tmp_path / "somebody", 3, patient_id="MRN 1")
    (case,) = find_cases(tmp_path).cases
    holds_patient(case, 3)
    assert read_image(case.image).grid.frame_uid


def test_a_dicom_series_without_a_seg_is_missing_it(tmp_path: Path) -> None:
    write_dicom(tmp_path / "somebody", 3, patient_id="MRN 1")
    (tmp_path / "somebody/seg.dcm").unlink()
    assert problems(tmp_path) == ["somebody: something is missing: a DICOM series without a segmentation"]


def test_sites_may_hold_patients_and_one_id_at_two_sites_is_a_problem(tmp_path: Path) -> None:
    write_patient(tmp_path / "north/p1", 1)
    write_patient(tmp_path / "south/p2", 2)
    assert [c.name for c in find_cases(tmp_path).cases] == ["p1", "p2"]
    write_patient(tmp_path / "south/P1", 3)
    assert problems(tmp_path) == ["p1: two patients have one id: north/p1/image.nii.gz, south/P1/image.nii.gz"]


def test_patients_csv_says_which_scans_are_one_person(tmp_path: Path) -> None:
    write_patients(tmp_path, 3)
    (tmp_path / "patients.csv").write_text("case,patient\np0,anna\np1,anna\np2,berta\n")
    assert [c.patient for c in find_cases(tmp_path).cases] == ["anna", "anna", "berta"]
    (tmp_path / "patients.csv").write_text("case,patient\np0,anna\np1,Anna\n")
    assert problems(tmp_path) == [
        "p2: something is missing: no line in patients.csv",
        "anna: two patients have one id: Anna, anna",
    ]


def test_empty_folders_and_images_without_masks_are_named(tmp_path: Path) -> None:
    write_patients(tmp_path, 1)
    shutil.copytree(tmp_path / "p0", tmp_path / "p1")
    shutil.rmtree(tmp_path / "p1/masks")
    (tmp_path / "p2").mkdir()
    (tmp_path / "p2/notes.txt").write_text("to do")
    assert problems(tmp_path) == [
        "p1: something is missing: an image without masks",
        "p2: something is missing: no image",
    ]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()])
def test_a_folder_without_any_layout_is_refused(tmp_path: Path, make: object) -> None:
    make(tmp_path / "data")  # type: ignore[operator]
    with pytest.raises(InputError, match="folder of training cases"):
        find_cases(tmp_path / "data")


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("liver", Structure.LIVER),
        ("Liver Tumor", Structure.LESIONS),
        ("portal_vein_and_splenic_vein", Structure.PORTAL_VEIN),
        ("hepaticveins", Structure.HEPATIC_VEINS),
        ("IVC", Structure.VENA_CAVA),
        ("cancer", Structure.LESIONS),
        ("spleen", None),
    ],
)
def test_names_mean_what_they_mean_elsewhere(name: str, structure: Structure | None) -> None:
    assert structure_named(name) is structure


def test_cases_are_in_order_of_their_names(tmp_path: Path) -> None:
    dataset: Dataset = find_cases(write_patients(tmp_path, 3))
    assert [c.name for c in dataset.cases] == sorted(c.name for c in dataset.cases)

"""What a case is made of: cheap to look at, and known by its content."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cohort_cases import touch

from liverplan.cohort.cases import CohortCase
from liverplan.cohort.inputs import content_hash, signature, stamps_of
from liverplan.cohort.request import Request, pinned
from liverplan.segmentation.models import find_model, model_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "p1"
    (home / "masks").mkdir(parents=True)
    (home / "dicom" / "deep").mkdir(parents=True)
    for name in ("image.nii.gz", "masks/liver.nii.gz", "masks/lesions.nii.gz", "dicom/IM1", "dicom/deep/IM2"):
        (home / name).write_text(name, encoding="utf-8")
    return home


def case(folder: Path, image: str = "image.nii.gz") -> CohortCase:
    return CohortCase("p1", folder / image, folder / "masks")


def marks(of: CohortCase) -> tuple[str, str]:
    stamps = stamps_of(of)
    return signature(stamps), content_hash(stamps)


def test_every_file_counts_at_any_depth(folder: Path) -> None:
    names = [stamp.name for stamp in stamps_of(case(folder, "dicom"))]
    assert names == [
        "image/IM1",
        "image/deep/IM2",
        "segmentation/lesions.nii.gz",
        "segmentation/liver.nii.gz",
    ]


def test_a_touched_file_has_another_signature_and_the_same_content(folder: Path) -> None:
    before = marks(case(folder))
    touch(folder / "image.nii.gz")
    after = marks(case(folder))
    assert after[0] != before[0]
    assert after[1] == before[1]


@pytest.mark.parametrize("name", ["image.nii.gz", "masks/liver.nii.gz"])
def test_one_changed_byte_is_another_content(folder: Path, name: str) -> None:
    before = marks(case(folder))
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text[:-1] + "?", encoding="utf-8")
    assert marks(case(folder))[1] != before[1]


def test_a_mask_more_or_under_another_name_is_another_content(folder: Path) -> None:
    before = marks(case(folder))[1]
    (folder / "masks" / "lesions.nii.gz").rename(folder / "masks" / "portal_vein.nii.gz")
    renamed = marks(case(folder))[1]
    (folder / "masks" / "couinaud.nii.gz").write_text("x", encoding="utf-8")
    assert len({before, renamed, marks(case(folder))[1]}) == 3


def test_files_that_moved_to_another_disk_are_the_same(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)  # with times of modification
    assert marks(case(moved)) == marks(case(folder))


def test_the_voxels_beside_a_header_count(tmp_path: Path) -> None:
    (tmp_path / "scan.mhd").write_text("ElementDataFile = scan.raw", encoding="utf-8")
    (tmp_path / "scan.raw").write_bytes(b"1")
    (tmp_path / "other.raw").write_bytes(b"1")
    of = CohortCase("p1", tmp_path / "scan.mhd")
    before = marks(of)[1]
    (tmp_path / "other.raw").write_bytes(b"2")
    assert marks(of)[1] == before
    (tmp_path / "scan.raw").write_bytes(b"2")
    assert marks(of)[1] != before


def test_what_decides_a_result_decides_the_key(folder: Path) -> None:
    plain = Request(protocol_sha256="a", model_sha256="m")
    without_masks = CohortCase("p1", folder / "image.nii.gz")
    keys = {
        plain.key(case(folder), "c"),
        plain.key(case(folder), "d"),
        Request(protocol_sha256="b", model_sha256="m").key(case(folder), "c"),
        plain.key(CohortCase("p1", folder / "image.nii.gz", folder / "masks", margin_mm=5.0), "c"),
        plain.key(CohortCase("p1", folder / "image.nii.gz", folder / "masks", clinical={"ecog": 1}), "c"),
        plain.key(without_masks, "c"),
        Request(protocol_sha256="a", model_sha256="n").key(without_masks, "c"),
    }
    assert len(keys) == 7


def test_pictures_the_device_and_an_unused_model_do_not_decide_a_result(folder: Path) -> None:
    plain = Request(protocol_sha256="a", model_sha256="m")
    other = Request(protocol_sha256="a", model_sha256="n", pictures=False, device="cpu")
    assert plain.key(case(folder), "c") == other.key(case(folder), "c")


def test_without_a_named_model_that_of_every_modality_decides_a_result_without_masks(folder: Path) -> None:
    without_masks = CohortCase("p1", folder / "image.nii.gz")
    plain = pinned(Request(), needs_model=True)
    assert dict(plain.models_sha256) == {modality: model_for(modality).sha256 for modality in ("CT", "MR")}
    newer = replace(plain, models_sha256=(plain.models_sha256[0], ("MR", "another")))
    assert newer.context(without_masks) != plain.context(without_masks)
    assert newer.context(case(folder)) == plain.context(case(folder))


def test_of_a_folder_with_several_models_each_decides(folder: Path) -> None:
    shipped = find_model().stages["segment"].bundle.parent
    of_folder = pinned(Request(model=shipped), needs_model=True)
    assert of_folder.models_sha256 == pinned(Request(), needs_model=True).models_sha256


def test_a_named_model_is_the_only_one_that_decides(folder: Path) -> None:
    named = pinned(Request(model="liverplan_ct"), needs_model=True)
    assert (named.model_sha256, named.models_sha256) == (model_for("CT").sha256, ())

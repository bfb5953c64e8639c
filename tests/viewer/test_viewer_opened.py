"""What the viewer opens: a planned case, its scan where it is found, the cases of a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from liverplan.errors import UnreadableInput
from liverplan.io.writing import write_volume
from liverplan.viewer.cases import find_cases, is_empty_home
from liverplan.viewer.opened import open_case
from liverplan.volume import Volume


@pytest.fixture
def alone(planned: Path, tmp_path: Path) -> Path:
    """The planned folder without the scan beside it."""
    shutil.copytree(planned, tmp_path / "alone" / "deep" / "out")
    return tmp_path / "alone" / "deep" / "out"


def test_the_scan_is_found_beside_the_plan(planned):
    case = open_case(planned)
    assert case.note == ""
    assert case.volume.grid.same_as(case.grid)


def test_without_the_scan_the_masks_are_shown_and_the_page_says_so(alone):
    case = open_case(alone)
    assert case.volume is None
    assert "--image" in case.note


def test_a_scan_of_that_name_that_was_not_planned_is_not_shown(planned, alone):
    right = open_case(planned).volume
    write_volume(Volume(right.grid, right.array + 1), alone.parent / "image.nii.gz")
    assert open_case(alone).volume is None


def test_a_scan_that_the_user_gives_must_be_the_planned_one(planned, alone, tmp_path):
    assert open_case(alone, planned.parent / "image.nii.gz").volume is not None
    right = open_case(planned).volume
    other = write_volume(Volume(right.grid, right.array + 1), tmp_path / "other.nii.gz")
    with pytest.raises(UnreadableInput, match="not the scan that was planned"):
        open_case(alone, other)


def test_a_specimen_is_the_mask_that_the_report_names(planned):
    case = open_case(planned)
    row = case.report["resections"][0]
    ml = float((case.specimen(row["name"]) > 0).sum() * case.grid.voxel_ml)
    assert ml == pytest.approx(row["volume_ml"]["value"], abs=1e-3)
    assert case.specimen("no such resection") is None


def test_a_report_cannot_point_to_files_elsewhere(planned, alone, tmp_path):
    shutil.copy(planned / "segmentation" / "liver.nii.gz", tmp_path / "secret.nii.gz")
    report = json.loads((alone / "report.json").read_text(encoding="utf-8"))
    report["resections"][0]["mask"] = "../../../secret.nii.gz"
    (alone / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (run := json.loads((alone / "run.json").read_text(encoding="utf-8")))["settings"]["image"] = (
        "../../../secret.nii.gz"
    )
    (alone / "run.json").write_text(json.dumps(run), encoding="utf-8")
    case = open_case(alone)
    assert case.specimen(report["resections"][0]["name"]) is None
    assert case.volume is None


def test_masks_and_scan_are_turned_to_one_order_however_they_are_stored(planned, tmp_path):
    """The world frame does not change: the liver's middle is where it was."""
    case = open_case(planned)
    middle = case.grid.to_world(np.argwhere(case.segmentation.masks[next(iter(case.segmentation.masks))]).mean(0))
    assert np.linalg.norm(middle) < 10.0
    assert case.grid.orientation == "LPS"


def test_a_planned_case_is_the_only_case_of_its_folder(planned):
    assert find_cases(planned) == (planned,)


def test_the_cases_of_a_folder_and_of_a_cohort_are_found_by_name(tmp_path):
    for name in ("b", "a", ".work", "cases/c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "report.json").write_text("{}", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert find_cases(tmp_path) == (tmp_path / "a", tmp_path / "b", tmp_path / "cases" / "c")


@pytest.mark.parametrize("inside", ["run.json", "cases"])
def test_only_a_folder_that_is_no_result_takes_a_first_case(planned, tmp_path, inside):
    """A plan that was not finished and a cohort without a case are told, not taken for an empty folder."""
    assert is_empty_home(tmp_path)
    assert not is_empty_home(planned.parent), "it has one"
    assert not is_empty_home(planned)
    assert not is_empty_home(tmp_path / "nowhere")
    (tmp_path / inside).mkdir()
    assert not is_empty_home(tmp_path)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_without_a_case_is_refused(tmp_path, name):
    with pytest.raises(UnreadableInput, match="no planned case"):
        find_cases(tmp_path / name)

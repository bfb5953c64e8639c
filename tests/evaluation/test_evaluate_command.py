"""`liverplan evaluate` on folders of cases: ids matched, files written, nothing left out in silence."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simple_case
from liverplan.cli.main import run
from liverplan.evaluation.cases import cases_in, matched, wanted
from liverplan.io.nifti import write_nifti
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.volume import Grid
from simple_case import Ball

GRID = simple_case.grid((2.2, 2.2, 2.2))
LESION = Ball((-22.0, 4.0, 34.0), 10.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """References of three patients; predictions of two of them, the second with a lesion that is not there."""
    home = tmp_path_factory.mktemp("cases")
    for name, lesions in (("a", (LESION,)), ("b", (LESION,)), ("c", (LESION,))):
        write_segmentation(simple_case.masks(GRID, lesions), home / "readers" / name)
    write_segmentation(simple_case.masks(GRID, (LESION,)), home / "network" / "a" / "segmentation")
    extra = (LESION, Ball((10.0, 5.0, -34.0), 7.0))
    write_segmentation(simple_case.masks(GRID, extra), home / "network" / "b")
    return home / "readers", home / "network"


@pytest.fixture(scope="module")
def written(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "evaluation"
    readers, network = folders
    assert run(["evaluate", "--reference", str(readers), "--prediction", str(network), "-o", str(out), "-q"]) == 0
    return out


def test_cases_are_matched_by_name_wherever_their_masks_lie(folders: tuple[Path, Path]) -> None:
    found = {pair.id: (pair.prediction, pair.missing) for pair in matched(*folders)}
    assert found["a"] == (folders[1] / "a" / "segmentation", False)
    assert found["c"] == (None, True)


def test_label_maps_are_cases_named_by_their_files(tmp_path: Path) -> None:
    for name in ("p1", "p2.x"):
        write_nifti(
            tmp_path / f"{name}.nii.gz",
            GRID,
            simple_case.masks(GRID, ()).masks[next(iter(simple_case.masks(GRID, ()).masks))],
        )
    assert list(cases_in(tmp_path)) == ["p1", "p2.x"]


def test_the_summary_has_every_figure_with_its_interval(written: Path) -> None:
    content = json.loads((written / "evaluation.json").read_text())
    summary = content["summary"]
    liver = summary["structures"]["liver"]
    assert liver["dice"]["value"] == liver["surface_dice_1mm"]["value"] == 1.0
    assert (liver["dice"]["low"], liver["dice"]["high"], liver["dice"]["patients"]) == (1.0, 1.0, 2)
    assert summary["structures"]["portal_vein"]["cldice"]["value"] == 1.0
    assert summary["lesions"]["sensitivity"]["value"] == 1.0
    assert summary["lesions"]["false_positives_per_patient"]["value"] == 0.5
    assert summary["lesions"]["by_size"][1]["false_positives_per_patient"]["value"] == 0.5
    assert summary["lesions"]["panoptic_quality"]["value"] == pytest.approx(2 / 2.5)
    assert summary["clearance_error_mm"]["nearest_vessel"]["mean_absolute"]["value"] == 0.0
    assert summary["plan_error"]["geometric_flr_percent"]["bias"]["value"] < -0.5
    assert summary["reliability"]["liver"]["value"] is None


def test_a_reference_without_prediction_is_named_and_in_no_figure(written: Path) -> None:
    content = json.loads((written / "evaluation.json").read_text())
    assert content["failures"] == [{"id": "c", "reason": "there is no prediction of this name"}]
    assert [case["id"] for case in content["cases"]] == ["a", "b"]


def test_tables_hold_a_row_for_each_score_lesion_clearance_and_number(written: Path) -> None:
    rows = {
        name: list(csv.DictReader((written / f"{name}.csv").open()))
        for name in ("structures", "lesions", "clearances", "plans")
    }
    assert {r["structure"] for r in rows["structures"] if r["case"] == "a"} >= {"liver", "portal_vein", "venous_system"}
    assert [r["kind"] for r in rows["lesions"]] == ["reference", "reference", "false_positive"]
    assert {r["error"] for r in rows["clearances"]} == {"0"}
    flr = [r for r in rows["plans"] if r["measure"] == "geometric_flr_percent"]
    assert float(flr[1]["error"]) == pytest.approx(float(flr[1]["predicted"]) - float(flr[1]["reference"]), abs=1e-3)


def test_plots_come_as_png_and_svg(written: Path) -> None:
    for name in ("structures", "lesions", "plans"):
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (written / f"{name}.svg").read_text()


def test_the_terminal_says_the_figures_and_what_was_left_out(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    readers, network = map(str, folders)
    assert run(["evaluate", "--reference", readers, "--prediction", network, "--no-plan"]) == 0
    said = capsys.readouterr().out
    assert "not evaluated: c: there is no prediction" in said
    assert "sensitivity 1.00 [1.00, 1.00] of 2" in said
    assert "10 to 20 mm" in said
    assert "plans were not asked for" in said


def test_images_are_matched_with_a_folder_of_cases_by_name(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = simple_case.masks(GRID, (LESION,))
    images = [write_volume(simple_case.image(GRID, drawn), tmp_path / f"{name}.nii.gz") for name in "ba"]
    command = ["evaluate", *map(str, images), "--reference", str(folders[0]), "--prediction", str(folders[1])]
    assert run([*command, "--no-plan", "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [(c["id"], c["lesions"]["false_positives"]) for c in cases] == [("b", 1), ("a", 0)]


def test_images_of_one_name_are_told_apart_by_their_folders(folders: tuple[Path, Path]) -> None:
    images = [Path("p") / name / "image.nii.gz" for name in "ab"]
    cases = wanted(images, [folders[0]], [])
    assert [(c.id, c.reference.name) for c in cases] == [("a", "a"), ("b", "b")]
    twice = wanted([images[0], images[0]], [folders[0] / "a", folders[0] / "a"], [])
    assert [c.id for c in twice] == ["1-a", "2-a"]


def test_masks_on_another_grid_are_a_failure_of_that_case_only(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tmp_path / "network"
    shutil.copytree(folders[1], network)
    other = Grid.from_spacing(GRID.shape, (2.0, 2.0, 2.0))
    write_segmentation(simple_case.masks(other, (LESION,)), network / "b")
    assert run(["evaluate", "--reference", str(folders[0]), "--prediction", str(network), "--no-plan", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [case["id"] for case in content["cases"]] == ["a"]
    assert any(f["id"] == "b" and "grid" in f["reason"] for f in content["failures"])


def test_no_name_in_common_and_too_few_paths_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_segmentation(simple_case.masks(GRID, ()), tmp_path / name)
    assert run(["evaluate", "--reference", str(folders[0]), "--prediction", str(tmp_path)]) == 3
    assert run(["evaluate", "--reference", str(folders[0])]) == 2
    assert run(["evaluate", "--reference", str(tmp_path / "x"), "--prediction", str(tmp_path / "nowhere")]) == 3

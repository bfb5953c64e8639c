"""`liverplan segment`, `evaluate`, `models` and `train` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cases import BrightIsLiver, ellipsoid_ct, write_small_models

from liverplan.cli.main import run
from liverplan.io.images import read_image
from liverplan.io.segmentations import read_segmentation
from liverplan.io.writing import write_volume
from liverplan.segmentation import cascade


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_volume(ellipsoid_ct((4.0, 4.0, 5.0)), tmp_path / "scan.nii.gz")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cascade, "load_engine", BrightIsLiver)
    return write_small_models(tmp_path / "models")


def test_segment_writes_masks_on_the_images_grid_and_one_json_object(
    scan: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["segment", str(scan), "-o", str(tmp_path / "out"), "--model", str(models), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["research_use_only"] is True
    grid = read_image(scan).grid
    masks = read_segmentation(tmp_path / "out" / "segmentation", grid)
    assert masks.grid.same_as(grid)
    assert said["volumes_ml"]["liver"] == pytest.approx(1131, rel=0.05)


def test_the_notes_of_a_segmentation_name_the_engine(
    scan: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["segment", str(scan), "-o", str(tmp_path / "out"), "--model", str(models), "--json"]) == 0
    assert "run by a threshold" in json.loads(capsys.readouterr().out)["notes"][0]


def test_an_engine_that_cannot_run_there_is_refused(
    scan: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["segment", str(scan), "-o", str(tmp_path / "out"), "--engine", "openvino", "--device", "cuda"]
    assert run(command) == 4
    assert "CPU only" in capsys.readouterr().err


def test_evaluate_scores_the_model_against_its_own_masks_as_equal(
    scan: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["segment", str(scan), "-o", str(tmp_path / "out"), "--model", str(models), "-q"])
    masks = str(tmp_path / "out" / "segmentation")
    assert run(["evaluate", str(scan), "--reference", masks, "--model", str(models), "--no-plan", "--json"]) == 0
    case = json.loads(capsys.readouterr().out)["cases"][0]
    assert case["structures"]["liver"]["dice"] == 1.0
    assert case["lesions"]["detected"] == case["lesions"]["reference"] == 1
    assert run(["evaluate", str(scan), "--reference", masks, "--prediction", masks, "--no-plan"]) == 0
    assert "1 of 1 detected" in capsys.readouterr().out


def test_another_number_of_references_than_of_images_is_wrong_usage(scan: Path) -> None:
    three = [word for _ in range(3) for word in ("--reference", str(scan))]
    assert run(["evaluate", str(scan), str(scan), *three]) == 2


def test_a_damaged_model_ends_with_status_three_and_says_what_to_do(
    scan: Path, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = models / "liverplan_ct_segmentation/models/model.pt"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert run(["segment", str(scan), "-o", str(tmp_path / "out"), "--model", str(models)]) == 3
    said = capsys.readouterr().err
    assert "damaged" in said
    assert "do:" in said
    assert not (tmp_path / "out").exists()


def test_models_list_and_info_name_training_data_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert listed[0]["name"] == "liverplan_ct"
    assert run(["models", "list"]) == 0
    assert "run by: OpenVINO" in capsys.readouterr().out
    assert run(["models", "info", "liverplan_ct"]) == 0
    said = capsys.readouterr().out
    assert "licence" in said
    assert "trained on" in said
    assert "run by: OpenVINO" in said
    assert run(["models", "info", "no_such_model"]) == 3


def test_training_without_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(Path(__file__).resolve().parents[2] / "configs" / "locate.toml")
    arguments = [
        "train",
        config,
        "--data",
        str(tmp_path),
        "-o",
        str(tmp_path / "run"),
        "--bank",
        str(tmp_path / "bank"),
    ]
    assert run(arguments) == 3
    assert "training data" in capsys.readouterr().err

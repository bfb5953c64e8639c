"""A DICOM series that was mended on reading is planned, and the report says what was done and what was left away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from dicom_series import write_series
from pydicom.dataset import Dataset

import simple_case
from liverplan.cli.main import run
from liverplan.io.images import read_image
from liverplan.io.writing import write_segmentation


def test_a_tilted_series_is_planned_on_an_upright_grid_and_said(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.PixelSpacing, dataset.SliceThickness = [4.0, 4.0], 4.0

    tilt = np.radians(12.0)
    orientation = (1.0, 0.0, 0.0, 0.0, np.cos(tilt), -np.sin(tilt))
    hu = np.full((46, 48, 40), 60, dtype=np.int16)
    origin = (-90.0, -95.0, -62.0)
    write_series(tmp_path / "ct", hu, orientation=orientation, origin=origin, step=(0, 0, 4.0), change=change)
    grid = read_image(tmp_path / "ct").grid
    write_segmentation(simple_case.masks(grid, (simple_case.Ball((-22.0, 4.0, 30.0), 9.0),)), tmp_path / "masks")
    arguments = ["plan", tmp_path / "ct", "--segmentation", tmp_path / "masks", "-o", tmp_path / "out", "--no-pictures"]
    assert run([str(word) for word in arguments]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    said = [check["message"] for check in report["quality"] if check["check"] == "reading"]
    assert any("tilted by 12.0 degrees" in message for message in said)
    assert any("No DICOM objects are written" in message for message in said)
    assert not (tmp_path / "out" / "dicom").exists()
    volume_ml = 4 / 3 * np.pi * 9.0**3 / 1000
    assert abs(report["lesions"][0]["volume_ml"] / volume_ml - 1) < 0.25  # 4 mm voxels

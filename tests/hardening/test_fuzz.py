"""Whatever the bytes, a parser reads them or refuses them in words; scripts/fuzz does the same for longer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from fuzz_targets import Target, make_targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = (
    *(f"image{suffix}" for suffix in (".nii", ".nii.gz", ".nrrd", ".mha")),
    *("header.nrrd", "header.mha", "dicom slice", "dicom multi-frame"),
    *("label map", "mask folder", "slicer segmentation", "slicer segmentation, bytes", "dicom segmentation"),
    *("plane.json", "plane.json, text", "plane.toml", "plane.mrk.json", "surface.stl", "surface.obj", "surface.vtp"),
    *("clinical.yaml", "clinical.json", "clinical bundle", "protocol", "cut loss", "cohort table"),
    *("report.json", "report.json, text", "report.json, decided again", "run.json"),
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return make_targets(tmp_path_factory.mktemp("whole"))


def test_every_parser_is_a_target(targets: dict[str, Target]) -> None:
    assert set(targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_file_is_read_or_refused(name: str, targets: dict[str, Target]) -> None:
    target = targets[name]

    @settings(max_examples=4 if target.slow else 25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target(data.draw(target.broken), Path(folder))

    attempt()

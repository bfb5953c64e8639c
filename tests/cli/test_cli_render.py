"""`liverplan render`: the standard views of a planned case as pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from liverplan.cli.main import run
from liverplan.io.meshes import write_stl

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import example_case


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("planned")
    (out / "report.json").write_text(json.dumps(example_case.report()), encoding="utf-8")
    for name, mesh in example_case.meshes((4.0, 4.0, 5.0)).items():
        write_stl(out / "meshes" / f"{name}.stl", mesh)
    return out


def test_a_view_is_a_picture_of_the_size_asked_for(
    planned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["render", str(planned), "-o", str(tmp_path / "new"), "--view", "anterior", "--view", "left"]
    assert run([*wanted, "--size", "320x240", "--json"]) == 0
    paths = [Path(path) for path in json.loads(capsys.readouterr().out)["pictures"]]
    assert [path.name for path in paths] == ["anterior.png", "left.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.size == (320, 240)
            assert np.asarray(picture).std() > 5


def test_labels_can_be_left_away(planned: Path, tmp_path: Path) -> None:
    for name, more in (("with", []), ("without", ["--no-labels"])):
        wanted = ["render", str(planned), "-o", str(tmp_path / name), "--view", "anterior", "--size", "320x240", "-q"]
        assert run([*wanted, *more]) == 0
    assert (tmp_path / "with/anterior.png").read_bytes() != (tmp_path / "without/anterior.png").read_bytes()


@pytest.mark.parametrize("size", ["big", "10x10", "800", "800x-1", "99999x800"])
def test_a_size_that_is_none_is_wrong_usage(planned: Path, tmp_path: Path, size: str) -> None:
    assert run(["render", str(planned), "-o", str(tmp_path), "--size", size]) == 2


def test_a_case_without_surfaces_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(json.dumps(example_case.report()), encoding="utf-8")
    assert run(["render", str(tmp_path), "-o", str(tmp_path / "new")]) == 3
    assert "no surfaces to draw" in capsys.readouterr().err

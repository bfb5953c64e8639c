"""`liverplan phantom` as a user meets it."""

import json
from pathlib import Path

import pytest

from liverplan.cli.main import run

SMALL = ["--shape", "30", "24", "20", "--spacing", "12", "12", "12", "--lesions", "1"]


def test_a_wished_clearance_reaches_the_truth_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    wish = ["--clearance", "6.5", "--near", "hepatic_veins", "--orientation", "ras", "--json"]
    assert run(["phantom", "-o", str(out), *SMALL, *wish]) == 0
    printed = json.loads(capsys.readouterr().out)
    truth = json.loads((out / "truth.json").read_text())
    assert printed["truth"] == truth
    assert truth["grid"]["orientation"] == "RAS"
    vessels = {v["structure"]: v["clearance_mm"] for v in truth["lesions"][0]["vessels"]}
    assert vessels["hepatic_veins"] == pytest.approx(6.5, abs=1e-6)
    names = {"liver", "lesions", "portal_vein", "hepatic_veins", "inferior_vena_cava"}
    assert {p.name for p in (out / "masks").iterdir()} == {f"{name}.nii.gz" for name in names}
    assert (out / "image.nii.gz").is_file()
    assert run(["phantom", "-o", str(out), *SMALL]) == 3


@pytest.mark.parametrize(
    "wrong", ["--orientation LLS", "--spacing 0 1 1", "--modality pet", "--near aorta", "--lesions -1"]
)
def test_wrong_wishes_are_wrong_usage(wrong: str, tmp_path: Path) -> None:
    assert run(["phantom", "-o", str(tmp_path / "out"), *wrong.split()]) == 2
    assert not (tmp_path / "out").exists()

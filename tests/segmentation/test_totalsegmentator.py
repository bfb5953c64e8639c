"""The user's TotalSegmentator: which tasks are asked for, and what becomes of its masks.

The tool itself is not run here: a small program of its name on PATH stands in for it, takes the same options and writes
files of the same names. What the real tool draws is not tested.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import LESION_HU, LIVER_HU, ellipsoid_ct

from liverplan.anatomy import Structure
from liverplan.cli.main import run
from liverplan.errors import ModelError
from liverplan.io.writing import write_volume
from liverplan.segmentation import segment
from liverplan.segmentation.models import find_model
from liverplan.volume import Volume

_STAND_IN = f"""#!{sys.executable}
import argparse, json, os, pathlib, sys
import nibabel as nib, numpy as np
parser = argparse.ArgumentParser()
for option in ("-i", "-o", "-ta"):
    parser.add_argument(option)
parser.add_argument("-d", default="gpu")
parser.add_argument("--roi_subset", nargs="+", default=[])
said = parser.parse_args()
with open(os.environ["CALLS"], "a") as log:
    log.write(json.dumps([said.ta, said.roi_subset, said.d]) + "\\n")
if said.ta in os.environ.get("BROKEN", "").split():
    sys.exit("no weights for " + said.ta)
image = nib.load(said.i); hu = np.asarray(image.dataobj)
liver, lesion = (hu == {int(LIVER_HU)}) | (hu == {int(LESION_HU)}), hu == {int(LESION_HU)}
box = np.zeros_like(liver); box[10:14, 10:14] = True
right = np.zeros_like(liver); right[: liver.shape[0] // 2] = True
masks = {{
    "total": {{"liver": liver, "inferior_vena_cava": box, "portal_vein_and_splenic_vein": np.roll(box, 12, 0) & liver}},
    "liver_vessels": {{"liver_vessels": np.roll(box, 18, 1) & liver, "liver_tumor": liver & ~liver}},
    "liver_segments": {{"liver_segment_8": liver & right, "liver_segment_2": liver & ~right}},
    "liver_lesions": {{"liver_lesions": lesion}},
}}
masks["total_mr"], masks["liver_segments_mr"], masks["liver_lesions_mr"] = masks["total"], {{}}, masks["liver_lesions"]
out = pathlib.Path(said.o); out.mkdir()
for name, mask in masks[said.ta].items():
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), out / (name + ".nii.gz"))
"""
"""In the stand-in a box at rows and columns 10 to 13 is the vena cava; the same box moved is trunk and branches."""

ORGANS = ["liver", "inferior_vena_cava", "portal_vein_and_splenic_vein"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in on PATH; the file that it writes its calls to."""
    if os.name == "nt":
        pytest.skip("the stand-in starts with the line that Unix reads")
    tool = tmp_path / "bin" / "TotalSegmentator"
    tool.parent.mkdir()
    tool.write_text(_STAND_IN)
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def asked(calls: Path) -> list[list[object]]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


VOLUME = ellipsoid_ct((4.0, 4.0, 5.0))


def test_each_task_is_run_once_and_organs_only_as_far_as_needed(calls: Path) -> None:
    masks = segment(VOLUME, "totalsegmentator", "cpu")
    assert asked(calls) == [
        ["total", ORGANS, "cpu"],
        ["liver_vessels", [], "cpu"],
        ["liver_segments", [], "cpu"],
        ["liver_lesions", [], "cpu"],
    ]
    lesion = VOLUME.array == int(LESION_HU)
    assert np.array_equal(masks.mask(Structure.LIVER), (VOLUME.array > 0) | lesion)
    assert np.array_equal(masks.mask(Structure.LESIONS), lesion)
    assert masks.has(Structure.VENA_CAVA)
    assert set(np.unique(masks.masks[Structure.COUINAUD])) == {0, 2, 8}


def test_vessels_that_it_does_not_part_are_never_called_portal_or_hepatic(calls: Path) -> None:
    masks = segment(VOLUME, "totalsegmentator", "cpu")
    assert not {Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS} & set(masks.masks)
    assert masks.has(Structure.LIVER_VESSELS)
    assert any("does not part" in note for note in masks.notes)


def test_a_task_that_fails_leaves_its_structures_out_and_says_so(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "liver_segments liver_lesions")
    masks = segment(VOLUME, "totalsegmentator", "cpu")
    assert Structure.COUINAUD not in masks.masks
    assert not masks.has(Structure.LESIONS)
    assert sum("no weights for" in note for note in masks.notes) == 2


def test_organs_that_fail_end_the_run_with_the_tools_own_words(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "total")
    with pytest.raises(ModelError, match="no weights for total"):
        segment(VOLUME, "totalsegmentator", "cpu")
    assert len(asked(calls)) == 1


def test_an_mr_gets_the_tasks_for_mr(calls: Path) -> None:
    segment(Volume(VOLUME.grid, VOLUME.array, "MR"), "totalsegmentator", "auto")
    assert [task for task, _, _ in asked(calls)] == ["total_mr", "liver_segments_mr", "liver_lesions_mr"]
    assert {device for _, _, device in asked(calls)} == {"gpu"}


def test_without_the_tool_the_command_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    scan = write_volume(VOLUME, tmp_path / "scan.nii.gz")
    command = ["segment", str(scan), "-o", str(tmp_path / "out"), "--model", "totalsegmentator", "-q"]
    assert run(command) == 3
    assert "pip install TotalSegmentator" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_is_named_by_its_version_where_others_have_a_hash_of_weights() -> None:
    model = find_model("totalsegmentator")
    assert model.stages == {}
    assert len(model.sha256) == 64
    assert model.identity["name"] == "totalsegmentator"

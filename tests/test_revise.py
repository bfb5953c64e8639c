"""A case planned again on corrected masks: the whole folder is replaced, and what it was is kept and proven."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import hypothesis
import jsonschema
import pytest
from hypothesis import strategies as st

import simple_case
from liverplan.anatomy import Structure
from liverplan.case import Settings, plan_case
from liverplan.chain import first_broken, last_sha256
from liverplan.corrections import Edit
from liverplan.errors import InputError, UnreadableInput
from liverplan.io.images import read_file
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.report.load import load_report
from liverplan.revise import LOG, REVISIONS, Revision, revise

BALLS = (simple_case.Ball((-22.0, 4.0, 36.0), 7.0), simple_case.Ball((12.0, 3.0, -30.0), 6.0))
SMALL = Edit("remove", Structure.LESIONS, (BALLS[1].centre,), "Dr A", "2026-01-02T03:04:05Z")
MODEL = {"name": "cascade", "sha256": "a" * 64}


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("once")
    drawn = simple_case.masks(simple_case.grid((2.5, 2.5, 2.5)), BALLS)
    write_volume(simple_case.image(drawn.grid, drawn), home / "image.nii.gz")
    write_segmentation(drawn, home / "masks")
    plan_case(Settings(home / "image.nii.gz", home / "masks", pictures=False, margin_mm=8.0), home / "out")
    return home


@pytest.fixture
def home(once, tmp_path) -> Path:
    return shutil.copytree(once, tmp_path / "home")


def asked(home: Path, *edits: Edit, **more) -> Revision:
    return Revision(home / "out", home / "image.nii.gz", edits, **more)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_removed_lesion_is_gone_from_the_report_and_the_first_masks_are_kept(home):
    """A model's masks stay the model's: the report says which model, and that they were corrected, by whom."""
    report = load_report(home / "out")
    report["segmentation"] |= {"origin": "model", "model": MODEL}
    doubt = {"expected_dice": 0.6, "boundary_mm": 5.0}
    report["segmentation"]["structures"]["lesions"]["confidence"] = doubt
    (home / "out" / "report.json").write_text(json.dumps(report))
    first = files(home / "out" / "segmentation")

    told = []
    after = revise(asked(home, SMALL), lambda fraction, _stage: told.append(fraction))

    assert told == sorted(told)
    assert [lesion["id"] for lesion in after["lesions"]] == [1]
    assert after["segmentation"]["model"] == MODEL
    assert after["segmentation"]["origin"] == "model"
    assert after["segmentation"]["structures"]["lesions"]["confidence"] == doubt, (
        "touching one lesion makes no mask surer"
    )
    corrections = after["segmentation"]["corrections"]
    assert (corrections["n_edits"], corrections["by"], corrections["structures"]) == (1, ["Dr A"], ["lesions"])
    log = (home / "out" / LOG).read_text(encoding="utf-8").splitlines()
    assert first_broken(log) is None
    assert corrections["log_sha256"] == last_sha256(log)
    assert files(home / "out" / REVISIONS / "0000" / "segmentation") == first
    assert json.loads((home / "out" / "run.json").read_text())["settings"]["margin_mm"] == 8.0
    schema = Path(sys.modules["liverplan"].__file__).parent / "report" / "schema" / "report-1.json"
    jsonschema.validate(after, json.loads(schema.read_text(encoding="utf-8")))
    assert [p.name for p in home.iterdir() if p.name.startswith(".")] == [], "nothing is left behind"


def test_a_second_revision_adds_to_log_and_history_and_a_changed_log_is_refused(home):
    grow = Edit("paint", Structure.LESIONS, (BALLS[0].centre,), "Dr B", "2026-01-03T00:00:00Z", 9.0, 2)
    revise(asked(home, SMALL))
    before = load_report(home / "out")
    after = revise(asked(home, grow))
    assert after["lesions"][0]["volume_ml"] > before["lesions"][0]["volume_ml"]
    assert sorted(p.name for p in (home / "out" / REVISIONS).iterdir()) == ["0000", "0001"]
    assert after["segmentation"]["corrections"]["by"] == ["Dr A", "Dr B"]

    log = home / "out" / LOG
    log.write_text(log.read_text().replace("Dr A", "Dr X"))
    state = files(home / "out")
    with pytest.raises(UnreadableInput, match="line 2"):
        revise(asked(home, grow))
    assert files(home / "out") == state


def test_an_edit_that_cannot_be_planned_leaves_the_case_as_it_was(home):
    state = files(home / "out")
    outside = Edit("paint", Structure.LESIONS, ((80.0, 60.0, 70.0),), "Dr A", "2026-01-02T03:04:05Z", 6.0, 2)
    with pytest.raises(InputError):
        revise(asked(home, outside))
    with pytest.raises(InputError, match="no lesion here"):
        revise(asked(home, replace(SMALL, places=((80.0, 60.0, 70.0),))))
    assert files(home / "out") == state


def test_a_plane_becomes_a_resection_of_the_report_as_with_the_option(home):
    plane = home / "my_plane.json"
    plane.write_text(json.dumps({"point_lps_mm": [-5.0, 0.0, 0.0], "normal_lps": [-1.0, 0.0, 0.0]}))
    after = revise(asked(home, planes=(plane,)))
    row = next(r for r in after["resections"] if r["name"] == "my_plane")
    masks = home / "masks"
    plan_case(
        Settings(home / "image.nii.gz", masks, pictures=False, margin_mm=8.0, resections=(plane,)), home / "by-option"
    )
    expected = next(r for r in load_report(home / "by-option")["resections"] if r["name"] == "my_plane")
    assert row == expected
    assert read_file(home / "out" / "resections" / "my_plane.nii.gz").array.any()
    assert "corrections" not in after["segmentation"], "no mask was corrected"
    again = revise(asked(home, SMALL))
    assert "my_plane" in [r["name"] for r in again["resections"]], "it stays when masks are corrected later"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_the_process_ends_with_its_parents_pipe_and_changes_nothing(home):
    state = files(home / "out")
    child = subprocess.Popen(
        [sys.executable, "-m", "liverplan.revise"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    wanted = {
        "folder": str(home / "out"),
        "image": str(home / "image.nii.gz"),
        "edits": [SMALL.to_json()],
        "planes": [],
    }
    child.stdin.write(json.dumps(wanted) + "\n")
    child.stdin.flush()
    assert json.loads(child.stdout.readline())["fraction"] == 0.0
    child.stdin.close()
    assert child.wait(60) != 0
    assert files(home / "out") == state
    assert [p.name for p in home.iterdir() if p.name.startswith(".")] == [], "nothing is left behind"


KILLS = int(os.environ.get("LIVERPLAN_KILLS", "4"))


@hypothesis.settings(max_examples=KILLS, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(part=st.floats(0.05, 1.1))
def test_a_revision_that_is_killed_leaves_the_old_or_the_new_case(once, tmp_path_factory, a_revision_s, part):
    """What the viewer runs for a correction, killed at any moment: the folder is whole either way."""
    home = shutil.copytree(once, tmp_path_factory.mktemp("killed") / "home")
    before = files(home / "out")
    told = {"folder": str(home / "out"), "image": str(home / "image.nii.gz"), "edits": [SMALL.to_json()], "planes": []}
    seconds = part * a_revision_s
    running = subprocess.Popen(
        [sys.executable, "-m", "liverplan.revise"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    running.stdin.write(json.dumps(told) + "\n")
    running.stdin.flush()
    time.sleep(seconds)
    running.kill()
    running.wait()
    after = files(home / "out")
    if after["report.json"] == before["report.json"]:
        assert after == before
    else:
        assert [lesion["id"] for lesion in load_report(home / "out")["lesions"]] == [1]
        assert after[f"{REVISIONS}/0000/report.json"] == before["report.json"]
        assert len(after[LOG].splitlines()) == 1
        assert {"report.html", "report.pdf", "run.json", "segmentation/lesions.nii.gz"} <= set(after)


@pytest.fixture(scope="module")
def a_revision_s(once, tmp_path_factory) -> float:
    """How long the program takes on this machine now."""
    home = shutil.copytree(once, tmp_path_factory.mktemp("timed") / "home")
    start = time.monotonic()
    told = {"folder": str(home / "out"), "image": str(home / "image.nii.gz"), "edits": [SMALL.to_json()], "planes": []}
    done = subprocess.run(
        [sys.executable, "-c", "import json,sys; from liverplan.revise import main; main(json.load(sys.stdin))"],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"done": true' in done.stdout
    return time.monotonic() - start

"""The log of a case: every event is there, in order, and nothing can be changed in it unseen."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simple_case
from liverplan import audit
from liverplan.cli.main import run
from liverplan.io.writing import write_segmentation, write_volume


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("case")
    grid = simple_case.grid((2.5, 2.5, 2.5))
    masks = simple_case.masks(grid, (simple_case.Ball((-22.0, 4.0, 36.0), 7.0),))
    write_volume(simple_case.image(grid, masks), home / "scan.nii.gz")
    write_segmentation(masks, home / "masks")
    return home


def plan(home: Path, *more: str) -> int:
    told = ["plan", home / "scan.nii.gz", "--segmentation", home / "masks", "-o", home / "out", "--no-pictures"]
    return run([*(str(t) for t in told), "--quiet", *more])


def test_planning_deciding_rendering_and_planning_again_follow_each_other(
    planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = planned / "out"
    assert plan(planned) == 0
    assert run(["eligibility", str(out), "--quiet"]) == 0
    assert run(["report", str(out), "--quiet"]) == 0
    assert plan(planned, "--overwrite") == 0
    trail = audit.read(out)
    assert trail.broken is None
    assert [e["action"] for e in trail.events()] == ["planned", "decided", "rendered", "planned"]
    capsys.readouterr()
    assert run(["audit", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["last_sha256"] == trail.last_sha256
    assert len(told["events"]) == 4


def log(path: Path, count: int) -> list[str]:
    for number in range(count):
        audit.append(path / audit.FILE, audit.SENT, objects=number)
    return (path / audit.FILE).read_text().splitlines()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_line_that_is_changed_dropped_doubled_or_moved_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    lines = log(folder, 6)
    at = data.draw(st.integers(0, 4))
    how = data.draw(st.sampled_from(["change", "drop", "double", "swap"]))
    forged = list(lines)
    if how == "change":
        forged[at] = forged[at].replace('"objects": ', '"objects": 9')
    elif how == "drop":
        del forged[at]
    elif how == "double":
        forged.insert(at, forged[at])
    else:
        forged[at], forged[at + 1] = forged[at + 1], forged[at]
    (folder / audit.FILE).write_text("\n".join(forged) + "\n")
    broken = audit.read(folder).broken
    assert broken is not None
    assert broken <= at + 2


def test_a_forged_log_ends_with_status_3_and_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log(tmp_path, 3)
    (tmp_path / audit.FILE).write_text("\n".join([lines[0], lines[2]]) + "\n")
    assert run(["audit", str(tmp_path)]) == 3
    assert "line 2" in capsys.readouterr().err


def test_writers_at_the_same_time_lose_no_event(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.append(tmp_path / audit.FILE, audit.OPENED, turn=n), range(40)))
    trail = audit.read(tmp_path)
    assert trail.broken is None
    assert sorted(e["turn"] for e in trail.events()) == list(range(40))


def test_a_line_that_a_killed_program_left_unfinished_does_not_swallow_the_next(tmp_path: Path) -> None:
    log(tmp_path, 2)
    with (tmp_path / audit.FILE).open("a") as file:
        file.write('{"number": 3, "utc": "20')
    audit.record(tmp_path, audit.OPENED)
    trail = audit.read(tmp_path)
    assert trail.broken == 3
    assert [e["action"] for e in trail.events()] == ["sent", "sent", "opened"]


def test_a_case_that_may_only_be_read_may_still_be_opened(tmp_path: Path) -> None:
    audit.record(tmp_path / "nowhere", audit.OPENED)
    assert not (tmp_path / "nowhere").exists()

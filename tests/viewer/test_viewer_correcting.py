"""Correcting and cutting on the running server: numbers are those of report.json, a cancel changes nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("wslink")

from test_viewer_server import live, on_page

import simple_case
from conftest import LESIONS, Served, serving
from liverplan.case import Settings, plan_case
from liverplan.chain import first_broken
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.viewer.cutting import Pose, measure_plane
from liverplan.viewer.margins import rebuild
from liverplan.viewer.opened import open_case

FALSE_LESION = {"what": "remove", "structure": "lesions", "places_lps_mm": [list(LESIONS[1].centre)]}
STROKE = {"what": "paint", "structure": "lesions", "places_lps_mm": [[-20.0, 20.0, 0.0]], "radius_mm": 5.0, "axis": 2}


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("once")
    drawn = simple_case.masks(simple_case.grid((2.5, 2.5, 2.5)), LESIONS)
    write_volume(simple_case.image(drawn.grid, drawn), home / "image.nii.gz")
    write_segmentation(drawn, home / "masks")
    plan_case(Settings(home / "image.nii.gz", home / "masks", pictures=False), home / "out")
    return home


@pytest.fixture
def case(once, tmp_path) -> Path:
    return shutil.copytree(once, tmp_path / "home") / "out"


def on_server(case: Path, act: Callable[[Any], Awaitable[Any]]) -> Any:
    """Start a server, do something on its page, end it."""
    with serving(case) as served:
        return on_page(Served(served.origin, served.key, case), act)


async def until(page: Any, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for _ in range(600):
        state = await page.state()
        if is_so(state):
            return state
        await asyncio.sleep(0.2)
    raise AssertionError({k: state[k] for k in ("job_stage", "job_note", "edit_note", "plane_note")})


async def ready(page: Any) -> dict[str, Any]:
    """The state once the field was rebuilt and the masks can be corrected."""
    await live(page)
    return await until(page, lambda state: state["can_edit"])


def report(case: Path) -> dict[str, Any]:
    return json.loads((case / "report.json").read_text(encoding="utf-8"))


def test_a_draft_survives_the_server_and_its_recomputation_is_what_the_report_says(case):
    async def draw(page):
        await ready(page)
        await page.press("edit", STROKE)
        await page.press("undo")
        await page.press("redo")
        return await page.press("edit", FALSE_LESION | {"who": "forged", "utc": "1999"})

    state = on_server(case, draw)
    assert state["edit_note"] == ""
    assert len(state["edits"]) == 2
    assert len(report(case)["lesions"]) == 2, "nothing is changed until it is computed"

    async def recompute(page):
        begun = await ready(page)
        await page.set(who="Dr A")
        await page.press("undo")
        await page.press("edit", FALSE_LESION)
        await page.press("recompute")
        return begun, await until(page, lambda s: s["job_note"] != "")

    begun, state = on_server(case, recompute)
    assert len(begun["edits"]) == 2, "the draft of the server before"
    assert state["job_note"].startswith("Computed"), state["job_note"]
    told = report(case)
    assert [row["id"] for row in state["panel"]["lesions"]] == [lesion["id"] for lesion in told["lesions"]]
    assert state["edits"] == []
    log = [json.loads(line) for line in (case / "edits.jsonl").read_text().splitlines()]
    assert [line["what"] for line in log] == ["paint", "remove"]
    assert log[1]["who"] == "Dr A"
    assert log[1]["utc"] > "2020"
    assert first_broken((case / "edits.jsonl").read_text().splitlines()) is None
    assert not (case / "draft.json").exists()


def test_a_cancelled_recomputation_leaves_case_and_draft(case):
    before = (case / "report.json").read_bytes()

    async def act(page):
        await ready(page)
        await page.press("edit", FALSE_LESION)
        await page.press("recompute")
        await until(page, lambda s: s["job_progress"] > 0)
        await page.press("cancel")
        return await until(page, lambda s: s["job_note"] != "")

    state = on_server(case, act)
    assert "cancelled" in state["job_note"]
    assert len(state["edits"]) == 1
    assert (case / "report.json").read_bytes() == before
    assert [p.name for p in case.parent.iterdir() if p.name.startswith(".")] == []


def test_a_plane_is_measured_live_and_the_report_has_the_same_numbers_once_it_is_saved(case):
    async def act(page):
        await ready(page)
        await page.set(plane_on=True, plane_mm=20.0, plane_turn=180.0, plane_tilt=5.0)
        measured = await until(page, lambda s: s["plane_row"] is not None and not s["plane_busy"])
        await page.set(plane_name="../../evil")
        refused = (await page.press("save_plane"), await until(page, lambda s: s["plane_note"] != ""))[1]
        await page.set(plane_name="my_plane")
        await page.press("save_plane")
        saved = await until(page, lambda s: s["job_note"] != "")
        await page.set(compare_one="my_plane", compare_other=saved["panel"]["resections"][0]["name"])
        return measured, refused, await page.state()

    measured, refused, saved = on_server(case, act)
    assert "name" in refused["plane_note"]
    row = next(r for r in report(case)["resections"] if r["name"] == "my_plane")
    lines = {line["name"]: line["one"] for line in saved["compared"]}
    assert {line["name"]: line["value"] for line in measured["plane_row"]["lines"]} == lines
    assert row["notes"][0] == "plane"


@pytest.mark.parametrize("pose", [Pose(), Pose(15.0, 180.0, 20.0), Pose(-10.0, 40.0, -75.0)])
def test_a_plane_takes_out_the_liver_on_its_side(case, pose):
    """The oracle: the volume of the cap of a ball, less what the vena cava takes from it."""
    opened = open_case(case)
    ready = rebuild(opened.segmentation).prepared
    middle = np.zeros(3)
    found = measure_plane(ready, "p", pose.point_lps_mm(middle), pose.normal_lps, opened.report)
    r, taken = simple_case.LIVER_RADIUS_MM, found.row["volume_ml"]["value"]
    caps = [np.pi * (r - s * pose.position_mm) ** 2 * (2 * r + s * pose.position_mm) / 3000.0 for s in (1, -1)]
    assert min(abs(taken - cap) for cap in caps) < 0.04 * (4 / 3) * np.pi * r**3 / 1000.0
    assert found.row["flr_percent"]["value"] is None or 0.0 <= found.row["flr_percent"]["value"] <= 100.0


def test_what_is_no_correction_is_refused_in_words_and_changes_nothing(case):
    async def act(page):
        await ready(page)
        slips = (7, "rm -rf /", {"what": "paint"}, STROKE | {"structure": "../x"}, STROKE | {"radius_mm": 1e9})
        return [await page.press("edit", slip) for slip in slips]

    for state in on_server(case, act):
        assert state["edit_note"]
        assert state["edits"] == []
    assert not (case / "draft.json").exists()

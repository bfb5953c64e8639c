"""Cases with something missing open as well, in one folder, one after the other."""

from __future__ import annotations

import asyncio
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if find_spec("trame") is None:
    pytest.skip("the extra `view` is not installed", allow_module_level=True)

from test_viewer_server import live, on_page

import simple_case
from conftest import LESIONS, serving
from liverplan.anatomy import Structure
from liverplan.cli.main import run
from liverplan.io.writing import write_segmentation, write_volume
from liverplan.viewer.app import UNREAD, UNREADABLE
from liverplan.volume import Grid, Segmentation

VESSELS = (Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS, Structure.VENA_CAVA)


def plan(home: Path, drawn: Segmentation, modality: str = "CT") -> Path:
    """Plan some masks on their scan."""
    write_volume(simple_case.image(drawn.grid, drawn), home / "image.nii.gz")
    write_segmentation(drawn, home / "masks")
    arguments = ["plan", str(home / "image.nii.gz"), "--segmentation", str(home / "masks"), "-o", str(home / "out")]
    assert run([*arguments, "--quiet", "--no-pictures", "--modality", modality]) == 0
    return home / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases a to d: nothing but liver and lesions; no lesion; MR, turned and oblique; a scan that is not there."""
    homes = {name: tmp_path_factory.mktemp(name) for name in "abcd"}
    whole = simple_case.masks(simple_case.grid((3.0, 3.0, 3.0)), LESIONS)
    bare = Segmentation(whole.grid, {s: m for s, m in whole.masks.items() if s not in VESSELS})
    none = Segmentation(whole.grid, {**whole.masks, Structure.LESIONS: np.zeros(whole.grid.shape, dtype=np.uint8)})
    out = {
        "a": plan(homes["a"], bare),
        "b": plan(homes["b"], none),
        "c": plan(homes["c"], oblique(), "MR"),
        "d": plan(homes["d"], whole),
    }
    (homes["d"] / "image.nii.gz").unlink()
    together = tmp_path_factory.mktemp("cases")
    for name, case in out.items():
        (together / name).mkdir()
        case.rename(together / name / "out")
        if (case.parent / "image.nii.gz").exists():
            (case.parent / "image.nii.gz").rename(together / name / "image.nii.gz")
    for name in out:
        for child in (together / name / "out").iterdir():
            child.rename(together / name / child.name)
        (together / name / "out").rmdir()
    return together


def oblique() -> Segmentation:
    """The same patient on a lattice that is turned by 12 degrees and stored from left, anterior and superior."""
    turn = np.radians(12.0)
    axes = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag([-3.0, -3.0, -3.0])
    affine[:3, 3] = -affine[:3, :3] @ np.array([32.0, 30.0, 25.0])
    return simple_case.masks(Grid((65, 61, 51), affine), LESIONS)


@pytest.fixture(scope="module")
def served_folder(folder):
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("number", range(4), ids=["no vessels", "no lesion", "oblique MR", "no scan"])
def test_it_opens_shows_its_own_numbers_and_can_be_used(served_folder, folder, number):
    report = json.loads((sorted(folder.iterdir())[number] / "report.json").read_text(encoding="utf-8"))

    async def act(page):
        await page.set(case_index=number)
        for _ in range(240):
            state = await page.state()
            if state["margin_source"] == "live" and state["case_name"] == "abcd"[number]:
                break
            await asyncio.sleep(0.25)
        for target in ("lesion-1", "lesion-1-vessel-0", "lesion-1-capsule_distance"):
            await page.press("jump", target)
        for row in report["resections"]:
            await page.press("choose", row["name"])
        return await page.set(margin_mm=5)

    state = on_page(served_folder, act)
    assert state["margin_source"] == "live"
    assert state["margin_warning"] == ""
    assert state["margin_row"] == next(row for row in report["margin_curve"] if row["margin_mm"] == 5.0)
    assert state["panel"]["answer"]["feasible"] == report["case"]["wide_margin"]
    assert state["windows"] == (["auto"] if number == 2 else ["auto", "liver", "abdomen", "vessels", "bone"])
    assert ("--image" in state["case_note"]) == (number == 3)
    assert state["resection"] == (report["resections"][-1]["name"] if report["resections"] else "")


@pytest.fixture
def again(folder: Path, tmp_path: Path) -> Path:
    """A case of its own, whose masks can be spoilt."""
    return shutil.copytree(folder / "a", tmp_path / "a")


def test_the_views_say_while_nothing_is_outlined_because_masks_are_not_read_yet(again):
    with serving(again) as server:
        # Masks are read once a page has its first pictures, or seconds later: none is open here.
        assert on_page(server, lambda page: page.state())["unread"] == UNREAD
        state = on_page(server, live)
    assert state["unread"] == ""
    assert {"liver", "lesion_1"} <= set(state["shown"])


def test_the_views_say_that_masks_cannot_be_read(again):
    (again / "segmentation" / "lesions.nii.gz").write_bytes(b"\x1f\x8b spoilt")

    async def act(page):
        for _ in range(120):
            state = await page.state()
            if state["unread"] != UNREAD:
                break
            await asyncio.sleep(0.25)
        return state

    with serving(again) as server:
        state = on_page(server, act)
    assert state["unread"] == UNREADABLE
    assert state["case_note"].startswith("The masks cannot be shown")
    assert state["margin_source"] == "stored"
    assert state["layers"] == []

"""Cases in a real browser: a DICOM folder dropped, cancelled, searched for, in two windows, on a tablet.

Skipped without Chromium; not run in CI.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import SETTLE_MS, WAIT_MS, WIDE, chromium, drop, get, keep, open_page, state, tab, view

from conftest import Served, serving

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pacs"))

import pacs_case

import simple_case
from liverplan.io.writing import write_segmentation
from liverplan.viewer.page import TABS


@pytest.fixture(scope="module")
def own(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A folder of two cases, with the scan beside them."""
    root = tmp_path_factory.mktemp("browsed") / "cases"
    shutil.copytree(planned, root / "first")
    shutil.copytree(planned, root / "second")
    shutil.copy(planned.parent / "image.nii.gz", root)
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to drop: DICOM slices and a folder of masks."""
    home = tmp_path_factory.mktemp("study") / "patient"
    drawn = simple_case.masks(simple_case.grid(pacs_case.SPACING_MM), pacs_case.LESIONS)
    pacs_case.write_series(home / "ct", simple_case.image(drawn.grid, drawn), 1)
    write_segmentation(drawn, home / "masks")
    return home


@pytest.fixture(scope="module")
def context(own: Served) -> Iterator[Any]:
    with chromium() as browser:
        yield browser.new_context(viewport=WIDE)


@pytest.fixture(scope="module")
def page(context: Any, own: Served) -> Any:
    return open_page(context, own)


def listed(page: Any) -> list[str]:
    return page.locator(".lp-list tr td:first-child").all_inner_texts()


def show_cases(page: Any) -> None:
    if not page.locator(".lp-cases").is_visible():
        page.get_by_role("button", name="Cases (").click()


def test_the_list_is_searched_by_name_and_verdict(page: Any, own: Served) -> None:
    report = json.loads((own.case / "first" / "report.json").read_text(encoding="utf-8"))
    show_cases(page)
    assert listed(page) == ["first", "second"]
    page.fill("input[name=case_search]", "SECO ")
    assert listed(page) == ["second"]
    page.fill("input[name=case_search]", report["case"]["wide_margin"])
    assert listed(page) == ["first", "second"]
    page.fill("input[name=case_search]", "nobody")
    assert listed(page) == []
    assert "No case has this" in page.inner_text(".lp-cases")
    page.fill("input[name=case_search]", "")


def test_a_dropped_folder_is_cancelled_and_leaves_nothing(page: Any, own: Served, study: Path) -> None:
    before = sorted(path.name for path in own.case.iterdir())
    drop(page, study)
    page.get_by_role("button", name="Cancel").click(timeout=WAIT_MS)
    state(page, "load_note !== ''")
    assert get(page, "load_note") == "Not loaded: cancelled; nothing of it was kept"
    assert "nothing of it was kept" in page.inner_text(".lp-cases .lp-bad")
    assert sorted(path.name for path in own.case.iterdir()) == before


def test_a_dropped_dicom_folder_with_masks_becomes_a_case_that_opens(page: Any, own: Served, study: Path) -> None:
    show_cases(page)
    page.fill("input[name=load_name]", "dropped")
    page.wait_for_timeout(SETTLE_MS)
    drop(page, study)
    state(page, "load_stage.length > 20 || load_stage === 'reading the image'")
    keep(page, "load")
    state(page, "load_note !== ''")
    assert get(page, "load_note") == "Planned as dropped."
    assert listed(page) == ["first", "second", "dropped"]
    page.get_by_role("button", name="Open it").click()
    state(page, "case_name === 'dropped'")
    state(page, "margin_source === 'live'")
    report = json.loads((own.case / "dropped" / "report.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in get(page, "panel")["lesions"]] == [lesion["id"] for lesion in report["lesions"]]
    wide = report["limits"]["wide_margin_mm"]
    assert get(page, "margin_row") == next(row for row in report["margin_curve"] if row["margin_mm"] == wide)
    page.wait_for_timeout(SETTLE_MS)
    assert view(page, 0).std(axis=2).max() > 20, "a slice with coloured outlines"
    assert page.wrong == []


def test_a_scan_that_is_none_is_refused_in_words(page: Any, own: Served, tmp_path: Path) -> None:
    wrong = tmp_path / "<img src=x onerror=alert(1)>.html"
    wrong.write_text("hello", encoding="utf-8")
    drop(page, wrong)
    state(page, "load_note.startsWith('Not loaded')")
    assert page.locator(".lp-cases img").count() == 0
    page.keyboard.press("Escape")


def test_a_second_window_shows_the_same_case_and_both_are_told(context: Any, page: Any, own: Served) -> None:
    other = open_page(context, own)
    assert get(other, "case_name") == get(page, "case_name")
    for window in (page, other):
        state(window, "windows_open === 2")
        assert "open in 2 windows" in window.inner_text("header")
    other.evaluate("window.trame.state.set('margin_mm', 11)")
    state(page, "margin_mm === 11")
    tab(page, "Quality")
    state(other, "tab === 'Quality'")
    show_cases(other)
    other.locator(".lp-list tr", has_text="second").click()
    for window in (page, other):
        state(window, "case_name === 'second'")
        state(window, "margin_source === 'live'")
    page.evaluate("window.trame.state.set('margin_mm', 9)")
    page.evaluate("window.trame.state.set('margin_mm', 8)")
    for window in (page, other):
        state(window, "margin_row !== null && margin_row.margin_mm === 8")
    assert get(page, "margin_row") == get(other, "margin_row")
    other.close()
    state(page, "windows_open === 1")
    assert "windows" not in page.inner_text("header")


@pytest.mark.parametrize(("width", "height"), [(1400, 850), (1024, 768), (768, 1024)])
def test_nothing_overflows_sideways(page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(SETTLE_MS)
    for title in TABS:
        tab(page, title)
        page.wait_for_timeout(200)
        wide = page.evaluate(
            "() => [...document.querySelectorAll('html, header, .lp, .lp-left, .lp-right, .lp-body')]"
            ".filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.className)"
        )
        assert wide == [], title
    outside = page.evaluate(
        "() => [...document.querySelectorAll('header *, .lp-view, .lp-tab, .lp-tools button')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className)"
    )
    assert outside == []
    keep(page, f"tablet-{width}")
    page.set_viewport_size(WIDE)


def test_one_view_fills_the_place_of_four_and_the_left_column_can_be_widened(page: Any) -> None:
    page.set_viewport_size(WIDE)
    before = page.locator(".lp-view").nth(1).bounding_box()
    page.locator(".lp-view").nth(1).get_by_role("button", name="large").click()
    page.wait_for_timeout(SETTLE_MS)
    assert page.locator(".lp-view").nth(1).bounding_box()["width"] > 1.9 * before["width"]
    assert not page.locator(".lp-view").nth(0).is_visible()
    page.locator(".lp-view").nth(1).get_by_role("button", name="all").click()
    corner = page.locator(".lp-left").bounding_box()
    page.mouse.move(corner["width"] - 4, corner["y"] + corner["height"] - 4)
    page.mouse.down()
    page.mouse.move(corner["width"] + 96, corner["y"] + corner["height"] - 4, steps=4)
    page.mouse.up()
    assert page.locator(".lp-left").bounding_box()["width"] > corner["width"] + 50
    views = page.locator(".lp-right").bounding_box()
    assert views["x"] + views["width"] <= WIDE["width"] + 1

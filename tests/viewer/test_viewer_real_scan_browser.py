"""A real CT with masks from the drop to a saved plane, in a real browser: every number as in report.json.

Skipped where the scan or Chromium is absent. No picture of it is kept anywhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import (
    PICTURES,
    POLL_MS,
    SETTLE_MS,
    WAIT_MS,
    WIDE,
    chromium,
    drop,
    get,
    inside_lesion,
    middle,
    open_page,
    state,
    stroke,
    tab,
    view,
    yellow,
)

from conftest import Served, serving
from liverplan.report import wording

pytestmark = pytest.mark.shared
ORANGE_LEAST = 30
"""Pixels of the margin's ring in a slice through a lesion."""


@pytest.fixture(scope="module")
def own(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("real") / "cases"
    shutil.copytree(planned, root / "first")
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def page(own: Served, shared_data: Path) -> Iterator[Any]:
    if not (shared_data / "ircad17" / "dicom").is_dir():
        pytest.skip("the scan is not here")
    with chromium() as browser:
        page = open_page(browser.new_context(viewport=WIDE), own)
        page.evaluate("window.trame.state.set('load_name', 'real')")
        page.wait_for_timeout(SETTLE_MS)
        drop(page, shared_data / "ircad17" / "dicom", shared_data / "ircad17" / "masks")
        state(page, "load_stage !== ''")
        for _ in range(3):
            if get(page, "load_stage"):
                state(page, "load_stage === '' || load_stage === 'never'")
        assert get(page, "load_note") == "Planned as real."
        page.get_by_role("button", name="Open it").click()
        state(page, "case_name === 'real'")
        state(page, "margin_source === 'live'")
        yield page


@pytest.fixture
def report(own: Served, page: Any) -> dict[str, Any]:
    return stored(own)


def orange(page: Any) -> int:
    pixels = view(page, 0)
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return int(((r > 200) & (g > 90) & (g < 160) & (b < 90)).sum())


def stored(own: Served) -> dict[str, Any]:
    """The report as the page last left it."""
    return json.loads((own.case / "real" / "report.json").read_text(encoding="utf-8"))


def row_at(report: dict[str, Any], margin_mm: float) -> dict[str, Any]:
    return next(row for row in report["margin_curve"] if row["margin_mm"] == margin_mm)


def test_the_slider_says_what_the_report_says_at_every_margin_tried(page: Any, report: dict[str, Any]) -> None:
    assert get(page, "case_note") == "", "the scan was found"
    assert get(page, "margin_warning") == "", "every stored row comes out again"
    for margin in (3.0, 10.0, 7.0):
        page.evaluate(f"window.trame.state.set('margin_mm', {margin})")
        state(page, f"margin_row !== null && margin_row.margin_mm === {margin}")
        assert get(page, "margin_row") == row_at(report, margin)


def test_a_lesion_is_picked_and_scrolled_away_from(page: Any, report: dict[str, Any]) -> None:
    tab(page, "Lesions")
    assert [row["id"] for row in get(page, "panel")["lesions"]] == [lesion["id"] for lesion in report["lesions"]]
    page.locator("tr.lp-go:visible", has_text="Lesion 1").first.click()
    state(page, "target === 'lesion-1'")
    page.wait_for_timeout(2 * SETTLE_MS)
    assert orange(page) > ORANGE_LEAST
    before = view(page, 0)
    page.mouse.move(*middle(page))
    for _ in range(20):
        page.mouse.wheel(0, 240)
        page.wait_for_timeout(SETTLE_MS)
        if abs(view(page, 0) - before).max() > 60:
            return
    raise AssertionError("still the same slice")


def test_a_dragged_plane_is_measured_saved_and_compared(page: Any, own: Served, report: dict[str, Any]) -> None:
    tab(page, "Plane")
    page.check("input[name=plane_on]")
    state(page, "plane_row !== null")
    page.get_by_role("button", name="Drag it in a slice").click()
    page.wait_for_timeout(SETTLE_MS)
    first = get(page, "plane_mm")
    stroke(page, -60)
    state(page, f"plane_mm !== {first}")
    page.wait_for_timeout(SETTLE_MS)
    state(page, "plane_busy === false")
    lines = {line["name"]: line["value"] for line in get(page, "plane_row")["lines"]}
    assert all(f"Margin, lesion {lesion['id']}" in lines for lesion in report["lesions"])
    page.get_by_role("button", name="Save as a plan").click()
    state(page, "job_stage !== ''")
    state(page, "job_note !== ''")
    saved = next(row for row in stored(own)["resections"] if row["name"] == "my_plane")
    assert lines["Taken out"] == wording.interval(saved["volume_ml"], "mL")
    tab(page, "Compare")
    page.select_option("select[name=compare_one]", "my_plane")
    page.select_option("select[name=compare_other]", report["resections"][0]["name"])
    of_both = (lines["Taken out"], wording.interval(report["resections"][0]["volume_ml"], "mL"))
    one, other = map(json.dumps, of_both)
    state(page, f"compared.some(line => line.name === 'Taken out' && line.one === {one} && line.other === {other})")
    assert {line["name"]: line["one"] for line in get(page, "compared")} == lines
    tab(page, "Plane")
    page.uncheck("input[name=plane_on]")


def test_a_painted_lesion_is_outlined_and_after_recomputing_it_is_in_the_report(page: Any, own: Served) -> None:
    before = stored(own)
    state(page, "margin_source === 'live'")
    tab(page, "Lesions")
    page.locator("tr.lp-go:visible", has_text="Lesion 2").first.click()
    state(page, "target === 'lesion-2'")
    page.wait_for_timeout(2 * SETTLE_MS)
    tab(page, "Correct")
    page.select_option("select[name=tool]", "paint")
    page.wait_for_timeout(SETTLE_MS)
    outlined = yellow(view(page, 0))
    stroke(page, 110, inside_lesion(page))
    state(page, "edits.length === 1")
    page.wait_for_timeout(SETTLE_MS)
    assert yellow(view(page, 0)) != outlined
    page.get_by_role("button", name="Recompute").click()
    state(page, "job_stage !== ''")
    state(page, "job_note !== ''")
    assert get(page, "job_note").startswith("Computed"), get(page, "job_note")
    after = stored(own)
    assert after["liver"]["tumour_volume_ml"] > before["liver"]["tumour_volume_ml"]
    assert after["segmentation"]["corrections"]["n_edits"] == 1
    assert (own.case / "real" / "revisions").is_dir(), "the masks of before are kept"
    tab(page, "Lesions")
    assert [row["id"] for row in get(page, "panel")["lesions"]] == [lesion["id"] for lesion in after["lesions"]]
    state(page, "margin_source === 'live'")
    state(page, "margin_row !== null")
    assert get(page, "margin_row") == row_at(after, 7.0)


def test_a_reload_shows_the_case_as_it_was_left(page: Any, own: Served) -> None:
    tab(page, "Compare")
    page.select_option("select[name=compare_one]", "my_plane")
    page.wait_for_timeout(SETTLE_MS)
    assert page.wrong == [], "before the reload, which ends calls under way"
    page.reload()
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=WAIT_MS)
    state(page, "case_name === 'real'")
    assert get(page, "tab") == "Compare"
    assert get(page, "compare_one") == "my_plane"
    state(page, "margin_row !== null")
    assert get(page, "margin_row") == row_at(stored(own), 7.0)

"""A surgeon's way through the page in a real browser: paint, recompute, drag a plane, save, compare, reload.

Assertions are on pixels of a view and on numbers that equal report.json. Skipped without Chromium; not run in CI.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from browser_page import (
    PICTURES,
    POLL_MS,
    SETTLE_MS,
    WAIT_MS,
    WIDE,
    chromium,
    get,
    keep,
    middle,
    open_page,
    state,
    stroke,
    tab,
    view,
    yellow,
)

from conftest import Served, serving


@pytest.fixture(scope="module")
def own(planned, tmp_path_factory):
    """A copy of the case for this module: its masks are changed."""
    home = shutil.copytree(planned.parent, tmp_path_factory.mktemp("tools") / "home")
    with serving(home / planned.name) as server:
        yield server


@pytest.fixture(scope="module")
def page(own: Served):
    with chromium() as browser:
        yield open_page(browser.new_context(viewport=WIDE), own)


def axial(page) -> np.ndarray:
    return view(page, 0)


def report(own: Served):
    return json.loads((own.case / "report.json").read_text(encoding="utf-8"))


def test_a_painted_lesion_is_outlined_and_after_recomputing_it_is_in_the_report(page, own):
    tab(page, "Correct")
    page.select_option("select[name=tool]", "paint")
    page.wait_for_timeout(SETTLE_MS)
    before = yellow(axial(page))
    stroke(page, 30)
    state(page, "edits.length === 1")
    page.wait_for_timeout(1500)
    assert yellow(axial(page)) > before + 50
    keep(page, "correct")
    page.get_by_role("button", name="Recompute").click()
    state(page, "job_note !== ''")
    assert get(page, "job_note").startswith("Computed"), get(page, "job_note")
    told = report(own)
    assert len(told["lesions"]) == 3
    tab(page, "Lesions")
    assert [row["id"] for row in get(page, "panel")["lesions"]] == [lesion["id"] for lesion in told["lesions"]]
    assert page.locator("tr.lp-go:visible", has_text="Lesion 3").count() == 1
    state(page, "margin_source === 'live'")


def test_a_dragged_plane_is_measured_saved_and_compared(page, own):
    tab(page, "Plane")
    page.check("input[name=plane_on]")
    state(page, "plane_row !== null")
    page.get_by_role("button", name="Drag it in a slice").click()
    page.wait_for_timeout(SETTLE_MS)
    first = get(page, "plane_mm")
    stroke(page, -60)
    page.wait_for_function(f"() => window.trame.state.get('plane_mm') !== {first}", polling=POLL_MS, timeout=WAIT_MS)
    page.wait_for_timeout(SETTLE_MS)
    state(page, "plane_busy === false")
    lines = {line["name"]: line["value"] for line in get(page, "plane_row")["lines"]}
    page.wait_for_timeout(SETTLE_MS)
    keep(page, "plane")
    page.get_by_role("button", name="Save as a plan").click()
    state(page, "job_stage !== ''")
    state(page, "job_note !== ''")
    assert "my_plane" in [row["name"] for row in report(own)["resections"]]
    tab(page, "Compare")
    page.select_option("select[name=compare_one]", "my_plane")
    taken = json.dumps(lines["Taken out"])
    state(page, f"compared.some(line => line.name === 'Taken out' && line.one === {taken})")
    assert {line["name"]: line["one"] for line in get(page, "compared")} == lines
    keep(page, "compare")


def test_a_cut_clicked_on_the_liver_in_3d_is_measured_and_saved(page, own):
    tab(page, "Plane")
    page.uncheck("input[name=plane_on]")
    page.get_by_role("button", name="Draw on the liver").click()
    page.wait_for_timeout(SETTLE_MS)
    x, y = middle(page, 3)
    for n, (right, down) in enumerate([(20, -60), (0, 0), (20, 60)], start=1):
        page.mouse.click(x + right, y + down)
        state(page, f"drawn_points === {n}")
    state(page, "drawn_row !== null")
    state(page, "drawn_busy === false")
    page.wait_for_timeout(2 * SETTLE_MS)
    pixels = view(page, 3)
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    assert ((g > r + 40) & (g > b + 20)).sum() > 100, "the line that was drawn"
    keep(page, "drawn")
    lines = {line["name"]: line["value"] for line in get(page, "drawn_row")["lines"]}
    page.locator("input[name=drawn_name]").locator("xpath=..").get_by_role("button", name="Save as a plan").last.click()
    state(page, "job_stage !== ''")
    state(page, "job_note !== ''")
    assert "my_cut" in [row["name"] for row in report(own)["resections"]]
    tab(page, "Compare")
    page.select_option("select[name=compare_one]", "my_cut")
    taken = json.dumps(lines["Taken out"])
    state(page, f"compared.some(line => line.name === 'Taken out' && line.one === {taken})")
    assert {line["name"]: line["one"] for line in get(page, "compared")} == lines
    page.select_option("select[name=compare_one]", "my_plane")


def ground(page):
    """Grey beside the liver in the 3D view, 0 to 255."""
    return int(np.median(view(page, 3)[-110:-70, 5:40]))


def test_a_reload_and_keys(page, own):
    page.keyboard.press("Escape")
    page.locator(".lp-verdict").click()
    page.keyboard.press("?")
    page.wait_for_selector(".lp-over:visible")
    page.keyboard.press("Escape")
    assert ground(page) == 255
    page.keyboard.press("d")
    state(page, "dark === true")
    page.wait_for_timeout(2 * SETTLE_MS)
    assert ground(page) < 40
    page.keyboard.press("4")
    state(page, "tab === 'Compare'")
    assert page.wrong == [], "before the reload, which ends calls under way"
    page.reload()
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=WAIT_MS)
    assert get(page, "dark") is True
    assert page.locator("select[name=compare_one]").input_value() == "my_plane"


def test_after_a_restart_of_the_server_the_case_is_as_it_was_left(page, own):
    page.evaluate("window.trame.state.set('margin_mm', 12.5)")
    page.evaluate("window.trame.state.set('dark', true)")
    page.evaluate("window.trame.state.set('tab', 'Compare')")
    page.wait_for_timeout(2 * SETTLE_MS)
    with serving(own.case) as again:
        other = open_page(page.context.browser.new_context(viewport=WIDE), again)
        assert get(other, "margin_mm") == 12.5
        assert get(other, "dark") is True
        assert ground(other) < 40
        assert get(other, "tab") == "Compare"
        names = [row["name"] for row in report(own)["resections"]]
        assert [row["name"] for row in get(other, "panel")["resections"]] == names

"""report.html in a real browser, from disk: 3D, slices and slider work, no request, no error, no accessibility finding.

Skipped without Chromium, playwright and axe; nothing is downloaded. The validity of the HTML is checked everywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import example_case
import html5lib
import pytest

from liverplan.io.folder import write_json_atomic
from liverplan.io.meshes import write_stl
from liverplan.report.figures import FOLDER
from liverplan.report.html import write_html
from liverplan.report.interactive_scene import write_scene
from liverplan.report.interactive_stack import write_stack
from liverplan.report.rendering import read_parts

SPACING = (4.0, 4.0, 5.0)
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
SECONDS = 120
"""How long a part may take without a graphics card on a busy machine; alone it takes two."""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """report.html of the example with everything in it."""
    out = tmp_path_factory.mktemp("case")
    (out / FOLDER).mkdir()
    report = example_case.report() | {"clinical": example_case.clinical()}
    write_json_atomic(out / "report.json", report)
    for name, mesh in example_case.meshes(SPACING).items():
        write_stl(out / "meshes" / f"{name}.stl", mesh)
    write_scene(out, report, read_parts(out / "meshes"))
    write_stack(out, example_case.volume(SPACING), example_case.segmentation(SPACING))
    return write_html(out, report)


def without_lesions() -> dict[str, Any]:
    report = example_case.report() | {"lesions": [], "resections": [], "margin_curve": []}
    report["case"]["margin_upper_mm"] = {"value": None, "reason": "there is no lesion in the segmentation"}
    report["case"]["wide_margin"] = "undetermined"
    return report


def test_the_page_is_valid_html(page_file: Path, tmp_path: Path) -> None:
    for path in (page_file, write_html(tmp_path, without_lesions())):
        parser = html5lib.HTMLParser(namespaceHTMLElements=False)
        document = parser.parse(path.read_text(encoding="utf-8"))
        assert parser.errors == []
        ids = [node.get("id") for node in document.iter() if node.get("id")]
        assert len(ids) == len(set(ids))
        anchors = [node.get("href")[1:] for node in document.iter("a") if node.get("href", "").startswith("#")]
        assert set(anchors) <= set(ids)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new"])
        yield chromium
        chromium.close()


def opened(browser: Any, path: Path, **wishes: Any) -> tuple[Any, list[str]]:
    """The page with both parts loaded, and what it complained about or asked the network for."""
    page = browser.new_context(viewport={"width": 1200, "height": 900}, **wishes).new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
    page.goto(path.resolve().as_uri())
    for part in ("lp-3d", "lp-slices"):
        page.evaluate("id => document.getElementById(id).scrollIntoView()", part)
        state = "id => document.getElementById(id).dataset.state"
        page.wait_for_function(state, arg=part, polling=300, timeout=1000 * SECONDS)
        assert page.evaluate(state, part) == "ready"
    return page, wrong


def colours(page: Any, canvas: str) -> int:
    """How many different pixels a canvas shows."""
    return int(
        page.evaluate(
            """id => { const from = document.getElementById(id), to = document.createElement("canvas");
            to.width = to.height = 64; const pen = to.getContext("2d"); pen.drawImage(from, 0, 0, 64, 64);
            return new Set(new Uint32Array(pen.getImageData(0, 0, 64, 64).data.buffer)).size; }""",
            canvas,
        )
    )


def test_3d_slices_and_slider_work_from_disk_without_a_request_or_an_error(browser: Any, page_file: Path) -> None:
    page, wrong = opened(browser, page_file)
    assert all(colours(page, f"lp-{plane}") > 50 for plane in ("axial", "coronal", "sagittal"))

    assert page.locator("#lp-margin-value").inner_text() == "7 mm"
    page.locator("#lp-margin").focus()
    page.keyboard.press("ArrowRight")
    row = next(row for row in example_case.report()["margin_curve"] if row["margin_mm"] == 8)
    assert page.locator("#lp-margin-value").inner_text() == "8 mm"
    assert page.locator("#lp-functional").inner_text().startswith(f"{row['flr_percent']:.1f}")

    front = page.locator("#lp-canvas").screenshot()
    assert page.locator("#lp-edge-left").inner_text() == "R"
    page.get_by_role("button", name="posterior").click()
    assert page.locator("#lp-edge-left").inner_text() == "L"
    page.locator("#lp-canvas").focus()
    page.keyboard.press("Home")
    assert page.locator("#lp-edge-left").inner_text() == "R"
    page.get_by_label("Liver", exact=True).uncheck()
    assert page.locator("#lp-canvas").screenshot() != front
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_no_serious_finding(browser: Any, page_file: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page, _ = opened(browser, page_file, color_scheme=scheme, bypass_csp=True)
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    assert [
        (v["id"], v["nodes"][0]["html"]) for v in found["violations"] if v["impact"] in ("serious", "critical")
    ] == []


def test_without_javascript_the_page_says_so_and_hides_what_needs_it(browser: Any, page_file: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(page_file.resolve().as_uri())
    assert page.get_by_text("needs JavaScript").is_visible()
    assert not page.locator("#lp-3d").is_visible()

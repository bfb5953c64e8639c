"""The page in a real browser: opens by its address alone, asks nobody else, shows pictures, follows the slider.

Skipped without Chromium and playwright; nothing is downloaded. Not run in CI.
"""

from __future__ import annotations

import os
import shutil

import pytest

from conftest import Served

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
if CHROMIUM is None or os.environ.get("CI"):
    pytest.skip("no Chromium here, or in CI", allow_module_level=True)

POLL_MS = 300
"""Frames are too slow a clock in software rendering."""
PICTURES = "() => [...document.querySelectorAll('.lp-view img')].filter(i => i.naturalWidth > 50).length === 4"
SOURCES = "() => [...document.querySelectorAll('.lp-view img')].map(i => i.src).join()"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, served: Served):
    context = browser.new_context(viewport={"width": 1400, "height": 850})
    page = context.new_page()
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(f"{served.origin}/?key={served.key}")
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=60_000)
    yield page
    context.close()


def test_all_four_views_are_drawn_and_nobody_else_is_asked(page, served):
    own = (served.origin, "data:", f"blob:{served.origin}")
    assert [url for url in page.asked if not url.startswith(own)] == []
    assert page.wrong == []


def test_neither_key_nor_secret_stays_in_the_address_and_a_reload_works(page, served):
    assert page.url == f"{served.origin}/index.html"
    page.reload()
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=60_000)


def test_no_script_of_the_page_can_read_the_key(page, served):
    assert served.key not in page.evaluate("document.cookie")


def test_the_margin_moves_numbers_and_pictures(page):
    page.wait_for_function("() => window.trame.state.get('margin_source') === 'live'", polling=POLL_MS, timeout=60_000)
    numbers, pictures = page.inner_text(".lp-top table"), page.evaluate(SOURCES)
    page.evaluate("window.trame.state.set('margin_mm', 13.5)")
    page.wait_for_function(f"() => ({SOURCES})() !== {pictures!r}", polling=POLL_MS)
    page.wait_for_function(
        f"() => document.querySelector('.lp-top table').innerText !== {numbers!r}", polling=POLL_MS, timeout=10_000
    )


def test_a_click_on_a_resection_marks_its_row_and_changes_the_pictures(page):
    pictures = page.evaluate(SOURCES)
    page.locator(".lp-tab", has_text="Resections").click()
    page.locator("tr.lp-go:visible").first.click()
    page.wait_for_selector("tr.lp-on:visible")
    page.wait_for_function(f"() => ({SOURCES})() !== {pictures!r}", polling=POLL_MS)


def test_the_wheel_moves_through_the_slices(page):
    pictures = page.evaluate(SOURCES)
    box = page.locator(".lp-view").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 240)
    page.wait_for_function(f"() => ({SOURCES})() !== {pictures!r}", polling=POLL_MS)

"""The page in a real browser: opens by its address alone, asks nobody else, shows pictures, follows the slider.

Skipped without Chromium and playwright; nothing is downloaded. Not run in CI.
"""

from __future__ import annotations

import pytest
from browser_page import PICTURES, POLL_MS, WAIT_MS, WIDE, chromium, open_page

from conftest import Served

SOURCES = "() => [...document.querySelectorAll('.lp-view img')].map(i => i.src).join()"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, served: Served):
    context = browser.new_context(viewport=WIDE)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = open_page(context, served, live=False)
    page.asked = asked
    yield page
    context.close()


def test_all_four_views_are_drawn_and_nobody_else_is_asked(page, served):
    own = (served.origin, "data:", f"blob:{served.origin}")
    assert [url for url in page.asked if not url.startswith(own)] == []
    assert page.wrong == []


def test_neither_key_nor_secret_stays_in_the_address_and_a_reload_works(page, served):
    assert page.url == f"{served.origin}/index.html"
    page.reload()
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=WAIT_MS)


def test_no_script_of_the_page_can_read_the_key(page, served):
    assert served.key not in page.evaluate("document.cookie")


def test_the_margin_moves_numbers_and_pictures(page):
    page.wait_for_function("() => window.trame.state.get('margin_source') === 'live'", polling=POLL_MS, timeout=WAIT_MS)
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

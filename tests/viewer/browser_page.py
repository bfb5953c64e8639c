"""The page in Debian's Chromium, or in playwright's own where that is installed; for tests that skip without either."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Served

playwright = pytest.importorskip("playwright.sync_api")
Image = pytest.importorskip("PIL.Image")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
if CHROMIUM is None or os.environ.get("CI"):
    pytest.skip("no Chromium here, or in CI", allow_module_level=True)

POLL_MS = 300
"""Frames are too slow a clock in software rendering."""
WAIT_MS = 240_000
SETTLE_MS = 2000
"""What the page says of itself takes a moment to the server."""
PICTURES = "() => [...document.querySelectorAll('.lp-view img')].filter(i => i.naturalWidth > 50).length === 4"
WIDE = {"width": 1400, "height": 850}
SHOTS = "LIVERPLAN_SCREENSHOTS"
"""A folder; set, tests on phantoms keep the pictures of docs/viewer.md in it."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new"])
        yield browser
        browser.close()


def open_page(context: Any, served: Served, live: bool = True) -> Any:
    """A page of the viewer once its pictures are there; `page.wrong` collects what its scripts throw."""
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(f"{served.origin}/?key={served.key}")
    page.wait_for_function(PICTURES, polling=POLL_MS, timeout=WAIT_MS)
    if live:
        state(page, "margin_source === 'live'")
    return page


def state(page: Any, is_so: str) -> None:
    """Wait until an expression over the page's state holds; it begins with the name of a state variable."""
    name = is_so.split(" ")[0].split(".")[0].lstrip("!")
    page.wait_for_function(
        f"() => {{ const {name} = window.trame.state.get('{name}'); return {is_so}; }}",
        polling=POLL_MS,
        timeout=WAIT_MS,
    )


def get(page: Any, name: str) -> Any:
    return page.evaluate(f"window.trame.state.get('{name}')")


def tab(page: Any, title: str) -> None:
    page.locator(".lp-tab", has_text=title).first.click()


def view(page: Any, number: int) -> np.ndarray:
    """A view's pixels (rows, columns, 3): 0 axial, 1 coronal, 2 sagittal, 3 the 3D scene."""
    shot = page.locator(".lp-view").nth(number).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def middle(page: Any, number: int = 0) -> tuple[float, float]:
    box = page.locator(".lp-view").nth(number).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def stroke(page: Any, by: int, begins: tuple[float, float] | None = None) -> None:
    """A drag of the mouse in the axial slice, `by` pixels to the right; from the middle, or where it `begins`."""
    x, y = begins or middle(page)
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(x + by * step / 5, y)
        page.wait_for_timeout(150)
    page.mouse.up()


def outline(pixels: np.ndarray) -> np.ndarray:
    """Where a lesion's outline is (rows, columns)."""
    r, g, b = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.asarray((r > 180) & (g > 140) & (b < 110))


def yellow(pixels: np.ndarray) -> int:
    """Pixels of a lesion's outline."""
    return int(outline(pixels).sum())


def inside_lesion(page: Any) -> tuple[float, float]:
    """The middle of what is outlined as a lesion in the axial slice, on the page."""
    box = page.locator(".lp-view").first.bounding_box()
    rows, columns = np.nonzero(outline(view(page, 0)))
    return box["x"] + float(np.median(columns)), box["y"] + float(np.median(rows))


def drop(page: Any, *paths: Path) -> None:
    """Drop files and folders on the page as the browser itself does, so that it reads the folders."""
    session = page.context.new_cdp_session(page)
    at = {"x": 300, "y": 300, "data": {"items": [], "files": [str(p) for p in paths], "dragOperationsMask": 1}}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at})


def keep(page: Any, name: str) -> None:
    """A picture for the documentation, only when SHOTS asks for one."""
    folder = os.environ.get(SHOTS)
    if folder:
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        shot.thumbnail((1050, 1050))
        shot.quantize(128).save(Path(folder) / f"viewer-{name}.png", optimize=True)

"""A folder without any case in a real browser: the first scan is dropped, planned, and opens at the same address.

Skipped without Chromium; not run in CI.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import PICTURES, POLL_MS, SETTLE_MS, WAIT_MS, WIDE, chromium, drop, get, state

from conftest import Served, serving

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pacs"))

import pacs_case

import simple_case
from liverplan.io.writing import write_segmentation


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Served]:
    home = tmp_path / "cases"
    home.mkdir()
    with serving(home) as server:
        yield server


@pytest.fixture
def study(tmp_path: Path) -> Path:
    home = tmp_path / "study"
    drawn = simple_case.masks(simple_case.grid(pacs_case.SPACING_MM), pacs_case.LESIONS)
    pacs_case.write_series(home / "ct", simple_case.image(drawn.grid, drawn), 1)
    write_segmentation(drawn, home / "masks")
    return home


def test_the_first_scan_of_an_empty_folder_is_loaded_and_opens_in_the_same_page(empty: Served, study: Path) -> None:
    with chromium() as browser:
        page: Any = browser.new_context(viewport=WIDE).new_page()
        page.goto(f"{empty.origin}/?key={empty.key}")
        page.wait_for_selector(".lp-cases", timeout=WAIT_MS)
        assert "There is no case here yet" in page.inner_text(".lp")
        assert "Research use only" in page.inner_text("header")
        page.fill("input[name=load_name]", "first")
        page.wait_for_timeout(SETTLE_MS)
        drop(page, study)
        state(page, "load_note !== ''")
        assert get(page, "load_note") == "Planned as first."
        page.get_by_role("button", name="Open it").click()
        page.wait_for_function(PICTURES, polling=POLL_MS, timeout=WAIT_MS)
        state(page, "case_name === 'first'")
        state(page, "margin_source === 'live'")
        assert page.url.startswith(empty.origin), "the same port"
        report = json.loads((empty.case / "first" / "report.json").read_text(encoding="utf-8"))
        wide = report["limits"]["wide_margin_mm"]
        assert get(page, "margin_row") == next(row for row in report["margin_curve"] if row["margin_mm"] == wide)

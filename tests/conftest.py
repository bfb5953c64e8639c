"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the checkout; the test is skipped where there is none, and in CI."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if os.environ.get("CI") or not folder.is_dir():
        pytest.skip("the real scans are not here")
    return folder

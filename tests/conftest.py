"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every run there: a merge must not fail on luck. At a desk new ones are drawn each time.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the checkout; the test is skipped where there is none, and in CI."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if os.environ.get("CI") or not folder.is_dir():
        pytest.skip("the real scans are not here")
    return folder

"""The helpers of other tests, for these: a small patient, and writers of DICOM series and cuts."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for folder in (TESTS, TESTS / "io"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

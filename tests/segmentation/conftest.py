"""Converted networks of a test go to its own cache, never to the user's."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("liverplan.segmentation.openvino_engine.cache_folder", lambda: folder)
    return folder

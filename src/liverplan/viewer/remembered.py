"""How a case was looked at last, kept beside it, so that a restart begins where it was left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from liverplan.errors import LiverplanError
from liverplan.io.folder import write_json_atomic

FILE = ".view.json"
_MOST_BYTES = 20_000
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "tab": str,
    "window": str,
    "margin_mm": (int, float),
    "dark": bool,
    "who": str,
    "brush_mm": (int, float),
    "structure": str,
    "plane_on": bool,
    "plane_mm": (int, float),
    "plane_turn": (int, float),
    "plane_tilt": (int, float),
    "at_lps_mm": list,
}
"""What is kept, and as what."""
NAMES = tuple(name for name in _KINDS if name != "at_lps_mm")
"""Variables of the page."""


def recall(folder: Path) -> dict[str, Any]:
    """What was kept, as far as it is what it should be; {} where nothing was."""
    path = folder / FILE
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    kept: dict[str, Any] = {n: value for n, value in told.items() if isinstance(value, _KINDS.get(n, ()))}
    at: Any = kept.get("at_lps_mm")
    if at is not None and (len(at) != 3 or not all(isinstance(v, int | float) and abs(v) < 1e5 for v in at)):
        kept.pop("at_lps_mm")
    return kept


def remember(folder: Path, values: Mapping[str, Any]) -> None:
    """Keep it; a folder that cannot be written to is left alone."""
    kept = {name: value for name, value in values.items() if isinstance(value, _KINDS.get(name, ()))}
    with suppress(LiverplanError, ValueError):
        if folder.is_dir():
            write_json_atomic(folder / FILE, kept)

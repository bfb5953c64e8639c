"""Keyboard shortcuts: the page tells the key, the viewer does what the list on the page says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liverplan.corrections import BRUSH_MM, ERASE, PAINT
from liverplan.viewer.correcting import CROSS, CUT
from liverplan.viewer.page import TABS

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

_MARGIN_MM = 0.5


def pressed(viewer: Viewer, key: Any) -> None:
    """What a key does; nothing for any other."""
    state = viewer.state
    if key in ("ArrowUp", "ArrowDown"):
        viewer.slices[0].scrolled(1 if key == "ArrowUp" else -1)
    elif key in ("ArrowLeft", "ArrowRight"):
        state.margin_mm = viewer.margin_mm + (_MARGIN_MM if key == "ArrowRight" else -_MARGIN_MM)
    elif isinstance(key, str) and key.isdigit() and 1 <= int(key) <= len(TABS):
        state.tab = TABS[int(key) - 1]
    elif key in ("[", "]"):
        brush = state.brush_mm + (1.0 if key == "]" else -1.0)
        state.brush_mm = min(max(brush, BRUSH_MM[0]), BRUSH_MM[1])
    elif key in _TOOLS:
        state.tool = _TOOLS[key]
    elif key == "z":
        viewer.correcting.undo()
    elif key == "y":
        viewer.correcting.redo()
    elif key == "f":
        viewer.fit()
    elif key == "d":
        state.dark = not state.dark
    elif key == "?":
        state.keys_shown = not state.keys_shown
    elif key == "Escape":
        state.keys_shown, state.cases_shown, state.tool = False, False, CROSS


_TOOLS = {"c": CROSS, "p": PAINT, "e": ERASE, "m": CUT}

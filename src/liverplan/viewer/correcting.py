"""Masks corrected on the slices: tools, undo, the draft that survives a restart, and the recomputation.

What the page sends is a wish that `corrections.Edit` checks; the masks on disk change only by a recomputation.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.corrections import BRUSH_MM, ERASE, MARK, MERGE, PAINT, PAINTED, REMOVE, SPLIT, Edit, Editor, Patch
from liverplan.errors import InputError, LiverplanError
from liverplan.io.folder import write_json_atomic
from liverplan.report.slices import Plane
from liverplan.viewer.frames import to_page
from liverplan.viewer.opened import OpenCase
from liverplan.viewer.outlines import OUTLINED, Outlined
from liverplan.viewer.slicing import DRAG, PRESS
from liverplan.volume import FloatArray

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

DRAFT = "draft.json"
CROSS, CUT = "cross-hair", "plane"
TOOLS = {
    CROSS: "cross-hair",
    PAINT: "paint",
    ERASE: "erase",
    REMOVE: "remove a lesion (click it)",
    SPLIT: "split a lesion (click two places in it)",
    MERGE: "merge lesions (click both)",
    MARK: "change a vessel's tree (click it)",
    CUT: "drag the plane",
}
_CIRCLE = np.linspace(0.0, 2.0 * np.pi, 33)
_STEP = 0.25
"""A brush's way is kept in steps of this part of its radius."""


class Correcting:
    """The corrections of the open case."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._state = viewer, viewer.state
        self._editor: Editor | None = None
        self._case: OpenCase | None = None
        self._way: list[FloatArray] = []
        state = self._state
        state.tools = [{"value": value, "title": title} for value, title in TOOLS.items()]
        state.paintable = [{"value": s.value, "title": s.title} for s in PAINTED]
        state.tool, state.structure, state.brush_mm = CROSS, Structure.LESIONS.value, 6.0
        state.brush_least, state.brush_most = BRUSH_MM
        state.who = _user()
        state.edits, state.can_redo, state.edit_note = [], False, ""
        state.can_edit = False

    def hold(self, case: OpenCase) -> None:
        """Another case, with the draft that it was left with."""
        self._case, self._way = case, []
        self._state.edit_note = ""
        edits, note = _draft(case.folder)
        self._editor = Editor(case.segmentation.masks, case.grid)
        try:
            for edit in edits:
                self._editor.do(edit)
        except InputError as error:
            note = f"The draft of this case does not fit its masks any more and was left away: {error.what}."
            self._editor = Editor(case.segmentation.masks, case.grid)
        for structure in self._editor.masks:
            if self._editor.edits:
                self._redraw(structure)
        self._tell(note)
        self._state.can_edit = True

    def release(self) -> None:
        """No case: its masks are not there yet."""
        self._case, self._editor, self._way = None, None, []
        self._state.edits, self._state.can_redo, self._state.can_edit = [], False, False

    @property
    def edits(self) -> list[dict[str, Any]]:
        return [] if self._editor is None else [edit.to_json() for edit in self._editor.edits]

    # -- tools -----------------------------------------------------------------------------------------------------

    def used(self, plane: Plane, at: FloatArray, phase: str) -> bool:
        """The left button in a slice; False where the cross-hair is the tool."""
        tool = self._state.tool
        if tool not in (PAINT, ERASE, REMOVE, SPLIT, MERGE, MARK) or self._case is None:
            return False
        if tool in (PAINT, ERASE):
            self._brush(tool, plane, at, phase)
        elif phase == PRESS:
            self._way.append(at)
            if len(self._way) == (2 if tool in (SPLIT, MERGE) else 1):
                self._finish(tool, {})
            else:
                self._say("Now the second place.")
        return True

    def _brush(self, tool: str, plane: Plane, at: FloatArray, phase: str) -> None:
        assert self._case is not None
        radius = self._radius()
        if phase == PRESS:
            self._way = [at]
        elif phase == DRAG and self._way:
            moved = np.linalg.norm((at - self._way[-1]) * np.array(self._case.grid.spacing_mm))
            if moved < _STEP * radius:
                return
            self._way.append(at)
        view = next(v for v in self._viewer.slices if v.plane is plane)
        if phase in (PRESS, DRAG):
            view.stroke([_ring(plane, self._case, place, radius) for place in self._way])
            self._viewer.push([self._viewer.slices.index(view)])
            return
        view.stroke([])
        if self._way:
            self._finish(tool, {"radius_mm": radius, "axis": plane.across})

    def _finish(self, tool: str, more: Mapping[str, Any]) -> None:
        assert self._case is not None
        places = [[round(float(v), 3) for v in self._case.grid.to_world(place)] for place in self._way]
        self._way = []
        structure = self._state.structure
        if tool in (REMOVE, SPLIT, MERGE):
            structure = Structure.LESIONS.value
        self.edit({"what": tool, "structure": structure, "places_lps_mm": places, **more})

    def edit(self, told: Any) -> None:
        """One correction, as `Edit.to_json` writes it; who and when are set here."""
        if self._editor is None or self._viewer.revising.running:
            self._say("Wait until the masks are read, or the recomputation has ended.")
            return
        try:
            if not isinstance(told, Mapping):
                raise InputError("this is no correction", got="no object", wanted="an edit", do="Load the page again.")
            utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            who = str(self._state.who or "").strip()[:80] or _user()
            self._shown(self._editor.do(Edit.of_json({**told, "who": who, "utc": utc})))
        except InputError as error:
            self._say(f"{error.what[0].upper()}{error.what[1:]}: wanted {error.wanted}.")
            self._viewer.push(range(3))

    def undo(self) -> None:
        if self._editor is not None and not self._viewer.revising.running:
            self._shown(self._editor.undo())

    def redo(self) -> None:
        if self._editor is not None and not self._viewer.revising.running:
            self._shown(self._editor.redo())

    # -- what is shown and kept ------------------------------------------------------------------------------------

    def _shown(self, patches: tuple[Patch, ...]) -> None:
        for structure in {patch.structure for patch in patches}:
            self._redraw(structure)
        self._viewer.place()
        self._viewer.push(range(3))
        note = ""
        try:
            self._keep()
        except LiverplanError as error:
            note = f"The draft cannot be kept: {error.got}. Recompute before you close the program."
        self._tell(note)

    def _redraw(self, structure: Structure) -> None:
        assert self._editor is not None
        assert self._case is not None
        if structure in OUTLINED:
            mask = self._editor.masks[structure]
            self._viewer.outlines[structure.value] = Outlined.of(mask, self._case.grid, structure.info.rgb)

    def _keep(self) -> None:
        assert self._case is not None
        path = self._case.folder / DRAFT
        if self.edits:
            write_json_atomic(path, {"edits": self.edits})
        else:
            path.unlink(missing_ok=True)

    def _tell(self, note: str) -> None:
        assert self._editor is not None
        state = self._state
        state.edits = [
            f"{e.what} {e.structure.title.lower()}" + (f", {e.radius_mm:g} mm" if e.radius_mm else "")
            for e in self._editor.edits
        ]
        state.can_redo = self._editor.can_redo
        self._say(note)

    def _say(self, note: str) -> None:
        self._state.edit_note = note

    def _radius(self) -> float:
        told = self._state.brush_mm
        number = float(told) if isinstance(told, int | float) and told == told else 6.0
        return min(max(number, BRUSH_MM[0]), BRUSH_MM[1])


def _ring(plane: Plane, case: OpenCase, place: FloatArray, radius_mm: float) -> FloatArray:
    centre = to_page(plane, case.grid, case.grid.to_world(place))
    return np.asarray(centre + radius_mm * np.column_stack([np.cos(_CIRCLE), np.sin(_CIRCLE)]))


def _draft(folder: Path) -> tuple[list[Edit], str]:
    """The edits that were not computed yet, and a sentence where they cannot be read."""
    path = folder / DRAFT
    if not path.is_file():
        return [], ""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        edits = [Edit.of_json(edit) for edit in told["edits"]]
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return [], "The draft of this case cannot be read and was left away."
    return edits, f"{len(edits)} corrections from before are not computed yet."


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"

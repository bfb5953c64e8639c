"""A cut drawn on the liver in 3D: a line through clicked points, carried into the depth, measured as `--resection`.

Each point is carried straight along the direction from which it was clicked. So the cut goes where the surgeon looked:
a flat or bent wall while the view stays, a twisted one when it was turned between two clicks.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.errors import LiverplanError
from liverplan.io.meshes import write_stl
from liverplan.mesh import Mesh
from liverplan.report.figures import SPECIMEN_RGB
from liverplan.viewer import panel
from liverplan.viewer.cases import CASE_NAMES
from liverplan.viewer.cutting import MeasuredPlane, measure_given_part
from liverplan.viewer.outlines import Outlined
from liverplan.volume import FloatArray, Segmentation

if TYPE_CHECKING:
    from liverplan.plan import Prepared
    from liverplan.viewer.app import Viewer

TOOL = "draw"
FAR_MM = 350.0
"""How far the cut goes on beyond the points, along the line's ends and into the depth: beyond any liver."""
BETWEEN = 12
"""Steps of the curve between two points."""
NEAREST_MM = 2.0
"""A point nearer to the one before is a second click on the same place."""
MOST_POINTS = 40


@dataclass(frozen=True)
class Click:
    """A place on the liver's surface (LPS mm) and the unit direction from the eye to it."""

    at_lps_mm: FloatArray
    along_lps: FloatArray


def curve(points: FloatArray, steps: int = BETWEEN) -> FloatArray:
    """A smooth line (M, 3) through points (N, 3), N >= 2: centripetal Catmull-Rom, straight for two points."""
    ends = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(ends, axis=0), axis=1)))])
    found = [points[:1]]
    for n in range(1, len(points)):
        p, t = ends[n - 1 : n + 3], knots[n - 1 : n + 3]
        at = np.linspace(t[1], t[2], steps + 1)[1:, None]
        a = [((t[i + 1] - at) * p[i] + (at - t[i]) * p[i + 1]) / (t[i + 1] - t[i]) for i in range(3)]
        b = [((t[i + 2] - at) * a[i] + (at - t[i]) * a[i + 1]) / (t[i + 2] - t[i]) for i in range(2)]
        found.append(((t[2] - at) * b[0] + (at - t[1]) * b[1]) / (t[2] - t[1]))
    return np.concatenate(found)


def wall(clicks: Sequence[Click]) -> Mesh:
    """The surface through two clicks or more, far beyond the liver on all sides."""
    points = np.array([click.at_lps_mm for click in clicks])
    line = curve(points)
    share = np.linspace(0.0, len(clicks) - 1.0, len(line))
    directions = np.array([click.along_lps for click in clicks])
    along = np.stack([np.interp(share, np.arange(len(clicks)), directions[:, n]) for n in range(3)], axis=1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    line = np.concatenate([[_beyond(line[1], line[0], along[0])], line, [_beyond(line[-2], line[-1], along[-1])]])
    along = np.concatenate([along[:1], along, along[-1:]])
    vertices = np.concatenate([line - FAR_MM * along, line + FAR_MM * along])
    n = len(line)
    near = np.arange(n - 1)
    first = np.stack([near, near + 1, near + n], axis=1)
    second = np.stack([near + 1, near + 1 + n, near + n], axis=1)
    return Mesh(vertices, np.concatenate([first, second]).astype(np.int64))


def _beyond(before: FloatArray, end: FloatArray, along: FloatArray) -> FloatArray:
    """Straight on beyond the line's end, seen from where it was clicked."""
    onward = end - before
    onward = onward - (onward @ along) * along
    return np.asarray(end + FAR_MM * onward / max(float(np.linalg.norm(onward)), 1e-9))


def measure_drawn(
    ready: Prepared, name: str, sheet: Mesh, masks: Segmentation, report: Mapping[str, Any]
) -> MeasuredPlane:
    """What `--resection` with this surface reports. Raises InputError where it takes out nothing or everything."""
    from liverplan.io.resections import read_resections

    with tempfile.TemporaryDirectory(prefix="liverplan-cut.") as home:
        path = Path(home) / f"{name}.stl"
        write_stl(path, sheet)
        given = read_resections((path,), masks)[0]
    return measure_given_part(ready, replace(given, specimen=given.specimen[ready.box]), report)


class Drawn:
    """The cut that is being drawn on the open case."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._state = viewer, viewer.state
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._clicks: list[Click] = []
        self._busy = False
        state = self._state
        state.drawn_points, state.drawn_row, state.drawn_note, state.drawn_busy = 0, None, "", False
        state.drawn_name = "my_cut"

    def hold(self) -> None:
        """Another case: nothing is drawn."""
        self._clicks = []
        self._show()
        self._state.drawn_row, self._state.drawn_note = None, ""

    def clicked(self, across: Any, down: Any) -> None:
        """A click in the 3D view, at these parts of its width and height; counts while the tool is chosen."""
        told = [v for v in (across, down) if isinstance(v, int | float) and 0.0 <= v <= 1.0]
        if self._state.tool != TOOL or len(self._clicks) >= MOST_POINTS or len(told) != 2:
            return
        found = self._viewer.space.liver_at(*told)
        if found is None:
            return
        at_lps_mm, along_lps = found
        if self._clicks and np.linalg.norm(self._clicks[-1].at_lps_mm - at_lps_mm) < NEAREST_MM:
            return
        self._clicks.append(Click(at_lps_mm, along_lps))
        self._changed()

    def undo(self) -> None:
        """Take the last point back."""
        self._clicks = self._clicks[:-1]
        self._changed()

    def clear(self) -> None:
        self._clicks = []
        self._changed()

    def _show(self) -> None:
        points = np.array([click.at_lps_mm for click in self._clicks]).reshape(-1, 3)
        self._viewer.space.drawn(points, curve(points) if len(points) > 1 else points)
        with self._state as state:
            state.drawn_points = len(points)

    def _changed(self) -> None:
        self._show()
        self._viewer.push([3])
        if len(self._clicks) < 2:
            with self._state as state:
                state.drawn_row, state.drawn_note = None, ""
            self._viewer.show_specimen(None)
            self._viewer.space.specimen(None, self._viewer.case.grid, None)
            self._viewer.push()
            return
        self.measure()

    def measure(self) -> None:
        """Measure what is drawn, if it is a cut; called again once the case is prepared."""
        if len(self._clicks) >= 2 and not self._busy:
            self._busy = True
            asyncio.get_running_loop().create_task(self._measure())

    async def _measure(self) -> None:
        """The cut as it is now; again when points came meanwhile."""
        loop, viewer, measured = asyncio.get_running_loop(), self._viewer, 0
        try:
            while len(self._clicks) >= 2 and len(self._clicks) != measured:
                ready, case, clicks = viewer.prepared, viewer.case, tuple(self._clicks)
                if ready is None:
                    self._tell("The case is still being prepared; the cut is measured as soon as it is.")
                    return
                with self._state as state:
                    state.drawn_busy = True
                measured = len(clicks)
                try:
                    found: MeasuredPlane | str = await loop.run_in_executor(
                        self._worker, measure_drawn, ready, TOOL, wall(clicks), case.segmentation, case.report
                    )
                except LiverplanError as error:
                    found = f"{error.what}: {error.got}. {error.do}"
                if viewer.case is case:
                    self._tell(found)
        finally:
            self._busy = False
            with self._state as state:
                state.drawn_busy = False

    def _tell(self, found: MeasuredPlane | str) -> None:
        viewer = self._viewer
        with self._state as state:
            if isinstance(found, str):
                state.drawn_row, state.drawn_note = None, found
                viewer.show_specimen(None)
            else:
                state.drawn_row, state.drawn_note = panel.live_resection(found.row), ""
                viewer.show_specimen(Outlined(found.specimen, found.grid, found.start, SPECIMEN_RGB))
                viewer.space.specimen(found.specimen, found.grid, None)
        viewer.push()

    def save_now(self) -> None:
        """Start `save` and return: the page must be able to cancel it."""
        self._saving = asyncio.get_running_loop().create_task(self.save())

    async def save(self) -> None:
        """As a resection of the report, by planning again with it."""
        name = str(self._state.drawn_name or "")
        refused = ""
        if not CASE_NAMES.fullmatch(name):
            refused = "A name of letters, digits, _ and - is needed, at most 40."
        elif self._viewer.case.resection(name) is not None:
            refused = f"There is a resection named {name} already."
        elif self._busy or self._state.drawn_row is None:
            refused = "Draw a cut that takes a part of the liver out, and wait until it is measured."
        if refused:
            with self._state as state:
                state.drawn_note = refused
            return
        with tempfile.TemporaryDirectory(prefix="liverplan-cut.") as home:
            path = Path(home) / f"{name}.stl"
            write_stl(path, wall(self._clicks))
            await self._viewer.revising.run((path,))

"""A plane that is moved through the liver, measured live as `--resection` would measure it, and saved as one."""

from __future__ import annotations

import asyncio
import json
import math
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan.errors import InputError
from liverplan.report.figures import SPECIMEN_RGB
from liverplan.report.slices import Plane
from liverplan.viewer import panel
from liverplan.viewer.correcting import CUT
from liverplan.viewer.frames import to_page
from liverplan.viewer.outlines import Outlined
from liverplan.viewer.slicing import RELEASE
from liverplan.volume import BoolArray, FloatArray, Grid

if TYPE_CHECKING:  # loaded when a plane is first measured, not before the first picture
    from liverplan.plan import Prepared
    from liverplan.protocol import Limits
    from liverplan.quality import Quality
    from liverplan.resection.given import GivenResection
    from liverplan.viewer.app import Viewer

FARTHEST_MM = 120.0
"""How far from the liver's middle a plane may be put."""
NAME = "plane"
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_LONG_MM = 1000.0


@dataclass(frozen=True)
class Pose:
    """position_mm along the normal from the liver's middle; turn_deg about the patient's long axis, tilt_deg up; at
    0, 0 the normal points to the patient's left."""

    position_mm: float = 0.0
    turn_deg: float = 0.0
    tilt_deg: float = 0.0

    @property
    def normal_lps(self) -> FloatArray:
        turn, tilt = math.radians(self.turn_deg), math.radians(self.tilt_deg)
        return np.array([math.cos(tilt) * math.cos(turn), math.cos(tilt) * math.sin(turn), math.sin(tilt)])

    def point_lps_mm(self, middle_lps_mm: FloatArray) -> FloatArray:
        return np.asarray(middle_lps_mm + self.position_mm * self.normal_lps)


@dataclass(frozen=True)
class MeasuredPlane:
    """row: as in `resections` of report.json. specimen: (i, j, k) on `grid`, a part of the image's from `start`."""

    row: Mapping[str, Any]
    specimen: BoolArray
    grid: Grid
    start: tuple[int, int, int]


def measure_plane(
    ready: Prepared, name: str, point_lps_mm: FloatArray, normal_lps: FloatArray, report: Mapping[str, Any]
) -> MeasuredPlane:
    """What `--resection` with this plane reports. Raises InputError where it takes out nothing or everything."""
    from liverplan.resection.given import GivenResection, Otherwise, half_space, require_part, side_taken_out

    work = ready.work
    lesions = work.lesion_labels > 0
    positive = half_space(work.grid, point_lps_mm, normal_lps)
    specimen, note = side_taken_out(positive, work.liver, lesions, Otherwise.POSITIVE, work.grid.voxel_ml)
    require_part(specimen, work.liver, "the plane", "Move it into the liver.")
    return measure_given_part(ready, GivenResection(name, specimen, "plane", (note,)), report)


def measure_given_part(ready: Prepared, given: GivenResection, report: Mapping[str, Any]) -> MeasuredPlane:
    """What a resection does that was cut to the prepared case's box (its specimen is on `ready.work.grid`)."""
    from liverplan.plan import measure_given
    from liverplan.record import rounded
    from liverplan.record_resections import row as resection_row

    limits, quality = limits_of(report), quality_of(report)
    found = measure_given(ready, given, limits, quality)
    row = rounded(resection_row(found, ready.lesion_map.lesions, quality.liver_complete))
    i, j, k = (part.start for part in ready.box)
    return MeasuredPlane(row, given.specimen, ready.work.grid, (i, j, k))


def limits_of(report: Mapping[str, Any]) -> Limits:
    """The protocol's numbers that the case was planned with."""
    from liverplan.protocol import Limits

    told = report["limits"]
    return Limits(float(told["wide_margin_mm"]), float(told["flr_percent"]), 0)


def quality_of(report: Mapping[str, Any]) -> Quality:
    """What verdicts depend on, as the plan found it."""
    from liverplan.quality import Quality

    failed = {check["check"] for check in report["quality"] if check["status"] == "fail"}
    return Quality((), "slice_thickness" not in failed, "liver_coverage" not in failed, None)


class Cutting:
    """The plane of the open case."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._state = viewer, viewer.state
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._wanted: Pose | None = None
        self._busy = False
        self._pose = Pose()
        state = self._state
        state.plane_on, state.plane_name, state.plane_row, state.plane_note = False, "my_plane", None, ""
        state.plane_far, state.plane_busy = FARTHEST_MM, False
        state.plane_mm, state.plane_turn, state.plane_tilt = 0.0, 0.0, 0.0

    def hold(self) -> None:
        """Another case: no plane."""
        self._wanted = None
        self._state.plane_on, self._state.plane_row, self._state.plane_note = False, None, ""
        self.draw()

    @property
    def middle_lps_mm(self) -> FloatArray:
        """Of the liver's box: half-way between its outermost voxels."""
        ready = self._viewer.prepared
        assert ready is not None
        box = ready.work.liver_box
        centre = [(part.start + part.stop - 1) / 2.0 for part in box]
        return ready.work.grid.to_world(centre)

    def changed(self, **_state: Any) -> None:
        """A slider was moved, or the plane switched on or off."""
        state = self._state
        self._pose = Pose(
            _number(state.plane_mm, FARTHEST_MM), _number(state.plane_turn, 180.0), _number(state.plane_tilt, 90.0)
        )
        if not state.plane_on:
            state.plane_row, state.plane_note = None, ""
            self._viewer.show_specimen(None)
            self._viewer.space.specimen(None, self._viewer.case.grid, None)
            self.draw()
            self._viewer.push()
            return
        if self._viewer.prepared is None:
            state.plane_note = "The case is still being prepared; the plane is measured as soon as it is."
            return
        self.draw()
        self._viewer.push(range(3))
        self._ask()

    def used(self, plane: Plane, at: FloatArray, phase: str) -> bool:
        """Dragged in a slice: the plane goes through the pointer."""
        if self._state.tool != CUT:
            return False
        if not self._state.plane_on or self._viewer.prepared is None or phase == RELEASE:
            return True
        point = self._viewer.case.grid.to_world(at)
        position = float((point - self.middle_lps_mm) @ self._pose.normal_lps)
        self._state.plane_mm = round(min(max(position, -FARTHEST_MM), FARTHEST_MM), 1)
        self.changed()
        self._state.flush()
        return True

    def draw(self) -> None:
        """The plane's line on every slice."""
        for view in self._viewer.slices:
            view.cut(self._line(view.plane, view.index) if self._state.plane_on else None)

    def _line(self, plane: Plane, index: int) -> FloatArray | None:
        if self._viewer.prepared is None:
            return None
        grid, normal = self._viewer.case.grid, self._pose.normal_lps
        across = grid.affine[:3, plane.across] / np.linalg.norm(grid.affine[:3, plane.across])
        along = np.cross(normal, across)
        if np.linalg.norm(along) < 1e-3:
            return None
        start = np.zeros(3)
        start[plane.across] = index
        offset = float((grid.to_world(start) - self._pose.point_lps_mm(self.middle_lps_mm)) @ across)
        in_slice = normal - (normal @ across) * across
        # The plane's point, moved within the plane to the slice.
        point = self._pose.point_lps_mm(self.middle_lps_mm) + offset * (
            across - (normal @ across) / (in_slice @ in_slice) * in_slice
        )
        along = along / np.linalg.norm(along)
        return to_page(plane, grid, [point - _LONG_MM * along, point + _LONG_MM * along])

    # -- measuring -------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._wanted = self._pose
        # Numbers on the page are of an earlier place until the measurement has caught up.
        self._state.plane_busy = True
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().create_task(self._measure())

    async def _measure(self) -> None:
        """The plane where it is now; again when it moved meanwhile."""
        loop = asyncio.get_running_loop()
        try:
            while (pose := self._wanted) is not None and (ready := self._viewer.prepared) is not None:
                self._wanted = None
                point, report = pose.point_lps_mm(self.middle_lps_mm), self._viewer.case.report
                try:
                    found: MeasuredPlane | str = await loop.run_in_executor(
                        self._worker, measure_plane, ready, NAME, point, pose.normal_lps, report
                    )
                except InputError as error:
                    found = f"{error.what}: {error.got}. {error.do}"
                if ready is self._viewer.prepared and self._state.plane_on:
                    self._tell(found)
                    # The surface takes longer than the numbers: only where the plane came to rest.
                    if self._wanted is None and isinstance(found, MeasuredPlane):
                        self._viewer.space.specimen(found.specimen, found.grid, None)
                        self._viewer.push([3])
        finally:
            self._busy = False
            with self._state as state:
                state.plane_busy = False

    def _tell(self, found: MeasuredPlane | str) -> None:
        with self._state as state:
            if isinstance(found, str):
                state.plane_row, state.plane_note = None, found
                self._viewer.show_specimen(None)
            else:
                state.plane_row, state.plane_note = panel.live_resection(found.row), ""
                specimen = Outlined(found.specimen, found.grid, found.start, SPECIMEN_RGB)
                self._viewer.show_specimen(specimen)
        self._viewer.push(range(3))

    def save_now(self) -> None:
        """Start `save` and return: the page must be able to cancel it."""
        self._saving = asyncio.get_running_loop().create_task(self.save())

    def _say(self, note: str) -> None:
        with self._state as state:
            state.plane_note = note

    async def save(self) -> None:
        """As a resection of the report, by planning again with it."""
        name = str(self._state.plane_name or "")
        if not _NAMES.fullmatch(name):
            self._say("A name of letters, digits, _ and - is needed, at most 40.")
            return
        if self._viewer.case.resection(name) is not None:
            self._say(f"There is a resection named {name} already.")
            return
        if self._busy:
            self._say("Wait until the plane is measured where it is now.")
            return
        if self._viewer.prepared is None or not self._state.plane_on:
            self._say("Put the plane into the liver first.")
            return
        pose = self._pose
        with tempfile.TemporaryDirectory(prefix="liverplan-plane.") as home:
            path = Path(home) / f"{name}.json"
            point = pose.point_lps_mm(self.middle_lps_mm)
            content = {"point_lps_mm": point.tolist(), "normal_lps": pose.normal_lps.tolist()}
            path.write_text(json.dumps(content), encoding="utf-8")
            await self._viewer.revising.run((path,))


def _number(told: Any, most: float) -> float:
    """A number of the page within +- most; 0 for what is none."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return 0.0
    return min(max(float(told), -most), most)

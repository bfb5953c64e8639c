"""What happens when the page is used: one open case, its views, and the state that the page shows.

The page's state comes from the browser and is not trusted: names are looked up in the report, numbers are clipped, and
no text of the page becomes a path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverplan import RESEARCH_USE_ONLY
from liverplan.anatomy import Structure
from liverplan.errors import InputError, LiverplanError
from liverplan.report.figures import SPECIMEN_RGB
from liverplan.report.rendering import SHELL
from liverplan.report.slices import window_of
from liverplan.viewer import form, keys, panel, remembered
from liverplan.viewer.cases import listed
from liverplan.viewer.correcting import Correcting
from liverplan.viewer.cutting import Cutting
from liverplan.viewer.drawn import Drawn
from liverplan.viewer.frames import PLANES, Plane
from liverplan.viewer.loading import Loading
from liverplan.viewer.margins import MOST_MM, STEP_MM, Margins, Rebuilt, rebuild
from liverplan.viewer.opened import OpenCase, open_scan, with_masks
from liverplan.viewer.outlines import Outlined, anatomy
from liverplan.viewer.page import TABS
from liverplan.viewer.recompute import Revising
from liverplan.viewer.region import Region
from liverplan.viewer.sending import Sender
from liverplan.viewer.slicing import REGION, SPECIMEN, SliceView
from liverplan.viewer.space import CUT, SpaceView
from liverplan.viewer.targets import Target, lesion_target, targets
from liverplan.volume import FloatArray

if TYPE_CHECKING:
    from liverplan.plan import Prepared

WINDOWS = {"liver": (0.0, 200.0), "abdomen": (-150.0, 250.0), "vessels": (0.0, 400.0), "bone": (-250.0, 1250.0)}
"""Presets for CT, HU shown as black and white; `auto` is the report's own window and the only one for MR."""
AUTO = "auto"
POLL_S = 0.25
WAIT_FOR_PAGE_S = 8.0
REMEMBER_S = 1.0
UNREAD, UNREADABLE = "Masks are being read: nothing is outlined yet", "Masks cannot be read: nothing is outlined"
"""What a view says that shows a case without its masks."""


class Viewer:
    """The open case and what is shown of it."""

    def __init__(self, server: Any, cases: Sequence[Path], first: OpenCase, home: Path) -> None:
        self.server, self.state, self.cases = server, server.state, tuple(cases)
        self.slices = [SliceView(plane, self._moved, self._drawn) for plane in PLANES]
        self.space = SpaceView()
        self.sender = Sender(server, [*(view.window for view in self.slices), self.space.window])
        self._worker, self._writer = ThreadPoolExecutor(max_workers=1), ThreadPoolExecutor(max_workers=1)
        self._progress = (0.0, "")
        self._drawing = False
        self._seen = asyncio.Event()
        self.state.margin_most, self.state.margin_step = MOST_MM, STEP_MM
        self.state.cases = listed(self.cases)
        self.state.cases_shown, self.state.case_search, self.state.keys_shown, self.state.dark = False, "", False, False
        self.state.notice = RESEARCH_USE_ONLY
        self.state.case_index = 0
        self.state.saved, self.state.refused = "", ""
        self.state.compare_one, self.state.compare_other, self.state.compared = "", "", []
        self.revising, self.correcting, self.cutting = Revising(self), Correcting(self), Cutting(self)
        self.drawn = Drawn(self)
        self.loading, self.state.windows_open = Loading(self, home), 0
        self._remembering: asyncio.TimerHandle | None = None
        self._hold(first)

    # -- a case ----------------------------------------------------------------------------------------------------

    def _hold(self, case: OpenCase) -> None:
        """Put a case on the page and into the views."""
        self.case = case
        self.region: Region | None = None
        self.margins = Margins(case.report["margin_curve"])
        self.targets = targets(case.report)
        self.target: Target | None = None
        self.outlines: dict[str, Outlined | None] = {}
        self._specimen: Outlined | None = None
        self.at = self._start()
        self._shown = frozenset({SHELL})
        self._margin_mm = float(case.report["limits"]["wide_margin_mm"])
        self.prepared: Prepared | None = None
        self.space.clear()
        self.state.shown, self.state.layers, self.state.unread = [], [], UNREAD
        self._open_views()
        self._publish()
        self.cutting.hold()
        self.drawn.hold()
        self.correcting.release()
        state, wide = self.state, float(case.report["limits"]["wide_margin_mm"])
        state.case_name, state.case_note = case.name, case.note
        state.target, state.resection = "", ""
        state.windows = [AUTO, *(WINDOWS if case.report["input"]["modality"] == "CT" else ())]
        state.window = AUTO
        state.margin_wide, state.margin_mm, self._margin_mm = wide, wide, wide
        state.margin_source, state.margin_warning, state.margin_stage, state.margin_progress = "stored", "", "", 0.0
        self._tell_margin()
        self._recall()
        if case.segmentation.masks:
            self._fill(case)

    def _fill(self, case: OpenCase) -> None:
        """The masks of the case that is held: outlines, surfaces, corrections."""
        self.case, self.state.unread = replace(self.case, segmentation=case.segmentation), ""
        for name in self.outlines.keys() - {s.value for s in case.segmentation.masks}:
            self.outlines[name] = None
        self.outlines |= anatomy(case.segmentation)
        self.space.open(case.folder)
        self.space.witnesses(self._lines())
        names = list(self.space.names)
        self.state.shown = names
        self.state.layers = [{"title": panel.layer_title(name), "value": name} for name in names]
        self.correcting.hold(self.case)
        self._window(str(self.state.window))
        self._place()

    async def _load(self) -> bool:
        """Read the masks after the first picture; False where they cannot be read."""
        case = self.case
        if case.segmentation.masks:
            return True
        with self.state as state:
            state.margin_stage = "reading the masks"
        try:
            full = await asyncio.to_thread(with_masks, case)
        except LiverplanError as error:
            with self.state as state:
                state.unread = UNREADABLE
                state.margin_stage, state.case_note = "", f"The masks cannot be shown: {error.what}. {error.do}"
            return False
        if self.case.folder != case.folder:
            return False
        with self.state:
            self._fill(full)
        self.push()
        return True

    @property
    def margin_mm(self) -> float:
        return self._margin_mm

    def _recall(self) -> None:
        """As the case was left, where that still makes sense."""
        kept, state = remembered.recall(self.case.folder), self.state
        if kept.get("tab") not in TABS:
            kept.pop("tab", None)
        if kept.get("window") not in state.windows:
            kept.pop("window", None)
        if kept.get("structure") not in [s["value"] for s in state.paintable]:
            kept.pop("structure", None)
        for name in remembered.NAMES:
            if name in kept:
                state[name] = kept[name]
        if "at_lps_mm" in kept:
            self.at = self._index_of(kept["at_lps_mm"])
            self._place()
        self._window(str(state.window))
        self.on_margin(state.margin_mm)

    def remember(self, **_state: Any) -> None:
        """Keep how the case is looked at, once nothing has changed for a while."""
        loop = asyncio.get_running_loop()
        if self._remembering is not None:
            self._remembering.cancel()
        self._remembering = loop.call_later(REMEMBER_S, self._remember)

    def _remember(self) -> None:
        at = [round(float(v), 3) for v in self.case.grid.to_world(self.at)]
        told = {name: self.state[name] for name in remembered.NAMES}
        remembered.remember(self.case.folder, {**told, "at_lps_mm": at})

    def key(self, key: Any) -> None:
        """A key of the keyboard."""
        with self.state:
            keys.pressed(self, key)

    def _publish(self) -> None:
        """What stands in report.json, on the page."""
        self.state.panel = panel.panel(self.case.report, self.targets)
        self.state.form = form.form(self.case.report)
        self.state.record = form.values(self.case.report)
        names = [row["name"] for row in self.case.report["resections"]]
        self.state.compare_one, self.state.compare_other = [*names, "", ""][:2]
        self.on_compare()

    def _start(self) -> FloatArray:
        """Where the cross-hair stands first: at the first lesion, or in the middle of the scan."""
        lesions = self.case.report["lesions"]
        if lesions:
            return self._index_of(lesions[0]["centroid_lps_mm"])
        return (np.array(self.case.grid.shape) - 1) / 2.0

    def _open_views(self) -> None:
        image = None if self.case.volume is None else self.case.volume.array
        for view in self.slices:
            view.open(self.case.grid, image)
        self._window(AUTO)
        self._place()

    # -- places ----------------------------------------------------------------------------------------------------

    def jump(self, target_id: str) -> None:
        """All views to a target of the list."""
        target = self.targets.get(str(target_id))
        if target is None:
            return
        self.target, self.state.target = target, target.id
        self.at = self._index_of(target.at_lps_mm)
        self._place()
        for view in self.slices:
            view.focus()
        self.space.witnesses(self._lines())
        self.space.focus(target)
        self.push()

    def choose(self, name: str) -> None:
        """Show a resection in all views; its own name again, or one that is not in the report, shows none."""
        row = self.case.resection(str(name))
        if row is None or self.state.resection == name:
            self.state.resection, mask, cut = "", None, None
        else:
            mask = self.case.specimen(row["name"])
            # The name alone: a report cannot point to files elsewhere.
            cut = self.case.folder / "meshes" / f"cut_{Path(row['name']).name}.stl"
            self.state.resection = row["name"]
        self._specimen = None if mask is None else Outlined.of(mask > 0, self.case.grid, SPECIMEN_RGB)
        self.show_specimen(self._specimen)
        self.space.specimen(mask, self.case.grid, cut)
        self.push()

    def stand(self, view: str) -> None:
        """Look at the whole liver from a standard side."""
        if view in ("anterior", "posterior", "right", "left", "superior", "inferior"):
            self.space.stand(view)
            self.push([3])

    def fit(self) -> None:
        for view in self.slices:
            view.fit()
        self.push(range(3))

    def _moved(self, at: FloatArray) -> None:
        """The cross-hair was moved in one of the slices."""
        self.at = at
        self.remember()
        self._place()
        self.push(range(3))

    def _drawn(self, plane: Plane, at: FloatArray, phase: str) -> bool:
        """The left button in a slice, offered to the tools."""
        with self.state:
            return self.correcting.used(plane, at, phase) or self.cutting.used(plane, at, phase)

    def show_specimen(self, specimen: Outlined | None) -> None:
        """Outline what a resection takes out, on the slices."""
        self._specimen = specimen
        for view in self.slices:
            view.outline(SPECIMEN, specimen)

    def place(self) -> None:
        """Draw the slices through the cross-hair again."""
        self._place()

    def _place(self) -> None:
        self.at = np.clip(self.at, 0.0, np.array(self.case.grid.shape) - 1.0)
        for view in self.slices:
            view.place(self.at, {**self.outlines, SPECIMEN: self._specimen, REGION: self._ring(view)})
            ends = None if self.target is None else self.target.ends_lps_mm
            view.witness(ends, "" if self.target is None else self.target.tag)
        self.cutting.draw()

    def _index_of(self, at_lps_mm: Sequence[float]) -> FloatArray:
        return self.case.grid.to_index(at_lps_mm)

    def _lines(self) -> list[Target]:
        """The chosen distance, or what limits each lesion."""
        if self.target is not None:
            return [self.target]
        return [self.targets[lesion_target(int(lesion["id"]))] for lesion in self.case.report["lesions"]]

    # -- how it looks ----------------------------------------------------------------------------------------------

    def on_window(self, window: str, **_state: Any) -> None:
        self._window(str(window))
        self.push(range(3))

    def on_dark(self, dark: bool, **_state: Any) -> None:
        self.space.dim(bool(dark))
        self.push([3])

    def on_shown(self, shown: Sequence[str], **_state: Any) -> None:
        if not isinstance(shown, list):
            return
        self._shown = frozenset(str(name) for name in shown)
        for name in self.space.names:
            self.space.show(name, name in self._shown or name in (SPECIMEN, CUT))
        for view in self.slices:
            view.outline(REGION, self._ring(view))
        self.push()

    def _window(self, name: str) -> None:
        if self.case.volume is None:
            return
        found = WINDOWS.get(name) or window_of(self.case.volume, self.case.segmentation.mask(Structure.LIVER))
        for view in self.slices:
            view.window_level(*found)

    # -- the margin ------------------------------------------------------------------------------------------------

    def on_margin(self, margin_mm: Any, **_state: Any) -> None:
        """Numbers at once, pictures as soon as there is time for them."""
        told = _clipped(margin_mm)
        self._margin_mm = self._margin_mm if told is None else told
        if told != margin_mm or told is None:
            self.state.margin_mm = self._margin_mm
        self._tell_margin()
        if self.region is not None and not self._drawing:
            self._drawing = True
            asyncio.get_running_loop().create_task(self._draw_region())

    def _tell_margin(self) -> None:
        row = self.margins.row(self._margin_mm)
        self.state.margin_row, self.state.margin_rows = row, panel.margin_rows(row)

    async def _draw_region(self) -> None:
        """The shell and the rings at the slider's margin; again when the slider moved meanwhile."""
        drawn = None
        try:
            while (margin := self._margin_mm) != drawn:
                region = self.region
                if region is None:
                    return
                surface = await asyncio.get_running_loop().run_in_executor(self._worker, region.surface, margin)
                if region is not self.region:
                    return
                self.space.shell(surface)
                for view in self.slices:
                    view.outline(REGION, self._ring(view, margin))
                self.push()
                drawn = margin
        finally:
            self._drawing = False

    def _ring(self, view: SliceView, margin_mm: float | None = None) -> Outlined | None:
        """R(m) on a view's slice; None until the field is there, outside the liver, and where nothing is removed."""
        margin = self._margin_mm if margin_mm is None else margin_mm
        if self.region is None or SHELL not in self._shown:
            return None
        return self.region.on_slice(self.case.grid, view.plane, round(float(self.at[view.plane.across])), margin)

    async def rebuild(self) -> None:
        """Masks, then the loss field in a thread of its own, with progress on the page; then the numbers are live."""
        if not await self._load():
            return
        case, loop = self.case, asyncio.get_running_loop()
        self._progress = (0.0, "")
        work = loop.run_in_executor(self._worker, self._rebuilt, case)
        while not work.done():
            if case.folder != self.case.folder:
                return
            with self.state as state:
                state.margin_progress, state.margin_stage = 100.0 * self._progress[0], self._progress[1]
            await asyncio.wait([work], timeout=POLL_S)
        if case.folder != self.case.folder:
            return
        with self.state as state:
            state.margin_stage = ""
            try:
                self.margins, differs = work.result()
            except Exception as error:
                # Whatever a thread meets must reach the page: otherwise it would promise live numbers for ever.
                state.margin_warning = f"The field could not be rebuilt, only stored margins have numbers: {error}"
                return
            rebuilt = self.margins.rebuilt
            assert rebuilt is not None
            self.region, self.prepared = Region(rebuilt), rebuilt.prepared
            self.cutting.changed()
            self.drawn.measure()
            state.margin_source = "live"
            if differs:
                state.margin_warning = (
                    f"The masks in this folder give other numbers than report.json, by up to {differs:.3g} mL or %: "
                    "they were changed after planning, or planned by another version. Plan the case again."
                )
            self.on_margin(self._margin_mm)

    def _rebuilt(self, case: OpenCase) -> tuple[Margins, float]:
        def tell(fraction: float, stage: str) -> None:
            self._progress = (fraction, stage)

        rebuilt: Rebuilt = rebuild(case.segmentation, tell)
        margins = Margins(case.report["margin_curve"], rebuilt)
        tell(1.0, "comparing with report.json")
        return margins, margins.differs()

    # -- the form --------------------------------------------------------------------------------------------------

    async def save(self, given: Any) -> None:
        """Decide again with the form, and keep it with the case. Reports take seconds: the page stays usable."""
        case = self.case
        self.state.saved, self.state.refused = "Saving, and rendering the reports ...", ""
        self.state.flush()
        try:
            report = await asyncio.get_running_loop().run_in_executor(self._writer, form.save, case.folder, given)
        except LiverplanError as error:
            self.state.saved = ""
            self.state.refused = f"{error.what}: got {error.got}; wanted {error.wanted}. {error.do}"
            return
        if self.case.folder == case.folder:
            self.case = self.case.with_report(report)
            self._publish()
        self.state.saved = "Saved; report.json, report.html, report.pdf and the tables are up to date."

    def on_compare(self, **_state: Any) -> None:
        """Two resections side by side."""
        one, other = str(self.state.compare_one), str(self.state.compare_other)
        self.state.compared = panel.compared(self.case.report, one, other)

    def show_revision(self, case: OpenCase) -> None:
        """The case as it was planned again, at the place that was looked at."""
        at = self.at
        self._hold(case)
        self.at = at
        self._place()

    # -- the server ------------------------------------------------------------------------------------------------

    def on_case(self, case_index: Any, **_state: Any) -> None:
        """Another case of the folder."""
        if not isinstance(case_index, int) or not 0 <= case_index < len(self.cases):
            return
        if self.cases[case_index].resolve() != self.case.folder:
            asyncio.get_running_loop().create_task(self._change_case(case_index))

    async def _change_case(self, number: int) -> None:
        folder = self.cases[number]
        with self.state as state:
            state.case_note = f"Opening {folder.name} ..."
        with self.state as state:
            try:
                case = await asyncio.to_thread(open_scan, folder)
            except InputError as error:
                state.case_note = f"{folder.name}: {error.what}. {error.do}"
                return
            if state.case_index != number:
                return
            self._hold(case)
        self.push()
        await self.rebuild()

    def ready(self, **_state: Any) -> None:
        self.sender.ready()
        asyncio.get_running_loop().create_task(self._rebuild_after_first_picture())

    def connected(self, *_: Any, **__: Any) -> None:
        """A page was opened: without a push its views stay blank until something moves."""
        asyncio.get_running_loop().create_task(self._welcome())

    def count_windows(self, more: int) -> None:
        """Windows of the browser that show this server's page: they share one state, and are told so."""
        with self.state as state:
            state.windows_open = max(int(state.windows_open) + more, 0)

    async def _welcome(self) -> None:
        await self.sender.push_first()
        self._seen.set()

    async def _rebuild_after_first_picture(self) -> None:
        """The field takes the interpreter for seconds: the first pictures come before it, if a page is opened soon."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._seen.wait(), WAIT_FOR_PAGE_S)
        await self.rebuild()

    def push(self, which: Iterable[int] | None = None) -> None:
        """Send pictures of some views (numbers 0 to 2 the slices, 3 the 3D scene), or of all."""
        self.sender.push(which)


def _clipped(margin_mm: Any) -> float | None:
    """A margin of the page in mm; None for what is no number."""
    if isinstance(margin_mm, bool) or not isinstance(margin_mm, int | float) or margin_mm != margin_mm:
        return None
    return min(max(float(margin_mm), 0.0), MOST_MM)

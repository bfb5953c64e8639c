"""A new revision of a case, made by a process of its own (`liverplan.revise`)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverplan.errors import LiverplanError
from liverplan.viewer.child import Child
from liverplan.viewer.opened import OpenCase, open_case

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

PROGRAM = "liverplan.revise"
CANCELLED = "cancelled; the case is as it was"


class Revising:
    """The open case's revision: what the page's buttons start and cancel."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._child = viewer, Child(PROGRAM, CANCELLED)
        viewer.state.job_stage, viewer.state.job_progress, viewer.state.job_note = "", 0.0, ""

    @property
    def running(self) -> bool:
        return self._child.running

    def start(self) -> None:
        """Start `run` and return: the page must be able to cancel it."""
        self._task = asyncio.get_running_loop().create_task(self.run())

    async def run(self, planes: Sequence[Path] = ()) -> None:
        """Plan again on the corrected masks, and with further planes, in a process of its own; then show it."""
        viewer = self._viewer
        case, edits = viewer.case, viewer.correcting.edits
        refused = self._refused(case, bool(edits or planes))
        if refused:
            self._end(refused)
            return
        self._tell(0.0, "starting")
        assert case.image is not None
        failed = await self._revised(case.folder, case.image, edits, planes)
        if failed:
            self._end(f"Not computed: {failed}")
            return
        try:
            opened = await asyncio.to_thread(open_case, case.folder, case.image)
        except LiverplanError as error:
            self._end(f"Computed, but it cannot be shown: {error.what}. {error.do}")
            return
        if viewer.case.folder == case.folder:
            with viewer.state:
                viewer.show_revision(opened)
        self._end("Computed; the revision before is kept.")
        viewer.push()
        await viewer.rebuild()

    async def _revised(
        self, folder: Path, image: Path, edits: Sequence[Mapping[str, Any]], planes: Sequence[Path]
    ) -> str:
        """Make the revision; "" when it is there, else why it is not."""
        asked = {"folder": str(folder), "image": str(image), "edits": list(edits), "planes": [str(p) for p in planes]}
        try:
            return await self._child.run(asked, self._tell)
        finally:
            for left in folder.parent.glob(f".{folder.name}.*.revision"):
                shutil.rmtree(left, ignore_errors=True)

    async def cancel(self) -> None:
        """End the computation; the case stays as it is."""
        await self._child.cancel()

    def _refused(self, case: OpenCase, changed: bool) -> str:
        if self.running:
            return "A revision is being computed already."
        if case.image is None:
            return "The scan is needed to plan again: start the program with --image."
        return "" if changed else "Nothing was changed since the case was planned."

    def _tell(self, fraction: float, stage: str) -> None:
        with self._viewer.state as state:
            state.job_progress, state.job_stage, state.job_note = round(100.0 * fraction, 1), stage, ""

    def _end(self, note: str) -> None:
        with self._viewer.state as state:
            state.job_note = note
            if not self.running:
                state.job_stage = ""

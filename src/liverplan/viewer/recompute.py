"""A new revision of a case, made by a process of its own (`liverplan.revise`): progress, the end, cancelling."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverplan.errors import LiverplanError
from liverplan.viewer.opened import OpenCase, open_case

if TYPE_CHECKING:
    from liverplan.viewer.app import Viewer

PROGRAM = "liverplan.revise"
POLITE_S = 10.0
"""How long a cancelled process may take to clean up."""
CANCELLED = "cancelled; the case is as it was"
Tell = Callable[[float, str], None]


class Recompute:
    """At most one revision at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = False

    @property
    def running(self) -> bool:
        return self._process is not None

    async def run(
        self, folder: Path, image: Path, edits: Sequence[Mapping[str, Any]], planes: Sequence[Path], tell: Tell
    ) -> str:
        """Make the revision; "" when it is there, else why it is not."""
        if self._process is not None:
            return "a revision is being computed already"
        self._cancelled = False
        asked = {"folder": str(folder), "image": str(image), "edits": list(edits), "planes": [str(p) for p in planes]}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._process = process
        try:
            return await self._followed(process, asked, tell)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = None
            for left in folder.parent.glob(f".{folder.name}.*.revision"):
                shutil.rmtree(left, ignore_errors=True)

    async def cancel(self) -> None:
        """End the process; the case stays as it is."""
        process, self._cancelled = self._process, True
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), POLITE_S)

    async def _followed(self, process: asyncio.subprocess.Process, asked: Mapping[str, Any], tell: Tell) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        # The pipe stays open: its end would tell the process that this one is gone.
        process.stdin.write((json.dumps(asked) + "\n").encode())
        await process.stdin.drain()
        refused, done = "", False
        async for line in process.stdout:
            told = _told(line)
            refused, done = str(told.get("refused", refused)), bool(told.get("done", done))
            if "fraction" in told:
                tell(float(told["fraction"]), str(told["stage"]))
        status = await process.wait()
        if done and status == 0:
            return ""
        if self._cancelled:
            return CANCELLED
        return refused or f"the computation ended with status {status}; the case is as it was"


def _told(line: bytes) -> Mapping[str, Any]:
    """A line of the process; what is no JSON is some library's chatter."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


class Revising:
    """The open case's revision: what the page's buttons start and cancel."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._recompute = viewer, Recompute()
        viewer.state.job_stage, viewer.state.job_progress, viewer.state.job_note = "", 0.0, ""

    @property
    def running(self) -> bool:
        return self._recompute.running

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
        failed = await self._recompute.run(case.folder, case.image, edits, planes, self._tell)
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

    async def cancel(self) -> None:
        """End the computation; the case stays as it is."""
        await self._recompute.cancel()

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

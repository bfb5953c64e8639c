"""A scan loaded by the page, or from below the folder of cases: received, planned in a process of its own, listed.

Everything lies below one hidden folder until the plan is whole; then the scan moves to `scans/` and the case beside the
other cases. Cancelling, refusing and failing remove that folder.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from liverplan.errors import InputError, LiverplanError, ResourceError, UnreadableInput
from liverplan.io.folder import writing
from liverplan.viewer.cases import CASE_NAMES, listed
from liverplan.viewer.child import Child
from liverplan.viewer.received import CHUNK_BYTES, LIMITS, Limits, Received, linked, require_room


class Holder(Protocol):
    """What the loaded cases are listed in: the viewer, or the page before there is any case."""

    state: Any
    cases: tuple[Path, ...]


PROGRAM = "liverplan.intake"
TOKEN = "X-Liverplan-Token"
"""A header that only the page's own script can set: it is told the value through the websocket."""
SCANS = "scans"
CANCELLED = "cancelled; nothing of it was kept"
_PREFIX, _SUFFIX = ".load-", ".partial"
_ABANDONED_S = 24 * 3600.0
_ENVELOPE_BYTES = 1 << 20
_TELL_S = 0.3


class Loading:
    """What the page loads; one scan at a time. root: the folder that the cases lie in."""

    def __init__(self, viewer: Holder, root: Path, limits: Limits = LIMITS) -> None:
        self._viewer, self._root, self._limits = viewer, root, limits
        self._child = Child(PROGRAM, CANCELLED)
        self._busy = self._cancelled = False
        self._said = self._since = 0.0
        self.token = secrets.token_urlsafe(24)
        state = viewer.state
        state.load_token, state.load_name, state.load_path, state.load_masks = self.token, "", "", ""
        state.load_stage, state.load_progress, state.load_note, state.load_bad = "", 0.0, "", False
        state.load_steps, state.load_new = [], -1
        _remove_abandoned(root)

    # -- the two ways in -------------------------------------------------------------------------------------------

    async def receive(self, request: Any) -> Any:
        """Files of a multipart request, as they come; answers once they are all here, and plans them then."""
        from aiohttp import web

        if not secrets.compare_digest(request.headers.get(TOKEN, "").encode(), self.token.encode()):
            return web.Response(status=403, text="403: files are taken from the viewer's page only\n")
        if self._busy:
            return web.Response(status=409, text="409: a scan is being loaded already\n")
        home: Path | None = None
        try:
            home = self._begin("receiving the files")
            received = Received(home, self._limits)
            await self._received(request, received)
            if received.packed is None:
                image, masks = received.image(), received.masks()
                asked: dict[str, Any] = {"image": str(image), "masks": str(masks) if masks else None}
            else:
                asked = {"packed": str(received.packed)}
        except (LiverplanError, ConnectionError, web.HTTPException, ValueError) as error:
            refused = _words(error)
            self._end(home, CANCELLED if self._cancelled else refused)
            status = 507 if isinstance(error, ResourceError) else 400
            # What was not read yet is not wanted: the connection ends with the answer.
            return web.Response(status=status, text=f"{status}: {refused}\n", headers={"Connection": "close"})
        except BaseException:
            self._end(home, CANCELLED)
            raise
        self._task = asyncio.get_running_loop().create_task(self._plan(home, asked))
        return web.Response(text="received\n")

    def start_path(self, *_: Any) -> None:
        """Load what the page's path fields name, below the folder of cases."""
        if self._busy:
            return
        home: Path | None = None
        try:
            home = self._begin("looking for the scan")
            image = linked(home, self._root, str(self._viewer.state.load_path), "given")
            told = str(self._viewer.state.load_masks or "")
            masks = linked(home, self._root, told, "masks") if told.strip() else None
        except LiverplanError as error:
            self._end(home, _words(error))
            return
        asked = {"image": str(image), "masks": str(masks) if masks else None}
        self._task = asyncio.get_running_loop().create_task(self._plan(home, asked))

    async def cancel(self) -> None:
        """End it, wherever it is."""
        self._cancelled = True
        await self._child.cancel()

    # -- receiving and planning ------------------------------------------------------------------------------------

    async def _received(self, request: Any, received: Received) -> None:
        expected = request.content_length or 0
        if expected > self._limits.total_bytes + _ENVELOPE_BYTES:
            received.counted(expected)
        require_room(self._root, expected)
        async for part in await request.multipart():
            with received.opening(str(part.filename or "")) as sink:
                while chunk := await part.read_chunk(CHUNK_BYTES):
                    if self._cancelled:
                        raise ConnectionError(CANCELLED)
                    if sink is not None:
                        await asyncio.to_thread(sink.write, chunk)
                    self._tell(received.bytes / max(expected, 1), "receiving the files")

    async def _plan(self, home: Path, asked: dict[str, Any]) -> None:
        """Plan what is in `home`, and put it among the cases."""
        failed = CANCELLED
        try:
            name = self._name()
            told = {"home": str(home), "name": name, **asked}
            failed = CANCELLED if self._cancelled else await self._child.run(told, self._tell)
            if not failed:
                self._put(home, name)
        except LiverplanError as error:
            failed = _words(error)
        finally:
            self._end(home, failed)

    def _put(self, home: Path, name: str) -> None:
        """Rename the scan and the case into their places, and list the case."""
        with writing(self._root):
            (self._root / SCANS).mkdir(exist_ok=True)
            for scan in (home / "scan").iterdir():
                scan.rename(self._root / SCANS / scan.name)
            (home / "out").rename(self._root / name)
        viewer = self._viewer
        viewer.cases = (*viewer.cases, self._root / name)
        with viewer.state as state:
            state.cases, state.load_new, state.load_name = listed(viewer.cases), len(viewer.cases) - 1, ""

    def _name(self) -> str:
        """The name that was typed, when it is one and free; else one made of the time."""
        told = str(self._viewer.state.load_name or "").strip()
        if CASE_NAMES.fullmatch(told) and told.lower() != SCANS and not (self._root / told).exists():
            if not any((self._root / SCANS).glob(f"{told}*")):
                return told
            raise UnreadableInput(
                "this name is taken", got=told, wanted="a name that no scan has", do="Type another name."
            )
        if told:
            raise UnreadableInput(
                "this is no name for a new case",
                got=told[:60],
                wanted="letters, digits, _ and -, at most 40, and not a name that is taken",
                do="Type another name, or leave it empty.",
            )
        return f"case-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"

    # -- what the page is told -------------------------------------------------------------------------------------

    def _begin(self, stage: str) -> Path:
        """A hidden folder to receive into. Raises InputError for a wrong name, OutputError, ResourceError."""
        self._busy, self._cancelled, self._said = True, False, 0.0
        with self._viewer.state as state:
            state.load_steps, state.load_note, state.load_bad, state.load_new = [], "", False, -1
        self._tell(0.0, stage)
        self._name()
        with writing(self._root):
            return Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=self._root))

    def _tell(self, fraction: float, stage: str) -> None:
        """Progress; each stage stays on the page with the seconds that it took."""
        state, now = self._viewer.state, time.monotonic()
        steps = list(state.load_steps)
        new = not steps or steps[-1]["title"] != stage
        if not new and now - self._said < _TELL_S:
            return
        self._said = now
        with state:
            if new:
                if steps:
                    steps[-1] = {**steps[-1], "seconds": round(now - self._since, 1)}
                self._since = now
                state.load_steps = [*steps, {"title": stage, "seconds": None}]
            state.load_stage, state.load_progress = stage, round(100.0 * min(fraction, 1.0), 1)

    def _end(self, home: Path | None, failed: str) -> None:
        """Nothing of it stays but what was put in its place."""
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)
        self._busy = False
        with self._viewer.state as state:
            state.load_stage, state.load_progress, state.load_bad = "", 0.0, bool(failed)
            state.load_note = f"Not loaded: {failed}" if failed else f"Planned as {self._viewer.cases[-1].name}."


def _words(error: Exception) -> str:
    if isinstance(error, InputError | ResourceError):
        return f"{error.what}: got {error.got}; wanted {error.wanted}. {error.do}"
    return "the files did not arrive whole"


def _remove_abandoned(root: Path) -> None:
    """What a server that was killed left behind, a day ago or longer."""
    for folder in root.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)

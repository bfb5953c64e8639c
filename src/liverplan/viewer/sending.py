"""Pictures to the page, until the last one has arrived.

VTK encodes pictures beside; trame asks for a late one once or twice and then gives up, so that the page may keep the
picture before the last. Here it is asked for until it was sent. A page that has just been opened is blank until the
first push.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

AGAIN_S = 0.03
GIVE_UP_S = 5.0
_BEFORE_FIRST_S, _ONCE_MORE_S = 0.5, 2.0
"""After connecting: when the page has said how large its views are is not told."""


class Sender:
    """The remote views of the page, by number, and VTK's own delivery of their pictures."""

    def __init__(self, server: Any, windows: Sequence[Any]) -> None:
        self._server, self._windows = server, tuple(windows)
        self._views: list[Any] = []
        self._delivery: Any = None
        self._waiting: set[int] = set()
        self._sending: asyncio.Task[None] | None = None

    def add(self, view: Any) -> None:
        """The page's remote view of the next window."""
        self._views.append(view)

    def ready(self) -> None:
        """Call once the server runs."""
        protocols = self._server.protocol.getLinkProtocols()
        self._delivery = next((p for p in protocols if hasattr(p, "push_render")), None)
        if self._delivery is not None:
            # The end of a drag or of the wheel: its last picture is late as well.
            self._delivery.app.AddObserver("EndInteractionEvent", lambda *_: self.push(()))

    def push(self, which: Iterable[int] | None = None) -> None:
        """Draw and send some views, or all, as soon as there is time; a view that waits already is drawn once."""
        self._waiting |= set(range(len(self._views)) if which is None else which)
        if self._delivery is not None and (self._sending is None or self._sending.done()):
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def push_first(self) -> None:
        """For a page that was opened just now; ends when all views were sent once."""
        await asyncio.sleep(_BEFORE_FIRST_S)
        self.push()
        if self._sending is not None:
            await self._sending
        self._again = asyncio.get_running_loop().call_later(_ONCE_MORE_S, self.push)

    async def _send(self) -> None:
        """One view after the other, the slices first, so that what is drawn leaves before the next is drawn."""
        left = int(GIVE_UP_S / AGAIN_S)
        while (late := self._late()) or self._waiting:
            if self._waiting:
                number = min(self._waiting)
                self._waiting.discard(number)
                self._views[number].update()
                left = int(GIVE_UP_S / AGAIN_S)
                await asyncio.sleep(0)
                continue
            await asyncio.sleep(AGAIN_S)
            for window in late:
                self._delivery.push_render(str(self._delivery.get_global_id(window)))
            left -= 1
            if left <= 0:
                return

    def _late(self) -> list[Any]:
        """The windows whose last picture is still being encoded."""
        return [window for window in self._windows if self._delivery.app.GetHasImagesBeingProcessed(window)]

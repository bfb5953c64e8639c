"""A long computation in a process of its own: progress, the end, cancelling."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

POLITE_S = 10.0
"""How long a cancelled process may take to clean up."""
Tell = Callable[[float, str], None]


class Child:
    """At most one process at a time of a program that takes its task as a line of JSON and answers in such lines:
    {fraction, stage}, {refused} or {done}. program: a module to run."""

    def __init__(self, program: str, cancelled: str) -> None:
        self._program, self._said_cancelled = program, cancelled
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = False

    @property
    def running(self) -> bool:
        return self._process is not None

    async def run(self, asked: Mapping[str, Any], tell: Tell) -> str:
        """Run to the end; "" when it is done, else why it is not."""
        if self._process is not None:
            return "it is being computed already"
        self._cancelled = False
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # A group of its own: what it started itself (pictures, networks) ends with it.
            start_new_session=True,
        )
        self._process = process
        try:
            return await self._followed(process, asked, tell)
        finally:
            _end_group(process.pid)
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = None

    async def cancel(self) -> None:
        """End the process: politely, so that it cleans up, and by force when that takes too long."""
        process, self._cancelled = self._process, True
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), POLITE_S)
        except TimeoutError:
            _end_group(process.pid)

    async def _followed(self, process: asyncio.subprocess.Process, asked: Mapping[str, Any], tell: Tell) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        # The pipe stays open: its end would tell the process that this one is gone.
        with suppress(ConnectionError):
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
            return self._said_cancelled
        return refused or f"the computation ended with status {status}"


def _end_group(pid: int) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _told(line: bytes) -> Mapping[str, Any]:
    """A line of the process; what is no JSON is some library's chatter."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}

"""`liverplan dicom listen` as a process of its own, to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_COMMAND = (sys.executable, "-c", "from liverplan.cli import main; main()", "dicom", "listen", "--state")


class ReceiverProcess:
    """Starts on the same folder again and again."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self._options = options
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> int:
        """Returns the port, once it can be sent to."""
        self._process = subprocess.Popen(
            [*_COMMAND, str(self.state), *self._options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening as LIVERPLAN@127.0.0.1:"), line
        return int(line.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: nothing can be tidied up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=60)
        return self._process.returncode

    def counts(self) -> dict[str, int]:
        return dict(self.status()["counts"])

    def status(self) -> Any:
        """What `--status --json` says while the receiver runs, or after it."""
        done = subprocess.run(
            [*_COMMAND, str(self.state), "--status", "--json"], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        path = self.state / "events.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        return [e for e in map(json.loads, lines) if e["event"] == name]

    def wait_for(self, met: Callable[[], bool], limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not met():
            assert time.monotonic() < end, f"{self.status()} {self.events('planning failed')}"
            time.sleep(0.1)

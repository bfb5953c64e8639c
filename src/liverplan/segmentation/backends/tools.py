"""Programs of the user's own, run as they are installed: found, run without a shell, their failure told in words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from liverplan.errors import ModelError, ResourceError

_LINES = 3
_NO_MEMORY = ("out of memory", "outofmemory", "cannot allocate memory")


def installed_tool(name: str) -> Path | None:
    """The program on PATH, or beside the Python that runs this."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def require_tool(name: str, install: str) -> Path:
    """The program. Raises ModelError with how to install it when it is absent."""
    found = installed_tool(name)
    if found is None:
        raise ModelError(
            f"{name} is not installed",
            got=f"no program {name} on PATH",
            wanted="the tool as its makers publish it",
            do=f"Install it with: {install}",
        )
    return found


def run_tool(command: Sequence[str | Path]) -> str:
    """Run a program to its end and return what it said. Raises ModelError, or ResourceError when memory ran out."""
    words = [str(word) for word in command]
    # Their failure is told below, in the words of the program.
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )
    said = f"{done.stdout}\n{done.stderr}".strip()
    if done.returncode == 0:
        return said
    name = Path(command[0]).name
    last = " / ".join(line.strip() for line in said.splitlines()[-_LINES:]) or f"status {done.returncode}"
    if any(words in said.lower() for words in _NO_MEMORY):
        raise ResourceError(f"{name} ran out of memory", got=last, wanted="more memory", do="Try --device cpu.")
    raise ModelError(
        f"{name} failed",
        got=last,
        wanted="a segmentation",
        do=f"Run it by itself to see what it says: {' '.join(map(str, command))}",
    )

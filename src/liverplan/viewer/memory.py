"""How the server's memory is handed out, where the system's library lets a program say so."""

from __future__ import annotations

import ctypes
import sys

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""
ARENAS = 2


def share_arenas() -> bool:
    """Let all threads take memory from the same few places; False where the system has no such setting.

    glibc gives every thread an arena of its own, up to eight per core, and case after case leaves pieces in another
    one: twenty cases of 512 x 512 x 300 held 1.84 GB without this and rising.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS))
    except (OSError, AttributeError):  # musl has none
        return False

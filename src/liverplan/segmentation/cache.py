"""Files that can be made again: kept in the user's cache folder, sealed with their own sha256.

Nothing here ever fails: a file that is absent, damaged or unreadable is None, one that cannot be written is not kept.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

_SEAL_BYTES = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """Where converted networks are kept: on Linux $XDG_CACHE_HOME/liverplan, or ~/.cache/liverplan."""
    return platformdirs.user_cache_path("liverplan", appauthor=False) / "networks"


def read_sealed(path: Path) -> bytes | None:
    """The content of a sealed file, or None when it is absent, unreadable or not what was written."""
    try:
        sealed = path.read_bytes()
    except OSError:
        return None
    seal, content = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    return content if hashlib.sha256(content).digest() == seal else None


def write_sealed(path: Path, content: bytes) -> bool:
    """Write a sealed file in one step, so that another process never reads half of it; False when it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    except OSError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        return False
    return True

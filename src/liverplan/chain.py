"""Logs that prove themselves: every line of JSON holds its number and the hash of the line before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

FIRST = "0" * 64
"""What the first line of a log holds for the hash of the line before it."""


def line_sha256(line: str) -> str:
    """The hash that the next line holds as `previous_sha256`."""
    return hashlib.sha256(line.encode("utf-8")).hexdigest()


def last_sha256(lines: Sequence[str]) -> str:
    """The hash of the last line, which covers those of all before it."""
    return line_sha256(lines[-1]) if lines else FIRST


def first_broken(lines: Sequence[str]) -> int | None:
    """The first line (from 1) that does not follow the one before it; None when all do."""
    previous = FIRST
    for number, line in enumerate(lines, start=1):
        try:
            told = json.loads(line)
        except ValueError:
            return number
        if not isinstance(told, dict) or told.get("previous_sha256") != previous or told.get("number") != number:
            return number
        previous = line_sha256(line)
    return None

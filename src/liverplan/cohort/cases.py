"""One case of a cohort: where its files lie and what was stated about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from liverplan.cohort.remote import Location, Remote

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""An id is a folder's name on any system: no separators, no leading dot, no blanks."""
_ID = re.compile(ID_PATTERN, re.ASCII)
ID_WANTED = "1 to 100 of A-Z a-z 0-9 . _ - that start with a letter or a digit"


@dataclass(frozen=True)
class CohortCase:
    """A row of the table. Paths are absolute; a `Remote` is fetched when its turn comes. clinical: the record as JSON,
    None where nothing was stated."""

    id: str
    image: Location
    segmentation: Location | None = None
    resections: tuple[Location, ...] = ()
    modality: str | None = None
    series_uid: str | None = None
    margin_mm: float | None = None
    clinical: Mapping[str, Any] | None = None

    @property
    def inputs(self) -> tuple[tuple[str, Location], ...]:
        """Role and path of everything that is read."""
        masks = () if self.segmentation is None else (("segmentation", self.segmentation),)
        own = tuple((f"resection{number}", path) for number, path in enumerate(self.resections, start=1))
        return (("image", self.image), *masks, *own)

    @property
    def is_remote(self) -> bool:
        """Whether anything has to be fetched."""
        return any(isinstance(place, Remote) for _, place in self.inputs)


def is_id(text: str) -> bool:
    """Whether a text can be an id: it names a folder, and cannot leave the one it is in."""
    return _ID.fullmatch(text) is not None and not text.endswith(".")

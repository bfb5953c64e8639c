"""Elements of FHIR resources as plain values. What is absent or of the wrong type reads as empty, never as a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

Resource: TypeAlias = Mapping[str, Any]
_DATE_TIME = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2})(T\d{2}:\d{2}.*)?)?)?", re.ASCII)
_LOCAL = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")


def mapping(value: object) -> Resource:
    """A JSON object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: object) -> list[Resource]:
    """The objects of a JSON list, or none."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def text(resource: Resource, key: str) -> str:
    """A text, or ""."""
    value = resource.get(key)
    return value if isinstance(value, str) else ""


def codings(concept: object) -> list[tuple[str, str]]:
    """(system, code) of each coding of a CodeableConcept."""
    return [(text(one, "system"), text(one, "code")) for one in mappings(mapping(concept).get("coding"))]


def reference(value: object) -> str:
    """TYPE/ID of a Reference without server and version, a urn as it is, or ""."""
    written = text(mapping(value), "reference")
    local = _LOCAL.fullmatch(written)
    return local.group(1) if local else written


@dataclass(frozen=True)
class When:
    """A FHIR dateTime of any precision. start, end: the span that it covers, in UTC where no offset is given.

    day: the calendar day as written, None where only the month or the year is known.
    """

    text: str
    start: datetime
    end: datetime
    day: date | None


def when(written: str) -> When | None:
    """The time that a FHIR date, dateTime or instant says, or None where it is none."""
    parts = _DATE_TIME.fullmatch(written)
    if parts is None:
        return None
    year, month, day, clock = parts.groups()
    try:
        return _span(written, int(year), month, day, clock)
    except (ValueError, OverflowError):
        return None


def _span(written: str, year: int, month: str | None, day: str | None, clock: str | None) -> When:
    start = datetime(year, int(month or 1), int(day or 1), tzinfo=UTC)
    if clock:
        moment = datetime.fromisoformat(written)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return When(written, moment, moment, start.date())
    if day:
        return When(written, start, start + timedelta(days=1, microseconds=-1), start.date())
    after = datetime(
        year + (1 if not month or int(month) == 12 else 0), int(month) % 12 + 1 if month else 1, 1, tzinfo=UTC
    )
    return When(written, start, after - timedelta(microseconds=1), None)

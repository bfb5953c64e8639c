"""Values of a clinical record, each with who stated it, when, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from liverplan.clinical.fields import RECORD_FIELDS
from liverplan.quantity import Unknown

FieldValue: TypeAlias = bool | int | float | str | date


@dataclass(frozen=True)
class Provenance:
    """Who stated a value, on what date, and where it was found. None where it was not said."""

    date: date | None = None
    by: str | None = None
    source: str | None = None

    def __bool__(self) -> bool:
        return any((self.date, self.by, self.source))

    def __str__(self) -> str:
        """ "by Dr Weber, 2026-05-01, from the discharge letter"; "" when nothing was said."""
        parts = (
            f"by {self.by}" if self.by else "",
            self.date.isoformat() if self.date else "",
            f"from {self.source}" if self.source else "",
        )
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Lab:
    """A laboratory value in the unit in which it was given. Never converted before it is judged."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


@dataclass(frozen=True)
class Entry:
    """One field that was given. value: Unknown where somebody stated that it is not known. unit: of numbers."""

    name: str
    value: FieldValue | Unknown
    unit: str | None = None
    provenance: Provenance = Provenance()

    def with_provenance(self, text: str) -> str:
        """`text`, and in brackets who said so."""
        return f"{text} ({self.provenance})" if self.provenance else text


@dataclass(frozen=True)
class Entries:
    """The fields that were given, in the vocabulary's order."""

    entries: tuple[Entry, ...] = ()

    def entry(self, name: str) -> Entry | None:
        """The entry of a field, or None where it is blank. Raises KeyError for a field that does not exist."""
        if name not in RECORD_FIELDS:
            raise KeyError(f"no field is called {name!r}")
        return next((entry for entry in self.entries if entry.name == name), None)

    def known(self, name: str) -> Entry | None:
        """The entry of a field that has a value; None where it is blank or stated as unknown."""
        entry = self.entry(name)
        return None if entry is None or isinstance(entry.value, Unknown) else entry

    def number(self, name: str) -> float | None:
        """A number in the field's unit; None where unknown. For labs use `lab`."""
        value = self._value(name)
        return None if value is None or isinstance(value, (bool, str, date)) else value

    def lab(self, name: str) -> Lab | None:
        """A laboratory value with its unit; None where unknown."""
        entry, value = self.known(name), self.number(name)
        return None if entry is None or value is None or entry.unit is None else Lab(value, entry.unit)

    def flag(self, name: str) -> bool | None:
        """true or false; None where unknown."""
        value = self._value(name)
        return value if isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        """A text or a choice; None where unknown."""
        value = self._value(name)
        return value if isinstance(value, str) else None

    def day(self, name: str) -> date | None:
        """A date; None where unknown."""
        value = self._value(name)
        return value if isinstance(value, date) else None

    def _value(self, name: str) -> FieldValue | None:
        entry = self.known(name)
        return None if entry is None or isinstance(entry.value, Unknown) else entry.value

"""Child-Pugh points, score and class, with bounds where items are missing. Nothing is assumed normal.

| item | 1 point | 2 points | 3 points |
|---|---|---|---|
| bilirubin mg/dL | < 2.0 | 2.0 to 3.0 | > 3.0 |
| bilirubin umol/L | < 34 | 34 to 51 | > 51 |
| albumin g/dL | > 3.5 | 2.8 to 3.5 | < 2.8 |
| albumin g/L | > 35 | 28 to 35 | < 28 |
| INR | < 1.7 | 1.7 to 2.3 | > 2.3 |
| prothrombin time, s prolonged | < 4 | 4 to 6 | > 6 |
| ascites | none | mild | moderate or severe |
| encephalopathy | none | grade 1 or 2 | grade 3 or 4 |

Class A: 5 or 6 points, B: 7 to 9, C: 10 to 15. Source: the project's clinical reference, section 5.1 (MSD, Gut, CCJM).
Every value is judged in the unit in which it was given: 34 umol/L are 1.99 mg/dL, and the table prints both limits.
Variants that exist and are not used here: albumin 3.0 in place of 2.8 g/dL (Harrison), bilirubin 50 in place of
51 umol/L, higher bilirubin limits in primary biliary cholangitis. A value within 2 % of a limit is flagged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from liverplan.clinical.entries import Entries, Entry
from liverplan.clinical.fields import RECORD_FIELDS, with_unit
from liverplan.quantity import Quantity, Unknown

Grade: TypeAlias = Literal["A", "B", "C"]

NEAR_LIMIT = 0.02
"""Relative distance to a limit that is flagged: rounding and the conversion between units can cross it."""
_ROUNDING = 1e-9
MAX_A, MAX_B = 6, 9
"""Most points of class A and of class B."""
COAGULATION = ("inr", "pt_prolongation_s")
"""Either of them serves as the third item, not both."""

_RISING: Mapping[tuple[str, str], tuple[float, float]] = {
    ("bilirubin", "mg/dL"): (2.0, 3.0),
    ("bilirubin", "umol/L"): (34.0, 51.0),
    ("inr", "ratio"): (1.7, 2.3),
    ("pt_prolongation_s", "s"): (4.0, 6.0),
}
"""1 point below the first limit, 3 above the second."""
_FALLING: Mapping[tuple[str, str], tuple[float, float]] = {
    ("albumin", "g/dL"): (2.8, 3.5),
    ("albumin", "g/L"): (28.0, 35.0),
}
"""1 point above the second limit, 3 below the first."""
_ASCITES = {"none": 1, "mild": 2, "moderate_or_severe": 3}
_ENCEPHALOPATHY = (1, 2, 2, 3, 3)


@dataclass(frozen=True)
class Item:
    """One of the five items. low, high: the points that it may count. near: the limit that the value lies close to."""

    name: str
    low: int
    high: int
    says: str
    near: str = ""
    missing: bool = False


@dataclass(frozen=True)
class ChildPugh:
    """The five items and what they add up to."""

    items: tuple[Item, ...]

    @property
    def low(self) -> int:
        return sum(item.low for item in self.items)

    @property
    def high(self) -> int:
        return sum(item.high for item in self.items)

    @property
    def missing(self) -> tuple[str, ...]:
        """Items that are not recorded."""
        return tuple(item.name for item in self.items if item.missing)

    @property
    def near(self) -> tuple[str, ...]:
        """Sentences about values within 2 % of a limit."""
        return tuple(item.near for item in self.items if item.near)

    @property
    def coagulation_differs(self) -> bool:
        """True where INR and prothrombin time are both recorded and give different points."""
        return any(item.low != item.high and not item.missing for item in self.items)

    @property
    def score(self) -> Quantity:
        """The points, with bounds. The value is the worst case: what is open never counts in the patient's favour."""
        return Quantity(float(self.high), float(self.low), float(self.high))

    @property
    def grade(self) -> Grade | Unknown:
        """The class, where no completion of the record can change it."""
        lowest, highest = _class(self.low), _class(self.high)
        if lowest == highest:
            return lowest
        why = [f"not recorded: {', '.join(self.missing)}"] if self.missing else []
        why += ["INR and prothrombin time disagree"] if self.coagulation_differs else []
        return Unknown(f"{self.low} to {self.high} points, class {lowest} to {highest}; {'; '.join(why)}")

    @property
    def note(self) -> str:
        """What the score rests on, for the evidence."""
        return "; ".join([*(item.says for item in self.items), *(self.near)])


def child_pugh(record: Entries) -> ChildPugh:
    """Points of the five items of a record; a missing one counts 1 to 3."""
    simple = ("bilirubin", "albumin")
    return ChildPugh(
        (
            *(_item(record, name) for name in simple),
            _coagulation(record),
            _item(record, "ascites"),
            _item(record, "encephalopathy_grade"),
        )
    )


def points(name: str, value: float | str, unit: str | None = None) -> int:
    """1, 2 or 3 points of one item in its own unit. Raises KeyError for an item or a unit that has no limits."""
    if name == "ascites":
        return _ASCITES[str(value)]
    number = float(value)
    if name == "encephalopathy_grade":
        return _ENCEPHALOPATHY[int(number)]
    key = (name, unit or str(RECORD_FIELDS[name].term.unit))
    if key in _FALLING:
        low, high = _FALLING[key]
        return 1 if number > high else 2 if number >= low else 3
    low, high = _RISING[key]
    return 1 if number < low else 2 if number <= high else 3


def near_limit(name: str, value: float, unit: str) -> float | None:
    """The limit of an item that lies within 2 % of a value, or None."""
    limits = _RISING.get((name, unit)) or _FALLING.get((name, unit)) or ()
    return next((limit for limit in limits if abs(value - limit) <= NEAR_LIMIT * limit + _ROUNDING), None)


def _class(score: int) -> Grade:
    return "A" if score <= MAX_A else "B" if score <= MAX_B else "C"


def _item(record: Entries, name: str) -> Item:
    entry = record.known(name)
    return _missing(name) if entry is None else _judged(record, entry)


def _missing(*names: str) -> Item:
    """An item that any of the named fields would settle."""
    titles = " or ".join(RECORD_FIELDS[name].term.title for name in names)
    return Item(" or ".join(names), 1, 3, f"{titles} not recorded, 1 to 3 points", missing=True)


def _judged(record: Entries, entry: Entry) -> Item:
    name = entry.name
    number = record.number(name)
    value: float | str = str(entry.value) if number is None else number
    worth = points(name, value, entry.unit)
    shown = str(value).replace("_", " ") if number is None else with_unit(f"{number:g}", entry.unit)
    says = f"{RECORD_FIELDS[name].term.title} {entry.with_provenance(shown)}, {_points(worth)}"
    near = ""
    if number is not None and entry.unit is not None:
        limit = near_limit(name, number, entry.unit)
        near = "" if limit is None else f"{name} {shown} lies within 2 % of the Child-Pugh limit {limit:g}"
    return Item(name, worth, worth, says, near)


def _coagulation(record: Entries) -> Item:
    """INR where there is one; where both are recorded and differ in points, both count as possible."""
    given = [_judged(record, entry) for entry in map(record.known, COAGULATION) if entry is not None]
    if not given:
        return _missing(*COAGULATION)
    if len(given) == 1:
        return given[0]
    return _either(given)


def _either(given: Sequence[Item]) -> Item:
    low, high = min(item.low for item in given), max(item.high for item in given)
    says = given[0].says if low == high else f"{' against '.join(item.says for item in given)}: both count as possible"
    return Item(given[0].name, low, high, says, "; ".join(item.near for item in given if item.near))


def _points(worth: int) -> str:
    return "1 point" if worth == 1 else f"{worth} points"

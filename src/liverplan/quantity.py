"""Measured quantities: never a bare number, never a stand-in for what is not known.

A `Quantity` carries the interval that its value may lie in; a `Distance` also the two points that it was
measured between; `Unknown` says why there is no value. See docs/decisions/0002-intervals-never-bare-distances.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import SupportsFloat, TypeAlias

Point: TypeAlias = tuple[float, float, float]
"""A point in the world frame: DICOM LPS, millimetres."""


def as_point(coordinates: Iterable[SupportsFloat]) -> Point:
    """Three coordinates (an array's, say) as a point of plain floats."""
    x, y, z = (float(c) for c in coordinates)
    return x, y, z


@dataclass(frozen=True)
class Quantity:
    """A value and the interval [low, high] that holds it. All three in the unit that the owner's name states."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.value, self.low, self.high)):
            raise ValueError(f"a quantity is finite, got {self.value} [{self.low}, {self.high}]; use Unknown instead")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"a value lies inside its interval, got {self.value} [{self.low}, {self.high}]")

    @classmethod
    def around(cls, value: float, half_width: float, *, floor: float = -math.inf) -> Quantity:
        """`value` +/- `half_width`, the low end (and the value) not below `floor`."""
        value = max(value, floor)
        return cls(value, max(value - half_width, floor), max(value + half_width, floor))

    @classmethod
    def exactly(cls, value: float) -> Quantity:
        """A value without uncertainty: a count, a definition."""
        return cls(value, value, value)


@dataclass(frozen=True)
class Distance:
    """A distance in mm with its interval and its two witness points (LPS mm).

    `terms_mm` names the half-widths that the interval was combined from (root of the sum of squares).
    A negative value is an overlap of the two structures, as deep as the value says.
    """

    value_mm: float
    low_mm: float
    high_mm: float
    witness_lps_mm: tuple[Point, Point]
    terms_mm: dict[str, float] = field(default_factory=dict)

    @property
    def quantity(self) -> Quantity:
        return Quantity(self.value_mm, self.low_mm, self.high_mm)


@dataclass(frozen=True)
class Unknown:
    """What could not be assessed, and why. Never met, never zero, never infinity."""

    reason: str


Measured: TypeAlias = Quantity | Unknown

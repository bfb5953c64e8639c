"""The case at any margin: the rows of report.json until the loss field is rebuilt, then `margin_curve` on the field.

The field is rebuilt from the stored masks by the functions that planned the case. Whether it gives the stored numbers
again is checked at every stored margin, so that a case whose masks were changed since is not shown as the planned one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from liverplan.volume import BoolArray, Grid, Segmentation

if TYPE_CHECKING:  # loaded with the masks, behind the first picture
    from liverplan.lesions import Lesion
    from liverplan.margin import CurvePoint, LossField
    from liverplan.plan import Prepared

MOST_MM = 30.0
STEP_MM = 0.5
_DECIMALS = 4
"""As in report.json."""
_SAME = 1e-3
"""Stored and rebuilt numbers are the same up to this: both are rounded to 1e-4."""
_NEEDS_REMNANT = ("flr", "remnant")

Progress = Callable[[float, str], None]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Rebuilt:
    """What the margin is computed on. liver (i, j, k) and grid are cut to the liver's box, with some context."""

    prepared: Prepared

    @property
    def field(self) -> LossField:
        return self.prepared.work.field

    @property
    def liver(self) -> BoolArray:
        return self.prepared.work.liver

    @property
    def grid(self) -> Grid:
        return self.prepared.work.grid

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        return self.prepared.lesion_map.lesions


@dataclass(frozen=True)
class Margins:
    """Rows of the margin curve as report.json has them. rebuilt: None until the field is there."""

    stored: Sequence[Row]
    rebuilt: Rebuilt | None = None

    def row(self, margin_mm: float) -> Row | None:
        """The liver at a margin; None where only stored rows are known and none is at this margin."""
        if self.rebuilt is None:
            return next((row for row in self.stored if abs(row["margin_mm"] - margin_mm) < 1e-9), None)
        from liverplan.margin import margin_curve

        return self._told(margin_curve(self.rebuilt.field, [margin_mm])[0])

    def differs(self) -> float:
        """The largest difference between stored and rebuilt numbers (mL or %); 0.0 when they are the same."""
        if self.rebuilt is None:
            return 0.0
        from liverplan.margin import margin_curve

        again = margin_curve(self.rebuilt.field, [float(row["margin_mm"]) for row in self.stored])
        found = max((_difference(row, self._told(p)) for row, p in zip(self.stored, again, strict=True)), default=0.0)
        return 0.0 if found <= _SAME else found

    def _told(self, point: CurvePoint) -> Row:
        """A point as report.json has it: rounded, and without remnants where the plan had none."""
        row = {f.name: getattr(point, f.name) for f in fields(point)}
        if self.stored and self.stored[0]["remnant_ml"] is None:
            row |= {name: None for name in row if any(part in name for part in _NEEDS_REMNANT)}
        return {name: None if value is None else round(value, _DECIMALS) + 0.0 for name, value in row.items()}


def rebuild(masks: Segmentation, progress: Progress = lambda _fraction, _stage: None) -> Rebuilt:
    """The loss field of a planned case from its masks (canonical), by the function that `plan` begins with."""
    from liverplan.plan import prepare

    progress(0.0, "lesions")
    found = Rebuilt(prepare(masks, progress))
    progress(1.0, "done")
    return found


def _difference(stored: Row, again: Row) -> float:
    """The largest difference over the numbers of two rows; what only one of them knows counts as 100."""
    found = 0.0
    for name, value in stored.items():
        other = again.get(name)
        if (value is None) != (other is None):
            return 100.0
        if value is not None and other is not None:
            found = max(found, abs(float(value) - float(other)))
    return found

"""Masks as outlines on slices: the lines that the report draws, kept as lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.report.drawing import Canvas, Colour
from liverplan.report.slices import Plane, outline
from liverplan.viewer.frames import flat, upright
from liverplan.volume import AnyArray, FloatArray, Grid, Segmentation, bounding_box

OUTLINED = (
    Structure.LIVER,
    Structure.VENA_CAVA,
    Structure.LIVER_VESSELS,
    Structure.HEPATIC_VEINS,
    Structure.PORTAL_VEIN,
    Structure.LESIONS,
)


class LineKeeper(Canvas):
    """A canvas that keeps the lines drawn on it and paints nothing."""

    def __init__(self) -> None:
        self.lines: list[FloatArray] = []

    def polyline(self, points: npt.ArrayLike, colour: Colour, width: float, halo: float = 0.0) -> None:
        self.lines.append(np.asarray(points, dtype=float))


@dataclass(frozen=True)
class Outlined:
    """A mask cut to its box, ready to be outlined on any slice. start: the box's first voxel on the image's grid."""

    mask: AnyArray
    grid: Grid
    start: tuple[int, int, int]
    rgb: Colour

    @classmethod
    def of(cls, mask: AnyArray, grid: Grid, rgb: Colour) -> Outlined | None:
        """None for an empty mask. mask: (i, j, k), canonical, on the image's grid or on a part of it from (0, 0, 0)."""
        if not mask.any():
            return None
        box = bounding_box(mask)
        i, j, k = (s.start for s in box)
        return cls(mask[box], grid.cropped(box), (i, j, k), rgb)

    def lines(self, plane: Plane, index: int) -> list[FloatArray]:
        """The outlines on a slice of the image as page millimetres, (N, 2) each."""
        inside = index - self.start[plane.across]
        if not 0 <= inside < self.mask.shape[plane.across]:
            return []
        keeper = LineKeeper()
        outline(keeper, flat(plane, self.grid, inside, self.start), self.mask, self.rgb, 1.0)
        return [upright(line) for line in keeper.lines]


def anatomy(masks: Segmentation) -> dict[str, Outlined]:
    """Every structure that is outlined, by its name; masks canonical."""
    found = {s.value: Outlined.of(masks.masks[s], masks.grid, s.info.rgb) for s in OUTLINED if s in masks.masks}
    return {name: outlined for name, outlined in found.items() if outlined is not None}

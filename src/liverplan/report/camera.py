"""Where the report looks from: orthographic cameras, so that a millimetre is as long at the front as at the back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverplan.volume import FloatArray

LEFT, POSTERIOR, SUPERIOR = np.eye(3)
RIGHT, ANTERIOR, INFERIOR = -np.eye(3)
LETTERS = {"L": LEFT, "R": RIGHT, "P": POSTERIOR, "A": ANTERIOR, "S": SUPERIOR, "I": INFERIOR}

STANDARD_VIEWS: dict[str, tuple[FloatArray, FloatArray]] = {
    "anterior": (ANTERIOR, SUPERIOR),
    "posterior": (POSTERIOR, SUPERIOR),
    "right": (RIGHT, SUPERIOR),
    "left": (LEFT, SUPERIOR),
    "superior": (SUPERIOR, ANTERIOR),
    "inferior": (INFERIOR, ANTERIOR),
}
"""View name to (direction towards the viewer, direction that points up on the page)."""


@dataclass(frozen=True)
class Camera:
    """An orthographic camera; focus_lps_mm is the middle of the picture, half_height_mm from there to its top."""

    focus_lps_mm: tuple[float, float, float]
    towards_viewer: tuple[float, float, float]
    up: tuple[float, float, float]
    half_height_mm: float

    @classmethod
    def looking(
        cls, focus_lps_mm: npt.ArrayLike, towards_viewer: npt.ArrayLike, up: npt.ArrayLike, half_height_mm: float
    ) -> Camera:
        """A camera whose `up` is made perpendicular to the line of sight."""
        to = _unit(np.asarray(towards_viewer, dtype=float))
        above = np.asarray(up, dtype=float)
        upright = _unit(above - (above @ to) * to)
        return cls(_triple(np.asarray(focus_lps_mm)), _triple(to), _triple(upright), float(half_height_mm))

    @property
    def axes(self) -> FloatArray:
        """Rows: the page's right, the page's up, towards the viewer; (3, 3)."""
        up, to = np.array(self.up), np.array(self.towards_viewer)
        return np.stack([np.cross(up, to), up, to])

    def to_pixel(self, points_lps_mm: npt.ArrayLike, size: tuple[int, int]) -> FloatArray:
        """Points (..., 3) to (x right, y down, depth in mm towards the viewer) in a picture of size (width, height)."""
        width, height = size
        x, y, depth = np.moveaxis((np.asarray(points_lps_mm) - self.focus_lps_mm) @ self.axes.T, -1, 0)
        scale = self.pixels_per_mm(size)
        return np.stack([width / 2 + x * scale, height / 2 - y * scale, depth], axis=-1)

    def pixels_per_mm(self, size: tuple[int, int]) -> float:
        return size[1] / 2.0 / self.half_height_mm

    def edge_letters(self) -> dict[str, str]:
        """The patient direction nearest to each edge of the page, e.g. {"left": "R", "top": "S", ...}."""
        right, up, _ = self.axes
        return {side: _letter(way) for side, way in (("right", right), ("left", -right), ("top", up), ("bottom", -up))}


def standard_camera(view: str, points_lps_mm: FloatArray, aspect: float, border: float = 1.12) -> Camera:
    """The camera of a standard view that shows all points (N, 3) in a picture `aspect` times as wide as high."""
    to, up = STANDARD_VIEWS[view]
    focus = (points_lps_mm.min(axis=0) + points_lps_mm.max(axis=0)) / 2.0
    camera = Camera.looking(focus, to, up, 1.0)
    x, y, _ = np.abs((points_lps_mm - focus) @ camera.axes.T).max(axis=0)
    return Camera.looking(focus, to, up, border * max(float(y), float(x) / aspect, 1.0))


def witness_camera(
    witness_lps_mm: Sequence[Sequence[float]], half_height_mm: float, obstacles_lps_mm: FloatArray
) -> Camera:
    """A camera that sees a witness line at its full length, from the side that hides it least.

    obstacles_lps_mm: (N, 3) points of opaque surfaces. Among equals the view from the front wins.
    """
    start, end = np.asarray(witness_lps_mm, dtype=float)
    middle = (start + end) / 2.0
    along = _unit(end - start) if np.linalg.norm(end - start) > 1e-6 else LEFT
    first = _unit(_across(along, ANTERIOR))
    second = np.cross(along, first)
    angles = np.radians(np.arange(0, 360, 15))
    choices = [np.cos(a) * first + np.sin(a) * second for a in angles]
    best = min(choices, key=lambda to: _hidden(to, middle, obstacles_lps_mm) + _oddness(to))
    up = SUPERIOR if abs(best @ SUPERIOR) < 0.7 else ANTERIOR
    return Camera.looking(middle, best, up, half_height_mm)


def _hidden(to: FloatArray, middle: FloatArray, points: FloatArray) -> float:
    """How much stands between the viewer and a witness (weight 3), and before its surroundings (weight 1); 0..4."""
    relative = points - middle
    depth = relative @ to
    beside = np.linalg.norm(relative - depth[:, None] * to, axis=1)
    cost = 0.0
    for radius_mm, weight in ((8.0, 3.0), (25.0, 1.0)):
        near = beside < radius_mm
        cost += weight * float((near & (depth > 2.0)).sum()) / max(int(near.sum()), 1)
    return cost


def _oddness(to: FloatArray) -> float:
    """A small price for views that are far from the front; from behind is hardest to read."""
    return 0.25 * float(1.0 - to @ ANTERIOR)


def _across(along: FloatArray, wanted: FloatArray) -> FloatArray:
    """The part of `wanted` perpendicular to `along`; another direction where nothing of it is left."""
    for direction in (wanted, wanted + 0.5 * SUPERIOR, LEFT):
        rest = direction - (direction @ along) * along
        if np.linalg.norm(rest) > 0.2:
            return np.asarray(rest)
    return np.cross(along, SUPERIOR)


def _letter(way: FloatArray) -> str:
    return max(LETTERS, key=lambda letter: float(LETTERS[letter] @ way))


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector))


def _triple(vector: FloatArray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z

"""Shapes with signed distances: the alphabet that phantoms are written in.

Every shape has `signed_mm`: negative inside, the exact sign everywhere, and a magnitude that never exceeds the true
distance to the surface (so it changes no faster than the point moves, and a ball of that radius never crosses it).
Spheres, capsules and half spaces are exact distances; an `Ellipsoid` has the exact one in `distance_mm` as well.
All points are LPS millimetres, (M, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from liverplan.quantity import Point
from liverplan.volume import FloatArray

Box: TypeAlias = tuple[FloatArray, FloatArray]
"""Least and greatest coordinates, (3,) each."""
EVERYWHERE: Box = (np.full(3, -np.inf), np.full(3, np.inf))


class Shape(Protocol):
    """A solid."""

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        """Signed distance bound (M,) at points (M, 3)."""

    def box_mm(self) -> Box:
        """A box that holds the solid."""


class Blob(Shape, Protocol):
    """A solid with an exact distance and the nearest surface point: what a lesion is."""

    @property
    def centre_mm(self) -> Point: ...

    @property
    def volume_ml(self) -> float: ...

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Exact signed distance (M,)."""

    def surface_point(self, points_mm: FloatArray) -> FloatArray:
        """The surface point (M, 3) nearest to each point."""


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    centre_mm: Point
    radius_mm: float

    @property
    def volume_ml(self) -> float:
        return float(4 / 3 * np.pi * self.radius_mm**3 / 1000)

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        return np.asarray(np.linalg.norm(points_mm - np.array(self.centre_mm), axis=1) - self.radius_mm)

    distance_mm = signed_mm

    def surface_point(self, points_mm: FloatArray) -> FloatArray:
        way = points_mm - np.array(self.centre_mm)
        length = np.linalg.norm(way, axis=1, keepdims=True)
        way = np.where(length > 1e-12, way / np.maximum(length, 1e-12), np.array([1.0, 0.0, 0.0]))
        return np.asarray(self.centre_mm + self.radius_mm * way)

    def box_mm(self) -> Box:
        centre = np.array(self.centre_mm)
        return centre - self.radius_mm, centre + self.radius_mm


IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid. Rows of `axes` are its unit axes in LPS, semi_axes_mm their half lengths."""

    centre_mm: Point
    semi_axes_mm: Point
    axes: tuple[Point, Point, Point] = IDENTITY

    @property
    def volume_ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.semi_axes_mm) / 1000)

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        """(|p / s| - 1) min(s): not the distance, but cheap and never more than it."""
        scaled = (points_mm - np.array(self.centre_mm)) @ (np.array(self.axes).T / np.array(self.semi_axes_mm))
        return np.asarray((np.sqrt(np.einsum("ij,ij->i", scaled, scaled)) - 1.0) * min(self.semi_axes_mm))

    def distance_mm(self, points_mm: FloatArray) -> FloatArray:
        """Exact signed distance (M,) through the nearest surface point."""
        length = np.linalg.norm(points_mm - self.surface_point(points_mm), axis=1)
        return np.asarray(np.copysign(length, self.signed_mm(points_mm)))

    def surface_point(self, points_mm: FloatArray) -> FloatArray:
        """Nearest surface points (M, 3): Eberly's root of sum (e y / (t + e^2))^2 = 1, by Newton from the left.

        The unknown is s = t + min(e)^2, which keeps its digits near the centre plane where t does not.
        """
        centre, axes, e = np.array(self.centre_mm), np.array(self.axes), np.array(self.semi_axes_mm)
        local = (points_mm - centre) @ axes.T
        y = np.maximum(np.abs(local), 1e-9)
        gap = e**2 - e.min() ** 2
        s = (e * y - gap).max(1)
        going = np.arange(len(s))
        for _ in range(200):  # about six steps; up to a hundred for points almost on the centre plane
            way = s[going, None] + gap
            terms = (e * y[going] / way) ** 2
            step = (terms.sum(1) - 1.0) / (2.0 * (terms / way).sum(1))
            s[going] += step
            going = going[np.abs(step) > 1e-13 * s[going]]
            if going.size == 0:
                break
        surface = np.copysign(e**2 * y / (s[:, None] + gap), local)
        return np.asarray(surface @ axes + centre)

    def box_mm(self) -> Box:
        reach = np.sqrt(((np.array(self.axes) * np.array(self.semi_axes_mm)[:, None]) ** 2).sum(0))
        centre = np.array(self.centre_mm)
        return centre - reach, centre + reach


@dataclass(frozen=True)
class Capsule:
    """All points within `radius_mm` of the segment from start to end."""

    start_mm: Point
    end_mm: Point
    radius_mm: float

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        start = np.array(self.start_mm)
        along = np.array(self.end_mm) - start
        t = np.clip((points_mm - start) @ along / max(float(along @ along), 1e-18), 0.0, 1.0)
        return np.asarray(np.linalg.norm(points_mm - start - t[:, None] * along, axis=1) - self.radius_mm)

    distance_mm = signed_mm

    def box_mm(self) -> Box:
        ends = np.array([self.start_mm, self.end_mm])
        return ends.min(0) - self.radius_mm, ends.max(0) + self.radius_mm


@dataclass(frozen=True)
class HalfSpace:
    """The side of a plane that `normal` points away from."""

    point_mm: Point
    normal: Point

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        normal = np.array(self.normal) / np.linalg.norm(self.normal)
        return np.asarray((points_mm - np.array(self.point_mm)) @ normal)

    distance_mm = signed_mm

    def box_mm(self) -> Box:
        return EVERYWHERE


@dataclass(frozen=True)
class EllipticCylinder:
    """An upright tube along z without ends, of elliptic or squarer section: |x/a|^n + |y/b|^n = 1."""

    centre_xy_mm: tuple[float, float]
    semi_axes_mm: tuple[float, float]
    power: float = 2.0

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        scaled = np.abs(points_mm[:, :2] - np.array(self.centre_xy_mm)) / np.array(self.semi_axes_mm)
        if self.power == 2.0:
            size = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        elif self.power == 2.5:  # the abdomen's; powers of halves without the slow general one
            raised = scaled * scaled * np.sqrt(scaled)
            size = (raised[:, 0] + raised[:, 1]) ** 0.4
        else:
            size = (scaled**self.power).sum(1) ** (1.0 / self.power)
        return np.asarray((size - 1.0) * min(self.semi_axes_mm))

    def box_mm(self) -> Box:
        low, high = (np.append(np.array(self.centre_xy_mm) + s * np.array(self.semi_axes_mm), 0.0) for s in (-1, 1))
        low[2], high[2] = -np.inf, np.inf
        return low, high


@dataclass(frozen=True)
class SmoothUnion:
    """Solids joined, the creases filled over `blend_mm` (0: a plain union). Quadratic smooth minimum (I. Quilez)."""

    parts: tuple[Shape, ...]
    blend_mm: float = 0.0

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        value = self.parts[0].signed_mm(points_mm)
        for part in self.parts[1:]:
            value = smooth_minimum(value, part.signed_mm(points_mm), self.blend_mm)
        return value

    def box_mm(self) -> Box:
        boxes = [part.box_mm() for part in self.parts]
        slack = self.blend_mm / 4 * (len(self.parts) - 1)
        low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
        return low - 3 * slack, high + 3 * slack


@dataclass(frozen=True)
class Carved:
    """A solid minus others, edges rounded over `blend_mm` (0: sharp)."""

    solid: Shape
    without: tuple[Shape, ...]
    blend_mm: float = 0.0

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        value = self.solid.signed_mm(points_mm)
        for part in self.without:
            value = -smooth_minimum(-value, part.signed_mm(points_mm), self.blend_mm)
        return value

    def box_mm(self) -> Box:
        return self.solid.box_mm()


@dataclass(frozen=True)
class Common:
    """What all the solids share."""

    parts: tuple[Shape, ...]

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        return np.asarray(np.max([part.signed_mm(points_mm) for part in self.parts], axis=0))

    def box_mm(self) -> Box:
        boxes = [part.box_mm() for part in self.parts]
        return np.max([b[0] for b in boxes], axis=0), np.min([b[1] for b in boxes], axis=0)


@dataclass(frozen=True)
class Placed:
    """A solid scaled about the origin by `scale`, then moved by `shift_mm`."""

    solid: Shape
    scale: float = 1.0
    shift_mm: Point = field(default=(0.0, 0.0, 0.0))

    def signed_mm(self, points_mm: FloatArray) -> FloatArray:
        return self.solid.signed_mm((points_mm - np.array(self.shift_mm)) / self.scale) * self.scale

    def box_mm(self) -> Box:
        low, high = self.solid.box_mm()
        return low * self.scale + np.array(self.shift_mm), high * self.scale + np.array(self.shift_mm)


def smooth_minimum(one: FloatArray, other: FloatArray, blend_mm: float) -> FloatArray:
    """Minimum with the crease rounded where the two differ by less than `blend_mm`; gradients stay below one."""
    least = np.minimum(one, other)
    if blend_mm > 0:
        near = np.maximum(blend_mm - np.abs(one - other), 0.0)
        least = least - near * near / (4.0 * blend_mm)
    return np.asarray(least)


def tight_box(shape: Shape, step_mm: float = 5.0) -> Box:
    """A box around a bounded solid, at most about two steps larger than the solid on each side."""
    low, high = shape.box_mm()
    axes = [np.arange(a, b + step_mm, step_mm) for a, b in zip(low, high, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    near = lattice[shape.signed_mm(lattice) < step_mm * 0.87]
    return np.maximum(near.min(0) - step_mm, low), np.minimum(near.max(0) + step_mm, high)


def volume_ml(shape: Shape, log2_points: int = 18, seed: int = 0) -> float:
    """Volume by scrambled Sobol points in the shape's box; for choosing a size, not for truth."""
    low, high = tight_box(shape)
    points = sobol_points(low, high, log2_points, seed)
    return float((shape.signed_mm(points) < 0).mean() * np.prod(high - low) / 1000.0)


def sobol_points(low: FloatArray, high: FloatArray, log2_points: int, seed: int) -> FloatArray:
    """2^log2_points scrambled Sobol points (M, 3) of the box, the same for the same seed."""
    from scipy.stats import qmc

    return np.asarray(qmc.scale(qmc.Sobol(3, scramble=True, rng=seed).random_base2(log2_points), low, high))

"""Exact distances between shapes, with the two points they are measured between.

Everything here is convex against convex (a ball or ellipsoid against a segment's tube) and so has one minimum, found to
better than 1e-6 mm; only the liver's surface, which is not convex, is searched from many directions first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.phantom.shapes import Blob, Shape
from liverplan.phantom.trees import Tree
from liverplan.quantity import Point, as_point
from liverplan.volume import FloatArray

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Gap:
    """A distance between two surfaces in mm and its witness points; negative is an overlap, as deep as it says."""

    value_mm: float
    witness_lps_mm: tuple[Point, Point]


def axis_clearance(blob: Blob, tree: Tree) -> tuple[FloatArray, FloatArray]:
    """Per segment the least signed distance (N,) from its axis to the blob's surface, and where on the axis (N, 3).

    The signed distance to a convex body is convex along a line, so a golden-section search is exact.
    """
    low, high = np.zeros(len(tree)), np.ones(len(tree))
    for _ in range(44):
        width = high - low
        left, right = high - _GOLDEN * width, low + _GOLDEN * width
        go_left = blob.distance_mm(_on_axis(tree, left)) < blob.distance_mm(_on_axis(tree, right))
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
    places = _on_axis(tree, (low + high) / 2)
    return blob.distance_mm(places), places


def gap_to_tree(blob: Blob, tree: Tree) -> Gap:
    """From the blob's surface to the nearest wall of the tree."""
    near = _segments_in_reach(blob, tree)
    on_axis, places = axis_clearance(blob, near)
    best = int(np.argmin(on_axis - near.radius_mm))
    place = places[best]
    surface = blob.surface_point(place[None])[0]
    towards = surface - place
    if on_axis[best] < 0:  # the axis itself is inside: the wall point lies further in, away from the surface
        towards = -towards
    size = float(np.linalg.norm(towards))
    wall = place + near.radius_mm[best] * towards / size if size > 1e-9 else place
    return Gap(float(on_axis[best] - near.radius_mm[best]), (as_point(surface), as_point(wall)))


def gap_between(one: Blob, other: Blob) -> Gap:
    """From one blob's surface to the other's, by alternating projection. Raises ValueError when they overlap."""
    p, q = np.array([one.centre_mm]), np.array([other.centre_mm])
    for _ in range(20000):
        previous = q
        p = one.surface_point(q)
        q = other.surface_point(p)
        if other.signed_mm(p)[0] < 0 or one.signed_mm(q)[0] < 0:
            raise ValueError("the two lesions overlap")
        if np.linalg.norm(q - previous) < 1e-10:
            break
    return Gap(float(np.linalg.norm(p - q)), (as_point(p[0]), as_point(q[0])))


def gap_to_surface(blob: Blob, organ: Shape, directions: int = 800) -> Gap:
    """From the surface of a blob inside an organ to the organ's surface; negative where the blob sticks out.

    The nearest surface point is seen from the blob's centre, so it is sought over directions: all round first, then on
    ever finer patches around the best ones.
    """
    centre = np.array(blob.centre_mm)
    rays, spread = _fibonacci(directions), 0.1
    wall = _exit_points(organ, centre, rays)
    best = np.argsort(blob.distance_mm(wall))[:20:4]
    rays = rays[best]
    while spread > 1e-7:
        patches = np.concatenate([_patch(ray, spread) for ray in rays])
        wall = _exit_points(organ, centre, patches)
        distance = blob.distance_mm(wall).reshape(len(rays), -1)
        inner = distance.argmin(1) + np.arange(len(rays)) * distance.shape[1]
        rays, ends, spread = patches[inner], wall[inner], spread / 3.5
        if spread < 2e-3:  # the starts have found their valleys; the deepest is enough
            rays, ends = (v[[int(distance.min(1).argmin())]] for v in (rays, ends))
    value = float(blob.distance_mm(ends)[0])
    return Gap(value, (as_point(blob.surface_point(ends)[0]), as_point(ends[0])))


def _segments_in_reach(blob: Blob, tree: Tree) -> Tree:
    """The segments that can hold the nearest wall, as roots: bounds from each segment's middle."""
    middle = (tree.start_mm + tree.end_mm) / 2
    at_middle = blob.distance_mm(middle) - tree.radius_mm
    near = at_middle - tree.length_mm / 2 <= at_middle.min() + 1e-9
    count = int(near.sum())
    return Tree(tree.start_mm[near], tree.end_mm[near], tree.radius_mm[near], np.full(count, -1, dtype=np.int32))


def _on_axis(tree: Tree, t: FloatArray) -> FloatArray:
    return np.asarray(tree.start_mm + t[:, None] * (tree.end_mm - tree.start_mm))


def _exit_points(organ: Shape, centre: FloatArray, rays: FloatArray) -> FloatArray:
    """Where each ray (M, 3) from an inner point first meets the organ's surface: sphere tracing, then bisection."""
    low = np.zeros(len(rays))
    for _ in range(200):
        depth = -organ.signed_mm(centre + low[:, None] * rays)
        if depth.max() < 0.02:
            break
        low += np.maximum(depth, 0.0)
    high = low + 0.05
    for _ in range(200):
        still_in = organ.signed_mm(centre + high[:, None] * rays) < 0
        if not still_in.any():
            break
        low, high = np.where(still_in, high, low), np.where(still_in, high + 0.05, high)
    for _ in range(28):
        middle = (low + high) / 2
        is_in = organ.signed_mm(centre + middle[:, None] * rays) < 0
        low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
    return np.asarray(centre + ((low + high) / 2)[:, None] * rays)


def _fibonacci(count: int) -> FloatArray:
    """Evenly spread unit vectors (count, 3)."""
    k = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], 1)


def _patch(ray: FloatArray, spread: float) -> FloatArray:
    """49 unit vectors around one, up to `spread` radians aside; itself among them."""
    helper = np.eye(3)[int(np.argmin(np.abs(ray)))]
    side = np.cross(ray, helper)
    side /= np.linalg.norm(side)
    tilt = np.linspace(-spread, spread, 7)
    aside = tilt[:, None, None] * side + tilt[None, :, None] * np.cross(ray, side)
    rays = (ray + aside).reshape(-1, 3)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))

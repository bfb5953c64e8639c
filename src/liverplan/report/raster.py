"""Surfaces to pictures without any graphics library: for machines where VTK finds no OpenGL.

Every triangle is sampled more finely than the pixels; per surface the samples nearest to and farthest from the viewer
make two layers, and the layers of all surfaces are blended from back to front at every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverplan.mesh import Mesh
from liverplan.report.camera import Camera
from liverplan.volume import FloatArray

_LIGHTS = (((-0.45, 0.55, 0.70), 0.80), ((0.70, 0.10, 0.50), 0.30))
"""Directions on the page (right, up, towards the viewer) and strengths: a key light from the upper left, and a fill."""


@dataclass(frozen=True)
class Painted:
    """A surface with its colour (0..255) and opacity (0..1)."""

    mesh: Mesh
    rgb: tuple[int, int, int]
    opacity: float


@dataclass(frozen=True)
class _Layer:
    """Per pixel the depth towards the viewer (-inf where empty), the colour (0..1) and the opacity."""

    depth: npt.NDArray[np.float32]
    rgb: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]


def draw(parts: Sequence[Painted], camera: Camera, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """One picture (height, width, 3) of size (width, height) on white."""
    layers = [
        layer for part in parts if part.opacity > 0 and not part.mesh.is_empty for layer in _layers(part, camera, size)
    ]
    picture = np.ones((size[1], size[0], 3), dtype=np.float32)
    if not layers:
        return np.full(picture.shape, 255, dtype=np.uint8)
    depth = np.stack([layer.depth for layer in layers])
    order = np.argsort(depth, axis=0)
    for rank in range(len(layers)):
        for number, layer in enumerate(layers):
            chosen = (order[rank] == number) & np.isfinite(layer.depth)
            alpha = layer.alpha[chosen][:, None]
            picture[chosen] = (1 - alpha) * picture[chosen] + alpha * layer.rgb[chosen]
    return np.asarray((picture.clip(0, 1) * 255).round(), dtype=np.uint8)


def _layers(part: Painted, camera: Camera, size: tuple[int, int]) -> list[_Layer]:
    """The nearest layer of an opaque surface; the nearest and the farthest of a translucent one."""
    corners = camera.to_pixel(part.mesh.corners_lps_mm, size)
    normals = (_vertex_normals(part.mesh) @ camera.axes.T)[part.mesh.faces]
    reach = corners[..., :2].min(axis=1), corners[..., :2].max(axis=1)
    inside = ((reach[1] >= 0) & (reach[0] < size)).all(axis=1)
    a, b, c = np.moveaxis(corners, 1, 0)
    # The page's y runs down, so a triangle that faces the viewer turns the other way round.
    (ux, uy), (vx, vy) = (b - a)[:, :2].T, (c - a)[:, :2].T
    faces_viewer = ux * vy - uy * vx < 0
    sides = ((faces_viewer, 1.0),) if part.opacity >= 1 else ((faces_viewer, 1.0), (~faces_viewer, -1.0))
    return [_layer(part, corners[inside & side], normals[inside & side], way, size) for side, way in sides]


def _layer(part: Painted, corners: FloatArray, normals: FloatArray, way: float, size: tuple[int, int]) -> _Layer:
    points, ways = _samples(corners, normals)
    column, row = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    shown = np.flatnonzero((column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1]))
    pixel, depth = (row * size[0] + column)[shown], way * points[shown, 2]
    best = np.full(size[0] * size[1], -np.inf, dtype=np.float32)
    np.maximum.at(best, pixel, depth)
    held = np.full(best.shape, -1, dtype=np.int64)
    winners = depth == best[pixel]
    held[pixel[winners]] = shown[winners]
    return _painted_layer(part, way * best, ways[held[held >= 0]], held >= 0, size)


def _painted_layer(
    part: Painted,
    depth: npt.NDArray[np.float32],
    normals: npt.NDArray[np.float32],
    seen: npt.NDArray[np.bool_],
    size: tuple[int, int],
) -> _Layer:
    """A layer from the depths (pixels,), and the normals of the pixels that are seen."""
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    rgb = np.zeros((*seen.shape, 3), dtype=np.float32)
    rgb[seen] = _shaded(part.rgb, normals)
    alpha = np.zeros(seen.shape, dtype=np.float32)
    rim = (1 - np.abs(normals[:, 2]).clip(0, 1)) ** 2.2
    alpha[seen] = 1.0 if part.opacity >= 1 else (part.opacity * (0.35 + 2.4 * rim)).clip(0, 0.85)
    shape = (size[1], size[0])
    return _Layer(np.where(seen, depth, -np.inf).reshape(shape), rgb.reshape(*shape, 3), alpha.reshape(shape))


def _samples(corners: FloatArray, normals: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Pixel positions with depth (N, 3) and normals on the page (N, 3), at least one sample per pixel covered."""
    longest = np.linalg.norm((corners - np.roll(corners, 1, axis=1))[..., :2], axis=-1).max(axis=1, initial=0.0)
    steps = np.clip(np.ceil(longest / 0.75).astype(int), 1, 400)
    found = [_split(corners[steps == n], normals[steps == n], int(n)) for n in np.unique(steps)]
    if not found:
        return np.zeros((0, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.float32)
    points, ways = zip(*found, strict=True)
    return np.concatenate(points), np.concatenate(ways)


def _split(
    corners: FloatArray, normals: FloatArray, steps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Points of a regular lattice on each triangle, with interpolated normals."""
    u, v = (lattice.ravel() for lattice in np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij"))
    keep = u + v <= steps
    weights = (np.stack([u[keep], v[keep], steps - u[keep] - v[keep]], axis=1) / steps).astype(np.float32)
    points, ways = (weights @ values.astype(np.float32) for values in (corners, normals))
    return points.reshape(-1, 3), ways.reshape(-1, 3)


def _shaded(rgb: tuple[int, int, int], normals: npt.NDArray[np.float32]) -> FloatArray:
    """Lambert shading of both sides with a soft highlight; (N, 3) in 0..1."""
    turned = normals * np.where(normals[:, 2:] < 0, -1.0, 1.0)
    light = np.full(len(normals), 0.25)
    for direction, strength in _LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        light += strength * np.clip(turned @ towards, 0, None)
    highlight = 0.2 * np.clip(turned[:, 2], 0, 1) ** 40
    return np.asarray(np.array(rgb) / 255.0 * light[:, None] + highlight[:, None])


def _vertex_normals(mesh: Mesh) -> FloatArray:
    """Area-weighted outward normals at the vertices, (N, 3); zero at vertices without a triangle."""
    a, b, c = np.moveaxis(mesh.corners_lps_mm, 1, 0)
    weighted = np.cross(b - a, c - a)
    normals = np.zeros_like(mesh.vertices_lps_mm)
    for corner in range(3):
        np.add.at(normals, mesh.faces[:, corner], weighted)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.where(length > 0, length, 1.0))

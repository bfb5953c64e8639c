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
    points, normals = _samples(part.mesh, camera, size)
    column, row = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    inside = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
    pixel = row[inside] * size[0] + column[inside]
    depth, normals = points[inside, 2], normals[inside]
    ways = (1.0,) if part.opacity >= 1 else (1.0, -1.0)
    return [_layer(part, pixel, depth, normals, way, size) for way in ways]


def _layer(
    part: Painted,
    pixel: npt.NDArray[np.int64],
    depth: FloatArray,
    normals: FloatArray,
    way: float,
    size: tuple[int, int],
) -> _Layer:
    # The last write wins, so the samples are written from the ones to be covered to the ones to be seen.
    order = np.argsort(way * depth, kind="stable")
    held = np.full(size[0] * size[1], -1, dtype=np.int64)
    held[pixel[order]] = order
    seen = held >= 0
    facing = np.abs(normals[held[seen], 2])
    shape = (size[1], size[0])
    nearest = np.full(held.shape, -np.inf, dtype=np.float32)
    nearest[seen] = depth[held[seen]]
    rgb = np.zeros((*held.shape, 3), dtype=np.float32)
    rgb[seen] = _shaded(part.rgb, normals[held[seen]])
    alpha = np.zeros(held.shape, dtype=np.float32)
    alpha[seen] = 1.0 if part.opacity >= 1 else (part.opacity * (0.35 + 2.4 * (1 - facing) ** 2.2)).clip(0, 0.85)
    return _Layer(nearest.reshape(shape), rgb.reshape(*shape, 3), alpha.reshape(shape))


def _samples(mesh: Mesh, camera: Camera, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Pixel positions with depth (N, 3) and unit normals on the page (N, 3), at least one sample per pixel covered."""
    corners = camera.to_pixel(mesh.corners_lps_mm, size)
    normals = (_vertex_normals(mesh) @ camera.axes.T)[mesh.faces]
    longest = np.linalg.norm((corners - np.roll(corners, 1, axis=1))[..., :2], axis=-1).max(axis=1)
    steps = np.clip(np.ceil(longest / 0.7).astype(int), 1, 400)
    found = [_split(corners[steps == n], normals[steps == n], int(n)) for n in np.unique(steps)]
    points, ways = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
    length = np.linalg.norm(ways, axis=1, keepdims=True)
    return points, ways / np.where(length > 0, length, 1.0)


def _split(corners: FloatArray, normals: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    """Points of a regular lattice on each triangle, with interpolated normals."""
    u, v = (lattice.ravel() for lattice in np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij"))
    keep = u + v <= steps
    weights = np.stack([u[keep], v[keep], steps - u[keep] - v[keep]], axis=1) / steps
    return (weights @ corners).reshape(-1, 3), (weights @ normals).reshape(-1, 3)


def _shaded(rgb: tuple[int, int, int], normals: FloatArray) -> FloatArray:
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

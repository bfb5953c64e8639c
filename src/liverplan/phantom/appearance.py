"""A phantom's image: tissues painted with soft edges, blurred by the scanner, with texture and correlated noise."""

from __future__ import annotations

import numpy as np

from liverplan.phantom.body import body_of
from liverplan.phantom.patient import Phantom
from liverplan.phantom.raster import Float32Array, distance_band, index_window, shape_blocks, tree_distance_band
from liverplan.phantom.shapes import Blob, Shape
from liverplan.phantom.tissues import Look, draw_look
from liverplan.phantom.trees import Tree
from liverplan.volume import Grid, Volume

PSF_FWHM_MM = 0.8
NOISE_FWHM_MM = 1.3
AIR_BELOW = -700.0
_THICK_MM = 1.8
"""Voxels longer than this are averaged from thinner ones, as a scanner averages over its slice."""


def render_image(phantom: Phantom, grid: Grid) -> Volume:
    """The phantom's portal-venous CT (HU) or portal-phase T1 MR (liver about 1000), int16, on any grid."""
    rng = np.random.default_rng((phantom.seed, 1))
    look = draw_look(phantom.modality, phantom.noise, rng)
    texture_seed = int(rng.integers(2**31))
    image = np.zeros(grid.shape, dtype=np.float32)
    parts = _subgrids(grid)
    for part in parts:
        image += _clean(phantom, part, look, texture_seed)
    image /= len(parts)
    _blur(image, grid, PSF_FWHM_MM)
    noise = _noise(grid, look.noise, rng)
    if phantom.modality == "CT":
        image += noise
        np.clip(image, -1024, 3071, out=image)
    else:
        image *= _bias(grid, rng)
        np.hypot(image + noise, _noise(grid, look.noise, rng), out=image)
        image *= 10.0
    facts = {"phase": "portal_venous", "series_description": "liverplan phantom, not a patient"}
    return Volume(grid, np.rint(image).astype(np.int16), phantom.modality, facts)


def _subgrids(grid: Grid) -> list[Grid]:
    """The grid itself, or copies shifted within the longest voxel side when that is thick."""
    axis = int(np.argmax(grid.spacing_mm))
    count = int(np.ceil(grid.spacing_mm[axis] / 1.25)) if grid.spacing_mm[axis] > _THICK_MM else 1
    parts = []
    for offset in (np.arange(count) + 0.5) / count - 0.5:
        affine = grid.affine.copy()
        affine[:3, 3] += affine[:3, axis] * offset
        parts.append(Grid(grid.shape, affine))
    return parts


def _clean(phantom: Phantom, grid: Grid, look: Look, texture_seed: int) -> Float32Array:
    """Everything painted, without blur and noise."""
    image = np.full(grid.shape, look.value["air"], dtype=np.float32)
    soft = float(np.mean(grid.spacing_mm))
    for tissue, shape in body_of(phantom, np.random.default_rng((phantom.seed, 2))):
        _paint(image, grid, shape, look.value[tissue], soft)
    _paint(image, grid, phantom.liver, look.value["liver"], soft)
    _add_texture(image, grid, look.texture, np.random.default_rng(texture_seed))
    for tree, tissue in ((phantom.hepatic, "hepatic"), (phantom.portal, "portal")):
        _paint_tree(image, grid, tree, look.value[tissue], soft)
    for number, lesion in enumerate(phantom.lesions):
        _paint_lesion(image, grid, lesion, look, soft, np.random.default_rng((texture_seed, number)))
    return image


def _paint(image: Float32Array, grid: Grid, shape: Shape, value: float, soft: float) -> None:
    """Cover with a value; across the surface, mix over one voxel."""
    for block, field in shape_blocks(shape, grid, soft):
        if field is None:
            image[block] = value
        else:
            share = np.clip(0.5 - field / soft, 0.0, 1.0)
            image[block] += share * (value - image[block])


def _paint_tree(image: Float32Array, grid: Grid, tree: Tree, value: float, soft: float) -> None:
    field = tree_distance_band(tree, grid, soft)
    share = np.clip(0.5 - field / soft, 0.0, 1.0)
    image += share * (np.float32(value) - image)


def _paint_lesion(
    image: Float32Array, grid: Grid, lesion: Blob, look: Look, soft: float, rng: np.random.Generator
) -> None:
    """An enhancing rim around a darker, uneven core, and an edge that is never quite sharp."""
    window = index_window(lesion.box_mm(), grid, 4.0)
    if window is None:
        return
    part = grid.cropped(window)
    field = distance_band(lesion, part, 4.0)
    radius = (lesion.volume_ml * 750.0 / np.pi) ** (1 / 3)
    core = np.clip((-field / radius - 0.12) / 0.25, 0.0, 1.0)
    uneven = _smooth_noise(part, 0.35 * radius, rng) * look.texture * 2.0
    rim, dark = look.value["lesion_rim"], look.value["lesion_core"]
    value = rim + core * (dark - rim + uneven)
    edge = max(soft, 1.6)
    share = np.clip(0.5 - field / edge, 0.0, 1.0)
    image[window] += share * (value - image[window])


def _add_texture(image: Float32Array, grid: Grid, strength: float, rng: np.random.Generator) -> None:
    """Faint structure at two scales, everywhere but in air."""
    tissue = image > AIR_BELOW
    for scale_mm, share in ((9.0, 0.6), (3.0, 0.8)):
        image += tissue * (np.float32(strength * share) * _smooth_noise(grid, scale_mm, rng))


def _smooth_noise(grid: Grid, fwhm_mm: float, rng: np.random.Generator) -> Float32Array:
    """Unit-variance noise of a given grain."""
    noise = rng.standard_normal(grid.shape, dtype=np.float32)
    _blur(noise, grid, fwhm_mm)
    noise /= np.float32(max(float(noise[::2, ::2, ::2].std()), 1e-6))
    return noise


def _noise(grid: Grid, strength: float, rng: np.random.Generator) -> Float32Array:
    """Scanner noise with the grain of a soft kernel and standard deviation `strength`."""
    return _smooth_noise(grid, NOISE_FWHM_MM, rng) * np.float32(strength)


def _bias(grid: Grid, rng: np.random.Generator) -> Float32Array:
    """A coil's smooth shading, +/- 15 %."""
    i, j, k = (np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape)
    a, b, c = (np.float32(v) for v in rng.uniform(-0.1, 0.1, 3))
    return np.asarray(1 + a * i[:, None, None] + b * j[None, :, None] + c * (k**2)[None, None, :])


def _blur(array: Float32Array, grid: Grid, fwhm_mm: float) -> None:
    """Gaussian blur in place, axis by axis."""
    from scipy.ndimage import gaussian_filter1d

    for axis, spacing in enumerate(grid.spacing_mm):
        sigma = fwhm_mm / 2.355 / spacing
        if sigma > 0.15:
            gaussian_filter1d(array, sigma, axis=axis, output=array, mode="nearest", truncate=2.6)

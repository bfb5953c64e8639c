"""Metastases drawn into livers: their places, shapes and inner structure, on painted and on real scans.

Sizes follow the shared clinical reference 4.3, appearance 4.1. Lesions drawn into real scans teach a network nearly as
much as real ones (Hu et al., CVPR 2023): the liver around them is as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.segmentation.intensity import FloatVolume
from liverplan.training import anatomies as t
from liverplan.training.fields import Box, box_around, offsets, rotation, smooth_noise

_FEWEST_VOXELS = 500
"""A liver smaller than this in a patch gets no lesion."""
_LARGE_MM = 30.0
"""From here on lesions may be lobed, patchy and full of deposits."""


@dataclass(frozen=True)
class Lesion:
    """One lesion in a patch. box: where; in it radius (normalised, below 1 inside) and mask (its voxels)."""

    box: Box
    radius: FloatVolume
    mask: npt.NDArray[np.bool_]
    size_mm: float


def add_lesions(labels: t.LabelArray, most: int, spacing_mm: float, rng: np.random.Generator) -> list[Lesion]:
    """Write 0 to `most` lesions into the liver of `labels`, in place, and return them."""
    room = np.flatnonzero(labels == t.LIVER)
    if len(room) < _FEWEST_VOXELS:
        return []
    drawn = []
    for _ in range(int(rng.integers(0, most + 1))):
        centre = np.array(np.unravel_index(room[rng.integers(len(room))], labels.shape))
        box, radius, size_mm = _shape(centre, labels.shape, spacing_mm, rng)
        part = labels[box]
        home = part == t.LIVER
        if rng.random() > 0.6:  # this one displaces veins, the others spare them
            home |= np.isin(part, (t.PORTAL_IN, t.HEPATIC, t.VEIN))
        mask = (radius < 1.0) & home
        part[mask] = t.LESION
        drawn.append(Lesion(box, radius, mask, size_mm))
    return drawn


def _shape(
    centre: npt.NDArray[np.int_], shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator
) -> tuple[Box, FloatVolume, float]:
    """Box, normalised radius and size in mm of a rough ellipsoid; a large one may have lobes."""
    size_mm = _size_mm(rng)
    half_mm = size_mm / 2
    box = box_around(centre, half_mm * 1.7 / spacing_mm + 1, shape)
    place = offsets(centre, box, spacing_mm)
    radius = _ellipsoid(place, half_mm, rng)
    if size_mm > _LARGE_MM and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            away = rng.standard_normal(3)
            away *= rng.uniform(0.4, 0.8) * half_mm / np.linalg.norm(away)
            lobe = _ellipsoid(place - away[:, None, None, None], half_mm * rng.uniform(0.4, 0.75), rng)
            radius = np.minimum(radius, lobe)
    rough = smooth_noise(radius.shape, max(half_mm * 0.7 / spacing_mm, 2.0), rng)
    radius = radius * (1.0 + rng.uniform(0.03, 0.16) * rough)
    return box, radius.astype(np.float32), size_mm


def _size_mm(rng: np.random.Generator) -> float:
    """5 to 70 mm with a median of 20 (clinical reference 4.3), and one in eight large: they are the most voxels."""
    if rng.random() < 0.12:
        return float(rng.uniform(35.0, 95.0))
    return float(np.clip(np.exp(rng.normal(np.log(20.0), 0.6)), 5.0, 70.0))


def _ellipsoid(place_mm: npt.NDArray[np.float64], half_mm: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    turned = np.tensordot(rotation(rng.uniform(0, np.pi, 3)), place_mm, axes=1)
    axes = half_mm * rng.uniform(0.75, 1.2, 3)
    return np.asarray(np.sqrt(sum((turned[a] / axes[a]) ** 2 for a in range(3))))


def paint_lesion(
    hu: FloatVolume, lesion: Lesion, liver_hu: float, lesion_hu: float, spacing_mm: float, rng: np.random.Generator
) -> None:
    """Rim, body, necrosis, and now and then living parts and deposits (clinical reference 4.1); in place."""
    if not lesion.mask.any():
        return
    body = lesion_hu + rng.normal(0, 6)
    value = body + rng.uniform(2, 10) * _field(lesion, 6.0, spacing_mm, rng)
    if rng.random() < 0.7:  # a rim is seen in about three of four
        rim = 1.0 - rng.uniform(0.08, 0.3)
        value = np.where(lesion.radius > rim, 0.5 * (body + liver_hu) + rng.normal(0, 12), value)
    if lesion.size_mm > _LARGE_MM:
        value = _patchy(value, lesion, liver_hu, body, spacing_mm, rng)
    elif lesion.size_mm > 18 and rng.random() < 0.5:
        value = np.where(lesion.radius < rng.uniform(0.3, 0.7), body - rng.uniform(8, 45), value)
    if lesion.size_mm > 12 and rng.random() < (0.25 if lesion.size_mm > _LARGE_MM else 0.1):
        grain = _field(lesion, rng.uniform(4.0, 9.0), spacing_mm, rng) + 0.6 * _field(lesion, 3.0, spacing_mm, rng)
        spots = grain > rng.uniform(1.0, 2.4)
        value = np.where(spots, rng.uniform(150, 600), value)
    hu[lesion.box][lesion.mask] = value[lesion.mask]


def _patchy(
    value: FloatVolume, lesion: Lesion, liver_hu: float, body: float, spacing_mm: float, rng: np.random.Generator
) -> FloatVolume:
    """A large one inside: uneven, necrotic in the middle or here and there, in parts hardly darker than the liver."""
    value = value + rng.uniform(0, 18) * _field(lesion, lesion.size_mm * 0.3, spacing_mm, rng)
    kind = rng.random()
    if kind < 0.35:
        value = np.where(lesion.radius < rng.uniform(0.3, 0.75), value - rng.uniform(8, 45), value)
    elif kind < 0.7:
        dead = _field(lesion, rng.uniform(6.0, 20.0), spacing_mm, rng) > rng.uniform(-0.5, 1.0)
        value = np.where(dead, value - rng.uniform(8, 45), value)
    if rng.random() < 0.35:
        alive = _field(lesion, rng.uniform(8.0, 25.0), spacing_mm, rng) > rng.uniform(0.0, 1.2)
        value = np.where(alive, body + rng.uniform(0.5, 0.95) * (liver_hu - body), value)
    return np.asarray(value, dtype=np.float32)


def _field(lesion: Lesion, length_mm: float, spacing_mm: float, rng: np.random.Generator) -> FloatVolume:
    return smooth_noise(lesion.radius.shape, max(length_mm / spacing_mm, 1.2), rng)


def with_drawn_lesions(
    image_hu: FloatVolume, liver: npt.NDArray[np.bool_], most: int, spacing_mm: float, rng: np.random.Generator
) -> tuple[FloatVolume, npt.NDArray[np.bool_]]:
    """A real CT with drawn lesions in `liver`, and where they are. The scan's own noise runs through them."""
    labels = np.where(liver, np.uint8(t.LIVER), np.uint8(0))
    lesions = add_lesions(labels, most, spacing_mm, rng)
    mask = labels == t.LESION
    if not mask.any():
        return image_hu, mask
    liver_hu = float(np.median(image_hu[liver]))
    drawn = np.full(image_hu.shape, liver_hu, dtype=np.float32)
    for lesion in lesions:
        darker = rng.uniform(12.0, max(0.6 * liver_hu, 20.0))
        paint_lesion(drawn, lesion, liver_hu, liver_hu - darker, spacing_mm, rng)
    blur = (0.6, 0.6, rng.uniform(0.6, 1.5))
    share = ndimage.gaussian_filter(mask.astype(np.float32), blur)
    noise = image_hu - ndimage.gaussian_filter(image_hu, 1.5)
    return image_hu + share * (ndimage.gaussian_filter(drawn, blur) + noise - image_hu), mask

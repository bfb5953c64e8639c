"""CT and MR patches painted from label maps: geometry, tissue, lesions, blur, slices and noise, new for every sample.

The idea is SynthSeg's (Billot et al., Med Image Anal 2023;86:102789): labels are real, appearance is drawn. Attenuation
by phase follows the shared clinical reference 4.1. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.segmentation.intensity import FloatVolume, scaled, scaled_signal
from liverplan.training import anatomies as tissue
from liverplan.training.anatomies import N_TISSUES, LabelArray
from liverplan.training.appearance import AIR_HU, draw_look, paint
from liverplan.training.appearance_mr import THICKNESS_MM, draw_mr_look, received
from liverplan.training.fields import rotation, smooth_noise
from liverplan.training.lesions import add_lesions
from liverplan.training.losses import EITHER_VEIN
from liverplan.training.mimics import with_mimics

_ACROSS = (0.05, 0.2, 0.75)
"""How often the slices of an MR lie across i (sagittal), j (coronal) and k (axial)."""


@dataclass(frozen=True)
class Patch:
    """image: float32 in [-1, 1]. target: uint8 codes of `losses`, same shape."""

    image: FloatVolume
    target: LabelArray


@dataclass(frozen=True)
class Recipe:
    """What to draw. classes: target code of every tissue value (`N_TISSUES` entries)."""

    shape: tuple[int, int, int]
    spacing_mm: float
    classes: LabelArray
    liver_centred: float = 0.7
    max_lesions: int = 4
    deformation_mm: float = 6.0
    drawn_vessels: bool = False
    modality: str = "CT"


def draw_patch(labels: LabelArray, recipe: Recipe, rng: np.random.Generator) -> Patch:
    """One training patch from an abdomen of `anatomies` at the recipe's spacing."""
    moved = _moved(labels, recipe, rng)
    moved = field_of_view(moved, rng)
    moved = with_mimics(moved, recipe.spacing_mm, rng)
    look = draw_mr_look(rng) if recipe.modality == "MR" else draw_look(rng)
    lesions = add_lesions(moved, recipe.max_lesions, recipe.spacing_mm, rng)
    painted = paint(moved, lesions, look, recipe.spacing_mm, recipe.drawn_vessels, rng)
    ended = moved == tissue.EDGE
    image = as_mr(painted, ended, recipe, rng) if recipe.modality == "MR" else _as_ct(painted, ended, recipe, rng)
    return Patch(image, recipe.classes[moved])


def _as_ct(painted: FloatVolume, ended: npt.NDArray[np.bool_], recipe: Recipe, rng: np.random.Generator) -> FloatVolume:
    hounsfield = scanned(painted, recipe.spacing_mm, rng)
    hounsfield[ended] = AIR_HU
    return scaled(hounsfield)


def as_mr(painted: FloatVolume, ended: npt.NDArray[np.bool_], recipe: Recipe, rng: np.random.Generator) -> FloatVolume:
    """Uneven sensitivity, thicker slices, noise that is never negative; where the scan has `ended` it is dark.

    Slices are axial, now and then coronal or sagittal.
    """
    bias = smooth_noise(recipe.shape, 120.0 / recipe.spacing_mm, rng)
    seen = received(painted, bias, rng.uniform(0.05, 0.45))
    across, thickness_mm = int(rng.choice(3, p=_ACROSS)), float(rng.choice(THICKNESS_MM))
    stack = scanned(np.moveaxis(seen, across, 2), recipe.spacing_mm, rng, thickness_mm)
    signal = np.abs(np.moveaxis(stack, 2, across))
    signal[ended] = 0.0
    return scaled_signal(signal, (rng.uniform(0.0, 3.0), rng.uniform(97.0, 99.9)))


# Geometry


def _moved(labels: LabelArray, recipe: Recipe, rng: np.random.Generator) -> LabelArray:
    """Labels seen through a random rotation, scaling and smooth deformation; EDGE outside the map."""
    centre = patch_centre(labels, recipe, rng)
    angles = rng.normal(0.0, np.radians(6.0), 3)
    matrix = rotation(angles) * rng.uniform(0.86, 1.18, 3)
    axes = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in recipe.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    where = np.tensordot(matrix.astype(np.float32), grid, axes=1) + centre.astype(np.float32)[:, None, None, None]
    amount = rng.uniform(0.0, recipe.deformation_mm) / recipe.spacing_mm
    for axis in range(3):
        where[axis] += amount * smooth_noise(recipe.shape, 40.0 / recipe.spacing_mm, rng)
    return _gathered(labels, where)


def _gathered(labels: LabelArray, where: FloatVolume) -> LabelArray:
    index = np.rint(where).astype(np.int32)
    inside = np.ones(where.shape[1:], dtype=bool)
    for axis in range(3):
        inside &= (index[axis] >= 0) & (index[axis] < labels.shape[axis])
        np.clip(index[axis], 0, labels.shape[axis] - 1, out=index[axis])
    # Beyond the sides of a map is air; above and below it the scan has ended: both are air to the network.
    return np.where(inside, labels[index[0], index[1], index[2]], tissue.EDGE).astype(np.uint8)


def patch_centre(labels: LabelArray, recipe: Recipe, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Around a liver voxel, or anywhere in the body; never so far that the patch is mostly outside."""
    half = np.array(recipe.shape) / 2
    liver = rng.random() < recipe.liver_centred
    candidates = np.flatnonzero((labels == tissue.LIVER) if liver else (labels > 0))
    pick = np.array(np.unravel_index(candidates[rng.integers(len(candidates))], labels.shape), dtype=np.float64)
    pick += rng.uniform(-0.25, 0.25, 3) * half
    shape = np.array(labels.shape)
    low, high = np.minimum(half * 0.8, shape / 2), np.maximum(shape - half * 0.8, shape / 2)
    return np.asarray(np.clip(pick, low, high))


def field_of_view(labels: LabelArray, rng: np.random.Generator) -> LabelArray:
    """EDGE where the scan has ended: now and then it starts or ends inside the patch, or is only a slab of it."""
    n, kind = labels.shape[2], rng.random()
    first, last = 0, n
    if kind < 0.15:
        first = int(rng.uniform(0.05, 0.5) * n)
    elif kind < 0.3:
        last = n - int(rng.uniform(0.05, 0.5) * n)
    elif kind < 0.5:
        thick = int(rng.uniform(0.2, 0.7) * n)
        first = int(rng.integers(0, n - thick + 1))
        last = first + thick
    labels[:, :, :first] = tissue.EDGE
    labels[:, :, last:] = tissue.EDGE
    if rng.random() < 0.15:  # a field narrower than the body, along one in-plane axis
        axis, cut = int(rng.integers(2)), int(rng.uniform(0.02, 0.2) * n)
        sides = np.moveaxis(labels, axis, 0)
        sides[slice(0, cut) if rng.random() < 0.5 else slice(sides.shape[0] - cut, None)] = tissue.EDGE
    return labels


# The scanner


def scanned(
    hounsfield: FloatVolume, spacing_mm: float, rng: np.random.Generator, thickness_mm: float | None = None
) -> FloatVolume:
    """Blur, slice thickness, reconstruction noise: what a scan resampled to `spacing_mm` shows of the object.

    thickness_mm: of a slice; drawn as for CT when None.
    """
    in_plane = rng.uniform(0.3, 1.0) * (1.5 / spacing_mm) ** 0.5
    image = ndimage.gaussian_filter1d(ndimage.gaussian_filter1d(hounsfield, in_plane, 0), in_plane, 1)
    if thickness_mm is None:
        thickness_mm = float(rng.choice([1.0, 1.5, 2.0, 2.5, 3.0, 5.0], p=[0.2, 0.15, 0.15, 0.15, 0.1, 0.25]))
    step = max(thickness_mm / spacing_mm, 1.0)
    slices, back = _slice_operators(image.shape[2], step, rng)
    image = image @ slices.T
    sd = rng.uniform(2.0, 22.0) * (0.7 if thickness_mm >= 3 else 1.0)
    white = rng.standard_normal(image.shape).astype(np.float32)
    if rng.random() < 0.7:
        white = ndimage.gaussian_filter(white, (0.7, 0.7, 0)) * np.float32(2.4)
    image = (image + np.float32(sd) * white) @ back.T
    return np.asarray(image, dtype=np.float32)


def _slice_operators(n: int, step: float, rng: np.random.Generator) -> tuple[FloatVolume, FloatVolume]:
    """Matrices along z: (slices, n) averages over each slice, (n, slices) interpolates linearly back."""
    count = max(int(np.ceil((n - 1) / step)) + 2, 2)
    position = (np.arange(count) - rng.uniform(0.0, 1.0)) * step
    away = np.abs(np.arange(n)[None, :] - np.clip(position, 0, n - 1)[:, None])
    weight = np.clip(step / 2 + 0.5 - away, 0.0, 1.0) + 1e-9
    averages = weight / weight.sum(1, keepdims=True)
    hat = np.clip(1.0 - np.abs(np.arange(n)[:, None] - position[None, :]) / step, 0.0, None)
    return averages.astype(np.float32), (hat / hat.sum(1, keepdims=True)).astype(np.float32)


def classes_for(mapping: dict[int, int]) -> LabelArray:
    """A table from tissue value to target code; tissues not in `mapping` are background."""
    table = np.zeros(N_TISSUES, dtype=np.uint8)
    for value, code in mapping.items():
        table[value] = code
    return table


LOCATE_CLASSES = classes_for(
    dict.fromkeys((tissue.LIVER, tissue.CYST, tissue.LESION, tissue.PORTAL_IN, tissue.HEPATIC, tissue.VEIN), 1)
)
SEGMENT_CLASSES = classes_for(
    {
        tissue.LIVER: 1,
        tissue.CYST: 1,
        tissue.LESION: 2,
        tissue.PORTAL_IN: 3,
        tissue.PORTAL: 3,
        tissue.HEPATIC: 4,
        tissue.VENA_CAVA: 5,
        tissue.VEIN: EITHER_VEIN,
    }
)

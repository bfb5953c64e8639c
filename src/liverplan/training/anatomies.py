"""Whole-abdomen label maps for synthesis: real surroundings, real livers of many patients put into them.

All arrays are canonical: i runs to the patient's left, j to posterior, k to superior, isotropic spacing.
Tissue values 1 to 22 are those of the multi-organ maps (shared data README); 0 is air around the body and the values
below are added, because what those maps leave unlabelled is fat, muscle and skin, not air.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.processing import resample_from_to
from scipy import ndimage
from skimage.morphology import convex_hull_image

from liverplan.volume import AnyArray

LabelArray = npt.NDArray[np.uint8]

LIVER, SPLEEN, KIDNEY_R, KIDNEY_L, GALLBLADDER, STOMACH, PANCREAS, AORTA, VENA_CAVA, PORTAL = range(1, 11)
ADRENALS, DUODENUM, SMALL_BOWEL, COLON, OESOPHAGUS, LUNGS, HEART, VERTEBRAE, BONES, MUSCLE, OTHER, OUTLINE = range(
    11, 23
)
FAT, SUBCUTANEOUS, WALL = 23, 24, 25
LESION, PORTAL_IN, HEPATIC, EDGE, VEIN, CYST = 26, 27, 28, 29, 30, 31
"""VEIN: portal or hepatic, which of them nobody said."""
N_TISSUES = 32

_KEEPS_ITS_PLACE = (KIDNEY_R, KIDNEY_L, GALLBLADDER, AORTA, VENA_CAVA, ADRENALS, HEART, VERTEBRAE, BONES, MUSCLE)
_WITH_VEIN = np.uint8(10)
"""Added to a segment's number where a vein runs, while a liver is moved."""
_FILLS_A_GAP = (STOMACH, PANCREAS, DUODENUM, SMALL_BOWEL, COLON, LUNGS, FAT)


@dataclass(frozen=True)
class Abdomen:
    """A label map with tissue everywhere. spacing_mm is isotropic; `liver_whole` is False where the scan cuts it."""

    name: str
    labels: LabelArray
    spacing_mm: float
    inner: npt.NDArray[np.bool_]
    """Inside of the rib cage and the abdominal wall."""


def read_canonical(path: Path) -> tuple[AnyArray, tuple[float, float, float]]:
    """Array in the order L, P, S and its spacing in mm."""
    image = nib.as_closest_canonical(nib.load(path))
    array = np.asarray(image.dataobj)[::-1, ::-1]
    spacing = [float(z) for z in image.header.get_zooms()[:3]]
    return array, (spacing[0], spacing[1], spacing[2])


def read_abdomen(path: Path, rng: np.random.Generator, reach_mm: float = 150.0) -> Abdomen:
    """A multi-organ map cut to the liver's height and `reach_mm` around, with body wall and fat added."""
    array, spacing = read_canonical(path)
    labels = array.astype(np.uint8)
    labels[labels == OUTLINE] = 0
    step = round(reach_mm / spacing[0])
    levels = np.flatnonzero((labels == LIVER).any(axis=(0, 1)))
    labels = labels[:, :, max(levels[0] - step, 0) : levels[-1] + step]
    room = round(60.0 / spacing[0])
    labels = np.pad(labels, ((room, room), (room, room), (0, 0)))
    labels, inner = _with_body(labels, spacing[0], rng)
    return Abdomen(path.name.split(".")[0], labels, spacing[0], inner)


def _with_body(
    labels: LabelArray, spacing_mm: float, rng: np.random.Generator
) -> tuple[LabelArray, npt.NDArray[np.bool_]]:
    """Fill what is unlabelled: fat and a muscular wall inside, a fat layer around, air outside."""
    coarse = labels[::2, ::2, ::2]
    hull = np.zeros(coarse.shape, dtype=bool)
    for k in range(coarse.shape[2]):
        if (coarse[:, :, k] > 0).sum() > 20:
            hull[:, :, k] = convex_hull_image(coarse[:, :, k] > 0)
    hull = ndimage.gaussian_filter(hull.astype(np.float32), (1, 1, 3)) > 0.5
    step = 2 * spacing_mm
    depth = (ndimage.distance_transform_edt(~hull) - ndimage.distance_transform_edt(hull)) * step
    depth += 2.0 * ndimage.gaussian_filter(rng.standard_normal(depth.shape), 6) * 15
    wall, fat = rng.uniform(6, 14), rng.uniform(6, 38)
    body = np.full(coarse.shape, FAT, dtype=np.uint8)
    body[depth > -rng.uniform(5, 13)] = WALL
    body[depth > wall] = SUBCUTANEOUS
    body[depth > wall + fat] = 0
    body = body.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: labels.shape[0], : labels.shape[1], : labels.shape[2]]
    inner = (depth < 0).repeat(2, 0).repeat(2, 1).repeat(2, 2)[: labels.shape[0], : labels.shape[1], : labels.shape[2]]
    return np.where(labels > 0, labels, body).astype(np.uint8), inner


def read_couinaud(path: Path) -> tuple[LabelArray, float]:
    """Couinaud segments 1 to 8 of one liver, canonical, isotropic."""
    array, spacing = read_canonical(path)
    return array.astype(np.uint8), spacing[0]


def read_veins(path: Path, couinaud: Path) -> npt.NDArray[np.bool_]:
    """Portal and hepatic veins, not told apart (label 2 of `path`), on the canonical grid of a Couinaud map."""
    image, grid = nib.load(path), nib.as_closest_canonical(nib.load(couinaud))
    veins = nib.Nifti1Image((np.asarray(image.dataobj) == 2).astype(np.float32), image.affine)
    # Below one half: at 1.5 mm thin branches would break into pieces.
    return np.asarray(resample_from_to(veins, grid, order=1).get_fdata()[::-1, ::-1] > 0.4)


def transplant(
    host: Abdomen, segments: LabelArray, rng: np.random.Generator, veins: npt.NDArray[np.bool_] | None = None
) -> tuple[Abdomen, LabelArray] | None:
    """The host with another patient's liver (Couinaud map at the host's spacing), and the map on the host's grid.

    The two are aligned at the vena cava's groove and the dome. `veins`, on the grid of `segments`, come along as VEIN.
    None when the liver does not fit the host's trunk.
    """
    if veins is not None:
        segments = segments + _WITH_VEIN * (veins & (segments > 0)).astype(np.uint8)
    old = host.labels == LIVER
    volumes = old.sum() / max((segments > 0).sum(), 1)
    scale = float(np.clip(volumes ** (1 / 6), 0.85, 1.2))
    for shrink in (1.0, 0.93, 0.87, 0.8):
        placed = _placed(host, segments, scale * shrink, rng)
        liver = ndimage.binary_fill_holes(placed > 0)
        room = host.inner & ~np.isin(host.labels, _KEEPS_ITS_PLACE)
        fits = (liver & room).sum() / max((segments > 0).sum() * (scale * shrink) ** 3, 1)
        if fits > 0.86:
            break
    else:
        return None
    labels = _without_liver(host.labels)
    labels[_without_slivers(liver & room)] = LIVER
    placed = np.where(labels == LIVER, placed, 0).astype(np.uint8)
    labels[placed > _WITH_VEIN] = VEIN
    return Abdomen(host.name, labels, host.spacing_mm, host.inner), placed % _WITH_VEIN


def _without_slivers(liver: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest connected part after thin pieces (a renal sinus, gaps between ribs) are cut off."""
    core = ndimage.binary_opening(liver, iterations=2)
    parts, _ = ndimage.label(core)
    largest = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    return np.asarray(ndimage.binary_dilation(largest, iterations=2) & liver)


def _placed(host: Abdomen, segments: LabelArray, scale: float, rng: np.random.Generator) -> LabelArray:
    """The Couinaud map scaled and moved onto the host's grid."""
    small = ndimage.zoom(segments, scale, order=0)
    small = _smoothed_union(small)
    caudate = np.argwhere(small % _WITH_VEIN == 1)
    anchor = caudate.mean(0) + np.array([-6.0, 14.0, 0.0]) / host.spacing_mm
    levels = np.flatnonzero((host.labels == LIVER).any(axis=(0, 1)))
    cava = np.argwhere(host.labels[:, :, levels[len(levels) // 2] : levels[-1] + 1] == VENA_CAVA)
    if len(cava) == 0:
        cava = np.argwhere(host.labels == VENA_CAVA)
    target = np.array([*cava[:, :2].mean(0), 0.0]) + np.array([*rng.normal(0, 2, 2), 0.0])
    shift = np.round(target - anchor).astype(int)
    shift[2] = levels[-1] - np.flatnonzero((small > 0).any(axis=(0, 1)))[-1] + int(rng.integers(-4, 5))
    return _pasted(np.zeros_like(host.labels), small, shift)


def _pasted(canvas: LabelArray, piece: LabelArray, shift: npt.NDArray[np.int_]) -> LabelArray:
    low = np.maximum(shift, 0)
    high = np.minimum(shift + np.array(piece.shape), canvas.shape)
    if (high <= low).any():
        return canvas
    inner = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, shift, strict=True))
    canvas[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = piece[inner]
    return canvas


def _smoothed_union(segments: LabelArray) -> LabelArray:
    """Take stair steps off the outline; the segment of a new voxel is its nearest one's."""
    soft = ndimage.gaussian_filter((segments > 0).astype(np.float32), 1.2) > 0.5
    nearest = ndimage.distance_transform_edt(segments == 0, return_distances=False, return_indices=True)
    return np.where(soft, segments[tuple(nearest)], 0).astype(np.uint8)


def _without_liver(labels: LabelArray) -> LabelArray:
    """The host after its liver has been taken out; neighbours and fat grow into the gap."""
    out = labels.copy()
    source = np.isin(labels, _FILLS_A_GAP)
    box = tuple(
        slice(max(int(h[0]) - 12, 0), int(h[-1]) + 13)
        for h in (
            np.flatnonzero((labels == LIVER).any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)
        )
    )
    nearest = ndimage.distance_transform_edt(~source[box], return_distances=False, return_indices=True)
    filled = out[box][tuple(nearest)]
    out[box] = np.where(labels[box] == LIVER, filled, out[box])
    return out

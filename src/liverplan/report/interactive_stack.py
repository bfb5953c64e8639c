"""The slices that report.html scrolls through: the liver's box at 8 bit, with outlines. Kept in OUT/figures/stack.json.

The picture is for looking: voxels of the image as they are, on a coarser lattice along the same axes where the box is
large. No number is read from it: the ring that follows the margin slider is drawn to about a voxel of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, distance_transform_edt

from liverplan.anatomy import Structure
from liverplan.io.folder import write_text_atomic
from liverplan.report.figures import FOLDER, SHELL_RGB
from liverplan.report.interactive_scene import packed
from liverplan.report.slices import OUTLINED, window_of
from liverplan.volume import AnyArray, FloatArray, Grid, Segmentation, Volume, bounding_box

FILE = "stack.json"
MOST_VOXELS = 3_000_000
"""About 2.5 MB in the page; a liver's box of 22 x 18 x 20 cm comes to 1.4 mm."""
MARGIN_MM = 12.0
"""Tissue shown around the liver, to judge its outline."""
REACH_MM, REACH_STEP_MM = 32.0, 0.2
"""How far around the lesions the ring of the margin slider is kept, a little beyond the curve, and in which steps."""


def write_stack(out_dir: Path, volume: Volume, segmentation: Segmentation) -> None:
    """Write OUT/figures/stack.json from a canonical volume and its masks; no file without a liver.

    Raises OutputError, ResourceError.
    """
    path = out_dir / FOLDER / FILE
    liver = segmentation.mask(Structure.LIVER)
    if not liver.any():
        path.unlink(missing_ok=True)
        return
    spacing = volume.grid.spacing_mm
    i, j, k = (int(np.ceil(MARGIN_MM / s)) for s in spacing)
    box = bounding_box(liver, (i, j, k))
    lattice = coarse_lattice(volume.grid.cropped(box), MOST_VOXELS)
    low, high = window_of(volume, liver)
    step = np.array(lattice.spacing_mm) / np.array(spacing)
    grey = ((_sampled(volume.array[box], step, lattice) - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    masks = {s: _nearest(segmentation.mask(s)[box], step, lattice) for s in OUTLINED if segmentation.has(s)}
    bits = sum(
        (mask.astype(np.uint8) << bit for bit, mask in enumerate(masks.values())), np.zeros(lattice.shape, np.uint8)
    )
    payload = {
        "shape": lattice.shape,
        "spacing_mm": [round(s, 4) for s in lattice.spacing_mm],
        "affine_lps": lattice.affine[:3].round(4).tolist(),
        "to_index": np.linalg.inv(lattice.affine)[:3].round(6).tolist(),
        "window": [round(low, 1), round(high, 1)],
        "image_spacing_mm": [round(s, 2) for s in spacing],
        "grey": packed(grey.transpose(2, 1, 0)),
        "bits": packed(bits.transpose(2, 1, 0)),
        "reach": packed(_reach(masks, lattice).transpose(2, 1, 0)),
        "reach_step_mm": REACH_STEP_MM,
        "outlines": [{"title": s.title, "rgb": s.info.rgb, "bit": bit} for bit, s in enumerate(masks)],
        "ring_rgb": SHELL_RGB,
    }
    write_text_atomic(path, json.dumps(payload, separators=(",", ":")))


def coarse_lattice(grid: Grid, most_voxels: int) -> Grid:
    """A grid over the same box along the same axes with at most about `most_voxels`, never finer than `grid`."""
    extent = np.array(grid.spacing_mm) * (np.array(grid.shape) - 1)
    step = np.maximum(np.array(grid.spacing_mm), 0.7)
    while np.prod(np.floor(extent / step) + 1) > most_voxels:
        # The finest axes give way first, so that thick slices lose nothing.
        step = np.maximum(step, step.min() * 1.03)
    i, j, k = (int(n) for n in np.floor(extent / step) + 1)
    affine = grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * (step / np.array(grid.spacing_mm))
    return Grid((i, j, k), affine)


def _sampled(array: AnyArray, step: FloatArray, lattice: Grid) -> AnyArray:
    """An array, linearly interpolated at every `step` voxels of it."""
    return np.asarray(affine_transform(array.astype(np.float32), step, output_shape=lattice.shape, order=1))


def _nearest(array: AnyArray, step: FloatArray, lattice: Grid) -> AnyArray:
    """The voxel of an array nearest to every `step` voxels of it."""
    places = [
        (np.arange(m) * s).round().astype(int).clip(0, n - 1)
        for n, m, s in zip(array.shape, lattice.shape, step, strict=True)
    ]
    return np.asarray(array[np.ix_(*places)])


def _reach(masks: Mapping[Structure, AnyArray], lattice: Grid) -> npt.NDArray[np.uint8]:
    """How far the liver near the lesions is from them, in steps of REACH_STEP_MM, for the ring; 255 elsewhere."""
    reach = np.full(lattice.shape, 255, np.uint8)
    if Structure.LESIONS not in masks or not masks[Structure.LESIONS].any():
        return reach
    i, j, k = (int(np.ceil(REACH_MM / s)) for s in lattice.spacing_mm)
    box = bounding_box(masks[Structure.LESIONS], (i, j, k))
    away = distance_transform_edt(~masks[Structure.LESIONS][box], sampling=lattice.spacing_mm)
    # The boundary of a mask lies half a voxel before the first voxel outside.
    steps = (away - min(lattice.spacing_mm) / 2).clip(0) / REACH_STEP_MM
    near = masks[Structure.LIVER][box] & (away <= REACH_MM)
    reach[box][near] = steps[near].round().clip(0, 254).astype(np.uint8)
    return reach


def stack_facts(stack: Mapping[str, Any]) -> str:
    """What a reader must know about the slices, in a sentence."""
    shown, image = (
        " \N{MULTIPLICATION SIGN} ".join(f"{s:.1f}" for s in stack[k]) for k in ("spacing_mm", "image_spacing_mm")
    )
    low, high = stack["window"]
    return f"Shown at {shown} mm, 8 bit, grey values {low:g} to {high:g}; the image itself has voxels of {image} mm."

"""A phantom's masks on a grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.phantom.patient import Phantom
from liverplan.phantom.raster import index_window, mask_of, mask_of_tree
from liverplan.volume import Grid, Segmentation


def render_masks(phantom: Phantom, grid: Grid) -> Segmentation:
    """One mask per structure by voxel centre inside; hepatic veins end where the vena cava begins."""
    cava = mask_of_tree(phantom.vena_cava, grid)
    masks = {
        Structure.LIVER: mask_of(phantom.liver, grid),
        Structure.LESIONS: _lesion_labels(phantom, grid),
        Structure.PORTAL_VEIN: mask_of_tree(phantom.portal, grid),
        Structure.HEPATIC_VEINS: mask_of_tree(phantom.hepatic, grid) & ~cava,
        Structure.VENA_CAVA: cava,
    }
    return Segmentation(grid, {structure: mask.astype(np.uint8) for structure, mask in masks.items()})


def _lesion_labels(phantom: Phantom, grid: Grid) -> npt.NDArray[np.uint8]:
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for number, lesion in enumerate(phantom.lesions, start=1):
        window = index_window(lesion.box_mm(), grid)
        if window is not None:
            part = labels[window]
            part[mask_of(lesion, grid.cropped(window))] = number
    return labels

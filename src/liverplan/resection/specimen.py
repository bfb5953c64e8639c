"""From a smooth shape to voxels that a surgeon can take out: in reach, in one piece, nothing stranded."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from liverplan.cells import LabelArray
from liverplan.resection.workspace import Float32Array, Workspace
from liverplan.volume import BoolArray, bounding_box

SMALLEST_REMNANT_ML = 20.0
"""A piece of remnant that is cut off from the rest stays only above this, and with its own inflow and outflow."""
_FACES = ndimage.generate_binary_structure(3, 1)


def specimen_of(work: Workspace, level: Float32Array) -> BoolArray:
    """The liver's voxels (i, j, k) where the level set is negative, made fit to be cut by `tidied`."""
    return tidied(work, work.liver & work.lattice.below_zero(level))


def tidied(work: Workspace, specimen: BoolArray) -> BoolArray:
    """The specimen without loose bits, and with what it would strand.

    Pieces of it that hold no lesion go back to the remnant. Pieces of remnant that it cuts off go with it, unless they
    are large and keep a portal and a hepatic branch.
    """
    if not specimen.any():
        return specimen
    kept = _with_lesions(work, specimen)
    return kept | _stranded(work, kept) if kept.any() else kept


def reaches_capsule(work: Workspace, specimen: BoolArray) -> bool:
    """Whether every piece of the specimen has a voxel on the liver's surface."""
    if not specimen.any():
        return False
    box = bounding_box(specimen)
    pieces, count = ndimage.label(specimen[box], structure=_FACES)
    return bool(len(set(np.unique(pieces[work.surface_voxels[box] & specimen[box]])) - {0}) == count)


def _with_lesions(work: Workspace, specimen: BoolArray) -> BoolArray:
    box = bounding_box(specimen)
    pieces, count = ndimage.label(specimen[box], structure=_FACES)
    holds = np.zeros(count + 1, dtype=np.bool_)
    holds[np.unique(pieces[work.lesion_labels[box] > 0])] = True
    holds[0] = False
    kept = np.zeros_like(specimen)
    kept[box] = holds[pieces]
    return kept


def _stranded(work: Workspace, specimen: BoolArray) -> BoolArray:
    """Pieces of the remnant beside the largest one that cannot stay."""
    box = work.liver_box
    pieces, count = ndimage.label(work.liver[box] & ~specimen[box], structure=_FACES)
    stranded = np.zeros_like(specimen)
    if count < 2:
        return stranded
    voxels = np.bincount(pieces.ravel(), minlength=count + 1)
    voxels[0] = 0
    leaves = np.zeros(count + 1, dtype=np.bool_)
    for n in range(1, count + 1):
        leaves[n] = n != voxels.argmax() and not _lives(work, pieces, n, int(voxels[n]), box)
    stranded[box] = leaves[pieces]
    return stranded


def _lives(work: Workspace, pieces: LabelArray, number: int, voxels: int, box: tuple[slice, slice, slice]) -> bool:
    """A piece of remnant that is large and holds a stretch of every tree."""
    if voxels * work.grid.voxel_ml < SMALLEST_REMNANT_ML:
        return False
    start = np.array([s.start for s in box])
    for tree in work.trees:
        index = np.rint(work.grid.to_index(tree.tree.points_lps_mm)).astype(int) - start
        within = index[((index >= 0) & (index < pieces.shape)).all(axis=1)]
        if not (pieces[tuple(within.T)] == number).any():
            return False
    return True

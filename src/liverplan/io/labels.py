"""Arrays that hold label values: checked, narrowed to uint8, and listed without eight bytes per voxel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import SegmentationRefused
from liverplan.volume import AnyArray

Mask: TypeAlias = npt.NDArray[np.uint8]


def as_labels(array: AnyArray, what: str, highest: int = 255) -> Mask:
    """`array` as uint8 label values. Raises SegmentationRefused for probabilities, negative or too large values."""
    low, high = float(array.min()), float(array.max())
    whole = array.dtype.kind in "iub" or bool((array == np.rint(array)).all())
    if not whole or low < 0 or high > highest:
        kind = "fractions (probabilities?)" if not whole else f"values from {low:g} to {high:g}"
        raise SegmentationRefused(
            f"{what} is not a mask",
            got=kind,
            wanted=f"whole numbers from 0 to {highest}, 0 outside the structure",
            do="Threshold probabilities (usually at 0.5) and store the mask as integers.",
        )
    return array.astype(np.uint8, copy=False)


def label_values(labels: Mask) -> list[int]:
    """The values other than 0 that occur in `labels` (i, j, k), ascending."""
    seen = np.zeros(256, dtype=np.int64)
    for k in range(labels.shape[2]):
        plane = labels[:, :, k]
        if plane.any():  # per slice, because bincount widens its input to 8 bytes per voxel
            seen += np.bincount(plane.ravel(order="K"), minlength=256)
    return [int(v) for v in np.flatnonzero(seen) if v]


def one_value_or_many(labels: Mask, structure: Structure) -> Mask:
    """Lesions keep a value per lesion when there are several; every other mask becomes 0 and 1."""
    if labels.max() <= 1 or (structure is Structure.LESIONS and len(label_values(labels)) > 1):
        return labels
    return (labels > 0).view(np.uint8)

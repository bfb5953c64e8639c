"""Our own two networks in a row: modality, cascade, cleaning, and back to the input's voxel order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import SegmentationRefused
from liverplan.segmentation.cascade import label_liver, no_liver
from liverplan.segmentation.cleaning import clean, cut_off
from liverplan.segmentation.engines import choose_engine
from liverplan.segmentation.models import Model
from liverplan.volume import BoolArray, Grid, Reorientation, Segmentation, Volume

_AIR_BELOW_HU = -300.0
"""A CT of a person has air around or in it; values that never fall below this are no Hounsfield units."""
_WARNING = (
    "Segmented by a research model trained mostly on synthetic images (run by {engine}): check every outline against "
    "the scan before using a number."
)


class Cascade:
    """The networks of a registry's model, on the engine that is there."""

    def __init__(self, model: Model, device: str, engine: str) -> None:
        self.model = model
        self._device, self._engine = device, engine

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """See `liverplan.segmentation.segment`."""
        _require_ct(volume)
        upright = volume.canonical()
        labelled = label_liver(upright, self.model, choose_engine(self._device, self._engine), progress)
        masks, notes = clean(labelled.labels, upright.grid.spacing_mm)
        notes = [*cut_off(masks[Structure.LIVER], labelled.box, upright.grid.shape), *notes]
        whole = {s: _restored(m, labelled.box, volume.grid) for s, m in masks.items()}
        said = (_WARNING.format(engine=labelled.engine), *labelled.notes, *notes)
        return Segmentation(volume.grid, whole, "model", self.model.identity, said)


def _restored(mask: BoolArray, box: tuple[slice, slice, slice], grid: Grid) -> npt.NDArray[np.uint8]:
    """The mask of a canonical box in the whole image, stored as the image is."""
    whole = np.zeros(grid.shape, dtype=np.uint8)
    Reorientation.to_lps(grid).apply(whole)[box] = mask
    return whole


def _require_ct(volume: Volume) -> None:
    if volume.modality == "MR":
        raise SegmentationRefused(
            "the shipped model cannot segment MR",
            got="an MR image",
            wanted="a contrast-enhanced CT",
            do="Give masks with --segmentation, or a model for MR with --model.",
        )
    if float(volume.array.min()) > _AIR_BELOW_HU:
        raise no_liver(f"values from {volume.array.min():g} up, without air")

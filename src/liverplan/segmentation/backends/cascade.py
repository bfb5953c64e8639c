"""Our own two networks in a row: modality, cascade, cleaning, and back to the input's voxel order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import SegmentationRefused
from liverplan.segmentation.cascade import label_liver, no_liver
from liverplan.segmentation.cleaning import clean, cut_off
from liverplan.segmentation.confidence import confidence_of, without_doubtful
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
        _require_modality(volume, self.model)
        upright = volume.canonical()
        labelled = label_liver(upright, self.model, choose_engine(self._device, self._engine), progress)
        masks, notes = clean(labelled.labels, upright.grid.spacing_mm)
        notes = [*cut_off(masks[Structure.LIVER], labelled.box, upright.grid.shape), *notes]
        good, left_out = _good_enough(masks, self.model)
        spacing = upright.grid.spacing_mm
        if Structure.LESIONS in good:
            good[Structure.LESIONS], doubted = without_doubtful(
                labelled.scores, labelled.lattice, good[Structure.LESIONS], spacing
            )
            if doubted:
                notes.append(f"{doubted} spot(s) that the model itself doubts were not taken for lesions: look there.")
        sure = confidence_of(labelled.scores, labelled.lattice, good, spacing, labelled.factors)
        whole = {s: _restored(m, labelled.box, volume.grid) for s, m in good.items()}
        said = (_WARNING.format(engine=labelled.engine), *labelled.notes, *left_out, *(notes if not left_out else []))
        return Segmentation(volume.grid, whole, "model", self.model.identity, said, sure)


def _restored(mask: BoolArray, box: tuple[slice, slice, slice], grid: Grid) -> npt.NDArray[np.uint8]:
    """The mask of a canonical box in the whole image, stored as the image is."""
    whole = np.zeros(grid.shape, dtype=np.uint8)
    Reorientation.to_lps(grid).apply(whole)[box] = mask
    return whole


def _good_enough(masks: dict[Structure, BoolArray], model: Model) -> tuple[dict[Structure, BoolArray], list[str]]:
    """The masks that the model was found good enough for, and a note on the others."""
    if not model.structures:
        return masks, []
    good = {structure: mask for structure, mask in masks.items() if structure.value in model.structures}
    names = ", ".join(Structure(name).title.lower() for name in model.structures)
    note = f"{model.name} gives {names} only: nothing else was looked for, and what depends on it is undetermined."
    return good, [note]


def _require_modality(volume: Volume, model: Model) -> None:
    if model.modality == "MR":
        if volume.modality != "MR":
            raise _other_modality(model, f"an image of modality {volume.modality}", "an MR image")
        return
    if volume.modality == "MR":
        raise _other_modality(model, "an MR image", "a contrast-enhanced CT")
    if float(volume.array.min()) > _AIR_BELOW_HU:
        raise no_liver(f"values from {volume.array.min():g} up, without air; if this is MR, say --modality MR")


def _other_modality(model: Model, got: str, wanted: str) -> SegmentationRefused:
    return SegmentationRefused(
        f"the model {model.name} cannot segment this image",
        got=got,
        wanted=wanted,
        do="Choose the modality with --modality if it is wrong, another model with --model, or give masks with "
        "--segmentation.",
    )

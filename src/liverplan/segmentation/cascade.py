"""Two networks in a row: find the liver in the whole scan at 3 mm, then label its box at 1.5 mm.

One fine network may serve both: then it sees the whole scan first, and its box again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.errors import ModelError, SegmentationRefused
from liverplan.segmentation.engines import Engine, EngineKind, choose_device, load_engine
from liverplan.segmentation.intensity import scaled_as
from liverplan.segmentation.models import Model, StageSettings, read_settings
from liverplan.segmentation.resampling import IsotropicImage, Spacing, best_class, slices_onto, to_isotropic
from liverplan.segmentation.systems import tell_apart
from liverplan.segmentation.windows import FloatVolume, highest, sliding_scores
from liverplan.volume import AnyArray, BoolArray, Volume, bounding_box

__all__ = ["choose_device", "label_liver"]

Progress: TypeAlias = Callable[[float, str], None]
Box: TypeAlias = tuple[slice, slice, slice]

SMALLEST_LIVER_ML = 300.0
LARGEST_LIVER_ML = 4000.0
MARGIN_MM = 15.0
"""Added around the coarse liver: the second network sees what lies next to it."""
REACH_MM = 9.0
"""Liver, lesions and hepatic veins end this far from the coarse liver: the first network sees more context."""


_ENDS_WITH_LIVER = np.isin(np.arange(256), (1, 2, 4))
"""By class: liver, lesions, hepatic veins."""


@dataclass(frozen=True)
class Labelled:
    """labels: classes 0 to 5 in `box` of the canonical array, on the image's own voxels.

    scores: of the classes on the second network's grid `lattice`, which begins with the box. factors: see
    `StageSettings.confidence_factors`.
    engine: what ran the networks, for a sentence. notes: what did not go as asked for.
    """

    labels: npt.NDArray[np.uint8]
    box: Box
    scores: FloatVolume
    lattice: IsotropicImage
    factors: Mapping[str, float]
    engine: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Stage:
    """A network that is ready to run."""

    settings: StageSettings
    engine: Engine

    def scores(self, image: IsotropicImage) -> FloatVolume:
        return sliding_scores(
            self.engine, scaled_as(self.settings.intensity, image.array), self.settings.window, self.settings.overlap
        )


def label_liver(volume: Volume, model: Model, kind: EngineKind, progress: Progress) -> Labelled:
    """Run the cascade on a canonical CT. Raises SegmentationRefused when no plausible liver is found, ModelError."""
    progress(0.05, "finding the liver")
    locate = _stage(model, "locate", kind)
    coarse = _find_liver(volume, locate)
    progress(0.25, "labelling liver, lesions and vessels")
    segment = _stage(model, "segment", kind)
    if segment.settings.n_classes != 6:
        raise ModelError(
            "the second network does not label what is needed",
            got=f"{segment.settings.n_classes} classes",
            wanted="6: background, liver, lesions, portal vein, hepatic veins, vena cava",
            do="Choose another model.",
        )
    spacing = volume.grid.spacing_mm
    box = _native_box(coarse, spacing, volume.array)
    part = volume.array[box]
    image = to_isotropic(part, spacing, segment.settings.spacing_mm)
    scores = tell_apart(segment.scores(image), image.spacing_mm)
    progress(0.75, "back to the image's voxels")
    labels = best_class(scores, image, (part.shape[0], part.shape[1], part.shape[2]), spacing)
    _end_near(labels, coarse, box, spacing)
    notes = dict.fromkeys((*locate.engine.notes, *segment.engine.notes))
    engines = dict.fromkeys((locate.engine.name, segment.engine.name))
    factors = segment.settings.confidence_factors
    return Labelled(labels, box, scores, image, factors, ", then ".join(engines), tuple(notes))


def _stage(model: Model, name: str, kind: EngineKind) -> _Stage:
    settings = read_settings(model.stages[name])
    return _Stage(settings, load_engine(model.stages[name], settings, kind))


def _find_liver(volume: Volume, stage: _Stage) -> IsotropicImage:
    """Distance in mm to the coarse liver, 0 inside it, on the first network's grid cropped to what is looked at."""
    side_mm = stage.settings.spacing_mm
    image = to_isotropic(volume.array, volume.grid.spacing_mm, side_mm)
    liver = largest_piece(_ENDS_WITH_LIVER[highest(stage.scores(image))])
    millilitres = float(liver.sum()) * side_mm**3 / 1000.0
    if not SMALLEST_LIVER_ML <= millilitres <= LARGEST_LIVER_ML:
        raise no_liver(f"{millilitres:.0f} mL that look like liver")
    # Two voxels beyond the margin: the box ends half a voxel out, and what lies there is interpolated.
    reach = int(np.ceil(MARGIN_MM / side_mm)) + 2
    box = bounding_box(liver, (reach, reach, reach))
    away_mm = ndimage.distance_transform_edt(~liver[box]) * side_mm
    i, j, k = (o + side.start * side_mm for o, side in zip(image.origin_mm, box, strict=True))
    return IsotropicImage(away_mm.astype(np.float32), side_mm, (i, j, k))


def _end_near(labels: npt.NDArray[np.uint8], coarse: IsotropicImage, box: Box, spacing: Spacing) -> None:
    """Take away, in place, what is liver, lesion or hepatic vein too far from the coarse liver."""
    i_mm, j_mm, k_mm = (side.start * step for side, step in zip(box, spacing, strict=True))
    i, j, k = labels.shape
    slices = slices_onto(coarse.array[None], coarse, (i, j, k), spacing, (i_mm, j_mm, k_mm))
    for plane, away_mm in zip(labels, slices, strict=True):
        plane[(away_mm[0] > REACH_MM) & _ENDS_WITH_LIVER[plane]] = 0


def _native_box(image: IsotropicImage, spacing: Spacing, array: AnyArray) -> Box:
    """The coarse liver's box with its margin in voxels of the array, clipped to it."""
    sides = []
    for axis, side in enumerate(bounding_box(image.array <= MARGIN_MM)):
        low = (image.origin_mm[axis] + (side.start - 0.5) * image.spacing_mm) / spacing[axis]
        high = (image.origin_mm[axis] + (side.stop - 0.5) * image.spacing_mm) / spacing[axis]
        start = min(max(int(np.floor(low)), 0), array.shape[axis] - 1)
        sides.append(slice(start, max(min(int(np.ceil(high)) + 1, array.shape[axis]), start + 1)))
    return sides[0], sides[1], sides[2]


def largest_piece(mask: BoolArray) -> BoolArray:
    """The largest connected part of a mask (6 neighbours); empty stays empty."""
    parts, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask)
    return np.asarray(parts == np.bincount(parts[mask])[1:].argmax() + 1)


def no_liver(got: str) -> SegmentationRefused:
    return SegmentationRefused(
        "the model finds no plausible liver in this image",
        got=got,
        wanted=f"a scan of the upper abdomen with {SMALLEST_LIVER_ML:.0f} to {LARGEST_LIVER_ML:.0f} mL of liver",
        do="Check that it is the right series (a CT in Hounsfield units), or give masks with --segmentation.",
    )

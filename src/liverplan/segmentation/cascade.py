"""Two networks in a row: find the liver in the whole scan at 3 mm, then label its box at 1.5 mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.errors import ModelError, ResourceError, SegmentationRefused
from liverplan.segmentation.models import LoadedStage, Model, load_stage
from liverplan.segmentation.resampling import FloatVolume, IsotropicImage, Spacing, best_class, onto, to_isotropic
from liverplan.segmentation.windows import class_scores, labels_of
from liverplan.volume import AnyArray, BoolArray, Volume, bounding_box

if TYPE_CHECKING:
    import torch

Progress: TypeAlias = Callable[[float, str], None]
Box: TypeAlias = tuple[slice, slice, slice]

HU_WINDOW = (-150.0, 250.0)
"""Attenuation that the networks see, mapped linearly to [-1, 1] and clipped."""
SMALLEST_LIVER_ML = 300.0
LARGEST_LIVER_ML = 4000.0
MARGIN_MM = 15.0
"""Added around the coarse liver: the second network sees what lies next to it."""
REACH_MM = 9.0
"""Liver, lesions and hepatic veins end this far from the coarse liver: the first network sees more context."""


@dataclass(frozen=True)
class Labelled:
    """labels: classes 0 to 5 in `box` of the canonical array, on the image's own voxels."""

    labels: npt.NDArray[np.uint8]
    box: Box


def scaled(hounsfield: FloatVolume) -> FloatVolume:
    """Hounsfield units to the networks' [-1, 1]."""
    low, high = HU_WINDOW
    return np.asarray(np.clip((hounsfield - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0), dtype=np.float32)


def choose_device(device: str) -> str:
    """ "cuda" or "cpu". Raises ResourceError when CUDA is asked for and not there."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "there is no CUDA device",
            got="--device cuda",
            wanted="an NVIDIA GPU that PyTorch can use",
            do="Use --device cpu.",
        )
    return device


def label_liver(volume: Volume, model: Model, device: str, progress: Progress) -> Labelled:
    """Run the cascade on a canonical CT. Raises SegmentationRefused when no plausible liver is found, ModelError."""
    progress(0.05, "finding the liver")
    coarse = _find_liver(volume, load_stage(model.stages["locate"], device), device)
    progress(0.25, "labelling liver, lesions and vessels")
    stage = load_stage(model.stages["segment"], device)
    if stage.n_classes != 6:
        raise ModelError(
            "the second network does not label what is needed",
            got=f"{stage.n_classes} classes",
            wanted="6: background, liver, lesions, portal vein, hepatic veins, vena cava",
            do="Choose another model.",
        )
    spacing = volume.grid.spacing_mm
    box = _native_box(coarse, spacing, volume.array)
    part = volume.array[box]
    image = to_isotropic(part, spacing, stage.spacing_mm)
    scores = _scores(stage, image, device)
    progress(0.75, "back to the image's voxels")
    shape = (part.shape[0], part.shape[1], part.shape[2])
    labels = best_class(scores.float().cpu().numpy(), image, shape, spacing)
    first_mm = tuple(side.start * step for side, step in zip(box, spacing, strict=True))
    away_mm = onto(coarse.array, coarse, shape, spacing, (first_mm[0], first_mm[1], first_mm[2]))
    labels[(away_mm > REACH_MM) & np.isin(labels, (1, 2, 4))] = 0
    return Labelled(labels, box)


def _scores(stage: LoadedStage, image: IsotropicImage, device: str) -> torch.Tensor:
    return class_scores(stage.network, scaled(image.array), stage.window, stage.overlap, device)


def _find_liver(volume: Volume, stage: LoadedStage, device: str) -> IsotropicImage:
    """Distance in mm to the coarse liver, 0 inside it, on the first network's grid."""
    spacing = volume.grid.spacing_mm
    image = to_isotropic(volume.array, spacing, stage.spacing_mm)
    liver = largest_piece(labels_of(_scores(stage, image, device)) == 1)
    millilitres = float(liver.sum()) * stage.spacing_mm**3 / 1000.0
    if not SMALLEST_LIVER_ML <= millilitres <= LARGEST_LIVER_ML:
        raise no_liver(f"{millilitres:.0f} mL that look like liver")
    away_mm = ndimage.distance_transform_edt(~liver) * stage.spacing_mm
    return IsotropicImage(away_mm.astype(np.float32), stage.spacing_mm, image.origin_mm)


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
    return np.asarray(parts == np.bincount(parts.ravel())[1:].argmax() + 1)


def no_liver(got: str) -> SegmentationRefused:
    return SegmentationRefused(
        "the model finds no plausible liver in this image",
        got=got,
        wanted=f"a CT of the upper abdomen with {SMALLEST_LIVER_ML:.0f} to {LARGEST_LIVER_ML:.0f} mL of liver",
        do="Check that it is the right series and in Hounsfield units, or give masks with --segmentation.",
    )

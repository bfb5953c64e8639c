"""Between the image's grid and a network's isotropic one. Arrays are canonical; positions are index times spacing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.volume import AnyArray

Spacing: TypeAlias = tuple[float, float, float]
FloatVolume: TypeAlias = npt.NDArray[np.float32]

AIR_HU = -1024.0


@dataclass(frozen=True)
class IsotropicImage:
    """HU (i, j, k) float32 whose voxel (0, 0, 0) is centred at `origin_mm` from the source's first voxel centre."""

    array: FloatVolume
    spacing_mm: float
    origin_mm: Spacing


def to_isotropic(array: AnyArray, spacing: Spacing, target_mm: float) -> IsotropicImage:
    """Average whole blocks of voxels that are smaller than the target, then interpolate linearly. Air outside.

    Averaging keeps noise from aliasing into the coarse grid; cubic interpolation would cost more than the network.
    """
    import SimpleITK as sitk

    image = _image(array, spacing)
    shrink = [max(1, min(int(target_mm / s + 1e-6), n)) for s, n in zip(spacing, array.shape, strict=True)]
    if max(shrink) > 1:
        image = sitk.BinShrink(image, shrink)
    size = [max(1, round(n * s / target_mm)) for s, n in zip(spacing, array.shape, strict=True)]
    origin = [
        (n * s - m * target_mm) / 2 + (target_mm - s) / 2 for s, n, m in zip(spacing, array.shape, size, strict=True)
    ]
    image = sitk.Cast(image, sitk.sitkFloat32)
    identity = np.eye(3).ravel().tolist()
    out = _resample(image, size, origin, [target_mm] * 3, identity, AIR_HU)
    result = np.maximum(sitk.GetArrayFromImage(out).transpose(2, 1, 0), AIR_HU)
    return IsotropicImage(result.astype(np.float32, copy=False), target_mm, (origin[0], origin[1], origin[2]))


def best_class(
    scores: FloatVolume, source: IsotropicImage, shape: tuple[int, int, int], spacing: Spacing
) -> npt.NDArray[np.uint8]:
    """Class of the highest score at every voxel of a grid; scores (classes, i, j, k) on the grid of `source`.

    Each class is interpolated on its own with a running maximum, so that memory does not grow with the classes.
    """
    best = np.full(shape, -np.inf, dtype=np.float32, order="F")
    label = np.zeros(shape, dtype=np.uint8, order="F")
    for number, score in enumerate(scores):
        upsampled = onto(score, source, shape, spacing)
        better = upsampled > best
        label[better] = number
        np.maximum(best, upsampled, out=best)
    return label


def onto(
    values: FloatVolume,
    source: IsotropicImage,
    shape: tuple[int, int, int],
    spacing: Spacing,
    first_mm: Spacing = (0.0, 0.0, 0.0),
) -> FloatVolume:
    """Values on the grid of `source`, interpolated to a grid whose first voxel lies `first_mm` from the image's."""
    import SimpleITK as sitk

    image = _image(values, (source.spacing_mm,) * 3)
    image.SetOrigin(source.origin_mm)
    identity = np.eye(3).ravel().tolist()
    out = _resample(image, list(shape), list(first_mm), list(spacing), identity, None)
    # A copy: a view does not keep the image alive.
    return np.asarray(sitk.GetArrayFromImage(out)).transpose(2, 1, 0)


def _image(array: AnyArray, spacing: Spacing) -> Any:
    import SimpleITK as sitk

    dtype = array.dtype if array.dtype in (np.int16, np.uint8, np.float32) else np.float32
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0), dtype=dtype))
    image.SetSpacing([float(s) for s in spacing])
    return image


def _resample(
    image: Any,
    size: list[int],
    origin: list[float],
    spacing: list[float],
    direction: list[float],
    outside: float | None,
) -> Any:
    import SimpleITK as sitk

    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetSize(size)
    resampler.SetOutputOrigin(origin)
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputDirection(direction)
    # Half a voxel beyond the outermost centres there is still image: take the nearest value, not air.
    resampler.SetUseNearestNeighborExtrapolator(True)
    if outside is not None:
        resampler.SetDefaultPixelValue(outside)
    return resampler.Execute(image)

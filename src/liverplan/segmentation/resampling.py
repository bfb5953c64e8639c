"""Between the image's grid and a network's isotropic one. Arrays are canonical; positions are index times spacing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.segmentation.windows import FloatVolume, highest
from liverplan.volume import AnyArray

Spacing: TypeAlias = tuple[float, float, float]

AIR_HU = -1024.0


@dataclass(frozen=True)
class IsotropicImage:
    """HU (i, j, k) float32 whose voxel (0, 0, 0) is centred at `origin_mm` from the source's first voxel centre."""

    array: FloatVolume
    spacing_mm: float
    origin_mm: Spacing

    @property
    def steps_mm(self) -> Spacing:
        return self.spacing_mm, self.spacing_mm, self.spacing_mm


@dataclass(frozen=True)
class Lattice:
    """Where a network's voxels lie: spacing along (i, j, k), and the first voxel's centre from the image's."""

    steps_mm: Spacing
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
    """Class of the highest score at every voxel of a grid; scores (classes, i, j, k) on the grid of `source`."""
    label = np.empty(shape, dtype=np.uint8)
    for plane, fields in zip(label, slices_onto(scores, source, shape, spacing), strict=True):
        plane[:] = highest(fields)
    return label


def slices_onto(
    values: FloatVolume,
    source: IsotropicImage | Lattice,
    shape: tuple[int, int, int],
    spacing: Spacing,
    first_mm: Spacing = (0.0, 0.0, 0.0),
) -> Iterator[FloatVolume]:
    """Fields (n, i, j, k) on the grid of `source`, linearly on another grid: one (n, j, k) for each of its i in turn.

    shape, spacing: of the other grid, whose first voxel lies `first_mm` from the image's. Beyond the outermost centres
    values stay what they are there. A slice at a time stays in the processor's cache and no whole field is ever made.
    """
    lines = [
        _Line.between(
            n, values.shape[axis + 1], first_mm[axis] - source.origin_mm[axis], spacing[axis], source.steps_mm[axis]
        )
        for axis, n in enumerate(shape)
    ]
    planes: dict[int, FloatVolume] = {}
    for low, high, share in zip(lines[0].low.tolist(), lines[0].high.tolist(), lines[0].share, strict=True):
        planes = {n: planes[n] if n in planes else _plane_onto(values[:, n], *lines[1:]) for n in (low, high)}
        yield planes[low] + (planes[high] - planes[low]) * share


@dataclass(frozen=True)
class _Line:
    """Along one axis: each new voxel lies between two old ones, `share` of the way from the lower to the higher."""

    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    share: npt.NDArray[np.float32]

    @classmethod
    def between(cls, n_new: int, n_old: int, offset_mm: float, step_mm: float, old_step_mm: float) -> _Line:
        position = np.clip((offset_mm + np.arange(n_new) * step_mm) / old_step_mm, 0, n_old - 1)
        low = np.floor(position).astype(np.intp)
        return cls(low, np.minimum(low + 1, n_old - 1), (position - low).astype(np.float32))


def _plane_onto(plane: FloatVolume, rows: _Line, columns: _Line) -> FloatVolume:
    """(n, j, k) of the old grid to the new j and k."""
    down = plane[:, rows.low] + (plane[:, rows.high] - plane[:, rows.low]) * rows.share[:, None]
    low = down[:, :, columns.low]
    low += (down[:, :, columns.high] - low) * columns.share
    return low


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
    outside: float,
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
    resampler.SetDefaultPixelValue(outside)
    return resampler.Execute(image)

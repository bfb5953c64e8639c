"""Random fields and small geometry that the painters share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverplan.segmentation.intensity import FloatVolume

Box = tuple[slice, slice, slice]


def smooth_noise(shape: tuple[int, ...], length_vox: float, rng: np.random.Generator) -> FloatVolume:
    """A random field of unit variance that changes over about `length_vox` voxels."""
    coarse = tuple(int(np.ceil(n / length_vox)) + 3 for n in shape)
    field = rng.standard_normal(coarse).astype(np.float32)
    for axis, n in enumerate(shape):
        at = rng.uniform(0.0, 1.0) + np.arange(n) / length_vox
        first = at.astype(int)
        share = (at - first).astype(np.float32)
        share = share * share * (3 - 2 * share)
        shape_of = [1] * field.ndim
        shape_of[axis] = n
        share = share.reshape(shape_of)
        field = field.take(first, axis) * (1 - share) + field.take(first + 1, axis) * share
    return field * np.float32(1.55)


def rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The matrix of three Euler angles, rad."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("xyz", angles).as_matrix())


def box_around(centre: npt.NDArray[np.int_], reach_vox: float, shape: tuple[int, ...]) -> Box:
    """The voxels within `reach_vox` along each axis, clipped."""
    reach = int(np.ceil(reach_vox))
    i, j, k = (slice(max(int(c) - reach, 0), min(int(c) + reach + 1, n)) for c, n in zip(centre, shape, strict=True))
    return i, j, k


def offsets(centre: npt.NDArray[np.int_], box: Box, spacing_mm: float) -> npt.NDArray[np.float64]:
    """Vectors from `centre` to the voxels of `box`, mm, shape (3, i, j, k)."""
    axes = [(np.arange(side.start, side.stop) - c) * spacing_mm for side, c in zip(box, centre, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))

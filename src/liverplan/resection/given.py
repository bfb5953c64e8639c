"""The surgeon's own resection: which voxels of the liver a plane, a surface or a drawn mask takes out.

Arrays are (i, j, k) bool on one grid. A resection is its specimen; what stays is the liver without it, so that both
add up to the liver voxel by voxel. Reading files is `liverplan.io.resections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from liverplan.errors import InputError
from liverplan.volume import BoolArray, FloatArray, Grid

COMBINED = "given_combined"
"""Name of the union of all given resections."""
ON_THE_SURFACE_MM = 1e-6
"""A voxel centre this near to a surface lies on it and goes with the positive side, in every storage order."""
LEAK_SHARE = 0.05
"""A piece of liver that touches both sides of a surface, the lesser with more than this share of its contact, leaks
from one side to the other. A surface that does not separate leaks with a half; single voxels at folds stay below."""


@dataclass(frozen=True)
class GivenResection:
    """A resection that the surgeon brought.

    specimen: (i, j, k) on the image's own grid, the voxels of the liver that are taken out; neither empty nor the whole
    liver. source: "label map", "plane", "closed surface", "open surface"; several joined by " + " for a union.
    notes: sentences for the reader, such as which side was taken and why.
    """

    name: str
    specimen: BoolArray
    source: str
    notes: tuple[str, ...]


class Otherwise(Enum):
    """Which side is taken out when the lesions do not decide it."""

    POSITIVE = "the side that the normal points to"
    SMALLER = "the smaller side"


@dataclass(frozen=True)
class Sides:
    """The two sides of a surface: the positive one (rest of the liver: the other), and whether the surface leaks."""

    positive: BoolArray
    leaks: bool


def half_space(grid: Grid, point_lps_mm: FloatArray, normal_lps: FloatArray) -> BoolArray:
    """Voxels (i, j, k) whose centres lie on the plane through a point (3,) or on the side its normal (3,) points to."""
    unit = normal_lps / np.linalg.norm(normal_lps)
    # The distance is linear in the index: three short rows instead of a point per voxel.
    step = unit @ grid.affine[:3, :3]
    i, j, k = (s * np.arange(n) for s, n in zip(step, grid.shape, strict=True))
    start = float(unit @ (grid.affine[:3, 3] - point_lps_mm))
    distance_mm = i[:, None, None] + j[None, :, None] + (k + start)[None, None, :]
    return np.asarray(distance_mm >= -ON_THE_SURFACE_MM)


def sides_of_surface(
    distance_mm: npt.NDArray[np.float32], liver: BoolArray, band_mm: float, spacing_mm: tuple[float, float, float]
) -> Sides:
    """The liver's two sides of a surface, from the signed distance of its voxels to it (mm, same shape as `liver`).

    Within `band_mm` the sign decides; beyond it distances are not read and may be infinite. There a voxel belongs to
    the side that it is connected with inside the liver: far from a curved surface the sign at the nearest point, often
    one on its rim, says little. `band_mm` must be at least a voxel's diagonal, or the two sides touch.
    """
    band = liver & (np.abs(distance_mm) <= band_mm)
    above = distance_mm >= -ON_THE_SURFACE_MM
    labels, count = ndimage.label(liver & ~band)
    contact = _contact(band, above, labels, count)
    leaks = bool((contact.min(axis=0) > LEAK_SHARE * np.maximum(contact.sum(axis=0), 1)).any())
    is_positive = contact[1] > contact[0]
    alone = np.flatnonzero(contact.sum(axis=0)[1:] == 0) + 1
    if len(alone) and band.any():
        # An island of liver away from the surface lies on the side of the nearest voxel that has one.
        spacing = np.array(spacing_mm)
        islands = np.array(ndimage.center_of_mass(labels > 0, labels, alone)) * spacing
        is_positive[alone] = above[band][cKDTree(np.argwhere(band) * spacing).query(islands)[1]]
    return Sides(np.asarray(is_positive[labels] | (band & above)), leaks)


def _contact(band: BoolArray, above: BoolArray, labels: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int64]:
    """Faces between each labelled piece and the band's negative (row 0) and positive (row 1) voxels, (2, count + 1)."""
    where = np.argwhere(band)
    row = above[band].astype(np.int64) * (count + 1)
    contact = np.zeros(2 * (count + 1), dtype=np.int64)
    for axis in range(3):
        for step in (-1, 1):
            beside = where.copy()
            beside[:, axis] += step
            within = (beside[:, axis] >= 0) & (beside[:, axis] < band.shape[axis])
            contact += np.bincount(row[within] + labels[tuple(beside[within].T)], minlength=len(contact))
    by_side = contact.reshape(2, count + 1)
    by_side[:, 0] = 0  # what is not a piece
    return by_side


def side_taken_out(
    positive: BoolArray, liver: BoolArray, lesions: BoolArray, otherwise: Otherwise, voxel_ml: float
) -> tuple[BoolArray, str]:
    """The side of a cut that is the specimen, and the sentence that says why.

    The side that holds all lesion voxels; when both do or there is no lesion, what `otherwise` says. The liver's part
    on either side may be empty here: `require_part` refuses that.
    """
    sides = (liver & ~positive, liver & positive)
    lesion_ml = [float(np.count_nonzero(lesions & side)) * voxel_ml for side in sides]
    if (lesion_ml[0] > 0) != (lesion_ml[1] > 0):
        chosen = int(lesion_ml[1] > 0)
        where = (
            f", which the normal points {'to' if chosen else 'away from'}," if otherwise is Otherwise.POSITIVE else ""
        )
        return sides[chosen], f"The side that holds the lesions{where} is taken out."
    smaller = int(np.count_nonzero(sides[1]) <= np.count_nonzero(sides[0]))
    chosen = 1 if otherwise is Otherwise.POSITIVE else smaller
    why = "There is no lesion"
    if lesion_ml[0] > 0:
        why = (
            f"Lesions lie on both sides of the cut ({lesion_ml[chosen]:.2f} mL on the side taken out, "
            f"{lesion_ml[1 - chosen]:.2f} mL on the other)"
        )
    return sides[chosen], f"{why}: {otherwise.value} is taken out."


def require_part(specimen: BoolArray, liver: BoolArray, what: str, do: str) -> None:
    """Raise InputError unless `specimen`, made by `what`, is some of the liver and not all of it."""
    taken, whole = np.count_nonzero(specimen & liver), np.count_nonzero(liver)
    if 0 < taken < whole:
        return
    raise InputError(
        f"{what} is no resection of this liver",
        got="a specimen without a voxel of the liver" if taken == 0 else "a specimen that is the whole liver",
        wanted="a part of the liver that is taken out and a part that stays",
        do=do,
    )


def combined(given: Sequence[GivenResection], liver: BoolArray) -> GivenResection | None:
    """The union of two or more resections; None for fewer, and when nothing of the liver would stay."""
    if len(given) < 2:
        return None
    specimen = np.logical_or.reduce([one.specimen for one in given])
    if not (liver & ~specimen).any():
        return None
    names = ", ".join(one.name for one in given)
    sources = " + ".join(dict.fromkeys(one.source for one in given))
    return GivenResection(COMBINED, specimen, sources, (f"All given resections together: {names}.",))

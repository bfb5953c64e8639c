"""How sure a network is of each mask, from its own class scores: the Dice to expect, and how far the boundary may lie.

Both are the network's opinion. `configs` of the shipped models and their cards say how often it was right
(docs/segmentation.md, "Confidence"); an image of a kind that the network never saw can be labelled wrongly and surely.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.segmentation.resampling import IsotropicImage, Spacing
from liverplan.segmentation.windows import FloatVolume
from liverplan.volume import BoolArray, Confidence

_CLASSES = {
    Structure.LIVER: (1, 2),
    Structure.LESIONS: (2,),
    Structure.PORTAL_VEIN: (3,),
    Structure.HEPATIC_VEINS: (4,),
    Structure.VENA_CAVA: (5,),
}
_VEINS = (3, 4)
_LEAST = 0.1
"""Probabilities below this are the tail of a softmax over millions of voxels, not doubt."""
_INNER, _OUTER = 0.84, 0.16
"""One standard deviation to either side of one half."""
_FACES_PER_AREA = 1.5
"""Voxel faces count |x| + |y| + |z| of a surface's unit normals: 1.5 on average over all directions."""
LEAST_PEAK = 0.95
"""A lesion has a voxel of which the network is this sure. On 16 synthetic patients and 6 phantoms that nothing was
trained on it takes false lesions from 1.6 to 0.5 per patient, and 2 of 36 true ones (one above 10 mm)."""
_HALF_WIDTHS = 1.96
"""Standard deviations in a 95 % half-width."""


def confidence_of(
    scores: FloatVolume,
    source: IsotropicImage,
    masks: Mapping[Structure, BoolArray],
    spacing: Spacing,
    factors: Mapping[str, float] = MappingProxyType({}),
) -> dict[Structure, Confidence]:
    """Of every mask with a voxel. scores: logits (6, i, j, k) on the grid of `source`; masks: on the box's own voxels.
    factors: by structure, how much of the expected Dice was true where the network was tried.

    A mask may differ from the scores' best class (cleaning took parts away): then less overlap is expected.
    """
    probability = {c: p for c, p in enumerate(probabilities(scores)) if c}
    at = tuple(
        np.clip(np.rint((source.origin_mm[a] + np.arange(n) * source.spacing_mm) / spacing[a]).astype(int), 0, None)
        for a, n in enumerate(scores.shape[1:])
    )
    found = {}
    for structure, classes in _CLASSES.items():
        if structure not in masks or not masks[structure].any():
            continue
        mask = _sampled(masks[structure], at)
        if not mask.any():  # thinner than the network's voxels
            continue
        likely = np.sum([probability[c] for c in classes], axis=0)
        if structure is Structure.LIVER:  # the liver holds the veins inside it
            likely += np.where(mask, sum(probability[c] for c in _VEINS), 0.0)
        expected = factors.get(structure.value, 1.0) * expected_dice(likely, mask)
        found[structure] = Confidence(expected, spread_mm(likely, mask, source.spacing_mm))
    return found


def without_doubtful(
    scores: FloatVolume, source: IsotropicImage, lesions: BoolArray, spacing: Spacing, least: float = LEAST_PEAK
) -> tuple[BoolArray, int]:
    """Lesions with a voxel whose probability is at least `least`, and how many pieces (26 neighbours) had none.

    scores: logits (6, i, j, k) on the grid of `source`. lesions: on the box's own voxels.
    """
    share = probabilities(scores)[_CLASSES[Structure.LESIONS][0]]
    kept, dropped = lesions.copy(), 0
    parts, _ = ndimage.label(lesions, np.ones((3, 3, 3)))
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        piece = parts[box] == number
        where = np.argwhere(piece) + [side.start for side in box]
        at = np.rint((where * spacing - np.array(source.origin_mm)) / source.spacing_mm).astype(int)
        if share[tuple(np.clip(at, 0, np.array(share.shape) - 1).T)].max() < least:
            kept[box][piece] = False
            dropped += 1
    return kept, dropped


def probabilities(scores: FloatVolume) -> FloatVolume:
    """Softmax of logits over the classes, (n, i, j, k)."""
    shares: FloatVolume = np.exp(scores - scores.max(axis=0))
    shares /= shares.sum(axis=0)
    return shares


def _sampled(mask: BoolArray, at: tuple[npt.NDArray[np.int_], ...]) -> BoolArray:
    """A mask at the network's voxel centres."""
    i, j, k = (np.minimum(line, n - 1) for line, n in zip(at, mask.shape, strict=True))
    return np.asarray(mask[np.ix_(i, j, k)])


def expected_dice(probability: FloatVolume, mask: BoolArray) -> float:
    """The Dice overlap to expect with the truth if every probability is right, 0 to 1."""
    likely = np.where(probability >= _LEAST, probability, 0.0)
    size = float(mask.sum()) + float(likely.sum())
    return min(2.0 * float(likely[mask].sum()) / size, 1.0) if size > 0 else 0.0


def spread_mm(probability: FloatVolume, mask: BoolArray, spacing_mm: float) -> float:
    """95 % half-width of where the boundary may lie: half the shell between the 16 % and the 84 % surface, times 1.96.

    The shell's thickness is its volume by the mask's area. Raises ValueError when the mask is empty.
    """
    framed = np.pad(mask, 1)
    faces = sum(int((framed[_from(axis, 1)] != framed[_from(axis, -1)]).sum()) for axis in range(3))
    if faces == 0:
        raise ValueError("an empty mask has no boundary")
    area_mm2 = faces * spacing_mm**2 / _FACES_PER_AREA
    shell_mm3 = float(((probability >= _OUTER) & (probability < _INNER)).sum()) * spacing_mm**3
    return _HALF_WIDTHS * shell_mm3 / area_mm2 / 2.0


def _from(axis: int, step: int) -> tuple[slice, ...]:
    """All but the first (`step` 1) or the last (-1) along an axis."""
    sides = [slice(None)] * 3
    sides[axis] = slice(1, None) if step > 0 else slice(None, -1)
    return tuple(sides)

"""Which lesions were found, which were made up, and how well those that were found are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from liverplan.lesions import Lesion, LesionMap
from liverplan.volume import FloatArray

SIZE_BINS_MM = ((0.0, 10.0), (10.0, 20.0), (20.0, float("inf")))
"""From, below: diameter of the sphere with the lesion's volume, which no odd outline of a false one inflates."""
PANOPTIC_IOU = 0.5
"""A pair counts as the same lesion in panoptic quality above this (Kirillov et al. 2019): no lesion then has two."""


@dataclass(frozen=True)
class LesionOutcome:
    """A lesion of the reference, or (`reference` False) one of the prediction that touches none.

    id: in its own map. found: at least one voxel of it was drawn as lesion. partner: id of the predicted lesion that is
    this one (one-to-one, the largest sum of overlaps), None when there is none. iou: with the partner, else 0.
    """

    reference: bool
    id: int
    diameter_mm: float
    longest_diameter_mm: float
    volume_ml: float
    found: bool
    partner: int | None
    iou: float

    @property
    def bin(self) -> int:
        """Index into SIZE_BINS_MM."""
        return next(n for n, (low, high) in enumerate(SIZE_BINS_MM) if low <= self.diameter_mm < high)


@dataclass(frozen=True)
class Detection:
    """The lesions of a case: those of the reference, and the predicted ones that touch none of them."""

    lesions: tuple[LesionOutcome, ...]
    false_positives: tuple[LesionOutcome, ...]
    n_predicted: int

    @property
    def panoptic_rows(self) -> FloatArray:
        """(n, 3): IoU and 1 of pairs above PANOPTIC_IOU, half of 1 in the last column for lesions without one (either
        side); see `panoptic_quality`."""
        ious = [o.iou for o in self.lesions if o.iou > PANOPTIC_IOU]
        alone = len(self.lesions) + self.n_predicted - 2 * len(ious)
        return np.array([(iou, 1.0, 0.0) for iou in ious] + [(0.0, 0.0, 0.5)] * alone, dtype=float).reshape(-1, 3)


def detect(guess: LesionMap, truth: LesionMap) -> Detection:
    """The reference's lesions against the predicted ones; both label maps on one grid."""
    overlap = _overlap(guess, truth)
    sizes = np.bincount(guess.labels.ravel(), minlength=len(guess) + 1)[1:]
    wanted = np.bincount(truth.labels.ravel(), minlength=len(truth) + 1)[1:]
    iou = overlap / np.maximum(wanted[:, None] + sizes[None, :] - overlap, 1)
    partner = {int(r): int(c) for r, c in zip(*linear_sum_assignment(-iou), strict=True) if overlap[r, c] > 0}
    lesions = tuple(
        _outcome(lesion, True, bool(overlap[row].any()), partner.get(row), iou[row]) for row, lesion in enumerate(truth)
    )
    alone = tuple(
        _outcome(lesion, False, False, None, iou[:, column])
        for column, lesion in enumerate(guess)
        if not overlap[:, column].any()
    )
    return Detection(lesions, alone, len(guess))


def panoptic_quality(rows: FloatArray) -> float | None:
    """Sum of IoU over (pairs + half of the lesions that have none); None without a lesion on either side.

    rows: those of `Detection.panoptic_rows`, of one case or of many.
    """
    weight = float(rows[:, 1:].sum())
    return float(rows[:, 0].sum()) / weight if weight > 0 else None


def _overlap(guess: LesionMap, truth: LesionMap) -> FloatArray:
    """Voxels in common, (reference lesions, predicted lesions)."""
    both = (guess.labels > 0) & (truth.labels > 0)
    pair = (truth.labels[both].astype(np.int64) - 1) * len(guess) + guess.labels[both].astype(np.int64) - 1
    return np.bincount(pair, minlength=len(truth) * len(guess)).reshape(len(truth), len(guess)).astype(float)


def _outcome(lesion: Lesion, reference: bool, found: bool, partner: int | None, iou: FloatArray) -> LesionOutcome:
    return LesionOutcome(
        reference,
        lesion.id,
        float(np.cbrt(6000.0 * lesion.volume_ml / np.pi)),
        lesion.longest_diameter_mm,
        lesion.volume_ml,
        found,
        None if partner is None else partner + 1,
        0.0 if partner is None else float(iou[partner]),
    )

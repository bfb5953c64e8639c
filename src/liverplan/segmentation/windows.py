"""A network over a whole volume: overlapping windows, padded with air, blended by a Gaussian.

The windows, their order and their weights are those of MONAI's `sliding_window_inference` (mode "gaussian"); a test
holds the two equal. Written on arrays so that an engine without PyTorch need not load it: importing MONAI's inferers
takes longer than all windows of a scan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FloatVolume: TypeAlias = npt.NDArray[np.float32]
Window: TypeAlias = tuple[int, int, int]
Scorer: TypeAlias = Callable[[FloatVolume], FloatVolume]
"""Scores (classes, i, j, k) of one window (i, j, k). The result may be overwritten by the next call."""

AIR = -1.0
"""Air after scaling. The default padding value of MONAI's windows, 0, would be soft tissue."""
_SIGMA = 0.125
"""Of the Gaussian that blends windows, in window sides: MONAI's default."""
_LEAST_WEIGHT = 1e-3


def sliding_scores(scorer: Scorer, image: FloatVolume, window: Window, overlap: float) -> FloatVolume:
    """Blended scores (classes, i, j, k) of a scaled image (i, j, k) of any size. overlap: share of a window's side."""
    padded, inner = _padded(image, window)
    weight = _gaussian(window)
    total: FloatVolume | None = None
    weights = np.zeros(padded.shape, dtype=np.float32)
    for box in _boxes(padded.shape, window, overlap):
        scores = scorer(np.ascontiguousarray(padded[box], dtype=np.float32))
        if total is None:
            total = np.zeros((len(scores), *padded.shape), dtype=np.float32)
        total[(slice(None), *box)] += scores * weight
        weights[box] += weight
    assert total is not None  # every image has at least one window
    total /= weights
    return total[(slice(None), *inner)]


def highest(scores: FloatVolume) -> npt.NDArray[np.uint8]:
    """The class of the highest score, the first of equal ones: (classes, i, j, k) to (i, j, k).

    A running maximum, because `argmax` over the first axis is several times slower.
    """
    best, label = scores[0].copy(), np.zeros(scores.shape[1:], dtype=np.uint8)
    for number, score in enumerate(scores[1:], start=1):
        np.copyto(label, number, where=score > best)
        np.maximum(best, score, out=best)
    return label


def class_scores(
    network: torch.nn.Module, image: FloatVolume, window: Window, overlap: float, device: str = "cpu"
) -> torch.Tensor:
    """Scores (classes, i, j, k) of a PyTorch network on `device`, in full precision."""
    import torch

    def scorer(patch: FloatVolume) -> FloatVolume:
        with torch.inference_mode():
            scores: FloatVolume = network(torch.from_numpy(patch)[None, None].to(device))[0].float().cpu().numpy()
        return scores

    return torch.from_numpy(sliding_scores(scorer, image, window, overlap))


def labels_of(scores: torch.Tensor) -> npt.NDArray[np.uint8]:
    """The class of the highest score; `max` because `argmax` is an order of magnitude slower on CPU."""
    return scores.max(0).indices.byte().cpu().numpy()


def n_windows(shape: tuple[int, ...], window: Window, overlap: float) -> int:
    """How many windows `sliding_scores` computes for an image of that shape."""
    padded = tuple(max(n, side) for n, side in zip(shape, window, strict=True))
    return sum(1 for _ in _boxes(padded, window, overlap))


def _padded(image: FloatVolume, window: Window) -> tuple[FloatVolume, tuple[slice, ...]]:
    """The image grown with air to at least a window, and where it lies in there."""
    missing = [max(side - n, 0) for side, n in zip(window, image.shape, strict=True)]
    inner = tuple(slice(m // 2, m // 2 + n) for m, n in zip(missing, image.shape, strict=True))
    if not any(missing):
        return image, inner
    return np.pad(image, [(m // 2, m - m // 2) for m in missing], constant_values=AIR), inner


def _boxes(shape: tuple[int, ...], window: Window, overlap: float) -> Iterator[tuple[slice, slice, slice]]:
    """Windows that cover an array at least as large as a window; the last ones along an axis are moved inwards."""
    starts = []
    for n, side in zip(shape, window, strict=True):
        step = side if n == side else max(int(side * (1 - overlap)), 1)
        count = math.ceil((n - side) / step) + 1
        starts.append([min(number * step, n - side) for number in range(count)])
    for i, j, k in itertools.product(*starts):
        yield slice(i, i + window[0]), slice(j, j + window[1]), slice(k, k + window[2])


def _gaussian(window: Window) -> FloatVolume:
    """How much each voxel of a window counts."""
    weight = np.ones((1, 1, 1), dtype=np.float32)
    for axis, side in enumerate(window):
        away = np.arange(side, dtype=np.float32) - (side - 1) / 2
        line = np.exp(-(away**2) / (2 * (side * _SIGMA) ** 2)).astype(np.float32)
        weight = weight * np.expand_dims(line, tuple(a for a in range(3) if a != axis))
    return np.maximum(weight, max(float(weight.min()), _LEAST_WEIGHT))

"""From an image's values to the range [-1, 1] that the networks see, by modality."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatVolume = npt.NDArray[np.float32]

HU_WINDOW = (-150.0, 250.0)
"""Attenuation that the networks see, mapped linearly to [-1, 1] and clipped."""
SIGNAL_PERCENTILES = (1.0, 99.5)
"""MR signal has no unit: these percentiles of what is looked at become -1 and 1."""
HOUNSFIELD, SIGNAL = "hounsfield", "signal"
FORMATS = {"CT": HOUNSFIELD, "MR": SIGNAL}
"""What the values of an image of each modality are."""


def scaled(hounsfield: FloatVolume) -> FloatVolume:
    """Hounsfield units to the networks' [-1, 1]."""
    return _between(hounsfield, *HU_WINDOW)


def scaled_signal(signal: FloatVolume, percentiles: tuple[float, float] = SIGNAL_PERCENTILES) -> FloatVolume:
    """MR signal to the networks' [-1, 1], by percentiles of the image itself; a uniform image becomes -1."""
    low, high = np.percentile(signal, percentiles)
    return _between(signal, float(low), max(float(high), float(low) + 1e-6))


def scaled_as(kind: str, values: FloatVolume) -> FloatVolume:
    """By what the values are, HOUNSFIELD or SIGNAL. Raises ValueError for anything else."""
    if kind not in (HOUNSFIELD, SIGNAL):
        raise ValueError(f"intensity is {HOUNSFIELD!r} or {SIGNAL!r}, got {kind!r}")
    return scaled(values) if kind == HOUNSFIELD else scaled_signal(values)


def monai_transform(kind: str) -> dict[str, Any]:
    """The same as an entry of a MONAI bundle's preprocessing."""
    ends = {"b_min": -1.0, "b_max": 1.0, "clip": True}
    if kind == HOUNSFIELD:
        low, high = HU_WINDOW
        return {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": low, "a_max": high, **ends}
    lower, upper = SIGNAL_PERCENTILES
    return {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": lower, "upper": upper, **ends}


def _between(values: FloatVolume, low: float, high: float) -> FloatVolume:
    return np.asarray(np.clip((values - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0), dtype=np.float32)

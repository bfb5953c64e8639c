"""MR signal of every tissue, drawn anew for each sample: any sequence, so that shape must carry the answer.

The idea is SynthSeg's (Billot et al., Med Image Anal 2023;86:102789). Signals are drawn between 0 and 1 and kept on the
scale of `appearance`, so that one painter serves both: 0 is -150, 1 is 250.
"""

from __future__ import annotations

import numpy as np

from liverplan.segmentation.intensity import FloatVolume
from liverplan.training import anatomies as t
from liverplan.training.appearance import SAME_AS, Look

_DARK, _RANGE = -150.0, 400.0
_ANY = (t.SPLEEN, t.KIDNEY_R, t.PANCREAS, t.AORTA, t.HEART, t.STOMACH, t.ADRENALS, t.GALLBLADDER, t.OTHER, t.VERTEBRAE)
THICKNESS_MM = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def draw_mr_look(rng: np.random.Generator) -> Look:
    """Draw the signal of each tissue. Liver lies apart from its lesions and its vessels, to either side."""
    signal = np.zeros(t.N_TISSUES, dtype=np.float32)
    for value in _ANY:
        signal[value] = rng.uniform(0.0, 1.0)
    signal[t.CYST] = signal[t.GALLBLADDER]
    liver = signal[t.LIVER] = rng.uniform(0.2, 0.8)
    signal[t.LESION] = _apart(liver, 0.5, rng)
    blood = _apart(liver, 0.75, rng)
    for value in (t.PORTAL, t.HEPATIC, t.VENA_CAVA):
        signal[value] = np.clip(blood + rng.normal(0.0, 0.04), 0.0, 1.1)
    suppressed = rng.random() < 0.5
    signal[t.FAT] = rng.uniform(0.0, 0.2) if suppressed else rng.uniform(0.5, 1.1)
    signal[t.SUBCUTANEOUS] = signal[t.FAT] * rng.uniform(0.8, 1.3)
    signal[t.MUSCLE] = rng.uniform(0.1, 0.5)
    signal[t.WALL] = signal[t.MUSCLE] * rng.uniform(0.8, 1.2)
    signal[t.BONES] = rng.uniform(0.0, 0.5)
    signal[t.LUNGS] = rng.uniform(0.0, 0.12)
    for value, other in SAME_AS.items():
        signal[value] = signal[other] + rng.normal(0.0, 0.01)
    table = _DARK + _RANGE * signal
    table[[0, t.EDGE]] = _DARK
    return Look("mr", table.astype(np.float32))


def _apart(liver: float, brighter: float, rng: np.random.Generator) -> float:
    """A signal at least 0.07 from the liver's; above it with the chance `brighter`."""
    side = 1.0 if rng.random() < brighter else -1.0
    return float(np.clip(liver + side * rng.uniform(0.07, 0.45), 0.0, 1.1))


def received(painted: FloatVolume, bias: FloatVolume) -> FloatVolume:
    """Signal >= 0 of what was painted, under a coil's uneven sensitivity (`bias`: a smooth field of unit variance)."""
    return np.asarray(np.maximum(painted - np.float32(_DARK), 0.0) * np.exp(np.float32(0.25) * bias), dtype=np.float32)

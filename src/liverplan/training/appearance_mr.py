"""MR signal of every tissue, drawn anew for each sample: any sequence, so that shape must carry the answer.

The idea is SynthSeg's (Billot et al., Med Image Anal 2023;86:102789). Signals are drawn between 0 and 1 and kept on the
scale of `appearance`, so that one painter serves both: 0 is -150, 1 is 250.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liverplan.segmentation.intensity import FloatVolume
from liverplan.training import anatomies as t
from liverplan.training.appearance import SAME_AS, Look

_DARK, _RANGE = -150.0, 400.0
_ANY = (t.SPLEEN, t.KIDNEY_R, t.PANCREAS, t.AORTA, t.HEART, t.STOMACH, t.ADRENALS, t.GALLBLADDER, t.OTHER, t.VERTEBRAE)
THICKNESS_MM = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
_SEQUENCES = ("any", "T1", "T1 fat-suppressed, portal phase", "T2")
_SHARES = (0.4, 0.2, 0.25, 0.15)
_AIR_HU, _FAT_HU, _BONE_HU = (-900.0, -300.0), (-120.0, -70.0), (400.0, 1500.0)
_SOFT_HU = (0.0, 40.0, 80.0, 120.0, 160.0, 220.0)


def draw_mr_look(rng: np.random.Generator) -> Look:
    """Draw the signal of each tissue. Liver lies apart from its lesions and its vessels, to either side."""
    sequence = str(rng.choice(_SEQUENCES, p=_SHARES))
    signal = np.zeros(t.N_TISSUES, dtype=np.float32)
    for value in _ANY:
        signal[value] = rng.uniform(0.0, 1.0)
    liver = signal[t.LIVER] = rng.uniform(0.1, 0.85)
    suppressed = rng.random() < 0.5
    signal[t.FAT] = rng.uniform(0.0, 0.2) if suppressed else rng.uniform(0.5, 1.1)
    signal[t.MUSCLE] = rng.uniform(0.1, 0.5)
    lesion, blood = _apart(liver, 0.5, rng), _apart(liver, 0.75, rng)
    if sequence != "any":
        liver, lesion, blood = _as_sequence(signal, sequence, rng)
    signal[t.CYST] = signal[t.GALLBLADDER]
    signal[t.LESION] = lesion
    for value in (t.PORTAL, t.HEPATIC, t.VENA_CAVA):
        signal[value] = np.clip(blood + rng.normal(0.0, 0.04), 0.0, 1.1)
    signal[t.SUBCUTANEOUS] = signal[t.FAT] * rng.uniform(0.8, 1.3)
    signal[t.WALL] = signal[t.MUSCLE] * rng.uniform(0.8, 1.2)
    signal[t.BONES] = rng.uniform(0.0, 0.5)
    signal[t.LUNGS] = rng.uniform(0.0, 0.12)
    for value, other in SAME_AS.items():
        signal[value] = signal[other] + rng.normal(0.0, 0.01)
    table = _DARK + _RANGE * signal
    table[[0, t.EDGE]] = _DARK
    return Look("mr", table.astype(np.float32))


def _as_sequence(
    signal: npt.NDArray[np.float32], sequence: str, rng: np.random.Generator
) -> tuple[float, float, float]:
    """The order of signals that a sequence is known for (clinical reference 4.2); returns liver, lesion and blood."""
    if sequence == "T1":
        liver, fluid = rng.uniform(0.15, 0.5), rng.uniform(0.02, 0.15)
        signal[t.FAT], signal[t.MUSCLE] = rng.uniform(0.6, 1.1), liver * rng.uniform(0.5, 0.85)
        lesion, blood = liver * rng.uniform(0.45, 0.85), liver * rng.uniform(0.3, 0.85)
        spleen = liver * rng.uniform(0.5, 0.9)
    elif sequence == "T2":
        liver, fluid = rng.uniform(0.12, 0.45), rng.uniform(0.75, 1.1)
        signal[t.FAT] = rng.uniform(0.05, 0.2) if rng.random() < 0.5 else rng.uniform(0.5, 0.9)
        signal[t.MUSCLE] = liver * rng.uniform(0.4, 0.9)
        lesion, blood = liver + rng.uniform(0.1, 0.4), liver * rng.uniform(0.1, 0.8)
        spleen = liver + rng.uniform(0.08, 0.4)
    else:
        liver, fluid = rng.uniform(0.35, 0.7), rng.uniform(0.02, 0.2)
        signal[t.FAT], signal[t.MUSCLE] = rng.uniform(0.02, 0.2), liver * rng.uniform(0.45, 0.8)
        lesion, blood = liver * rng.uniform(0.4, 0.9), liver * rng.uniform(1.15, 1.7)
        spleen = liver * rng.uniform(0.85, 1.3)
        signal[t.KIDNEY_R], signal[t.AORTA] = liver * rng.uniform(1.1, 1.8), blood
    signal[[t.LIVER, t.SPLEEN, t.GALLBLADDER]] = liver, spleen, fluid
    return float(liver), float(lesion), float(blood)


def _apart(liver: float, brighter: float, rng: np.random.Generator) -> float:
    """A signal at least 0.07 from the liver's; above it with the chance `brighter`."""
    side = 1.0 if rng.random() < brighter else -1.0
    return float(np.clip(liver + side * rng.uniform(0.07, 0.45), 0.0, 1.1))


def seen_as_mr(hounsfield: FloatVolume, rng: np.random.Generator) -> FloatVolume:
    """A real CT on the painter's scale with another order of grey: real anatomy and texture under any contrast.

    Air stays dark and fat is bright or suppressed; from water to enhanced blood the signal goes up and down at random,
    slowly enough for the CT's noise not to become the picture.
    """
    fat = rng.uniform(0.0, 0.2) if rng.random() < 0.5 else rng.uniform(0.5, 1.1)
    soft = [rng.uniform(0.1, 0.85)]
    for _ in _SOFT_HU[1:]:
        soft.append(float(np.clip(soft[-1] + rng.normal(0.0, 0.13), 0.02, 1.1)))
    bone = rng.uniform(0.0, 0.5)
    knots = (*_AIR_HU, *_FAT_HU, *_SOFT_HU, *_BONE_HU)
    signal = np.interp(hounsfield, knots, (0.0, rng.uniform(0.0, 0.1), fat, fat, *soft, bone, bone))
    return np.asarray(_DARK + _RANGE * signal, dtype=np.float32)


def received(painted: FloatVolume, bias: FloatVolume, strength: float = 0.25) -> FloatVolume:
    """Signal >= 0 of what was painted, under a coil's uneven sensitivity.

    bias: a smooth field of unit variance. strength: the logarithm's standard deviation.
    """
    seen = np.maximum(painted - np.float32(_DARK), 0.0) * np.exp(np.float32(strength) * bias)
    return np.asarray(seen, dtype=np.float32)

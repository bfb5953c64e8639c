"""Attenuation of every tissue, drawn anew for each sample: phase, patient, texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.segmentation.intensity import FloatVolume
from liverplan.training import anatomies as t
from liverplan.training.fields import smooth_noise
from liverplan.training.lesions import Lesion, paint_lesion

AIR_HU = -1000.0

PHASES = ("portal", "arterial", "native", "delayed", "random")
_PHASE_SHARE = (0.70, 0.07, 0.06, 0.07, 0.10)

# tissue: mean and between-patient SD per phase (portal, arterial, native, delayed), clinical reference 4.1.
_ENHANCED: dict[int, tuple[tuple[float, float], ...]] = {
    t.LIVER: ((108, 17), (72, 11), (56, 9), (92, 13)),
    t.SPLEEN: ((122, 16), (120, 25), (48, 5), (100, 12)),
    t.KIDNEY_R: ((180, 25), (150, 30), (32, 5), (140, 25)),
    t.PANCREAS: ((95, 15), (100, 20), (40, 7), (80, 12)),
    t.AORTA: ((155, 22), (300, 50), (42, 5), (115, 14)),
    t.VENA_CAVA: ((132, 26), (80, 25), (42, 5), (112, 14)),
    t.PORTAL: ((165, 24), (125, 35), (42, 5), (116, 14)),
    t.HEPATIC: ((155, 25), (62, 14), (42, 5), (114, 14)),
    t.HEART: ((145, 25), (230, 50), (42, 6), (110, 15)),
    t.STOMACH: ((75, 20), (70, 20), (40, 8), (65, 15)),
    t.LESION: ((66, 17), (58, 15), (40, 9), (74, 16)),
    t.ADRENALS: ((80, 15), (80, 20), (25, 12), (60, 15)),
}
SAME_AS = {
    t.KIDNEY_L: t.KIDNEY_R,
    t.PORTAL_IN: t.PORTAL,
    t.VEIN: t.PORTAL,
    t.DUODENUM: t.STOMACH,
    t.SMALL_BOWEL: t.STOMACH,
    t.COLON: t.STOMACH,
    t.OESOPHAGUS: t.STOMACH,
}
_CONSTANT = {
    0: (-1000.0, 4.0),
    t.EDGE: (-1000.0, 0.0),
    t.GALLBLADDER: (9.0, 7.0),
    t.CYST: (8.0, 6.0),
    t.LUNGS: (-830.0, 50.0),
    t.VERTEBRAE: (190.0, 50.0),
    t.BONES: (330.0, 110.0),
    t.MUSCLE: (60.0, 9.0),
    t.WALL: (52.0, 14.0),
    t.OTHER: (50.0, 25.0),
    t.FAT: (-100.0, 9.0),
    t.SUBCUTANEOUS: (-105.0, 8.0),
}


@dataclass(frozen=True)
class Look:
    """One patient in one phase: mean attenuation of every tissue, HU."""

    phase: str
    hounsfield: npt.NDArray[np.float32]


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the phase and the attenuation of each tissue."""
    phase = str(rng.choice(PHASES, p=_PHASE_SHARE))
    table = np.zeros(t.N_TISSUES, dtype=np.float32)
    for value, (mean, sd) in _CONSTANT.items():
        table[value] = rng.normal(mean, sd)
    column = PHASES.index(phase) if phase != "random" else int(rng.integers(0, 4))
    for value, columns in _ENHANCED.items():
        table[value] = rng.normal(*columns[column])
    if phase == "random":
        table = _any_contrast(table, rng)
    for value, other in SAME_AS.items():
        table[value] = table[other] + rng.normal(0, 3)
    if phase == "portal":
        _keep_order(table, rng)
    return Look(phase, table)


def _any_contrast(table: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Soft tissue at any attenuation between fat and bone: shape must carry the answer."""
    for value in _ENHANCED:
        table[value] = rng.uniform(-20, 210)
    return table


def _keep_order(table: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """In the portal phase veins are brighter than the liver, though sometimes barely (steatosis the other way)."""
    if rng.random() < 0.12:
        table[t.LIVER] = rng.uniform(45, 85)
        table[t.LESION] = table[t.LIVER] + rng.uniform(-35, 15)
    floor = table[t.LIVER] + rng.uniform(8, 30)
    for value in (t.PORTAL, t.PORTAL_IN, t.HEPATIC, t.VEIN):
        table[value] = max(table[value], floor + rng.uniform(0, 12))
    if abs(table[t.LESION] - table[t.LIVER]) < 12:
        table[t.LESION] = table[t.LIVER] - rng.uniform(12, 55)


def paint(
    labels: t.LabelArray,
    lesions: list[Lesion],
    look: Look,
    spacing_mm: float,
    drawn_vessels: bool,
    rng: np.random.Generator,
) -> FloatVolume:
    """Attenuation of the object itself, before the scanner."""
    hu = look.hounsfield[labels]
    coarse, fine = _noise(labels, 14.0, spacing_mm, rng), _noise(labels, 5.0, spacing_mm, rng)
    hu += coarse * _TEXTURE_COARSE[labels] + fine * _TEXTURE_FINE[labels]
    _paint_patches(hu, labels, spacing_mm, rng)
    _fade_thin_veins(hu, labels, look.hounsfield[t.LIVER], spacing_mm, rng)
    _paint_fat(hu, labels, coarse, fine, spacing_mm, rng)
    _paint_bowel(hu, labels, spacing_mm, rng)
    _paint_lungs(hu, labels, spacing_mm, rng)
    if drawn_vessels:
        _paint_curves(hu, labels == t.LIVER, look.hounsfield[t.PORTAL], spacing_mm, rng)
    for lesion in lesions:
        paint_lesion(hu, lesion, look.hounsfield[t.LIVER], look.hounsfield[t.LESION], spacing_mm, rng)
    return hu


_TEXTURE_COARSE = np.zeros(t.N_TISSUES, dtype=np.float32)
_TEXTURE_FINE = np.zeros(t.N_TISSUES, dtype=np.float32)
for _values, _coarse, _fine in (
    ((t.LIVER, t.SPLEEN, t.PANCREAS), 3.0, 2.0),
    ((t.KIDNEY_L, t.KIDNEY_R), 25.0, 15.0),
    ((t.VENA_CAVA,), 14.0, 3.0),
    ((t.HEART,), 25.0, 4.0),
    ((t.VERTEBRAE, t.BONES), 35.0, 70.0),
    ((t.MUSCLE, t.WALL), 16.0, 14.0),
    ((t.OTHER, t.ADRENALS), 20.0, 15.0),
    ((t.FAT, t.SUBCUTANEOUS), 5.0, 5.0),
    ((t.LUNGS,), 30.0, 30.0),
):
    _TEXTURE_COARSE[list(_values)], _TEXTURE_FINE[list(_values)] = _coarse, _fine


def _noise(labels: t.LabelArray, length_mm: float, spacing_mm: float, rng: np.random.Generator) -> FloatVolume:
    return smooth_noise(labels.shape, max(length_mm / spacing_mm, 1.2), rng)


def _paint_patches(hu: FloatVolume, labels: t.LabelArray, spacing_mm: float, rng: np.random.Generator) -> None:
    """Regions of liver that are brighter or darker for no lesion's sake: steatosis, perfusion. Their edges are soft."""
    if rng.random() > 0.35:
        return
    field = _noise(labels, rng.uniform(20.0, 60.0), spacing_mm, rng)
    share = 1.0 / (1.0 + np.exp((rng.uniform(0.3, 1.5) - field) / rng.uniform(0.15, 0.5)))
    liver = labels == t.LIVER
    hu[liver] += (rng.uniform(-22.0, 14.0) * share)[liver].astype(np.float32)


def _fade_thin_veins(
    hu: FloatVolume, labels: t.LabelArray, liver: float, spacing_mm: float, rng: np.random.Generator
) -> None:
    """Veins thinner than three voxels fill their voxels in part only, and contrast mixes unevenly in all of them."""
    veins = np.isin(labels, (t.PORTAL_IN, t.HEPATIC, t.VEIN))
    if not veins.any():
        return
    wide = ndimage.binary_opening(veins)
    thin_share = rng.uniform(0.3, 1.0) + 0.2 * _noise(labels, 20.0, spacing_mm, rng)
    wide_share = 1.0 + rng.uniform(0.0, 0.15) * _noise(labels, 25.0, spacing_mm, rng)
    share = np.where(wide, wide_share, np.clip(thin_share, 0.15, 1.1))
    hu[veins] = liver + (hu[veins] - liver) * share[veins]


def _paint_fat(
    hu: FloatVolume,
    labels: t.LabelArray,
    coarse: FloatVolume,
    fine: FloatVolume,
    spacing_mm: float,
    rng: np.random.Generator,
) -> None:
    """Unlabelled tissue among the organs: vessels, nodes, bowel that nobody drew."""
    field = _noise(labels, rng.uniform(10, 30), spacing_mm, rng)
    soft = (labels == t.FAT) & (field > rng.uniform(0.1, 1.6))
    hu[soft] = (rng.uniform(10, 110) + 12 * coarse + 12 * fine)[soft]


def _paint_bowel(hu: FloatVolume, labels: t.LabelArray, spacing_mm: float, rng: np.random.Generator) -> None:
    """Gas and content in the gut; the wall keeps its attenuation."""
    field = _noise(labels, rng.uniform(12, 30), spacing_mm, rng)
    gut = np.isin(labels, (t.STOMACH, t.SMALL_BOWEL, t.COLON, t.DUODENUM))
    content = rng.uniform(120, 350) if rng.random() < 0.25 else rng.uniform(-5, 45)
    hu[gut & (field < rng.uniform(-0.6, 0.6))] = content
    hu[gut & (field > rng.uniform(0.7, 2.2))] = -850.0


def _paint_lungs(hu: FloatVolume, labels: t.LabelArray, spacing_mm: float, rng: np.random.Generator) -> None:
    lungs = labels == t.LUNGS
    if lungs.any():
        _paint_curves(hu, lungs, rng.uniform(-50, 120), spacing_mm, rng)


def _paint_curves(
    hu: FloatVolume, where: npt.NDArray[np.bool_], value: float, spacing_mm: float, rng: np.random.Generator
) -> None:
    """Curved tubes, where two smooth fields both vanish."""
    shape_like = where.view(np.uint8)
    length = rng.uniform(18, 35)
    first, second = _noise(shape_like, length, spacing_mm, rng), _noise(shape_like, length, spacing_mm, rng)
    width = rng.uniform(0.06, 0.22) * 30.0 / length
    hu[where & (first**2 + second**2 < width**2)] = value

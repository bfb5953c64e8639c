"""A made-up CT and stand-in networks for tests of the cascade. Not data of anybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from liverplan.segmentation.engines import EngineKind
from liverplan.segmentation.models import Stage, StageSettings
from liverplan.segmentation.networks import build_network
from liverplan.training.config import TrainingConfig
from liverplan.training.export import write_bundle
from liverplan.volume import Grid, Volume

LIVER_HU, LESION_HU, VEIN_HU = 110.0, 40.0, 170.0


def ball(grid: Grid, centre_mm: tuple[float, float, float], radius_mm: tuple[float, float, float]) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    away = (grid.to_world(index) - centre_mm) / np.asarray(radius_mm)
    return (away**2).sum(-1) < 1


def ellipsoid_ct(spacing_mm: tuple[float, float, float] = (3.0, 3.0, 5.0)) -> Volume:
    """A bright ellipsoid of 1131 mL in fat and air; the stand-in networks call brightness liver."""
    shape = tuple(round(n / s) for n, s in zip((288, 240, 210), spacing_mm, strict=True))
    grid = Grid.from_spacing((shape[0], shape[1], shape[2]), spacing_mm)
    array = np.full(grid.shape, -1000, dtype=np.int16)
    array[ball(grid, (144, 120, 105), (135, 110, 400))] = -100
    array[ball(grid, (110, 115, 105), (72, 60, 62.5))] = LIVER_HU
    array[ball(grid, (90, 110, 100), (12, 12, 12))] = LESION_HU
    return Volume(grid, array)


SURE = np.float32(15.0)
"""Logits as far apart as a trained network's: what it doubts is no lesion."""


class BrightIsLiver:
    """An engine that thresholds, so that geometry can be tested without training."""

    name = "a threshold"
    notes: tuple[str, ...] = ()

    def __init__(self, stage: Stage, settings: StageSettings, kind: EngineKind) -> None:
        self.n_classes = settings.n_classes

    def __call__(self, patch: np.ndarray) -> np.ndarray:
        scores = np.zeros((self.n_classes, *patch.shape), dtype=np.float32)
        scores[0] = 0.4
        hounsfield = patch * 200 + 50
        scores[1] = (hounsfield > 70) & (hounsfield < 150)
        if self.n_classes > 2:
            scores[2] = (hounsfield > 0) & (hounsfield <= 70)
        return scores * SURE


class BrightestIsLiver(BrightIsLiver):
    """The same for MR signal: the liver of `ellipsoid_mr` is the brightest there is."""

    def __call__(self, patch: np.ndarray) -> np.ndarray:
        scores = np.zeros((self.n_classes, *patch.shape), dtype=np.float32)
        scores[0] = 0.4
        scores[1] = patch > 0.8
        if self.n_classes > 2:
            scores[2] = (patch > 0.5) & (patch <= 0.8)
        return scores * SURE


def ellipsoid_mr() -> Volume:
    """The body of `ellipsoid_ct` as MR signal in a scanner's own unit, which nobody knows."""
    upright = ellipsoid_ct()
    signal = np.select([upright.array >= LIVER_HU, upright.array > 0, upright.array > -500], [630, 560, 250], 3)
    return Volume(upright.grid, signal.astype(np.int16), "MR")


def write_small_models(folder: Path, modality: str = "CT") -> Path:
    """A models folder with two tiny untrained networks."""
    for stage, spacing in (("locate", 3.0), ("segment", 1.5)):
        config = TrainingConfig(stage, spacing, (16, 16, 16), 1, channels=(4, 8), num_res_units=1, modality=modality)
        torch.manual_seed(0)
        write_bundle(config, build_network(config.network).state_dict(), folder)
    return folder

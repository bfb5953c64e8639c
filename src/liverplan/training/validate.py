"""How good the network is on a real scan it does not train on, while it trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from liverplan.segmentation.intensity import HU_WINDOW, scaled, scaled_signal
from liverplan.segmentation.windows import class_scores, labels_of
from liverplan.training.config import TrainingConfig
from liverplan.training.loop import Validate
from liverplan.training.real import read_validation
from liverplan.training.samples import SampleSource
from liverplan.training.synthesis import Patch
from liverplan.volume import bounding_box

_SYNTHETIC = 12


def validator(config: TrainingConfig, source: SampleSource, data: Path) -> Validate:
    """A function of the network: Dice of the real liver and per class on synthetic patches, and a score.

    No MR may choose weights here: for MR the real CT is shown as if it were one. A real scan that is learnt from is
    shown and does not count.
    """
    image, liver = read_validation(data, config.spacing_mm)
    if config.stage == "segment":
        margin = round(15 / config.spacing_mm)
        box = bounding_box(liver, (margin, margin, margin))
        image, liver = image[box], liver[box]
    shown = scaled(image) if config.modality == "CT" else scaled_signal(np.maximum(image - HU_WINDOW[0], 0.0))
    drawn = (
        config.stage == "segment" or config.modality == "MR" or config.whole_scan
    )  # one scan shown as an MR is one contrast of many
    held = [source.draw(10**9 + n) for n in range(_SYNTHETIC)] if drawn else []

    def validate(network: torch.nn.Module) -> dict[str, float]:
        guess = labels_of(class_scores(network, shown, config.patch, 0.25))
        found = np.isin(guess, (1, 2, 3, 4))
        scores = {"lits0_liver": dice(found, liver)}
        for code in range(1, config.n_classes):
            scores[f"lits0_ml_{code}"] = float((guess == code).sum() * config.spacing_mm**3 / 1000)
        synthetic = _synthetic(network, held, config)
        means = list(synthetic.values())
        real = 0.0 if config.whole_scan else scores["lits0_liver"]
        return {**scores, **synthetic, "score": real + (float(np.mean(means)) if means else 0.0)}

    return validate


def _synthetic(network: torch.nn.Module, patches: list[Patch], config: TrainingConfig) -> dict[str, float]:
    per_class: dict[int, list[float]] = {c: [] for c in range(1, config.n_classes)}
    for patch in patches:
        if (patch.target >= config.n_classes).any():
            continue
        with torch.inference_mode():
            guess = labels_of(network(torch.from_numpy(patch.image)[None, None])[0])
        for code, values in per_class.items():
            if (patch.target == code).sum() > 30:
                values.append(dice(guess == code, patch.target == code))
    return {f"synthetic_{c}": float(np.mean(v)) for c, v in per_class.items() if v}


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Dice overlap of two masks; 1 when both are empty."""
    size = int(first.sum()) + int(second.sum())
    return 1.0 if size == 0 else 2.0 * int((first & second).sum()) / size

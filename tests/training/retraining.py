"""Small trainings on made-up scans, and what they left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from liverplan.training.config import TrainingConfig
from liverplan.training.loop import CHECKPOINT, LOG
from liverplan.training.session import Options, train

TEXT = """
stage = "segment"
spacing_mm = 8.0
patch = [16, 16, 16]
steps = {steps}
channels = [4, 8]
num_res_units = 1
validate_every = 8
checkpoint_every = {checkpoint_every}
[data]
validation = 0.3
"""


def trained(
    config: TrainingConfig, scans: Path, cache: Path, out: Path, **more: Any
) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    options = Options(out=out, images=scans, cache=cache, tensorboard=False, **more)
    return train(config, options, lambda data: None, said.append), said


def rows(out: Path) -> list[dict[str, float]]:
    """metrics.jsonl without the time, which is never the same."""
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "minutes"} for row in lines]


def weights(out: Path, name: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(out / CHECKPOINT, weights_only=True)[name]
    return state


def same_weights(first: Path, second: Path) -> bool:
    """Bit for bit: one thread on a CPU adds up in one order."""
    return all(
        torch.equal(tensor, weights(second, part)[name])
        for part in ("network", "averaged")
        for name, tensor in weights(first, part).items()
    )

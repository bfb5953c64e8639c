"""What `liverplan train` is told: one TOML file per network."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from liverplan.errors import InputError
from liverplan.segmentation.networks import NetworkSpec


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Keys of the file are the names here; unknown keys are refused.

    stage: "locate" or "segment". patch: voxels. steps: the end of the schedule. minutes: it ends after this
    much training time at the latest (None: no limit). real_share: share of samples cut from real scans.
    """

    stage: str
    spacing_mm: float
    patch: tuple[int, int, int]
    steps: int
    seed: int = 1
    batch: int = 1
    learning_rate: float = 1.5e-3
    warm_up: int = 50
    weight_decay: float = 1e-4
    ema_decay: float = 0.99
    minutes: float | None = None
    real_share: float = 0.2
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    num_res_units: int = 2
    class_weights: tuple[float, ...] | None = None
    checkpoint_every: int = 100
    validate_every: int = 100
    threads: int = 1

    @property
    def n_classes(self) -> int:
        return 2 if self.stage == "locate" else 6

    @property
    def network(self) -> NetworkSpec:
        return NetworkSpec(self.n_classes, self.channels, self.num_res_units)


def read_config(path: Path) -> TrainingConfig:
    """Read a training configuration. Raises InputError when it does not load."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(path, str(error)) from error
    known = {f.name for f in fields(TrainingConfig)}
    if unknown := set(raw) - known:
        raise _refused(path, f"unknown keys {sorted(unknown)}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    try:
        config = TrainingConfig(**values)
    except TypeError as error:
        raise _refused(path, str(error)) from error
    if config.stage not in ("locate", "segment"):
        raise _refused(path, f"stage {config.stage!r}")
    if len(config.patch) != 3 or any(n % config.network.multiple for n in config.patch):
        raise _refused(path, f"patch {config.patch}, not three multiples of {config.network.multiple}")
    return config


def _refused(path: Path, got: str) -> InputError:
    return InputError(
        f"the training configuration {path.name} does not load",
        got=got,
        wanted="a TOML file with the keys of liverplan.training.config.TrainingConfig",
        do="Start from a file in configs/.",
    )

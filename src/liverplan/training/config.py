"""What `liverplan train` is told: one TOML file per network."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from liverplan.errors import InputError
from liverplan.segmentation.networks import NetworkSpec


@dataclass(frozen=True)
class FolderData:
    """`[data]`: scans of your own. folder: see `datasets`; may come from the command line instead.

    share: of samples cut from these scans; the rest is synthetic. validation, test: shares of the patients. split: a
    file that says which patients stand where (`splits`) instead of drawing them.
    """

    folder: str | None = None
    share: float = 1.0
    validation: float = 0.2
    test: float = 0.0
    split: str | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """A training run. Keys of the file are the names here; unknown keys are refused.

    stage: "locate" or "segment". modality: "CT" or "MR". patch: voxels. steps: the end of the schedule. minutes: it
    ends after this much training time at the latest (None: no limit). real_share: share of samples cut from real scans.
    whole_scan: whether the one whole real scan is learnt from too; otherwise it validates alone.
    centreline_weight, course_weight: of what `losses` adds to Dice and cross entropy for the courses of veins.
    precision: "fp32", or "bf16" for mixed precision (weights and loss stay float32) where the processor has it.
    data: scans of your own (None: synthesis only). patience: stop after so many validations without a better score.
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
    whole_scan: bool = False
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    num_res_units: int = 2
    class_weights: tuple[float, ...] | None = None
    centreline_weight: float = 0.0
    course_weight: float = 0.0
    checkpoint_every: int = 100
    validate_every: int = 100
    threads: int = 1
    precision: str = "fp32"
    modality: str = "CT"
    data: FolderData | None = None
    patience: int | None = None

    @property
    def n_classes(self) -> int:
        return 2 if self.stage == "locate" else 6

    @property
    def network(self) -> NetworkSpec:
        return NetworkSpec(self.n_classes, self.channels, self.num_res_units)


def read_config(path: Path) -> TrainingConfig:
    """Read a training configuration, TOML or YAML. Raises InputError when it does not load."""
    raw = _raw(path)
    values = _values(path, raw, TrainingConfig)
    if "data" in values:
        values["data"] = _data(path, values["data"])
    if text := [k for k, v in values.items() if isinstance(v, str) and k not in ("stage", "precision", "modality")]:
        raise _refused(path, f"text for {', '.join(text)} (in YAML a number like 2e-3 is written 2.0e-3)")
    try:
        config = TrainingConfig(**values)
    except TypeError as error:
        raise _refused(path, str(error)) from error
    if config.stage not in ("locate", "segment"):
        raise _refused(path, f"stage {config.stage!r}")
    if config.modality not in ("CT", "MR"):
        raise _refused(path, f"modality {config.modality!r}")
    if config.precision not in ("fp32", "bf16"):
        raise _refused(path, f"precision {config.precision!r}")
    if len(config.patch) != 3 or any(n % config.network.multiple for n in config.patch):
        raise _refused(path, f"patch {config.patch}, not three multiples of {config.network.multiple}")
    return config


def _raw(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.safe_load(text) if path.suffix.lower() in (".yaml", ".yml") else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise _refused(path, str(error)) from error
    if not isinstance(raw, dict):
        raise _refused(path, "no keys")
    return raw


def _values(path: Path, raw: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The table with tuples for lists. Raises InputError on a key that `kind`, a dataclass, does not have."""
    if unknown := set(raw) - {f.name for f in fields(kind)}:
        raise _refused(path, f"unknown keys {sorted(unknown)}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}


def _data(path: Path, raw: Any) -> FolderData:
    if not isinstance(raw, Mapping):
        raise _refused(path, f"data {raw!r}, not a table")
    data = FolderData(**_values(path, raw, FolderData))
    for name in ("share", "validation", "test"):
        if not isinstance(value := getattr(data, name), int | float) or not 0 <= value <= 1:
            raise _refused(path, f"data.{name} {value!r}, not a share from 0 to 1")
    return data


def _refused(path: Path, got: str) -> InputError:
    return InputError(
        f"the training configuration {path.name} does not load",
        got=got,
        wanted="a TOML or YAML file with the keys of liverplan.training.config.TrainingConfig",
        do="Start from a file in configs/.",
    )

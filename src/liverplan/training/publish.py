"""What a finished training on scans of one's own leaves: a models folder that works, and a card that says how."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from liverplan import __version__
from liverplan.errors import InputError, ModelError
from liverplan.io.folder import write_text_atomic
from liverplan.segmentation.models import Model, available_models, find_model, models_folder
from liverplan.training.config import TrainingConfig
from liverplan.training.export import CLASSES, TITLES, TRAINED_ON, bundle_name, register, write_bundle
from liverplan.training.lasting import SCORE
from liverplan.training.loop import LOG
from liverplan.training.preprocessed import PreparedCase
from liverplan.training.splits import Split

LICENCE = "that of the scans it was trained on, which their owner knows; research use only"


@dataclass(frozen=True)
class Origin:
    """Where a run's weights come from. fingerprint: sha256 over the hashes of all images. start: what it began with."""

    folder: str
    layout: str
    fingerprint: str
    cases: Sequence[PreparedCase]
    split: Split
    start: Model | None


def require_own_folder(models: Path) -> None:
    """Raise InputError when the models folder is the shipped one: its weights are not to be replaced in passing."""
    try:
        shipped = models_folder()
    except ModelError:
        return
    if models.resolve() == shipped.resolve():
        raise InputError(
            "the shipped models would be replaced",
            got=f"--models {models}",
            wanted="a folder of your own",
            do="Leave --models out: the bundle goes into OUT/models.",
        )


def publish(
    config: TrainingConfig, weights: Mapping[str, torch.Tensor], models: Path, origin: Origin, run: Path
) -> Path:
    """Write the bundle with its card, and beside it the other network of the cascade. Returns the bundle's folder."""
    models.mkdir(parents=True, exist_ok=True)
    trained_on = _trained_on(config, origin)
    bundle = write_bundle(config, weights, models, trained_on, LICENCE)
    write_text_atomic(bundle / "docs" / "README.md", card(config, origin, best_scores(run)))
    _add_other_stage(config.stage, models, origin.start, trained_on)
    return bundle


def _add_other_stage(stage: str, models: Path, start: Model | None, trained_on: Sequence[str]) -> None:
    """A cascade needs both networks: the one that was not trained is that of the start, or the shipped one."""
    try:
        available_models(models)
    except ModelError:
        other = "segment" if stage == "locate" else "locate"
        source = (start or find_model()).stages[other].bundle
        bundle = models / bundle_name(other)
        shutil.copytree(source, bundle, dirs_exist_ok=True)
        register(other, bundle, models, [*trained_on, f"{other}: not retrained, see its card"], LICENCE)


def _trained_on(config: TrainingConfig, origin: Origin) -> list[str]:
    assert config.data is not None  # a run on a folder
    sides = [f"{len(origin.split.train)} patients to train", f"{len(origin.split.validation)} to validate"]
    own = f"{len(origin.cases)} scans of {origin.folder} ({', '.join(sides)}), sha256 {origin.fingerprint[:16]}"
    synthetic = [TRAINED_ON["CT"][-1]] if config.data.share < 1 else []
    start = [f"began with {origin.start.name} {origin.start.version}: see its card"] if origin.start else []
    return [own, *synthetic, *start]


def best_scores(run: Path) -> dict[str, float]:
    """The row of metrics.jsonl that chose the weights; empty when there is none."""
    rows = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    scored = [row for row in rows if SCORE in row]
    return max(scored, key=lambda row: row[SCORE]) if scored else {}


def card(config: TrainingConfig, origin: Origin, scores: Mapping[str, float]) -> str:
    """docs/README.md of the bundle: data, seed, settings, scores, and what nobody has tested."""
    assert config.data is not None
    sides = Counter(origin.split.side(case.patient) for case in origin.cases)
    labelled = Counter(structure.value for case in origin.cases for structure in case.labelled)
    start = origin.start
    began = f"`{start.name}` {start.version}, sha256 {start.sha256[:16]}" if start else "random weights"
    versions = ", ".join(f"{name} {version(name).split('+')[0]}" for name in ("torch", "monai", "numpy"))
    lines = [
        f"# {bundle_name(config.stage, config.modality)}",
        "",
        f"{TITLES[config.stage].rsplit(' at ', 1)[0]}, retrained at {config.spacing_mm:g} mm.",
        "",
        "**Research use only, not a medical device. Check every outline against the scan before using a number.**",
        "",
        "| | |",
        "|---|---|",
        f"| network | MONAI `UNet`, channels {', '.join(map(str, config.channels))}, {config.num_res_units} residual"
        f" units per level, {config.spacing_mm:g} mm |",
        f"| output | {', '.join(f'{n} {name}' for n, name in enumerate(CLASSES[config.stage]))} |",
        f"| began with | {began} |",
        f"| data | {len(origin.cases)} scans of {len(origin.split.patients)} patients from `{origin.folder}`"
        f" ({origin.layout}), sha256 of the images {origin.fingerprint} |",
        f"| split | by patient, seed {config.seed}: {sides['train']} scans trained, {sides['validation']} validated,"
        f" {sides['test']} left for a test |",
        f"| labelled | {', '.join(f'{name} in {n}' for name, n in sorted(labelled.items()))} |",
        f"| synthetic | {100 * (1 - config.data.share):.0f} % of the patches |",
        f"| seed | {config.seed} |",
        f"| made by | liverplan {__version__}, {versions} |",
        "",
        "## Scores that chose the weights",
        "",
        f"Step {scores.get('step', 'unknown')}, mean over the validation patients, at {config.spacing_mm:g} mm.",
        "They chose the weights, so they are better than those of new patients will be: measure on patients that",
        "nothing was chosen on (`liverplan evaluate`).",
        "",
        "| | Dice |",
        "|---|---|",
        *[f"| {k.removeprefix('held_out_')} | {v:.3f} |" for k, v in scores.items() if k.startswith("held_out_")],
        "",
        "## Not known",
        "",
        "Other scanners, phases, populations and lesions than those trained on; whoever publishes these weights says",
        "here what was tested, and under which licence the scans may be used to train.",
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(_plain(asdict(config)), indent=2),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the path of the data, which is nobody's business."""
    data = settings.get("data")
    own = {k: v for k, v in data.items() if k not in ("folder", "split")} if data else None
    return {**settings, "data": own}

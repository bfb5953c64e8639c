"""A trained network becomes a MONAI bundle, and a line in the registry of its models folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from liverplan import __version__
from liverplan.io.folder import write_json_atomic, write_text_atomic
from liverplan.segmentation.intensity import FORMATS, monai_transform
from liverplan.segmentation.models import MODEL_OF, REGISTRY, file_sha256
from liverplan.segmentation.registry import write_entries
from liverplan.training.config import TrainingConfig
from liverplan.training.loop import save_atomically

BUNDLES = {
    ("CT", "locate"): "liverplan_locate_segmentation",
    ("CT", "segment"): "liverplan_ct_segmentation",
    ("MR", "locate"): "liverplan_mr_locate_segmentation",
    ("MR", "segment"): "liverplan_mr_segmentation",
}
SERVES = {("MR", "segment"): ("locate", "segment")}
"""Stages of the cascade that one network serves. At 3 mm an MR of unknown contrast shows too little to find the liver
by (Dice 0.76 on synthetic scans); the fine network finds it in the whole scan."""
CLASSES = {
    "locate": ("background", "liver"),
    "segment": ("background", "liver", "lesions", "portal vein", "hepatic veins", "inferior vena cava"),
}
TITLES = {
    "locate": "Liver in a whole CT at 3 mm",
    "segment": "Liver, lesions, portal vein, hepatic veins and vena cava in the liver's box at 1.5 mm",
}
_TRAINED_ON = (
    "TotalSegmentator data set, multi-organ label maps and two CT (CC BY 4.0)",
    "Couinaud and vessel label maps of LiTS livers (MSD, CC BY-SA 4.0)",
    "LiTS volume 117, a crop (LiTS CC BY-NC-ND 4.0, MSD CC BY-SA 4.0)",
    "AMOS, two CT slabs (CC BY 4.0)",
    "synthetic vessels, lesions and image appearance",
)
_NO_MR = "no MR image: MR contrasts drawn into label maps and real CT patches"
TRAINED_ON = {"CT": _TRAINED_ON, "MR": (*_TRAINED_ON, _NO_MR)}
"""By modality; the MR network begins with the CT weights."""
WHOLE_SCAN = "LiTS volume 0, the liver (LiTS CC BY-NC-ND 4.0, MSD CC BY-SA 4.0)"
"""Where the configuration's `whole_scan` learns from it."""
LICENCE = "research use only; see docs/README.md of the bundles for the licences of the training data"
_CHANNEL = {"CT": "CT in Hounsfield units", "MR": "MR signal, any sequence"}
_MODEL_TITLES = {
    "CT": "CT: liver, lesions, portal vein, hepatic veins, vena cava (research preview)",
    "MR": "MR: liver (research preview)",
}
STRUCTURES_OF: dict[str, tuple[str, ...]] = {"CT": (), "MR": ("liver",)}
"""What a model's masks are good enough for, by its card; empty: all that it labels."""
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
WINDOW = (96, 96, 96)
OVERLAPS = {"CT": 0.25, "MR": 0.5}
"""Share of a window's side, by modality. An MR's network looks at the whole scan, where more looks find more (card)."""


def write_bundle(
    config: TrainingConfig,
    weights: Mapping[str, torch.Tensor],
    models: Path,
    trained_on: Sequence[str] = _TRAINED_ON,
    licence: str = LICENCE,
) -> Path:
    """Write one stage's bundle under `models` and its hashes into the registry there. Returns the bundle's folder.

    trained_on: the data, a phrase each. licence: what the registry says of the whole folder.
    """
    bundle = models / bundle_name(config.stage, config.modality)
    for folder in ("configs", "models", "docs"):
        (bundle / folder).mkdir(parents=True, exist_ok=True)
    half = {name: tensor.detach().cpu().half() for name, tensor in weights.items()}
    save_atomically(half, bundle / "models" / "model.pt")
    write_json_atomic(bundle / "configs" / "inference.json", inference(config))
    write_json_atomic(bundle / "configs" / "metadata.json", metadata(config, trained_on))
    write_text_atomic(bundle / "configs" / "logging.conf", _LOGGING)
    for stage in SERVES.get((config.modality, config.stage), (config.stage,)):
        register(stage, bundle, models, trained_on, licence, config.modality)
    return bundle


def bundle_name(stage: str, modality: str = "CT") -> str:
    """The folder of a stage's bundle."""
    return BUNDLES[modality, stage]


def register(
    stage: str,
    bundle: Path,
    models: Path,
    trained_on: Sequence[str] = _TRAINED_ON,
    licence: str = LICENCE,
    modality: str = "CT",
) -> None:
    """Write the sha256 of the bundle's files into the registry; other stages and other models stay as they are."""
    path = models / REGISTRY
    old: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries: dict[str, Any] = old.get("models", {})
    name = MODEL_OF[modality]
    files = ("models/model.pt", "configs/inference.json")
    kept = entries.get(name, {})
    stages = {**kept.get("stages", {})}
    stages[stage] = {"bundle": bundle.name, "sha256": {file: file_sha256(bundle / file) for file in files}}
    entries[name] = {
        **kept,
        "title": _MODEL_TITLES[modality],
        "version": __version__,
        "modality": modality,
        "licence": licence,
        "trained_on": list(trained_on),
        "structures": list(STRUCTURES_OF[modality]),
        "stages": dict(sorted(stages.items())),
    }
    write_entries(models, {**old, "models": entries})


def calibrate(models: Path, factors: Mapping[str, float], modality: str = "CT") -> Path:
    """Write `confidence_factors` into the bundle that labels structures, and its new hash into the registry."""
    bundle = models / bundle_name("segment", modality)
    path = bundle / "configs" / "inference.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    known = {name: round(float(factor), 2) for name, factor in factors.items()}
    write_json_atomic(path, {**content, "confidence_factors": known})
    entry = tomllib.loads((models / REGISTRY).read_text(encoding="utf-8"))["models"][MODEL_OF[modality]]
    for stage in SERVES.get((modality, "segment"), ("segment",)):
        register(stage, bundle, models, entry["trained_on"], entry["licence"], modality)
    return path


def inference(config: TrainingConfig) -> dict[str, Any]:
    """`configs/inference.json`: self-contained, as MONAI Label and MONAI Deploy want it."""
    return {
        "imports": ["$import glob", "$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "/workspace/data",
        "output_dir": "$@bundle_root + '/eval'",
        "data_list": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))]",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "intensity": FORMATS[config.modality],
        "spacing_mm": config.spacing_mm,
        "window": list(WINDOW),
        "overlap": OVERLAPS[config.modality],
        "network_def": config.network.definition(),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(config)},
        "dataset": {"_target_": "Dataset", "data": "@data_list", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": "@window",
            "sw_batch_size": 1,
            "overlap": "@overlap",
            "mode": "gaussian",
            "padding_mode": "constant",
            "cval": -1.0,
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing()},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "evaluating": ["$@evaluator.run()"],
        "run": ["$@evaluator.run()"],
    }


def _preprocessing(config: TrainingConfig) -> list[dict[str, Any]]:
    return [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "LPS"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [config.spacing_mm] * 3, "mode": "bilinear"},
        monai_transform(FORMATS[config.modality]),
        {"_target_": "EnsureTyped", "keys": "image"},
    ]


def _postprocessing() -> list[dict[str, Any]]:
    return [
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": True,
            "to_tensor": True,
        },
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_dtype": "uint8",
            "output_postfix": "seg",
            "separate_folder": False,
        },
    ]


def metadata(config: TrainingConfig, trained_on: Sequence[str] = _TRAINED_ON) -> dict[str, Any]:
    """`configs/metadata.json` in MONAI's schema."""
    names = CLASSES[config.stage]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: "first weights"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").split("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"nibabel": version("nibabel"), "pytorch-ignite": "0.5.0"},
        "name": TITLES[config.stage],
        "task": TITLES[config.stage],
        "description": "Residual UNet, trained mostly on synthetic images. Research use only, not a medical device.",
        "authors": "The liverplan authors",
        "copyright": "The liverplan authors",
        "data_source": "; ".join(trained_on),
        "data_type": "nibabel",
        "image_classes": "one channel, " + _CHANNEL[config.modality],
        "label_classes": "one channel, " + ", ".join(f"{n} {name}" for n, name in enumerate(names)),
        "pred_classes": f"{len(names)} channels, one per class",
        "eval_metrics": {},
        "intended_use": "Research only. Outlines need a reader's check before any number is used.",
        "references": ["Billot et al., SynthSeg, Med Image Anal 2023;86:102789"],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield" if config.modality == "CT" else "magnitude",
                    "modality": config.modality,
                    "num_channels": 1,
                    "spatial_shape": list(WINDOW),
                    "dtype": "float32",
                    "value_range": [-1, 1],
                    "is_patch_data": True,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": len(names),
                    "spatial_shape": list(WINDOW),
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": {str(n): name for n, name in enumerate(names)},
                }
            },
        },
    }


_LOGGING = """[loggers]
keys=root

[handlers]
keys=consoleHandler

[formatters]
keys=fullFormatter

[logger_root]
level=INFO
handlers=consoleHandler

[handler_consoleHandler]
class=StreamHandler
level=INFO
formatter=fullFormatter
args=(sys.stdout,)

[formatter_fullFormatter]
format=%(asctime)s - %(name)s - %(levelname)s - %(message)s
"""

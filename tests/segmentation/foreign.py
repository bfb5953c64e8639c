"""A foreign MONAI bundle in small, whose weights are set by hand to tell liver and tumour by brightness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from cases import LESION_HU, LIVER_HU
from monai.networks.nets import UNet

LOW_HU, HIGH_HU = -200.0, 300.0
PIXDIM_MM = (3.0, 3.5, 4.0)
CHANNELS = {"0": "background", "1": "hepatic tumour", "2": "liver", "3": "spleen"}
"""Another order than ours, a name that is not ours, and an organ that we do not use."""

NETWORK: dict[str, Any] = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": "@n_classes",
    "channels": [4, 4],
    "strides": [1],
    "kernel_size": 1,
    "up_kernel_size": 1,
    "norm": "BATCH",
}


def telling_network() -> torch.nn.Module:
    """A UNet of 1 x 1 x 1 kernels with weights by hand: scores are straight lines over brightness, and the highest one
    changes from background to tumour to liver between the tissues of `ellipsoid_ct`."""
    arguments = {k: v for k, v in NETWORK.items() if k not in ("_target_", "out_channels")}
    network = UNet(out_channels=len(CHANNELS), **arguments)
    low, middle = ((hu - LOW_HU) / (HIGH_HU - LOW_HU) for hu in (LESION_HU - 70.0, (LESION_HU + LIVER_HU) / 2))
    lines = {1: (10.0, -10.0 * low), 2: (30.0, -10.0 * low - 20.0 * middle), 3: (0.0, -50.0)}
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv3d | torch.nn.ConvTranspose3d)]
    with torch.no_grad():
        for convolution in convolutions:
            convolution.weight.zero_()
            convolution.bias.zero_()
        convolutions[0].weight[0, 0] = 1.0  # the first feature is the brightness, and passes
        last = convolutions[-1]
        for channel, (slope, level) in lines.items():
            last.weight[0, channel] = slope
            last.bias[channel] = level
    return network.eval()


def inference_config() -> dict[str, Any]:
    """Another layout than ours: RAS, uneven spacing, another scale, references, and expressions where nobody looks."""
    return {
        "imports": ["$import os"],
        "n_classes": len(CHANNELS),
        "size": [32, 32, 24],
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": dict(NETWORK),
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": ["image"], "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": list(PIXDIM_MM), "mode": "bilinear"},
                {
                    "_target_": "monai.transforms.ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": LOW_HU,
                    "a_max": HIGH_HU,
                    "b_min": 0.0,
                    "b_max": 1.0,
                    "clip": True,
                },
                {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 1},
            ],
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@size", "sw_batch_size": 4, "overlap": 0.25},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "AsDiscreted", "keys": "pred", "argmax": True}],
        },
        "evil": "$__import__('os').system('touch ' + '/nowhere/pwned')",
    }


def write_foreign_bundle(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """A bundle whose checkpoint keeps its state dictionary under a name, as training scripts do."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs/inference.json").write_text(json.dumps(config or inference_config()))
    metadata = {
        "network_data_format": {
            "inputs": {"image": {"type": "image", "modality": "CT", "num_channels": 1}},
            "outputs": {"pred": {"type": "image", "channel_def": CHANNELS}},
        }
    }
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    (folder / "LICENSE").write_text("as it pleases")
    torch.save({"state_dict": telling_network().state_dict(), "epoch": 3}, folder / "models/model.pt")
    return folder

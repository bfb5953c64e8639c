"""Segmentation of liver, lesions and vessels, by the shipped networks or another model. Imports are light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from liverplan.segmentation.models import Model, available_models
from liverplan.volume import Segmentation, Volume

__all__ = ["Model", "available_models", "segment"]


def segment(
    volume: Volume,
    model: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[float, str], None] | None = None,
    engine: str = "auto",
) -> Segmentation:
    """Masks of liver, lesions, portal vein, hepatic veins and vena cava on the volume's own grid, origin "model".

    model: a name of `liverplan models list`, "totalsegmentator", a folder with a registry, a MONAI bundle, an nnU-Net
    v2 model or masks (origin "given"), or None for the default. device: "auto", "cpu", "cuda".
    engine: "auto", "openvino" (on the CPU), "torch"; auto takes a GPU when there is one, else OpenVINO when installed.
    A structure that the network draws implausibly is absent, with a sentence in `notes`;
    the first note names the engine.
    Raises SegmentationRefused (no plausible liver, not a CT), ModelError, ResourceError.
    """
    from liverplan.segmentation.run import segment_volume

    return segment_volume(volume, model, device, progress, engine)

"""Segmentation of liver, lesions and vessels by the shipped networks. Imports are light; engines load on first use."""

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

    model: a shipped model's name, a folder with a registry, or None for the default. device: "auto", "cpu", "cuda".
    engine: "auto", "openvino" (on the CPU), "torch"; auto takes a GPU when there is one, else OpenVINO when installed.
    A structure that the network draws implausibly is absent, with a sentence in `notes`;
    the first note names the engine.
    Raises SegmentationRefused (no plausible liver, not a CT), ModelError, ResourceError.
    """
    from liverplan.segmentation.run import segment_volume

    return segment_volume(volume, model, device, progress, engine)

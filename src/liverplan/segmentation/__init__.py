"""Segmentation of liver, lesions and vessels by the shipped networks. Imports are light; torch loads on first use."""

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
) -> Segmentation:
    """Masks of liver, lesions, portal vein, hepatic veins and vena cava on the volume's own grid, origin "model".

    model: a shipped model's name, a folder with a registry, or None for the default. device: "auto", "cpu", "cuda".
    A structure that the network draws implausibly is absent, with a sentence in `notes`.
    Raises SegmentationRefused (no plausible liver, not a CT), ModelError, ResourceError.
    """
    from liverplan.segmentation.run import segment_volume

    return segment_volume(volume, model, device, progress)

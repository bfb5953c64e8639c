"""From a volume to a segmentation: which model, which backend, and its masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from liverplan.segmentation.backends import backend_of
from liverplan.segmentation.models import find_model
from liverplan.volume import Segmentation, Volume


def segment_volume(
    volume: Volume,
    model: str | Path | None,
    device: str,
    progress: Callable[[float, str], None] | None,
    engine: str = "auto",
) -> Segmentation:
    """See `liverplan.segmentation.segment`."""
    chosen = find_model(model, volume.modality)
    backend = backend_of(chosen, device, engine)
    return backend.segment(volume, progress or (lambda fraction, stage: None))

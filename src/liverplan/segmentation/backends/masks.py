"""Masks that the user brings, in place of a model: what `--segmentation` does, under the same protocol."""

from __future__ import annotations

from collections.abc import Callable

from liverplan.io.segmentations import read_segmentation
from liverplan.segmentation.models import Model
from liverplan.volume import Segmentation, Volume


class GivenMasks:
    """Reads masks onto the image's grid. They are a reader's, and no model's."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """The masks, as `read_segmentation` reads them; it says what is raised."""
        progress(0.1, "reading the masks")
        return read_segmentation(self.model.stages["all"].bundle, volume.grid)

"""What can segment an image: our cascade, a MONAI bundle, an nnU-Net folder, TotalSegmentator, or masks of the user's.

One protocol; each backend is a module, loaded when it is used. Which one a model needs is its `kind`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from liverplan.errors import ModelError
from liverplan.segmentation.models import Kind, Model
from liverplan.volume import Segmentation, Volume


class SegmentationBackend(Protocol):
    """A model that is ready to be asked."""

    @property
    def model(self) -> Model:
        """Which one, with its hashes."""

    def segment(self, volume: Volume, progress: Callable[[float, str], None]) -> Segmentation:
        """Masks on the volume's own grid, with notes on what the reader has to know.

        Raises SegmentationRefused (no plausible liver, a modality that it was not made for), ModelError, ResourceError.
        """


def backend_of(model: Model, device: str = "auto", engine: str = "auto") -> SegmentationBackend:
    """The backend that runs a model. device: "auto", "cpu", "cuda". engine: for our own cascade, see `segment`.

    Nothing heavy is loaded before `segment`. Raises ResourceError for a device or an engine that is not there.
    """
    if model.kind is not Kind.CASCADE and engine == "openvino":
        raise ModelError(
            "this model does not run on OpenVINO",
            got=f"--engine openvino with {model.name}",
            wanted="a cascade of ours for OpenVINO",
            do="Leave --engine away.",
        )
    if model.kind is Kind.CASCADE:
        from liverplan.segmentation.backends.cascade import Cascade

        return Cascade(model, device, engine)
    if model.kind is Kind.MONAI_BUNDLE:
        from liverplan.segmentation.backends.monai_bundle import MonaiBundle

        return MonaiBundle(model, device)
    if model.kind is Kind.NNUNET:
        from liverplan.segmentation.backends.nnunet import NnUNet

        return NnUNet(model, device)
    if model.kind is Kind.TOTALSEGMENTATOR:
        from liverplan.segmentation.backends.totalsegmentator import TotalSegmentator

        return TotalSegmentator(model, device)
    from liverplan.segmentation.backends.masks import GivenMasks

    return GivenMasks(model)

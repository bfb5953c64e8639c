"""A network over a whole volume: sliding windows, padded with air."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

AIR = -1.0
"""Air after scaling. The default padding value of MONAI's windows, 0, would be soft tissue."""


def class_scores(
    network: torch.nn.Module,
    image: npt.NDArray[np.float32],
    window: tuple[int, int, int],
    overlap: float,
    device: str = "cpu",
) -> torch.Tensor:
    """Logits (classes, i, j, k) of a scaled image (i, j, k) of any size."""
    import torch
    from monai.inferers import sliding_window_inference

    batch = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None].to(device)
    with torch.inference_mode():
        scores: torch.Tensor = sliding_window_inference(
            batch, window, 1, network, overlap=overlap, mode="gaussian", padding_mode="constant", cval=AIR
        )
    return scores[0]


def labels_of(scores: torch.Tensor) -> npt.NDArray[np.uint8]:
    """The class of the highest score; `max` because `argmax` is an order of magnitude slower on CPU."""
    return scores.max(0).indices.byte().cpu().numpy()

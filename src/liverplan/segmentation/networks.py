"""The networks: MONAI UNets, described by a few numbers that a bundle's `inference.json` repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NetworkSpec:
    """A residual UNet (Kerfoot et al., STACOM 2018) as MONAI builds it; one input channel."""

    out_channels: int
    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    num_res_units: int = 2

    @property
    def multiple(self) -> int:
        """Patch sides must be divisible by this."""
        return int(2 ** (len(self.channels) - 1))


def build_network(spec: NetworkSpec) -> torch.nn.Module:
    """An untrained network; callers load weights into it before use."""
    from monai.networks.nets import UNet

    network: torch.nn.Module = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=spec.out_channels,
        channels=spec.channels,
        strides=(2,) * (len(spec.channels) - 1),
        num_res_units=spec.num_res_units,
        norm="INSTANCE",
    )
    return network

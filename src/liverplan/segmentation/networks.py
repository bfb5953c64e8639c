"""The networks: MONAI UNets, described by a few numbers that a bundle's `inference.json` repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_KNOWN_TARGETS = ("UNet", "monai.networks.nets.UNet")


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

    def definition(self) -> dict[str, Any]:
        """The `network_def` of a MONAI bundle."""
        return {
            "_target_": "UNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": self.out_channels,
            "channels": list(self.channels),
            "strides": [2] * (len(self.channels) - 1),
            "num_res_units": self.num_res_units,
            "norm": "INSTANCE",
        }

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> NetworkSpec:
        """Read a `network_def`. Raises ValueError for any network but this one: nothing else is ever instantiated."""
        if definition.get("_target_") not in _KNOWN_TARGETS:
            raise ValueError(f"the network is a {definition.get('_target_')}, not a UNet")
        spec = cls(
            int(definition["out_channels"]),
            tuple(int(c) for c in definition["channels"]),
            int(definition["num_res_units"]),
        )
        same = {**spec.definition(), "_target_": definition["_target_"]}
        if dict(definition) != same:
            raise ValueError("the UNet has settings that this program does not build")
        return spec


def build_network(spec: NetworkSpec) -> torch.nn.Module:
    """An untrained network; callers load weights into it before use."""
    from monai.networks.nets import UNet

    arguments = {k: v for k, v in spec.definition().items() if k != "_target_"}
    network: torch.nn.Module = UNet(**arguments)
    return network

"""One training in several processes, as torchrun starts them: gradients are averaged, the first process writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")
PATIENCE = timedelta(hours=3)
"""The others wait this long while the first process prepares cases or validates."""


@dataclass(frozen=True)
class Team:
    """This process among `world`; rank 0 leads. device: "cpu", "cuda" or "cuda:N"."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def told(self, value: T) -> T:
        """The leader's value, for everybody. All processes have to call it."""
        if self.world == 1:
            return value
        box: list[Any] = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device(self.device))
        told: T = box[0]
        return told

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.world == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return float(total) / self.world


@contextmanager
def team(device: str) -> Iterator[Team]:
    """The team that torchrun's environment describes (RANK, WORLD_SIZE, LOCAL_RANK); a team of one without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if "RANK" not in os.environ or world == 1:
        yield Team(device=device)
        return
    gpu = device.startswith("cuda")
    if gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield Team(int(os.environ["RANK"]), world, device)
    finally:
        distributed.destroy_process_group()


class Shared(DistributedDataParallel):
    """A network whose gradients are averaged over the team; its weights have the names of the network alone."""

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        state: dict[str, Any] = self.module.state_dict(*args, **kwargs)
        return state

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        return self.module.load_state_dict(state_dict, strict, assign)

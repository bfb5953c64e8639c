"""The training loop: resumable at any step, one sample per (seed, number), weights averaged over time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liverplan.segmentation.networks import build_network
from liverplan.training.config import TrainingConfig
from liverplan.training.losses import LabelSetDiceCE
from liverplan.training.synthesis import Patch

Validate = Callable[[torch.nn.Module], dict[str, float]]
DrawSample = Callable[[int], Patch]

CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"
LOG = "metrics.jsonl"


class Trainer:
    """Network, averaged network, optimiser and how far they have come."""

    def __init__(self, config: TrainingConfig, folder: Path, device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder, self.device = config, folder, device
        # Measured on a CPU that has bf16: 0.53 s instead of 0.68 s for a step of 96^3, and 0.94 s in float32.
        self.network = build_network(config.network).to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.averaged = build_network(config.network).to(device)
        self.averaged.load_state_dict(self.network.state_dict())
        self.loss = LabelSetDiceCE(
            config.n_classes, config.class_weights, config.centreline_weight, config.course_weight
        ).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self.mixed = config.precision == "bf16" and has_bf16(device)
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> bool:
        """Continue from the folder's checkpoint if there is one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        return True

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
        }
        save_atomically(state, self.folder / CHECKPOINT)

    @property
    def progress(self) -> float:
        """How much of the schedule is over, 0 to 1, by steps or by time, whichever is further."""
        done = self.step / self.config.steps
        if self.config.minutes is not None:
            done = max(done, self.seconds / 60.0 / self.config.minutes)
        return min(done, 1.0)

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        warm = min(1.0, (self.step + 1) / max(self.config.warm_up, 1))
        return self.config.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * self.progress))))

    def train_step(self, image: torch.Tensor, target: torch.Tensor) -> float:
        """One optimiser step; image (B, 1, i, j, k), target (B, i, j, k). Returns the loss."""
        started = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.network.train()
        image = image.to(self.device, memory_format=torch.channels_last_3d)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.mixed):
            logits = self.network(image)
        loss = self.loss(logits.float(), target.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self._average()
        self.step += 1
        self.seconds += time.monotonic() - started
        return float(loss.detach())

    def _average(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1.0 - decay)


def has_bf16(device: str) -> bool:
    """Whether bf16 is worth while: a CPU without instructions for it emulates them, 20 times slower than fp32."""
    if torch.device(device).type != "cpu":
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def run(
    trainer: Trainer, samples: Iterator[Patch], validate: Validate, say: Callable[[str], None], until: int | None = None
) -> None:
    """Train to the end of the schedule (or to step `until`), with checkpoints and validation on the way."""
    config, recent = trainer.config, []
    while trainer.progress < 1.0 and (until is None or trainer.step < until):
        batch = [next(samples) for _ in range(config.batch)]
        image = torch.from_numpy(np.stack([p.image for p in batch]))[:, None]
        target = torch.from_numpy(np.stack([p.target for p in batch])).long()
        recent.append(trainer.train_step(image, target))
        if not np.isfinite(recent[-1]):
            raise FloatingPointError(f"the loss is {recent[-1]} at step {trainer.step}; lower the learning rate")
        if trainer.step % 20 == 0:
            _log(trainer, {"loss": float(np.mean(recent[-20:])), "lr": trainer.learning_rate()}, say)
        if trainer.step % config.validate_every == 0 or trainer.progress >= 1.0:
            _validate(trainer, validate, say)
        if trainer.step % config.checkpoint_every == 0:
            trainer.save()
    trainer.save()


def _validate(trainer: Trainer, validate: Validate, say: Callable[[str], None]) -> None:
    trainer.averaged.eval()
    scores = validate(trainer.averaged)
    _log(trainer, scores, say)
    if scores.get("score", 0.0) > trainer.best:
        trainer.best = scores["score"]
        save_atomically(trainer.averaged.state_dict(), trainer.folder / BEST)


def _log(trainer: Trainer, values: dict[str, float], say: Callable[[str], None]) -> None:
    row = {
        "step": trainer.step,
        "minutes": round(trainer.seconds / 60, 2),
        **{k: round(v, 5) for k, v in values.items()},
    }
    with (trainer.folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    say(json.dumps(row))


def save_atomically(state: Any, path: Path) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    torch.save(state, part)
    part.replace(path)

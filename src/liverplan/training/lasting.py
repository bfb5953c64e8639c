"""A training that lasts: through kills at any moment, full disks, two starts in one folder, scores that stand still.

The loop itself is `loop`; here are the trainer with lasting checkpoints, its log after a kill, and the end that comes
before the schedule's.
"""

from __future__ import annotations

import fcntl
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from liverplan.errors import InputError, ResourceError
from liverplan.io.folder import atomic_file, write_text_atomic, writing
from liverplan.segmentation.models import Model, load_network
from liverplan.training.checks import require_room
from liverplan.training.config import TrainingConfig
from liverplan.training.loop import CHECKPOINT, LOG, Trainer, Validate
from liverplan.training.parallel import Shared, Team

T = TypeVar("T")
LOCK = ".lock"
SCORE = "score"
_WRITER = ("PytorchStreamWriter", "inline_container")
"""Words of PyTorch when its own writer cannot write, whatever the reason."""


class LastingTrainer(Trainer):
    """The loop's trainer for a team of processes, with checkpoints that are on the disk before they count."""

    def __init__(self, config: TrainingConfig, folder: Path, team: Team, scratch: Path) -> None:
        """folder: of the run. scratch: where processes that do not lead leave what the loop writes."""
        super().__init__(config, folder if team.leads else scratch, team.device)
        self.run_folder, self.team = folder, team
        if team.world > 1:
            on = None if team.device == "cpu" else [torch.device(team.device)]
            self.network = Shared(self.network, device_ids=on)

    def begin_with(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Start from these weights instead of random ones."""
        self.network.load_state_dict(weights)
        self.averaged.load_state_dict(weights)

    def resume(self) -> bool:
        """Continue from the run's checkpoint if there is one. Raises InputError when it does not fit or is damaged."""
        path = self.run_folder / CHECKPOINT
        if not path.exists():
            return False
        own, self.folder = self.folder, self.run_folder
        try:
            return super().resume()
        except Exception as error:
            raise InputError(
                "the checkpoint does not load",
                got=f"{path} ({type(error).__name__}: {error})"[:300],
                wanted="a checkpoint of this configuration's network",
                do="Choose a new folder with --out, or start over in this one with --no-resume.",
            ) from error
        finally:
            self.folder = own

    def save(self) -> None:
        """Write the checkpoint whole or not at all; only the leader does. Raises ResourceError on a full disk."""
        if not self.team.leads:
            return
        content = io.BytesIO()
        torch.save(
            {
                "network": self.network.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "best": self.best,
            },
            content,
        )
        with atomic_file(self.folder / CHECKPOINT) as file:
            file.write(content.getbuffer())

    def train_step(self, image: torch.Tensor, target: torch.Tensor) -> float:
        """One step of the whole team; returns the mean loss."""
        loss = self.team.mean(super().train_step(image, target))
        self.seconds = self.team.told(self.seconds)
        return loss

    def require_room(self) -> None:
        """Raise ResourceError unless two checkpoints and the best weights fit on the disk."""
        weights = sum(p.numel() * 4 for p in self.averaged.parameters())
        require_room(self.run_folder, 2 * 4 * weights + 2 * weights, "the checkpoints")


class EarlyStop:
    """Counts validations since the best score. patience None: never over."""

    def __init__(self, patience: int | None, scores: list[float]) -> None:
        self.patience, self.scores = patience, scores

    @property
    def over(self) -> bool:
        if self.patience is None or not self.scores:
            return False
        return len(self.scores) - 1 - self.scores.index(max(self.scores)) >= self.patience

    def watching(self, validate: Validate, team: Team) -> Validate:
        """`validate` on the leader, its scores for everybody and counted."""

        def watched(network: torch.nn.Module) -> dict[str, float]:
            scores = team.told(validate(network) if team.leads else {})
            if SCORE in scores:
                self.scores.append(round(scores[SCORE], 5))  # as the log keeps it
            return scores

        return watched


class StoppedEarly(Exception):
    """The samples end because the score has not improved for long enough."""


def until_over(samples: Iterator[T], stop: EarlyStop) -> Iterator[T]:
    """The samples; raises StoppedEarly instead of the next one when the training is over."""
    for sample in samples:
        if stop.over:
            raise StoppedEarly
        yield sample


def continued_log(folder: Path, step: int) -> list[float]:
    """Cut what a kill left in metrics.jsonl after the checkpoint at `step`; returns the scores up to there."""
    path = folder / LOG
    if not path.exists():
        return []
    kept = [(line, row) for line in path.read_bytes().splitlines() if (row := _row(line)) and row["step"] <= step]
    write_text_atomic(path, "".join(f"{line.decode()}\n" for line, _ in kept))
    return [float(row[SCORE]) for _, row in kept if SCORE in row]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None


def swept(folder: Path) -> None:
    """Remove files that a killed run left half-written. For the one process that holds the folder's lock."""
    for pattern in (".*.partial", "*.part"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder is this process's until the block ends or the process does. Raises InputError when it is another's.

    A lock of the process alone: the one that draws samples outlives a kill by a while and must not keep it.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise InputError(
                "another training writes into this folder",
                got=str(folder),
                wanted="a folder of its own for every run",
                do="Wait for the other one, or choose another folder with --out.",
            ) from error
        yield


@contextmanager
def said_clearly(folder: Path) -> Iterator[None]:
    """Turn what ends a training into an error that says what to do; the last checkpoint stays."""
    try:
        with writing(folder):
            yield
    except FloatingPointError as error:
        raise InputError(
            "the loss is no longer a number",
            got=str(error),
            wanted="a finite loss",
            do="Lower learning_rate (a tenth is a good first try) and run again with --no-resume.",
        ) from error
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "the patches do not fit into the GPU's memory",
            got=str(error)[:200],
            wanted="room for one batch, its activations and gradients",
            do='Make batch or patch smaller, or set precision = "bf16".',
        ) from error
    except RuntimeError as error:
        if not any(word in str(error) for word in _WRITER):
            raise
        raise ResourceError(
            "the weights cannot be written, most likely because the disk is full",
            got=str(error).splitlines()[0][:200],
            wanted=f"room in {folder}",
            do="Free some space and run the same command again: it goes on from the last checkpoint.",
        ) from error


def weights_of(model: Model, stage: str) -> dict[str, torch.Tensor]:
    """The weights of a model's stage. Raises ModelError when they are not the registry's."""
    state: dict[str, torch.Tensor] = load_network(model.stages[stage]).state_dict()
    return state

"""`liverplan train`, from a configuration to a folder with weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from liverplan.training import bank as label_bank
from liverplan.training.config import TrainingConfig


def train(
    config: TrainingConfig,
    data: Path,
    bank: Path,
    folder: Path,
    say: Callable[[str], None],
    until: int | None = None,
    resume: bool = True,
    device: str = "cpu",
) -> None:
    """Prepare the bank, then train to the end of the schedule, resuming what `folder` holds."""
    import torch

    from liverplan.training.loop import Trainer, run
    from liverplan.training.samples import SampleSource, drawn_ahead
    from liverplan.training.validate import validator

    torch.set_num_threads(config.threads)
    count = label_bank.prepare(data, bank)
    say(f"label bank: {count} anatomies")
    source = SampleSource.load(config, bank, data)
    validate = validator(config, source, data)
    trainer = Trainer(config, folder, device)
    if resume and trainer.resume():
        say(f"resumed at step {trainer.step}")
    samples = drawn_ahead(source, first=trainer.step * config.batch)
    run(trainer, samples, validate, say, until)

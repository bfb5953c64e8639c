"""`liverplan train`, from a configuration to a folder with weights and, at the end, a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from liverplan.errors import InputError
from liverplan.training import bank as label_bank
from liverplan.training.config import TrainingConfig
from liverplan.training.phantoms import render_phantoms

LIVERS_WITH_VESSELS = 56
PHANTOMS = 4


def train(
    config: TrainingConfig,
    data: Path,
    bank: Path,
    folder: Path,
    say: Callable[[str], None],
    until: int | None = None,
    resume: bool = True,
    device: str = "cpu",
    models: Path | None = None,
) -> dict[str, Any]:
    """Prepare the bank, train to the end of the schedule, write the bundle into `models`; resumes.

    Returns step, best score and the bundle's path (None before the schedule is over). Raises InputError without data.
    """
    import torch

    from liverplan.training.export import write_bundle
    from liverplan.training.loop import BEST, Trainer, run
    from liverplan.training.samples import SampleSource, drawn_ahead
    from liverplan.training.validate import validator

    torch.set_num_threads(config.threads)
    prepare_bank(config, data, bank, say)
    source = SampleSource.load(config, bank, data)
    trainer = Trainer(config, folder, device)
    if resume and trainer.resume():
        say(f"resumed at step {trainer.step}")
    samples = drawn_ahead(source, first=trainer.step * config.batch)
    try:
        run(trainer, samples, validator(config, source, data), say, until)
    finally:
        samples.close()
    bundle = None
    if trainer.progress >= 1.0 and models is not None:
        best = torch.load(folder / BEST, map_location="cpu", weights_only=True)
        bundle = write_bundle(config, best, models)
        say(f"bundle: {bundle}")
    return {"step": trainer.step, "best": trainer.best, "bundle": str(bundle) if bundle else None}


def prepare_bank(config: TrainingConfig, data: Path, bank: Path, say: Callable[[str], None]) -> None:
    """Everything slow about synthesis, once. Raises InputError when the data folder lacks the label maps."""
    if not (data / "labels" / "multiorgan").is_dir():
        raise InputError(
            "the training data are not there",
            got=f"{data} without labels/multiorgan",
            wanted="the folder of label maps and scans that the model card lists",
            do="Give it with --data.",
        )
    say(f"label bank: {label_bank.prepare(data, bank)} anatomies, {render_phantoms(bank, PHANTOMS)} phantoms")
    if config.stage == "segment":
        say(f"label bank: {label_bank.grow_vessels(bank, LIVERS_WITH_VESSELS)} livers with vessels")

"""`liverplan train`, from a configuration to a folder with weights and, at the end, a bundle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverplan.errors import InputError
from liverplan.training import bank as label_bank
from liverplan.training.config import TrainingConfig
from liverplan.training.phantoms import render_phantoms

if TYPE_CHECKING:
    from liverplan.training.session import Options

LIVERS_WITH_VESSELS = 120
PHANTOMS = 4


def train(config: TrainingConfig, options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Check and prepare the data, train to the end of the schedule, write the bundle; resumes. See `session.train`."""
    from liverplan.training.session import train as run_session

    return run_session(config, options, lambda data: prepare_bank(config, data, options.bank, say), say)


def prepare_bank(config: TrainingConfig, data: Path, bank: Path, say: Callable[[str], None]) -> None:
    """Everything slow about synthesis, once. Raises InputError when the data folder lacks the label maps."""
    if not (data / "labels" / "multiorgan").is_dir():
        raise InputError(
            "the training data are not there",
            got=f"{data} without labels/multiorgan",
            wanted="the folder of label maps and scans that the model card lists",
            do="Give it with --data.",
        )
    jobs = os.cpu_count() or 1
    say(
        f"label bank: {label_bank.prepare(data, bank, jobs=jobs)} anatomies, {render_phantoms(bank, PHANTOMS)} phantoms"
    )
    if config.stage == "segment":
        say(f"label bank: {label_bank.grow_vessels(bank, LIVERS_WITH_VESSELS, jobs=jobs)} livers with vessels")
        say(f"label bank: {label_bank.add_real_veins(data, bank, jobs=jobs)} livers with their own veins")

"""`liverplan train`: from licensed label maps and a configuration to a MONAI bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.plan import Device

_HELP = """Train one network of the segmentation cascade; run again to go on where it stopped.

CONFIG is a TOML file as in configs/. DATA holds the real label maps and scans that synthesis starts from. Checkpoints,
metrics.jsonl and best.pt go into OUT; when the schedule is over, the bundle and its hashes go into MODELS.

Example:
  liverplan train configs/locate.toml --data ../shared/data -o .cache/training/locate --models models
"""


def register(app: typer.Typer) -> None:
    app.command("train", help=_HELP)(train)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Training configuration, TOML.")],
    data: Annotated[Path, typer.Option(metavar="DATA", help="Folder with the training data.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for checkpoints and metrics.")],
    bank: Annotated[
        Path, typer.Option(metavar="BANK", help="Folder for prepared label maps; filled on first use.")
    ] = Path(".cache/training/bank"),
    models: Annotated[
        Path | None, typer.Option(metavar="MODELS", help="Models folder to write the bundle into.")
    ] = None,
    until: Annotated[int | None, typer.Option(metavar="STEP", help="Stop at this step; the schedule stays.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue from OUT's checkpoint.")] = True,
    device: Annotated[Device, typer.Option(help="Where the network trains.")] = Device.AUTO,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    # Threads that spin while they wait make a shared machine several times slower; read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from liverplan.segmentation.cascade import choose_device
    from liverplan.training.config import read_config
    from liverplan.training.run import train as run_training

    console = Console(quiet, as_json)
    settings = read_config(config)
    result = run_training(settings, data, bank, out, console.say, until, resume, choose_device(device.value), models)
    console.result(result)

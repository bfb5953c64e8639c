"""`liverplan train`: from scans and masks, label maps, or both, to a MONAI bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import Device

_HELP = """Train one network of the segmentation cascade; run again to go on where it stopped.

CONFIG is a TOML or YAML file as in configs/. With a [data] table it trains on IMAGES: nnU-Net, BIDS, or a folder per
patient, DICOM SEG included (docs/retrain.md). Without one, and for a share of synthetic patches, DATA holds the label
maps that synthesis starts from. Everything wrong with the data is listed before the first step. Checkpoints,
metrics.jsonl and best.pt go into OUT; when the schedule is over, the bundle and its hashes go into MODELS. torchrun
starts it on several GPUs.

Examples:
  liverplan train configs/retrain-phantoms.toml --images phantoms --from liverplan_ct -o run
  liverplan train configs/locate.toml --data ../shared/data -o .cache/training/locate --models models
"""


def register(app: typer.Typer) -> None:
    app.command("train", help=_HELP)(train)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Training configuration, TOML or YAML.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for checkpoints and metrics.")],
    images: Annotated[
        Path | None, typer.Option(metavar="IMAGES", help="Folder of your own scans and masks, for a [data] table.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DATA", help="Folder with the label maps for synthesis.")] = None,
    bank: Annotated[
        Path, typer.Option(metavar="BANK", help="Folder for prepared label maps; filled on first use.")
    ] = Path(".cache/training/bank"),
    cache: Annotated[
        Path, typer.Option(metavar="CACHE", help="Folder for prepared scans; may be deleted at any time.")
    ] = Path(".cache/training/cases"),
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="MODELS", help="Models folder to write the bundle into; OUT/models for scans of your own."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="NAME|DIR", help="Begin with this model's weights and network.")
    ] = None,
    until: Annotated[int | None, typer.Option(metavar="STEP", help="Stop at this step; the schedule stays.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue from OUT's checkpoint.")] = True,
    check: Annotated[bool, typer.Option("--check", help="Check and prepare the data, and stop.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that prepare scans.")] = 1,
    tensorboard: Annotated[bool, typer.Option(help="Write loss curves into OUT/tensorboard.")] = True,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Log to MLflow too: at MLFLOW_TRACKING_URI, else in OUT/mlruns.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where the network trains.")] = Device.AUTO,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    # Threads that spin while they wait make a shared machine several times slower; read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from liverplan.segmentation.cascade import choose_device
    from liverplan.training.config import read_config
    from liverplan.training.run import train as run_training
    from liverplan.training.session import Options

    console = Console(quiet, as_json)
    options = Options(
        out=out,
        data=data,
        bank=bank,
        images=images,
        cache=cache,
        models=models,
        start=start,
        until=until,
        resume=resume,
        device=choose_device(device.value),
        tensorboard=tensorboard,
        mlflow=mlflow,
        jobs=jobs,
        check=check,
    )
    console.result(run_training(read_config(config), options, console.say))

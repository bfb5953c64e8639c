"""`liverplan segment`: masks of liver, lesions and vessels from an image."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan import RESEARCH_USE_ONLY
from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import Device, Image, ModelName, OfModality, OnDevice, Series

if TYPE_CHECKING:
    from liverplan.volume import Segmentation

_HELP = f"""Segment liver, lesions, portal vein, hepatic veins and vena cava on a CT, or what another model draws.

Writes OUT/segmentation/NAME.nii.gz on the image's own grid. {RESEARCH_USE_ONLY}

Examples:
  liverplan segment scan.nii.gz -o out
  liverplan segment scan.nii.gz -o out --engine torch
  liverplan segment scan.nii.gz -o out --model totalsegmentator
"""


class EngineOption(enum.StrEnum):
    """What computes the networks."""

    AUTO = "auto"
    OPENVINO = "openvino"
    TORCH = "torch"


def register(app: typer.Typer) -> None:
    app.command("segment", help=_HELP)(segment)


def segment(
    image: Image,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for segmentation/*.nii.gz.")],
    series: Series = None,
    modality: OfModality = None,
    model: ModelName = None,
    device: OnDevice = Device.AUTO,
    engine: Annotated[
        EngineOption,
        typer.Option(help="What runs it. auto: PyTorch on a GPU, else OpenVINO when installed, else PyTorch."),
    ] = EngineOption.AUTO,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.io.images import read_image
    from liverplan.io.writing import write_segmentation
    from liverplan.segmentation import segment as segment_volume

    console = Console(quiet, as_json)
    with console.progress("segmenting") as progress:
        volume = read_image(image, series, modality.value if modality else None)
        result = segment_volume(volume, model, device.value, progress, engine.value)
        progress(0.9, "writing masks")
        paths = write_segmentation(result, out / "segmentation")
    for name, volume_ml in volumes_ml(result).items():
        console.say(f"{name}: {volume_ml:.1f} mL")
    for note in result.notes:
        console.say(f"note: {note}")
    console.say(f"masks: {(out / 'segmentation').resolve()}")
    console.result(payload(result, paths))


def volumes_ml(segmentation: Segmentation) -> dict[str, float]:
    """Volume of every structure that was looked for and drawn, mL."""
    voxel_ml = segmentation.grid.voxel_ml
    return {s.value: float((mask > 0).sum()) * voxel_ml for s, mask in segmentation.masks.items()}


def payload(segmentation: Segmentation, paths: list[Path]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "research_use_only": True,
        "model": dict(segmentation.model or {}),
        "volumes_ml": volumes_ml(segmentation),
        "files": [str(path) for path in paths],
        "notes": list(segmentation.notes),
    }

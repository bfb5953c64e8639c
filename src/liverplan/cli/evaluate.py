"""`liverplan evaluate`: how well masks agree with a reader's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.plan import Device, Modality

_HELP = """Compare the model's masks with reference masks: Dice, surface Dice at 2 mm, volumes, lesion detection.

Give one --reference per IMAGE, in the same order. A structure that the reference lacks is not scored.
With --prediction the given masks are scored instead of the model's.

Example:
  liverplan evaluate scan.nii.gz --reference masks/
"""


def register(app: typer.Typer) -> None:
    app.command("evaluate", help=_HELP)(evaluate)


def evaluate(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Scans: DICOM folders or image files.")],
    reference: Annotated[list[Path], typer.Option(metavar="MASKS", help="Reference masks of each image, in order.")],
    prediction: Annotated[
        list[Path] | None, typer.Option(metavar="MASKS", help="Masks to score instead of the model's.")
    ] = None,
    modality: Annotated[Modality | None, typer.Option(help="CT or MR, for files that do not say.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="Segmentation model.")] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.AUTO,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.io.images import read_image
    from liverplan.io.segmentations import read_segmentation
    from liverplan.segmentation import segment
    from liverplan.segmentation.agreement import compare, table

    if len(reference) != len(images) or (prediction and len(prediction) != len(images)):
        raise typer.BadParameter("give one --reference (and one --prediction, if any) per IMAGE")
    console, cases = Console(quiet, as_json), []
    for number, image in enumerate(images):
        volume = read_image(image, modality=modality.value if modality else None)
        truth = read_segmentation(reference[number], volume.grid)
        if prediction:
            guess = read_segmentation(prediction[number], volume.grid)
        else:
            with console.progress(f"segmenting {image.name}") as progress:
                guess = segment(volume, model, device.value, progress)
        case = {"image": str(image), **compare(guess, truth)}
        cases.append(case)
        console.say(table(case))
    console.result({"cases": cases})

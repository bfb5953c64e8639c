"""`liverplan phantom`: a synthetic patient with image, masks and the exact answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan.cli.console import AsJson, Console, Quiet

if TYPE_CHECKING:
    from liverplan.phantom.patient import Phantom


class Modality(StrEnum):
    CT = "ct"
    MR = "mr"


class Wall(StrEnum):
    PORTAL_VEIN = "portal_vein"
    HEPATIC_VEINS = "hepatic_veins"
    VENA_CAVA = "inferior_vena_cava"
    LIVER = "liver"


def register(app: typer.Typer) -> None:
    app.command("phantom", help=_HELP, epilog="Example: liverplan phantom -o demo --seed 0 --spacing 0.8 0.8 1.0")(
        phantom
    )


_HELP = (
    "Make a synthetic patient: a portal-phase image, masks of every structure, and truth.json with the clearances, "
    "volumes, remnant curve and largest margin computed from the shapes. Research use only, not a medical device."
)


def phantom(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be new or empty.")],
    seed: Annotated[int, typer.Option(min=0, help="Which patient; the same seed is the same patient.")] = 0,
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Voxel size in mm along i, j, k.")] = (
        0.9,
        0.9,
        1.25,
    ),
    shape: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Voxels along i, j, k; the whole upper abdomen when left out.")
    ] = None,
    modality: Annotated[Modality, typer.Option(help="What the image looks like.")] = Modality.CT,
    lesions: Annotated[int, typer.Option(min=0, max=12, help="How many metastases.")] = 3,
    clearance: Annotated[
        float | None, typer.Option(help="Clearance in mm of the first lesion to the wall named by --near.")
    ] = None,
    near: Annotated[Wall, typer.Option(help="The wall that --clearance is measured to.")] = Wall.PORTAL_VEIN,
    orientation: Annotated[str, typer.Option(help="Directions of i, j, k, one of 48, such as LPS or RAS.")] = "LPS",
    noise: Annotated[float | None, typer.Option(min=0, help="Noise in HU (MR: percent of liver signal).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.phantom.files import write_phantom
    from liverplan.phantom.patient import default_grid

    console = Console(quiet, as_json)
    grid = _usable(lambda: default_grid(_positive(spacing), shape, orientation.upper()))
    with console.progress("anatomy") as progress:
        patient = _usable(lambda: _patient(seed, modality, lesions, clearance, near, noise))
        truth = write_phantom(patient, output, grid, overwrite=overwrite, progress=progress)
    for line in _summary(truth, output):
        console.say(line)
    console.result({"output": str(output), "truth": truth})


def _patient(
    seed: int, modality: Modality, lesions: int, clearance: float | None, near: Wall, noise: float | None
) -> Phantom:
    from dataclasses import replace

    from liverplan.anatomy import Structure
    from liverplan.phantom.patient import DEMO_LESIONS, make_phantom, usual_lesions

    requests = usual_lesions(lesions, seed)
    if clearance is not None:
        first = requests[0] if requests else DEMO_LESIONS[0]
        requests = (replace(first, near=Structure(near.value), clearance_mm=clearance), *requests[1:])
    return make_phantom(seed, modality=modality.name, requests=requests, noise=noise)


def _usable(make: Any) -> Any:
    """A wish that cannot be granted is wrong usage (status 2), with the reason."""
    try:
        return make()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _positive(spacing: tuple[float, float, float]) -> tuple[float, float, float]:
    if not all(0.2 <= step <= 20.0 for step in spacing):
        raise ValueError(f"a voxel size lies between 0.2 and 20 mm, got {spacing}")
    return spacing


def _summary(truth: dict[str, Any], output: Path) -> list[str]:
    liver, case = truth["liver"], truth["case"]
    lines = [f"Synthetic patient in {output} (not a real person; research use only, not a medical device)"]
    lines.append(f"  liver {liver['volume_ml']:.0f} mL, tumour {liver['tumour_volume_ml']:.1f} mL")
    for lesion in truth["lesions"]:
        walls = ", ".join(f"{v['structure']} {v['clearance_mm']:.1f} mm" for v in lesion["vessels"])
        lines.append(f"  lesion {lesion['id']}: {lesion['longest_diameter_mm']:.0f} mm; {walls}")
    if case["margin_upper_mm"] is not None:
        what = case["limiting"]["structure"] or case["limiting"]["kind"]
        lines.append(f"  largest margin with 30 % remnant: {case['margin_upper_mm']:.1f} mm, limited by {what}")
    return lines

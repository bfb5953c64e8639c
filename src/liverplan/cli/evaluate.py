"""`liverplan evaluate`: how well masks agree with a reader's, and what their errors do to margins and remnants."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import DEFAULT_PROTOCOL, Device, Modality, ModelName, OfModality, OnDevice, Overwrite
from liverplan.errors import InputError

if TYPE_CHECKING:
    from liverplan.evaluation.cases import Pair
    from liverplan.evaluation.run import CaseResult, Failure
    from liverplan.protocol import Protocol
    from liverplan.volume import Segmentation, Volume

_HELP = """Compare masks with a reader's: overlap, surfaces, lesions found, and the error of clearances and remnants.

Three ways: IMAGE and --reference score the model; IMAGE, --reference and --prediction score given masks; --reference
and --prediction alone score a folder of cases against another one, matched by name. A structure that the reference
lacks is not scored. Figures come with 95 % bootstrap intervals over patients (over lesions where there is one patient).
With -o: evaluation.json, CSV tables and plots.

Examples:
  liverplan evaluate scan.nii.gz --reference masks/
  liverplan evaluate --reference readers/ --prediction predicted/ -o evaluation
"""


def register(app: typer.Typer) -> None:
    app.command("evaluate", help=_HELP)(evaluate)


def evaluate(
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="[IMAGE...]", help="Scans: DICOM folders or image files.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(metavar="MASKS", help="Reference masks: one for each IMAGE in order, or a folder of cases."),
    ] = None,
    prediction: Annotated[
        list[Path] | None, typer.Option(metavar="MASKS", help="Masks to score instead of the model's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Folder for JSON, CSV and plots.")
    ] = None,
    planning: Annotated[
        bool, typer.Option("--plan/--no-plan", help="Plan both sides and compare clearances and remnants.")
    ] = True,
    protocol: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Protocol whose margin the remnants are compared at.")
    ] = DEFAULT_PROTOCOL,
    modality: OfModality = None,
    model: ModelName = None,
    device: OnDevice = Device.AUTO,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.evaluation.cases import wanted
    from liverplan.evaluation.files import to_json, write_evaluation
    from liverplan.evaluation.run import summarise
    from liverplan.evaluation.text import summary_table
    from liverplan.io.folder import output_folder
    from liverplan.protocol import load_protocol

    if not reference or not (images or prediction):
        raise typer.BadParameter("give --reference MASKS, and an IMAGE for the model or --prediction MASKS to score")
    console = Console(quiet, as_json)
    limits = load_protocol(protocol) if planning else None
    try:
        todo = wanted(images or [], reference, prediction or [])
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from wrong

    def guessed(volume: Volume, case_id: str) -> Segmentation:
        from liverplan.segmentation import segment

        with console.progress(f"segmenting {case_id}") as progress:
            return segment(volume, model, device.value, progress)

    with output_folder(out, overwrite=overwrite) if out is not None else nullcontext() as folder:
        cases, failures = _evaluated(todo, guessed, limits, modality, console)
        summary = summarise(cases)
        console.say(summary_table(summary, len(cases), failures))
        if folder is not None:
            about = {
                "cases": [{name: None if v is None else str(v) for name, v in vars(p).items()} for p in todo],
                "protocol": protocol if planning else None,
                "model": None if prediction else model,
            }
            write_evaluation(folder, cases, failures, summary, about)
    if out is not None:
        console.say(f"results: {out.resolve()}")
    console.result(to_json(cases, failures, summary))


def _evaluated(
    todo: list[Pair],
    guessed: Callable[[Volume, str], Segmentation],
    limits: Protocol | None,
    modality: Modality | None,
    console: Console,
) -> tuple[list[CaseResult], list[Failure]]:
    """The cases, and those of many that could not be evaluated. A case alone raises what went wrong."""
    from liverplan.evaluation.run import Failure
    from liverplan.evaluation.text import case_table

    cases, failures = [], []
    for pair in todo:
        if pair.missing:
            failures.append(Failure(pair.id, "there is no prediction of this name"))
            continue
        try:
            case = _one(pair, guessed, limits, modality)
        except InputError as refused:
            if len(todo) == 1:
                raise
            failures.append(Failure(pair.id, f"{refused.what} ({refused.got})"))
            continue
        cases.append(case)
        console.say(case_table(case))
    return cases, failures


def _one(
    pair: Pair,
    guessed: Callable[[Volume, str], Segmentation],
    limits: Protocol | None,
    modality: Modality | None,
) -> CaseResult:
    from liverplan.evaluation.cases import grid_of
    from liverplan.evaluation.run import evaluate_case, without_image
    from liverplan.io.images import read_image
    from liverplan.io.segmentations import read_segmentation

    if pair.image is None:
        truth = read_segmentation(pair.reference, grid_of(pair.reference))
        volume = without_image(truth)
    else:
        volume = read_image(pair.image, modality=modality.value if modality else None)
        truth = read_segmentation(pair.reference, volume.grid)
    guess = read_segmentation(pair.prediction, volume.grid) if pair.prediction else guessed(volume, pair.id)
    return evaluate_case(pair.id, volume, guess, truth, limits)

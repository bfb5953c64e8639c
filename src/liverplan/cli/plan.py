"""`liverplan plan`: an image in, a margin report out."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverplan import RESEARCH_USE_ONLY
from liverplan.cli.console import AsJson, Console, Quiet
from liverplan.cli.options import (
    DEFAULT_PROTOCOL,
    DeidentifyKey,
    Device,
    Image,
    ModelName,
    NewFolder,
    OfModality,
    OnDevice,
    Overwrite,
    Pictures,
    ProtocolName,
    Pseudonym,
    Series,
)

if TYPE_CHECKING:
    from liverplan.plan import Plan
    from liverplan.protocol import Decision

_HELP = f"""Measure margins and remnant on a scan and decide the trial's criteria.

IMAGE is a DICOM folder, .nii, .nii.gz, .nrrd or .mha. Without --segmentation the shipped model segments it; verdicts
on masks that no reader has confirmed stay undetermined. {RESEARCH_USE_ONLY}

Examples:
  liverplan plan scan.nii.gz -o out
  liverplan plan dicom/ --segmentation masks/ --clinical patient.yaml -o out
  liverplan plan dicom/ --segmentation masks/ --resection plane.json --resection mine.stl -o out
"""


_OUTCOMES = ("met", "not_met", "undetermined")


class SegType(enum.StrEnum):
    """How a DICOM segmentation holds masks."""

    BINARY = "binary"
    LABELMAP = "labelmap"


def register(app: typer.Typer) -> None:
    app.command("plan", help=_HELP)(plan)


def plan(
    image: Image,
    out: NewFolder,
    segmentation: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Masks: a folder with one file per structure, a label map or .seg.nrrd."),
    ] = None,
    clinical: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Clinical record as YAML, JSON or a FHIR Bundle; `liverplan schema clinical --template` prints one to "
            "fill in.",
        ),
    ] = None,
    protocol: ProtocolName = DEFAULT_PROTOCOL,
    series: Series = None,
    modality: OfModality = None,
    model: ModelName = None,
    device: OnDevice = Device.AUTO,
    resection: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Your own resection: a label map, a plane (JSON, TOML, .mrk.json) or a surface (STL, OBJ, VTP). "
            "May be repeated.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(metavar="MM", min=0.5, max=30.0, help="Margin to plan resections for. Default: the protocol's."),
    ] = None,
    height_cm: Annotated[
        float | None, typer.Option(metavar="CM", min=100.0, max=220.0, help="For standardised liver volumes.")
    ] = None,
    weight_kg: Annotated[
        float | None, typer.Option(metavar="KG", min=30.0, max=200.0, help="For standardised liver volumes.")
    ] = None,
    cut_loss: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tissue lost at the cut by device, as TOML (docs/fresh-margin.md)."),
    ] = None,
    pictures: Pictures = True,
    seg_type: Annotated[
        SegType, typer.Option(help="How seg.dcm holds the masks: binary is what archives read today.")
    ] = SegType.BINARY,
    deidentify: Annotated[
        bool,
        typer.Option("--deidentify", help="Keep the patient out of OUT: names, ids, UIDs, dates (docs/deidentify.md)."),
    ] = False,
    pseudonym: Pseudonym = None,
    deidentify_key: DeidentifyKey = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.case import Deidentified, Settings, plan_case
    from liverplan.liver_volume import BodySize

    console = Console(quiet, as_json)
    told = modality.value if modality else None
    settings = Settings(
        image,
        segmentation,
        protocol,
        series,
        told,
        model,
        device.value,
        pictures,
        margin_mm=margin,
        resections=tuple(resection or ()),
        clinical=clinical,
        body=BodySize(height_cm, weight_kg),
        cut_loss=cut_loss,
        label_map=seg_type is SegType.LABELMAP,
        deidentified=Deidentified(pseudonym, deidentify_key) if deidentify else None,
    )
    with console.progress("planning") as progress:
        result = plan_case(settings, out, overwrite, progress)
    report = out / "report.json"
    if as_json:
        console.result({"out": str(out), "report": json.loads(report.read_text(encoding="utf-8"))})
    for line in summary(result):
        console.say(line)
    console.say(f"report: {(out / 'report.html').resolve()}")


def eligibility_lines(decision: Decision) -> list[str]:
    """The verdict, what fails, and what is missing, for the terminal."""
    by_outcome = {o: [c.criterion.id for c in decision.criteria if c.outcome.value == o] for o in _OUTCOMES}
    lines = [f"protocol {decision.protocol.id}: {decision.verdict.value.replace('_', ' ')}"]
    lines += [f"  {o.replace('_', ' ')}: {', '.join(ids)}" for o, ids in by_outcome.items() if ids]
    missing = dict.fromkeys(name for c in decision.criteria for name in c.missing)
    return [*lines, f"  to obtain: {', '.join(missing)}"] if missing else lines


def summary(result: Plan) -> list[str]:
    """The case in a few lines for the terminal."""
    from liverplan.margin import UpperBound

    lesions = f"{len(result.findings)} lesion(s), tumour {result.tumour_ml:.1f} mL"
    lines = [f"liver {result.liver_ml.value:.0f} mL, {lesions if result.findings else 'no lesion in the masks'}"]
    for finding in result.findings:
        upper = finding.upper
        bound = f"{upper.margin_mm.value:.1f} mm" if isinstance(upper, UpperBound) else f"unknown ({upper.reason})"
        lines.append(f"  lesion {finding.lesion.id}: {finding.lesion.volume_ml:.1f} mL, margin at most {bound}")
    for found in result.resections[:5]:
        lines.append(f"  resection {found.name}: {found.meets.replace('_', ' ')}: {found.reason}")
    lines.append(f"wide margin: {result.verdict.wide_margin}: {result.verdict.reason}")
    lines += eligibility_lines(result.decision)
    lines.append(RESEARCH_USE_ONLY)
    return lines

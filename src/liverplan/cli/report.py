"""`liverplan report OUT`: the report of a planned case, rendered again from report.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverplan import audit
from liverplan.cli.console import AsJson, Console, Quiet

_HELP = """Render report.html, report.pdf and the tables again from OUT/report.json. Nothing is measured again.

Example: liverplan report out --pictures
"""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("report", help=_HELP)(report)


def report(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `liverplan plan` wrote.")],
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures", help="Draw the 3D views again from OUT/meshes; slices of the image stay as they are."
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Render the report of a planned case again."""
    from liverplan.io.dicom_out import renew_report
    from liverplan.io.fhir_report import write_fhir_report
    from liverplan.report import render_case_pictures, render_report
    from liverplan.report.load import load_report

    console = Console(quiet, as_json)
    if pictures:
        with console.progress("pictures"):
            render_case_pictures(out, load_report(out), None, None)
    page, pdf, *tables = render_report(out)
    renew_report(out, load_report(out))
    write_fhir_report(out, load_report(out))
    audit.record(out, audit.RENDERED)
    console.say(f"report: {page}\nPDF: {pdf}")
    console.result(
        {"report": str(page), "pdf": str(pdf), "tables": [str(path) for path in tables], "research_use_only": True}
    )

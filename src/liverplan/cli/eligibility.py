"""`liverplan eligibility`: decide again on a planned case, without recomputing the imaging."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan import RESEARCH_USE_ONLY, audit
from liverplan.cli.console import AsJson, Console, Quiet

if TYPE_CHECKING:
    from liverplan.protocol import CriterionResult, Decision

_HELP = f"""Decide the trial's criteria again on a planned case.

Reads OUT/report.json, decides every criterion from the measurements stored there and from the clinical record,
rewrites report.json and renders the report again. Without --clinical the record that the report holds counts. A
criterion that nothing was recorded for is undetermined, never met. {RESEARCH_USE_ONLY}

Examples:
  liverplan eligibility out --clinical patient.yaml
  liverplan eligibility out --protocol my-trial.toml
"""


def register(app: typer.Typer) -> None:
    app.command("eligibility", help=_HELP)(eligibility)


def eligibility(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `liverplan plan` wrote.")],
    clinical: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Clinical record as YAML, JSON or a FHIR Bundle, in place of the one that the report holds.",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Protocol by name or as a TOML file. Default: the one of the report."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.io.clinical import read_clinical
    from liverplan.io.dicom_out import renew_report
    from liverplan.io.fhir_report import write_fhir_report
    from liverplan.io.folder import write_json_atomic
    from liverplan.protocol import load_protocol
    from liverplan.record_clinical import decided_again, protocol_of, stored_record
    from liverplan.report import render_report

    console = Console(quiet, as_json)
    report = _read_report(out)
    chosen = load_protocol(protocol or protocol_of(report, "Say which with --protocol."))
    record = read_clinical(clinical) if clinical else stored_record(report)
    report, decision = decided_again(report, chosen, record)
    write_json_atomic(out / "report.json", report)
    render_report(out)
    renew_report(out, report)
    write_fhir_report(out, report)
    audit.record(out, audit.DECIDED, protocol=chosen.id)
    console.result(report["eligibility"])
    if not quiet and not as_json:
        print_decision(decision)


def print_decision(decision: Decision) -> None:
    """The verdict, one line per criterion, and what is missing."""
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.table import Table

    protocol = decision.protocol
    table = Table(title=f"{protocol.id}, version {protocol.version}", title_justify="left")
    for name in ("criterion", "outcome", "why"):
        table.add_column(name, no_wrap=name != "why")
    for result in decision.criteria:
        outcome = result.outcome.value.replace("_", " ")
        table.add_row(result.criterion.id, outcome, escape(_why(result)))
    terminal = RichConsole()
    terminal.print(table)
    terminal.print(f"Verdict: {decision.verdict.value.replace('_', ' ')}. {RESEARCH_USE_ONLY}")
    missing = dict.fromkeys(name for result in decision.criteria for name in result.missing)
    if missing:
        terminal.print(f"To obtain: {', '.join(missing)}")


def _why(result: CriterionResult) -> str:
    """The evidence; for a criterion of which the record holds nothing yet, the fields to obtain."""
    from liverplan.protocol import Outcome

    blank = result.outcome is Outcome.UNDETERMINED and not result.headline.measured
    return f"to obtain: {', '.join(result.missing)}" if blank else result.evidence


def _read_report(out: Path) -> dict[str, Any]:
    """OUT/report.json with the measures that the criteria read."""
    from liverplan.report.load import FILE, load_report, refused

    report = load_report(out)
    if not isinstance(report.get("measures"), dict):
        raise refused(out / FILE, "no measures")
    return report

"""`liverplan eligibility`: decide again on a planned case, without recomputing the imaging."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverplan import RESEARCH_USE_ONLY
from liverplan.cli.console import AsJson, Console, Quiet

if TYPE_CHECKING:
    from liverplan.protocol import CriterionResult, Decision

_HELP = f"""Decide the trial's criteria again on a planned case.

Reads OUT/report.json, decides every criterion from the measurements stored there, rewrites report.json and renders
the report again. A criterion that nothing was recorded for is undetermined, never met. {RESEARCH_USE_ONLY}

Example: liverplan eligibility out --protocol my-trial.toml
"""


def register(app: typer.Typer) -> None:
    app.command("eligibility", help=_HELP)(eligibility)


def eligibility(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `liverplan plan` wrote.")],
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Protocol by name or as a TOML file. Default: the one of the report."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.io.folder import write_json_atomic
    from liverplan.protocol import decide, load_protocol, measures_from_json
    from liverplan.report import render_report

    console = Console(quiet, as_json)
    report = _read_report(out)
    chosen = load_protocol(protocol or _protocol_of(report))
    decision = decide(chosen, measures_from_json(report["measures"], chosen.limits))
    report["eligibility"] = decision.to_json()
    write_json_atomic(out / "report.json", report)
    render_report(out)
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


def _why(result: CriterionResult) -> str:
    """The evidence; for a criterion of which the record holds nothing yet, the fields to obtain."""
    from liverplan.protocol import Outcome

    blank = result.outcome is Outcome.UNDETERMINED and not result.headline.measured
    return f"to obtain: {', '.join(result.missing)}" if blank else result.evidence


def _protocol_of(report: dict[str, Any]) -> str:
    """The protocol the case was decided by, when it comes with the package."""
    from liverplan.errors import ProtocolError
    from liverplan.protocol import protocol_names

    name = str(report["eligibility"].get("protocol"))
    if name.lower() in protocol_names():
        return name
    raise ProtocolError(
        "the report was decided by a protocol of your own",
        got=repr(name),
        wanted=f"its file, or one of {', '.join(protocol_names())}",
        do="Say which with --protocol.",
    )


def _read_report(out: Path) -> dict[str, Any]:
    """OUT/report.json with the measures that the criteria read."""
    from liverplan.report.load import FILE, load_report, refused

    report = load_report(out)
    if not isinstance(report.get("measures"), dict):
        raise refused(out / FILE, "no measures")
    return report

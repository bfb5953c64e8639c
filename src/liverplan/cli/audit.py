"""`liverplan audit OUT`: who opened, changed and exported a case."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet

_HELP = """Show who planned, decided, rendered, opened, corrected and sent a case, and check that the log is whole.

Every line of OUT/audit.jsonl holds the hash of the line before it: a line that was changed, removed or added later is
found, and the command ends with status 3. Lines cut off at the end are not: keep the last hash elsewhere to prove them.

Example: liverplan audit out
"""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("audit", help=_HELP)(audit)


def audit(
    out: Annotated[Path, typer.Argument(metavar="OUT", exists=True, help="Folder that `liverplan plan` wrote.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan import audit as trail
    from liverplan.errors import UnreadableInput

    console, found = Console(quiet, as_json), trail.read(out)
    events = list(found.events())
    for event in events:
        about = ", ".join(f"{k} {v}" for k, v in event.items() if k not in _SHOWN_OR_HIDDEN)
        console.say(f"{event.get('utc')}  {event.get('who')}  {event.get('action')}  {about}".rstrip())
    if found.broken is not None:
        raise UnreadableInput(
            f"{trail.FILE} was changed after it was written",
            got=f"line {found.broken}, which does not follow the line before it",
            wanted="a log in which every line holds the hash of the one before",
            do="Compare it with a copy; what stands from that line on proves nothing.",
        )
    console.say(f"{len(events)} events, whole; last hash {found.last_sha256}")
    console.result({"events": events, "last_sha256": found.last_sha256, "whole": True})


_SHOWN_OR_HIDDEN = ("utc", "who", "action", "number", "previous_sha256", "report_sha256")

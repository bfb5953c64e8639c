"""`liverplan schema NAME`: the JSON Schemas of the files that other programs read and write."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

_FILES = {
    "report": "report/schema/report-1.json",
    "clinical": "clinical/schema-1.json",
    "protocol": "protocols/schema.json",
    "cohort": "cohort/cohort-1.json",
}
"""Name to file inside the package; a name counts when its file is shipped."""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("schema", help="Print a JSON Schema: report, protocol ...\n\nExample: liverplan schema report")(
        show_schema
    )


def show_schema(
    name: Annotated[str, typer.Argument(help="Which schema; a wrong name lists those that exist.")],
    template: Annotated[bool, typer.Option("--template", help="Print a file to fill in instead (clinical).")] = False,
) -> None:
    """Print the schema `name`. Raises a usage error that lists what exists."""
    if template:
        _show_template(name)
        return
    if name not in shipped():
        raise typer.BadParameter(f"{name!r} is not shipped; there are: {', '.join(shipped())}", param_hint="NAME")
    typer.echo(files("liverplan").joinpath(_FILES[name]).read_text(encoding="utf-8"), nl=False)


def shipped() -> list[str]:
    """Names of the schemas that this installation holds."""
    return [name for name, path in _FILES.items() if files("liverplan").joinpath(path).is_file()]


def _show_template(name: str) -> None:
    if name != "clinical":
        raise typer.BadParameter(f"there is no template for {name!r}; there is one for: clinical", param_hint="NAME")
    from liverplan.clinical import template_text

    typer.echo(template_text(), nl=False)

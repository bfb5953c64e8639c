"""`liverplan render OUT`: pictures of a planned case, by the same scene as the report's."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from liverplan.cli.console import AsJson, Console, Quiet

_HELP = """Draw a planned case as PNGs, by the scene that the report and the viewer use. Nothing is measured.

Without --view all six are drawn: anterior, posterior, right, left, superior, inferior.

Example: liverplan render out -o pictures --view anterior --view inferior --size 1600x1200
"""
SMALLEST, LARGEST = 64, 4096
"""Sides of a picture in pixels."""


class View(StrEnum):
    """Where to look from."""

    ANTERIOR = "anterior"
    POSTERIOR = "posterior"
    RIGHT = "right"
    LEFT = "left"
    SUPERIOR = "superior"
    INFERIOR = "inferior"


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("render", help=_HELP)(render)


def render(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that `liverplan plan` wrote.")],
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the pictures go.")],
    view: Annotated[list[View] | None, typer.Option(help="From where; may be given several times.")] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels, 64 to 4096 each.")] = "1280x1080",
    labels: Annotated[bool, typer.Option(help="Tags, lines, scale and directions.")] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw the standard views of a planned case."""
    width_height = _size(size)
    from liverplan.report.load import load_report
    from liverplan.report.views import render_views

    console = Console(quiet, as_json)
    names = [chosen.value for chosen in dict.fromkeys(view or View)]
    with console.progress("drawing"):
        paths = render_views(out, folder, load_report(out), names, width_height, labels=labels)
    console.say("\n".join(str(path) for path in paths))
    console.result({"pictures": [str(path) for path in paths], "research_use_only": True})


def _size(words: str) -> tuple[int, int]:
    width, separator, height = words.lower().partition("x")
    if not (separator and width.isascii() and height.isascii() and width.isdigit() and height.isdigit()):
        raise typer.BadParameter(f"{words!r} is no size such as 1600x1200", param_hint="--size")
    if not all(SMALLEST <= int(side) <= LARGEST for side in (width, height)):
        raise typer.BadParameter(f"{words} has a side outside {SMALLEST} to {LARGEST} pixels", param_hint="--size")
    return int(width), int(height)

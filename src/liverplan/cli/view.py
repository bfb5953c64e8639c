"""`liverplan view`: planned cases in the browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverplan import RESEARCH_USE_ONLY
from liverplan.cli.console import AsJson, Console, Quiet

if TYPE_CHECKING:
    from liverplan.viewer.opened import OpenCase

_HELP = f"""Show planned cases in your browser: slices, 3D, resections, the margin as a slider, the criteria as a form.

The page is served by this machine to this machine only, under a new port and a new key for every start; nothing is
sent or fetched elsewhere. Needs pip install "liverplan[view]". Stop it with Ctrl-C. {RESEARCH_USE_ONLY}

Examples:
  liverplan view out
  liverplan view out --image scan.nii.gz
  liverplan view cohort-out --no-browser
  liverplan view new-folder                 an empty one: load the first scan in the browser
"""


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("view", help=_HELP)(view)


def view(
    path: Annotated[
        Path, typer.Argument(metavar="OUT|FOLDER", help="Folder of `liverplan plan`, or a folder of such folders.")
    ],
    image: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The scan, when it is not beside OUT under the name it was planned by."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0 for a random free one.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    from liverplan.viewer.cases import find_cases, home_of, is_empty_home
    from liverplan.viewer.first import AGAIN, Address, build_waiting, taken_over
    from liverplan.viewer.guard import new_key
    from liverplan.viewer.serve import DrawingTest, require_free, require_trame, serve

    require_trame()
    require_free(port)
    console, again = Console(quiet, as_json), taken_over(os.environ)
    os.environ.pop(AGAIN, None)

    def ready(address: str, chosen: int) -> None:
        if again is None:
            console.result({"url": address, "port": chosen, "cases": [str(case) for case in cases]})
            sys.stdout.flush()
            console.say(f"view: {address}\nStop with Ctrl-C. {RESEARCH_USE_ONLY}")
            if browser:
                webbrowser.open(address)

    cases: tuple[Path, ...] = ()
    if is_empty_home(path):
        page = Address(port, new_key(), new_key())
        serve(lambda server: build_waiting(server, home_of(path), page), ready, port, page.key, page.secret)
        return
    cases = find_cases(path)
    drawing = DrawingTest()
    with console.progress("reading the case"), ThreadPoolExecutor(max_workers=1) as beside:
        # Reading the scan and loading the program take a second each.
        reading = beside.submit(_opened, cases[0], image)
        from liverplan.viewer.build import build

        first = reading.result()
    drawing.require()

    listen = again or Address(port, new_key(), new_key())
    serve(lambda server: build(server, cases, first, home_of(path)), ready, listen.port, listen.key, listen.secret)


def _opened(folder: Path, image: Path | None) -> OpenCase:
    from liverplan.viewer.opened import open_scan

    return open_scan(folder, image)

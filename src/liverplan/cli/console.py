"""What commands say: one JSON object on stdout with `--json`, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from liverplan.errors import LiverplanError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; messages go to stderr.")]


class Console:
    """Where a command's words go. With `as_json` stdout holds the JSON object only."""

    def __init__(self, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.as_json = as_json

    def say(self, text: str) -> None:
        """A line for the person at the terminal."""
        if not self.quiet:
            print(text, file=sys.stderr if self.as_json else sys.stdout)

    def result(self, payload: Mapping[str, Any]) -> None:
        """The machine-readable result, printed only with `--json`."""
        if self.as_json:
            print(json.dumps(payload, allow_nan=False))

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A bar on stderr when it is a terminal, otherwise silence."""
        if self.quiet or not sys.stderr.isatty():
            yield Progress(None, None)
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with RichProgress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            yield Progress(bar, bar.add_task(title, total=1.0))


class Progress:
    """A handle that long work calls as `progress(fraction, stage)`; fraction in 0..1."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar = bar
        self._task = task

    def __call__(self, fraction: float, stage: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, description=stage)


def print_error(error: LiverplanError) -> None:
    """Four lines on stderr: what, got, wanted, do."""
    sys.stderr.write(f"error: {error.what}\n  got:    {error.got}\n  wanted: {error.wanted}\n  do:     {error.do}\n")

"""`liverplan`: the verbs, and what errors become (0 done, 2 usage, 3 input refused, 4 resources, 130 interrupted)."""

from __future__ import annotations

import errno
import importlib
import sys
from typing import Annotated, Any

import typer

from liverplan import RESEARCH_USE_ONLY, __version__
from liverplan.cli.console import print_error
from liverplan.errors import LiverplanError

VERBS: tuple[str, ...] = (
    "plan",
    "segment",
    "eligibility",
    "report",
    "audit",
    "render",
    "phantom",
    "train",
    "evaluate",
    "models",
    "cohort",
    "dicom",
    "schema",
    "view",
)
"""Modules of this package that hold a verb, in the order of `--help`; each has a function `register(app)`."""

_NO_MEMORY = (
    "bad_alloc",
    "cannot allocate memory",
    "failed to allocate",
    "failed to map segment",
    "new thread",
    "join thread",
)
"""What C++ libraries, the loader and threads say when no memory is left."""

_UsageError: Any = typer.BadParameter.__base__
"""click's UsageError, wherever typer keeps click: recent versions bring a copy of their own and install none."""

app = typer.Typer(
    name="liverplan",
    help=f"Margins and remnant before resection of colorectal liver metastases. {RESEARCH_USE_ONLY}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"liverplan {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for _verb in VERBS:
    importlib.import_module(f"liverplan.cli.{_verb}").register(app)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its status. No traceback reaches a user."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        status = app(args=arguments, standalone_mode=False)
        return status if isinstance(status, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as wrong_usage:
        wrong_usage.show()
        return 2
    except LiverplanError as error:
        print_error(error)
        return error.exit_status
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        if not out_of_memory(error):
            raise
        print_error_text("out of memory", "Close other programs or crop the image to the liver.")
        return 4
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return 130


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, which libraries say in their own ways."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    said = str(error).lower()
    return any(words in said for words in _NO_MEMORY)


def print_error_text(what: str, do: str) -> None:
    sys.stderr.write(f"error: {what}\n  do:     {do}\n")

"""report.json from an output folder, refused with a reason when it is not one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liverplan.errors import UnreadableInput
from liverplan.report.schema import report_schema

FILE = "report.json"


def load_report(out_dir: Path) -> dict[str, Any]:
    """Read OUT/report.json. Raises UnreadableInput when it is missing, no JSON, of another schema, or incomplete."""
    path = Path(out_dir) / FILE
    try:
        report = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise refused(path, "no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise refused(path, str(error)) from error
    if not isinstance(report, dict) or report.get("schema_version") != "1":
        raise refused(path, "no schema_version 1")
    missing = [key for key in report_schema()["required"] if key not in report]
    if missing:
        raise refused(path, f"no {', '.join(missing)}")
    return report


@contextmanager
def whole(out_dir: Path, *more: type[Exception]) -> Iterator[None]:
    """Turn what a report with something missing or odd in it leads to into UnreadableInput. more: further errors."""
    damaged: tuple[type[Exception], ...] = (KeyError, TypeError, ValueError, IndexError, AttributeError, *more)
    try:
        yield
    except damaged as error:
        raise refused(Path(out_dir) / FILE, f"{type(error).__name__}: {error}") from error


def refused(path: Path, got: str) -> UnreadableInput:
    """The error for a report.json that cannot be rendered."""
    return UnreadableInput(
        f"{path} is not a report of liverplan",
        got=got,
        wanted="a report.json of schema version 1, as `liverplan plan` writes it",
        do="Give the output folder of `liverplan plan`, or plan the case again.",
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not know")

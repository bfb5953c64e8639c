"""The JSON Schema (draft 2020-12) of `report.json`."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def report_schema_text() -> str:
    """The schema of report.json, schema version 1, as shipped."""
    return files(__package__).joinpath("report-1.json").read_text(encoding="utf-8")


def report_schema() -> dict[str, Any]:
    """The schema of report.json, schema version 1."""
    schema: dict[str, Any] = json.loads(report_schema_text())
    return schema

"""What every report.json must satisfy: the shipped schema, and the rules that a JSON Schema cannot say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema

from liverplan.report.schema import report_schema


def validate_report(report: dict[str, Any]) -> None:
    """Raise ValueError on NaN, jsonschema.ValidationError on another shape, AssertionError on a broken interval."""
    json.dumps(report, allow_nan=False)
    jsonschema.Draft202012Validator(report_schema()).validate(report)
    for quantity in _quantities(report):
        assert quantity["low"] <= quantity["value"] <= quantity["high"], quantity


def _quantities(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("value") is not None and {"low", "high"} <= node.keys():
            yield node
        for child in node.values():
            yield from _quantities(child)
    elif isinstance(node, list):
        for child in node:
            yield from _quantities(child)

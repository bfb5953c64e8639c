"""What many cases have in common: why the wide margin is not shown, and which checks of scan and masks speak up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from liverplan.report.wording import LIMITED_BY, structure_title

Row = Mapping[str, Any]
NAMED = 20
"""Cases that a line names; the others are counted."""
_INTERVAL = re.compile(r"\s*\[[^\]]*\]")
_NUMBER = re.compile(r"[-\N{MINUS SIGN}]?\d+(?:\.\d+)?")
_ASIDE = re.compile(r"\s*\([^)]*\)|: .*$")
_STATUSES = ("fail", "warning", "ok")


def wide_margin_groups(done: Sequence[Row]) -> list[dict[str, Any]]:
    """Cases that cannot have the wide margin, or of which it is not known, by what limits them and why.

    The infeasible ones first, then the most frequent. Numbers are left out of the reason; `example` has one in full.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for case in done:
        if case["wide_margin"] != "feasible":
            key = (str(case["wide_margin"]), _limited_by(case), _general(str(case["wide_margin_reason"] or "")))
            groups.setdefault(key, []).append(case)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] != "infeasible", -len(item[1]), item[0]))
    return [
        {
            "wide_margin": wide,
            "limited_by": limited,
            "why": why,
            "count": len(rows),
            "cases": rows[:NAMED],
            "example": rows[0]["wide_margin_reason"],
        }
        for (wide, limited, why), rows in ordered
    ]


def quality_gates(quality: Sequence[Row]) -> list[dict[str, Any]]:
    """Per check in the order of the reports: how many cases fail, are warned of, and pass, and who does not pass.

    A check may say several things about a case; the worst of them counts.
    """
    worst: dict[str, dict[str, Row]] = {}
    for row in quality:
        of_case = worst.setdefault(row["check"], {})
        before = of_case.get(row["case_id"])
        if before is None or _STATUSES.index(row["status"]) < _STATUSES.index(before["status"]):
            of_case[row["case_id"]] = row
    gates = [_gate(check, list(of_case.values())) for check, of_case in worst.items()]
    return sorted(gates, key=lambda gate: (-gate["fail"], -gate["warning"]))


def _gate(check: str, rows: Sequence[Row]) -> dict[str, Any]:
    """A check from one row per case."""
    counts = {status: sum(row["status"] == status for row in rows) for status in _STATUSES}
    named = sorted((row for row in rows if row["status"] != "ok"), key=lambda row: _STATUSES.index(row["status"]))
    return {"check": check, "worst": named[:NAMED], "message": named[0]["message"] if named else None, **counts}


def _limited_by(case: Row) -> str:
    kind, structure = case["limiting_kind"], case["limiting_structure"]
    if kind is None:
        return "not known"
    return str(structure_title(structure)).lower() if structure else LIMITED_BY.get(kind, str(kind))


def _general(reason: str) -> str:
    """A reason without what differs from case to case."""
    return _NUMBER.sub("…", _INTERVAL.sub("", _ASIDE.sub("", reason))).strip()

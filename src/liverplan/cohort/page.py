"""cohort.html: one file, no network. It shows what the tables say, worst first, and measures nothing."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from liverplan.cohort.charts import histogram, shares
from liverplan.cohort.columns import TABLES
from liverplan.cohort.flow import flow_diagram, flow_steps
from liverplan.cohort.places import THUMBNAIL, Places
from liverplan.cohort.summaries import quality_gates, wide_margin_groups
from liverplan.cohort.tables import read_table
from liverplan.errors import UnreadableInput
from liverplan.io.folder import write_text_atomic
from liverplan.report import wording

Row = Mapping[str, Any]
_READ = ("cases", "lesions", "criteria", "quality")
_UNUSED = ("evidence", "missing", "value", "value_reason", "image_sha256", "content_sha256", "reason", "segments")
"""Long cells that the page does not show."""
MOST_THUMBNAILS = 300
"""About 2 MB of the page: the worst cases have a picture in it."""
_VERDICTS = ("does_not_meet", "undetermined", "meets_recorded_criteria")
_WIDE = ("infeasible", "undetermined", "feasible")
_OUTCOMES = ("met", "undetermined", "not_met")


def write_page(out: Path) -> Path:
    """Write OUT/cohort.html from OUT/tables. Raises UnreadableInput when they are not there, OutputError."""
    places = Places(Path(out))
    try:
        tables = {
            name: [_kept(row) for row in read_table(places.tables / f"{name}.csv", TABLES[name])] for name in _READ
        }
    except (OSError, ValueError, KeyError) as error:
        raise UnreadableInput(
            f"{out} is not the folder of a cohort",
            got=str(error),
            wanted="tables/*.csv as `liverplan cohort` writes them",
            do="Give the output folder of `liverplan cohort`, or run it again.",
        ) from error
    shown = [case["case_id"] for case in worst_first(tables["cases"]) if case["status"] == "done"][:MOST_THUMBNAILS]
    write_text_atomic(places.page, render_page(tables, _thumbnails(places, shown)))
    return places.page


def _thumbnails(places: Places, case_ids: Iterable[str]) -> dict[str, str]:
    """Pictures as data: addresses; a case without one has none."""
    found = {}
    for case_id in case_ids:
        with contextlib.suppress(OSError):
            content = (places.case(case_id) / THUMBNAIL).read_bytes()
            found[case_id] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return found


def render_page(tables: Mapping[str, Sequence[Row]], thumbnails: Mapping[str, str] | None = None) -> str:
    """The page as text, from the tables `cases`, `lesions`, `criteria` and `quality`. thumbnails: by case."""
    loader = jinja2.PackageLoader("liverplan.cohort", "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"mm": wording.mm, "ml": wording.ml, "percent": wording.percent, "span": wording.span}
    cases, lesions = tables["cases"], tables["lesions"]
    done = [case for case in cases if case["status"] == "done"]
    failed = [case for case in cases if case["status"] == "failed"]
    flow = criteria_flow(tables["criteria"])
    wide_mm = next((case["wide_margin_mm"] for case in done if case["wide_margin_mm"] is not None), None)
    return environment.get_template("cohort.html.j2").render(
        words=wording,
        n={"screened": len(cases), "failed": len(failed), "done": len(done)},
        flow=flow_diagram(flow_steps(cases, flow)),
        answer=_counts(done, "wide_margin", _WIDE),
        why_not=wide_margin_groups(done),
        gates=quality_gates(tables["quality"]),
        thumbnails=thumbnails or {},
        protocol=next((f"{case['protocol']}, version {case['protocol_version']}" for case in done), None),
        verdicts=shares(_counts(done, "verdict", _VERDICTS), wording.ELIGIBILITY),
        wide=shares(_counts(done, "wide_margin", _WIDE), wording.FEASIBILITY),
        wide_mm=wide_mm,
        criteria=flow,
        failures=failure_groups(failed),
        charts=[
            histogram([case["margin_upper_mm"] for case in done], "Largest margin possible, cases", "mm", wide_mm),
            histogram([case["flr_percent"] for case in done], _flr_title(wide_mm), "%"),
            histogram([case["lesions"] for case in done], "Lesions per case", "", whole=True),
            histogram([lesion["longest_diameter_mm"] for lesion in lesions], "Longest diameter, lesions", "mm"),
            histogram([lesion["margin_upper_mm"] for lesion in lesions], "Largest margin, lesions", "mm", wide_mm),
            histogram([case["liver_volume_ml"] for case in done], "Liver volume, cases", "mL"),
        ],
        cases=worst_first(cases),
    )


def _kept(row: Row) -> Row:
    return {sys.intern(name): _shared(cell) for name, cell in row.items() if name not in _UNUSED}


def _shared(cell: object) -> object:
    """Words that come again and again are held once."""
    return sys.intern(cell) if isinstance(cell, str) else cell


def worst_first(cases: Sequence[Row]) -> list[Row]:
    """Failed, pending, then by verdict and by the lower end of the largest margin; what is unknown before the known."""
    status = ("failed", "pending", "done")

    def badness(case: Row) -> tuple[int, int, float, int]:
        margin_mm = case["margin_upper_low_mm"]
        verdict = _VERDICTS.index(case["verdict"]) if case["verdict"] in _VERDICTS else -1
        return status.index(case["status"]), verdict, -1.0 if margin_mm is None else margin_mm, case["position"]

    return sorted(cases, key=badness)


def criteria_flow(criteria: Sequence[Row]) -> list[dict[str, Any]]:
    """Per criterion in the protocol's order: outcomes, and how many cases are left when it and all before are applied.

    left: cases that fail none so far; certain: cases that meet all so far.
    """
    found: dict[str, dict[str, Any]] = {}
    by_case: dict[str, dict[str, str]] = {}
    for row in criteria:
        entry = found.setdefault(row["criterion"], {"id": row["criterion"], "kind": row["kind"], "text": row["text"]})
        entry[row["outcome"]] = entry.get(row["outcome"], 0) + 1
        by_case.setdefault(row["case_id"], {})[row["criterion"]] = row["outcome"]
    left, certain = dict.fromkeys(by_case, True), dict.fromkeys(by_case, True)
    for name, entry in found.items():
        for case_id, outcomes in by_case.items():
            left[case_id] &= outcomes.get(name) != "not_met"
            certain[case_id] &= outcomes.get(name) == "met"
        counts = {outcome: int(entry.get(outcome, 0)) for outcome in _OUTCOMES}
        entry |= counts | {"left": sum(left.values()), "certain": sum(certain.values())}
        entry["bar"] = shares(counts, wording.OUTCOME)
    return list(found.values())


def failure_groups(failed: Sequence[Row]) -> list[dict[str, Any]]:
    """Failures of the same kind at the same stage for the same reason, the most frequent first."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for case in failed:
        reason = str(case["failure_reason"] or "no reason recorded")
        what = reason.partition(": got ")[0]
        groups.setdefault((str(case["failure_kind"]), str(case["failure_stage"]), what), []).append(case)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    return [{"kind": k, "stage": s, "what": w, "count": len(rows), "cases": rows[:20]} for (k, s, w), rows in ordered]


def _counts(rows: Sequence[Row], name: str, order: Sequence[str]) -> dict[str, int]:
    counted = Counter(row[name] for row in rows)
    return {key: counted[key] for key in order}


def _flr_title(wide_mm: float | None) -> str:
    return "Functional remnant" + ("" if wide_mm is None else f" at {wide_mm:g} mm") + ", cases"

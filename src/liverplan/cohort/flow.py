"""The flow diagram of a cohort as inline SVG: who was screened, who left at each step and why, who is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from liverplan.report.wording import FEASIBILITY

Row = Mapping[str, Any]
WIDTH = 900
SIDE_WIDTH = 540
_MAIN_WIDTH, _SIDE_X = 300, WIDTH - SIDE_WIDTH
_HEIGHT, _STEP = 34, 50
_LONGEST = 68
"""Letters that fit beside the arrow, in the widest of the page's fonts."""


@dataclass(frozen=True)
class Step:
    """A box, and beside the arrow that leads out of it who leaves there; nobody where `leaving` is empty."""

    text: str
    count: int
    leaving: str = ""


def flow_steps(cases: Sequence[Row], criteria: Sequence[Row]) -> list[Step]:
    """Screened, planned, and a step for each criterion that rules a case out which none before it did.

    criteria: the rows of `page.criteria_flow`. A case whose criteria are undetermined is still there.
    """
    failed = Counter(str(case["failure_kind"]) for case in cases if case["status"] == "failed")
    pending = sum(case["status"] == "pending" for case in cases)
    lost = [f"{sum(failed.values())} failed ({_counted(failed)})"] if failed else []
    lost += [f"{pending} not planned yet"] if pending else []
    done = [case for case in cases if case["status"] == "done"]
    boxes, left = [("Screened", len(cases), "; ".join(lost))], len(done)
    name = "Planned"
    for row in criteria:
        if row["left"] < left:
            boxes.append((name, left, f"{left - row['left']} ruled out by {row['id']}: {row['text']}"))
            name, left = f"Not ruled out up to {row['id']}", row["left"]
    boxes.append((name, left, ""))
    eligible = [case for case in done if case["verdict"] != "does_not_meet"]
    certain = sum(case["verdict"] == "meets_recorded_criteria" for case in eligible)
    said = f"{certain} meet every recorded criterion; for {len(eligible) - certain} something is missing"
    boxes.append(("Ruled out by no criterion", len(eligible), said))
    wide = Counter(str(case["wide_margin"]) for case in eligible)
    boxes.append(("of these: wide margin feasible", wide["feasible"], _others(wide)))
    return [Step(*box) for box in boxes]


def flow_diagram(steps: Sequence[Step]) -> Markup:
    """The steps from top to bottom."""
    pieces = []
    for number, step in enumerate(steps):
        y = 4 + number * _STEP
        pieces += [
            f'<rect class="box" x="1" y="{y}" width="{_MAIN_WIDTH}" height="{_HEIGHT}" rx="7"/>',
            f'<text class="says" x="14" y="{y + 22}">{escape(step.text)}</text>',
            f'<text class="count" x="{_MAIN_WIDTH - 12}" y="{y + 22}" text-anchor="end">{step.count}</text>',
        ]
        if number + 1 < len(steps):
            pieces.append(_arrow(_MAIN_WIDTH / 2, y + _HEIGHT, _MAIN_WIDTH / 2, y + _STEP))
        if step.leaving:
            middle = y + _HEIGHT / 2
            short = _short(step.leaving)
            pieces += [
                _arrow(_MAIN_WIDTH + 1, middle, _SIDE_X - 6, middle),
                f'<text class="says" x="{_SIDE_X}" y="{y + 22}">{escape(short)}'
                f"<title>{escape(step.leaving)}</title></text>",
            ]
    height = 8 + len(steps) * _STEP
    return Markup(f'<svg class="flowchart" viewBox="0 0 {WIDTH} {height}" role="img">{"".join(pieces)}</svg>')


def _short(text: str) -> str:
    """Whole words as far as there is room."""
    if len(text) <= _LONGEST:
        return text
    room = text[:_LONGEST]
    return f"{room.rpartition(' ')[0] or room[:-1]}…"


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a small head, to the right or down."""
    head = (
        f"{x2 - 5},{y2 - 3} {x2},{y2} {x2 - 5},{y2 + 3}"
        if y1 == y2
        else f"{x2 - 3},{y2 - 5} {x2},{y2} {x2 + 3},{y2 - 5}"
    )
    return f'<line class="axis" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/><polygon class="head" points="{head}"/>'


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _others(wide: Mapping[str, int]) -> str:
    names = ("undetermined", "infeasible")
    return ", ".join(f"{wide.get(name, 0)} {FEASIBILITY[name].lower()}" for name in names)

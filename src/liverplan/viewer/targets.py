"""The places that a click leads to: the two ends of a measured distance, and its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from liverplan.quantity import Point, as_point
from liverplan.report.pictures import shown_lines
from liverplan.report.wording import interval, mm, plan_title, structure_title


@dataclass(frozen=True)
class Target:
    """A measured distance to look at. ends: LPS mm, None for a place without a line. tag: on the line."""

    id: str
    title: str
    value: str
    at_lps_mm: Point
    ends_lps_mm: tuple[Point, Point] | None
    tag: str


def targets(report: Mapping[str, Any]) -> dict[str, Target]:
    """Everything in the list that has a place, by id: lesions, their distances, the narrowest place of resections."""
    found = [target for lesion in report["lesions"] for target in _of_lesion(lesion)]
    found += [target for row in report["resections"] for target in _of_resection(row)]
    return {target.id: target for target in found}


def lesion_target(lesion_id: int) -> str:
    return f"lesion-{lesion_id}"


def _of_lesion(lesion: Mapping[str, Any]) -> list[Target]:
    number = int(lesion["id"])
    found = [_lesion(lesion)]
    for place, vessel in enumerate(lesion["vessels"]):
        if vessel["witness_lps_mm"]:
            title = structure_title(vessel["structure"])
            tag = f"{mm(vessel['clearance_mm']['value'])} to {title.lower()}"
            value = interval(vessel["clearance_mm"], "mm")
            found.append(_line(f"lesion-{number}-vessel-{place}", title, value, vessel["witness_lps_mm"], tag))
    for key, title in (("capsule_distance", "Capsule"), ("nearest_lesion", "Next lesion")):
        told = lesion.get(key)
        if told and told.get("witness_lps_mm"):
            tag = f"{mm(told['value'])} to {title.lower()}"
            found.append(_line(f"lesion-{number}-{key}", title, interval(told, "mm"), told["witness_lps_mm"], tag))
    return found


def _lesion(lesion: Mapping[str, Any]) -> Target:
    """The lesion itself: the line to what limits it, as in the report's close-up; its middle where there is none."""
    number, lines = int(lesion["id"]), shown_lines(lesion)
    value = interval(lesion["margin_upper_mm"], "mm")
    if not lines:
        at = as_point(lesion["centroid_lps_mm"])
        return Target(lesion_target(number), f"Lesion {number}", value, at, None, f"lesion {number}")
    words = f"lesion {number}: {lines[0].words}"
    line = _line(lesion_target(number), f"Lesion {number}", value, lines[0].ends_lps_mm, words)
    # Where the line leaves the lesion: its middle may be far from the lesion and from what limits it.
    return line if line.ends_lps_mm is None else replace(line, at_lps_mm=line.ends_lps_mm[0])


def _of_resection(row: Mapping[str, Any]) -> list[Target]:
    found = []
    for margin in row["margin_mm"]:
        if margin.get("value") is not None and margin.get("witness_lps_mm"):
            title = f"{plan_title(row['name'])}: margin of lesion {margin['lesion_id']}"
            id_ = f"resection-{row['name']}-{margin['lesion_id']}"
            tag = f"margin {mm(margin['value'])}"
            found.append(_line(id_, title, interval(margin, "mm"), margin["witness_lps_mm"], tag))
    return found


def _line(id_: str, title: str, value: str, ends: Any, tag: str) -> Target:
    start, end = as_point(ends[0]), as_point(ends[1])
    x, y, z = ((a + b) / 2.0 for a, b in zip(start, end, strict=True))
    return Target(id_, title, value, (x, y, z), (start, end), tag)

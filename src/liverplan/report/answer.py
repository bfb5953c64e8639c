"""The answer of a case as words and numbers, for the top of report.html and of report.pdf. Nothing is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from liverplan.report import wording
from liverplan.report.wording import NBSP

AT_LEAST = "\N{GREATER-THAN OR EQUAL TO}"
WORST = 2
"""Quality checks that the answer names in words; the rest is counted."""
_GRAVE = ("structure_", "masks", "tree_")
"""Checks whose warning bears on every number, the gravest first, before those that widen intervals."""
_NO_LESION: Mapping[str, Any] = {"value": None, "reason": "without a lesion there is no margin"}


def answer(report: Mapping[str, Any]) -> dict[str, Any]:
    """What stands at the top of the page."""
    limits, case = report.get("limits"), report["case"]
    wanted = None if limits is None else float(limits["wide_margin_mm"])
    row = next((row for row in report["margin_curve"] if wanted is not None and row["margin_mm"] == wanted), None)
    return {
        "title": wide_margin(report),
        "question": image_question(report),
        "trial_question": trial_question(report),
        "margin_mm": wanted,
        "verdict": wording.FEASIBILITY[case["wide_margin"]],
        "sentence": verdict_sentence(report),
        "limit": _limit(report),
        "plan": proof(report),
        "functional": _flr(row, "flr") if report["lesions"] else _NO_LESION,
        "geometric": _flr(row, "geometric_flr") if report["lesions"] else _NO_LESION,
        "row": row,
    }


def _limit(report: Mapping[str, Any]) -> str:
    """What sets the bound. Where there is no bound, "nothing limits it" would be a promise."""
    if not report["lesions"]:
        return ""
    if report["case"]["margin_upper_mm"].get("value") is None:
        return "What limits the margin is not assessable."
    return limiting_sentence(report["case"].get("limiting"))


def image_question(report: Mapping[str, Any]) -> str:
    """What the verdict on the image answers."""
    lesions = len(report["lesions"])
    around = "the lesion" if lesions == 1 else "every lesion"
    limits = report.get("limits")
    size = "a wide margin" if limits is None else f"a margin of {AT_LEAST}{NBSP}{limits['wide_margin_mm']:g}{NBSP}mm"
    return f"The image: can {size} around {around} be reached?"


def trial_question(report: Mapping[str, Any]) -> str:
    """What the verdict on the criteria answers."""
    return f"The trial: does the patient meet the criteria of {report['eligibility']['protocol']}?"


def raised_checks(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Quality checks that did not pass, the gravest first: failed, then about the masks, then the rest."""

    def order(check: Mapping[str, Any]) -> tuple[bool, int]:
        grave = (n for n, start in enumerate(_GRAVE) if str(check["check"]).startswith(start))
        return check["status"] != "fail", next(grave, len(_GRAVE))

    return sorted((check for check in checks if check["status"] != "ok"), key=order)


def quality(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The quality checks for the first page: how many raised something, and the gravest in words."""
    raised = raised_checks(checks)
    failed = [check for check in raised if check["status"] == "fail"]
    shown = failed if len(failed) > WORST else raised[:WORST]
    if not checks:
        told = "no check was recorded; treat every number with care."
    elif not raised:
        told = f"all {len(checks)} checks passed."
    else:
        more = ", among them" if len(raised) > len(shown) else ""
        told = f"{len(raised)} of {len(checks)} checks raised something{more}:"
    return {"sentence": told, "shown": shown, "failed": bool(failed)}


def unseen_trees(report: Mapping[str, Any]) -> str:
    """The vessels that nobody segmented, so that no plan can be said to spare them: "portal vein, hepatic veins"."""
    structures = report["segmentation"]["structures"]
    absent = [name for name in ("portal_vein", "hepatic_veins") if not structures.get(name, {}).get("present")]
    return ", ".join(wording.structure_title(name).lower() for name in absent)


def wide_margin(report: Mapping[str, Any]) -> str:
    """`Wide margin (>= 7 mm)`, without the number where no protocol's limit was recorded."""
    limits = report.get("limits")
    return "Wide margin" if limits is None else f"Wide margin ({AT_LEAST}{NBSP}{limits['wide_margin_mm']:g}{NBSP}mm)"


def verdict_sentence(report: Mapping[str, Any]) -> str:
    """The verdict on the case as a surgeon would say it."""
    limits, lesions = report.get("limits"), len(report["lesions"])
    margin = "a wide margin" if limits is None else f"a margin of {limits['wide_margin_mm']:g}{NBSP}mm"
    around = {0: "", 1: " around the lesion", 2: " around both lesions"}.get(lesions, f" around all {lesions} lesions")
    if not lesions:
        return "No lesion in the masks: there is no margin to assess. This says something about the masks only."
    return {
        "feasible": f"In this image {margin}{around} can be reached, and a measured resection shows how.",
        "infeasible": f"In this image no resection can reach {margin}{around}.",
        "undetermined": f"Whether {margin}{around} can be reached is not decided by this image and these masks.",
    }[report["case"]["wide_margin"]]


def limiting_sentence(limiting: Mapping[str, Any] | None) -> str:
    """What sets the upper bound, and where: a sentence."""
    if limiting is None:
        return "The limiting structure is not recorded."
    kind, structure, witness = limiting["kind"], limiting["structure"], limiting["witness_lps_mm"]
    where = f" at {wording.point(witness[1])} mm LPS" if witness else ""
    if kind == "vessel" and structure is not None:
        return f"Limited by the {wording.structure_title(structure).lower()}{where}."
    if kind == "none":
        return "Nothing limits the margin within the range examined."
    return f"Limited by {wording.LIMITED_BY[kind]}{where}."


def limited_by(lesion: Mapping[str, Any]) -> str:
    """What limits a lesion's margin, in a few words."""
    limiting = lesion["limiting"]
    if limiting["kind"] == "vessel":
        return wording.structure_title(limiting["structure"])
    return wording.LIMITED_BY[limiting["kind"]]


def least_margin(plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The least margin of a resection over its lesions; None when a lesion has none, so that no lesion is hidden."""
    margins = plan["margin_mm"]
    if not margins or any(m["value"] is None for m in margins):
        return None
    found: Mapping[str, Any] = min(margins, key=lambda m: float(m["value"]))
    return found


def best_resection(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The resection that `case.best_resection` names; the first one where it names none."""
    named = report["case"].get("best_resection")
    return next((plan for plan in report["resections"] if named in (None, plan["name"])), None)


def proof(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The plan that makes a case feasible: the first that meets the protocol."""
    if report["case"]["wide_margin"] != "feasible":
        return None
    return next((plan for plan in report["resections"] if plan["meets_protocol"] == "met"), None)


def _flr(row: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A percentage of the curve as a measured quantity."""
    if row is None:
        return {"value": None, "reason": "the margin curve has no row at the protocol's margin"}
    value, low, high = (row.get(f"{name}_{part}") for part in ("percent", "low_percent", "high_percent"))
    if value is None:
        return {"value": None, "reason": _why_no_flr(name)}
    return {"value": value, "low": low, "high": high}


def _why_no_flr(name: str) -> str:
    return "inflow or outflow is not known" if name == "flr" else "the removed volume is not known"

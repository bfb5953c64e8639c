"""Numbers and verdicts as words: one decimal for mm, none for mL (one below 100), units always, no blanks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liverplan.anatomy import Structure

BANNER = (
    "Research use only. Not a medical device; not cleared by FDA/CE/NMPA. Not for clinical decisions. Distances are "
    "image distances in the scanned state; tissue loss at the cut and deformation are not included unless stated."
)
NOT_ASSESSABLE = "not assessable"
NOT_RECORDED = "not recorded"
NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"

FEASIBILITY = {"feasible": "Feasible", "infeasible": "Infeasible", "undetermined": "Undetermined"}
OUTCOME = {"met": "Met", "not_met": "Not met", "undetermined": "Undetermined"}
REACHES = {"met": "Reaches both", "not_met": "Falls short", "undetermined": "Undetermined"}
"""What a resection does about the protocol's margin and remnant: other words than a criterion's, which is `met`."""
ELIGIBILITY = {
    "meets_recorded_criteria": "Meets the recorded criteria; the investigator must confirm",
    "does_not_meet": "Does not meet the recorded criteria",
    "undetermined": "Undetermined",
}
_UNITS = {"percent": "%", "count": "", "grade": "", "yes/no": ""}
"""Units of the protocol files as a reader expects them."""
LIMITED_BY = {
    "vessel": "a vessel",
    "remnant": "the functional remnant",
    "lesion": "another lesion",
    "none": "nothing within the range examined",
}


def number(value: float, decimals: int) -> str:
    """A rounded number with a true minus sign and no minus zero."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def decimals_of(value: float, unit: str) -> int:
    """How many decimals a value of a unit deserves: mm 1; mL 0, below 100 1; % 1."""
    if unit == "mL":
        return 0 if abs(value) >= 100 else 1
    return 1 if unit in ("mm", "%") else 2


def mm(value: float | None) -> str:
    return quantity_text(value, "mm")


def ml(value: float | None) -> str:
    return quantity_text(value, "mL")


def percent(value: float | None) -> str:
    return quantity_text(value, "%")


def quantity_text(value: float | None, unit: str) -> str:
    """A plain number with its unit; "not assessable" for None."""
    if value is None:
        return NOT_ASSESSABLE
    return f"{number(value, decimals_of(value, unit))}{NBSP}{unit}".rstrip()


def interval(measured: Mapping[str, Any] | None, unit: str) -> str:
    """`7.1 mm [6.3 to 7.9]`; `not assessable: reason` where nothing was measured."""
    if measured is None:
        return NOT_ASSESSABLE
    if measured.get("value") is None:
        return f"{NOT_ASSESSABLE}: {measured.get('reason', 'no reason recorded')}"
    return f"{quantity_text(measured['value'], unit)} [{span(measured['low'], measured['high'], unit)}]"


def span(low: float | None, high: float | None, unit: str) -> str:
    """`6.3 to 7.9`, without the unit."""
    if low is None or high is None:
        return "interval not assessable"
    digits = min(decimals_of(low, unit), decimals_of(high, unit))
    return f"{number(low, digits)} to {number(high, digits)}"


def sentence(text: str) -> str:
    """Words as a sentence: a capital at the start, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def structure_title(name: str | None) -> str:
    """The title of a structure; a name that is not in the vocabulary is shown as it is."""
    if name is None:
        return "no structure"
    try:
        return Structure(name).title
    except ValueError:
        return name.replace("_", " ")


def plan_title(name: str) -> str:
    """The name of a resection as a reader sees it: "Left hepatectomy and wedge"."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def set_by(margin: Mapping[str, Any]) -> str:
    """What sets a lesion's margin in a resection: the cut, or a vessel that stays."""
    if margin.get("set_by") == "vessel":
        return f"set by the {structure_title(margin.get('structure')).lower()}, which stays"
    if margin.get("set_by") == "parenchyma":
        return "set by the cut through parenchyma"
    return "what sets it is not recorded"


def probability(value: float | None) -> str:
    """A probability in whole percent, never 0 or 100 %: `> 99 %`, `14 %`, `< 1 %`."""
    if value is None:
        return NOT_ASSESSABLE
    if value > 0.99:
        return f">{NBSP}99{NBSP}%"
    if value < 0.01:
        return f"<{NBSP}1{NBSP}%"
    return f"{100 * value:.0f}{NBSP}%"


def point(position_lps_mm: Any) -> str:
    """`(12.0, −30.5, 44.2)` in LPS mm, never broken over two lines."""
    return "(" + f",{NBSP}".join(number(float(v), 1) for v in position_lps_mm) + ")"


def value_text(value: Any, unit: str | None = None) -> str:
    """Any value of a criterion or a quality check, with its unit."""
    shown = _UNITS.get(unit or "", unit or "")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _measured_text(value, shown)
    if isinstance(value, list | tuple):
        return f"{', '.join(value_text(item) for item in value)} {shown}".rstrip()
    if isinstance(value, int | float):
        return f"{_plain(float(value), shown)}{NBSP}{shown}".rstrip()
    return NOT_RECORDED if value is None else f"{value} {shown}".rstrip()


def _measured_text(measured: Mapping[str, Any], unit: str) -> str:
    """A measured quantity; a count needs no interval, and what was not recorded no second reason."""
    value = measured.get("value")
    if value is None:
        return NOT_RECORDED if measured.get("reason") == NOT_RECORDED else interval(measured, unit)
    if measured.get("low") == value == measured.get("high"):
        return value_text(value, unit)
    return interval(measured, unit)


def _plain(value: float, unit: str) -> str:
    """A number as short as its unit allows: 5, 2.5, 7.2."""
    text = number(value, decimals_of(value, unit))
    return text.rstrip("0").rstrip(".") if "." in text else text

"""Evidence in words: values with their interval, and what the protocol asks for."""

from __future__ import annotations

from collections.abc import Sequence

from liverplan.protocol.reading import Reading, Value
from liverplan.protocol.vocabulary import Kind, Term
from liverplan.quantity import Quantity, Unknown

_UNIT_WORDS = {"count": "", "grade": "", "class": "", "ratio": "", "percent": " %"}
_OPERATOR_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def limit_text(limit: float, unit: str | None) -> str:
    """A limit exactly as the protocol states it."""
    return f"{limit:.12g}{_unit_text(unit)}"


def value_text(term: Term, reading: Reading, limit: float | None = None) -> str:
    """ "Title: value (low to high), note", "Title: not known (reason)", or "Title: not recorded"."""
    value = reading.value
    if isinstance(value, Unknown):
        return f"{term.title}: not known ({value.reason})" if term.is_measure else f"{term.title}: {value.reason}"
    return f"{term.title}: {_known_text(value, term, limit)}" + (f", {reading.note}" if reading.note else "")


def statement_text(
    stated: tuple[Term, Reading], software: Sequence[tuple[Term, Reading]], limit: float | None = None
) -> str:
    """ "Title: stated 2 (by whom and when); the software counted 13 (note)": never a statement alone."""
    term, reading = stated
    said = f"{term.title}: stated {_known_text(reading.value, term, limit)}{_bracketed(reading.note)}"
    if len(software) == 1:
        return f"{said}; the software {_software_text(*software[0], limit)}"
    return f"{said}; the software: {'; '.join(value_text(*one, limit) for one in software)}"


def _software_text(term: Term, reading: Reading, limit: float | None) -> str:
    if isinstance(reading.value, Unknown):
        return f"has no value ({reading.value.reason})"
    verb = "found:" if term.kind is not Kind.NUMBER else "counted" if term.unit == "count" else "measured"
    return f"{verb} {_known_text(reading.value, term, limit)}{_bracketed(reading.note)}"


def _bracketed(note: str) -> str:
    return f" ({note})" if note else ""


def _known_text(value: Value, term: Term, limit: float | None) -> str:
    if isinstance(value, Unknown):
        raise TypeError(f"{term.name} is not known")
    return _quantity_text(value, term.unit, limit) if isinstance(value, Quantity) else _fact_text(value)


def requirement(limit: float | tuple[bool | str, ...], op: str = "", unit: str | None = None) -> str:
    """What a limit asks for: "at least 7 mm", "no", "none or resected r0"."""
    if isinstance(limit, tuple):
        return " or ".join(_fact_text(value) for value in limit)
    return f"{_OPERATOR_WORDS[op]} {limit_text(limit, unit)}"


def _quantity_text(quantity: Quantity, unit: str | None, limit: float | None) -> str:
    value, low, high = (_decimal(number, limit) for number in (quantity.value, quantity.low, quantity.high))
    interval = "" if quantity.low == quantity.high else f" ({low} to {high})"
    return value + _unit_text(unit) + interval


def _decimal(value: float, limit: float | None) -> str:
    """One decimal, or as many as it takes not to round the value onto or across the limit."""
    for decimals in range(1, 15):
        if limit is None or _side(round(value, decimals), limit) == _side(value, limit):
            break
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".")


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def _unit_text(unit: str | None) -> str:
    return _UNIT_WORDS.get(unit or "count", f" {unit}")


def _fact_text(value: bool | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.replace("_", " ")

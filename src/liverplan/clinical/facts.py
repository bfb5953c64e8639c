"""A clinical record as the readings that a protocol decides on."""

from __future__ import annotations

from datetime import date

from liverplan.clinical.child_pugh import child_pugh
from liverplan.clinical.entries import Entries, Entry, Lab
from liverplan.clinical.remarks import BEFORE, CURRENT, counts_differ, disbelieved
from liverplan.protocol.reading import Reading, Value
from liverplan.protocol.vocabulary import FIELDS
from liverplan.quantity import Quantity, Unknown

SCORE = "child_pugh_score"


def facts(record: Entries) -> dict[str, Reading]:
    """Readings by the names of `vocabulary.FIELDS`; notes say who stated a value and when.

    A blank field and one that was stated as unknown are absent. Contradicted values are Unknown or carry both bounds.
    """
    doubted = disbelieved(record)
    known = {entry.name: _reading(entry, doubted) for entry in record.entries if not isinstance(entry.value, Unknown)}
    return known | _before_chemotherapy(record) | _score(record)


def _reading(entry: Entry, doubted: dict[str, str]) -> Reading:
    if entry.name in doubted:
        return Reading(Unknown(doubted[entry.name]), str(entry.provenance))
    return Reading(_value(entry), str(entry.provenance))


def _value(entry: Entry) -> Value:
    value = entry.value
    if isinstance(value, (bool, str, Unknown)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if FIELDS[entry.name].unit is None and entry.unit is not None:
        return str(Lab(value, entry.unit))
    return Quantity.exactly(float(value))


def _before_chemotherapy(record: Entries) -> dict[str, Reading]:
    """Without chemotherapy the count before it is that of now; never where chemotherapy was given or is unknown."""
    now, before = record.known(CURRENT), record.known(BEFORE)
    if record.flag("prior_chemotherapy") is not False or now is None:
        return {}
    current = record.number(CURRENT) or 0.0
    if before is None:
        why = f"as now ({now.with_provenance(f'{current:g}')}), because no chemotherapy was given"
        chemotherapy = record.known("prior_chemotherapy")
        stated = str(chemotherapy.provenance) if chemotherapy else ""
        return {BEFORE: Reading(Quantity.exactly(current), f"{why}{f' ({stated})' if stated else ''}")}
    if counts_differ(record):
        earlier = record.number(BEFORE) or 0.0
        low, high = sorted((current, earlier))
        why = f"stated {before.with_provenance(f'{earlier:g}')}, but {current:g} now and no chemotherapy was given"
        return {BEFORE: Reading(Quantity(high, low, high), why)}
    return {}


def _score(record: Entries) -> dict[str, Reading]:
    """The Child-Pugh score with bounds; absent where none of its items is recorded."""
    result = child_pugh(record)
    if len(result.missing) == len(result.items):
        return {}
    return {SCORE: Reading(result.score, result.note)}

"""The trial's criteria as a reader needs them: the verdict in a sentence, what fails, what to obtain, every part.

Nothing is decided here; outcomes, evidence and missing names come from report.json's `eligibility`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liverplan.protocol.vocabulary import TERMS
from liverplan.report import wording

MEASURED = "Measure on the scan"
_ASK: Mapping[str, tuple[str, ...]] = {
    "Ask the surgeon": (
        *("r0_confirmed_by_surgeon", "surgical_contraindication", "staged_hepatectomy"),
        *("primary_status", "primary_interval_weeks", "planned_surgery_date"),
    ),
    "Ask the radiologist": (
        *("liver_metastases_current", "liver_metastases_before_chemotherapy", "extrahepatic_disease"),
        *("portal_vein_thrombus", "hepatic_vein_invasion"),
    ),
    "Ask the oncologist": (
        *("diagnosis_basis", "prior_chemotherapy", "other_malignancy", "other_malignancy_cured"),
        *("other_malignancy_years_since", "expected_survival_months"),
    ),
    "Look up in the laboratory's results": (*("bilirubin", "albumin", "inr", "pt_prolongation_s", "child_pugh_score"),),
    "Look up in the patient's record": (
        *("case_id", "age_years", "sex", "height_cm", "weight_kg", "ecog", "asa", "ascites", "encephalopathy_grade"),
        *("serious_comorbidity", "immunodeficiency", "autoimmune_disease", "substance_abuse_or_mental_disorder"),
        *("scan_date",),
    ),
    "Ask the patient, in the consent talk": ("consent_signed", "good_compliance", "unable_to_understand"),
}
"""Who usually knows a field of the clinical record. A suggestion for the reader: no outcome depends on it."""
OTHER = "Also needed"
GROUPS = (MEASURED, *_ASK, OTHER)
_HOW = {
    "margin.planned": "measure a resection plan",
    "flr.planned": "measure a resection plan",
    "margin.vessel_limited": "segment portal and hepatic veins",
    "reconstruction.available": "segment liver, lesions, portal and hepatic veins",
    "vessels.contacts": "segment portal and hepatic veins",
}
"""How to obtain a measure that is not known."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Item:
    """Something to obtain. name: as in `missing`; title: in words; criteria: the ids that wait for it."""

    name: str
    title: str
    criteria: tuple[str, ...]

    @property
    def serves(self) -> str:
        return ", ".join(self.criteria)


@dataclass(frozen=True)
class Group:
    """Where to obtain the items."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Failure:
    """A criterion or a part of one that is not met."""

    id: str
    says: str
    evidence: str


@dataclass(frozen=True)
class Line:
    """A row of the table of criteria: a criterion, or a part of a composite one.

    found, asked, evidence: the value, the limit and the reason in words, "" where the parts below say it.
    missing, fields: what to obtain, as titles and as the names that the clinical record uses.
    outranked: what software had measured where a recorded statement decided.
    """

    id: str
    text: str
    source: str
    outcome: str
    found: str
    asked: str
    evidence: str
    missing: tuple[str, ...]
    fields: tuple[str, ...]
    outranked: str
    part: bool
    composite: bool


def verdict_sentence(eligibility: Mapping[str, Any]) -> str:
    """The verdict of the trial's criteria, with what it rests on."""
    criteria = eligibility["criteria"]
    failed = [c["id"] for c in criteria if c["outcome"] == "not_met"]
    open_ones = [c["id"] for c in criteria if c["outcome"] == "undetermined"]
    if eligibility["verdict"] == "does_not_meet":
        verb = "is" if len(failed) == 1 else "are"
        rest = f" {len(open_ones)} of {len(criteria)} cannot be decided yet." if open_ones else ""
        return f"{_listed(failed)} {verb} not met.{rest}"
    if eligibility["verdict"] == "undetermined":
        return f"No criterion fails, and {len(open_ones)} of {len(criteria)} cannot be decided yet."
    return f"All {len(criteria)} criteria are met by what was recorded and measured; the investigator must confirm."


def counts(eligibility: Mapping[str, Any]) -> dict[str, int]:
    """How many criteria have each outcome, in the order of `wording.OUTCOME`."""
    outcomes = [criterion["outcome"] for criterion in eligibility["criteria"]]
    return {outcome: outcomes.count(outcome) for outcome in wording.OUTCOME}


def failures(eligibility: Mapping[str, Any]) -> list[Failure]:
    """Every criterion that is not met; of a composite one, the parts that fail."""
    found = []
    for criterion in eligibility["criteria"]:
        if criterion["outcome"] != "not_met":
            continue
        parts = parts_of(criterion)
        failed = [(id_, part) for id_, part in parts if part["outcome"] == "not_met"]
        if len(parts) < 2 or not failed:
            found.append(Failure(criterion["id"], criterion["text"], criterion["evidence"]))
        else:
            found += [Failure(id_, part["says"], part["evidence"]) for id_, part in failed]
    return found


def to_obtain(eligibility: Mapping[str, Any]) -> list[Group]:
    """What would settle the open criteria, each name once, by where it is found."""
    waiting: dict[str, list[str]] = {}
    for criterion in eligibility["criteria"]:
        for name in criterion["missing"]:
            waiting.setdefault(name, []).append(criterion["id"])
    groups: dict[str, list[Item]] = {group: [] for group in GROUPS}
    for name, ids in waiting.items():
        groups[group_of(name)].append(Item(name, title_of(name), tuple(ids)))
    return [Group(title, tuple(items)) for title, items in groups.items() if items]


def group_of(name: str) -> str:
    """Where a name of `missing` is found; with alternatives ("a or b"), where a person can say it."""
    places = [_place(choice) for choice in name.split(" or ")]
    return next((place for place in places if place not in (MEASURED, OTHER)), places[0])


def title_of(name: str) -> str:
    """A name of `missing` in words: "INR or Prolongation of the prothrombin time"."""
    return " or ".join(_title(choice) for choice in name.split(" or "))


def lines(eligibility: Mapping[str, Any]) -> list[Line]:
    """Every criterion in the protocol's order; a composite one is followed by its parts."""
    rows = []
    for criterion in eligibility["criteria"]:
        parts = parts_of(criterion)
        composite = len(parts) > 1
        rows.append(_line(criterion["id"], criterion["text"], criterion, composite=composite))
        if composite:
            rows += [_line(id_, part["says"], part, part=True) for id_, part in parts]
    return rows


def parts_of(criterion: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The parts of a criterion with their ids, as the documentation calls them: I7a, I7b ..."""
    parts = criterion.get("parts") or []
    letters = [*_LETTERS, *(str(n) for n in range(len(_LETTERS) + 1, len(parts) + 1))]
    return [(f"{criterion['id']}{letter}", part) for letter, part in zip(letters, parts, strict=False)]


def _line(id_: str, text: str, said: Mapping[str, Any], *, composite: bool = False, part: bool = False) -> Line:
    asked = said.get("required") or ("" if said["limit"] is None else wording.value_text(said["limit"], said["unit"]))
    return Line(
        id=id_,
        text=text,
        source=said.get("source", ""),
        outcome=said["outcome"],
        found="" if composite else wording.value_text(said["value"], said["unit"]),
        asked="" if composite else asked,
        evidence="" if composite else said["evidence"],
        missing=() if composite else tuple(title_of(name) for name in said["missing"]),
        fields=() if composite else tuple(said["missing"]),
        outranked="" if composite else _outranked(said.get("outranked") or []),
        part=part,
        composite=composite,
    )


def _outranked(entries: Sequence[Mapping[str, Any]]) -> str:
    """What software had measured where a statement decided, in a sentence."""
    if not entries:
        return ""
    told = "; ".join(f"{_title(e['measure']).lower()}: {wording.value_text(e['value'], _unit(e))}" for e in entries)
    return f"A person's statement decided. The software had measured: {told}."


def _unit(entry: Mapping[str, Any]) -> str | None:
    term = TERMS.get(entry["measure"])
    return None if term is None else term.unit


def _place(name: str) -> str:
    if name in TERMS and TERMS[name].is_measure:
        return MEASURED
    return next((group for group, names in _ASK.items() if name in names), OTHER)


def _title(name: str) -> str:
    if name not in TERMS:
        return name
    how = f" ({_HOW[name]})" if name in _HOW else ""
    return f"{TERMS[name].title}{how}"


def _listed(ids: Iterable[str]) -> str:
    *first, last = [*ids] or ["A criterion"]
    return f"{', '.join(first)} and {last}" if first else last

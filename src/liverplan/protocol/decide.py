"""Criteria against what is known. Kleene's three-valued logic: unknown stays unknown and never becomes met.

A condition is refuted by one of its parts that fails, met when all hold, and undetermined otherwise. More knowledge
can only settle what was undetermined; it never turns a refuted criterion into a met one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from liverplan.protocol.model import (
    AllOf,
    AnyOf,
    Condition,
    Criterion,
    FactCheck,
    NumberCheck,
    Outcome,
    Part,
    Protocol,
    Verdict,
)
from liverplan.protocol.reading import Measures, Reading, Record, Value, is_known, reading_of, readings, value_to_json
from liverplan.protocol.vocabulary import MEASURES, TERMS, Term
from liverplan.protocol.wording import limit_text, requirement, statement_text, value_text
from liverplan.quantity import Quantity, Unknown

Known = Mapping[str, Reading]


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    term: the name whose value is shown. required: the limit in words. evidence: sentences, first what was read.
    missing: what to obtain before it can be decided. read: every name that the outcome rests on. outranked: what
    software had measured where a recorded statement decided instead, by name.
    """

    outcome: Outcome
    term: str
    value: Value
    limit: float | tuple[bool | str, ...]
    unit: str | None
    required: str
    evidence: tuple[str, ...]
    missing: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    outranked: tuple[tuple[str, Value], ...] = ()

    @property
    def measured(self) -> bool:
        """True for what imaging measures, also where a statement outranked it; False for what is only recorded."""
        return TERMS[self.term].is_measure or bool(self.outranked)


@dataclass(frozen=True)
class Mention:
    """A measure that is quoted and that decides nothing here."""

    name: str
    sentence: str


@dataclass(frozen=True)
class PartResult:
    """A part of a criterion and its findings, those of the condition's first check first, then what is mentioned."""

    part: Part
    outcome: Outcome
    findings: tuple[Finding, ...]
    mentions: tuple[Mention, ...] = ()

    @property
    def decisive(self) -> tuple[Finding, ...]:
        """The findings that share the part's outcome."""
        return tuple(finding for finding in self.findings if finding.outcome is self.outcome)

    @property
    def headline(self) -> Finding:
        """The finding whose value and limit stand for the part."""
        return self.decisive[0]

    @property
    def evidence(self) -> str:
        return _evidence([self])


@dataclass(frozen=True)
class CriterionResult:
    """One criterion, decided. For an exclusion criterion MET means: not excluded by it."""

    criterion: Criterion
    parts: tuple[PartResult, ...]
    mentions: tuple[Mention, ...] = ()

    @property
    def outcome(self) -> Outcome:
        return all_of([part.outcome for part in self.parts])

    @property
    def headline(self) -> Finding:
        """The part whose value stands for the criterion: the first that imaging measures, else the first."""
        measured = [part for part in self.parts if part.headline.measured]
        return (measured or list(self.parts))[0].headline

    @property
    def evidence(self) -> str:
        """Sentences of the parts that made the outcome what it is, then what is only mentioned."""
        return _evidence([part for part in self.parts if part.outcome is self.outcome], self.mentions)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names to obtain; empty once the criterion is decided."""
        if self.outcome is not Outcome.UNDETERMINED:
            return ()
        names = [name for part in self.parts for finding in part.decisive for name in finding.missing]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Decision:
    """A protocol's criteria in its order, and what they add up to."""

    protocol: Protocol
    criteria: tuple[CriterionResult, ...]

    @property
    def verdict(self) -> Verdict:
        overall = all_of([result.outcome for result in self.criteria])
        return {
            Outcome.MET: Verdict.MEETS,
            Outcome.NOT_MET: Verdict.DOES_NOT_MEET,
            Outcome.UNDETERMINED: Verdict.UNDETERMINED,
        }[overall]

    def to_json(self) -> dict[str, Any]:
        """The `eligibility` block of report.json."""
        return {
            "protocol": self.protocol.id,
            "version": self.protocol.version,
            "sha256": self.protocol.sha256,
            "verdict": self.verdict.value,
            "criteria": [_criterion_json(result) for result in self.criteria],
        }


def decide(protocol: Protocol, measures: Measures, clinical: Record | None = None) -> Decision:
    """Every criterion of the protocol on what was measured and recorded; what is absent is unknown.

    measures: values in the units of `vocabulary.MEASURES`. clinical: the record's fields by name, each a value or a
    Reading whose note says who stated it and when.
    Raises ValueError for a measure outside the vocabulary, ClinicalError for a field that cannot be used.
    """
    known = readings(measures, clinical or {})
    return Decision(protocol, tuple(_decide_criterion(criterion, known) for criterion in protocol.criteria))


def all_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Kleene conjunction."""
    if Outcome.NOT_MET in outcomes:
        return Outcome.NOT_MET
    return Outcome.UNDETERMINED if Outcome.UNDETERMINED in outcomes else Outcome.MET


def any_of(outcomes: Sequence[Outcome]) -> Outcome:
    """Kleene disjunction."""
    if Outcome.MET in outcomes:
        return Outcome.MET
    return Outcome.UNDETERMINED if Outcome.UNDETERMINED in outcomes else Outcome.NOT_MET


def _decide_criterion(criterion: Criterion, known: Known) -> CriterionResult:
    parts = tuple(
        PartResult(part, *_evaluate(part.condition, known), _mentions(part.mention, known)) for part in criterion.parts
    )
    return CriterionResult(criterion, parts, _mentions(criterion.mention, known))


def _mentions(names: Sequence[str], known: Known) -> tuple[Mention, ...]:
    return tuple(Mention(name, _mention(MEASURES[name], reading_of(known, MEASURES[name]))) for name in names)


def _mention(term: Term, reading: Reading) -> str:
    tail = "" if isinstance(reading.value, Unknown) else "; reported, not decided on"
    return f"{value_text(term, reading)}{tail}."


def _evaluate(condition: Condition, known: Known) -> tuple[Outcome, tuple[Finding, ...]]:
    """The outcome and the findings of the conditions that produced it."""
    if isinstance(condition, (AllOf, AnyOf)):
        return _evaluate_group(condition, known)
    finding = _check(condition, known)
    return finding.outcome, (finding,)


def _evaluate_group(group: AllOf | AnyOf, known: Known) -> tuple[Outcome, tuple[Finding, ...]]:
    results = [_evaluate(condition, known) for condition in group.conditions]
    combine = all_of if isinstance(group, AllOf) else any_of
    outcome = combine([result for result, _ in results])
    # Only branches that share the outcome explain it: a branch that failed asks for nothing any more.
    return outcome, tuple(finding for result, findings in results if result is outcome for finding in findings)


def _check(check: NumberCheck | FactCheck, known: Known) -> Finding:
    """A check; where a statement outranks what was measured, decided by it, with the measures quoted beside it."""
    if not is_known(known, check.outranked_by):
        return _check_read(check, known)
    finding = _check_read(check.on_statement(), known)
    stated = TERMS[check.outranked_by]
    measured = [(term, reading_of(known, term)) for term in check.terms]
    limit = check.limit if isinstance(check, NumberCheck) else None
    said = statement_text((stated, reading_of(known, stated)), measured, limit)
    outranked = tuple((term.name, reading.value) for term, reading in measured)
    read = (*finding.read, *(name for name, _ in outranked))
    return replace(finding, evidence=(f"{said}.", *finding.evidence[1:]), read=read, outranked=outranked)


def _check_read(check: NumberCheck | FactCheck, known: Known) -> Finding:
    finding = _check_number(check, known) if isinstance(check, NumberCheck) else _check_fact(check, known)
    read = tuple(name for term in check.terms for name in (term.name, *reading_of(known, term).basis))
    return replace(finding, read=read)


def _check_fact(check: FactCheck, known: Known) -> Finding:
    (term,) = check.terms
    reading = reading_of(known, term)
    outcome, why, missing = _fact_outcome(check, reading, term, known)
    required = requirement(check.accepted)
    evidence = (f"{value_text(term, reading)}.", _asked(check, required, known), why, check.caveat)
    return Finding(outcome, term.name, reading.value, check.accepted, term.unit, required, evidence, missing)


def _fact_outcome(check: FactCheck, reading: Reading, term: Term, known: Known) -> tuple[Outcome, str, tuple[str, ...]]:
    if isinstance(reading.value, Unknown):
        return Outcome.UNDETERMINED, check.if_unknown, _alternatives(_to_obtain(term, known), check)
    if reading.value in check.open_values:
        return Outcome.UNDETERMINED, check.open_because, _alternatives((term.name,), check)
    return Outcome.MET if reading.value in check.accepted else Outcome.NOT_MET, "", ()


def _check_number(check: NumberCheck, known: Known) -> Finding:
    proves = _quantities(check.at_least, known)
    refutes = _quantities(check.at_most, known)
    low = max((quantity.low for quantity in proves.values()), default=-math.inf)
    high = min((quantity.high for quantity in refutes.values()), default=math.inf)
    outcome = compare(low, check.op, high, check.limit)
    why, missing = "", tuple[str, ...]()
    if outcome is Outcome.UNDETERMINED:
        why, missing = _why_open(check, low, high), _missing_numbers(check, known)
    term = _shown_term(check, outcome, proves, refutes)
    measured = "; ".join(value_text(t, reading_of(known, t), check.limit) for t in check.terms)
    required = requirement(check.limit, check.op, check.unit)
    evidence = (f"{measured}.", _asked(check, required, known), why, check.caveat)
    value = reading_of(known, term).value
    return Finding(outcome, term.name, value, check.limit, check.unit, required, evidence, missing)


def compare(low: float, op: str, high: float, limit: float) -> Outcome:
    """A value that lies in [low, high] against a limit; ends may be infinite.

    Bounds that cross (low > high) and fall on either side of the limit contradict each other: undetermined.
    """
    holds = {">=": low >= limit, ">": low > limit, "<=": high <= limit, "<": high < limit}[op]
    fails = {">=": high < limit, ">": high <= limit, "<=": low > limit, "<": low >= limit}[op]
    if holds == fails:
        return Outcome.UNDETERMINED
    return Outcome.MET if holds else Outcome.NOT_MET


def _quantities(names: Sequence[str], known: Known) -> dict[str, Quantity]:
    values = {name: reading_of(known, TERMS[name]).value for name in names}
    return {name: value for name, value in values.items() if isinstance(value, Quantity)}


def _shown_term(
    check: NumberCheck, outcome: Outcome, proves: Mapping[str, Quantity], refutes: Mapping[str, Quantity]
) -> Term:
    """The term that made the outcome; while open, a plan's own value before a bound, a known one before an unknown."""
    best = max(proves, key=lambda name: proves[name].low, default=None)
    tightest = min(refutes, key=lambda name: refutes[name].high, default=None)
    order = (tightest, best) if outcome is Outcome.NOT_MET else (best, tightest)
    return TERMS[next((name for name in order if name is not None), check.at_most[0])]


def _why_open(check: NumberCheck, low: float, high: float) -> str:
    limit = limit_text(check.limit, check.unit)
    if math.isinf(low) and math.isinf(high):
        return check.if_unknown
    if math.isinf(low):
        return f"The bound does not refute {limit}, and a bound cannot prove it. {check.if_unknown}"
    if math.isinf(high):
        return f"What was shown does not reach {limit}, and nothing rules it out. {check.if_unknown}"
    if low > high:
        return "The bounds contradict each other; have the measurement checked."
    return f"The limit of {limit} lies inside the interval, so these measurements cannot decide."


def _missing_numbers(check: NumberCheck, known: Known) -> tuple[str, ...]:
    """What is not known; where all is known and too vague to decide, the statement or the field to have exactly."""
    absent = tuple(dict.fromkeys(name for term in check.terms for name in _to_obtain(term, known)))
    vague = (check.outranked_by,) if check.outranked_by else tuple(t.name for t in check.terms if not t.is_measure)
    return _alternatives(absent, check) or vague


def _alternatives(names: tuple[str, ...], check: NumberCheck | FactCheck) -> tuple[str, ...]:
    """Each name, or the statement that would do as well."""
    return tuple(f"{name} or {check.outranked_by}" if check.outranked_by else name for name in names)


def _to_obtain(term: Term, known: Known) -> tuple[str, ...]:
    """The term itself while it is unknown; for a derived one, the fields it is computed from that are not recorded."""
    absent = (choices for choices in term.derived_from if not any(name in known for name in choices))
    parts = tuple(" or ".join(choices) for choices in absent)
    unknown = isinstance(reading_of(known, term).value, Unknown)
    return parts or ((term.name,) if unknown else ())


def _asked(check: NumberCheck | FactCheck, required: str, known: Known) -> str:
    """What the protocol asks for; left out while a field of the record is blank, where it would only be noise."""
    blank = all(not t.is_measure and isinstance(reading_of(known, t).value, Unknown) for t in check.terms)
    return "" if blank else f"Required: {required}."


def _evidence(parts: Sequence[PartResult], mentions: Sequence[Mention] = ()) -> str:
    """The parts' sentences with what they mention; nothing that decided is said not to have decided."""
    findings = [finding for part in parts for finding in part.decisive]
    decided_on = {name for finding in findings for name in finding.read}
    quoted = [*(mention for part in parts for mention in part.mentions), *mentions]
    beside = [mention.sentence for mention in quoted if mention.name not in decided_on]
    return _text([*(sentence for finding in findings for sentence in finding.evidence), *beside])


def _text(sentences: Sequence[str]) -> str:
    """Each sentence once, in order."""
    return " ".join(dict.fromkeys(sentence for sentence in sentences if sentence))


def _criterion_json(result: CriterionResult) -> dict[str, Any]:
    criterion = result.criterion
    return {
        "id": criterion.id,
        "kind": criterion.kind,
        "text": criterion.text,
        "source": criterion.source,
        "outcome": result.outcome.value,
        **_finding_json(result.headline),
        "evidence": result.evidence,
        "missing": list(result.missing),
        "parts": [_part_json(part) for part in result.parts],
    }


def _part_json(part: PartResult) -> dict[str, Any]:
    missing = [name for finding in part.decisive for name in finding.missing]
    return {
        "says": part.part.says,
        "outcome": part.outcome.value,
        **_finding_json(part.headline),
        "evidence": part.evidence,
        "missing": list(dict.fromkeys(missing)),
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    """What was read, its value as report.json writes values, the limit and its unit, and what a statement outranked."""
    limit: Any = finding.limit
    if isinstance(limit, tuple):
        limit = limit[0] if len(limit) == 1 else list(limit)
    return {
        "measure": finding.term,
        "value": _plain_json(finding.value),
        "limit": limit,
        "unit": finding.unit,
        "required": finding.required,
        "outranked": [{"measure": name, "value": _plain_json(value)} for name, value in finding.outranked],
    }


def _plain_json(value: Value) -> Any:
    """A flag or a choice as it is, anything else as an object with its interval or its reason."""
    written = value_to_json(value)
    return written["value"] if len(written) == 1 else written

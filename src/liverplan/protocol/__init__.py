"""A trial's criteria as data, and the three-valued decision on them. Another trial is another file.

    protocol = load_protocol("nct06934018")
    decision = decide(protocol, {"lesions.count": Quantity.exactly(2)}, {})
    decision.verdict, decision.to_json()
    decide(protocol, measures, {"liver_metastases_current": Reading(Quantity.exactly(2), "by radiologist, 2026-11-02")})

See docs/protocol.md and docs/decisions/0004-three-valued-outcomes.md.
"""

from liverplan.protocol.decide import CriterionResult, Decision, Finding, PartResult, decide
from liverplan.protocol.load import DEFAULT_PROTOCOL, load_protocol, parse_protocol, protocol_names
from liverplan.protocol.model import Criterion, Limits, Outcome, Part, Protocol, Verdict
from liverplan.protocol.reading import Measures, Reading, Record, measures_from_json, measures_to_json
from liverplan.protocol.vocabulary import FIELDS, MEASURES, TERMS, Term

__all__ = [
    "DEFAULT_PROTOCOL",
    "FIELDS",
    "MEASURES",
    "TERMS",
    "Criterion",
    "CriterionResult",
    "Decision",
    "Finding",
    "Limits",
    "Measures",
    "Outcome",
    "Part",
    "PartResult",
    "Protocol",
    "Reading",
    "Record",
    "Term",
    "Verdict",
    "decide",
    "load_protocol",
    "measures_from_json",
    "measures_to_json",
    "parse_protocol",
    "protocol_names",
]

"""A trial protocol as data: limits, criteria, and the conditions that they are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from liverplan.protocol.vocabulary import TERMS, Term


class Outcome(Enum):
    """Three values, never defaulting. For an exclusion criterion MET means: not excluded by it."""

    MET = "met"
    NOT_MET = "not_met"
    UNDETERMINED = "undetermined"


class Verdict(Enum):
    """What the recorded criteria add up to. Never "eligible": that is the investigator's word."""

    MEETS = "meets_recorded_criteria"
    DOES_NOT_MEET = "does_not_meet"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Limits:
    """The numbers that planning itself asks a protocol for."""

    wide_margin_mm: float
    flr_percent: float
    max_lesions: int


LIMIT_UNITS = {"wide_margin_mm": "mm", "flr_percent": "percent", "max_lesions": "count"}


@dataclass(frozen=True)
class NumberCheck:
    """A number against a limit. The truth lies above the low ends of `at_least` and below the high ends of `at_most`.

    A single exact measure stands in both. op: one of >=, >, <=, <. unit: of the limit and of every term.
    outranked_by: the record's field that decides instead as soon as it is recorded. caveat: a sentence about what was
    measured; a statement that decides comes without it.
    """

    at_least: tuple[str, ...]
    at_most: tuple[str, ...]
    op: str
    limit: float
    unit: str
    if_unknown: str
    caveat: str = ""
    outranked_by: str = ""

    def on_statement(self) -> NumberCheck:
        """The same limit, asked of the statement that outranks the measures."""
        said = (self.outranked_by,)
        return replace(self, at_least=said, at_most=said, outranked_by="", caveat="")

    @property
    def terms(self) -> tuple[Term, ...]:
        """Every term that is read, once, those that can prove first."""
        return tuple(TERMS[name] for name in dict.fromkeys((*self.at_least, *self.at_most)))


@dataclass(frozen=True)
class FactCheck:
    """A flag or a choice that has to be one of `accepted`; one of `open_values` leaves it undetermined.

    outranked_by, caveat: as for a number.
    """

    name: str
    accepted: tuple[bool | str, ...]
    if_unknown: str
    open_values: tuple[bool | str, ...] = ()
    open_because: str = ""
    caveat: str = ""
    outranked_by: str = ""

    def on_statement(self) -> FactCheck:
        """The same values, asked of the statement that outranks the measure."""
        return replace(self, name=self.outranked_by, outranked_by="", caveat="")

    @property
    def terms(self) -> tuple[Term, ...]:
        return (TERMS[self.name],)


@dataclass(frozen=True)
class AllOf:
    """Every condition has to hold."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """One of the conditions has to hold."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = NumberCheck | FactCheck | AllOf | AnyOf


@dataclass(frozen=True)
class Part:
    """One thing that a criterion asks for, in words and as a condition.

    mention: measures that the evidence quotes beside it and that decide nothing here.
    """

    says: str
    condition: Condition
    mention: tuple[str, ...] = ()


@dataclass(frozen=True)
class Criterion:
    """One criterion: met when all its parts are. The parts of an exclusion say what must hold not to be excluded.

    text: the protocol's own wording. source: where it stands. mention: measures that the evidence quotes whatever
    the outcome and that decide nothing.
    """

    id: str
    kind: str
    text: str
    source: str
    parts: tuple[Part, ...]
    mention: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """A protocol as loaded. sha256: of the file's bytes."""

    id: str
    version: str
    title: str
    source: str
    text_date: str
    limits: Limits
    criteria: tuple[Criterion, ...]
    sha256: str

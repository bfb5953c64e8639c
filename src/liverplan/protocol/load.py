"""Protocol files: read, checked against the vocabulary, and refused by name when something does not fit."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

from liverplan.errors import ProtocolError
from liverplan.protocol.model import (
    LIMIT_UNITS,
    AllOf,
    AnyOf,
    Condition,
    Criterion,
    FactCheck,
    Limits,
    NumberCheck,
    Part,
    Protocol,
)
from liverplan.protocol.tables import Table, find_blocks, one_of
from liverplan.protocol.vocabulary import FIELDS, MEASURES, TERMS, Bound, Kind, Term

DEFAULT_PROTOCOL = "nct06934018"
NUMBER_OPERATORS = (">=", ">", "<=", "<")
FACT_OPERATORS = ("==", "in")
_LIMIT_PREFIX = "limits."
_KINDS_OF_BOUND = {Bound.LOWER: "a lower bound", Bound.UPPER: "an upper bound", Bound.EXACT: "exact"}
_KINDS = {"I": "inclusion", "E": "exclusion"}
_ID = re.compile(r"[IE][0-9]+[a-z]?$")


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    folder = resources.files("liverplan") / "protocols"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_protocol(name_or_path: str | Path = DEFAULT_PROTOCOL) -> Protocol:
    """A protocol that comes with the package by its name (case does not matter), or one from a TOML file.

    Raises ProtocolError when there is none, or naming what in the file does not fit, what was wanted, and the line.
    """
    name = str(name_or_path)
    if name.lower() in protocol_names():
        entry = resources.files("liverplan") / "protocols" / f"{name.lower()}.toml"
        return parse_protocol(entry.read_bytes(), entry.name)
    path = Path(name_or_path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProtocolError(
            "the protocol cannot be read",
            got=f"{name!r} ({error.strerror})",
            wanted=f"one of {', '.join(protocol_names())}, or a TOML file",
            do="Give the name of a protocol that comes with liverplan or the path of your own.",
        ) from error
    return parse_protocol(content, path.name)


def parse_protocol(content: bytes, file_name: str) -> Protocol:
    """The protocol in the bytes of a TOML file; `file_name` is used in messages only. Raises ProtocolError."""
    text, data = _toml(content, file_name)
    blocks = find_blocks(text)
    root = Table(data, file_name, blocks.root)
    head = root.table("protocol", blocks.named("protocol"))
    limits = _limits(root.table("limits", blocks.named("limits")))
    tables = root.tables("criterion", "criterion", blocks.criteria)
    criteria = tuple(_criterion(table, limits, block.parts) for table, block in tables)
    root.finish()
    _require_unique_ids([table for table, _ in tables], criteria)
    protocol = Protocol(
        id=head.text("id"),
        version=head.text("version"),
        title=head.text("title"),
        source=head.text("source"),
        text_date=head.value("text_date", date, "a date, as in 2026-05-15").isoformat(),
        limits=limits,
        criteria=criteria,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    head.finish()
    return protocol


def _toml(content: bytes, file_name: str) -> tuple[str, dict[str, Any]]:
    try:
        text = content.decode("utf-8")
        return text, tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProtocolError(
            f"the protocol file {file_name} is not TOML",
            got=str(error),
            wanted="a TOML file in UTF-8",
            do="Correct the file at the place named.",
        ) from error


def _limits(table: Table) -> Limits:
    wide_margin_mm = table.number("wide_margin_mm")
    flr_percent = table.number("flr_percent")
    max_lesions = table.value("max_lesions", int, "a whole number")
    table.require(wide_margin_mm > 0, "wide_margin_mm", "a distance above 0 mm")
    table.require(0 < flr_percent < 100, "flr_percent", "a percentage between 0 and 100")
    table.require(max_lesions >= 1, "max_lesions", "at least 1")
    table.finish()
    return Limits(wide_margin_mm, flr_percent, max_lesions)


def _criterion(table: Table, limits: Limits, part_blocks: Sequence[Any]) -> Criterion:
    identifier = table.text("id")
    table.require(_ID.match(identifier) is not None, "id", "I or E and a number, as in I7 or E10")
    table.named(f"criterion {identifier}")
    kind, stands_for = table.choice("kind", tuple(_KINDS.values())), _KINDS[identifier[0]]
    table.require(kind == stands_for, "kind", f"{stands_for}, which the id {identifier} stands for")
    parts = table.tables("part", "criterion.part", part_blocks)
    criterion = Criterion(
        id=identifier,
        kind=kind,
        text=table.text("text"),
        source=table.text("source"),
        parts=tuple(_part(part, limits, number) for number, (part, _) in enumerate(parts, start=1)),
        mention=_mention(table),
    )
    table.finish()
    return criterion


def _mention(table: Table) -> tuple[str, ...]:
    return tuple(_term(table, "mention", name, MEASURES).name for name in table.names("mention", required=False))


def _require_unique_ids(tables: Sequence[Table], criteria: Sequence[Criterion]) -> None:
    seen: set[str] = set()
    for table, criterion in zip(tables, criteria, strict=True):
        table.require(criterion.id not in seen, "id", "an id that no other criterion has")
        seen.add(criterion.id)


def _part(table: Table, limits: Limits, number: int) -> Part:
    table.named(f"part {number}")
    says, mention = table.text("says"), _mention(table)
    return Part(says, _condition(table, limits), mention)


def _condition(table: Table, limits: Limits) -> Condition:
    """A check, or `all` / `any` over conditions. Exactly one of the keys that say what is read."""
    kind = table.exactly_one_of(("measure", "field", "at_least", "all", "any"))
    if kind in ("all", "any"):
        conditions = tuple(_condition(inner, limits) for inner in table.inline_tables(kind))
        table.finish()
        return AllOf(conditions) if kind == "all" else AnyOf(conditions)
    at_least, at_most = _subjects(table, kind)
    statement = _statement(table, kind, at_least[0])
    check: NumberCheck | FactCheck
    if at_least[0].kind is Kind.NUMBER:
        check = _number_check(table, at_least, at_most, limits)
    else:
        check = _fact_check(table, at_least[0])
    table.finish()
    return replace(check, outranked_by=statement)


def _statement(table: Table, kind: str, subject: Term) -> str:
    """The recorded field that outranks what is measured: of the same kind, in the same unit. Empty without one."""
    if table.peek("outranked_by") is None:
        return ""
    name = table.text("outranked_by")
    if kind == "field":
        table.refuse(
            "outranked_by",
            got=f"{name!r} beside field = {subject.name!r}",
            wanted="outranked_by only beside measure or at_least: what is recorded is a statement already",
        )
    term = _term(table, "outranked_by", name, FIELDS)
    if (term.kind, term.unit, term.choices) != (subject.kind, subject.unit, subject.choices):
        wanted = f"a recorded {_in_words(subject)}, as {subject.name} is"
        table.refuse("outranked_by", got=f"{name!r}, which is a {_in_words(term)}", wanted=wanted)
    return name


def _in_words(term: Term) -> str:
    return f"{term.kind.value} in {term.unit!r}" if term.unit else term.kind.value


def _subjects(table: Table, kind: str) -> tuple[tuple[Term, ...], tuple[Term, ...]]:
    """Terms that bound the truth from below and from above."""
    if kind == "at_least":
        lower = tuple(_bound(table, "at_least", name, Bound.UPPER) for name in table.names("at_least"))
        upper = tuple(_bound(table, "at_most", name, Bound.LOWER) for name in table.names("at_most"))
        return lower, upper
    name = table.text(kind)
    term = _term(table, kind, name, MEASURES if kind == "measure" else FIELDS)
    if term.bound is not Bound.EXACT:
        table.refuse(
            kind,
            got=f"{name!r}, which is {_KINDS_OF_BOUND[term.bound]}",
            wanted="at_least with lower bounds and at_most with upper bounds: a bound alone cannot decide both ways",
        )
    return (term,), (term,)


def _bound(table: Table, key: str, name: str, wrong: Bound) -> Term:
    term = _term(table, key, name, MEASURES)
    if term.bound is wrong or term.kind is not Kind.NUMBER:
        wanted = _KINDS_OF_BOUND[Bound.LOWER if wrong is Bound.UPPER else Bound.UPPER]
        got = _KINDS_OF_BOUND[term.bound] if term.kind is Kind.NUMBER else f"a {term.kind.value}"
        table.refuse(key, got=f"{name!r}, which is {got}", wanted=f"{wanted}, or an exact measure")
    return term


def _term(table: Table, key: str, name: str, vocabulary: dict[str, Term]) -> Term:
    readable = [term for term in vocabulary.values() if term.kind is not Kind.RAW]
    if name not in [term.name for term in readable]:
        table.refuse(key, got=repr(name), wanted=one_of([term.name for term in readable], name))
    return TERMS[name]


def _number_check(table: Table, at_least: tuple[Term, ...], at_most: tuple[Term, ...], limits: Limits) -> NumberCheck:
    bounded = at_least != at_most
    op = table.choice("op", (">=", ">") if bounded else NUMBER_OPERATORS)
    unit = table.text("unit")
    for term in (*at_least, *at_most):
        table.require(term.unit == unit, "unit", f"{term.unit!r}, the unit of {term.name}")
    return NumberCheck(
        at_least=tuple(term.name for term in at_least),
        at_most=tuple(term.name for term in at_most),
        op=op,
        limit=_limit(table, limits, unit),
        unit=unit,
        if_unknown=table.text("if_unknown"),
        caveat=table.text("caveat", required=False),
    )


def _limit(table: Table, limits: Limits, unit: str) -> float:
    """A number, or "limits.NAME" for one of the protocol's own limits."""
    if not isinstance(table.peek("limit"), str):
        return table.number("limit")
    name = table.text("limit").removeprefix(_LIMIT_PREFIX)
    if name not in LIMIT_UNITS:
        known = [_LIMIT_PREFIX + known for known in LIMIT_UNITS]
        table.refuse(
            "limit", got=repr(table.peek("limit")), wanted=f"a number or {one_of(known, _LIMIT_PREFIX + name)}"
        )
    table.require(LIMIT_UNITS[name] == unit, "unit", f"{LIMIT_UNITS[name]!r}, the unit of {_LIMIT_PREFIX}{name}")
    return float(getattr(limits, name))


def _fact_check(table: Table, term: Term) -> FactCheck:
    op = table.choice("op", FACT_OPERATORS)
    accepted = _fact_values(table, "limit", term, several=op == "in")
    has_open = table.peek("open") is not None
    return FactCheck(
        name=term.name,
        accepted=accepted,
        if_unknown=table.text("if_unknown"),
        open_values=_fact_values(table, "open", term, several=True) if has_open else (),
        open_because=table.text("open_because") if has_open else "",
        caveat=table.text("caveat", required=False),
    )


def _fact_values(table: Table, key: str, term: Term, several: bool) -> tuple[bool | str, ...]:
    legal: tuple[bool | str, ...] = (True, False) if term.kind is Kind.FLAG else term.choices
    values = table.values(key) if several else [table.value(key, object, "a value")]
    table.require(
        several or not isinstance(values[0], list), key, 'one value with op = "=="; several go with op = "in"'
    )
    for value in values:
        # type as well: in Python 1 == True
        if not any(value == allowed and type(value) is type(allowed) for allowed in legal):
            names = ", ".join(str(v).lower() if isinstance(v, bool) else repr(v) for v in legal)
            table.refuse(key, got=repr(value), wanted=f"one of {names}, the values of {term.name}")
    return tuple(values)

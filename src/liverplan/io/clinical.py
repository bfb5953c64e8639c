"""The clinical record from a file: YAML or JSON by content, or a FHIR R4 Bundle.

YAML is read event by event, so that nothing is built that a record cannot hold: no Python objects, no aliases, no
nesting beyond {value, unit, ...}. What YAML would silently read as something else (octal or sexagesimal numbers, a key
that is given twice) is refused; a date is a date only in a field for dates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

from liverplan.clinical.parse import Place, parse_record
from liverplan.clinical.record import ClinicalRecord
from liverplan.errors import ClinicalError
from liverplan.io.fhir import is_bundle, read_bundle

MAX_BYTES = 1_000_000
"""A record is a page of text; a file of this size or more is something else."""
MAX_BUNDLE_BYTES = 64_000_000
"""Bundles carry much that is not used."""
_FORMAT = "a YAML or JSON file of fields and values in UTF-8, or a FHIR R4 Bundle"
_DO = "Fill in the template of docs/clinical-record.md; `liverplan schema clinical` prints the format."
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,14})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.[0-9]*([eE][-+][0-9]{1,3})?", re.ASCII)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TAG = "tag:yaml.org,2002:"
_FALSE_WORDS = ("no", "off", "false")


def read_clinical(path: str | Path) -> ClinicalRecord:
    """The clinical record in a file. An empty file is an empty record.

    Raises ClinicalError naming the file and the field (and in YAML its line) when the file cannot be read, is not a
    record, gives a field twice, or holds a value that does not fit.
    """
    path = Path(path)
    place = f"the clinical record {path.name}"
    text = _text(path, place)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        data = _json(text, place, required=path.suffix.lower() == ".json")
        if data is not None:
            return _from_json(data, text, place)
    _require_small(text, place)
    fields, lines = _yaml(text, place)
    return parse_record(fields, Place(place, lines))


def _from_json(data: object, text: str, place: str) -> ClinicalRecord:
    if isinstance(data, Mapping) and is_bundle(data):
        return read_bundle(data, place)
    _require_small(text, place)
    if not isinstance(data, Mapping):
        _refuse(place, f"{_kind(data)} at the top", "an object of fields and values")
    if "resourceType" in data:
        _refuse(place, f"a FHIR {data['resourceType']!r}"[:80], "a FHIR Bundle")
    return parse_record(data, Place(place))


def _text(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BUNDLE_BYTES)
    except OSError as error:
        _refuse(place, f"{str(path)!r} ({error.strerror})", _FORMAT, "Give the path of a readable file.")
    if len(content) >= MAX_BUNDLE_BYTES:
        _refuse(place, f"{MAX_BUNDLE_BYTES // 1_000_000} MB or more", f"less than {MAX_BUNDLE_BYTES // 1_000_000} MB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"bytes that are not UTF-8 ({error.reason} at byte {error.start})"
        _refuse(place, got, "text in UTF-8", "Save the file as UTF-8.")


def _require_small(text: str, place: str) -> None:
    size = len(text.encode("utf-8"))
    if size >= MAX_BYTES:
        _refuse(place, f"{size / 1e6:.1f} MB", f"less than {MAX_BYTES // 1_000_000} MB")


# ---------------------------------------------------------------------------------------------------------------- JSON


def _json(text: str, place: str, required: bool) -> Any:
    """The value in the text; {} where there is none; None where the text is not JSON and need not be."""
    if not text.strip():
        return {}
    try:
        data = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, place))
    except (ValueError, RecursionError) as error:
        if not required:
            return None
        _refuse(place, f"no JSON: {str(error)[:120]}", _FORMAT)
    return {} if data is None else data


def _unique(pairs: list[tuple[str, Any]], place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse_twice(Place(place), key)
        found[key] = value
    return found


# ---------------------------------------------------------------------------------------------------------------- YAML


def _yaml(text: str, place: str) -> tuple[dict[str, object], dict[str, int]]:
    """Fields by name and the line of each."""
    try:
        return _Document(yaml.SafeLoader(text), place).read()
    except yaml.YAMLError as error:
        _refuse_yaml(error, place)


class _Document:
    """One YAML document, read event by event: a mapping of scalars and of mappings of scalars."""

    def __init__(self, loader: Any, place: str) -> None:
        self._loader = loader
        self._place = place
        self._lines: dict[str, int] = {}

    def read(self) -> tuple[dict[str, object], dict[str, int]]:
        self._next()  # stream start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return {}, {}
        top = self._next()
        fields = {} if self._is_null(top) else self._mapping(top, "")
        self._next()  # document end
        if not isinstance(self._next(), yaml.StreamEndEvent):
            _refuse(self._place, "several documents (---)", "one record per file")
        return fields, self._lines

    def _next(self) -> Any:
        return self._loader.get_event()

    def _is_null(self, event: Any) -> bool:
        return isinstance(event, yaml.ScalarEvent) and self._tag(event) == "null"

    def _mapping(self, start: Any, name: str) -> dict[str, object]:
        """A mapping whose start was read. name: the field that holds it, "" at the top."""
        if not isinstance(start, yaml.MappingStartEvent) or start.tag not in (None, "!", f"{_TAG}map"):
            self._refuse_node(start, name, "a field and its value on each line, as in ecog: 1")
        found: dict[str, object] = {}
        for key in self._keys(name):
            if key in found:
                _refuse_twice(self._at, f"{name}.{key}" if name else key)
            event = self._next()
            nested = not name and isinstance(event, yaml.MappingStartEvent)
            found[key] = self._mapping(event, key) if nested else self._scalar(event, f"{name}.{key}" if name else key)
        return found

    def _keys(self, name: str) -> Iterator[str]:
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse_node(event, name, "the name of a field")
            if not name:
                self._lines[event.value] = _line(event)
            yield event.value

    def _scalar(self, event: Any, name: str) -> object:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse_node(event, name, "a single value, or value, unit, date, by, source")
        tag, text = self._tag(event), event.value
        if tag == "str":
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() not in _FALSE_WORDS
        if tag == "timestamp":
            return _day(text)
        if tag == "int" and _INT.fullmatch(text):
            return int(text)
        if tag == "float" and _FLOAT.fullmatch(text):
            return float(text)
        got = f"{text[:60]!r}, which YAML reads as {tag}"
        return self._at.refuse(name, got, "a plain decimal number, or text in quotes")

    def _tag(self, event: Any) -> str:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        return str(tag).removeprefix(_TAG)

    @property
    def _at(self) -> Place:
        return Place(self._place, self._lines)

    def _refuse_node(self, event: Any, name: str, wanted: str) -> NoReturn:
        kinds = {
            yaml.SequenceStartEvent: "a list",
            yaml.MappingStartEvent: "fields within fields",
            yaml.AliasEvent: "an alias (*)",
            yaml.ScalarEvent: "a single value",
        }
        got = kinds.get(type(event), "something else")
        if not name:
            _refuse(f"{self._place}, line {_line(event)}", got, wanted)
        self._at.refuse(name, got, wanted)


def _line(event: Any) -> int:
    """The number of the line on which an event starts, from 1."""
    return int(event.start_mark.line) + 1


def _day(text: str) -> date | str:
    """A date; what is none (30 February, a time of day) stays text and is refused where a date is wanted."""
    try:
        return date.fromisoformat(text) if _ISO.fullmatch(text) else text
    except ValueError:
        return text


# ------------------------------------------------------------------------------------------------------------ refusals


def _kind(data: object) -> str:
    return "a list" if isinstance(data, list) else f"{data!r}"[:60]


def _refuse_twice(place: Place, name: str) -> NoReturn:
    place.refuse(name, "the same name twice", "each name once", "Keep the one that is right.")


def _refuse_yaml(error: yaml.YAMLError, place: str) -> NoReturn:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    at = f", line {mark.line + 1}" if mark else ""
    tab = "\\t" in problem
    do = "Indent with spaces, not with tabs." if tab else _DO
    _refuse(f"{place}{at}", f"no YAML: {problem[:120]}", _FORMAT, do)


def _refuse(place: str, got: str, wanted: str, do: str = _DO) -> NoReturn:
    raise ClinicalError(f"{place} cannot be read", got=got, wanted=wanted, do=do)

"""Tables of a TOML file that are read key by key, so that every refusal names file, line, place, got and wanted."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from liverplan.errors import ProtocolError

T = TypeVar("T")
_SHORT = 2  # an operator looks like every other operator: no hint
_HEADER = re.compile(r"^\s*\[\[?\s*([\w.-]+)\s*\]\]?\s*(#.*)?$")


@dataclass
class Block:
    """The lines of one table: (line number, text), and the blocks of its parts."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    parts: list[Block] = field(default_factory=list)

    def line_of(self, key: str, value: object = None) -> int | None:
        """Number of the first line that sets `key` (to `value`, when a line has both), or of the header."""
        setting = re.compile(rf"(^|[\s{{,]){re.escape(key)}\s*=")
        hits = [(number, text) for number, text in self.lines if setting.search(text)]
        exact = [number for number, text in hits if isinstance(value, str) and f'"{value}"' in text]
        first = exact or [number for number, _ in hits] or [number for number, _ in self.lines]
        return first[0] if first else None


@dataclass
class Blocks:
    """Where each table of a protocol file stands."""

    root: Block = field(default_factory=Block)
    others: dict[str, Block] = field(default_factory=dict)
    criteria: list[Block] = field(default_factory=list)

    def named(self, name: str) -> Block:
        return self.others.get(name, self.root)


def find_blocks(text: str) -> Blocks:
    """The blocks of a protocol file by their headers; tomllib keeps no line numbers."""
    blocks = Blocks()
    current = blocks.root
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            current = _open_block(blocks, header.group(1))
        current.lines.append((number, line))
    return blocks


def _open_block(blocks: Blocks, name: str) -> Block:
    block = Block()
    if name == "criterion":
        blocks.criteria.append(block)
    elif name == "criterion.part" and blocks.criteria:
        blocks.criteria[-1].parts.append(block)
    else:
        blocks.others[name] = block
    return block


class Table:
    """One table. Keys are taken by type; `finish` refuses what nobody asked for."""

    def __init__(self, data: Mapping[str, Any], file_name: str, block: Block, place: str = "") -> None:
        self._data = data
        self._file_name = file_name
        self._block = block
        self._place = place
        self._taken: set[str] = set()

    def named(self, place: str) -> None:
        """Say in messages from now on that this table is `place` (within the place it already has)."""
        self._place = f"{self._place}, {place}" if self._place else place

    def peek(self, key: str) -> Any:
        """The value of a key, or None; the key belongs to this table."""
        self._taken.add(key)
        return self._data.get(key)

    def value(self, key: str, kind: type[T], wanted: str) -> T:
        """A required value of a type; a bool is not a number."""
        self._taken.add(key)
        if key not in self._data:
            self.refuse(key, got="nothing", wanted=wanted)
        value = self._data[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            self.refuse(key, got=repr(value), wanted=wanted)
        return value

    def text(self, key: str, required: bool = True) -> str:
        if not required and self.peek(key) is None:
            return ""
        value = self.value(key, str, "a text")
        self.require(bool(value.strip()), key, "a text that is not empty")
        return value

    def number(self, key: str) -> float:
        value = self.value(key, object, "a number")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
            self.refuse(key, got=repr(value), wanted="a number")
        return float(value)

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.value(key, object, one_of(allowed))
        if value not in allowed:
            self.refuse(key, got=repr(value), wanted=one_of(allowed, str(value)))
        return str(value)

    def values(self, key: str) -> list[Any]:
        values: list[Any] = self.value(key, list, "a list")
        self.require(bool(values), key, "a list that is not empty")
        return values

    def names(self, key: str, required: bool = True) -> tuple[str, ...]:
        """A name or a list of names."""
        if not required and self.peek(key) is None:
            return ()
        value = self._data.get(key)
        names = [self.text(key)] if isinstance(value, str) else self.values(key)
        self.require(all(isinstance(name, str) for name in names), key, "a name or a list of names")
        return tuple(names)

    def exactly_one_of(self, keys: Sequence[str]) -> str:
        present = [key for key in keys if key in self._data]
        if len(present) != 1:
            where, got = (present[-1], " and ".join(present)) if present else ("", "none of them")
            self.refuse(" / ".join(keys), got=got, wanted="exactly one of them", at=where)
        return present[0]

    def table(self, key: str, block: Block) -> Table:
        data: Mapping[str, Any] = self.value(key, dict, f"a table [{key}]")
        return Table(data, self._file_name, block, f"[{key}]")

    def tables(self, key: str, header: str, blocks: Sequence[Block]) -> list[tuple[Table, Block]]:
        """A list of tables, each with its lines where the file sets it apart with a [[header]]."""
        found = self._tables(key, f"one or more tables [[{header}]]")
        places = list(blocks) if len(blocks) == len(found) else [self._block] * len(found)
        return [(Table(d, self._file_name, b, self._place), b) for d, b in zip(found, places, strict=True)]

    def inline_tables(self, key: str) -> list[Table]:
        found = self._tables(key, "a list of conditions { ... }")
        return [Table(data, self._file_name, self._block, self._place) for data in found]

    def _tables(self, key: str, wanted: str) -> list[dict[str, Any]]:
        found: list[Any] = self.value(key, list, wanted)
        if not found or not all(isinstance(entry, dict) for entry in found):
            self.refuse(key, got=repr(found), wanted=wanted)
        return found

    def finish(self) -> None:
        """Refuse keys that nobody took: a typo in a key must not drop what it meant."""
        for key in self._data:
            if key not in self._taken:
                self.refuse(key, got="an unknown key", wanted=one_of(sorted(self._taken), key))

    def require(self, holds: bool, key: str, wanted: str) -> None:
        if not holds:
            self.refuse(key, got=repr(self._data.get(key)), wanted=wanted)

    def refuse(self, key: str, got: str, wanted: str, at: str = "") -> NoReturn:
        """Raise for `key`; the line is that of the key `at`, where this one stands on no line of its own."""
        line = self._block.line_of(at or key, self._data.get(at or key)) or 1
        place = ", ".join(filter(None, [f"line {line}", self._place, key]))
        raise ProtocolError(
            f"the protocol file {self._file_name} does not load: {place}",
            got=got,
            wanted=wanted,
            do="Correct the file; `liverplan schema protocol` prints its format.",
        )


def one_of(names: Sequence[str], near: str = "") -> str:
    """ "one of a, b", with the nearest name first when there is one."""
    close = difflib.get_close_matches(near, names, n=1) if len(near) > _SHORT else []
    hint = f"{close[0]} (did you mean this?), or " if close else ""
    return f"{hint}one of {', '.join(names)}"

"""How files break: bytes that a transfer, a disk or a stranger has changed, as hypothesis strategies."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

SCRIPT = "<script>alert(1)</script>"
"""Markup in a text of the user's: it has to come out escaped."""
WORDS = (
    "", "0", "-1", "1", "2", "3", "255", "-0.0", "1e999", "-1e308", "1e-320", "nan", "inf", "1,5",
    "99999999999999999999",
    "4294967296", "null", "true", "no", "[]", "{}", "\x00", "é", "\ud7ff", "../../etc/passwd", "%s%n",
    SCRIPT, "x" * 300,
    '"', "'", "\n", "=", ":", "#", "&a *a", "!!python/object:os.system", "0x10", "1_000", "2026-02-30",
)  # fmt: skip
"""What is written where a number or a word was expected."""
VALUES = (
    None, True, False, 0, -1, 1, 3, 1.5, -0.0, 1e308, 10**30, "", "x", "nan", "met", SCRIPT, "é\x00", [], {}, [None],
    [[]], [1, 2, 3], {"value": None}, {"value": 1.0, "low": 2.0, "high": 0.0}, {"reason": "why"}, "x" * 5000,
)  # fmt: skip
"""What stands where another JSON value was expected."""
_TOKEN = re.compile(rb"[A-Za-z_]+|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[^\sA-Za-z0-9]")


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, header: int = 0) -> bytes:
    """`whole` with one to five changes of its bytes; `header`: where most of the changes go."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        if not data:
            break
        reach = min(header, len(data)) if header and draw(st.integers(0, 3)) else len(data)
        at = draw(st.integers(0, reach - 1))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(("set", "flip", "cut", "drop", "repeat", "insert", "number"))):
            case "set":
                data[at] = draw(st.sampled_from((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)))
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + length]
            case "repeat":
                data[at:at] = data[at : at + length]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
            case "number":
                number = draw(st.sampled_from((0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
                data[at : at + 4] = number.to_bytes(4, draw(st.sampled_from(("little", "big"))))
    return bytes(data)


@st.composite
def reworded(draw: st.DrawFn, whole: bytes, header: int | None = None) -> bytes:
    """A text (or the first `header` bytes) with one to four of its words or numbers replaced, or bytes changed."""
    if draw(st.integers(0, 4)) == 0:
        return draw(damaged(whole))
    tokens = list(_TOKEN.finditer(whole[:header]))
    chosen = draw(st.lists(st.integers(0, len(tokens) - 1), min_size=1, max_size=4, unique=True))
    data = whole
    for at in sorted(chosen, reverse=True):
        start, end = tokens[at].span()
        data = data[:start] + draw(st.sampled_from(WORDS)).encode("utf-8", "surrogatepass") + data[end:]
    return data


@st.composite
def reshaped(draw: st.DrawFn, whole: Mapping[str, Any]) -> bytes:
    """A JSON object with one to three of its values replaced, left out, or doubled."""
    data = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = data
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = isinstance(node[key], (dict, list)) and node[key] and draw(st.integers(0, 4))
            if deeper:
                node = node[key]
                continue
            if draw(st.integers(0, 3)) == 0:
                del node[key]
            elif isinstance(node, list) and draw(st.booleans()):
                node.append(copy.deepcopy(node[key]))
            else:
                node[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            break
    return json.dumps(data).encode()

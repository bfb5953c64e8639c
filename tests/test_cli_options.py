"""Options that several verbs share."""

from __future__ import annotations

from liverplan.cli import options
from liverplan.protocol import DEFAULT_PROTOCOL


def test_the_command_lines_default_protocol_is_the_packages() -> None:
    assert options.DEFAULT_PROTOCOL == DEFAULT_PROTOCOL

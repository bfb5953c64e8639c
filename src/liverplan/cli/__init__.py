"""The command line: parse, call, write. Nothing is computed here."""

from liverplan.cli.main import main

__all__ = ["main"]

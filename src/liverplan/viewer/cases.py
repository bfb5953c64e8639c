"""The planned cases of a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liverplan.errors import InputError, UnreadableInput
from liverplan.io.folder import MARKER
from liverplan.report import wording
from liverplan.report.load import FILE, load_report

CASE_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
"""What a new case, or a resection drawn here, may be called."""
_MOST_READ = 500
"""Verdicts are read from so many reports at most: the page opens with the list."""


def find_cases(path: Path) -> tuple[Path, ...]:
    """The folder itself when it is a planned case, else those right below it or below its `cases` (a cohort).

    Raises UnreadableInput where there is none.
    """
    path = Path(path)
    if (path / FILE).is_file():
        return (path,)
    homes = [home for home in (path, path / "cases") if home.is_dir()]
    found = [child for home in homes for child in sorted(home.iterdir()) if _is_case(child)]
    if not found:
        raise UnreadableInput(
            "there is no planned case to show",
            got=f"{path}, without a {FILE} in it or in a folder below it",
            wanted="a folder that `liverplan plan` or `liverplan cohort` wrote",
            do="Plan the case first: liverplan plan IMAGE -o OUT.",
        )
    return tuple(found)


def is_empty_home(path: Path) -> bool:
    """Whether a first case could be put here: a folder without any that is no result of this program itself."""
    path = Path(path)
    if not path.is_dir() or any((path / name).exists() for name in (FILE, MARKER, "cases")):
        return False
    return not any(_is_case(child) for child in path.iterdir())


def home_of(path: Path) -> Path:
    """The folder that new cases are put into: `path`, or the one around it when it is a case itself."""
    path = Path(path).resolve()
    return path.parent if (path / FILE).is_file() else path


def listed(cases: Sequence[Path]) -> list[dict[str, Any]]:
    """The cases as a list to search in: {title, value, verdict, eligibility, words}; value is its number."""
    found = []
    for number, case in enumerate(cases):
        verdict, eligibility = _verdicts(case) if number < _MOST_READ else ("", "")
        words = f"{case.name} {verdict} {eligibility}".lower()
        row = {"title": case.name, "value": number, "verdict": verdict, "eligibility": eligibility, "words": words}
        found.append(row)
    return found


def _verdicts(case: Path) -> tuple[str, str]:
    try:
        report = load_report(case)
        return wording.FEASIBILITY[report["case"]["wide_margin"]], wording.ELIGIBILITY[report["eligibility"]["verdict"]]
    except (InputError, KeyError, TypeError):
        return "cannot be read", ""


def _is_case(child: Path) -> bool:
    return not child.name.startswith(".") and (child / FILE).is_file()

"""The planned cases of a folder."""

from __future__ import annotations

from pathlib import Path

from liverplan.errors import UnreadableInput
from liverplan.report.load import FILE


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


def _is_case(child: Path) -> bool:
    return not child.name.startswith(".") and (child / FILE).is_file()

"""A finished cohort copied to a storage: every case that is not there yet, then tables, page and run.json."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from liverplan.cohort.places import CASE_FILE, Places
from liverplan.cohort.remote import file_system, reaching

AT_A_TIME = 16
"""Cases that are copied side by side: a storage answers slowly, and to many at once."""


def publish(out: Path, url: str) -> tuple[int, int]:
    """Copy the cohort in `out` to an address; numbers of cases copied and of those that were there.

    A case is there when its cohort.json is, with the same content: it is copied last. Raises InputError, ResourceError.
    """
    places = Places(Path(out))
    system, root = file_system(url.rstrip("/"))
    cases = sorted(path.parent for path in places.cases.glob(f"*/{CASE_FILE}"))

    def copied(case: Path) -> bool:
        target = f"{root}/cases/{case.name}"
        if _content(system, f"{target}/{CASE_FILE}") == (case / CASE_FILE).read_bytes():
            return False
        files = [path for path in case.rglob("*") if path.is_file() and path.name != CASE_FILE]
        _copy(system, [*sorted(files), case / CASE_FILE], case, target)
        return True

    with reaching(url), ThreadPoolExecutor(AT_A_TIME) as pool:
        new = sum(pool.map(copied, cases))
        whole = [*places.logs.glob("*.log"), *places.tables.iterdir(), places.page, places.run]
        _copy(system, (path for path in whole if path.is_file()), places.out, root)
    return new, len(cases) - new


def _copy(system: Any, files: Iterable[Path], home: Path, target: str) -> None:
    for path in files:
        place = f"{target}/{path.relative_to(home).as_posix()}"
        system.makedirs(place.rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), place)


def _content(system: Any, path: str) -> bytes | None:
    try:
        return bytes(system.cat_file(path))
    except FileNotFoundError:
        return None

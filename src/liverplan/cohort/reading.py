"""A table or a folder as cases, checked whole: every row that cannot be used is named before the first case runs.

Nothing of an image is read here, only whether it is there. Relative paths start from the table's own folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from liverplan.clinical import ROW_COLUMNS, Place, record_from_row
from liverplan.cohort.cases import ID_WANTED, CohortCase, is_id
from liverplan.cohort.remote import BETWEEN, Location, Remote, file_system, is_address
from liverplan.cohort.sources import Row, read_folder, read_rows
from liverplan.errors import LiverplanError, UnreadableInput
from liverplan.io.images import FILE_SUFFIXES
from liverplan.protocol.tables import one_of

BETWEEN_PATHS = "|"
"""Parts several resections in one cell; a comma or a semicolon may already part the cells."""
OWN_COLUMNS = ("id", "image", "segmentation", "masks", "resection", "modality", "series_uid", "margin_mm", "clinical")
COLUMNS = (*OWN_COLUMNS, *ROW_COLUMNS)
"""Every column that a table may have; the contract of `liverplan schema cohort`."""
MODALITIES = ("CT", "MR")
MARGIN_RANGE_MM = (0.5, 30.0)
"""The range that `liverplan plan --margin` takes."""
_T = TypeVar("_T")
_NO_IMAGE: Location = Path()
_DO = "Correct these rows; nothing was planned. `liverplan schema cohort` prints the columns."


@dataclass(frozen=True)
class Problem:
    """Why a row cannot be used. where: "row 4 (p03)" as the user finds it."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def read_cohort(source: Path) -> tuple[CohortCase, ...]:
    """The cases of a CSV or Parquet table, or of a folder with one sub-folder per case, in their order.

    Raises UnreadableInput when the table cannot be read, has an unknown column, has no rows, or holds rows that cannot
    be used: then it lists every one of them.
    """
    source = Path(source).absolute()
    rows = tuple(read_folder(source) if source.is_dir() else read_rows(source))
    if not rows:
        raise _refused(source, "no cases", "at least one")
    _require_columns(source, rows[0])
    problems: list[Problem] = []
    cases = [case for row in rows if (case := _case(row, problems)) is not None]
    problems += _repeated(rows)
    if problems:
        raise _refused(source, _listed(problems, len(rows)), "rows that can all be used", _DO)
    return tuple(cases)


def _require_columns(source: Path, row: Row) -> None:
    wrong = [name for name in row.cells if name not in COLUMNS]
    if wrong:
        raise _refused(source, f"the column {wrong[0]!r}", one_of(COLUMNS, wrong[0]), "Rename or remove the column.")
    missing = [name for name in ("id", "image") if name not in row.cells]
    if missing:
        raise _refused(source, f"no column {' and no column '.join(missing)}", "at least the columns id and image")
    if "masks" in row.cells and "segmentation" in row.cells:
        raise _refused(source, "both a column masks and a column segmentation", "one of them: they mean the same")


def _case(row: Row, problems: list[Problem]) -> CohortCase | None:
    """The row as a case; None when something is wrong with it, which is then added to `problems`."""
    cells = row.cells
    wrong = [*row.problems]

    def checked(read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return read()
        except _Wrong as error:
            wrong.append(str(error))
        except LiverplanError as error:
            wrong.append(f"{error.what}: got {error.got}; wanted {error.wanted}")
        return otherwise

    name = cells.get("id", "")
    if not is_id(name):
        wrong.append(f"the id {name[:100]!r} cannot name a folder; wanted {ID_WANTED}" if name else "no id")
    image: Location = checked(lambda: _image(row), _NO_IMAGE)
    masks = checked(lambda: _present(row, cells.get("segmentation") or cells.get("masks") or "", "segmentation"), None)
    own: tuple[Location, ...] = checked(lambda: _resections(row), ())
    modality = checked(lambda: _modality(cells.get("modality", "")), None)
    margin_mm = checked(lambda: _margin_mm(cells.get("margin_mm", "")), None)
    clinical = checked(lambda: _clinical(row), None)
    problems += [Problem(row.where, text) for text in wrong if text]
    if wrong:
        return None
    return CohortCase(name, image, masks, own, modality, cells.get("series_uid") or None, margin_mm, clinical)


class _Wrong(Exception):
    """What is wrong with a cell, in words."""


def _image(row: Row) -> Location:
    path = _present(row, row.cells.get("image", ""), "image")
    if path is None:
        raise _Wrong(*([] if row.problems else ["no image"]))
    if (
        isinstance(path, Path)
        and path.is_file()
        and path.name.upper() != "DICOMDIR"
        and not path.name.lower().endswith(FILE_SUFFIXES)
    ):
        raise _Wrong(f"the image {path.name} is no {', '.join(FILE_SUFFIXES)} and no DICOM folder")
    return path


def _present(row: Row, cell: str, role: str) -> Location | None:
    """The path or the address in a cell; None for an empty one. Of an address only whether it can be opened here."""
    if not cell:
        return None
    if is_address(cell):
        _require_opener(cell.partition(BETWEEN)[0])
        return Remote(cell.rstrip("/"))
    path = row.home / Path(cell).expanduser()
    try:
        if not path.exists():
            raise _Wrong(f"the {role} {cell} does not exist")
        if path.is_file() and path.stat().st_size == 0:
            raise _Wrong(f"the {role} {cell} is empty (0 bytes)")
        if path.is_dir() and next(path.iterdir(), None) is None:
            raise _Wrong(f"the {role} {cell} is an empty folder")
    except (OSError, ValueError) as error:
        raise _Wrong(f"the {role} {cell!r} cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    return path


@lru_cache
def _require_opener(scheme: str) -> None:
    file_system(f"{scheme}{BETWEEN}bucket/name")


def _resections(row: Row) -> tuple[Location, ...]:
    cells = (cell.strip() for cell in row.cells.get("resection", "").split(BETWEEN_PATHS))
    found = (_present(row, cell, "resection") for cell in cells)
    return tuple(path for path in found if path is not None)


def _modality(cell: str) -> str | None:
    if cell and cell.upper() not in MODALITIES:
        raise _Wrong(f"the modality {cell!r} is none of {', '.join(MODALITIES)}")
    return cell.upper() or None


def _margin_mm(cell: str) -> float | None:
    if not cell:
        return None
    low, high = MARGIN_RANGE_MM
    try:
        margin_mm = float(cell)
    except ValueError:
        margin_mm = float("nan")
    if not low <= margin_mm <= high:
        raise _Wrong(f"margin_mm is {cell!r}; wanted {low:g} to {high:g}")
    return margin_mm


def _clinical(row: Row) -> Mapping[str, Any] | None:
    """The record of the clinical columns, or of the file that the column `clinical` names."""
    stated = {name: cell for name, cell in row.cells.items() if name in ROW_COLUMNS}
    record = record_from_row(stated, Place("the clinical columns")).to_json()
    path = _present(row, row.cells.get("clinical", ""), "clinical record")
    if path is None:
        return record or None
    if isinstance(path, Remote):
        raise _Wrong(f"the clinical record {path} is at an address; wanted a file here, or clinical columns")
    if record:
        raise _Wrong(f"a clinical record {path.name} and clinical columns beside it: which counts is not known")
    from liverplan.io.clinical import read_clinical

    return read_clinical(path).to_json() or None


def _repeated(rows: Iterable[Row]) -> Iterator[Problem]:
    """Ids that come twice, also in another case: some file systems would give both one folder."""
    first: dict[str, Row] = {}
    for row in rows:
        name = row.cells.get("id", "")
        earlier = first.setdefault(name.casefold(), row)
        if name and earlier is not row:
            yield Problem(row.where, f"the id {name!r} was given before, in {earlier.where}")


def _listed(problems: list[Problem], total: int) -> str:
    count = len({problem.where for problem in problems})
    return f"{count} of {total} rows that cannot be used\n" + "\n".join(f"    {problem}" for problem in problems)


def _refused(source: Path, got: str, wanted: str, do: str = "`liverplan schema cohort` prints the columns.") -> Any:
    return UnreadableInput(f"the cohort {source.name} cannot be used", got=got, wanted=wanted, do=do)

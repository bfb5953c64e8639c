"""Where the rows of a cohort come from: CSV, Parquet, or a folder with one sub-folder per case."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from liverplan.errors import InputError, UnreadableInput
from liverplan.io.images import FILE_SUFFIXES

DELIMITERS = ",;\t"
"""What parts the cells of a CSV file: the one that its first line has most of."""
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
MASK_NAMES = ("masks", "segmentation")
IMAGE_FOLDERS = ("image", "dicom")
CLINICAL_NAMES = ("clinical.yaml", "clinical.yml", "clinical.json")


@dataclass(frozen=True)
class Row:
    """Cells as text by column, blanks stripped. home: what relative paths start from. problems: found while reading."""

    where: str
    cells: Mapping[str, str]
    home: Path
    problems: tuple[str, ...] = ()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV or Parquet file. Raises UnreadableInput, InputError when Parquet cannot be read here."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise _unreadable(path, f"a file ending in {path.suffix or 'nothing'}" if path.exists() else "no such file")
    rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    for where, cells, problems in rows:
        name = cells.get("id", "")[:40]
        yield Row(f"row {where} ({name})" if name else f"row {where}", cells, path.parent, problems)


_Cells = tuple[int, dict[str, str], tuple[str, ...]]
"""The number that a user sees, the cells, and what is wrong with their shape."""


def _csv(path: Path) -> Iterator[_Cells]:
    lines = csv.reader(io.StringIO(_text(path), newline=""), delimiter=_delimiter(path), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise _unreadable(path, f"two columns named {twice!r}" if twice else "columns without a name")
        for cells in lines:
            values = [cell.strip() for cell in cells]
            if any(values):
                shape = "" if len(values) == len(header) else f"{len(values)} cells under {len(header)} columns"
                padded = itertools.islice(itertools.chain(values, itertools.repeat("")), len(header))
                yield lines.line_num, dict(zip(header, padded, strict=True)), (shape,) if shape else ()
    except csv.Error as error:
        raise _unreadable(path, f"line {lines.line_num}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "letters that are no UTF-8") from error


def _delimiter(path: Path) -> str:
    first = _text(path).partition("\n")[0]
    return max(DELIMITERS, key=first.count)


def _parquet(path: Path) -> Iterator[_Cells]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(
            "Parquet cannot be read here",
            got="no pyarrow in this environment",
            wanted="pyarrow, or the table as CSV",
            do="Install it with: pip install 'liverplan[cohort]'",
        ) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise _unreadable(path, str(error).splitlines()[0][:200]) from error
    for number, row in enumerate(rows, start=1):
        yield number, {str(name): _cell(value) for name, value in row.items()}, ()


def _cell(value: object) -> str:
    """A value of a Parquet column as the text of a cell."""
    if value is None or value != value:  # null, or the NaN that stands for it in columns of numbers
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return "|".join(_cell(item) for item in value)
    return str(value).strip()


def read_folder(folder: Path) -> Iterator[Row]:
    """A row per sub-folder, by name; but hidden ones. One without an image is a row with a problem."""
    columns = ("id", "image", "segmentation", "resection", "clinical")
    for home in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        names = sorted(path.name for path in home.iterdir() if not path.name.startswith("."))
        images = [name for name in names if _is_image(name)]
        masks = [name for name in names if name in MASK_NAMES or name.split(".")[0] in MASK_NAMES]
        clinical = [name for name in names if name.lower() in CLINICAL_NAMES]
        problems = [*_one(images, "image"), *_at_most_one(masks, "masks"), *_at_most_one(clinical, "clinical records")]
        own = sorted(path for path in (home / "resections").glob("*") if not path.name.startswith("."))
        cells = (home.name, _only(images), _only(masks), "|".join(str(p) for p in own), _only(clinical))
        yield Row(f"folder {home.name}", dict(zip(columns, cells, strict=True)), home, tuple(problems))


def _is_image(name: str) -> bool:
    lower = name.lower()
    return lower in IMAGE_FOLDERS or (lower.split(".")[0] == "image" and lower.endswith(FILE_SUFFIXES))


def _one(names: list[str], what: str) -> Iterable[str]:
    if not names:
        wanted = f"{what}.nii.gz (or {', '.join(FILE_SUFFIXES[:1] + FILE_SUFFIXES[2:])}) or a folder dicom"
        return [f"no {what} in it; wanted {wanted}"]
    return _at_most_one(names, f"{what}s")


def _at_most_one(names: list[str], what: str) -> Iterable[str]:
    return [f"{len(names)} {what}: {', '.join(names)}"] if len(names) > 1 else []


def _only(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ""


def _unreadable(path: Path, got: str) -> UnreadableInput:
    return UnreadableInput(
        f"the cohort {path.name} cannot be read",
        got=got,
        wanted=f"a table ({', '.join(TABLE_SUFFIXES)}) in UTF-8 with a column id and a column image, or a folder",
        do="`liverplan schema cohort` prints the columns; docs/cohort.md has an example.",
    )

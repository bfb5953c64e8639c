"""A planned case as the viewer holds it: the report, the masks, and the scan where it can be found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liverplan import audit
from liverplan.errors import InputError, UnreadableInput
from liverplan.io.folder import MARKER
from liverplan.io.images import read_file, read_image
from liverplan.io.segmentations import ReadAhead, on_grid, read_segmentation
from liverplan.report.load import load_report
from liverplan.volume import AnyArray, Grid, Segmentation, Volume

MASKS = "segmentation"
RESECTIONS = "resections"


@dataclass(frozen=True)
class OpenCase:
    """A folder of `liverplan plan`. segmentation and volume are canonical (LPS order) and share one grid.

    segmentation holds no masks until they were read. volume: None where the scan was not found; `note` says so then,
    and "" otherwise.
    """

    folder: Path
    report: Mapping[str, Any]
    segmentation: Segmentation
    volume: Volume | None
    note: str
    image: Path | None = None
    """Where the scan was found."""
    stored_grid: Grid | None = None
    """The grid in the files' own storage order."""

    @property
    def grid(self) -> Grid:
        return self.segmentation.grid

    @property
    def name(self) -> str:
        stated = ((self.report.get("clinical") or {}).get("fields") or {}).get("case_id") or {}
        return str(stated.get("value") or self.folder.name)

    def resection(self, name: str) -> Mapping[str, Any] | None:
        """The row of report.json that has this name; None where there is none."""
        return next((row for row in self.report["resections"] if row["name"] == name), None)

    def specimen(self, name: str) -> AnyArray | None:
        """What a resection takes out, as a canonical mask (i, j, k); None where its file is missing or does not fit."""
        row = self.resection(name)
        if row is None:
            return None
        # The name alone: a report cannot point to files elsewhere.
        path = self.folder / RESECTIONS / Path(row["mask"]).name
        try:
            return on_grid(read_file(path).canonical(), self.grid, path.name) if path.is_file() else None
        except InputError:
            return None

    def with_report(self, report: Mapping[str, Any]) -> OpenCase:
        return replace(self, report=report)


def open_case(folder: Path, image: Path | None = None) -> OpenCase:
    """Read a planned case. image: the scan; without it the scan is looked for beside the folder, by name and hash.

    Raises UnreadableInput (no report, no masks, another scan than the one that was planned), GeometryMismatch.
    """
    return with_masks(open_scan(folder, image))


def open_scan(folder: Path, image: Path | None = None) -> OpenCase:
    """As `open_case`, without the masks yet: what the first picture needs. Where there is no scan, the liver's mask
    says the grid."""
    folder = Path(folder).resolve()
    report = load_report(folder)
    if not isinstance(report.get("measures"), dict):
        raise UnreadableInput(
            f"{folder.name} was planned by an older version",
            got="a report.json without measures",
            wanted="one that the criteria can be decided from again",
            do="Plan the case again.",
        )
    volume, note, found = _found(folder, report) if image is None else _given(image, report)
    _require_masks(folder / MASKS)
    grid = volume.grid if volume is not None else _grid_of(folder / MASKS)
    empty = Segmentation(grid, {}, report["segmentation"]["origin"])
    audit.record(folder, audit.OPENED)
    return OpenCase(
        folder, report, empty.canonical(), None if volume is None else volume.canonical(), note, found, grid
    )


def with_masks(case: OpenCase) -> OpenCase:
    """The case with its masks. Raises as `open_case`."""
    from liverplan.record import stated_confidence

    assert case.stored_grid is not None
    masks = case.folder / MASKS
    with ThreadPoolExecutor(max_workers=2) as pool:
        segmentation = read_segmentation(masks, case.stored_grid, ReadAhead(masks, pool))
    stated = replace(segmentation, origin=case.segmentation.origin, confidence=stated_confidence(case.report))
    return replace(case, segmentation=stated.canonical())


def _require_masks(masks: Path) -> None:
    if not masks.is_dir():
        raise UnreadableInput(
            "the segmentation does not exist",
            got=str(masks),
            wanted="the masks that `liverplan plan` wrote",
            do="Plan the case again.",
        )


def _given(image: Path, report: Mapping[str, Any]) -> tuple[Volume | None, str, Path | None]:
    volume = _read(image, report)
    if not _is_planned(volume, report):
        raise UnreadableInput(
            "this is not the scan that was planned",
            got=f"{image}, sha256 {str(volume.facts.get('sha256'))[:12]}...",
            wanted=f"the scan with sha256 {str(report['input']['sha256'])[:12]}...",
            do="Give the scan of this case, or leave --image away to see the masks alone.",
        )
    return volume, "", image


def _found(folder: Path, report: Mapping[str, Any]) -> tuple[Volume | None, str, Path | None]:
    """The scan by the name that run.json holds, beside the folder or where the program was started."""
    name = _image_name(folder)
    missing = "The scan was not found beside the plan: outlines are shown without it. Give it with --image."
    if name is None:
        return None, missing, None
    for home in (folder, folder.parent, folder.parent.parent, Path.cwd(), *_siblings(folder)):
        if (home / name).exists():
            try:
                volume = _read(home / name, report)
            except InputError:
                continue
            if _is_planned(volume, report):
                return volume, "", home / name
    return None, missing, None


def _siblings(folder: Path) -> list[Path]:
    """Folders beside the case: `demo/patient` beside `demo/out`."""
    return [home for home in sorted(folder.parent.iterdir()) if home.is_dir() and home != folder]


def _image_name(folder: Path) -> str | None:
    try:
        name = json.loads((folder / MARKER).read_text(encoding="utf-8"))["settings"]["image"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and name and Path(name).name == name else None


def _read(image: Path, report: Mapping[str, Any]) -> Volume:
    given = report["input"]
    if image.is_dir():
        return read_image(image, given.get("series_uid"))
    return read_image(image, modality=given["modality"] if given["modality"] in ("CT", "MR") else None)


def _is_planned(volume: Volume, report: Mapping[str, Any]) -> bool:
    return bool(volume.facts.get("sha256") == report["input"]["sha256"])


def _grid_of(masks: Path) -> Grid:
    return read_file(masks / "liver.nii.gz").grid

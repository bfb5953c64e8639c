"""`read_segmentation`: masks from a folder, a label map, a 3D Slicer or a DICOM segmentation, on the image's own grid.

What counts as liver is settled on the way in (docs/decisions/0003-what-counts-as-liver.md): the whole organ with its
lesions and the vessels inside it. Nothing is guessed from a name that is not known, and nothing is resampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeAlias

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import LiverplanError, SegmentationRefused, UnreadableInput
from liverplan.io.completion import completed
from liverplan.io.dicom_seg_in import is_dicom, read_dicom_seg, segmentation_in
from liverplan.io.images import FILE_SUFFIXES, read_file
from liverplan.io.labels import Mask, as_labels, label_values, one_value_or_many
from liverplan.io.slicer import Segment, is_slicer_segmentation, read_slicer
from liverplan.io.venous import split_venous_system
from liverplan.volume import AnyArray, Grid, Reorientation, Segmentation, Volume

Masks: TypeAlias = dict[Structure, Mask]
Reader: TypeAlias = Callable[[Path], Volume]

LABEL_MAP = {
    1: Structure.LIVER,
    2: Structure.LESIONS,
    3: Structure.PORTAL_VEIN,
    4: Structure.HEPATIC_VEINS,
    5: Structure.VENA_CAVA,
}
"""Values of a single label map. 2 to 5 overwrite 1."""
NAMES = {
    **{structure.value: structure for structure in Structure},
    "portal_vein_and_splenic_vein": Structure.PORTAL_VEIN,
    "liver_tumor": Structure.LESIONS,
    "liver_tumors": Structure.LESIONS,
    "liver_tumour": Structure.LESIONS,
    "liver_lesions": Structure.LESIONS,
}
"""File names (without ending) that are known; TotalSegmentator's among them."""
VENOUS_SYSTEM = "venous_system"
SEGMENTS = {f"liver_segment_{n}": n for n in range(1, 9)}
ACCEPTED = (
    "a folder with one mask per structure (liver.nii.gz, lesions.nii.gz, portal_vein.nii.gz, hepatic_veins.nii.gz, "
    "inferior_vena_cava.nii.gz ...), one label map (1 liver, 2 lesions, 3 portal vein, 4 hepatic veins, 5 vena cava), "
    "a 3D Slicer .seg.nrrd or a DICOM SEG"
)


class ReadAhead:
    """The mask files of a folder, read by other threads while something else is read."""

    def __init__(self, path: Path, pool: Executor) -> None:
        self._reading = {file: pool.submit(read_file, file) for file in _known_files(path)}

    def __call__(self, file: Path) -> Volume:
        """What `read_file` says of a file, now or earlier; each is handed out once."""
        reading = self._reading.pop(file, None)
        return read_file(file) if reading is None else reading.result()


def read_segmentation(path: Path, grid: Grid, read: Reader = read_file) -> Segmentation:
    """Read the masks at `path` onto `grid`, the image's grid. `read` reads a file: `read_file`, or a ReadAhead.

    A mask stored in another voxel order with the same voxel positions is turned, never resampled. An empty lesion mask
    stays in `masks` (looked at, none found); an absent one is not there. `notes` holds what the reader must know.
    Raises UnreadableInput, GeometryError, GeometryMismatch (another grid), SegmentationRefused (no liver, a lesion
    outside the liver, probabilities, values that mean nothing, two files for one structure).
    """
    path = Path(path)
    if not path.exists():
        raise UnreadableInput("the segmentation does not exist", got=str(path), wanted=ACCEPTED, do="Check the path.")
    dicom = _dicom_seg(path)
    if dicom is not None:
        found, notes = _read_segments(dicom, read_dicom_seg(dicom, grid))
        return completed(grid, found, notes, touching=False)
    if path.is_dir():
        found, notes = _read_folder(path, grid, read)
        return completed(grid, found, notes, touching=False)
    if is_slicer_segmentation(path):
        found, notes = _read_segments(path, read_slicer(path, grid))
        return completed(grid, found, notes, touching=False)
    return completed(grid, _read_label_map(path, grid), [], touching=True)


def on_grid(volume: Volume, grid: Grid, what: str) -> AnyArray:
    """The array of `volume` in the voxel order of `grid`. Raises GeometryMismatch unless it has the same voxels."""
    if grid.same_as(volume.grid):
        return volume.array
    there, here = Reorientation.to_lps(volume.grid), Reorientation.to_lps(grid)
    if not here.grid(grid).same_as(there.grid(volume.grid)):
        grid.require_same(volume.grid, what)
    return here.undo(there.apply(volume.array))


def _known_files(path: Path) -> list[Path]:
    """The files of a folder that its masks are read from, without a word on what is wrong with it."""
    if not path.is_dir():
        return []
    try:
        files = _mask_files(path)
    except (LiverplanError, OSError):
        return []
    return [file for stem, file in files.items() if stem in NAMES or stem in SEGMENTS or stem == VENOUS_SYSTEM]


def _read_folder(folder: Path, grid: Grid, read: Reader) -> tuple[Masks, list[str]]:
    files = _mask_files(folder)
    masks: Masks = {}
    notes: list[str] = []
    unknown = [
        p.name for stem, p in files.items() if stem not in NAMES and stem not in SEGMENTS and stem != VENOUS_SYSTEM
    ]
    if unknown:
        notes.append(f"Files not recognised and not used: {', '.join(unknown)}.")
    for stem, structure in NAMES.items():
        if stem in files:
            _require_new(structure, masks, files[stem])
            masks[structure] = _read_mask(files[stem], grid, structure, read)
    _add_segments(files, grid, masks, read)
    if VENOUS_SYSTEM in files:
        _add_venous_system(files[VENOUS_SYSTEM], grid, masks, notes, read)
    if Structure.LIVER not in masks:
        raise _no_liver(f"{folder} with {', '.join(p.name for p in files.values()) or 'no masks'}")
    return masks, notes


def _mask_files(folder: Path) -> dict[str, Path]:
    """Image files of the folder by lower-case stem. Raises SegmentationRefused when a stem occurs twice."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in (".nii.gz", *FILE_SUFFIXES) if path.name.lower().endswith(s)), None)
        if path.name.startswith(".") or not path.is_file() or suffix is None:
            continue
        stem = path.name[: -len(suffix)].lower()
        if stem in files:
            raise _two_files(stem, files[stem], path)
        files[stem] = path
    return files


def _require_new(structure: Structure, masks: Mapping[Structure, Mask], path: Path) -> None:
    if structure in masks:
        raise SegmentationRefused(
            f"two files claim to be the {structure.title.lower()}",
            got=f"{path.name} beside another one",
            wanted="one file per structure",
            do="Remove the one that is not meant.",
        )


def _read_mask(path: Path, grid: Grid, structure: Structure, read: Reader) -> Mask:
    labels = as_labels(on_grid(read(path), grid, path.name), path.name, 8 if structure is Structure.COUINAUD else 255)
    return labels if structure is Structure.COUINAUD else one_value_or_many(labels, structure)


def _add_segments(files: Mapping[str, Path], grid: Grid, masks: Masks, read: Reader) -> None:
    found = {stem: n for stem, n in SEGMENTS.items() if stem in files}
    if not found:
        return
    _require_new(Structure.COUINAUD, masks, files[next(iter(found))])
    couinaud = np.zeros(grid.shape, dtype=np.uint8, order="F")
    for stem, n in found.items():
        labels = as_labels(on_grid(read(files[stem]), grid, files[stem].name), files[stem].name)
        couinaud[labels > 0] = n
    masks[Structure.COUINAUD] = couinaud


def _add_venous_system(path: Path, grid: Grid, masks: Masks, notes: list[str], read: Reader) -> None:
    """Vena cava and hepatic veins in one file: split, unless both are given apart as well."""
    if Structure.HEPATIC_VEINS in masks and Structure.VENA_CAVA in masks:
        notes.append(f"{path.name} was not used: vena cava and hepatic veins are given apart.")
        return
    if Structure.LIVER not in masks:
        return
    venous = as_labels(on_grid(read(path), grid, path.name), path.name) > 0
    split = split_venous_system(venous, masks[Structure.LIVER] > 0, grid)
    masks.setdefault(Structure.VENA_CAVA, split.vena_cava.view(np.uint8))
    masks.setdefault(Structure.HEPATIC_VEINS, split.hepatic_veins.view(np.uint8))
    notes.append(f"{path.name}: {split.note}")


def _read_label_map(path: Path, grid: Grid) -> Masks:
    labels = as_labels(on_grid(read_file(path), grid, path.name), path.name)
    present = label_values(labels)
    unknown = [v for v in present if v not in LABEL_MAP]
    if unknown:
        raise SegmentationRefused(
            f"{path.name} has label values that are not known",
            got=", ".join(map(str, unknown)),
            wanted=", ".join(f"{v} {s.title.lower()}" for v, s in LABEL_MAP.items()),
            do="Renumber the labels, or give a folder with one named mask per structure.",
        )
    masks = {LABEL_MAP[v]: (labels == v).view(np.uint8) for v in present}
    # A label map cannot say "looked at, none found" in any other way than by not using the value.
    masks.setdefault(Structure.LESIONS, np.zeros(grid.shape, dtype=np.uint8, order="F"))
    if Structure.LIVER not in masks:
        raise _no_liver(f"{path.name} with values {present or 'none but 0'}")
    return masks


def _dicom_seg(path: Path) -> Path | None:
    """The DICOM segmentation that `path` is or holds; None for anything else. Mask files in a folder go first."""
    if path.is_dir():
        return None if _mask_files(path) else segmentation_in(path)
    return path if path.name.lower().endswith(".dcm") or is_dicom(path) else None


def _read_segments(path: Path, segments: Iterable[Segment]) -> tuple[Masks, list[str]]:
    """Masks from named segments on one grid, each with its number where it has one."""
    masks: Masks = {}
    taken: dict[Structure, set[int]] = {}
    unknown = []
    for segment in segments:
        if segment.structure is None:
            unknown.append(segment.name)
            continue
        numbers = taken.setdefault(segment.structure, set())
        if numbers and segment.structure not in (Structure.LESIONS, Structure.COUINAUD):
            raise SegmentationRefused(
                f"two segments of {path.name} claim to be the {segment.structure.title.lower()}",
                got=repr(segment.name),
                wanted="one segment per structure",
                do="Merge or rename them in 3D Slicer.",
            )
        mask = masks.setdefault(segment.structure, np.zeros(segment.mask.shape, dtype=np.uint8, order="F"))
        number = segment.number if segment.number and segment.number not in numbers else max(numbers, default=0) + 1
        numbers.add(number)
        mask[segment.mask] = number
    if Structure.LIVER not in masks:
        raise _no_liver(f"{path.name} with segments {', '.join(unknown) or 'none'}")
    notes = [f"Segments not recognised and not used: {', '.join(unknown)}."] if unknown else []
    return masks, notes


def _no_liver(got: str) -> SegmentationRefused:
    return SegmentationRefused(
        "the segmentation has no liver",
        got=got,
        wanted=ACCEPTED,
        do="Add the liver; nothing can be measured without it.",
    )


def _two_files(stem: str, first: Path, second: Path) -> SegmentationRefused:
    return SegmentationRefused(
        f"two files for {stem!r}",
        got=f"{first.name} and {second.name}",
        wanted="one file per structure",
        do="Remove the one that is not meant.",
    )

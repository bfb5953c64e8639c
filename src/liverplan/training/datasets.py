"""A folder of scans and masks as cases to train on: four layouts, found by what lies in the folder.

    imagesTr/ labelsTr/ dataset.json         nnU-Net: liver_001_0000.nii.gz, liver_001.nii.gz, names of the labels
    sub-*/[ses-*/]**/*_ct.nii.gz             BIDS-like: *_dseg.nii.gz (+ .tsv) or *_label-NAME_mask.nii.gz, beside the
                                             image or under derivatives/
    NAME/ image and masks                    a folder per patient: `image.nii.gz` with `masks/`, `segmentation/`, mask
                                             files beside it, one label map, or a 3D Slicer segmentation
    NAME/ DICOM series and SEG               the same with DICOM, at any depth

`patients.csv` (columns case, patient) in the folder says which cases are the same person; without it each case of
nnU-Net and each folder is a person of its own, and BIDS says it by `sub-`. Files are only looked for here, not read.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import InputError, LiverplanError, SegmentationRefused, UnreadableInput
from liverplan.io.completion import completed
from liverplan.io.images import FILE_SUFFIXES, read_file
from liverplan.io.labels import as_labels, label_values
from liverplan.io.segmentations import LABEL_MAP, NAMES, SEGMENTS, VENOUS_SYSTEM, on_grid, read_segmentation
from liverplan.io.slicer import structure_of
from liverplan.volume import AnyArray, Grid, Segmentation

SUFFIXES = tuple(sorted((".nii.gz", *FILE_SUFFIXES), key=len, reverse=True))
PATIENTS = "patients.csv"
LAYOUTS = "imagesTr/ and labelsTr/ (nnU-Net), sub-*/ (BIDS), or a folder per patient with an image and its masks"
_IMAGE_STEMS = ("image", "ct", "scan", "volume")
_MASK_FOLDERS = ("masks", "segmentation", "segmentations", "labels")
_LABEL_MAP_STEMS = ("labels", "label", "labelmap", "label_map", "segmentation", "seg", "mask")
_BIDS_IMAGES = ("ct", "cta")
_MORE_NAMES = {
    "cancer": Structure.LESIONS,
    "metastases": Structure.LESIONS,
    "vessel": Structure.LIVER_VESSELS,
    "vessels": Structure.LIVER_VESSELS,
    "hepatic_vessel": Structure.LIVER_VESSELS,
    "hepatic_vessels": Structure.LIVER_VESSELS,
}
"""Names in public sets of liver scans, where "cancer" and "vessels" can only be the liver's."""


@dataclass(frozen=True)
class GivenMasks:
    """Whatever `read_segmentation` reads: a folder of masks, a label map of the contract, .seg.nrrd, DICOM SEG."""

    path: Path

    def files(self) -> list[Path]:
        return [self.path]

    def read(self, grid: Grid) -> Segmentation:
        return read_segmentation(self.path, grid)


@dataclass(frozen=True)
class NamedLabelMap:
    """One file whose values a table names. A value may belong to several structures; others are background."""

    path: Path
    names: tuple[tuple[int, str], ...]

    def files(self) -> list[Path]:
        return [self.path]

    def read(self, grid: Grid) -> Segmentation:
        """Structures named are labelled, found or not. Raises SegmentationRefused on a value that has no name."""
        labels = as_labels(on_grid(read_file(self.path), grid, self.path.name), self.path.name)
        named = {value for value, _ in self.names}
        if foreign := [v for v in label_values(labels) if v not in named]:
            counts = ", ".join(f"{v} ({int((labels == v).sum())} voxels)" for v in foreign)
            raise SegmentationRefused(
                f"{self.path.name} has label values that nothing names",
                got=counts,
                wanted=", ".join(f"{v} {name}" for v, name in self.names),
                do="Correct the mask, or name the value in dataset.json or the .tsv file.",
            )
        masks: dict[Structure, AnyArray] = {}
        for value, name in self.names:
            if structure := structure_named(name):
                mask = masks.setdefault(structure, np.zeros(grid.shape, dtype=np.uint8, order="F"))
                mask[labels == value] = 1
        _require_liver(masks, self.path)
        return completed(grid, masks, [], touching=True)


@dataclass(frozen=True)
class MaskFiles:
    """One file per structure, under any names."""

    by_structure: tuple[tuple[Structure, Path], ...]

    def files(self) -> list[Path]:
        return [path for _, path in self.by_structure]

    def read(self, grid: Grid) -> Segmentation:
        masks = {
            structure: (as_labels(on_grid(read_file(path), grid, path.name), path.name) > 0).view(np.uint8)
            for structure, path in self.by_structure
        }
        _require_liver(masks, self.by_structure[0][1].parent)
        return completed(grid, masks, [], touching=False)


Masks = GivenMasks | NamedLabelMap | MaskFiles


@dataclass(frozen=True)
class Case:
    """One scan with its masks. name: unique in the folder. image: a file, or a folder with a DICOM series."""

    name: str
    patient: str
    image: Path
    masks: Masks


@dataclass(frozen=True)
class Problem:
    """Something that has to be put right before training, as four sentences of an error."""

    where: str
    what: str
    got: str
    wanted: str
    do: str

    @classmethod
    def of(cls, where: str, error: LiverplanError) -> Problem:
        return cls(where, error.what, error.got, error.wanted, error.do)


@dataclass(frozen=True)
class Dataset:
    """The cases of a folder in order of their names, and what is wrong with the folder without opening an image."""

    folder: Path
    layout: str
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]

    @property
    def unknown_names(self) -> tuple[str, ...]:
        """Names of labels that mean nothing here: their voxels are trained as background."""
        maps = [case.masks for case in self.cases if isinstance(case.masks, NamedLabelMap)]
        return tuple(sorted({name for m in maps for _, name in m.names if structure_named(name) is None}))


def find_cases(folder: Path) -> Dataset:
    """Look at a folder. Raises InputError when it is not there or has none of the layouts."""
    if not folder.is_dir():
        raise _no_layout(folder, "no such folder")
    found: list[Case | Problem]
    if (folder / "imagesTr").is_dir() or (folder / "labelsTr").is_dir():
        layout, found = "nnU-Net", list(_nnunet(folder))
    elif any(folder.glob("sub-*/")):
        layout, found = "BIDS", list(_bids(folder))
    else:
        layout, found = "a folder per patient", list(_patient_folders(folder))
    cases = [item for item in found if isinstance(item, Case)]
    problems = [item for item in found if isinstance(item, Problem)]
    if not found:
        raise _no_layout(folder, "nothing that looks like a scan with masks")
    cases, more = _with_patients(folder, cases)
    return Dataset(folder, layout, tuple(sorted(cases, key=lambda c: c.name)), tuple(problems + more))


def structure_named(name: str) -> Structure | None:
    """What a mask's name means: contract, TotalSegmentator and 3D Slicer names, with or without separators."""
    key = name.lower().replace("-", "_").replace(" ", "_")
    if known := NAMES.get(key) or _MORE_NAMES.get(key):
        return known
    if structure := structure_of(key)[0]:
        return structure
    bare = key.replace("_", "")
    return next((s for other, s in NAMES.items() if other.replace("_", "") == bare), None)


def stem_of(path: Path) -> str | None:
    """The name of an image file without its ending; None for other files."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    return None if suffix is None or path.name.startswith(".") else path.name[: -len(suffix)]


# nnU-Net


def _nnunet(folder: Path) -> Iterator[Case | Problem]:
    names = _nnunet_names(folder / "dataset.json")
    if isinstance(names, Problem):
        yield names
        names = tuple((value, s.value) for value, s in LABEL_MAP.items())
    images, labels = _by_case(folder / "imagesTr", channels=True), _by_case(folder / "labelsTr", channels=False)
    for case in sorted(set(images) | set(labels)):
        files, masks = images.get(case, []), labels.get(case, [])
        if len(files) == 1 and len(masks) == 1:
            yield Case(case, case, files[0], NamedLabelMap(masks[0], names))
        elif len(files) > 1 or len(masks) > 1:
            yield _twice(case, [*files, *masks])
        elif not masks:
            yield _missing(case, f"no mask for {files[0].name}", "one file of this name in labelsTr")
        else:
            yield _missing(case, f"no image for {masks[0].name}", f"{case}_0000 with one channel in imagesTr")


def _nnunet_names(path: Path) -> tuple[tuple[int, str], ...] | Problem:
    """Values and names of `labels`. A region of several values names each of them."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        names = [(int(v), str(name)) for name, value in raw["labels"].items() for v in np.atleast_1d(value) if int(v)]
        channels = raw.get("channel_names", raw.get("modality", {"0": "CT"}))
        if len(channels) != 1:
            raise ValueError(f"{len(channels)} channels instead of one")
        if any(name == "ignore" for _, name in names):
            raise ValueError("the label 'ignore', which is not supported")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Problem(
            path.name,
            "dataset.json does not say what the labels mean",
            str(error) or type(error).__name__,
            'an nnU-Net dataset.json with "labels", such as {"background": 0, "liver": 1, "tumor": 2}',
            "Write it as nnU-Net's documentation describes.",
        )
    return tuple(names)


def _by_case(folder: Path, channels: bool) -> dict[str, list[Path]]:
    """Files by case; of images the ending _0000 and its likes is the channel."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        stem = stem_of(path)
        if stem is not None:
            case = stem[:-5] if channels and stem[-5:-4] == "_" and stem[-4:].isdigit() else stem
            files.setdefault(case, []).append(path)
    return files


# BIDS


def _bids(folder: Path) -> Iterator[Case | Problem]:
    everything = sorted(path for path in folder.rglob("sub-*") if stem_of(path) and path.is_file())
    images = [path for path in everything if _suffix(path) in _BIDS_IMAGES]
    for path in images:
        name = "_".join(_entities(path)[:-1])
        subject = next(part for part in path.relative_to(folder).parts if part.startswith("sub-"))
        own = [p for p in everything if p not in images and _of_scan(p, name, images)]
        masks = _bids_masks(own, folder)
        if isinstance(masks, Problem):
            yield replace(masks, where=name)
        else:
            yield Case(name, subject, path, masks)
    for place in sorted(folder.glob("sub-*/")):
        if not any(place in path.parents for path in images):
            yield _missing(place.name, "no image", f"{place.name}_ct.nii.gz in that folder")


def _bids_masks(files: list[Path], folder: Path) -> Masks | Problem:
    maps = [path for path in files if _suffix(path) in ("dseg", "seg")]
    if len(maps) > 1:
        return _twice("", maps)
    if maps:
        tables = (maps[0].with_name(f"{stem_of(maps[0])}.tsv"), folder / "dseg.tsv")
        table = next((t for t in tables if t.is_file()), None)
        return GivenMasks(maps[0]) if table is None else NamedLabelMap(maps[0], _names_of_table(table))
    found: dict[Structure, Path] = {}
    for path in files:
        label = next((e[6:] for e in _entities(path) if e.startswith("label-")), "")
        structure = structure_named(label)
        if _suffix(path) == "mask" and structure is not None:
            if structure in found:
                return _twice("", [found[structure], path])
            found[structure] = path
    if not found:
        return _missing(
            "", "no masks for this image", "*_dseg.nii.gz or *_label-liver_mask.nii.gz, also in derivatives/"
        )
    return MaskFiles(tuple(sorted(found.items(), key=lambda item: item[0].value)))


def _of_scan(path: Path, name: str, images: list[Path]) -> bool:
    """Whether a mask begins with the scan's entities, and not with longer ones of another scan."""
    stem = stem_of(path) or ""
    others = ("_".join(_entities(image)[:-1]) for image in images)
    longer = [other for other in others if len(other) > len(name) and stem.startswith(f"{other}_")]
    return stem.startswith(f"{name}_") and not longer


def _entities(path: Path) -> list[str]:
    return (stem_of(path) or "").split("_")


def _suffix(path: Path) -> str:
    return _entities(path)[-1].lower()


def _names_of_table(path: Path) -> tuple[tuple[int, str], ...]:
    """Columns index and name of a BIDS *_dseg.tsv. Raises UnreadableInput."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["index"]), row["name"]) for row in csv.DictReader(file, delimiter="\t")]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UnreadableInput(
            f"{path.name} does not say what the labels mean",
            got=f"{type(error).__name__} {error}",
            wanted="tab-separated columns index and name",
            do="Write the table as BIDS describes it.",
        ) from error
    return tuple((value, name) for value, name in rows if value)


# A folder per patient


def _patient_folders(folder: Path) -> Iterator[Case | Problem]:
    for path in _subfolders(folder):
        found = _patient(path)
        if found is None:  # a site, or another level of order
            for inner in _subfolders(path):
                yield _patient(inner) or _missing(
                    str(inner.relative_to(folder)), "no image", "image.nii.gz or a DICOM series in that folder"
                )
            if not _subfolders(path) and any(path.iterdir()):
                yield _missing(path.name, "no image", "image.nii.gz or a DICOM series in that folder")
        else:
            yield found


def _patient(folder: Path) -> Case | Problem | None:
    """The case in a folder; None when there is no image in it."""
    files = {path: stem for path in sorted(folder.iterdir()) if path.is_file() and (stem := stem_of(path))}
    masks = [p for p, stem in files.items() if _is_mask(stem.lower())]
    images = [p for p, stem in files.items() if stem.lower() in _IMAGE_STEMS] or [p for p in files if p not in masks]
    if len(images) > 1:
        return _twice(folder.name, images)
    if images:
        given = _masks_beside(folder, masks)
        return given if isinstance(given, Problem) else Case(folder.name, folder.name, images[0], given)
    return _dicom_patient(folder, masks)


def _masks_beside(folder: Path, masks: list[Path]) -> Masks | Problem:
    given = [folder / name for name in _MASK_FOLDERS if (folder / name).is_dir()]
    maps = [p for p in masks if ".seg." in p.name or (stem_of(p) or "").lower() in _LABEL_MAP_STEMS]
    single = [p for p in masks if p not in maps]
    seg = sorted(folder.glob("*.dcm"))
    choices = [*given, *maps, *seg, *([folder] if single else [])]
    if len(choices) > 1:
        return _twice(folder.name, choices)
    if not choices:
        return _missing(folder.name, "an image without masks", "masks/, mask files, a label map or a SEG beside it")
    return GivenMasks(choices[0])


def _dicom_patient(folder: Path, masks: list[Path]) -> Case | Problem | None:
    from liverplan.io.dicom_seg_in import is_dicom, segmentation_in

    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".") and stem_of(p) is None]
    if sum(is_dicom(p) for p in files) < 2:
        return None
    if masks or any((folder / name).is_dir() for name in _MASK_FOLDERS):
        given = _masks_beside(folder, masks)
        return given if isinstance(given, Problem) else Case(folder.name, folder.name, folder, given)
    try:
        seg = segmentation_in(folder)
    except LiverplanError as error:
        return Problem.of(folder.name, error)
    if seg is None:
        return _missing(folder.name, "a DICOM series without a segmentation", "a DICOM SEG or masks/ in that folder")
    return Case(folder.name, folder.name, folder, GivenMasks(seg))


def _is_mask(stem: str) -> bool:
    bare = stem.removesuffix(".seg")
    return stem in NAMES or stem in SEGMENTS or stem == VENOUS_SYSTEM or bare in _LABEL_MAP_STEMS or bare != stem


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


# Who is who


def _with_patients(folder: Path, cases: list[Case]) -> tuple[list[Case], list[Problem]]:
    """Cases with the patients of `patients.csv`, and the names and ids that occur twice."""
    table = folder / PATIENTS
    problems: list[Problem] = []
    if table.is_file():
        known = _read_patients(table)
        problems += [
            _missing(case.name, f"no line in {PATIENTS}", "a patient for every case")
            for case in cases
            if case.name not in known
        ]
        cases = [replace(case, patient=known.get(case.name, case.patient)) for case in cases]
    twice = Counter(case.name.lower() for case in cases)
    for name in sorted(n for n, count in twice.items() if count > 1):
        problems.append(_one_id(name, [str(c.image.relative_to(folder)) for c in cases if c.name.lower() == name]))
    spellings: dict[str, set[str]] = {}
    for case in cases:
        spellings.setdefault(case.patient.lower(), set()).add(case.patient)
    problems += [_one_id(p, sorted(s)) for p, s in sorted(spellings.items()) if len(s) > 1 and p not in twice]
    return cases, problems


def _read_patients(path: Path) -> Mapping[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: Iterable[Mapping[str, Any]] = list(csv.DictReader(file))
        return {str(row["case"]).strip(): str(row["patient"]).strip() for row in rows}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UnreadableInput(
            f"{path.name} does not load",
            got=f"{type(error).__name__} {error}",
            wanted="comma-separated columns case and patient",
            do="Correct the table, or remove it when every case is another person.",
        ) from error


def _require_liver(masks: Mapping[Structure, AnyArray], path: Path) -> None:
    if Structure.LIVER not in masks:
        raise SegmentationRefused(
            "the segmentation has no liver",
            got=f"{path.name} with {', '.join(s.value for s in masks) or 'no known structure'}",
            wanted="a mask or a label named liver",
            do="Add the liver; without it no voxel is known to be outside of it.",
        )


def _one_id(name: str, places: list[str]) -> Problem:
    return Problem(
        name,
        "two patients have one id",
        ", ".join(places),
        "an id of its own for every person: otherwise scans of one stand on both sides of the split",
        f"Rename one; if they are the same person, say so in {PATIENTS}.",
    )


def _twice(where: str, files: list[Path]) -> Problem:
    return Problem(
        where,
        "two files claim to be the same thing",
        " and ".join(p.name for p in files),
        "one image with one channel and one segmentation per case",
        "Remove the one that is not meant.",
    )


def _missing(where: str, got: str, wanted: str) -> Problem:
    return Problem(where, "something is missing", got, wanted, "Add it, or take the case out of the folder.")


def _no_layout(folder: Path, got: str) -> InputError:
    return InputError(
        "the folder of training cases cannot be used",
        got=f"{folder}: {got}",
        wanted=LAYOUTS,
        do="See docs/retrain.md for the layouts.",
    )

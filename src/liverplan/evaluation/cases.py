"""Which prediction belongs to which reference: one case each, or two folders whose entries carry the case's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liverplan.errors import InputError, UnreadableInput
from liverplan.io.images import FILE_SUFFIXES, read_file
from liverplan.volume import Grid

MASK_FOLDERS = ("segmentation", "masks")
"""Where masks lie inside a case's folder, when not in it directly (results of `plan`, `segment` and `phantom`)."""


@dataclass(frozen=True)
class Pair:
    """Paths of one case. image None: masks alone. prediction None: the model's are wanted, or (`missing`) the reference
    has no prediction."""

    id: str
    image: Path | None
    reference: Path
    prediction: Path | None
    missing: bool = False


def wanted(images: Sequence[Path], references: Sequence[Path], predictions: Sequence[Path]) -> list[Pair]:
    """The cases that were asked for.

    With images there is one reference (and one prediction, or none at all) for each, in order; a single folder of cases
    is matched by id. Without images both sides are given, and matched by id. Raises ValueError (another number of
    paths), UnreadableInput, InputError.
    """
    if not images:
        if len(references) != 1 or len(predictions) != 1:
            raise _count("without IMAGE one --reference and one --prediction, each with one case or many")
        return matched(references[0], predictions[0])
    ids = _ids(images)
    theirs = _for_images(ids, references)
    ours = _for_images(ids, predictions) if predictions else []
    return [Pair(ids[n], image, theirs[n], ours[n] if ours else None) for n, image in enumerate(images)]


def _ids(images: Sequence[Path]) -> list[str]:
    """Names of the images; where those repeat (p1/image.nii.gz, p2/image.nii.gz) of their folders; else numbers too."""
    names = [_id(image) for image in images]
    if len(set(names)) < len(names):
        names = [image.resolve().parent.name for image in images]
    return names if len(set(names)) == len(names) else [f"{n}-{name}" for n, name in enumerate(names, start=1)]


def _for_images(ids: Sequence[str], given: Sequence[Path]) -> list[Path]:
    if len(given) == len(ids) and (len(ids) > 1 or masks_of(given[0]) is not None or not given[0].is_dir()):
        return [masks_of(path) or path for path in given]
    if len(given) != 1:
        raise _count("one --reference (and one --prediction, if any) per IMAGE, or one folder with all of them by id")
    found = cases_in(given[0])
    absent = [name for name in ids if name not in found]
    if absent:
        raise InputError(
            "an image has no masks of its name",
            got=f"{given[0]} without {_some(absent)}",
            wanted="a folder or label map named as the image",
            do="Rename the masks, or give them one by one in the images' order.",
        )
    return [found[name] for name in ids]


def matched(references: Path, predictions: Path) -> list[Pair]:
    """Cases by id, in order of id, the references without a prediction included.

    Two files, or two folders of masks, are one case. Raises UnreadableInput, InputError when no id is on both sides.
    """
    ours, theirs = cases_in(predictions), cases_in(references)
    if len(ours) == len(theirs) == 1:
        (case_id, reference), (prediction,) = next(iter(theirs.items())), ours.values()
        return [Pair(case_id, None, reference, prediction)]
    if not set(ours) & set(theirs):
        raise InputError(
            "no prediction has the id of a reference",
            got=f"{_some(ours)} predicted, {_some(theirs)} as reference",
            wanted="folders or files of the same names on both sides",
            do="Rename one side: a case's id is the name of its folder or file without its ending.",
        )
    return [Pair(n, None, path, ours.get(n), missing=n not in ours) for n, path in sorted(theirs.items())]


def cases_in(path: Path) -> dict[str, Path]:
    """Masks by case id. A file or a folder that holds mask files itself is one case; otherwise each entry is one."""
    if not path.exists():
        raise UnreadableInput("there are no masks", got=str(path), wanted="a folder or a file", do="Check the path.")
    own = masks_of(path)
    if own is not None:
        return {_id(path): own}
    found = {_id(entry): masks_of(entry) for entry in sorted(path.iterdir()) if not entry.name.startswith(".")}
    cases = {case_id: masks for case_id, masks in found.items() if masks is not None}
    if not cases:
        raise UnreadableInput(
            "there are no masks",
            got=f"{path} without mask files and without cases",
            wanted="a folder of masks, or a folder with one folder (or label map) for each case",
            do="Check the path.",
        )
    return cases


def masks_of(path: Path) -> Path | None:
    """The masks of one case: the file itself, the folder with mask files, or its `segmentation` or `masks`."""
    if path.is_file():
        return path if path.name.lower().endswith((*FILE_SUFFIXES, ".dcm")) else None
    for folder in (*(path / name for name in MASK_FOLDERS), path):
        if folder.is_dir() and _is_masks(folder):
            return folder
    return None


def grid_of(masks: Path) -> Grid:
    """The grid that masks were drawn on, from one of their files. Raises UnreadableInput where files do not say it."""
    files = [masks] if masks.is_file() else sorted(masks.iterdir())
    for file in files:
        if file.name.lower().endswith(FILE_SUFFIXES) and not file.name.lower().endswith(".seg.nrrd"):
            return read_file(file).grid
    raise UnreadableInput(
        f"the grid of {masks.name} is not known",
        got="a segmentation without a grid of its own (DICOM SEG or 3D Slicer)",
        wanted="NIfTI, NRRD or MetaImage masks, or the image that they were drawn on",
        do="Give the IMAGE as well.",
    )


def _is_masks(folder: Path) -> bool:
    """Whether a folder holds the liver, or a DICOM segmentation, rather than one label map for each case."""
    names = [f.name.lower() for f in folder.iterdir() if f.is_file()]
    livers = {f"liver{suffix}" for suffix in FILE_SUFFIXES}
    return any(n in livers for n in names) or (len(names) == 1 and names[0].endswith(".dcm"))


def _id(path: Path) -> str:
    suffix = next((s for s in (".nii.gz", ".seg.nrrd", *FILE_SUFFIXES, ".dcm") if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or path.name


def _count(what: str) -> ValueError:
    return ValueError(f"give {what}")


def _some(ids: Sequence[str] | dict[str, Path]) -> str:
    names = sorted(ids)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

"""What a foreign model calls its classes, onto our structures: by name, or by a mapping file beside the model.

`liverplan.toml` in the model's folder names classes that are not known here:

    [labels]
    "liver parenchyma" = "liver"
    "class 7" = "ignore"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.errors import ModelError
from liverplan.io.completion import completed
from liverplan.io.segmentations import NAMES, SEGMENTS
from liverplan.segmentation.cascade import LARGEST_LIVER_ML, SMALLEST_LIVER_ML, largest_piece, no_liver
from liverplan.volume import BoolArray, Grid, Segmentation

Target: TypeAlias = tuple[Structure, int]
"""A structure and the value that a voxel of the class gets in its mask: 1, or the number of a Couinaud segment."""

MAPPING_FILE = "liverplan.toml"
IGNORE = "ignore"
_BACKGROUND = ("background", "bg")
_KNOWN: Mapping[str, Target] = {
    **{name: (structure, 1) for name, structure in NAMES.items() if structure is not Structure.COUINAUD},
    **{name: (Structure.COUINAUD, number) for name, number in SEGMENTS.items()},
    "lesion": (Structure.LESIONS, 1),
    "liver_lesion": (Structure.LESIONS, 1),
    "liver_cancer": (Structure.LESIONS, 1),
    "hepatic_tumor": (Structure.LESIONS, 1),
    "hepatic_tumour": (Structure.LESIONS, 1),
    "liver_metastasis": (Structure.LESIONS, 1),
    "liver_metastases": (Structure.LESIONS, 1),
    "hepatic_vein": (Structure.HEPATIC_VEINS, 1),
    "vena_cava": (Structure.VENA_CAVA, 1),
    "postcava": (Structure.VENA_CAVA, 1),
    "hepatic_vessel": (Structure.LIVER_VESSELS, 1),
    "hepatic_vessels": (Structure.LIVER_VESSELS, 1),
    "liver_vessel": (Structure.LIVER_VESSELS, 1),
}
_IN_A_LIVER_MODEL: Mapping[str, Target] = {
    **dict.fromkeys(("tumor", "tumour", "tumors", "tumours", "cancer", "metastases"), (Structure.LESIONS, 1)),
    **dict.fromkeys(("vessel", "vessels"), (Structure.LIVER_VESSELS, 1)),
}
"""Names that mean this only where a model knows nothing beside the liver and what lies in it."""


@dataclass(frozen=True)
class Mapped:
    """Classes by name that are used, and the names of those that are not."""

    targets: Mapping[str, Target]
    unused: tuple[str, ...]

    def note(self) -> list[str]:
        """A sentence on what is not used, when something is not."""
        if not self.unused:
            return []
        shown = ", ".join(self.unused[:12]) + (f" and {len(self.unused) - 12} more" if len(self.unused) > 12 else "")
        return [f"Classes of the model that are not used: {shown}."]


def map_names(names: list[str], folder: Path) -> Mapped:
    """What a model's classes mean. folder: where a MAPPING_FILE may lie, which goes before every name known here.

    Raises ModelError when no class is the liver, or the mapping file names what does not exist.
    """
    told = _read_mapping(folder / MAPPING_FILE, names)
    targets = {name: told[name] if name in told else _KNOWN.get(_plain(name)) for name in names}
    open_names = [n for n, t in targets.items() if t is None and n not in told and _plain(n) not in _BACKGROUND]
    if all(_plain(name) in _IN_A_LIVER_MODEL for name in open_names):
        targets |= {name: _IN_A_LIVER_MODEL[_plain(name)] for name in open_names}
        open_names = []
    known = {name: target for name, target in targets.items() if target is not None}
    if not any(structure is Structure.LIVER for structure, _ in known.values()):
        raise ModelError(
            "no class of the model is the liver",
            got=", ".join(names[:20]) or "no classes",
            wanted="a class called liver",
            do=f"Say what its classes are in {folder / MAPPING_FILE} (docs/segmentation.md).",
        )
    return Mapped(known, tuple(open_names))


def as_segmentation(
    grid: Grid, mapped: Mapped, inside: Callable[[str], BoolArray], model: Mapping[str, str], notes: list[str]
) -> Segmentation:
    """A foreign model's segmentation on `grid`. inside: where a class is, by its name, (i, j, k).

    The largest piece of liver is kept, and lesions that touch it. Raises SegmentationRefused without a plausible liver.
    """
    masks: dict[Structure, npt.NDArray[np.uint8]] = {}
    for name, (structure, value) in mapped.targets.items():
        mask = masks.setdefault(structure, np.zeros(grid.shape, dtype=np.uint8, order="F"))
        mask[inside(name)] = value
    said = [*notes, *_one_liver(masks, grid), *mapped.note()]
    whole = completed(grid, masks, said, touching=True)
    return Segmentation(grid, whole.masks, "model", dict(model), whole.notes)


def _one_liver(masks: dict[Structure, npt.NDArray[np.uint8]], grid: Grid) -> list[str]:
    """Keep one liver and what touches it, in place; notes on what was left out."""
    notes = []
    core = largest_piece(masks[Structure.LIVER] > 0)
    whole = (masks[Structure.LIVER] > 0) | (masks.get(Structure.LESIONS, masks[Structure.LIVER]) > 0)
    pieces, _ = ndimage.label(whole)
    liver = (pieces == pieces[core].max(initial=0)) & whole
    millilitres = float(liver.sum()) * grid.voxel_ml
    if not SMALLEST_LIVER_ML <= millilitres <= LARGEST_LIVER_ML:
        raise no_liver(f"{millilitres:.0f} mL that look like liver")
    away_ml = float((whole & ~liver).sum()) * grid.voxel_ml
    if away_ml > 0:
        notes.append(f"{away_ml:.1f} mL of liver or lesion away from the liver were left out.")
        near = ndimage.binary_dilation(liver, np.ones((3, 3, 3)))
        for structure in (Structure.LIVER, Structure.LESIONS):
            if structure in masks:
                masks[structure][~near] = 0
    return notes


def _read_mapping(path: Path, names: list[str]) -> dict[str, Target | None]:
    """Class name to target, None for those to be ignored."""
    if not path.is_file():
        return {}
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))["labels"]
        pairs = {str(name): str(value) for name, value in told.items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _bad_mapping(path, str(error)) from error
    strange = [name for name in pairs if name not in names]
    if strange:
        raise _bad_mapping(path, f"{strange[0]!r}, which is none of the model's classes ({', '.join(names[:20])})")
    return {name: _target(value, path) for name, value in pairs.items()}


def _target(value: str, path: Path) -> Target | None:
    if value == IGNORE:
        return None
    if value not in _KNOWN:
        raise _bad_mapping(path, f"{value!r} as a structure")
    return _KNOWN[value]


def _bad_mapping(path: Path, got: str) -> ModelError:
    structures = ", ".join(s.value for s in Structure if s is not Structure.COUINAUD)
    return ModelError(
        "the label mapping does not load",
        got=f"{path}: {got}",
        wanted=f'[labels] with "class name" = one of {structures}, liver_segment_1 to 8, {IGNORE}',
        do="Correct the file (docs/segmentation.md has an example).",
    )


def _plain(name: str) -> str:
    """Lower case, words joined by one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

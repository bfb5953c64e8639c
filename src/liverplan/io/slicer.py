"""3D Slicer segmentations (.seg.nrrd): label maps in layers, with the segments' names in the NRRD header.

Format: https://slicer.readthedocs.io (Segmentations, "segmentation files"). Structures may overlap, so they are spread
over as few layers as needed. The full extent of the image is written, so that any NRRD reader shows it in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, SegmentationRefused, UnreadableInput
from liverplan.io.folder import atomic_file
from liverplan.io.itk import read_layers
from liverplan.io.labels import Mask, as_labels, label_values
from liverplan.io.zipped import zipping
from liverplan.volume import AnyArray, BoolArray, Grid, Reorientation, Segmentation

_PART_OF_A_VOXEL = 0.01
_NAMES = {
    "liver": Structure.LIVER,
    "lesion": Structure.LESIONS,
    "tumor": Structure.LESIONS,
    "tumour": Structure.LESIONS,
    "liver_lesion": Structure.LESIONS,
    "liver_tumor": Structure.LESIONS,
    "liver_tumour": Structure.LESIONS,
    "metastasis": Structure.LESIONS,
    "portal_vein": Structure.PORTAL_VEIN,
    "portal_vein_and_splenic_vein": Structure.PORTAL_VEIN,
    "hepatic_vein": Structure.HEPATIC_VEINS,
    "inferior_vena_cava": Structure.VENA_CAVA,
    "vena_cava": Structure.VENA_CAVA,
    "ivc": Structure.VENA_CAVA,
    "liver_vessel": Structure.LIVER_VESSELS,
    "liver_segment": Structure.COUINAUD,
    "couinaud_segment": Structure.COUINAUD,
}


@dataclass(frozen=True)
class Segment:
    """One segment of a file on the image's grid; structure None when its name is not known."""

    name: str
    structure: Structure | None
    number: int | None
    mask: BoolArray


@dataclass(frozen=True)
class _Entry:
    """One segment to be written: where it lies and what it is called."""

    structure: Structure
    title: str
    identifier: str
    value_in_mask: int | None


def is_slicer_segmentation(path: Path) -> bool:
    """True for a NRRD file whose header describes segments, whatever its name."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    return head.startswith(b"NRRD") and b"Segment0_" in head.split(b"\n\n", 1)[0]


def structure_of(name: str) -> tuple[Structure | None, int | None]:
    """The structure that a segment's name means and the number in it: "Lesion 2" is (LESIONS, 2)."""
    key = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    number = re.search(r"_?(\d+)$", key)
    stem = key[: number.start()] if number else key
    structure = (
        _NAMES.get(stem)
        or _NAMES.get(stem.removesuffix("s"))
        or (_NAMES.get("metastasis") if stem == "metastases" else None)
    )
    n = int(number.group(1)) if number else None
    if structure is Structure.COUINAUD and not (n and 1 <= n <= 8):
        return None, None
    if structure not in (Structure.LESIONS, Structure.COUINAUD) and n is not None:
        return None, None
    return structure, n


def read_slicer(path: Path, grid: Grid) -> Iterator[Segment]:
    """The segments of `path`, copied (never resampled) onto `grid`; 3D Slicer stores only the box around them.

    Raises UnreadableInput, GeometryError, GeometryMismatch (voxels that are not those of the image).
    """
    layers = read_layers(path)
    shape = layers.array.shape
    stored = Grid((shape[0], shape[1], shape[2]), layers.affine)
    on_image = [placed(as_labels(layers.array[..., n], path.name), stored, grid, path.name) for n in range(shape[3])]
    for n in _segment_numbers(layers.keys):
        name = layers.keys.get(f"Segment{n}_Name", "")
        structure, number = structure_of(name)
        if structure is None:
            structure, number = structure_of(layers.keys.get(f"Segment{n}_ID", ""))
        layer = _whole_number(layers.keys.get(f"Segment{n}_Layer", "0"), f"layer of segment {n}", path.name)
        value = _whole_number(layers.keys.get(f"Segment{n}_LabelValue", "1"), f"label of segment {n}", path.name)
        if not 0 <= layer < shape[3]:
            raise SegmentationRefused(
                f"segment {name!r} of {path.name} is not in the file",
                got=f"layer {layer} of {shape[3]}",
                wanted="a layer that exists",
                do="Save the segmentation again in 3D Slicer.",
            )
        yield Segment(name, structure, number, np.asarray(on_image[layer] == value))


def _whole_number(text: str, what: str, where: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", text, re.ASCII):
        raise UnreadableInput(
            f"{where} cannot be read",
            got=f"{what}: {text[:40]!r}",
            wanted="a whole number",
            do="Save the segmentation again in 3D Slicer.",
        )
    return int(text)


def placed(labels: Mask, stored: Grid, grid: Grid, what: str) -> Mask:
    """`labels` on `stored`, a box of voxels of `grid` in any voxel order, as labels on `grid`.

    Voxels beyond the image are dropped when they are empty. Raises GeometryMismatch when the voxels are not the same.
    """
    there, here = Reorientation.to_lps(stored), Reorientation.to_lps(grid)
    source, target = there.grid(stored), here.grid(grid)
    offset = target.to_index(source.origin_lps_mm)
    start = np.rint(offset).astype(int)
    last = target.to_index(source.corners_lps_mm()[-1])
    expected = start + np.array(source.shape) - 1
    if np.abs(offset - start).max() > _PART_OF_A_VOXEL or np.abs(last - expected).max() > _PART_OF_A_VOXEL:
        grid.require_same(stored, what)
        raise GeometryMismatch(
            f"{what} is not on the image's grid",
            got="voxels between those of the image",
            wanted="a box of the image's own voxels",
            do="Set the image as the source geometry of the segmentation in 3D Slicer and save it again.",
        )
    inside = [(max(0, s), min(t, s + n)) for s, n, t in zip(start, source.shape, target.shape, strict=True)]
    canonical = there.apply(labels)
    result = np.zeros(target.shape, dtype=np.uint8)
    if all(b > a for a, b in inside):
        to = tuple(slice(a, b) for a, b in inside)
        source_box = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start, strict=True))
        result[to] = canonical[source_box]
    lost = np.count_nonzero(labels) - np.count_nonzero(result)
    if lost:
        raise GeometryMismatch(
            f"{what} reaches beyond the image",
            got=f"{lost} voxels outside",
            wanted="segments inside the image",
            do="Give the image that it was drawn on.",
        )
    return np.asfortranarray(here.undo(result))


def write_slicer(segmentation: Segmentation, path: Path) -> Path:
    """Write `segmentation` to `path` (.seg.nrrd). Raises OutputError, ResourceError."""
    entries = list(_entries(segmentation))
    layer_of = _layers(segmentation, [e.structure for e in entries])
    n_layers = max(layer_of.values(), default=0) + 1
    keys = dict(_common_keys())
    drawn: list[list[tuple[int, _Entry]]] = [[] for _ in range(n_layers)]
    for n, entry in enumerate(entries):
        layer = layer_of[entry.structure]
        drawn[layer].append((len(drawn[layer]) + 1, entry))
        keys.update(_segment_keys(n, entry, len(drawn[layer]), layer, segmentation.grid.shape))
    with atomic_file(path) as file:
        file.write(_header(segmentation.grid, n_layers, keys).encode())
        with zipping(file) as zipped:
            for k in range(segmentation.grid.shape[2]):
                planes = [_plane(segmentation, one, k) for one in drawn]
                zipped.write(np.stack(planes).tobytes(order="F"))
    return path


def _segment_numbers(keys: Mapping[str, str]) -> list[int]:
    found = (
        re.fullmatch(r"Segment([0-9]{1,9})_ID", key) or re.fullmatch(r"Segment([0-9]{1,9})_Name", key) for key in keys
    )
    return sorted({int(m.group(1)) for m in found if m})


def _entries(segmentation: Segmentation) -> Iterator[_Entry]:
    """A segment per structure, per lesion where they have values, and per Couinaud segment."""
    for structure, mask in segmentation.masks.items():
        values = label_values(mask) if structure in (Structure.COUINAUD, Structure.LESIONS) else []
        if structure is Structure.COUINAUD:
            for v in values:
                yield _Entry(structure, f"Liver segment {v}", f"liver_segment_{v}", v)
        elif structure is Structure.LESIONS and len(values) > 1:
            for v in values:
                yield _Entry(structure, f"Lesion {v}", f"lesion_{v}", v)
        else:
            yield _Entry(structure, structure.title, structure.value, None)


def _layers(segmentation: Segmentation, structures: Sequence[Structure]) -> dict[Structure, int]:
    """Each structure in the first layer where it overlaps nothing."""
    taken: list[AnyArray] = []
    layer_of: dict[Structure, int] = {}
    for structure in dict.fromkeys(structures):
        mask = segmentation.masks[structure] > 0
        free = next((n for n, used in enumerate(taken) if not (used & mask).any()), None)
        if free is None:
            taken.append(mask)
            free = len(taken) - 1
        else:
            taken[free] = taken[free] | mask
        layer_of[structure] = free
    return layer_of


def _plane(segmentation: Segmentation, drawn: Sequence[tuple[int, _Entry]], k: int) -> npt.NDArray[np.uint8]:
    plane = np.zeros(segmentation.grid.shape[:2], dtype=np.uint8, order="F")
    for label, entry in drawn:
        mask = segmentation.masks[entry.structure][:, :, k]
        if mask.max() == 0:
            continue
        plane[mask > 0 if entry.value_in_mask is None else mask == entry.value_in_mask] = label
    return plane


def _header(grid: Grid, n_layers: int, keys: Mapping[str, str]) -> str:
    layered = n_layers > 1
    vectors = [_vector(grid.affine[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if layered else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(n) for n in ((n_layers,) if layered else ()) + grid.shape),
        "space directions: " + " ".join((["none"] if layered else []) + vectors),
        "kinds: " + ("list " if layered else "") + "domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(grid.affine[:3, 3])}",
        *(f"{key}:={value}" for key, value in keys.items()),
    ]
    return "\n".join(lines) + "\n\n"


def _vector(values: npt.ArrayLike) -> str:
    return "(" + ",".join(repr(float(v)) for v in np.asarray(values)) + ")"


def _common_keys() -> dict[str, str]:
    return {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }


def _segment_keys(n: int, entry: _Entry, label: int, layer: int, shape: tuple[int, int, int]) -> dict[str, str]:
    red, green, blue = (f"{c / 255:.6g}" for c in entry.structure.info.rgb)
    values = {
        "ID": entry.identifier,
        "Name": entry.title,
        "NameAutoGenerated": "0",
        "Color": f"{red} {green} {blue}",
        "ColorAutoGenerated": "0",
        "Extent": " ".join(f"0 {size - 1}" for size in shape),
        "LabelValue": str(label),
        "Layer": str(layer),
        "Tags": _tags(entry.structure),
    }
    return {f"Segment{n}_{key}": value for key, value in values.items()}


def _tags(structure: Structure) -> str:
    """The terminology entry 3D Slicer shows; the category and type codes are SNOMED CT's (DICOM CID 7150, 7166)."""
    code = structure.info.snomed_ct
    if code is None:
        return "Segmentation.Status:inprogress|"
    category = (
        "SCT^49755003^Morphologically Altered Structure"
        if structure is Structure.LESIONS
        else "SCT^123037004^Anatomical Structure"
    )
    return (
        f"Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type - DICOM master list~{category}"
        f"~SCT^{code}^{structure.title}~^^~Anatomic codes - DICOM master list~^^~^^|"
    )

"""`read_resections`: the surgeon's own resections, each from one file, as specimens on the image's grid.

| file | what is taken out |
|---|---|
| .nii .nii.gz .nrrd .mha (and .seg.nrrd) | every voxel other than 0 that lies in the liver |
| .json .toml with point_lps_mm and normal_lps | one side of the plane |
| .mrk.json, a plane of 3D Slicer's Markups | one side of the plane, without regard to the size it is drawn at |
| .stl .obj .vtp, closed | what the surface encloses; separate and nested pieces together |
| .stl .obj .vtp, open | one side of the surface, which has to divide the liver |

Meshes are in LPS mm unless they say SPACE=RAS: in an STL's header, in a comment at the top of an OBJ, in a field array
SPACE of a VTP (3D Slicer writes all three). Which side is taken out: `liverplan.resection.given.side_taken_out`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.errors import InputError, SegmentationRefused, UnreadableInput
from liverplan.io.cut_surfaces import (
    MESH_SUFFIXES,
    RAS_LPS,
    distance_near,
    enclosed,
    is_closed,
    pieces,
    read_mesh,
    rim_inside,
    unreadable,
)
from liverplan.io.images import FILE_SUFFIXES, read_file
from liverplan.io.labels import as_labels
from liverplan.io.segmentations import on_grid
from liverplan.io.slicer import Segment, is_slicer_segmentation, read_slicer
from liverplan.mesh import Mesh
from liverplan.resection.given import (
    COMBINED,
    GivenResection,
    Otherwise,
    combined,
    half_space,
    require_part,
    side_taken_out,
    sides_of_surface,
)
from liverplan.volume import BoolArray, FloatArray, Grid, Segmentation, bounding_box

PLANE_SUFFIXES = (".json", ".toml")
ACCEPTED = (
    "a label map (.nii, .nii.gz, .nrrd, .mha), a plane (.json or .toml with point_lps_mm and normal_lps, or a plane of "
    "3D Slicer as .mrk.json) or a surface (.stl, .obj, .vtp)"
)
BRIDGED_MM = 2.0
"""Gap between a surface's rim and the capsule that is bridged. A surface that was trimmed at a liver mesh ends on the
capsule give or take the smoothing of that mesh and a voxel; a rim further inside is an unfinished cut."""


@dataclass(frozen=True)
class _Liver:
    """The liver cut to its box: masks (i, j, k) on `grid`, and where the box lies in the image."""

    whole: BoolArray
    lesions: BoolArray
    grid: Grid
    box: tuple[slice, slice, slice]
    image: Grid

    @classmethod
    def of(cls, segmentation: Segmentation) -> _Liver:
        lesions = segmentation.mask(Structure.LESIONS)
        whole = segmentation.mask(Structure.LIVER) | lesions
        if not whole.any():
            raise SegmentationRefused(
                "there is no liver to resect",
                got="an empty or absent liver mask",
                wanted="a mask of the whole liver",
                do="Segment the liver first.",
            )
        box = bounding_box(whole)
        return cls(whole[box], lesions[box], segmentation.grid.cropped(box), box, segmentation.grid)

    def side(self, positive: BoolArray, otherwise: Otherwise) -> tuple[BoolArray, str]:
        return side_taken_out(positive, self.whole, self.lesions, otherwise, self.grid.voxel_ml)

    def on_image(self, specimen: BoolArray) -> BoolArray:
        placed = np.zeros(self.image.shape, dtype=np.bool_, order="F")
        placed[self.box] = specimen
        return placed


@dataclass(frozen=True)
class _Cut:
    """What a file says: the specimen in the liver's box."""

    specimen: BoolArray
    source: str
    notes: tuple[str, ...]


def read_resections(paths: Sequence[Path], segmentation: Segmentation) -> tuple[GivenResection, ...]:
    """One resection per path, in their order, and with two or more of them their union as "given_combined".

    A union that would leave nothing of the liver (two alternatives, not two parts) is left out, which the others note.
    Raises UnreadableInput (missing, unknown or damaged file, numbers that are not finite, no triangles, degenerate
    normal), GeometryMismatch (a label map on another grid), SegmentationRefused (not a mask; no liver), and InputError
    (a specimen that is empty or the whole liver, a surface that does not divide the liver).
    """
    if not paths:
        return ()
    liver = _Liver.of(segmentation)
    given: list[GivenResection] = []
    for path, name in zip(map(Path, paths), _names(paths), strict=True):
        cut = _read(path, liver)
        require_part(cut.specimen, liver.whole, path.name, _do(cut.source))
        given.append(GivenResection(name, liver.on_image(cut.specimen), cut.source, cut.notes))
    union = combined(given, liver.on_image(liver.whole))
    if union is not None:
        return (*given, union)
    if len(given) > 1:
        note = "Together the given resections would take out the whole liver: their union is not reported."
        given = [replace(one, notes=(*one.notes, note)) for one in given]
    return tuple(given)


def _names(paths: Sequence[Path]) -> Iterator[str]:
    """File stems that are safe as file names and unique, also where case does not count."""
    endings = (".seg.nrrd", ".mrk.json", ".nii.gz")
    used = {COMBINED}
    for path in paths:
        file = Path(path).name
        long = next((e for e in endings if file.lower().endswith(e)), Path(file).suffix)
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", file[: len(file) - len(long)]).strip("_-")[:60] or "resection"
        name, n = stem, 1
        while name.lower() in used:
            n += 1
            name = f"{stem}_{n}"
        used.add(name.lower())
        yield name


def _do(source: str) -> str:
    if source == "label map":
        return "Draw what is taken out inside the liver, and nothing else into the same file."
    return "Check its position: points are LPS mm, the opposite of 3D Slicer's display in x and y."


def _read(path: Path, liver: _Liver) -> _Cut:
    if not path.is_file():
        raise UnreadableInput("the resection does not exist", got=str(path), wanted=ACCEPTED, do="Check the path.")
    name = path.name.lower()
    readers: tuple[tuple[tuple[str, ...], Callable[[Path, _Liver], _Cut]], ...] = (
        (FILE_SUFFIXES, _label_map),
        (PLANE_SUFFIXES, _plane),
        (MESH_SUFFIXES, _surface),
    )
    for suffixes, reader in readers:
        if name.endswith(suffixes):
            try:
                return reader(path, liver)
            except OSError as error:
                raise unreadable(path, str(error.strerror or error), "a file you may read") from error
    raise unreadable(path, f"a file ending in {path.suffix or 'nothing'}", ACCEPTED)


# ---- label maps -------------------------------------------------------------------------------------------------


def _label_map(path: Path, liver: _Liver) -> _Cut:
    notes = []
    if path.name.lower().endswith(".nrrd") and is_slicer_segmentation(path):
        segments = _segments(path, liver.image)
        drawn = np.logical_or.reduce([s.mask for s in segments]) if segments else np.zeros(liver.image.shape, bool)
        if len(segments) > 1:
            notes.append(f"The segments {', '.join(s.name for s in segments)} are taken as one specimen.")
    else:
        drawn = as_labels(on_grid(read_file(path), liver.image, path.name), path.name) > 0
    specimen = drawn[liver.box] & liver.whole
    outside_ml = float(np.count_nonzero(drawn) - np.count_nonzero(specimen)) * liver.grid.voxel_ml
    if outside_ml > 0:
        notes.append(f"{outside_ml:.1f} mL of the label map lie outside the liver and do not count.")
    return _Cut(specimen, "label map", tuple(notes))


def _segments(path: Path, grid: Grid) -> list[Segment]:
    try:
        return list(read_slicer(path, grid))
    except ValueError as error:  # a label value or layer that is no number
        raise unreadable(path, str(error), "a segmentation as 3D Slicer writes it") from error


# ---- planes -----------------------------------------------------------------------------------------------------


def _plane(path: Path, liver: _Liver) -> _Cut:
    content = _parsed(path)
    point, normal = _slicer_plane(path, content) if "markups" in content else _own_plane(path, content)
    if not np.linalg.norm(normal) > 1e-6:
        raise unreadable(path, f"the normal {normal.tolist()}", "a normal that has a direction")
    specimen, note = liver.side(half_space(liver.grid, point, normal), Otherwise.POSITIVE)
    return _Cut(specimen, "plane", (note,))


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(path, str(error)[:200], "a JSON or TOML file in UTF-8") from error
    if not isinstance(content, dict):
        raise unreadable(path, f"a {type(content).__name__} at the top", "an object with point_lps_mm and normal_lps")
    return content


def _own_plane(path: Path, content: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    known = {"point_lps_mm", "normal_lps"}
    if set(content) != known:
        got = ", ".join(sorted(map(str, content))) or "nothing"
        raise unreadable(path, f"the fields {got}", "point_lps_mm and normal_lps, three numbers each, and no other")
    return _numbers(path, content, "point_lps_mm", 3), _numbers(path, content, "normal_lps", 3)


def _slicer_plane(path: Path, content: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Point and normal, LPS mm, of the one plane in a Markups file (markups-schema-v1.0.*.json of 3D Slicer).

    Newer files hold center and normal (the orientation's third column); older ones only three control points p0, p1, p2
    with the normal along (p1 - p0) x (p2 - p0). The frame is LPS unless the file says RAS. A transform that
    the plane hangs under in 3D Slicer is not in the file.
    """
    markups = content["markups"]
    listed = markups if isinstance(markups, list) else []
    planes = [m for m in listed if isinstance(m, dict) and m.get("type") == "Plane"]
    if len(planes) != 1:
        raise unreadable(
            path, f"{len(planes)} planes", "one plane per file", "Save each plane of 3D Slicer on its own."
        )
    plane = planes[0]
    frame, unit = plane.get("coordinateSystem", "LPS"), plane.get("coordinateUnits", "mm")
    if frame not in ("LPS", "RAS") or (unit[0] if isinstance(unit, list) and unit else unit) != "mm":
        raise unreadable(path, f"coordinates in {frame!r}, {unit!r}", "LPS or RAS, mm")
    points = _control_points(path, plane)
    if "normal" in plane:
        normal = _numbers(path, plane, "normal", 3)
    elif "orientation" in plane:
        normal = _numbers(path, plane, "orientation", 9)[2::3]
    elif len(points) == 3:
        normal = np.cross(points[1] - points[0], points[2] - points[0])
    else:
        raise unreadable(path, "a plane without normal", "normal, orientation or three control points")
    if "center" not in plane and not points:
        raise unreadable(path, "a plane without position", "center or control points")
    point = _numbers(path, plane, "center", 3) if "center" in plane else points[0]
    turn = RAS_LPS if frame == "RAS" else np.ones(3)
    return point * turn, normal * turn


def _control_points(path: Path, plane: Mapping[str, Any]) -> list[FloatArray]:
    """Positions that have been placed, as stored."""
    listed = plane.get("controlPoints")
    points = [p for p in listed if isinstance(p, dict)] if isinstance(listed, list) else []
    placed = [p for p in points if p.get("positionStatus", "defined") == "defined" and "position" in p]
    return [_numbers(path, p, "position", 3) for p in placed]


def _numbers(path: Path, content: Mapping[str, Any], key: str, count: int) -> FloatArray:
    value = content[key]
    plain = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    try:
        numbers = np.array(value if plain else [], dtype=np.float64)
    except OverflowError:  # an integer of hundreds of digits
        numbers = np.array([np.inf])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise unreadable(path, f"{key} = {str(value)[:80]}", f"{count} finite numbers")
    return numbers


# ---- surfaces ---------------------------------------------------------------------------------------------------


def _surface(path: Path, liver: _Liver) -> _Cut:
    mesh = read_mesh(path)
    parts = pieces(mesh)
    closed = [is_closed(part) for part in parts]
    if all(closed):
        return _Cut(enclosed(parts, liver.whole, liver.grid), "closed surface", ())
    if len(parts) > 1:
        raise InputError(
            f"{path.name} holds several surfaces that are not all closed",
            got=f"{len(parts)} pieces without connection, {len(parts) - sum(closed)} of them open",
            wanted="one open surface, or closed surfaces only",
            do="Save each cut as its own file (several --resection are combined), and remove loose triangles.",
        )
    return _divided(path, mesh, liver)


def _divided(path: Path, mesh: Mesh, liver: _Liver) -> _Cut:
    """The side of an open surface that is taken out. Raises InputError when the surface does not divide the liver.

    A surface that ends inside the liver is refused and not extended: where the knife would go on is the surgeon's
    decision, and margins would be measured to a cut that nobody planned. Only the gap of BRIDGED_MM (or one voxel) that
    trimming at the capsule leaves is bridged, along the surface's own direction, and is told.
    """
    diagonal_mm = float(np.linalg.norm(liver.grid.spacing_mm))
    band_mm = max(BRIDGED_MM, diagonal_mm)
    sides = sides_of_surface(
        distance_near(mesh, liver.whole, liver.grid, band_mm), liver.whole, band_mm, liver.grid.spacing_mm
    )
    rim = rim_inside(mesh, liver.whole, liver.grid)
    if sides.leaks:
        x, y, z = rim[1] if rim else mesh.vertices_lps_mm.mean(axis=0)
        raise InputError(
            f"the surface in {path.name} does not divide the liver",
            got=f"a surface that ends {rim[0]:.1f} mm inside the liver, at ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS"
            if rim
            else "the same piece of liver on both of its sides",
            wanted="a closed surface, or an open one without holes that reaches the liver's border all around",
            do="Extend the surface beyond the capsule and close its holes, then export it again.",
        )
    specimen, note = liver.side(sides.positive, Otherwise.SMALLER)
    if rim is None or rim[0] < min(liver.grid.spacing_mm):
        return _Cut(specimen, "open surface", (note,))
    x, y, z = rim[1]
    bridged = f"The surface ends up to {rim[0]:.1f} mm inside the liver, at ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS"
    return _Cut(specimen, "open surface", (note, f"{bridged}: it is continued to the border there."))

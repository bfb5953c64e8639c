"""The pictures of a resection: specimen and cut in the translucent liver, and the slice through its narrowest place."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import VESSELS, Structure
from liverplan.errors import UnreadableInput
from liverplan.io.images import read_file
from liverplan.io.meshes import light_enough, read_stl, write_stl
from liverplan.mesh import Mesh, surface_of_mask
from liverplan.report import rendering, scene
from liverplan.report.camera import Camera, standard_camera
from liverplan.report.drawing import Canvas
from liverplan.report.figures import CUT_RGB, FOLDER, SPECIMEN_RGB, WITNESS_RGB, Figure, read_index
from liverplan.report.rendering import Part, rendered
from liverplan.report.slices import PLANES, Plane, View, outline, slice_canvas
from liverplan.report.wording import interval, mm, plan_title, set_by
from liverplan.volume import AnyArray, Grid, Segmentation, Volume

SHOWN = 3
"""Resections that get pictures, the best first."""
VIEWS = ("anterior", "inferior")
"""The best from both, the others from the first: every view costs most of a second without a graphics card."""
SLICE_SIDE = 560
SLICE_FIELD_MM = 150.0
SPECIMEN_MESH_MM = 2.0
"""Lattice of the specimen's surface: to look at, nothing is measured on it."""
_LIVER, _SPECIMEN, _CUT = 0.2, 0.95, 0.95
"""Before translucent surfaces are thinned where they face the viewer (`scene.RIM`), hence so high."""
_FROM = {"anterior": "the front", "inferior": "below"}
_FAILURE = (
    "A specimen with islands or holes, a lesion outside it, or a cut through a lesion: the proposal is wrong, whatever "
    "its numbers say."
)
_SLICE_FAILURE = (
    "A magenta line that does not end on the green outline or on a vessel's wall, or a green outline that crosses a "
    "lesion: the margin shown is not the margin of this cut."
)


def draw_resections(
    out_dir: Path,
    report: Mapping[str, Any],
    parts: Sequence[Part],
    volume: Volume | None,
    segmentation: Segmentation | None,
) -> list[Figure]:
    """Draw the best resections of report.json from OUT/resections and OUT/meshes; return what was drawn.

    Without the image or the masks there are no new slices: those of an earlier run stay.
    A resection whose mask is missing or damaged is left out. Raises OutputError, ResourceError.
    """
    specimens = _specimens(out_dir, report)
    earlier = [f for f in read_index(out_dir) if f.kind == "resection_slice"]
    figures = _draw_views(out_dir, parts, specimens) if parts and specimens else []
    if volume is None or segmentation is None:
        return figures + earlier
    return figures + _draw_slices(out_dir, specimens, volume.canonical(), segmentation.canonical())


_Specimens = list[tuple[int, Mapping[str, Any], Volume]]
"""Rank from 1, the resection's row in report.json, its mask in LPS order."""


def _specimens(out_dir: Path, report: Mapping[str, Any]) -> _Specimens:
    found = []
    for rank, row in enumerate(report["resections"][:SHOWN], 1):
        # The name alone: a report cannot point to files elsewhere.
        path = out_dir / "resections" / Path(row["mask"]).name
        try:
            if path.is_file():
                found.append((rank, row, read_file(path).canonical()))
        except UnreadableInput:
            continue
    return found


def _draw_views(out_dir: Path, parts: Sequence[Part], specimens: _Specimens) -> list[Figure]:
    anatomy = {p.name: _LIVER if p.name == Structure.LIVER.value else p.opacity for p in parts if _is_anatomy(p.name)}
    framed = np.concatenate([p.mesh.vertices_lps_mm for p in parts if p.name in anatomy])
    aspect = rendering.SCENE_SIZE[0] / rendering.SCENE_SIZE[1]
    cameras = {view: standard_camera(view, framed, aspect) for view in VIEWS}
    todo = [(rank, row, view) for rank, row, _ in specimens for view in (VIEWS if rank == 1 else VIEWS[:1])]
    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
        added = [p for rank, row, mask in specimens for p in _own_parts(out_dir, Path(folder), rank, row, mask)]
        fades = {
            rank: anatomy | {p.name: p.opacity for p in added if p.name.endswith(f"_{rank}") and p.name not in anatomy}
            for rank, *_ in specimens
        }
        pictures, _ = rendered(
            [*parts, *added],
            [cameras[view] for *_, view in todo],
            [fades[rank] for rank, *_ in todo],
        )
    return [_view_figure(out_dir, *each, cameras[each[2]], pixels) for each, pixels in zip(todo, pictures, strict=True)]


def _is_anatomy(name: str) -> bool:
    return name == Structure.LIVER.value or name.startswith("lesion") or name in {s.value for s in VESSELS}


def _own_parts(out_dir: Path, folder: Path, rank: int, row: Mapping[str, Any], mask: Volume) -> list[Part]:
    """The specimen's surface, made here, and the cut of OUT/meshes."""
    path = folder / f"specimen_{rank}.stl"
    mesh = light_enough(_to_look_at(mask))
    if mesh.is_empty:
        return []
    write_stl(path, mesh)
    parts = [Part(f"specimen_{rank}", path, mesh, SPECIMEN_RGB, _SPECIMEN)]
    cut = out_dir / "meshes" / f"cut_{Path(row['mask']).name.removesuffix('.nii.gz')}.stl"
    try:
        surface = read_stl(cut)
    except UnreadableInput:
        return parts
    return parts if surface.is_empty else [*parts, Part(f"cut_{rank}", cut, surface, CUT_RGB, _CUT)]


def _to_look_at(mask: Volume) -> Mesh:
    """A mask's surface from every so many voxels: a picture needs no more."""
    step = [max(1, round(SPECIMEN_MESH_MM / s)) for s in mask.grid.spacing_mm]
    coarse = mask.array[tuple(slice(None, None, n) for n in step)] > 0
    affine = mask.grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * np.array(step)
    i, j, k = coarse.shape
    return surface_of_mask(coarse, Grid((i, j, k), affine))


def _view_figure(out_dir: Path, rank: int, row: Mapping[str, Any], view: str, camera: Camera, pixels: Any) -> Figure:
    canvas = Canvas(pixels, scene.OVERSAMPLING)
    narrowest = least_margin(row)
    if narrowest is not None:
        start, end = camera.to_pixel(narrowest["witness_lps_mm"], canvas.size)[:, :2]
        words = f"{narrowest['lesion_id']}: {mm(narrowest['value'])}"
        canvas.witness((start[0], start[1]), (end[0], end[1]), words, 17)
    canvas.scale_bar(camera.pixels_per_mm(canvas.size))
    canvas.edge_letters(camera.edge_letters())
    file = f"resection_{rank}_{view}.png"
    canvas.save(out_dir / FOLDER / file)
    title = f"{plan_title(row['name'])}, from {_FROM[view]}"
    caption = "Red: what is taken out. Pale: what stays. Green: the cut. The tag stands at the narrowest place."
    return Figure(file, "resection", None, title, caption, _FAILURE, row["name"])


def least_margin(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The entry of the lesion with the least margin in a resection; None when no margin was measured."""
    known = [m for m in row["margin_mm"] if m["value"] is not None]
    return min(known, key=lambda m: float(m["value"]), default=None)


def _draw_slices(out_dir: Path, specimens: _Specimens, volume: Volume, segmentation: Segmentation) -> list[Figure]:
    figures = []
    for rank, row, mask in specimens:
        narrowest = least_margin(row)
        if narrowest is None or not mask.grid.same_as(volume.grid):
            continue
        view = _narrowest_view(volume.grid, narrowest["witness_lps_mm"])
        canvas = slice_canvas(view, volume, segmentation, None)
        outline(canvas, view, _filled(mask.array), CUT_RGB, 2.6)
        start, end = view.to_pixel(volume.grid.to_index(narrowest["witness_lps_mm"]))
        canvas.witness(start, end)
        canvas.corner_tag(mm(narrowest["value"]), 18, WITNESS_RGB)
        file = f"resection_{rank}_narrowest.png"
        canvas.save(out_dir / FOLDER / file)
        title = f"{plan_title(row['name'])}, its narrowest place"
        caption = (
            f"{view.plane.name.capitalize()} slice at lesion {narrowest['lesion_id']}: {interval(narrowest, 'mm')}, "
            f"{set_by(narrowest)}. Green: outline of the specimen."
        )
        figures.append(Figure(file, "resection_slice", None, title, caption, _SLICE_FAILURE, row["name"]))
    return figures


def _filled(array: AnyArray) -> AnyArray:
    return np.asarray(array > 0)


def _narrowest_view(grid: Grid, witness_lps_mm: Sequence[Sequence[float]]) -> View:
    """The plane that shows the line longest; the axial one unless another shows clearly more."""
    middle = np.mean(np.asarray(witness_lps_mm, dtype=float), axis=0).tolist()

    def view_in(plane: Plane) -> View:
        return View.through(plane, grid, middle, SLICE_FIELD_MM, SLICE_SIDE)

    def hidden(plane: Plane) -> float:
        return view_in(plane).cosine_to_normal(witness_lps_mm) + (0.0 if plane.name == "axial" else 0.2)

    return view_in(min(PLANES, key=hidden))

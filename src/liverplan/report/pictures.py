"""The pictures of a case: views of the whole liver, a close-up per lesion, and slices of the image.

Nothing is measured here. Lengths come from report.json, surfaces from OUT/meshes, outlines from the masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liverplan.anatomy import Structure
from liverplan.io.folder import writing
from liverplan.mesh import Mesh
from liverplan.report import rendering, scene
from liverplan.report.camera import STANDARD_VIEWS, Camera, standard_camera, witness_camera
from liverplan.report.drawing import INK, Canvas
from liverplan.report.figures import FOLDER, WITNESS_RGB, Figure, read_index, write_index
from liverplan.report.interactive_scene import write_scene
from liverplan.report.interactive_stack import write_stack
from liverplan.report.rendering import SHELL, Part, read_parts, rendered
from liverplan.report.resection_pictures import draw_resections
from liverplan.report.slices import PLANES, Plane, View, slice_canvas
from liverplan.report.wording import interval, mm, structure_title
from liverplan.volume import FloatArray, Grid, Segmentation, Volume

MESHES = "meshes"
SLICE_SIDE = 560
SLICE_FIELD_MM = 130.0
CLOSEUP_HALF_MM = 38.0
END_ON_COSINE = 0.8
"""From this cosine between a witness line and a slice's normal on, the slice shows the line as a point."""
_CLOSEUP_FADE = 0.55
"""How much clearer the liver and the shell are in close-ups, where they would hide what is measured."""
_SCENE_FAILURE = (
    "A liver with steps or flat cuts, a tree in pieces, or a vessel outside the liver where none should be: "
    "the masks are wrong and so are the distances."
)
_SLICE_FAILURE = (
    "An outline beside its organ, shifted or mirrored, or a vessel in the image without an outline: "
    "the masks do not fit the image and the clearance may be too large."
)


@dataclass(frozen=True)
class Line:
    """A line that a distance was measured along: its ends (LPS mm), the words on its tag and in the caption."""

    ends_lps_mm: Sequence[Sequence[float]]
    words: str
    caption: str


def render_case_pictures(
    out_dir: Path, report: Mapping[str, Any], volume: Volume | None, segmentation: Segmentation | None
) -> list[Figure]:
    """Draw OUT/figures/*.png (at most 150 kB each) and their index, and return what was drawn.

    report: report.json as a dictionary. Surfaces are read from OUT/meshes/*.stl; without them there are no views.
    Without the image or the masks there are no new slices: those of an earlier run stay.
    Raises OutputError, ResourceError.
    """
    out_dir = Path(out_dir)
    with writing(out_dir / FOLDER):
        (out_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    parts = read_parts(out_dir / MESHES)
    figures, renderer = _draw_scenes(out_dir, report, parts)
    if volume is not None and segmentation is not None:
        shell = next((part.mesh for part in parts if part.name == SHELL), None)
        figures += _draw_slices(out_dir, report, volume.canonical(), segmentation.canonical(), shell)
        write_stack(out_dir, volume.canonical(), segmentation.canonical())
    else:
        figures += [figure for figure in read_index(out_dir) if figure.kind == "slice"]
    figures += draw_resections(out_dir, report, parts, volume, segmentation)
    write_scene(out_dir, report, parts)
    write_index(out_dir, figures, renderer)
    return figures


def shown_clearance(lesion: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The vessel entry of a lesion with the smallest clearance; None when no clearance was measured."""
    known = [v for v in lesion["vessels"] if v["clearance_mm"]["value"] is not None and v["witness_lps_mm"]]
    return min(known, key=lambda v: float(v["clearance_mm"]["value"]), default=None)


def shown_lines(lesion: Mapping[str, Any]) -> list[Line]:
    """The lines to draw for a lesion: to what limits its margin, then the smallest clearance where that is another."""
    limiting, vessel = lesion["limiting"], shown_clearance(lesion)
    lines = []
    if limiting["witness_lps_mm"] and lesion["margin_upper_mm"]["value"] is not None:
        what = {"lesion": "the next lesion"}.get(limiting["kind"]) or f"the {_name(limiting['structure'])}"
        caption = f"the line to {what}, which limits the margin to {interval(lesion['margin_upper_mm'], 'mm')}"
        most = f"at most {mm(lesion['margin_upper_mm']['value'])}"
        lines.append(Line(limiting["witness_lps_mm"], most, caption))
    if vessel is not None and not (lines and _same(vessel["witness_lps_mm"], lines[0].ends_lps_mm)):
        caption = (
            f"the smallest clearance, {interval(vessel['clearance_mm'], 'mm')} to the {_name(vessel['structure'])}"
        )
        lines.append(Line(vessel["witness_lps_mm"], mm(vessel["clearance_mm"]["value"]), caption))
    return lines


def _same(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> bool:
    return bool(np.abs(np.asarray(first) - np.asarray(second)).max() < 0.5)


def _name(structure: str | None) -> str:
    return structure_title(structure).lower()


def _draw_scenes(out_dir: Path, report: Mapping[str, Any], parts: Sequence[Part]) -> tuple[list[Figure], str]:
    if not parts:
        return [], "none"
    views = {
        view: standard_camera(view, framed(parts), rendering.SCENE_SIZE[0] / rendering.SCENE_SIZE[1])
        for view in STANDARD_VIEWS
    }
    closeups = [(lesion, lines) for lesion in report["lesions"] if (lines := shown_lines(lesion))]
    solid = np.concatenate([p.mesh.vertices_lps_mm[::4] for p in parts if p.opacity >= 1] or [np.zeros((0, 3))])
    near = [witness_camera(lines[0].ends_lps_mm, _half_height(lines), solid) for _, lines in closeups]
    fades = [1.0] * len(views) + [_CLOSEUP_FADE] * len(near)
    pictures, renderer = rendered(parts, [*views.values(), *near], fades)
    figures = []
    for (view, camera), pixels in zip(views.items(), pictures, strict=False):
        figures.append(_view_figure(out_dir, report, view, camera, pixels))
    for (lesion, lines), camera, pixels in zip(closeups, near, pictures[len(views) :], strict=True):
        figures.append(_closeup_figure(out_dir, lesion, lines, camera, pixels))
    return figures, renderer


def framed(parts: Sequence[Part]) -> FloatArray:
    """What the standard views must show: the liver, or everything where there is no liver surface."""
    liver = [part.mesh.vertices_lps_mm for part in parts if part.name == Structure.LIVER.value]
    return liver[0] if liver else np.concatenate([part.mesh.vertices_lps_mm for part in parts])


def _half_height(lines: Sequence[Line]) -> float:
    """Enough to show every line of a close-up when its middle is the middle of the first."""
    middle = np.mean(lines[0].ends_lps_mm, axis=0)
    reach = max(float(np.linalg.norm(np.array(end) - middle)) for line in lines for end in line.ends_lps_mm)
    return min(max(CLOSEUP_HALF_MM, 1.25 * reach), 90.0)


def _view_figure(out_dir: Path, report: Mapping[str, Any], view: str, camera: Camera, pixels: Any) -> Figure:
    canvas = Canvas(pixels, scene.OVERSAMPLING)
    mark_lesions(canvas, camera, report)
    file = f"view_{view}.png"
    canvas.save(out_dir / FOLDER / file)
    caption = f"The liver seen from {_FROM[view]}."
    return Figure(file, "view", None, view.capitalize(), caption, _SCENE_FAILURE)


def mark_lesions(canvas: Canvas, camera: Camera, report: Mapping[str, Any]) -> None:
    """A tag per lesion with the line to what limits it; scale bar and directions."""
    for lesion in report["lesions"]:
        ends = [end for line in shown_lines(lesion)[:1] for end in line.ends_lps_mm]
        for at in camera.to_pixel([lesion["centroid_lps_mm"], *ends], canvas.size):
            canvas.keep_clear((at[0], at[1]), 7.0)
    for lesion in report["lesions"]:
        _mark(canvas, camera, lesion)
    _finish(canvas, camera)


_FROM = {
    "anterior": "the front",
    "posterior": "behind",
    "right": "the patient's right",
    "left": "the patient's left",
    "superior": "above",
    "inferior": "below",
}


def _mark(canvas: Canvas, camera: Camera, lesion: Mapping[str, Any]) -> None:
    lines = shown_lines(lesion)
    if not lines:
        at = camera.to_pixel(lesion["centroid_lps_mm"], canvas.size)
        canvas.tag((at[0], at[1]), f"{lesion['id']}", 17, INK)
        return
    _draw_line(canvas, camera, lines[0], f"{lesion['id']}: {lines[0].words}", 17)


def _draw_line(canvas: Canvas, camera: Camera, line: Line, words: str, height: float, away: int = 16) -> None:
    start, end = camera.to_pixel(line.ends_lps_mm, canvas.size)[:, :2]
    canvas.witness((start[0], start[1]), (end[0], end[1]), words, height, away)


def _finish(canvas: Canvas, camera: Camera) -> None:
    canvas.scale_bar(camera.pixels_per_mm(canvas.size))
    canvas.edge_letters(camera.edge_letters())


def _closeup_figure(
    out_dir: Path, lesion: Mapping[str, Any], lines: Sequence[Line], camera: Camera, pixels: Any
) -> Figure:
    canvas = Canvas(pixels, scene.OVERSAMPLING)
    for end in (end for line in lines for end in line.ends_lps_mm):
        at = camera.to_pixel(end, canvas.size)
        canvas.keep_clear((at[0], at[1]), 7.0)
    for line in lines:
        _draw_line(canvas, camera, line, line.words, 20, away=32)
    _finish(canvas, camera)
    file = f"lesion_{lesion['id']}_closeup.png"
    canvas.save(out_dir / FOLDER / file)
    title = f"Lesion {lesion['id']}: what limits it"
    caption = f"Seen at right angles to {lines[0].caption}" + "".join(f"; also {x.caption}" for x in lines[1:]) + "."
    return Figure(file, "closeup", int(lesion["id"]), title, caption, _SCENE_FAILURE)


def _draw_slices(
    out_dir: Path, report: Mapping[str, Any], volume: Volume, segmentation: Segmentation, shell: Mesh | None
) -> list[Figure]:
    figures = []
    for lesion in report["lesions"]:
        for plane in PLANES:
            view = _slice_view(plane, volume.grid, lesion)
            canvas = slice_canvas(view, volume, segmentation, shell)
            vessel = shown_clearance(lesion)
            if vessel is not None:
                start, end = view.to_pixel(volume.grid.to_index(vessel["witness_lps_mm"]))
                canvas.witness(start, end)
                canvas.corner_tag(mm(vessel["clearance_mm"]["value"]), 18, WITNESS_RGB)
            file = f"lesion_{lesion['id']}_{plane.name}.png"
            canvas.save(out_dir / FOLDER / file)
            caption = _slice_caption(view, vessel)
            title = f"Lesion {lesion['id']}: {plane.name}"
            figures.append(Figure(file, "slice", int(lesion["id"]), title, caption, _SLICE_FAILURE))
    return figures


def _slice_view(plane: Plane, grid: Grid, lesion: Mapping[str, Any]) -> View:
    """The slice through the middle of the line of smallest clearance, or through the lesion's middle without one.

    A slice that the line crosses end-on would show neither the lesion nor the vessel halfway between them; it is
    taken where the line leaves the lesion, 2 mm inside.
    """
    field_mm = max(SLICE_FIELD_MM, 1.5 * float(lesion["longest_diameter_mm"]))
    vessel = shown_clearance(lesion)
    if vessel is None:
        return View.through(plane, grid, lesion["centroid_lps_mm"], field_mm, SLICE_SIDE)
    witness = np.asarray(vessel["witness_lps_mm"], dtype=float)
    view = View.through(plane, grid, witness.mean(axis=0).tolist(), field_mm, SLICE_SIDE)
    if view.cosine_to_normal(witness) < END_ON_COSINE:
        return view
    inwards = (witness[0] - witness[1]) / max(float(np.linalg.norm(witness[0] - witness[1])), 1e-6)
    return View.through(plane, grid, (witness[0] + 2.0 * inwards).tolist(), field_mm, SLICE_SIDE)


def _slice_caption(view: View, vessel: Mapping[str, Any] | None) -> str:
    plane = view.plane.name.capitalize()
    if vessel is None:
        return f"{plane} slice through the middle of the lesion; no clearance was measured."
    length = f"{interval(vessel['clearance_mm'], 'mm')} to the {_name(vessel['structure'])}"
    cosine = view.cosine_to_normal(vessel["witness_lps_mm"])
    if cosine >= END_ON_COSINE:
        return f"{plane} slice where the line of smallest clearance, {length}, leaves the lesion; seen nearly end-on."
    lying = "the line lies in the slice" if cosine < 0.2 else "the line is oblique and is drawn shorter than it is"
    return f"{plane} slice through the middle of the line of smallest clearance, {length}; {lying}."

"""Pictures of a planned case on request: the standard views, from OUT/meshes, by the scene that the report uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liverplan.errors import InputError
from liverplan.io.folder import writing
from liverplan.report import scene
from liverplan.report.camera import standard_camera
from liverplan.report.drawing import Canvas
from liverplan.report.pictures import MESHES, framed, mark_lesions
from liverplan.report.rendering import read_parts, rendered


def render_views(
    out_dir: Path,
    folder: Path,
    report: Mapping[str, Any],
    views: Sequence[str],
    size: tuple[int, int],
    *,
    labels: bool = True,
) -> list[Path]:
    """Write FOLDER/VIEW.png for each of the standard views, of size (width, height), and return the paths.

    labels: tags, lines, scale bar and directions as in the report; without them the surfaces alone.
    Raises InputError when OUT holds no surfaces, OutputError, ResourceError.
    """
    parts = read_parts(out_dir / MESHES)
    if not parts:
        raise InputError(
            f"{out_dir} holds no surfaces to draw",
            got=f"no readable STL file in {out_dir / MESHES}",
            wanted="the meshes that `liverplan plan` writes",
            do="Give the output folder of `liverplan plan`, or plan the case again.",
        )
    cameras = [standard_camera(view, framed(parts), size[0] / size[1]) for view in views]
    pictures, _ = rendered(parts, cameras, [1.0] * len(cameras), size)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for view, camera, pixels in zip(views, cameras, pictures, strict=True):
        canvas = Canvas(pixels, scene.OVERSAMPLING)
        if labels:
            mark_lesions(canvas, camera, report)
        paths.append(folder / f"{view}.png")
        canvas.save(paths[-1], most_bytes=None)
    return paths

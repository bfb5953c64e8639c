"""Surfaces of OUT/meshes to pictures: by VTK in a process of its own, or without OpenGL where that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import UnreadableInput
from liverplan.io.meshes import read_stl
from liverplan.mesh import Mesh
from liverplan.report import raster, scene
from liverplan.report.camera import Camera
from liverplan.report.drawing import enlarged
from liverplan.report.figures import SHELL_RGB

SCENE_SIZE = (640, 540)
SHELL = "margin_shell"
RENDER_SECONDS = 180
"""How long VTK may take for all views before the pictures are drawn without it."""

Fade: TypeAlias = float | Mapping[str, float]
"""How a camera shows the surfaces: a factor for the translucent ones, or the opacity of each by name (else hidden)."""


@dataclass(frozen=True)
class Part:
    """A surface of OUT/meshes and how it is painted."""

    name: str
    path: Path
    mesh: Mesh
    rgb: tuple[int, int, int]
    opacity: float


def read_parts(folder: Path) -> list[Part]:
    """The surfaces that the report knows how to paint: structures, `lesion_N`, `margin_shell`; others are left out."""
    parts = []
    for path in sorted(folder.glob("*.stl")):
        look = _look(path.stem)
        if look is None:
            continue
        try:
            mesh = read_stl(path)
        except UnreadableInput:
            continue
        if not mesh.is_empty:
            parts.append(Part(path.stem, path, mesh, *look))
    return parts


def _look(name: str) -> tuple[tuple[int, int, int], float] | None:
    if name == SHELL:
        return SHELL_RGB, 0.3
    if name.startswith("lesion"):
        return Structure.LESIONS.info.rgb, 1.0
    known = {s.value: (s.info.rgb, s.info.opacity) for s in Structure if s is not Structure.COUINAUD}
    return known.get(name)


def rendered(
    parts: Sequence[Part], cameras: Sequence[Camera], fades: Sequence[Fade], size: tuple[int, int] | None = None
) -> tuple[Any, str]:
    """Pictures (N, height, width, 3), oversampled, and what drew them: "vtk" or "software".

    size: (width, height) of the finished pictures, SCENE_SIZE when left out.
    """
    size = size or SCENE_SIZE
    pictures = _by_vtk(parts, cameras, fades, size)
    if pictures is not None:
        return pictures, "vtk"
    painted = [[raster.Painted(part.mesh, part.rgb, _shown(part, fade)) for part in parts] for fade in fades]
    drawn = [raster.draw(p, camera, size) for p, camera in zip(painted, cameras, strict=True)]
    return [enlarged(picture, scene.OVERSAMPLING) for picture in drawn], "software"


def _by_vtk(
    parts: Sequence[Part], cameras: Sequence[Camera], fades: Sequence[Fade], size: tuple[int, int] = SCENE_SIZE
) -> npt.NDArray[np.uint8] | None:
    """The pictures by VTK in a process of its own, which may crash without harm; None when it did."""
    described = [{"file": str(p.path), "rgb": p.rgb, "opacity": [_shown(p, fade) for fade in fades]} for p in parts]
    with tempfile.TemporaryDirectory(prefix="liverplan-") as folder:
        job, result = Path(folder) / "job.json", Path(folder) / "pictures.npy"
        orders = {
            "parts": described,
            "cameras": [asdict(c) for c in cameras],
            "size": size,
            "result": str(result),
        }
        job.write_text(json.dumps(orders), encoding="utf-8")
        command = [sys.executable, "-m", "liverplan.report.scene", str(job)]
        try:
            done = subprocess.run(command, env=_environment(), capture_output=True, timeout=RENDER_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode != 0 or not result.is_file():
            return None
        pictures: npt.NDArray[np.uint8] = np.load(result, allow_pickle=False)
    # A driver that fails quietly leaves plain white.
    return pictures if all(picture.std() > 1.0 for picture in pictures) else None


def _environment() -> dict[str, str]:
    """EGL needs no display; where it is missing the child fails and the pictures are drawn without OpenGL."""
    default = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"} if sys.platform.startswith("linux") else {}
    return {**default, **os.environ}


def _shown(part: Part, fade: Fade) -> float:
    if isinstance(fade, Mapping):
        return fade.get(part.name, 0.0)
    return part.opacity if part.opacity >= 1.0 else part.opacity * fade

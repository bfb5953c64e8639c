"""The surfaces that report.html turns in the browser: light, quantised, packed. Kept in OUT/figures/scene.json."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverplan.anatomy import Structure
from liverplan.errors import UnreadableInput
from liverplan.io.folder import write_text_atomic
from liverplan.io.meshes import light_enough, read_stl
from liverplan.mesh import Mesh
from liverplan.report.figures import CUT_RGB, FOLDER
from liverplan.report.rendering import SHELL, Part
from liverplan.report.wording import plan_title, structure_title
from liverplan.volume import FloatArray

FILE = "scene.json"
MOST_FACES = 24_000
"""Triangles per surface: at this size a liver of 20 cm shows no facets on a page that is 1000 pixels wide."""
CUTS = 3
"""Resections whose cut can be shown, the best first."""
_STL_BYTES = 50
"""Bytes per triangle of a binary STL, by which `light_enough` is told how light."""
_QUANTUM = 65535


def write_scene(out_dir: Path, report: Mapping[str, Any], parts: Sequence[Part]) -> None:
    """Write OUT/figures/scene.json from the surfaces of OUT/meshes; no file where there is no surface.

    Points are 16-bit steps of the box around everything (a 30 cm box: 0.005 mm). Raises OutputError, ResourceError.
    """
    path = out_dir / FOLDER / FILE
    surfaces = list(_surfaces(out_dir, report, parts))
    if not surfaces:
        path.unlink(missing_ok=True)
        return
    points = np.concatenate([mesh.vertices_lps_mm for _, mesh in surfaces])
    low, size = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-3)
    framed = next((mesh for look, mesh in surfaces if look["name"] == Structure.LIVER.value), None)
    frame = points if framed is None else framed.vertices_lps_mm
    payload = {
        "low_lps_mm": low.round(4).tolist(),
        "size_mm": size.round(4).tolist(),
        "focus_lps_mm": ((frame.min(axis=0) + frame.max(axis=0)) / 2).round(2).tolist(),
        "radius_mm": round(float(np.linalg.norm(np.ptp(frame, axis=0)) / 2), 2),
        "parts": [look | _packed_mesh(mesh, low, size) for look, mesh in surfaces],
    }
    write_text_atomic(path, json.dumps(payload, separators=(",", ":")))


def packed(array: npt.NDArray[Any]) -> str:
    """An array's bytes, deflated, as base64: what the browser's own `DecompressionStream` opens."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode("ascii")


def _surfaces(out_dir: Path, report: Mapping[str, Any], parts: Sequence[Part]) -> Iterable[tuple[dict[str, Any], Mesh]]:
    for part in parts:
        look = {"name": part.name, "title": _title(part.name, report), "rgb": part.rgb, "opacity": part.opacity}
        yield look | {"shown": True}, _light(part.mesh)
    for rank, plan in enumerate(report["resections"][:CUTS], 1):
        stem = Path(plan["mask"]).name.removesuffix(".nii.gz")
        try:
            mesh = read_stl(out_dir / "meshes" / f"cut_{stem}.stl")
        except UnreadableInput:
            continue
        if not mesh.is_empty:
            title = f"Cut of resection {rank}: {plan_title(plan['name'])}"
            look = {"name": f"cut_{rank}", "title": title, "rgb": CUT_RGB, "opacity": 0.6}
            yield look | {"shown": False}, _light(mesh)


def _title(name: str, report: Mapping[str, Any]) -> str:
    if name == SHELL:
        limits = report.get("limits")
        return "Wide margin inside the liver" if limits is None else f"{limits['wide_margin_mm']:g} mm margin (fixed)"
    if name.startswith("lesion_"):
        return f"Lesion {name.removeprefix('lesion_')}"
    return structure_title(name)


def _light(mesh: Mesh) -> Mesh:
    return light_enough(mesh, MOST_FACES * _STL_BYTES + 84)


def _packed_mesh(mesh: Mesh, low: FloatArray, size: FloatArray) -> dict[str, Any]:
    steps = ((mesh.vertices_lps_mm - low) / size * _QUANTUM).round().clip(0, _QUANTUM).astype("<u2")
    wide = len(steps) > _QUANTUM
    faces = mesh.faces.astype("<u4" if wide else "<u2")
    return {"points": packed(steps), "faces": packed(faces), "wide": bool(wide)}

"""Surfaces on disk: binary STL, and one glTF scene (.glb) with names, colours and opacities.

STL files hold LPS millimetres and say so in their header ("SPACE=LPS"). A .glb holds the same LPS
millimetres in its buffers; its root node carries the transform to what glTF asks for (metres, +Y up, +Z to the
front): X = left, Y = superior, Z = anterior. Viewers show the liver upright and at its true size, and a program that
reads the buffers gets patient coordinates.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverplan.errors import UnreadableInput
from liverplan.io.folder import write_bytes_atomic, writing
from liverplan.mesh import Mesh
from liverplan.volume import FloatArray

STL_HEADER = "liverplan SPACE=LPS UNIT=mm"
LPS_MM_TO_GLTF = ((0.001, 0.0, 0.0, 0.0), (0.0, 0.0, 0.001, 0.0), (0.0, -0.001, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
"""Row-major 4 x 4: LPS mm to glTF metres, Y up."""
STL_BYTES_PER_FACE = 50
LARGE_STL_BYTES = 2_000_000
VOLUME_TOLERANCE = 0.004
"""Largest relative change of volume that `light_enough` accepts; the promise is 0.5 %."""
LARGEST_SHIFT_MM = 0.05
"""How far a surface may be moved to give it back the volume that decimation took: less than can be seen."""

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_FLOAT, _UINT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963
"""glTF 2.0 constants: component types, then buffer view targets."""


@dataclass(frozen=True)
class SceneMesh:
    """One named surface of a scene. rgb: 0..255 sRGB. opacity: 0..1."""

    name: str
    mesh: Mesh
    rgb: tuple[int, int, int]
    opacity: float = 1.0


def write_stl(path: Path, mesh: Mesh) -> None:
    """Write a binary STL in LPS mm, float32. Raises OutputError, ResourceError."""
    corners = mesh.corners_lps_mm
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(mesh.faces), dtype=_TRIANGLE)
    triangles["corners"] = corners
    triangles["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    header = STL_HEADER.encode("ascii").ljust(80)
    _write(path, [header, struct.pack("<I", len(triangles)), triangles.tobytes()])


def read_stl(path: Path) -> Mesh:
    """Read a binary STL; equal corners become one vertex.

    Raises UnreadableInput for anything else: an ASCII STL, a truncated file, coordinates that are not finite.
    """
    data = _bytes_of(path)
    count = struct.unpack_from("<I", data, 80)[0] if len(data) >= 84 else -1
    if len(data) < 84 or len(data) != 84 + STL_BYTES_PER_FACE * count:
        raise _not_a_mesh(path, f"{len(data)} bytes that do not match its triangle count")
    corners = np.frombuffer(data, dtype=_TRIANGLE, offset=84)["corners"].reshape(-1, 3)
    if not np.isfinite(corners).all():
        raise _not_a_mesh(path, "coordinates that are not finite")
    vertices, faces = np.unique(corners, axis=0, return_inverse=True)
    return Mesh(vertices.astype(np.float64), faces.reshape(-1, 3).astype(np.int64))


def write_glb(path: Path, scene: Iterable[SceneMesh]) -> None:
    """Write a glTF 2.0 binary scene; empty meshes are left out. Raises OutputError, ResourceError.

    Written here and not by VTK's exporter, which needs a render window and drops the names.
    """
    parts = [part for part in scene if not part.mesh.is_empty]
    gltf, buffer = _gltf(parts)
    text = json.dumps(gltf, allow_nan=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 4) * 4, b" ")
    total = 12 + 8 + len(text) + (8 + len(buffer) if buffer else 0)
    chunks = [struct.pack("<4sII", b"glTF", 2, total), struct.pack("<I4s", len(text), b"JSON"), text]
    if buffer:
        chunks += [struct.pack("<I4s", len(buffer), b"BIN\0"), buffer]
    _write(path, chunks)


def light_enough(mesh: Mesh, max_stl_bytes: int = LARGE_STL_BYTES, smoothing_passes: int = 15) -> Mesh:
    """The mesh with at most `max_stl_bytes` as STL, smoothed without shrinking; volume within 0.5 %.

    A small mesh comes back as it is. Where no reduction keeps the volume, the size gives way and not the volume.
    """
    wanted = max((max_stl_bytes - 84) // STL_BYTES_PER_FACE, 4)
    if len(mesh.faces) <= wanted:
        return mesh
    smooth = _smoothed(mesh, smoothing_passes)
    smooth = smooth if _volume_change(mesh, smooth) <= VOLUME_TOLERANCE / 2 else mesh
    for start in _starts(smooth, wanted):
        reduced = _with_volume(_decimated(start, wanted), mesh.volume_ml)
        if len(reduced.faces) <= wanted and _volume_change(mesh, reduced) <= VOLUME_TOLERANCE:
            return reduced
    return _as_light_as_its_volume_allows(mesh, smooth, wanted)


def _starts(mesh: Mesh, wanted: int) -> Iterator[Mesh]:
    """What to decimate, best first.

    Clustering is ten times faster on a million triangles than decimating them one by one, and it gets past the tangles
    where decimation stops early.
    """
    if len(mesh.faces) <= 3 * wanted:
        yield mesh
    yield _clustered(mesh, 3 * wanted)


def _as_light_as_its_volume_allows(original: Mesh, smooth: Mesh, wanted: int) -> Mesh:
    while (wanted := wanted * 2) < len(smooth.faces):
        reduced = _with_volume(_decimated(smooth, wanted), original.volume_ml)
        if _volume_change(original, reduced) <= VOLUME_TOLERANCE:
            return reduced
    return smooth


def to_polydata(mesh: Mesh) -> Any:
    """The mesh as vtkPolyData, points in LPS mm (float32)."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points = vtkPoints()
    points.SetData(numpy_to_vtk(mesh.vertices_lps_mm.astype(np.float32), deep=True))
    cells = vtkCellArray()
    cells.SetData(3, numpy_to_vtkIdTypeArray(mesh.faces.reshape(-1), deep=True))
    polydata = vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(cells)
    return polydata


def from_polydata(polydata: Any) -> Mesh:
    """The triangles of a vtkPolyData."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if polydata.GetNumberOfPolys() == 0:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    points = vtk_to_numpy(polydata.GetPoints().GetData()).astype(np.float64)
    return Mesh(points, vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64))


def _smoothed(mesh: Mesh, passes: int) -> Mesh:
    from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter

    smooth = vtkWindowedSincPolyDataFilter()
    smooth.SetInputData(to_polydata(mesh))
    smooth.SetNumberOfIterations(passes)
    smooth.SetPassBand(0.1)
    smooth.BoundarySmoothingOff()
    smooth.FeatureEdgeSmoothingOff()
    smooth.NonManifoldSmoothingOn()
    smooth.NormalizeCoordinatesOn()
    smooth.Update()
    return from_polydata(smooth.GetOutput())


def _clustered(mesh: Mesh, about_faces: int) -> Mesh:
    from vtkmodules.vtkFiltersCore import vtkQuadricClustering

    extent = np.ptp(mesh.vertices_lps_mm, axis=0)
    cell_mm = np.sqrt(2.0 * mesh.area_cm2 * 100.0 / about_faces)
    cluster = vtkQuadricClustering()
    cluster.SetInputData(to_polydata(mesh))
    cluster.AutoAdjustNumberOfDivisionsOff()
    cluster.SetNumberOfDivisions(*(max(int(np.ceil(e / cell_mm)), 1) for e in extent))
    cluster.UseInternalTrianglesOff()
    cluster.Update()
    return from_polydata(cluster.GetOutput())


def _decimated(mesh: Mesh, faces: int) -> Mesh:
    from vtkmodules.vtkFiltersCore import vtkQuadricDecimation

    if len(mesh.faces) <= faces:
        return mesh
    decimate = vtkQuadricDecimation()
    decimate.SetInputData(to_polydata(mesh))
    decimate.SetTargetReduction(1.0 - faces / len(mesh.faces))
    decimate.VolumePreservationOn()
    decimate.Update()
    return from_polydata(decimate.GetOutput())


def _with_volume(mesh: Mesh, volume_ml: float) -> Mesh:
    """The mesh moved along its normals by what its volume lacks: decimation takes a percent off thin vessels."""
    if mesh.is_empty:
        return mesh
    shift_mm = (volume_ml - mesh.volume_ml) * 10.0 / mesh.area_cm2
    shift_mm = float(np.clip(shift_mm, -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM))
    return Mesh(mesh.vertices_lps_mm + shift_mm * _vertex_normals(mesh), mesh.faces)


def _volume_change(original: Mesh, changed: Mesh) -> float:
    return abs(changed.volume_ml / original.volume_ml - 1.0) if original.volume_ml else 0.0


def _gltf(parts: Sequence[SceneMesh]) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary buffer of a scene: per part one view of vertices, one of normals, one of indices."""
    views: list[dict[str, int]] = []
    accessors: list[dict[str, Any]] = []
    chunks: list[bytes] = []

    def add(array: npt.NDArray[Any], target: int, accessor: dict[str, Any]) -> int:
        offset = sum(map(len, chunks))
        chunks.append(array.tobytes())
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(chunks[-1]), "target": target})
        accessors.append({"bufferView": len(views) - 1, "count": len(array), **accessor})
        return len(accessors) - 1

    meshes: list[dict[str, Any]] = []
    materials: list[dict[str, Any]] = []
    for part in parts:
        points = part.mesh.vertices_lps_mm.astype("<f4")
        bounds = {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
        position = add(points, _VERTICES, {"componentType": _FLOAT, "type": "VEC3", **bounds})
        normal = add(_vertex_normals(part.mesh), _VERTICES, {"componentType": _FLOAT, "type": "VEC3"})
        indices = part.mesh.faces.reshape(-1).astype("<u4")
        index = add(indices, _INDICES, {"componentType": _UINT, "type": "SCALAR"})
        primitive = {"attributes": {"POSITION": position, "NORMAL": normal}, "indices": index, "mode": 4}
        meshes.append({"name": part.name, "primitives": [{**primitive, "material": len(materials)}]})
        materials.append(_material(part))
    buffer = b"".join(chunks)
    return _document(parts, meshes, materials, accessors, views, len(buffer)), buffer


def _document(
    parts: Sequence[SceneMesh],
    meshes: list[dict[str, Any]],
    materials: list[dict[str, Any]],
    accessors: list[dict[str, Any]],
    views: list[dict[str, int]],
    buffer_bytes: int,
) -> dict[str, Any]:
    # glTF matrices are column-major.
    matrix = np.array(LPS_MM_TO_GLTF).T.reshape(-1).tolist()
    children = [{"name": part.name, "mesh": number} for number, part in enumerate(parts)]
    root = {"name": "patient (LPS mm)", "matrix": matrix}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "liverplan"},
        "scene": 0,
        "scenes": [{"name": "liverplan case", "nodes": [len(parts)]}],
        "nodes": [*children, {**root, "children": list(range(len(parts)))} if parts else root],
    }
    if parts:
        filled = {"meshes": meshes, "materials": materials, "accessors": accessors, "bufferViews": views}
        document |= {**filled, "buffers": [{"byteLength": buffer_bytes}]}
    return document


def _material(part: SceneMesh) -> dict[str, Any]:
    colour = [*_linear(part.rgb), float(part.opacity)]
    shine = {"baseColorFactor": colour, "metallicFactor": 0.0, "roughnessFactor": 0.55}
    mode = "BLEND" if part.opacity < 1.0 else "OPAQUE"
    return {"name": part.name, "pbrMetallicRoughness": shine, "alphaMode": mode, "doubleSided": True}


def _linear(rgb: tuple[int, int, int]) -> list[float]:
    """sRGB 0..255 to the linear colour that glTF factors are given in (IEC 61966-2-1)."""
    s = np.array(rgb) / 255.0
    return [float(v) for v in np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).round(5)]


def _vertex_normals(mesh: Mesh) -> npt.NDArray[np.float32]:
    a, b, c = np.moveaxis(mesh.corners_lps_mm, 1, 0)
    weighted = np.cross(b - a, c - a)
    normals: FloatArray = np.zeros_like(mesh.vertices_lps_mm)
    for corner in range(3):
        np.add.at(normals, mesh.faces[:, corner], weighted)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    # A vertex without a proper triangle still needs a unit normal to be valid glTF.
    unit = np.where(length > 0, normals / np.where(length > 0, length, 1.0), (0.0, 0.0, 1.0))
    return unit.astype("<f4")


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, b"".join(chunks))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _not_a_mesh(path, str(error.strerror or error)) from error


def _not_a_mesh(path: Path, got: str) -> UnreadableInput:
    return UnreadableInput(
        f"{path.name} is not a readable mesh",
        got=got,
        wanted="a complete binary STL",
        do="Export the surface again as binary STL.",
    )

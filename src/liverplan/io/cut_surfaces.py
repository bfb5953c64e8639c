"""Surfaces that cut the liver: untrusted mesh files in, and where the liver's voxels lie to them.

Meshes are in LPS mm unless they say SPACE=RAS: in an STL's header, in a comment at the top of an OBJ, in a field array
SPACE of a VTP (3D Slicer writes all three).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from liverplan.errors import UnreadableInput
from liverplan.io.meshes import from_polydata, read_stl, to_polydata
from liverplan.io.vtk_messages import vtk_messages
from liverplan.io.vtp import read_vtp
from liverplan.mesh import IntArray, Mesh
from liverplan.volume import BoolArray, FloatArray, Grid, border, pooled_count

MESH_SUFFIXES = (".stl", ".obj", ".vtp")
MAX_TRIANGLES = 5_000_000
"""More than any surface of a liver needs (one triangle per 0.03 mm2 of a whole liver); less than fills the memory."""
MERGE_MM = 1e-3
"""Vertices this near are one: exports write each triangle's corners apart, with rounding."""
MOST_COMPONENTS = 64
_CLAIMS = re.compile(rb"(NumberOf\w+)\s*=\s*[\"'][\s+]*(\d+)")
FARTHEST_MM = 1e6
_BLOCK_MM = 3.2
_UNSURE = 0.7
"""Below this cosine between a triangle's normal and the way to a voxel the triangle alone does not tell the side."""
RAS_LPS = np.array([-1.0, -1.0, 1.0])
"""Factors that turn a point or direction from RAS to LPS and back."""


def read_mesh(path: Path) -> Mesh:
    """The triangles of a mesh file in LPS mm, equal vertices merged. Raises UnreadableInput."""
    polydata = _polydata(path)
    if polydata.GetNumberOfPolys() + polydata.GetNumberOfStrips() > MAX_TRIANGLES:
        raise unreadable(path, "millions of faces", f"at most {MAX_TRIANGLES} faces", "Decimate the surface.")
    _require_sound(path, polydata)
    mesh = from_polydata(_cleaned(polydata))
    if mesh.is_empty:
        raise unreadable(path, "no triangle that has an area", "a surface of triangles")
    turn = RAS_LPS if _frame(path, polydata) == "RAS" else 1.0
    return Mesh(mesh.vertices_lps_mm * turn, _once(mesh.faces))


def _once(faces: IntArray) -> IntArray:
    """Each triangle once: a sheet that is stored with a front and a back is one sheet and encloses nothing."""
    corners = np.sort(faces, axis=1)
    order = np.lexsort(corners.T)
    repeated = (np.diff(corners[order], axis=0) == 0).all(axis=1)
    return np.asarray(faces[order[np.concatenate([[True], ~repeated])]])


def _polydata(path: Path) -> Any:
    from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader

    suffix, size = path.suffix.lower(), path.stat().st_size
    with path.open("rb") as file:
        head = file.read(84)
    binary = len(head) == 84 and size == 84 + 50 * int.from_bytes(head[80:], "little")
    if suffix == ".stl" and (binary or not head.lstrip().lower().startswith(b"solid")):
        return to_polydata(read_stl(path))
    if suffix == ".vtp":
        _require_sane_counts(path)
        try:
            return read_vtp(path)
        except ValueError as error:
            raise unreadable(path, str(error), "a complete .vtp surface") from error
    reader = vtkOBJReader() if suffix == ".obj" else vtkSTLReader()
    with vtk_messages() as said:
        reader.SetFileName(str(path))
        reader.Update()
    if said():
        raise unreadable(path, said(), f"a complete {suffix} surface")
    return reader.GetOutput()


def _require_sane_counts(path: Path) -> None:
    """Refuse a VTP that claims more than a surface has: VTK would make room for the claim."""
    for name, digits in _CLAIMS.findall(path.read_bytes()):
        most = MOST_COMPONENTS if name == b"NumberOfComponents" else 3 * MAX_TRIANGLES
        if len(digits) > 12 or int(digits) > most:
            claim = f"{name.decode()} {digits[:20].decode()}"
            raise unreadable(path, claim, f"at most {most}", "Export it again, or decimate the surface.")


def _require_sound(path: Path, polydata: Any) -> None:
    """Refuse what VTK's filters would follow into foreign memory: they trust indices and offsets."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    points = polydata.GetPoints()
    count = points.GetNumberOfPoints() if points else 0
    if count and not (np.abs(vtk_to_numpy(points.GetData())) <= FARTHEST_MM).all():
        raise unreadable(path, "coordinates that are not finite, or kilometres away", "coordinates in mm")
    for cells in (polydata.GetPolys(), polydata.GetStrips(), polydata.GetLines(), polydata.GetVerts()):
        offsets, used = vtk_to_numpy(cells.GetOffsetsArray()), vtk_to_numpy(cells.GetConnectivityArray())
        steps = np.diff(offsets)
        if (steps < 0).any() or (len(offsets) and (offsets[0] != 0 or offsets[-1] != len(used))):
            raise unreadable(path, "faces that overlap in the file", "a valid surface")
        if used.size and (used.min() < 0 or used.max() >= count):
            raise unreadable(path, f"faces with vertex {used.max()} of {count}", "faces between its own vertices")


def _cleaned(polydata: Any) -> Any:
    """Triangles only, merged at MERGE_MM and wound the same way."""
    from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkPolyDataNormals, vtkTriangleFilter

    triangles = vtkTriangleFilter()
    triangles.SetInputData(polydata)
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    clean = vtkCleanPolyData()
    clean.SetInputConnection(triangles.GetOutputPort())
    clean.ToleranceIsAbsoluteOn()
    clean.SetAbsoluteTolerance(MERGE_MM)
    clean.ConvertPolysToLinesOff()
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(clean.GetOutputPort())
    normals.SplittingOff()
    normals.ConsistencyOn()
    with vtk_messages():
        normals.Update()
    return normals.GetOutput()


def _frame(path: Path, polydata: Any) -> str:
    """LPS or RAS, as the file says, and LPS when it does not. Raises UnreadableInput for another frame or unit."""
    with path.open("rb") as file:
        head = file.read(2048 if path.suffix.lower() == ".obj" else 80).decode("latin-1")
    if path.suffix.lower() == ".obj":
        head = "\n".join(line for line in head.splitlines() if line.startswith("#"))
    stated = polydata.GetFieldData().GetAbstractArray("SPACE") if polydata.GetFieldData() else None
    if stated is not None and stated.GetNumberOfValues() == 1:
        head = f"SPACE={stated.GetVariantValue(0).ToString()}"
    space, unit = (re.search(rf"{key}=(\w+)", head, re.IGNORECASE) for key in ("SPACE", "UNIT"))
    frame, length = (space[1].upper() if space else "LPS"), (unit[1].lower() if unit else "mm")
    if frame not in ("LPS", "RAS") or length != "mm":
        raise unreadable(path, f"coordinates in {frame}, {length}", "LPS or RAS, mm")
    return frame


def _edges(mesh: Mesh) -> tuple[IntArray, IntArray]:
    """Every edge once (N, 2), and by how many triangles it is used (N,)."""
    sides = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    sides.sort(axis=1)
    key, count = np.unique(sides[:, 0] * len(mesh.vertices_lps_mm) + sides[:, 1], return_counts=True)
    return np.stack(np.divmod(key, len(mesh.vertices_lps_mm)), axis=1), count.astype(np.int64)


def is_closed(mesh: Mesh) -> bool:
    return bool((_edges(mesh)[1] > 1).all())


def pieces(mesh: Mesh) -> list[Mesh]:
    """The parts of a mesh that share no vertex."""
    n = len(mesh.vertices_lps_mm)
    a, b = _edges(mesh)[0].T
    _, part = connected_components(coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n)), directed=False)
    of_face = part[mesh.faces[:, 0]]
    order = np.argsort(of_face, kind="stable")
    starts = np.flatnonzero(np.diff(of_face[order])) + 1
    return [_compact(mesh, faces) for faces in np.split(mesh.faces[order], starts)]


def _compact(mesh: Mesh, faces: IntArray) -> Mesh:
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(mesh.vertices_lps_mm[used], renumbered.reshape(-1, 3))


def enclosed(closed: Sequence[Mesh], mask: BoolArray, grid: Grid) -> BoolArray:
    """The liver's voxels whose centres lie inside any of the closed pieces.

    Piece by piece, because overlapping pieces add up, and what a cut surrounds on all sides comes out with it.
    """
    inside = np.zeros(mask.shape, dtype=np.bool_)
    for piece in closed:
        index = grid.to_index(piece.vertices_lps_mm)
        low = np.clip(np.floor(index.min(axis=0)), 0, inside.shape).astype(int)
        high = np.clip(np.ceil(index.max(axis=0)) + 1, low, inside.shape).astype(int)
        if (high > low).all():
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            inside[box] |= _stencil(Mesh(index - low, piece.faces), tuple(high - low))
    return inside & mask


def _stencil(mesh: Mesh, shape: tuple[int, ...]) -> BoolArray:
    """Lattice points of `shape` inside a closed mesh given in lattice coordinates, by crossings along lines."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(to_polydata(mesh))
    stencil.SetOutputOrigin(0.0, 0.0, 0.0)
    stencil.SetOutputSpacing(1.0, 1.0, 1.0)
    stencil.SetOutputWholeExtent(0, shape[0] - 1, 0, shape[1] - 1, 0, shape[2] - 1)
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetOutputScalarTypeToUnsignedChar()
    with vtk_messages():
        image.Update()
    return np.asarray(vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(shape, order="F") > 0)


def distance_near(mesh: Mesh, mask: BoolArray, grid: Grid, band_mm: float) -> npt.NDArray[np.float32]:
    """Signed distance in mm of the liver's voxels to an open mesh where it is at most `band_mm`; infinite elsewhere.

    Blocks of voxels first, then the voxels of near blocks, against the mesh cut into triangles of a voxel. Where the
    nearest triangle does not tell the side (at edges, at the rim, on the surface) VTK's exact distance with
    angle-weighted pseudo-normals does; it is too slow (20 to 50 us) for every voxel.
    """
    pool = [max(1, round(_BLOCK_MM / s)) for s in grid.spacing_mm]
    block_mm = float(np.linalg.norm(np.array(pool) * grid.spacing_mm)) / 2.0
    pitch_mm = max(min(grid.spacing_mm), 0.5)
    reach_mm = block_mm + band_mm + pitch_mm
    centres, normals = _fine_triangles(mesh, grid, pitch_mm, reach_mm)
    distance: npt.NDArray[np.float32] = np.full(mask.shape, np.inf, dtype=np.float32)
    if not len(centres):
        return distance
    tree = cKDTree(centres, balanced_tree=False)  # half the time to build, the same to ask
    blocks = pooled_count(mask, pool) > 0
    middle = grid.to_world(np.argwhere(blocks) * pool + (np.array(pool) - 1) / 2.0)
    blocks[blocks] = np.isfinite(tree.query(middle, distance_upper_bound=reach_mm, workers=-1)[0])
    for axis, size in enumerate(pool):
        blocks = np.repeat(blocks, size, axis=axis)
    i, j, k = np.nonzero(blocks[tuple(slice(n) for n in mask.shape)] & mask)
    points = grid.to_world(np.stack([i, j, k], axis=1))
    away, nearest = tree.query(points, distance_upper_bound=band_mm + pitch_mm, workers=-1)
    near = np.isfinite(away)
    i, j, k, points, away, nearest = i[near], j[near], k[near], points[near], away[near], nearest[near]
    along = np.einsum("ij,ij->i", points - centres[nearest], normals[nearest])
    unsure = np.abs(along) <= _UNSURE * away
    signed = np.copysign(away, along)
    signed[unsure] = _exact_distance(mesh, points[unsure])
    distance[i, j, k] = signed
    return distance


def _fine_triangles(mesh: Mesh, grid: Grid, pitch_mm: float, reach_mm: float) -> tuple[FloatArray, FloatArray]:
    """Centres and unit normals (N, 3) of the mesh within `reach_mm` of the grid, cut into triangles of `pitch_mm`."""
    around = grid.corners_lps_mm()
    low, high = around.min(axis=0) - reach_mm, around.max(axis=0) + reach_mm
    corners, fine = mesh.corners_lps_mm, []
    while len(corners):
        corners = corners[((corners.max(axis=1) >= low) & (corners.min(axis=1) <= high)).all(axis=1)]
        sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
        longest = sides.argmax(axis=1)
        small = sides.max(axis=1, initial=0.0) <= pitch_mm
        fine.append(corners[small])
        corners, longest = corners[~small], longest[~small]
        row = np.arange(len(corners))
        a, b, c = (corners[row, (longest + n) % 3] for n in range(3))
        middle = (a + b) / 2.0
        corners = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    done = np.concatenate(fine) if fine else np.zeros((0, 3, 3))
    normals = np.cross(done[:, 1] - done[:, 0], done[:, 2] - done[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return done.mean(axis=1), np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def _exact_distance(mesh: Mesh, points_lps_mm: FloatArray) -> FloatArray:
    """Signed distance in mm of points (N, 3), positive where the normals point to."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    if not len(points_lps_mm):
        return np.zeros(0)
    exact, values = vtkImplicitPolyDataDistance(), vtkDoubleArray()
    exact.SetInput(to_polydata(mesh))
    values.SetNumberOfTuples(len(points_lps_mm))
    exact.FunctionValue(numpy_to_vtk(np.ascontiguousarray(points_lps_mm)), values)
    return np.asarray(vtk_to_numpy(values).copy())


def rim_inside(mesh: Mesh, mask: BoolArray, grid: Grid) -> tuple[float, FloatArray] | None:
    """How deep the surface's rim reaches below the liver's border at most (mm), and where (LPS mm); None: nowhere."""
    edges, uses = _edges(mesh)
    ends = grid.to_index(mesh.vertices_lps_mm)[edges[uses == 1]]
    size, points = np.array(mask.shape), []
    while len(ends):  # halved down to a voxel; what lies beyond the array is dropped on the way
        ends = ends[((ends.max(axis=1) >= -0.5) & (ends.min(axis=1) < size - 0.5)).all(axis=1)]
        small = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) <= 1.0
        middle = ends.mean(axis=1)
        points.append(middle[small])
        halves = [np.stack([ends[~small, n], middle[~small]], axis=1) for n in range(2)]
        ends = np.concatenate(halves)
    index = np.concatenate(points) if points else np.zeros((0, 3))
    voxel = np.clip(np.rint(index).astype(np.int64), 0, size - 1)
    inside = index[mask[tuple(voxel.T)]]
    if not len(inside):
        return None
    edge_of_liver = grid.to_world(np.argwhere(border(mask)))
    depth_mm, _ = cKDTree(edge_of_liver).query(grid.to_world(inside), workers=-1)
    deepest = int(depth_mm.argmax())
    return float(depth_mm[deepest]), grid.to_world(inside[deepest])


def unreadable(path: Path, got: str, wanted: str, do: str = "Check the file, or export it again.") -> UnreadableInput:
    """The refusal of a file that is not what its name says."""
    return UnreadableInput(f"{path.name} is not a resection this program reads", got=got, wanted=wanted, do=do)

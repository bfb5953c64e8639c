"""A liver that is an ellipsoid, on several grids, and cuts through it with a known answer, as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from liverplan.anatomy import Structure
from liverplan.io.meshes import to_polydata, write_stl
from liverplan.io.resections import read_resections
from liverplan.mesh import Mesh
from liverplan.resection.given import GivenResection
from liverplan.volume import Grid, Segmentation

CENTRE = np.array([5.0, -10.0, 20.0])
SEMI_AXES_MM = np.array([48.0, 36.0, 30.0])
POINT, NORMAL = np.array([22.0, -8.0, 24.0]), np.array([0.8, 0.36, 0.48])
"""A plane that cuts a cap off; the normal points to the cap."""
LPS_RAS = np.array([-1.0, -1.0, 1.0])


def turned(angles_deg: tuple[float, float, float], spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Columns of an affine whose axes are turned about x, y and z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[[a, a, b, b], [a, b, a, b]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = turn @ matrix
    return matrix * spacing_mm


def around_the_liver(columns: np.ndarray) -> Grid:
    """A grid with these axes that holds the ellipsoid with some air."""
    half = np.ceil(np.linalg.norm(np.linalg.inv(columns) * SEMI_AXES_MM, axis=1)) + 3
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = CENTRE - columns @ (half - 0.37)  # off the lattice: nothing is centred on a voxel
    shape = (2 * half).astype(int)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


GRIDS = {
    "axial": around_the_liver(np.diag([1.0, 1.0, 1.0])),
    "thick": around_the_liver(np.diag([0.9, 0.9, 3.0])),
    "flipped": around_the_liver(np.array([[0.0, -1.1, 0.0], [0.0, 0.0, 1.2], [-1.0, 0.0, 0.0]])),
    "oblique": around_the_liver(turned((12.0, -20.0, 31.0), (1.0, 1.1, 1.3))),
}
GRID = GRIDS["axial"]


def shifted(x_mm: float, y_mm: float, z_mm: float) -> np.ndarray:
    """The liver's centre moved by so much."""
    return CENTRE + np.array([x_mm, y_mm, z_mm])


def where(grid: Grid) -> np.ndarray:
    return grid.to_world(np.stack(np.indices(grid.shape), axis=-1))


def beyond_plane_mm(grid: Grid) -> np.ndarray:
    return (where(grid) - POINT) @ NORMAL


def liver(grid: Grid, *lesions: tuple[np.ndarray, float]) -> Segmentation:
    """The ellipsoid, with lesions as balls of a radius."""
    points = where(grid)
    whole = np.linalg.norm((points - CENTRE) / SEMI_AXES_MM, axis=-1) <= 1.0
    masks = {Structure.LIVER: whole.astype(np.uint8), Structure.LESIONS: np.zeros(grid.shape, np.uint8)}
    for number, (centre, radius_mm) in enumerate(lesions, start=1):
        masks[Structure.LESIONS][np.linalg.norm(points - centre, axis=-1) <= radius_mm] = number
    return Segmentation(grid, masks)


IN_THE_CAP, IN_THE_REST = (POINT + 9.0 * NORMAL, 4.0), (CENTRE - 15.0 * NORMAL, 4.0)


def read_one(path: Path, segmentation: Segmentation) -> GivenResection:
    """The only resection, with what must hold for each: on the image's grid, inside the liver, parts that add up."""
    (given,) = read_resections([path], segmentation)
    whole = segmentation.mask(Structure.LIVER)
    assert given.specimen.shape == segmentation.grid.shape
    assert given.specimen.dtype == np.bool_
    assert not (given.specimen & ~whole).any()
    assert given.specimen.sum() + (whole & ~given.specimen).sum() == whole.sum()
    return given


def json_file(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def plane_file(path: Path, point: np.ndarray = POINT, normal: np.ndarray = NORMAL) -> Path:
    return json_file(path, {"point_lps_mm": point.tolist(), "normal_lps": normal.tolist()})


def sheet(half_mm: float, cells: int = 24, bend: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None) -> Mesh:
    """A square on the plane around POINT, bent along the normal by a function of its own two coordinates."""
    across = np.linalg.svd(NORMAL.reshape(1, 3))[2][1:]
    u, v = np.meshgrid(*[np.linspace(-half_mm, half_mm, cells + 1)] * 2, indexing="ij")
    height = np.zeros_like(u) if bend is None else bend(u, v)
    vertices = POINT + u[..., None] * across[0] + v[..., None] * across[1] + height[..., None] * NORMAL
    n = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    corners = [n[:-1, :-1], n[1:, :-1], n[1:, 1:], n[:-1, 1:]]
    faces = [np.stack([corners[0], corners[a], corners[a + 1]], axis=-1).reshape(-1, 3) for a in (1, 2)]
    return Mesh(vertices.reshape(-1, 3), np.concatenate(faces))


def ball(centre: np.ndarray, radius_mm: float, rounds: int = 5) -> Mesh:
    """An octahedron halved `rounds` times onto the sphere."""
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
    faces = [[x, y, z] if (x + y + z) % 2 else [x, z, y] for x in (0, 1) for y in (2, 3) for z in (4, 5)]
    triangles = corners[np.array(faces)]
    for _ in range(rounds):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = ((p + q) / np.linalg.norm(p + q, axis=1, keepdims=True) for p, q in ((a, b), (b, c), (c, a)))
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    vertices, faces_of = np.unique(triangles.reshape(-1, 3).round(12), axis=0, return_inverse=True)
    return Mesh(centre + radius_mm * vertices, faces_of.reshape(-1, 3))


def stl(path: Path, *meshes: Mesh) -> Path:
    starts = np.cumsum([0, *(len(m.vertices_lps_mm) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    write_stl(path, Mesh(np.concatenate([m.vertices_lps_mm for m in meshes]), np.concatenate(faces)))
    return path


def vtk_write(path: Path, mesh: Mesh, frame: str | None = None) -> Path:
    """The mesh by VTK's own writers, as text; `frame` as 3D Slicer states it."""
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkIOGeometry import vtkOBJWriter, vtkSTLWriter
    from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

    polydata = to_polydata(mesh)
    writer = {".stl": vtkSTLWriter, ".obj": vtkOBJWriter, ".vtp": vtkXMLPolyDataWriter}[path.suffix]()
    if frame and path.suffix == ".vtp":
        stated = vtkStringArray()
        stated.SetName("SPACE")
        stated.InsertNextValue(frame)
        polydata.GetFieldData().AddArray(stated)
    if frame and path.suffix == ".stl":
        writer.SetHeader(f"3D Slicer output. SPACE={frame}")
    writer.SetInputData(polydata)
    writer.SetFileName(str(path))
    writer.Write()
    if frame and path.suffix == ".obj":
        path.write_text(f"# 3D Slicer output. SPACE={frame}\n" + path.read_text())
    return path


def cap_ml() -> float:
    """The ellipsoid's cap beyond the plane: on the unit sphere pi (1 - h)^2 (2 + h) / 3, times the semi-axes."""
    h = (POINT - CENTRE) @ NORMAL / np.linalg.norm(SEMI_AXES_MM * NORMAL)
    return float(np.pi * (1 - h) ** 2 * (2 + h) / 3 * np.prod(SEMI_AXES_MM) / 1000.0)

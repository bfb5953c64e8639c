"""Closed and open surfaces, from untrusted files, take out what geometry says or are refused by name."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from given_cuts import (
    CENTRE,
    GRID,
    GRIDS,
    IN_THE_CAP,
    IN_THE_REST,
    LPS_RAS,
    NORMAL,
    POINT,
    SEMI_AXES_MM,
    ball,
    beyond_plane_mm,
    cap_ml,
    liver,
    read_one,
    sheet,
    shifted,
    stl,
    vtk_write,
    where,
)

from liverplan.anatomy import Structure
from liverplan.errors import InputError, UnreadableInput
from liverplan.io.cut_surfaces import read_mesh
from liverplan.io.resections import read_resections
from liverplan.mesh import Mesh
from liverplan.volume import Grid

# ---- closed surfaces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_closed_surface_takes_out_what_it_encloses(tmp_path: Path, grid: Grid) -> None:
    centre, radius_mm = shifted(20.0, 3.0, -4.0), 17.0
    given = read_one(stl(tmp_path / "wedge.stl", ball(centre, radius_mm)), liver(grid))
    assert given.source == "closed surface"
    depth_mm = radius_mm - np.linalg.norm(where(grid) - centre, axis=-1)
    clear = np.abs(depth_mm) > 0.02  # how far the facets lie inside the sphere
    whole = liver(grid).mask(Structure.LIVER)
    assert np.array_equal(given.specimen[clear], (whole & (depth_mm > 0))[clear])


def test_a_closed_surface_counts_only_inside_the_liver_and_needs_no_lesion_in_it(tmp_path: Path) -> None:
    edge = shifted(48.0, 0.0, 0.0)
    given = read_one(stl(tmp_path / "a.stl", ball(edge, 15.0)), liver(GRID, IN_THE_REST))
    whole = liver(GRID).mask(Structure.LIVER)
    expected = whole & (np.linalg.norm(where(GRID) - edge, axis=-1) < 15.0)
    assert given.specimen.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_a_surface_inside_out_encloses_the_same(tmp_path: Path) -> None:
    mesh = ball(CENTRE, 12.0)
    a = read_one(stl(tmp_path / "a.stl", mesh), liver(GRID))
    b = read_one(stl(tmp_path / "b.stl", mesh.flipped()), liver(GRID))
    assert np.array_equal(a.specimen, b.specimen)


def test_corners_written_apart_and_rounded_are_still_one_closed_surface(tmp_path: Path) -> None:
    mesh = ball(CENTRE, 12.0)
    corners = mesh.corners_lps_mm.reshape(-1, 3)
    rounded = corners + np.random.default_rng(1).uniform(-1e-4, 1e-4, corners.shape)
    apart = Mesh(rounded, np.arange(len(corners)).reshape(-1, 3))
    given = read_one(stl(tmp_path / "a.stl", apart), liver(GRID))
    assert given.source == "closed surface"
    assert np.array_equal(given.specimen, read_one(stl(tmp_path / "b.stl", mesh), liver(GRID)).specimen)


def test_pieces_that_overlap_lie_apart_or_nest_add_up(tmp_path: Path) -> None:
    meshes = [ball(shifted(x, 0.0, 0.0), r) for x, r in ((0.0, 12.0), (10.0, 12.0), (-30.0, 8.0), (0.0, 5.0))]
    together = read_one(stl(tmp_path / "all.stl", *meshes), liver(GRID))
    alone = [read_one(stl(tmp_path / "one.stl", mesh), liver(GRID)).specimen for mesh in meshes]
    assert np.array_equal(together.specimen, np.logical_or.reduce(alone))


@pytest.mark.parametrize("suffix", [".stl", ".obj", ".vtp"])
@pytest.mark.parametrize("frame", [None, "LPS", "RAS"])
def test_every_format_is_lps_unless_it_says_ras(tmp_path: Path, suffix: str, frame: str | None) -> None:
    mesh = ball(shifted(15.0, 5.0, 2.0), 14.0)
    stored = Mesh(mesh.vertices_lps_mm * (LPS_RAS if frame == "RAS" else 1.0), mesh.faces)
    given = read_one(vtk_write(tmp_path / f"cut{suffix}", stored, frame), liver(GRID))
    expected = read_one(stl(tmp_path / "same.stl", mesh), liver(GRID))
    assert np.count_nonzero(given.specimen ^ expected.specimen) <= 0.001 * expected.specimen.sum()


def test_a_binary_stl_may_say_ras(tmp_path: Path) -> None:
    mesh = ball(shifted(15.0, 5.0, 2.0), 14.0)
    expected = read_one(stl(tmp_path / "a.stl", mesh), liver(GRID)).specimen
    path = stl(tmp_path / "b.stl", Mesh(mesh.vertices_lps_mm * LPS_RAS, mesh.faces))
    path.write_bytes(b"3D Slicer output. SPACE=RAS".ljust(80) + path.read_bytes()[80:])
    assert np.array_equal(read_one(path, liver(GRID)).specimen, expected)


# ---- open surfaces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [1, 40])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_flat_open_surface_is_the_plane(tmp_path: Path, grid: Grid, cells: int) -> None:
    given = read_one(stl(tmp_path / "cut.stl", sheet(70.0, cells)), liver(grid, IN_THE_CAP))
    assert (given.source, given.notes) == ("open surface", ("The side that holds the lesions is taken out.",))
    clear = np.abs(beyond_plane_mm(grid)) > 0.001
    expected = liver(grid).mask(Structure.LIVER) & (beyond_plane_mm(grid) > 0)
    assert np.array_equal(given.specimen[clear], expected[clear])


def wave(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return 5.0 * np.sin(u / 9.0) * np.cos(v / 11.0)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_bent_open_surface_divides_where_it_lies(tmp_path: Path, grid: Grid) -> None:
    given = read_one(stl(tmp_path / "cut.stl", sheet(70.0, 140, wave)), liver(grid, IN_THE_CAP))
    across = np.linalg.svd(NORMAL.reshape(1, 3))[2][1:]
    u, v = ((where(grid) - POINT) @ axis for axis in across)
    above = beyond_plane_mm(grid) - wave(u, v)
    clear = np.abs(above) > 0.15  # flat triangles of 1 mm against waves of 5 mm
    expected = liver(grid).mask(Structure.LIVER) & (above > 0)
    assert np.array_equal(given.specimen[clear], expected[clear])


def test_a_bowl_takes_out_what_lies_in_it(tmp_path: Path) -> None:
    # A wedge: a sphere that reaches out of the liver and is open there. Far voxels are nearest to its rim.
    top = shifted(0.0, 0.0, 30.0)
    whole_ball = ball(top, 20.0)
    middle = whole_ball.vertices_lps_mm[whole_ball.faces].mean(axis=1)
    bowl = Mesh(whole_ball.vertices_lps_mm, whole_ball.faces[middle[:, 2] < top[2] + 10.0])
    given = read_one(stl(tmp_path / "wedge.stl", bowl), liver(GRID, (top - [0.0, 0.0, 8.0], 4.0)))
    depth_mm = 20.0 - np.linalg.norm(where(GRID) - top, axis=-1)
    clear = np.abs(depth_mm) > 0.02
    assert given.source == "open surface"
    assert np.array_equal(given.specimen[clear], (liver(GRID).mask(Structure.LIVER) & (depth_mm > 0))[clear])


def test_a_folded_surface_with_a_sharp_edge_divides_at_the_fold(tmp_path: Path) -> None:
    # A roof of 20 degrees: at such an edge the nearest triangle alone does not tell the side.
    def roof(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.abs(u) / np.tan(np.radians(10.0)) - 20.0

    given = read_one(stl(tmp_path / "cut.stl", sheet(60.0, 40, roof)), liver(GRID))
    u = (where(GRID) - POINT) @ np.linalg.svd(NORMAL.reshape(1, 3))[2][1]
    above = (beyond_plane_mm(GRID) - roof(u, u)) * np.sin(np.radians(10.0))
    whole = liver(GRID).mask(Structure.LIVER)
    clear = whole & (np.abs(above) > 0.01)
    inner, outer = clear & (above > 0), clear & (above < 0)
    assert given.specimen[inner].all()
    assert not given.specimen[outer].any()


@pytest.mark.parametrize("flip", [False, True])
def test_without_lesions_an_open_surface_takes_the_smaller_side(tmp_path: Path, flip: bool) -> None:
    mesh = sheet(70.0).flipped() if flip else sheet(70.0)
    given = read_one(stl(tmp_path / "cut.stl", mesh), liver(GRID))
    assert given.specimen.sum() * GRID.voxel_ml == pytest.approx(cap_ml(), rel=0.01)
    assert given.notes == ("There is no lesion: the smaller side is taken out.",)


def test_triangles_wound_at_random_and_a_second_face_change_nothing(tmp_path: Path) -> None:
    mesh = sheet(70.0)
    random = np.random.default_rng(3).random(len(mesh.faces)) < 0.5
    wound = Mesh(mesh.vertices_lps_mm, np.where(random[:, None], mesh.faces[:, ::-1], mesh.faces))
    expected = read_one(stl(tmp_path / "a.stl", mesh), liver(GRID)).specimen
    for path in (stl(tmp_path / "b.stl", wound), stl(tmp_path / "c.stl", mesh, mesh.flipped())):
        assert np.array_equal(read_one(path, liver(GRID)).specimen, expected)


def without_faces_near(mesh: Mesh, centre: np.ndarray, radius_mm: float) -> Mesh:
    near = np.linalg.norm(mesh.corners_lps_mm.mean(axis=1) - centre, axis=1) < radius_mm
    return Mesh(mesh.vertices_lps_mm, mesh.faces[~near])


@pytest.mark.parametrize(
    "mesh", [sheet(12.0), without_faces_near(sheet(70.0, 70), POINT, 6.0)], ids=["a disk", "a hole"]
)
def test_a_surface_that_does_not_divide_the_liver_is_refused_and_never_extended(tmp_path: Path, mesh: Mesh) -> None:
    path = stl(tmp_path / "cut.stl", mesh)
    with pytest.raises(InputError, match="does not divide the liver") as error:
        read_resections([path], liver(GRID))
    assert "inside the liver, at (" in error.value.got
    assert "beyond the capsule" in error.value.do


def test_a_closed_surface_with_a_hole_inside_the_liver_is_refused(tmp_path: Path) -> None:
    holed = without_faces_near(ball(CENTRE, 14.0), shifted(14.0, 0.0, 0.0), 6.0)
    with pytest.raises(InputError, match="does not divide the liver"):
        read_resections([stl(tmp_path / "cut.stl", holed)], liver(GRID))


def test_a_gap_of_a_voxel_at_the_capsule_is_bridged_and_told(tmp_path: Path) -> None:
    mesh = sheet(70.0, 280)
    depth = np.linalg.norm((mesh.corners_lps_mm.mean(axis=1) - CENTRE) / (SEMI_AXES_MM - 1.6), axis=1)
    trimmed = Mesh(mesh.vertices_lps_mm, mesh.faces[depth < 1.0])
    given = read_one(stl(tmp_path / "cut.stl", trimmed), liver(GRID, IN_THE_CAP))
    expected = liver(GRID).mask(Structure.LIVER) & (beyond_plane_mm(GRID) >= 0)
    assert np.count_nonzero(given.specimen ^ expected) <= 2
    assert "continued to the border" in given.notes[1]


def test_a_surface_away_from_the_liver_is_refused(tmp_path: Path) -> None:
    far = sheet(70.0)
    path = stl(tmp_path / "cut.stl", Mesh(far.vertices_lps_mm + 90.0 * NORMAL, far.faces))
    with pytest.raises(InputError, match="without a voxel"):
        read_resections([path], liver(GRID))


def test_two_open_surfaces_in_one_file_are_refused(tmp_path: Path) -> None:
    moved = Mesh(sheet(70.0).vertices_lps_mm - 12.0 * NORMAL, sheet(70.0).faces)
    with pytest.raises(InputError, match="several surfaces") as error:
        read_resections([stl(tmp_path / "cut.stl", sheet(70.0), moved)], liver(GRID))
    assert "its own file" in error.value.do


# ---- mesh files that are none -----------------------------------------------------------------------------------

OBJ = "v 0 0 0\nv 9 0 0\nv 0 9 0\n"
VTP = (
    '<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian"><PolyData><Piece NumberOfPoints="3" '
    'NumberOfPolys="1"><Points><DataArray type="Float32" NumberOfComponents="3" format="ascii">0 0 0 9 0 0 0 9 0'
    '</DataArray></Points><Polys><DataArray type="Int64" Name="connectivity" format="ascii">0 1 {vertex}</DataArray>'
    '<DataArray type="Int64" Name="offsets" format="ascii">{end}</DataArray></Polys></Piece></PolyData></VTKFile>'
)
MESHES_REFUSED = {
    "empty.stl": b"",
    "short.stl": b"\0" * 80 + struct.pack("<I", 5) + b"\0" * 70,
    "none.stl": b"\0" * 80 + struct.pack("<I", 0),
    "nan.stl": b"\0" * 80 + struct.pack("<I12fH", 1, 0, 0, 1, *[float("nan")] * 9, 0),
    "far.stl": b"\0" * 80 + struct.pack("<I12fH", 1, 0, 0, 1, *[3e38, 0, 1] * 3, 0),
    "point.stl": b"\0" * 80 + struct.pack("<I12fH", 1, 0, 0, 1, *[1.0, 2.0, 3.0] * 3, 0),
    "frame.stl": b"SPACE=IJK".ljust(80) + struct.pack("<I12fH", 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0),
    "metres.stl": b"UNIT=m".ljust(80) + struct.pack("<I12fH", 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0),
    "text.stl": b"solid x\nfacet normal 0 0 1\nouter loop\nvertex a b c\n" + b" " * 60,
    "nothing.stl": b"solid x\nendsolid x\n",
    "empty.obj": b"",
    "points.obj": OBJ.encode(),
    "index.obj": (OBJ + "f 1 2 99\n").encode(),
    "negative.obj": (OBJ + "f 1 2 -99\n").encode(),
    "nan.obj": b"v nan 0 0\nv 9 0 0\nv 0 9 0\nf 1 2 3\n",
    "binary.obj": bytes(range(256)) * 8,
    "empty.vtp": b"",
    "broken.vtp": VTP[:200].encode(),
    "index.vtp": VTP.format(vertex=99, end=3).encode(),
    "negative.vtp": VTP.format(vertex=-7, end=3).encode(),
    "offset.vtp": VTP.format(vertex=2, end=300000).encode(),
    "text.vtp": b"not a surface",
}


@pytest.mark.parametrize(("name", "data"), MESHES_REFUSED.items(), ids=MESHES_REFUSED)
def test_a_mesh_that_is_none_is_refused_without_a_word_from_vtk(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableInput) as error:
        read_resections([tmp_path / name], liver(GRID))
    assert name in error.value.what
    assert all((error.value.got, error.value.wanted, error.value.do))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize("claim", ["NumberOfPoints", "NumberOfPolys", "NumberOfComponents", "NumberOfPieces"])
def test_a_vtp_that_claims_more_than_a_surface_has_is_refused_before_vtk_makes_room_for_it(
    tmp_path: Path, claim: str
) -> None:
    """VTK ends the program when it cannot, or looks for minutes."""
    path = tmp_path / "huge.vtp"
    path.write_text(
        '<?xml version="1.0"?>\n<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian">\n<PolyData>\n'
        f'<Piece NumberOfPoints="3" NumberOfPolys="1" {claim}="2461210965">\n'
        '<Points><DataArray type="Float32" NumberOfComponents="3" format="ascii">0 0 0 1 0 0 0 1 0</DataArray></Points>'
        '<Polys><DataArray type="Int64" Name="connectivity" format="ascii">0 1 2</DataArray>'
        '<DataArray type="Int64" Name="offsets" format="ascii">3</DataArray></Polys>\n</Piece></PolyData></VTKFile>\n'
    )
    with pytest.raises(UnreadableInput) as refused:
        read_mesh(path)
    assert f"{claim} 2461210965" in refused.value.got


def test_a_vtp_whose_blocks_claim_gigabytes_ends_the_process_that_reads_it_and_no_other(tmp_path: Path) -> None:
    """Sizes between compressed blocks stand in no header that could be looked at before."""
    surface = ball(CENTRE, 10.0, rounds=2)
    path = vtk_write(tmp_path / "blocks.vtp", surface)
    assert len(read_mesh(path).faces) == len(surface.faces)
    whole = path.read_bytes()
    one, many = (base64.b64encode(np.array([n], dtype="<u4").tobytes())[:5] for n in (1, 2**31 - 1))
    assert whole.count(b"_" + one) == 1
    path.write_bytes(whole.replace(b"_" + one, b"_" + many))
    with pytest.raises(UnreadableInput, match=r"blocks\.vtp"):
        read_mesh(path)

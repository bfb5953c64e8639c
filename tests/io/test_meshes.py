"""Surfaces on disk: what other programs read back is what was written, in the right frame."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from liverplan.errors import OutputError, UnreadableInput
from liverplan.io.meshes import SceneMesh, light_enough, read_stl, write_glb, write_stl
from liverplan.mesh import Mesh, joined, surface_of_mask
from liverplan.volume import Grid


def ellipsoid(semi_axes_mm: tuple[float, float, float], spacing_mm: float = 1.0) -> Mesh:
    shape = tuple(int(2 * a / spacing_mm) + 6 for a in semi_axes_mm)
    grid = Grid.from_spacing((shape[0], shape[1], shape[2]), (spacing_mm,) * 3, (-120.0, 40.0, 300.0))
    points = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    return surface_of_mask(np.linalg.norm((points - middle) / semi_axes_mm, axis=-1) <= 1.0, grid)


BLOB = ellipsoid((12.0, 9.0, 15.0))


def test_an_stl_comes_back_with_its_vertices_and_volume(tmp_path: Path) -> None:
    write_stl(tmp_path / "blob.stl", BLOB)
    back = read_stl(tmp_path / "blob.stl")
    assert len(back.faces) == len(BLOB.faces)
    assert len(back.vertices_lps_mm) == len(np.unique(BLOB.vertices_lps_mm.astype(np.float32), axis=0))
    assert back.volume_ml == pytest.approx(BLOB.volume_ml, rel=1e-6)


def test_vtk_reads_the_stl_in_lps_millimetres_and_the_header_says_so(tmp_path: Path) -> None:
    from vtkmodules.vtkIOGeometry import vtkSTLReader

    write_stl(tmp_path / "blob.stl", BLOB)
    reader = vtkSTLReader()
    reader.SetFileName(str(tmp_path / "blob.stl"))
    reader.Update()
    low, high = BLOB.vertices_lps_mm.min(axis=0), BLOB.vertices_lps_mm.max(axis=0)
    assert np.allclose(reader.GetOutput().GetBounds(), np.stack([low, high], axis=1).ravel(), atol=1e-3)
    assert "SPACE=LPS" in (tmp_path / "blob.stl").read_bytes()[:80].decode("ascii")


def test_an_empty_surface_is_a_valid_stl(tmp_path: Path) -> None:
    write_stl(tmp_path / "none.stl", joined())
    assert read_stl(tmp_path / "none.stl").is_empty


@pytest.mark.parametrize("damage", [lambda d: d[:-7], lambda d: d[:40], lambda d: b"solid x\nendsolid", lambda _: b""])
def test_a_truncated_stl_is_refused(tmp_path: Path, damage: object) -> None:
    write_stl(tmp_path / "blob.stl", BLOB)
    (tmp_path / "blob.stl").write_bytes(damage((tmp_path / "blob.stl").read_bytes()))  # type: ignore[operator]
    with pytest.raises(UnreadableInput, match=r"blob\.stl"):
        read_stl(tmp_path / "blob.stl")


def test_an_stl_with_nan_is_refused(tmp_path: Path) -> None:
    write_stl(tmp_path / "blob.stl", BLOB)
    data = bytearray((tmp_path / "blob.stl").read_bytes())
    data[96:100] = struct.pack("<f", float("nan"))
    (tmp_path / "blob.stl").write_bytes(bytes(data))
    with pytest.raises(UnreadableInput, match="finite"):
        read_stl(tmp_path / "blob.stl")


def test_a_missing_file_and_an_unwritable_place_have_their_errors(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput):
        read_stl(tmp_path / "nowhere.stl")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_stl(tmp_path / "file" / "blob.stl", BLOB)


def test_nothing_is_left_beside_a_written_file(tmp_path: Path) -> None:
    write_stl(tmp_path / "blob.stl", BLOB)
    assert [path.name for path in tmp_path.iterdir()] == ["blob.stl"]


def scene() -> list[SceneMesh]:
    return [
        SceneMesh("liver", BLOB, (205, 140, 110), 0.25),
        SceneMesh("lesion_1", Mesh(BLOB.vertices_lps_mm + 5, BLOB.faces), (240, 200, 40)),
        SceneMesh("portal_vein", joined(), (60, 150, 230)),
    ]


def test_vtk_loads_the_scene_upright_and_at_its_true_size(tmp_path: Path) -> None:
    """glTF is metres with Y up: superior is +Y, anterior +Z, left +X."""
    from vtkmodules.vtkIOGeometry import vtkGLTFReader

    write_glb(tmp_path / "scene.glb", scene()[:1])
    reader = vtkGLTFReader()
    reader.SetFileName(str(tmp_path / "scene.glb"))
    reader.ApplyDeformationsToGeometryOn()
    reader.Update()
    bounds = np.empty(6)
    reader.GetOutput().GetBounds(bounds)
    low, high = BLOB.vertices_lps_mm.min(axis=0) / 1000, BLOB.vertices_lps_mm.max(axis=0) / 1000
    expected = [low[0], high[0], low[2], high[2], -high[1], -low[1]]
    assert np.allclose(bounds, expected, atol=1e-5)


def gltf(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    magic, version, total = struct.unpack_from("<4sII", data)
    assert (magic, version, total) == (b"glTF", 2, len(data))
    length, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    document: dict[str, object] = json.loads(data[20 : 20 + length])
    return document


def test_the_scene_keeps_names_colours_and_opacities_and_leaves_out_what_is_empty(tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", scene())
    document = gltf(tmp_path / "scene.glb")
    assert [mesh["name"] for mesh in document["meshes"]] == ["liver", "lesion_1"]  # type: ignore[attr-defined]
    liver, lesion = document["materials"]  # type: ignore[misc]
    assert (liver["alphaMode"], liver["pbrMetallicRoughness"]["baseColorFactor"][3]) == ("BLEND", 0.25)  # type: ignore[index]
    assert lesion["alphaMode"] == "OPAQUE"  # type: ignore[index]


def test_every_chunk_and_accessor_of_the_scene_is_aligned(tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", scene())
    document = gltf(tmp_path / "scene.glb")
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])  # type: ignore[attr-defined]
    assert (tmp_path / "scene.glb").stat().st_size % 4 == 0


def test_an_empty_scene_is_still_a_scene(tmp_path: Path) -> None:
    write_glb(tmp_path / "scene.glb", [])
    assert "meshes" not in gltf(tmp_path / "scene.glb")


@pytest.mark.parametrize("limit", [200_000, 1_000_000])
def test_a_large_surface_becomes_small_and_keeps_its_volume(limit: int) -> None:
    large = ellipsoid((45.0, 32.0, 38.0), 0.8)
    light = light_enough(large, max_stl_bytes=limit)
    assert 84 + 50 * len(large.faces) > 2 * limit
    assert 84 + 50 * len(light.faces) <= limit
    assert light.volume_ml == pytest.approx(large.volume_ml, rel=0.005)


def test_a_small_surface_is_left_as_it_is() -> None:
    assert light_enough(BLOB) is BLOB


def test_thin_vessels_keep_their_volume_when_made_lighter() -> None:
    """Smoothing that shrinks tubes would be given up rather than accepted."""
    grid = Grid.from_spacing((60, 60, 160), (0.8, 0.8, 0.8))
    i, j, k = np.indices(grid.shape)
    tube = np.hypot(i - 30 - 10 * np.sin(k / 20), j - 30) <= 3
    vessel = surface_of_mask(tube, grid)
    assert light_enough(vessel, 100_000).volume_ml == pytest.approx(vessel.volume_ml, rel=0.005)


def test_thin_vessels_reach_the_size_asked_for_and_stay_whole() -> None:
    """Decimation takes volume off ten thin tubes; the surface is given it back instead of more triangles."""
    grid = Grid.from_spacing((20, 200, 60), (0.8, 0.8, 0.8))
    i, j, _ = np.indices(grid.shape)
    tubes = surface_of_mask(np.hypot(i - 10, j % 20 - 10) <= 2, grid)
    limit = 84 + 50 * len(tubes.faces) // 5
    light = light_enough(tubes, limit)
    assert 84 + 50 * len(light.faces) <= limit
    assert light.volume_ml == pytest.approx(tubes.volume_ml, rel=0.005)
    assert len(np.unique(np.floor(light.vertices_lps_mm[:, 1] / 16.0))) == 10

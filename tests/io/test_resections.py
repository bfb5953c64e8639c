"""The surgeon's own resection is the specimen that the file means, voxel by voxel, or is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from given_cuts import (
    CENTRE,
    GRID,
    GRIDS,
    IN_THE_CAP,
    IN_THE_REST,
    LPS_RAS,
    NORMAL,
    POINT,
    ball,
    beyond_plane_mm,
    cap_ml,
    json_file,
    liver,
    plane_file,
    read_one,
    stl,
    where,
)

from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, InputError, SegmentationRefused, UnreadableInput
from liverplan.io.nifti import write_nifti
from liverplan.io.resections import read_resections
from liverplan.io.slicer import write_slicer
from liverplan.volume import Grid, Segmentation

# ---- planes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_plane_takes_the_cap_that_geometry_says(tmp_path: Path, grid: Grid) -> None:
    given = read_one(plane_file(tmp_path / "cut.json"), liver(grid))
    assert (given.name, given.source) == ("cut", "plane")
    assert given.specimen.sum() * grid.voxel_ml == pytest.approx(cap_ml(), rel=0.01)
    assert np.array_equal(given.specimen, liver(grid).mask(Structure.LIVER) & (beyond_plane_mm(grid) >= 0))


def test_a_plane_takes_the_side_with_the_lesions_whatever_its_normal(tmp_path: Path) -> None:
    cap = read_one(plane_file(tmp_path / "a.json"), liver(GRID)).specimen
    for lesion, expected in ((IN_THE_CAP, cap), (IN_THE_REST, liver(GRID).mask(Structure.LIVER) & ~cap)):
        for sign in (1.0, -1.0):
            given = read_one(plane_file(tmp_path / "b.json", normal=sign * NORMAL), liver(GRID, lesion))
            assert np.array_equal(given.specimen, expected)
            assert given.notes[0].startswith("The side that holds the lesions")


def test_lesions_on_both_sides_leave_the_choice_to_the_normal_and_the_note_says_so(tmp_path: Path) -> None:
    both = liver(GRID, IN_THE_CAP, IN_THE_REST)
    cap = read_one(plane_file(tmp_path / "a.json"), both)
    rest = read_one(plane_file(tmp_path / "a.json", normal=-NORMAL), both)
    assert np.array_equal(cap.specimen, liver(GRID).mask(Structure.LIVER) & ~rest.specimen)
    assert all(g.notes[0].startswith("Lesions lie on both sides") for g in (cap, rest))


def test_toml_and_any_length_of_normal_mean_the_same_plane(tmp_path: Path) -> None:
    (tmp_path / "cut.toml").write_text(
        f"point_lps_mm = {POINT.tolist()}\nnormal_lps = {(250 * NORMAL).tolist()}  # to the dome\n"
    )
    a = read_one(tmp_path / "cut.toml", liver(GRID))
    b = read_one(plane_file(tmp_path / "cut.json"), liver(GRID))
    assert np.array_equal(a.specimen, b.specimen)


def markup(frame: str | None, **fields: object) -> dict[str, object]:
    """A plane as 3D Slicer's markups-schema-v1.0.3 describes it."""
    schema = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    plane = {"type": "Plane", "coordinateUnits": "mm", "locked": False, "planeType": "pointNormal", **fields}
    if frame:
        plane["coordinateSystem"] = frame
    return {"@schema": f"{schema}markups-schema-v1.0.3.json#", "markups": [plane]}


def control_points(*positions: np.ndarray) -> list[dict[str, object]]:
    return [
        {"id": str(n), "label": f"P-{n}", "position": p.tolist(), "positionStatus": "defined"}
        for n, p in enumerate(positions, start=1)
    ]


def slicer_fields(kind: str, turn: np.ndarray) -> dict[str, object]:
    across = np.linalg.svd(NORMAL.reshape(1, 3))[2][1:]
    across = across if np.cross(*across) @ NORMAL > 0 else across[::-1]
    point, x, y, z = POINT * turn, across[0] * turn, across[1] * turn, NORMAL * turn
    return {
        "center and normal": {"center": point.tolist(), "normal": z.tolist()},
        "orientation": {
            "center": point.tolist(),
            "orientation": np.stack([x, y, z], axis=1).reshape(-1).tolist(),
        },
        "point and normal": {"normal": z.tolist(), "controlPoints": control_points(point)},
        "three points": {"controlPoints": control_points(point, point + 30 * x, point + 20 * y - 7 * x)},
    }[kind]


@pytest.mark.parametrize("kind", ["center and normal", "orientation", "point and normal", "three points"])
@pytest.mark.parametrize("frame", ["LPS", "RAS", None])
def test_a_plane_of_3d_slicer_is_read_in_the_frame_it_states(tmp_path: Path, kind: str, frame: str | None) -> None:
    turn = LPS_RAS if frame == "RAS" else np.ones(3)
    path = json_file(tmp_path / "Plane 1.mrk.json", markup(frame, **slicer_fields(kind, turn)))
    given = read_one(path, liver(GRIDS["oblique"]))
    assert (given.name, given.source) == ("Plane_1", "plane")
    expected = read_one(plane_file(tmp_path / "same.json"), liver(GRIDS["oblique"])).specimen
    assert np.count_nonzero(given.specimen ^ expected) <= 2  # voxels on the plane to the last digit


PLANES_REFUSED = {
    "not json": ("{", "JSON or TOML"),
    "a list": ([1, 2], "a list at the top"),
    "a typo": ({"point_mm": [1, 2, 3], "normal_lps": [0, 0, 1]}, "point_mm"),
    "NaN": ('{"point_lps_mm": [NaN, 0, 0], "normal_lps": [0, 0, 1]}', "point_lps_mm"),
    "two numbers": ({"point_lps_mm": [0, 0], "normal_lps": [0, 0, 1]}, "3 finite numbers"),
    "text": ({"point_lps_mm": ["0", "0", "0"], "normal_lps": [0, 0, 1]}, "3 finite numbers"),
    "beyond all numbers": ({"point_lps_mm": [10**400, 0, 0], "normal_lps": [0, 0, 1]}, "3 finite numbers"),
    "no direction": ({"point_lps_mm": [0, 0, 0], "normal_lps": [0, 0, 0]}, "direction"),
    "no plane": ({"markups": [{"type": "Fiducial"}]}, "0 planes"),
    "two planes": ({"markups": [{"type": "Plane"}, {"type": "Plane"}]}, "2 planes"),
    "another frame": (markup("IJK", center=[0, 0, 0], normal=[0, 0, 1]), "IJK"),
    "micrometres": (markup("LPS", center=[0, 0, 0], normal=[0, 0, 1]) | {}, "um"),
    "points in a line": (markup("LPS", controlPoints=control_points(POINT, 2 * POINT, 3 * POINT)), "direction"),
    "without normal": (markup("LPS", center=[0, 0, 0]), "without normal"),
    "without place": (markup("LPS", normal=[0, 0, 1]), "without position"),
}
PLANES_REFUSED["micrometres"][0]["markups"][0]["coordinateUnits"] = ["um", "UCUM", "micrometer"]  # type: ignore


@pytest.mark.parametrize(("content", "says"), PLANES_REFUSED.values(), ids=PLANES_REFUSED)
def test_a_plane_that_is_none_is_refused_with_what_is_wrong(tmp_path: Path, content: object, says: str) -> None:
    path = tmp_path / "cut.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UnreadableInput, match=says) as error:
        read_resections([path], liver(GRID))
    assert "cut.json" in error.value.what


@pytest.mark.parametrize(("away_mm", "got"), [(80.0, "without a voxel"), (-80.0, "the whole liver")])
def test_a_plane_beside_the_liver_is_refused(tmp_path: Path, away_mm: float, got: str) -> None:
    with pytest.raises(InputError, match=got):
        read_resections([plane_file(tmp_path / "cut.json", POINT + away_mm * NORMAL)], liver(GRID))


# ---- label maps -------------------------------------------------------------------------------------------------


def drawn(grid: Grid) -> np.ndarray:
    """Two labels, the second one partly outside the liver."""
    x = where(grid)[..., 0]
    return np.where(x > CENTRE[0] + 30, 2, np.where(x > CENTRE[0] + 10, 1, 0)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_label_map_takes_out_its_part_of_the_liver(tmp_path: Path, grid: Grid, suffix: str) -> None:
    write_nifti(tmp_path / "x.nii", grid, drawn(grid))
    path = tmp_path / f"hemi.left{suffix}"
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "x.nii")), str(path))
    given = read_one(path, liver(grid, IN_THE_REST))
    assert (given.name, given.source) == ("hemi_left", "label map")
    inside = liver(grid).mask(Structure.LIVER)
    assert np.array_equal(given.specimen, inside & (drawn(grid) > 0))
    outside_ml = np.count_nonzero((drawn(grid) > 0) & ~inside) * grid.voxel_ml
    assert given.notes == (f"{outside_ml:.1f} mL of the label map lie outside the liver and do not count.",)


def test_a_label_map_stored_in_another_voxel_order_is_turned(tmp_path: Path) -> None:
    write_nifti(tmp_path / "x.nii", GRID, drawn(GRID))
    turned_image = sitk.DICOMOrient(sitk.ReadImage(str(tmp_path / "x.nii")), "SAR")
    sitk.WriteImage(turned_image, str(tmp_path / "turned.nii.gz"))
    given = read_one(tmp_path / "turned.nii.gz", liver(GRID))
    assert np.array_equal(given.specimen, liver(GRID).mask(Structure.LIVER) & (drawn(GRID) > 0))


def test_the_segments_of_a_slicer_file_are_one_specimen(tmp_path: Path) -> None:
    labels = drawn(GRID) * liver(GRID).mask(Structure.LIVER)
    path = write_slicer(Segmentation(GRID, {Structure.LESIONS: labels}), tmp_path / "cut.seg.nrrd")
    given = read_one(path, liver(GRID))
    assert given.name == "cut"
    assert np.array_equal(given.specimen, labels > 0)
    assert given.notes == ("The segments Lesion 1, Lesion 2 are taken as one specimen.",)


def test_a_label_map_on_another_grid_is_refused_as_a_mask_is(tmp_path: Path) -> None:
    other = GRIDS["oblique"]
    write_nifti(tmp_path / "cut.nii.gz", other, drawn(other))
    with pytest.raises(GeometryMismatch, match=r"cut\.nii\.gz is not on the image's grid"):
        read_resections([tmp_path / "cut.nii.gz"], liver(GRID))


def test_probabilities_are_no_label_map(tmp_path: Path) -> None:
    write_nifti(tmp_path / "cut.nii.gz", GRID, (drawn(GRID) * 0.3).astype(np.float32))
    with pytest.raises(SegmentationRefused, match="probabilities"):
        read_resections([tmp_path / "cut.nii.gz"], liver(GRID))


@pytest.mark.parametrize(("value", "got"), [(0, "without a voxel"), (1, "the whole liver")])
def test_a_label_map_of_nothing_or_everything_is_refused(tmp_path: Path, value: int, got: str) -> None:
    write_nifti(tmp_path / "cut.nii.gz", GRID, np.full(GRID.shape, value, np.uint8))
    with pytest.raises(InputError, match=got):
        read_resections([tmp_path / "cut.nii.gz"], liver(GRID))


# ---- paths and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"), [("cut.dcm", "ending in .dcm"), ("cut", "ending in nothing"), ("cut.vtk", "ending in .vtk")]
)
def test_an_unknown_type_is_refused_with_what_is_known(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnreadableInput, match=says) as error:
        read_resections([tmp_path / name], liver(GRID))
    assert ".mrk.json" in error.value.wanted


@pytest.mark.parametrize("name", ["nowhere.stl", "."])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableInput, match="does not exist"):
        read_resections([tmp_path / name], liver(GRID))


def test_without_a_liver_there_is_nothing_to_resect(tmp_path: Path) -> None:
    empty = Segmentation(GRID, {Structure.LIVER: np.zeros(GRID.shape, np.uint8)})
    with pytest.raises(SegmentationRefused, match="no liver"):
        read_resections([plane_file(tmp_path / "cut.json")], empty)


def test_no_path_is_no_resection() -> None:
    assert read_resections([], liver(GRID)) == ()


def test_names_are_safe_unique_and_never_that_of_the_union(tmp_path: Path) -> None:
    names = ["a cut/..\\é.json", "Cut.json", "cut.toml", "given_combined.json", "---.json"]
    paths = [tmp_path / str(n) / name.replace("/", "_") for n, name in enumerate(names)]
    for path in paths:
        path.parent.mkdir()
        plane_file(path)
    paths[2].write_text(f"point_lps_mm = {POINT.tolist()}\nnormal_lps = {NORMAL.tolist()}")
    got = [given.name for given in read_resections(paths, liver(GRID))]
    assert got == ["a_cut", "Cut", "cut_2", "given_combined_2", "resection", "given_combined"]


def test_two_resections_come_with_their_union(tmp_path: Path) -> None:
    wedge = stl(tmp_path / "wedge.stl", ball(CENTRE - [20.0, 0.0, 0.0], 10.0))
    first, second, union = read_resections([wedge, plane_file(tmp_path / "cap.json")], liver(GRID))
    assert (first.name, second.name, union.name) == ("wedge", "cap", "given_combined")
    assert np.array_equal(union.specimen, first.specimen | second.specimen)
    assert union.source == "closed surface + plane"


def test_two_alternatives_that_leave_nothing_together_have_no_union(tmp_path: Path) -> None:
    paths = [plane_file(tmp_path / "left.json"), plane_file(tmp_path / "right.json", normal=-NORMAL)]
    given = read_resections(paths, liver(GRID))
    assert [one.name for one in given] == ["left", "right"]
    assert all("their union is not reported" in one.notes[-1] for one in given)

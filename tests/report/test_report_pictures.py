"""Pictures: really drawn, by VTK and without it, in the right orientation and small enough to travel."""

from __future__ import annotations

import json
from pathlib import Path

import example_case
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from liverplan.anatomy import Structure
from liverplan.io.meshes import write_stl
from liverplan.io.writing import write_mask
from liverplan.report import pictures, raster, render_case_pictures, rendering
from liverplan.report.camera import ANTERIOR, LEFT, STANDARD_VIEWS, SUPERIOR, Camera, standard_camera, witness_camera
from liverplan.report.drawing import MAX_PNG_BYTES
from liverplan.report.figures import CUT_RGB, read_index
from liverplan.report.resection_pictures import draw_resections
from liverplan.report.slices import PLANES, View, slice_canvas
from liverplan.volume import Grid, Segmentation, Volume

COARSE = (3.0, 3.0, 4.0)
YELLOW = np.array(Structure.LESIONS.info.rgb)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("case")
    for name, mesh in example_case.meshes(COARSE).items():
        write_stl(out / "meshes" / f"{name}.stl", mesh)
    cut, mask = example_case.planned_surface_and_mask(COARSE)
    write_stl(out / "meshes" / "cut_wedges.stl", cut)
    write_mask(mask, example_case.grid(COARSE), out / "resections" / "wedges.nii.gz")
    return out


@pytest.fixture(scope="module")
def drawn(folder: Path) -> Path:
    render_case_pictures(folder, example_case.report(), example_case.volume(COARSE), example_case.segmentation(COARSE))
    return folder


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def middle_of(picture: np.ndarray, rgb: np.ndarray, tolerance: int = 60) -> tuple[float, float]:
    """Column and row of the middle of a colour, as shares of the width and the height."""
    rows, columns = np.nonzero(np.abs(picture - rgb).max(axis=-1) < tolerance)
    assert rows.size > 30
    return float(columns.mean() / picture.shape[1]), float(rows.mean() / picture.shape[0])


def test_every_view_close_up_and_slice_is_drawn_and_small(drawn: Path) -> None:
    figures = read_index(drawn)
    kinds = [figure.kind for figure in figures]
    assert (kinds.count("view"), kinds.count("closeup"), kinds.count("slice")) == (6, 2, 6)
    for figure in figures:
        path = drawn / "figures" / figure.file
        assert path.stat().st_size <= MAX_PNG_BYTES
        assert pixels(path).std() > 8
        assert figure.caption.endswith(".")
        assert figure.failure


def test_the_plan_has_two_views_and_the_slice_at_its_narrowest_place(drawn: Path) -> None:
    found = [f for f in read_index(drawn) if f.resection == "wedges"]
    assert [f.kind for f in found] == ["resection", "resection", "resection_slice"]
    assert "8.0 mm [7.4 to 8.6], set by the cut through parenchyma" in found[-1].caption.replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_the_specimen_is_drawn_in_its_colour_around_the_lesion(drawn: Path) -> None:
    """The specimen lies in the right half of the liver: left of the page's middle from the front."""
    front = pixels(drawn / "figures" / "resection_1_anterior.png")
    reddish = (front[..., 0] - front[..., 1] > 60) & (front[..., 1] - front[..., 2] < 60)
    assert np.nonzero(reddish)[1].size > 200
    assert np.nonzero(reddish)[1].mean() < 0.5 * front.shape[1]


def test_the_slice_shows_the_outline_of_the_specimen(drawn: Path) -> None:
    cut = pixels(drawn / "figures" / "resection_1_narrowest.png")
    assert (np.abs(cut - np.array(CUT_RGB)).max(axis=-1) < 40).sum() > 100


def test_a_resection_without_its_mask_is_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "meshes").symlink_to(folder / "meshes")
    assert not [f for f in draw_resections(tmp_path, example_case.report(), [], None, None) if f.resection]


def test_lesions_are_where_the_patient_has_them(drawn: Path) -> None:
    """Both lesions lie above the middle of the liver; seen from the front the larger is on the left of the page."""
    front = pixels(drawn / "figures" / "view_anterior.png")
    behind = pixels(drawn / "figures" / "view_posterior.png")
    assert middle_of(front, YELLOW)[1] < 0.5
    assert middle_of(front, YELLOW)[0] < 0.5 < middle_of(behind, YELLOW)[0]


def test_a_crash_of_the_graphics_driver_costs_no_picture(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "_by_vtk", lambda *_: None)
    monkeypatch.setattr(rendering, "SCENE_SIZE", (320, 270))
    (tmp_path / "meshes").symlink_to(folder / "meshes")
    render_case_pictures(tmp_path, example_case.report(), None, None)
    assert json.loads((tmp_path / "figures" / "index.json").read_text())["renderer"] == "software"
    front = pixels(tmp_path / "figures" / "view_anterior.png")
    assert middle_of(front, YELLOW)[0] < 0.5
    assert front.std() > 8


def test_a_child_that_dies_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering.sys, "executable", "/bin/false")
    parts = rendering.read_parts(folder / "meshes")
    assert rendering._by_vtk(parts, [Camera((0, 0, 0), (0, -1, 0), (0, 0, 1), 50)], [1.0]) is None


@pytest.mark.parametrize("by", ["vtk", "software"])
@pytest.mark.parametrize("view", ["anterior", "left", "superior"])
def test_what_is_drawn_over_a_picture_meets_what_is_in_it(folder: Path, by: str, view: str) -> None:
    """A lesion alone: the middle of its pixels is where the camera says that its centre is."""
    lesion = [part for part in rendering.read_parts(folder / "meshes") if part.name == "lesion_1"]
    centre = example_case.LESIONS[0][0]
    camera = Camera.looking(centre - (10.0, 20.0, 30.0), *STANDARD_VIEWS[view], 60.0)
    if by == "vtk":
        drawn = rendering._by_vtk(lesion, [camera], [1.0])
        if drawn is None:
            pytest.skip("no OpenGL on this machine")
        picture = drawn[0]
    else:
        picture = raster.draw([raster.Painted(p.mesh, p.rgb, 1.0) for p in lesion], camera, rendering.SCENE_SIZE)
    rows, columns = np.nonzero(picture.min(axis=-1) < 200)
    expected = camera.to_pixel(centre, (picture.shape[1], picture.shape[0]))
    assert np.allclose((columns.mean(), rows.mean()), expected[:2], atol=0.01 * picture.shape[1])


def test_a_damaged_surface_is_left_out_and_the_rest_is_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "liver.stl").write_bytes((folder / "meshes" / "liver.stl").read_bytes())
    (tmp_path / "portal_vein.stl").write_bytes(b"solid nonsense")
    (tmp_path / "holiday.stl").write_bytes((folder / "meshes" / "liver.stl").read_bytes())
    assert [part.name for part in rendering.read_parts(tmp_path)] == ["liver"]


def test_without_surfaces_there_are_slices_and_no_views(tmp_path: Path) -> None:
    masks = example_case.segmentation(COARSE)
    figures = render_case_pictures(tmp_path, example_case.report(), example_case.volume(COARSE), masks)
    assert {figure.kind for figure in figures} == {"slice"}


def test_slices_of_an_earlier_run_stay_when_only_the_views_are_drawn(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_draw_scenes", lambda *_: ([], "none"))
    kept = render_case_pictures(drawn, example_case.report(), None, None)
    assert [f.kind for f in kept if "slice" in f.kind] == ["slice"] * 6 + ["resection_slice"]


def test_a_lesion_without_any_clearance_still_has_slices(tmp_path: Path) -> None:
    report = example_case.report()
    report["lesions"] = report["lesions"][:1]
    report["lesions"][0] |= {"vessels": [], "limiting": {"kind": "none", "structure": None, "witness_lps_mm": None}}
    figures = render_case_pictures(tmp_path, report, example_case.volume(COARSE), example_case.segmentation(COARSE))
    assert all("no clearance was measured" in figure.caption for figure in figures)


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flip", [1, -1])
def test_slices_show_the_patients_right_on_the_left_however_the_image_is_stored(
    turn: tuple[int, ...], flip: int
) -> None:
    """A bright block in the patient's right, anterior, superior corner is on the left and on top of every slice."""
    affine = np.zeros((4, 4))
    for column, axis in enumerate(turn):
        affine[axis, column] = flip * 2.0
    affine[3, 3] = 1.0
    grid = Grid((30, 30, 30), affine)
    world = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    centre = world.reshape(-1, 3).mean(axis=0)
    corner = (world[..., 0] < centre[0]) & (world[..., 1] < centre[1]) & (world[..., 2] > centre[2])
    image = Volume(grid, np.where(corner, 200.0, 0.0).astype(np.float32)).canonical()
    masks = Segmentation(grid, {Structure.LIVER: np.zeros(grid.shape, np.uint8)}).canonical()
    inside = world[corner].mean(axis=0)
    for plane in PLANES:
        view = View.through(plane, image.grid, [inside[0], inside[1], inside[2]], 60.0, 100)
        canvas = slice_canvas(
            View(plane, image.grid, view.index, _middle(image.grid, plane), 100 / 60.0, 100), image, masks, None
        )
        picture = np.asarray(canvas._image.resize((100, 100)).convert("L")).astype(float)
        quadrants = {"left top": picture[:50, :50], "right bottom": picture[50:, 50:]}
        assert quadrants["left top"].mean() > 180 > 60 > quadrants["right bottom"].mean()
        assert {"axial": "RA", "coronal": "RS", "sagittal": "AS"}[plane.name] == view.letters()[
            "left"
        ] + view.letters()["top"]


def _middle(grid: Grid, plane: object) -> tuple[float, float]:
    spacing = grid.spacing_mm
    return 14.5 * spacing[plane.right], 14.5 * spacing[plane.down]  # type: ignore[attr-defined]


def test_a_millimetre_is_equally_long_in_both_directions_of_a_thick_slice() -> None:
    grid = Grid.from_spacing((50, 50, 20), (0.7, 0.7, 5.0))
    view = View.through(PLANES[1], grid, [17.0, 17.0, 50.0], 100.0, 400)
    start, right, up = view.to_pixel(grid.to_index([[10, 17, 40], [20, 17, 40], [10, 17, 50]]))
    assert right[0] - start[0] == pytest.approx(40.0)
    assert start[1] - up[1] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("view", "letters"), [("anterior", "RS"), ("posterior", "LS"), ("superior", "LA"), ("inferior", "RA")]
)
def test_the_letters_of_a_view_are_the_patients(view: str, letters: str) -> None:
    to, up = STANDARD_VIEWS[view]
    edges = Camera.looking([0, 0, 0], to, up, 10.0).edge_letters()
    assert edges["left"] + edges["top"] == letters


def test_a_standard_view_shows_every_point() -> None:
    cloud = np.random.default_rng(2).normal(0, 60, (200, 3))
    for view in STANDARD_VIEWS:
        at = standard_camera(view, cloud, 640 / 540).to_pixel(cloud, (640, 540))
        assert ((at[:, :2] >= 0) & (at[:, :2] <= (640, 540))).all()


_coordinate = st.floats(-80, 80)


@given(st.tuples(_coordinate, _coordinate, _coordinate), st.tuples(_coordinate, _coordinate, _coordinate))
def test_a_close_up_shows_its_line_at_full_length(start: tuple[float, ...], end: tuple[float, ...]) -> None:
    length = float(np.linalg.norm(np.subtract(end, start)))
    if length < 1e-3:
        return
    camera = witness_camera([start, end], 40.0, np.zeros((0, 3)))
    a, b = camera.to_pixel([start, end], (640, 540))
    assert np.hypot(*(a - b)[:2]) / camera.pixels_per_mm((640, 540)) == pytest.approx(length, rel=1e-6)


def test_a_close_up_looks_past_what_would_hide_the_line() -> None:
    wall = np.random.default_rng(3).normal((0, -30, 0), 4, (500, 3))
    camera = witness_camera([(0, 0, -5), (0, 0, 5)], 40.0, wall)
    assert np.dot(camera.towards_viewer, ANTERIOR) < 0.9


def test_cameras_are_right_handed() -> None:
    camera = Camera.looking([0, 0, 0], ANTERIOR, SUPERIOR, 10.0)
    assert np.allclose(camera.axes[0], LEFT)
    assert np.linalg.det(camera.axes) == pytest.approx(1.0)

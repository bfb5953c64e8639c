"""The interactive part of report.html: packed surfaces and slices, a table that is looked up, scripts by hash alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import example_case
import numpy as np
import pytest

from liverplan.io.meshes import write_stl
from liverplan.report.figures import FOLDER
from liverplan.report.html import render_html
from liverplan.report.interactive import interactive, read_data, table, three_js
from liverplan.report.interactive_scene import write_scene
from liverplan.report.interactive_stack import coarse_lattice, write_stack
from liverplan.report.rendering import read_parts
from liverplan.volume import Grid

SPACING = (3.0, 3.0, 4.0)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the example's surfaces, scene.json and stack.json."""
    out = tmp_path_factory.mktemp("case")
    (out / FOLDER).mkdir()
    for name, mesh in example_case.meshes(SPACING).items():
        write_stl(out / "meshes" / f"{name}.stl", mesh)
    write_scene(out, example_case.report(), read_parts(out / "meshes"))
    write_stack(out, example_case.volume(SPACING), example_case.segmentation(SPACING))
    return out


def opened(text: str, kind: str) -> Any:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_surfaces_come_back_to_a_hundredth_of_a_millimetre(drawn: Path) -> None:
    scene = json.loads((drawn / FOLDER / "scene.json").read_text())
    liver = next(part for part in scene["parts"] if part["name"] == "liver")
    steps = opened(liver["points"], "<u2").reshape(-1, 3)
    points = np.array(scene["low_lps_mm"]) + steps / 65535 * np.array(scene["size_mm"])
    faces = opened(liver["faces"], "<u4" if liver["wide"] else "<u2").reshape(-1, 3)
    a, b, c = points[faces].transpose(1, 0, 2)
    volume_ml = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6000
    assert volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(example_case.LIVER_AXES) / 1000, rel=0.02)
    middle = (points[faces].min(axis=(0, 1)) + points[faces].max(axis=(0, 1))) / 2
    assert middle == pytest.approx(example_case.LIVER_CENTRE, abs=1.0)
    assert scene["focus_lps_mm"] == pytest.approx(middle, abs=0.5)


def test_slices_and_outlines_lie_where_the_image_has_them(drawn: Path) -> None:
    stack = json.loads((drawn / FOLDER / "stack.json").read_text())
    i, j, k = stack["shape"]
    bits = opened(stack["bits"], "u1").reshape(k, j, i)
    lesions = next(outline["bit"] for outline in stack["outlines"] if outline["title"] == "Lesions")
    inside = np.argwhere(bits >> lesions & 1)[:, ::-1]
    world = inside @ np.array(stack["affine_lps"])[:, :3].T + np.array(stack["affine_lps"])[:, 3]
    near = [np.linalg.norm(world - centre, axis=1) <= radius + 2.5 for centre, radius in example_case.LESIONS]
    assert np.any(near, axis=0).all()
    assert all(each.any() for each in near)
    back = world @ np.array(stack["to_index"])[:, :3].T + np.array(stack["to_index"])[:, 3]
    assert back == pytest.approx(inside, abs=0.01)


def test_the_ring_lies_at_the_distance_to_the_lesions_within_a_voxel(drawn: Path) -> None:
    stack = json.loads((drawn / FOLDER / "stack.json").read_text())
    i, j, k = stack["shape"]
    reach = opened(stack["reach"], "u1").reshape(k, j, i).transpose(2, 1, 0)
    places = np.argwhere(reach < 255)
    world = places @ np.array(stack["affine_lps"])[:, :3].T + np.array(stack["affine_lps"])[:, 3]
    exact = np.min([np.linalg.norm(world - c, axis=1) - r for c, r in example_case.LESIONS], axis=0)
    shown = reach[tuple(places.T)] * stack["reach_step_mm"]
    near = (exact > 0) & (exact < 30)
    assert np.abs(shown - exact)[near].max() < max(SPACING)


def test_a_coarse_lattice_is_never_finer_than_the_image_and_keeps_to_its_voxels() -> None:
    grid = Grid.from_spacing((500, 400, 300), (0.5, 0.5, 1.0))
    lattice = coarse_lattice(grid, 1_000_000)
    assert np.prod(lattice.shape) <= 1_000_000
    assert all(a >= b for a, b in zip(lattice.spacing_mm, grid.spacing_mm, strict=True))
    assert lattice.origin_lps_mm == grid.origin_lps_mm


def test_the_slider_looks_up_what_the_curve_says_in_words() -> None:
    report = example_case.report()
    rows = table(report)["rows"]
    assert [row["margin_mm"] for row in rows] == [row["margin_mm"] for row in report["margin_curve"]]
    seven = next(row for row in rows if row["margin_mm"] == 7)
    assert seven["functional"] == "90.9\N{NO-BREAK SPACE}% [88.6 to 92.8]"
    assert table(report)["start_mm"] == 7


def test_a_margin_above_the_bound_is_excluded_and_one_below_is_not_proved() -> None:
    report = example_case.report()
    report["lesions"][0]["margin_upper_mm"] = {"value": 10.0, "low": 9.5, "high": 10.5}
    said = {row["margin_mm"]: row["lesions"][0] for row in table(report)["rows"]}
    assert said[9] == "not excluded by the bound; only a measured plan shows that it can be reached"
    assert said[10] == "inside the bound's interval: not decided"
    assert said[11] == "excluded: above the bound and its interval"
    report["lesions"][0]["margin_upper_mm"] = {"value": None, "reason": "no veins"}
    assert {row["lesions"][0] for row in table(report)["rows"]} == {"the bound is not assessable"}


def test_only_the_scripts_of_the_page_may_run(drawn: Path) -> None:
    html = render_html(example_case.report(), [], {}, {}, read_data(drawn))
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    allowed = re.search(r"script-src ([^\"]*)\"", html)
    assert allowed is not None
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts]
    assert allowed[1].split() == hashes
    assert len(scripts) == 2


def test_the_library_comes_with_its_licence() -> None:
    library = three_js()
    assert "SPDX-License-Identifier: MIT" in library
    assert "THREE={}" in library


def test_what_does_not_fit_is_left_out_and_said(drawn: Path) -> None:
    data, report = read_data(drawn), example_case.report()
    everything = interactive(report, data, 15_000_000)
    assert everything is not None
    assert everything["left_out"] == []
    room = len(three_js()) + len(data["scene.json"]) + 40_000
    without_slices = interactive(report, data, room)
    assert without_slices is not None
    assert without_slices["left_out"] == ["slices"]
    assert without_slices["scene"]
    nothing = interactive(report, data, 1000)
    assert nothing is not None
    assert nothing["left_out"] == ["3D", "slices"]


def test_pictures_that_would_make_the_page_too_large_are_named_instead() -> None:
    from liverplan.report.figures import Figure

    figures = [Figure(f"{n}.png", "slice" if n else "view", 1, "t", "c", "f") for n in range(4)]
    html = render_html(example_case.report(), figures, {f.file: bytes(3_000_000) for f in figures})
    assert len(html) < 15_000_000
    assert "found in the folder figures: 2.png, 3.png" in html


def test_a_damaged_file_leaves_the_page_without_that_part(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "scene.json").write_text("{")
    (tmp_path / FOLDER / "stack.json").write_text("[]")
    assert read_data(tmp_path) == {}

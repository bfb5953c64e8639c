"""Vena cava and hepatic veins in one mask are split at the confluence, whatever the grid."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from liverplan.anatomy import Structure
from liverplan.io.segmentations import read_segmentation
from liverplan.io.venous import split_venous_system
from liverplan.volume import Grid, Reorientation

WORLD_MM = (140.0, 130.0, 170.0)
"""A box of this size from the origin; the liver is an ellipsoid in it, the cava runs behind it."""


def points(grid: Grid) -> np.ndarray:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def capsule(x: np.ndarray, start, end, radius: float, oval: float = 1.0) -> np.ndarray:
    """Points within `radius` of a segment; `oval` stretches the cross-section along x by that factor."""
    scale = np.array([1 / oval, 1.0, 1.0])
    a, b = np.array(start) * scale, np.array(end) * scale
    t = np.clip(((x * scale - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(x * scale - (a + t[..., None] * (b - a)), axis=-1) <= radius


@functools.cache
def anatomy(name: str, cava_mm: float = 10.0, oval: float = 1.0, top_mm: float = 165.0) -> dict[str, np.ndarray]:
    grid = GRIDS[name]
    x = points(grid)
    low, high = (75.0, 105.0, 5.0), (80.0, 85.0, top_mm)
    confluence = np.array([79.0, 88.0, 135.0])
    cava = capsule(x, low, high, cava_mm, oval)
    hepatic = np.zeros(grid.shape, bool)
    for tip, radius in (((25, 70, 80), 4.5), ((65, 30, 85), 4.0), ((115, 45, 100), 4.0)):
        middle = (confluence + np.array(tip)) / 2 + [0, 0, 8]
        hepatic |= capsule(x, confluence, middle, radius) | capsule(x, middle, tip, 0.65 * radius)
    hepatic |= capsule(x, (76, 100, 75), (45, 75, 70), 2.5)  # an inferior right hepatic vein, straight into the cava
    renal = capsule(x, (75, 104, 20), (135, 115, 12), 4.0) | capsule(x, (75, 104, 18), (15, 115, 10), 4.0)
    liver = (((x - [65, 55, 95]) / [62, 48, 48]) ** 2).sum(-1) <= 1
    groove = capsule(x, low, high, cava_mm + 1.0, oval)
    return {"liver": liver & ~groove, "cava": cava | (renal & ~hepatic), "hepatic": hepatic & ~cava}


GRIDS = {
    "1.8 mm": Grid.from_spacing((78, 72, 94), (1.8, 1.8, 1.8)),
    "1.2 x 1.2 x 2.5 mm": Grid.from_spacing((117, 108, 68), (1.2, 1.2, 2.5)),
    "1.2 x 1.2 x 5 mm": Grid.from_spacing((117, 108, 34), (1.2, 1.2, 5.0)),
}


def errors_ml(got: np.ndarray, true: np.ndarray, grid: Grid) -> tuple[float, float]:
    """(wrongly called hepatic vein, hepatic vein missed) in mL."""
    return float((got & ~true).sum() * grid.voxel_ml), float((true & ~got).sum() * grid.voxel_ml)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("cava_mm", "oval"), [(10.0, 1.0), (12.0, 1.25), (7.0, 1.8)])
def test_cava_and_hepatic_veins_come_apart_at_the_confluence(name: str, cava_mm: float, oval: float) -> None:
    grid = GRIDS[name]
    true = anatomy(name, cava_mm=cava_mm, oval=oval)
    split = split_venous_system(true["cava"] | true["hepatic"], true["liver"], grid)
    assert split.found
    assert not (split.vena_cava & split.hepatic_veins).any()
    assert ((split.vena_cava | split.hepatic_veins) == (true["cava"] | true["hepatic"])).all()
    wrong, missed = errors_ml(split.hepatic_veins, true["hepatic"], grid)
    total = float(true["hepatic"].sum() * grid.voxel_ml)
    assert wrong < 0.06 * total
    assert missed < 0.2 * total
    assert f"{split.hepatic_veins.sum() * grid.voxel_ml:.1f} mL" in split.note


def test_tributaries_outside_the_liver_stay_with_the_cava() -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm")
    split = split_venous_system(true["cava"] | true["hepatic"], true["liver"], grid)
    assert not split.hepatic_veins[:, :, :17].any()


def test_a_liver_drawn_without_its_vessels_gives_the_same_split() -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm")
    venous = true["cava"] | true["hepatic"]
    whole = split_venous_system(venous, true["liver"], grid)
    carved = split_venous_system(venous, true["liver"] & ~venous, grid)
    assert (whole.hepatic_veins != carved.hepatic_veins).sum() * grid.voxel_ml < 1.0


def test_a_liver_drawn_over_the_cava_gives_the_same_split() -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm")
    venous = true["cava"] | true["hepatic"]
    over = true["liver"] | (true["cava"] & (points(grid)[..., 2] > 60) & (points(grid)[..., 2] < 140))
    split = split_venous_system(venous, over, grid)
    wrong, _ = errors_ml(split.hepatic_veins, true["hepatic"], grid)
    assert wrong < 0.06 * true["hepatic"].sum() * grid.voxel_ml


def test_a_cava_that_ends_at_the_confluence_is_found_as_well() -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm", top_mm=136.0)
    split = split_venous_system(true["cava"] | true["hepatic"], true["liver"], grid)
    wrong, missed = errors_ml(split.hepatic_veins, true["hepatic"], grid)
    total = float(true["hepatic"].sum() * grid.voxel_ml)
    assert split.found
    assert wrong < 0.1 * total
    assert missed < 0.2 * total


@pytest.mark.parametrize(
    ("axes", "flips"), [((0, 1, 2), (False, False, True)), ((2, 0, 1), (True, True, False)), ((1, 0, 2), (True,) * 3)]
)
def test_the_split_does_not_depend_on_the_voxel_order(axes, flips) -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm")
    venous, liver = true["cava"] | true["hepatic"], true["liver"]
    expected = split_venous_system(venous, liver, grid).hepatic_veins
    turn = Reorientation(axes, flips)
    split = split_venous_system(turn.apply(venous), turn.apply(liver), turn.grid(grid))
    assert np.array_equal(split.hepatic_veins, turn.apply(expected))


def test_hepatic_veins_alone_are_not_split() -> None:
    grid = GRIDS["1.8 mm"]
    true = anatomy("1.8 mm")
    split = split_venous_system(true["hepatic"], true["liver"], grid)
    assert not split.found
    assert not split.vena_cava.any()
    assert (split.hepatic_veins == true["hepatic"]).all()


@pytest.mark.shared
def test_a_real_venous_system_is_split(shared_data: Path) -> None:
    from liverplan.io.images import read_file

    masks = shared_data / "ircad17" / "masks"
    grid = read_file(masks / "liver.nii.gz").grid
    segmentation = read_segmentation(masks, grid)
    volume_ml = {s: float(segmentation.mask(s).sum() * grid.voxel_ml) for s in segmentation.masks}
    assert volume_ml[Structure.LIVER] == pytest.approx(1860.6, rel=0.002)
    assert volume_ml[Structure.VENA_CAVA] + volume_ml[Structure.HEPATIC_VEINS] == pytest.approx(110.3, abs=0.1)
    hepatic = segmentation.mask(Structure.HEPATIC_VEINS)
    inside = (hepatic & segmentation.mask(Structure.LIVER)).sum() / hepatic.sum()
    assert inside > 0.75
    assert any("arteries.nii.gz, bone.nii.gz" in note for note in segmentation.notes)

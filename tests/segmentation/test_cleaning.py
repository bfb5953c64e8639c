"""From labels to structures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from liverplan.anatomy import Structure
from liverplan.errors import SegmentationRefused
from liverplan.segmentation.cleaning import SHELL_MM, clean, cut_off, filled, without_islands, without_shells

SPACING = (2.0, 2.0, 2.0)


def labelled() -> np.ndarray:
    """A liver of 1000 mL with a lesion, a vessel within it and crossing its edge, and debris."""
    labels = np.zeros((80, 80, 80), dtype=np.uint8)
    labels[15:65, 15:65, 15:65] = 1
    labels[30:36, 30:36, 30:36] = 2
    labels[40:46, 40:46, 10:60] = 3
    labels[2:5, 2:5, 2:5] = 1
    labels[70:73, 70:73, 70:73] = 2
    return labels


def test_the_liver_is_one_piece_with_its_lesions_and_inner_vessels() -> None:
    masks, _ = clean(labelled(), SPACING)
    liver = masks[Structure.LIVER]
    assert liver[32, 32, 32]
    assert liver[42, 42, 40]
    assert not liver[42, 42, 10]
    assert not liver[3, 3, 3]


def test_lesions_lie_inside_the_liver() -> None:
    masks, _ = clean(labelled(), SPACING)
    assert masks[Structure.LESIONS].sum() > 0.8 * 6**3
    assert not (masks[Structure.LESIONS] & ~masks[Structure.LIVER]).any()


def test_vessels_go_on_outside_the_liver() -> None:
    masks, _ = clean(labelled(), SPACING)
    assert masks[Structure.PORTAL_VEIN][42, 42, 10]


def test_an_implausible_structure_is_left_out_with_a_note() -> None:
    labels = labelled()
    labels[0:78, 66:78, 0:78] = 5
    masks, notes = clean(labels, SPACING)
    assert Structure.VENA_CAVA not in masks
    assert any("Inferior vena cava" in note for note in notes)
    assert any("Hepatic veins" in note for note in notes)


def test_a_spot_that_hangs_out_of_the_liver_is_no_lesion_and_is_said() -> None:
    labels = labelled()
    labels[62:72, 30:40, 30:40] = 2
    masks, notes = clean(labels, SPACING)
    assert not masks[Structure.LESIONS][66, 34, 34]
    assert masks[Structure.LESIONS][32, 32, 32]
    assert any("1 spot(s)" in note for note in notes)


def test_vessels_that_do_not_reach_the_liver_and_a_second_vena_cava_go() -> None:
    labels = labelled()
    labels[70:76, 70:76, 20:40] = 3
    labels[66:74, 20:28, 5:75] = 5
    labels[0:12, 70:80, 5:75] = 5
    masks, _ = clean(labels, SPACING)
    assert not masks[Structure.PORTAL_VEIN][72, 72, 30]
    assert masks[Structure.VENA_CAVA].sum() == 8 * 8 * 70


def test_what_passes_the_liver_on_a_short_way_is_no_vena_cava() -> None:
    labels = labelled()
    labels[66:76, 20:32, 5:25] = 5
    masks, notes = clean(labels, SPACING)
    assert Structure.VENA_CAVA not in masks
    assert any("Inferior vena cava" in note for note in notes)


def test_a_thin_layer_is_no_lesion_and_a_small_ball_is() -> None:
    mask = np.zeros((40, 40, 40), dtype=bool)
    mask[5:35, 5:35, 5:7] = True
    ball = sum((g - c) ** 2 for g, c in zip(np.indices(mask.shape), (20, 20, 25), strict=True)) <= 2.5**2
    kept = without_shells(mask | ball, (1.0, 1.0, 1.0))
    assert not kept[:, :, 5:7].any()
    assert kept[ball].mean() > 0.8


def test_too_little_liver_is_refused() -> None:
    labels = np.zeros((40, 40, 40), dtype=np.uint8)
    labels[10:20, 10:20, 10:20] = 1
    with pytest.raises(SegmentationRefused, match="plausible"):
        clean(labels, SPACING)


def test_islands_go_and_pieces_stay() -> None:
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:4, 1:4, 1:4] = True
    mask[8, 8, 8] = True
    assert without_islands(mask, 5).sum() == 27
    assert not without_islands(np.zeros_like(mask), 5).any()


def test_a_liver_that_ends_inside_the_scan_is_not_cut_off() -> None:
    liver = np.zeros((4, 4, 6), dtype=bool)
    liver[1:3, 1:3, 1:3] = True
    assert cut_off(liver, (slice(0, 4), slice(0, 4), slice(5, 11)), (4, 4, 20)) == []
    assert cut_off(liver, (slice(0, 4), slice(0, 4), slice(0, 6)), (4, 4, 3)) != []


def blobs(seed: int, share: float = 0.3) -> np.ndarray:
    """Irregular pieces of all sizes, some at the array's ends."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(34, 28, 22)), 1.8)
    return field > np.quantile(field, 1 - share)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_filled_are_the_holes_that_are_enclosed_on_all_sides(seed: int) -> None:
    mask = blobs(seed, 0.6)
    assert np.array_equal(filled(mask), ndimage.binary_fill_holes(mask))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_thin_layers_are_found_piece_by_piece_as_over_the_whole_array(seed: int) -> None:
    mask, spacing = blobs(seed), (0.8, 1.1, 1.6)
    reach_mm = SHELL_MM + min(spacing) / 2
    deep = ndimage.distance_transform_edt(mask, spacing) > reach_mm
    pieces, n = ndimage.label(mask, np.ones((3, 3, 3)))
    expected = np.zeros_like(mask)
    for number in range(1, n + 1):
        core = deep & (pieces == number)
        if core.any():
            expected |= (pieces == number) & (ndimage.distance_transform_edt(~deep, spacing) <= reach_mm)
    assert np.array_equal(without_shells(mask, spacing), expected)


def test_pieces_that_touch_nothing_are_islands_too() -> None:
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:4, 1:4, 1:4] = mask[8:11, 8:11, 8:11] = True
    place = np.zeros_like(mask)
    place[3:6, 3:6, 3:6] = True
    assert without_islands(mask, 5, place).sum() == 27

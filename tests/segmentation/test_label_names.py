"""What a foreign model's class names mean here: known names, a mapping file, and nothing guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import ball

from liverplan.anatomy import Structure
from liverplan.errors import ModelError, SegmentationRefused
from liverplan.segmentation.backends.labels import as_segmentation, map_names
from liverplan.volume import Grid


def test_names_are_known_however_they_are_written(tmp_path: Path) -> None:
    names = [
        "background",
        "Liver",
        "Portal Vein and Splenic Vein",
        "inferior-vena-cava",
        "liver_segment_8",
        "Hepatic vessel",
    ]
    mapped = map_names(names, tmp_path)
    assert mapped.unused == ()
    assert mapped.targets == {
        "Liver": (Structure.LIVER, 1),
        "Portal Vein and Splenic Vein": (Structure.PORTAL_VEIN, 1),
        "inferior-vena-cava": (Structure.VENA_CAVA, 1),
        "liver_segment_8": (Structure.COUINAUD, 8),
        "Hepatic vessel": (Structure.LIVER_VESSELS, 1),
    }


def test_a_tumour_is_a_lesion_of_the_liver_only_where_there_is_no_other_organ(tmp_path: Path) -> None:
    assert map_names(["background", "liver", "cancer"], tmp_path).targets["cancer"] == (Structure.LESIONS, 1)
    other = map_names(["background", "liver", "pancreas", "cancer"], tmp_path)
    assert "cancer" not in other.targets
    assert other.unused == ("pancreas", "cancer")
    assert "pancreas, cancer" in other.note()[0]


def test_no_liver_and_a_mapping_that_does_not_fit_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="liver"):
        map_names(["background", "spleen"], tmp_path)
    for text, said in (
        ('[labels]\n"lung" = "liver"', "none of the model's classes"),
        ('[labels]\n"spleen" = "gut"', "'gut'"),
        ("labels = 3", "does not load"),
        ("[labels", "does not load"),
    ):
        (tmp_path / "liverplan.toml").write_text(text)
        with pytest.raises(ModelError, match=said):
            map_names(["background", "spleen"], tmp_path)


GRID = Grid.from_spacing((60, 60, 60), (3.0, 3.0, 3.0))
LIVER = ball(GRID, (80, 80, 80), (60, 60, 60))
INNER, OUTER = ball(GRID, (80, 80, 80), (10, 10, 10)), ball(GRID, (165, 165, 165), (8, 8, 8))


def drawn(tmp_path: Path, liver: np.ndarray, tumour: np.ndarray):
    mapped = map_names(["liver", "tumour"], tmp_path)
    layers = {"liver": liver, "tumour": tumour}
    return as_segmentation(GRID, mapped, lambda name: layers[name], {"name": "x", "sha256": "0" * 64}, [])


def test_the_liver_becomes_the_whole_organ_and_what_lies_away_from_it_is_left_out(tmp_path: Path) -> None:
    masks = drawn(tmp_path, LIVER & ~INNER, INNER | OUTER)
    assert np.array_equal(masks.mask(Structure.LIVER), LIVER)
    assert np.array_equal(masks.mask(Structure.LESIONS), INNER)
    assert any("away from the liver" in note for note in masks.notes)


def test_a_model_that_found_no_lesion_says_that_it_looked(tmp_path: Path) -> None:
    masks = drawn(tmp_path, LIVER, np.zeros_like(LIVER))
    assert Structure.LESIONS in masks.masks
    assert not masks.has(Structure.LESIONS)


def test_no_plausible_liver_is_refused(tmp_path: Path) -> None:
    for liver in (INNER, np.zeros_like(LIVER)):
        with pytest.raises(SegmentationRefused, match="no plausible liver"):
            drawn(tmp_path, liver, np.zeros_like(LIVER))

"""Is the scan good enough? Each check fails for its own reason."""

import numpy as np
import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.lesions import LesionMap, find_lesions
from liverplan.quality import assess
from liverplan.volume import Segmentation, Volume

LESION = (simple_case.Ball((12.0, 3.0, -27.0), 6.0),)


@pytest.fixture(scope="module")
def case():
    drawn = simple_case.masks(simple_case.grid((2.0, 2.0, 2.0)), LESION)
    return simple_case.image(drawn.grid, drawn), drawn


def status(quality, name):
    return {check.check: check.status for check in quality.checks}[name]


def assessed(image, drawn, **changed_facts):
    image = Volume(image.grid, image.array, image.modality, {**image.facts, **changed_facts})
    return assess(image, drawn, find_lesions(drawn.masks[Structure.LESIONS], drawn.grid), {})


def test_a_portal_phase_scan_of_the_whole_liver_passes(case):
    quality = assessed(*case, phase="portal venous")
    assert quality.liver_complete
    assert quality.thin_enough
    assert quality.enhanced is True
    assert status(quality, "phase") == "ok"


@pytest.mark.parametrize(
    ("thickness", "expected"), [("1.5", "warning"), ("2.5", "warning"), ("5.0", "warning"), ("7.5", "fail")]
)
def test_the_slice_thickness_of_the_file_counts_even_when_slices_overlap(case, thickness, expected):
    quality = assessed(*case, slice_thickness_mm=thickness)
    # The grid itself has 2 mm.
    assert status(quality, "slice_thickness") == expected
    assert quality.thin_enough == (expected != "fail")


def test_a_liver_cut_off_by_the_scan_is_incomplete(case):
    image, drawn = case
    part = (slice(None), slice(None), slice(20, None))
    grid = drawn.grid.cropped(
        (slice(0, drawn.grid.shape[0]), slice(0, drawn.grid.shape[1]), slice(20, drawn.grid.shape[2]))
    )
    cut = Segmentation(grid, {s: m[part] for s, m in drawn.masks.items()})
    quality = assess(Volume(grid, image.array[part], "CT"), cut, LesionMap(np.zeros(grid.shape, np.int32), (), ()), {})
    assert not quality.liver_complete
    assert status(quality, "liver_coverage") == "fail"


def test_veins_as_grey_as_the_liver_are_in_doubt(case):
    image, drawn = case
    flat = image.array.copy()
    flat[drawn.mask(Structure.HEPATIC_VEINS)] = 115
    quality = assessed(Volume(image.grid, flat, "CT"), drawn)
    assert quality.enhanced is False
    assert status(quality, "contrast_hepatic_veins") == "warning"
    assert status(quality, "contrast_portal_vein") == "ok"


def test_contrast_that_cannot_be_measured_is_unknown_not_good(case):
    image, drawn = case
    assert assessed(Volume(image.grid, image.array, "MR"), drawn).enhanced is None


def test_a_missing_vein_and_a_models_mask_are_named(case):
    image, drawn = case
    masks = {s: m for s, m in drawn.masks.items() if s is not Structure.PORTAL_VEIN}
    quality = assessed(image, Segmentation(drawn.grid, masks, "model", {"name": "m", "sha256": "0" * 64}, ("a note",)))
    names = [check.check for check in quality.checks]
    assert "structure_portal_vein" in names
    assert "masks_read_by_person" in names
    assert any(check.message == "a note" for check in quality.checks)

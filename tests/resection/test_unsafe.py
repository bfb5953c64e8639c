"""Where nothing can be proven no resection is called met, in the record as in the terminal."""

import numpy as np
import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.plan import plan
from liverplan.protocol import load_protocol
from liverplan.quantity import Unknown
from liverplan.record import to_record
from liverplan.volume import Segmentation
from simple_case import Ball

LESION = (Ball((-22.0, 4.0, 36.0), 7.0),)


def planned(spacing=(2.0, 2.0, 2.0), origin="given", cut_above_mm=None):
    drawn = simple_case.masks(simple_case.grid(spacing), LESION)
    masks = dict(drawn.masks)
    if cut_above_mm is not None:
        keep = drawn.grid.to_world(np.stack(np.indices(drawn.grid.shape), -1))[..., 2] <= cut_above_mm
        first = int(np.flatnonzero(~keep.any((0, 1)))[0])
        masks = {s: np.ascontiguousarray(m[:, :, :first]) for s, m in masks.items()}
    box = (slice(0, drawn.grid.shape[0]), slice(0, drawn.grid.shape[1]), slice(0, masks[Structure.LIVER].shape[2]))
    model = {"name": "any", "sha256": "0" * 64} if origin == "model" else None
    drawn = Segmentation(drawn.grid.cropped(box), masks, origin, model)
    return plan(simple_case.image(drawn.grid, drawn), drawn, load_protocol())


def test_the_same_masks_read_by_a_person_give_a_resection_that_meets():
    assert "met" in {r.meets for r in planned().resections}


def test_on_masks_that_nobody_read_every_resection_is_undetermined():
    result = planned(origin="model")
    assert result.resections
    assert {r.meets for r in result.resections} == {"undetermined"}
    assert {row["meets_protocol"] for row in to_record(result)["resections"]} == {"undetermined"}
    assert result.verdict.wide_margin == "undetermined"
    assert isinstance(result.fresh, Unknown)


def test_on_slices_too_thick_every_resection_is_undetermined():
    result = planned(spacing=(2.0, 2.0, 6.0))
    assert {r.meets for r in result.resections} == {"undetermined"}
    assert result.verdict.wide_margin == "undetermined"


@pytest.mark.parametrize("origin", ["given", "model"])
def test_of_a_liver_that_the_scan_cuts_off_no_remnant_is_told_and_no_resection_meets(origin):
    result = planned(origin=origin, cut_above_mm=48.0)
    assert result.remnant_known is not None
    assert result.resections
    assert "met" not in {r.meets for r in result.resections}
    for row in to_record(result)["resections"]:
        assert row["flr_percent"]["value"] is None
        assert row["remnant_ml"] is None
        assert row["devascularised_ml"] is None

"""Errors of clearance and remnant on a liver that can be computed by hand: what moves the lesion moves the number."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simple_case
from liverplan.anatomy import Structure
from liverplan.evaluation.planning import NEAREST_VESSEL, PlanErrors
from liverplan.evaluation.run import CaseResult, evaluate_case, summarise, without_image
from liverplan.protocol import load_protocol
from liverplan.quantity import Quantity, Unknown
from liverplan.volume import Segmentation
from simple_case import HEPATIC, PORTAL, Ball, clearance_mm

GRID = simple_case.grid((1.6, 1.6, 1.6))
WANTED = (Ball((-22.0, 4.0, 36.0), 8.0), Ball((12.0, 3.0, -32.0), 7.0))
DRAWN = (Ball((-22.0, 4.0, 33.0), 8.0), Ball((12.0, 3.0, -32.0), 7.0))
"""The first lesion is drawn 3 mm too low, nearer to both veins; the second one as it is."""


def result(drawn: Segmentation, wanted: Segmentation) -> CaseResult:
    return evaluate_case("one", without_image(wanted), drawn, wanted, load_protocol())


@pytest.fixture(scope="module")
def shifted() -> CaseResult:
    return result(simple_case.masks(GRID, DRAWN), simple_case.masks(GRID, WANTED))


def errors_of(case: CaseResult) -> PlanErrors:
    assert isinstance(case.plans, PlanErrors)
    return case.plans


def test_the_error_of_clearance_is_how_much_nearer_the_drawn_lesion_is(shifted: CaseResult) -> None:
    assert [lesion.found for lesion in shifted.lesions.lesions] == [True, True]
    found = {(c.lesion, c.structure): c.error for c in errors_of(shifted).clearances}
    for name, tube in (("portal_vein", PORTAL), ("hepatic_veins", HEPATIC)):
        expected = clearance_mm(DRAWN[0], tube) - clearance_mm(WANTED[0], tube)
        assert found[1, name].value == pytest.approx(expected, abs=0.35)
        assert found[2, name].value == pytest.approx(0.0, abs=0.05)
    nearest = [min(clearance_mm(b[0], t) for t in (PORTAL, HEPATIC)) for b in (DRAWN, WANTED)]
    assert found[1, NEAREST_VESSEL].value == pytest.approx(nearest[0] - nearest[1], abs=0.35)
    assert found[1, NEAREST_VESSEL].inside is True


def test_the_error_of_the_remnant_is_that_of_the_shapes(shifted: CaseResult) -> None:
    margin = load_protocol().limits.wide_margin_mm
    theirs, ours = (simple_case.truth(b, margin, 1.0) for b in (WANTED, DRAWN))
    measures = errors_of(shifted).measures
    for name, key in (("functional_flr_percent", "flr_percent"), ("geometric_flr_percent", "geometric_flr_percent")):
        assert measures[name].value == pytest.approx(ours[key] - theirs[key], abs=2.0)
    assert errors_of(shifted).margin_mm == margin


def test_predicted_intervals_are_those_of_a_models_masks(shifted: CaseResult) -> None:
    error = errors_of(shifted).clearances[0].error
    assert isinstance(error.predicted, Quantity)
    assert isinstance(error.reference, Quantity)
    assert error.predicted.high - error.predicted.low > 2 * (error.reference.high - error.reference.low)


def test_a_lesion_that_was_not_found_has_no_error_and_says_so() -> None:
    case = result(simple_case.masks(GRID, DRAWN[1:]), simple_case.masks(GRID, WANTED))
    missed = [c.error for c in errors_of(case).clearances if c.lesion == 1]
    assert missed
    assert all(isinstance(e.value, Unknown) and "not found" in e.value.reason for e in missed)
    summary = summarise([case])
    assert summary.clearances[NEAREST_VESSEL].bias.n == 1
    assert summary.clearances[NEAREST_VESSEL].unknown == {"the lesion was not found": 1}
    assert summary.lesions.sensitivity.value == 0.5


def test_a_vessel_that_was_not_drawn_leaves_its_numbers_unknown() -> None:
    wanted = simple_case.masks(GRID, WANTED[1:])
    masks = {s: m for s, m in wanted.masks.items() if s is not Structure.HEPATIC_VEINS}
    measures = errors_of(case := result(Segmentation(GRID, masks), wanted)).measures
    assert isinstance(measures["functional_flr_percent"].predicted, Unknown)
    assert measures["geometric_flr_percent"].value == pytest.approx(0.0, abs=1e-9)
    unknown = [c.error.value for c in errors_of(case).clearances if c.structure == "hepatic_veins"]
    assert [u.reason for u in unknown] == ["the vessel was not drawn"]


def test_a_prediction_without_liver_keeps_its_scores_and_says_why_there_is_no_plan() -> None:
    wanted = simple_case.masks(GRID, WANTED[1:])
    empty = Segmentation(GRID, {Structure.LIVER: np.zeros(GRID.shape, dtype=np.uint8)}, "model")
    case = result(empty, wanted)
    assert isinstance(case.plans, Unknown)
    assert "liver" in case.plans.reason
    assert case.structures[0].values["dice"] == 0.0
    assert summarise([case]).measures == {}

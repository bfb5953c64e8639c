"""Keep it or divide it, on the straight tubes whose answer is known (tests/simple_case.py)."""

from __future__ import annotations

import numpy as np
import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.distance import BoundaryError
from liverplan.lesions import find_lesions
from liverplan.margin import liver_cells, loss_field
from liverplan.resection.choices import vessel_choices
from liverplan.resection.workspace import Workspace
from liverplan.vessels import trace_hepatic_tree, trace_portal_tree
from simple_case import CAVA, LIVER_RADIUS_MM, PORTAL, Ball, clearance_mm, tube_distance_mm

LESION = Ball((10.0, 0.0, -26.0), 6.0)
WIDE_MM = 7.0


@pytest.fixture(scope="module")
def work():
    drawn = simple_case.masks(simple_case.grid((1.2, 1.2, 1.2)), (LESION,))
    grid, liver = drawn.grid, drawn.mask(Structure.LIVER)
    found = find_lesions(drawn.masks[Structure.LESIONS], grid)
    portal = trace_portal_tree(drawn.mask(Structure.PORTAL_VEIN), liver, grid)
    hepatic = trace_hepatic_tree(drawn.mask(Structure.HEPATIC_VEINS), drawn.mask(Structure.VENA_CAVA), grid)
    error = BoundaryError()
    field = loss_field(liver_cells(liver, found.labels, grid), found.lesions, portal, hepatic, grid, error)
    return Workspace(grid, liver, found.labels, field, None, None, error)


def beyond_the_division_ml() -> tuple[float, float]:
    """Tumour-free liver whose foot on the portal tube lies beyond its first place within the margin, and in percent."""
    start, end, radius = PORTAL
    t = np.linspace(0.0, 1.0, 4001)
    axis = start + t[:, None] * (end - start)
    cut = t[np.linalg.norm(axis - np.array(LESION.centre), axis=1) - LESION.radius_mm - radius <= WIDE_MM].min()
    line = np.arange(-56.0, 56.0, 1.0) + 0.5
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[(np.linalg.norm(points, axis=1) <= LIVER_RADIUS_MM) & (tube_distance_mm(points, CAVA) > 0)]
    points = points[np.linalg.norm(points - np.array(LESION.centre), axis=1) > LESION.radius_mm]
    foot = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0.0, 1.0)
    return float((foot > cut).sum()) / 1000.0, 100.0 * float((foot > cut).mean())


def test_keeping_the_vein_means_its_clearance_as_margin(work):
    (choice,) = vessel_choices(work, 0, WIDE_MM)
    truth = clearance_mm(LESION, PORTAL)
    assert choice.structure is Structure.PORTAL_VEIN
    assert choice.margin_if_kept.value_mm == pytest.approx(truth, abs=0.4)
    assert choice.margin_if_kept.low_mm <= truth <= choice.margin_if_kept.high_mm
    assert choice.diameter_mm == pytest.approx(8.0, abs=0.5)


def test_dividing_it_costs_what_lies_beyond(work):
    (choice,) = vessel_choices(work, 0, WIDE_MM)
    ml, percent = beyond_the_division_ml()
    assert choice.territory_percent == pytest.approx(percent, abs=1.0)
    assert choice.territory_ml == pytest.approx(ml, abs=0.01 * ml * 100.0 / percent)


def test_the_witness_joins_the_lesion_to_the_wall(work):
    (choice,) = vessel_choices(work, 0, WIDE_MM)
    start, end = np.array(choice.margin_if_kept.witness_lps_mm)
    assert np.linalg.norm(start - np.array(LESION.centre)) == pytest.approx(LESION.radius_mm, abs=0.6)
    assert tube_distance_mm(end, PORTAL) == pytest.approx(0.0, abs=0.6)


def test_a_vein_outside_the_wide_margin_is_no_choice(work):
    assert vessel_choices(work, 0, clearance_mm(LESION, PORTAL) - 1.0) == ()


def test_a_wide_enough_margin_asks_about_both_veins_the_larger_territory_first(work):
    found = vessel_choices(work, 0, 45.0)
    assert {c.structure for c in found} == {Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS}
    assert [c.territory_ml for c in found] == sorted((c.territory_ml for c in found), reverse=True)

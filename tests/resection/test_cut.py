"""The cut against planes through an ellipsoid, where margins, volumes and areas have a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import ball, beyond, cap_ml, grid, measured, section_cm2, workspace

from liverplan.quantity import Distance, Quantity
from liverplan.resection.approach import directions
from liverplan.resection.cut import parenchymal_margin
from simple_case import Ball

LESION = Ball((6.3, -4.1, 9.2), 6.0)
FINE, THICK = (0.8, 0.8, 0.8), (0.8, 0.8, 2.5)


def planes(count: int) -> list[tuple[np.ndarray, float]]:
    """Planes below the lesion, in directions spread evenly over half the sphere, and the margin that each leaves."""
    margins = 1.0 + 11.0 * ((np.arange(count) * 0.618) % 1.0)
    return list(zip(directions(2 * count)[:count], margins.tolist(), strict=True))


def offset_mm(normal: np.ndarray, margin_mm: float) -> float:
    return float(normal @ np.array(LESION.centre)) - LESION.radius_mm - margin_mm


@pytest.mark.parametrize(("spacing", "bias", "spread"), [(FINE, 0.10, 0.30), (THICK, 0.25, 0.70)])
def test_margins_to_planes_are_as_exact_as_clearances_to_vessels(spacing, bias, spread):
    work = workspace(grid(spacing), [LESION])
    errors, held = [], []
    for normal, truth in planes(40):
        specimen = beyond(work, normal * offset_mm(normal, truth), normal)
        found = parenchymal_margin(work, 0, specimen, truth)
        errors.append(found.value_mm - truth)
        held.append(found.low_mm <= truth <= found.high_mm)
    assert abs(np.mean(errors)) <= bias
    assert np.quantile(np.abs(errors), 0.95) <= spread
    assert np.mean(held) >= 0.95


@pytest.fixture(scope="module", params=[FINE, THICK], ids=["0.8 mm", "0.8 x 0.8 x 2.5 mm"])
def cut_by_planes(request):
    work = workspace(grid(request.param), [LESION])
    found = []
    for normal, margin_mm in planes(6):
        offset = offset_mm(normal, margin_mm)
        found.append((normal, margin_mm, offset, measured(work, beyond(work, normal * offset, normal))))
    return found


def test_the_true_margin_lies_in_the_interval_of_a_measured_resection(cut_by_planes):
    for _, truth, _, each in cut_by_planes:
        margin = each.margins[0]
        assert isinstance(margin.distance, Distance)
        assert margin.distance.low_mm <= truth <= margin.distance.high_mm
        assert margin.by == "parenchyma"


def test_the_witness_joins_the_lesion_to_the_plane(cut_by_planes):
    for normal, _, offset, each in cut_by_planes:
        start, end = np.array(each.margin_mm.witness_lps_mm)
        assert np.linalg.norm(start - LESION.centre) == pytest.approx(LESION.radius_mm, abs=0.7)
        assert float(normal @ end) == pytest.approx(offset, abs=0.7)


def test_the_cap_has_its_volume_and_the_cut_its_area(cut_by_planes):
    for normal, _, offset, each in cut_by_planes:
        assert isinstance(each.volume_ml, Quantity)
        truth = cap_ml(normal, offset)
        assert each.volume_ml.value == pytest.approx(truth, rel=0.01)
        assert each.volume_ml.low <= truth <= each.volume_ml.high
        assert each.surface.area_cm2 == pytest.approx(section_cm2(normal, offset), rel=0.04)


def test_a_plane_is_less_curved_than_a_ball():
    work = workspace(grid((1.2, 1.2, 1.2)), [LESION])
    flat = measured(work, beyond(work, (0.0, 0.0, -6.0), (0.0, 0.0, 1.0)))
    round_ = measured(work, ball(work, LESION.centre, 14.0))
    assert flat.surface.mean_curvature_per_mm < 0.01
    assert round_.surface.mean_curvature_per_mm == pytest.approx(1.0 / 14.0, rel=0.25)
    assert round_.surface.area_cm2 == pytest.approx(4.0 * np.pi * 1.4**2, rel=0.05)


def test_the_capsule_is_no_cut_surface():
    # 1 mm below the capsule in x, and 8 mm above the cut: the margin is 8 mm.
    lesion = Ball((37.0, 0.0, 0.0), 6.0)
    work = workspace(grid(FINE), [lesion])
    normal = np.array([0.95, 0.2, -0.24])
    normal /= np.linalg.norm(normal)
    offset = float(normal @ np.array(lesion.centre)) - lesion.radius_mm - 8.0
    each = measured(work, beyond(work, normal * offset, normal))
    assert each.margin_mm.value_mm == pytest.approx(8.0, abs=0.3)


def test_a_cut_through_the_lesion_has_no_margin():
    work = workspace(grid((1.2, 1.2, 1.2)), [LESION])
    normal = np.array([0.0, 0.6, 0.8])
    each = measured(work, beyond(work, normal * offset_mm(normal, -2.0), normal))
    assert each.margin_mm.value_mm <= 0.0
    assert each.meets == "not_met"

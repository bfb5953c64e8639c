"""From where a wedge is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import ball, grid, workspace

from liverplan.resection.approach import best_wedge, directions, swept_level
from liverplan.resection.specimen import reaches_capsule, specimen_of
from liverplan.resection.workspace import Target
from simple_case import Ball

NEAR_THE_FRONT = Ball((4.0, -20.0, 3.0), 6.0)
MARGIN_MM = 8.0


@pytest.fixture(scope="module")
def work():
    return workspace(grid((1.5, 1.5, 1.5)), [NEAR_THE_FRONT])


def test_directions_have_length_one_and_leave_no_gap():
    ways = directions()
    assert np.allclose(np.linalg.norm(ways, axis=1), 1.0)
    anywhere = np.random.default_rng(0).normal(size=(2000, 3))
    anywhere /= np.linalg.norm(anywhere, axis=1, keepdims=True)
    assert np.degrees(np.arccos((anywhere @ ways.T).max(axis=1))).max() < 10.0


@pytest.mark.parametrize("way", [(0.0, -1.0, 0.0), (0.6, 0.0, 0.8), (-0.48, 0.6, -0.64)])
def test_a_sweep_holds_the_margin_region_and_opens_towards_the_capsule(work, way):
    specimen = specimen_of(work, swept_level(work, [0], MARGIN_MM, np.array(way)))
    region = ball(work, NEAR_THE_FRONT.centre, NEAR_THE_FRONT.radius_mm + MARGIN_MM - 0.5)
    assert not (region & ~specimen).any()
    assert reaches_capsule(work, specimen)
    index = np.argwhere(specimen)
    from_lesion = work.grid.to_world(index) - np.array(NEAR_THE_FRONT.centre)
    along = from_lesion @ np.array(way)
    across = np.linalg.norm(from_lesion - along[:, None] * np.array(way), axis=1)
    widest = NEAR_THE_FRONT.radius_mm + MARGIN_MM + np.maximum(along, 0.0) * np.tan(np.radians(12.0))
    # The closed form of the swept ball: tangent cones lie outside by 1 / cos(12 degrees) at most.
    assert (across <= widest / np.cos(np.radians(12.0)) + 1.5).all()
    assert along.min() >= -(NEAR_THE_FRONT.radius_mm + MARGIN_MM + 1.5)


def test_a_lesion_near_the_front_is_taken_out_from_the_front(work):
    specimen = specimen_of(work, best_wedge(work, [0], Target(MARGIN_MM, MARGIN_MM - 0.3)))
    behind = np.argwhere(specimen & ~ball(work, NEAR_THE_FRONT.centre, 16.0))
    to_front = work.grid.to_world(behind)[:, 1] < NEAR_THE_FRONT.centre[1] + 1.5
    assert len(behind) > 0
    assert to_front.all()
    other = specimen_of(work, swept_level(work, [0], MARGIN_MM, np.array([0.0, 1.0, 0.0])))
    assert specimen.sum() < other.sum()

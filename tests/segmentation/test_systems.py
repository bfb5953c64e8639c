"""A branch belongs to the tree that it hangs on, whatever the network says of it."""

from __future__ import annotations

import numpy as np
import pytest

from liverplan.segmentation.systems import CAVA, HEPATIC, PORTAL, tell_apart

SHAPE, SPACING_MM = (60, 40, 40), 1.5
LIVER = 1


def tube(axis: int, at: tuple[int, int], ends: tuple[int, int], half: int) -> tuple[slice, ...]:
    """Voxels of a square tube along an axis. at: its place along the two others."""
    sides = [slice(c - half, c + half + 1) for c in at]
    return (*sides[:axis], slice(*ends), *sides[axis:])


def scored(*parts: tuple[tuple[slice, ...], int, float]) -> np.ndarray:
    """Logits of liver with boxes of a class in it, each with the lead of its class over the other system."""
    scores = np.zeros((6, *SHAPE), dtype=np.float32)
    scores[LIVER] = 5.0
    for box, code, lead in parts:
        scores[(slice(None), *box)] = 0.0
        if code == CAVA:
            scores[(CAVA, *box)] = 9.0
            continue
        other = PORTAL + HEPATIC - code
        scores[(code, *box)], scores[(other, *box)] = 9.0, 9.0 - lead
    return scores


PORTAL_TRUNK = tube(0, (20, 20), (0, 16), 3)
CAVA_TUBE = tube(2, (54, 20), (0, 40), 3)
HEPATIC_TRUNK = tube(0, (20, 20), (44, 51), 2)


def systems(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores.argmax(axis=0))


def test_a_branch_that_the_network_calls_hepatic_is_portal_where_it_hangs_on_the_portal_trunk() -> None:
    branch = tube(0, (20, 20), (16, 34), 1)
    scores = scored(
        (PORTAL_TRUNK, PORTAL, 6.0), (branch, HEPATIC, 1.0), (CAVA_TUBE, CAVA, 0.0), (HEPATIC_TRUNK, HEPATIC, 6.0)
    )
    labels = systems(tell_apart(scores, SPACING_MM))
    assert (labels[branch] == PORTAL).all()
    assert (labels[HEPATIC_TRUNK] == HEPATIC).all()
    assert (labels[CAVA_TUBE] == CAVA).all()


def test_veins_of_both_systems_that_touch_keep_their_trees() -> None:
    portal_branch, hepatic_branch = tube(0, (20, 20), (16, 30), 1), tube(0, (23, 20), (26, 44), 1)
    scores = scored(
        (PORTAL_TRUNK, PORTAL, 6.0), (portal_branch, PORTAL, 2.0), (CAVA_TUBE, CAVA, 0.0),
        (HEPATIC_TRUNK, HEPATIC, 6.0), (hepatic_branch, HEPATIC, 2.0),
    )  # fmt: skip
    before = systems(scores)
    changed = np.argwhere(systems(tell_apart(scores, SPACING_MM)) != before)
    assert changed[:, 0].min(initial=26) >= 26
    assert changed[:, 0].max(initial=26) < 30, "nothing beyond the place where they touch"


@pytest.mark.parametrize(("gap_voxels", "follows"), [(3, True), (12, False)])
def test_a_branch_is_followed_across_a_small_gap_and_beyond_a_wide_one_the_network_decides(
    gap_voxels: int, follows: bool
) -> None:
    branch = tube(0, (20, 20), (16 + gap_voxels, 20 + gap_voxels), 1)
    scores = scored(
        (PORTAL_TRUNK, PORTAL, 6.0), (branch, HEPATIC, 1.0), (tube(2, (54, 20), (0, 40), 3), CAVA, 0.0),
        (tube(0, (20, 20), (49, 51), 2), HEPATIC, 6.0),
    )  # fmt: skip
    labels = systems(tell_apart(scores, SPACING_MM))
    assert (labels[branch] == (PORTAL if follows else HEPATIC)).all()


def test_without_veins_of_both_systems_or_any_cava_nothing_breaks() -> None:
    for parts in ([], [(PORTAL_TRUNK, PORTAL, 6.0)], [(HEPATIC_TRUNK, HEPATIC, 6.0)]):
        scores = scored(*parts)
        before = scores.copy()
        assert (tell_apart(scores, SPACING_MM) == before).all()
    scores = scored((PORTAL_TRUNK, PORTAL, 6.0), (HEPATIC_TRUNK, HEPATIC, 6.0))
    before = scores.copy()
    assert (tell_apart(scores, SPACING_MM) == before).all()


def test_only_the_two_systems_are_exchanged_and_what_they_have_together_stays() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0.0, 2.0, (6, *SHAPE)).astype(np.float32)
    before = scores.copy()
    tell_apart(scores, SPACING_MM)
    others = [code for code in range(6) if code not in (PORTAL, HEPATIC)]
    assert (scores[others] == before[others]).all()
    assert (np.sort(scores[[PORTAL, HEPATIC]], axis=0) == np.sort(before[[PORTAL, HEPATIC]], axis=0)).all()

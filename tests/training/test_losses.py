"""The loss: exact labels, and labels that only say what a voxel may be."""

from __future__ import annotations

import pytest
import torch

from liverplan.training.losses import EITHER_VEIN, LIVER_OR_INSIDE, LabelSetDiceCE, centreline_loss, course_loss


def logits_for(labels: torch.Tensor, n_classes: int, confidence: float = 12.0) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, n_classes).movedim(-1, 1).float() * confidence


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    truth = torch.randint(0, 6, (1, 8, 8, 8))
    loss = LabelSetDiceCE(6)
    assert float(loss(logits_for(truth, 6), truth)) < 0.01
    assert float(loss(logits_for((truth + 1) % 6, 6), truth)) > 1.5


@pytest.mark.parametrize("inside", [1, 2, 3, 4])
def test_a_voxel_known_to_be_in_the_liver_may_be_any_of_its_tissues(inside: int) -> None:
    target = torch.full((1, 4, 4, 4), LIVER_OR_INSIDE)
    answer = torch.full((1, 4, 4, 4), inside)
    assert float(LabelSetDiceCE(6)(logits_for(answer, 6), target)) < 0.01


def test_but_it_may_not_be_background() -> None:
    target = torch.full((1, 4, 4, 4), LIVER_OR_INSIDE)
    answer = torch.zeros((1, 4, 4, 4), dtype=torch.long)
    assert float(LabelSetDiceCE(6)(logits_for(answer, 6), target)) > 5.0


def test_a_patch_without_any_foreground_has_a_finite_gradient() -> None:
    logits = torch.zeros((1, 6, 4, 4, 4), requires_grad=True)
    loss = LabelSetDiceCE(6)(logits, torch.zeros((1, 4, 4, 4), dtype=torch.long))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_vein_of_unknown_kind_may_be_portal_or_hepatic_and_nothing_else() -> None:
    target, loss = torch.full((1, 4, 4, 4), EITHER_VEIN), LabelSetDiceCE(6)
    cost = {c: float(loss(logits_for(torch.full((1, 4, 4, 4), c), 6), target)) for c in range(6)}
    assert max(cost[3], cost[4]) < 0.01
    assert min(cost[0], cost[1], cost[2], cost[5]) > 5.0


def tube(radius: float, gap: bool = False) -> torch.Tensor:
    """A tube along k through the middle, (1, 1, 20, 20, 24); with a gap of four voxels."""
    i, j = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    round_ = (((i - 9.5) ** 2 + (j - 9.5) ** 2) <= radius**2).float()
    out = round_[:, :, None].repeat(1, 1, 24)
    if gap:
        out[:, :, 10:14] = 0.0
    return out[None, None]


def test_the_centreline_loss_is_nothing_for_the_truth_and_for_a_thinner_tube_of_the_same_course() -> None:
    assert float(centreline_loss(tube(3.0), tube(3.0))) == pytest.approx(0.0, abs=1e-3)
    assert float(centreline_loss(tube(2.0), tube(3.0))) < 0.1


def test_a_gap_costs_the_share_of_the_course_that_is_missing() -> None:
    missing = float(centreline_loss(tube(3.0, gap=True), tube(3.0)))
    assert missing == pytest.approx(1.0 - 2.0 * (20 / 24) / (1 + 20 / 24), abs=0.03)


def test_no_vein_in_a_patch_costs_no_centreline() -> None:
    assert float(centreline_loss(tube(3.0), torch.zeros_like(tube(3.0)))) == 0.0


@pytest.mark.parametrize("code", [3, 4, EITHER_VEIN])
def test_a_broken_vein_costs_more_with_the_centreline_loss_whichever_vein_it_is(code: int) -> None:
    target = (tube(3.0)[0] * code).long()
    broken = (tube(3.0, gap=True)[0] * min(code, 4)).long()
    logits = logits_for(broken, 6)
    plain, strict = LabelSetDiceCE(6), LabelSetDiceCE(6, centreline_weight=1.0)
    assert float(strict(logits, target) - plain(logits, target)) == pytest.approx(
        1 - 2 * (20 / 24) / (1 + 20 / 24), abs=0.03
    )


def test_where_nobody_said_what_is_vein_no_centreline_is_asked_for() -> None:
    target = torch.full((1, 20, 20, 24), LIVER_OR_INSIDE)
    logits = logits_for((tube(3.0)[0] * 3).long() + 1, 6)
    assert float(LabelSetDiceCE(6, centreline_weight=1.0)(logits, target)) == pytest.approx(
        float(LabelSetDiceCE(6)(logits, target))
    )


def course_tube(gap: bool = False) -> torch.Tensor:
    """The same about a voxel's centre, (1, 20, 20, 24): skeletons of tubes of even width vanish."""
    return tube(3.0, gap)[0] * tube(3.0, gap)[0].roll((1, 1), (1, 2))


@pytest.mark.parametrize("code", [3, 4, EITHER_VEIN])
def test_a_gap_in_a_vein_costs_its_share_of_the_course_whichever_vein_it_is(code: int) -> None:
    target = (course_tube() * code).long()
    broken = torch.softmax(logits_for((course_tube(gap=True) * min(code, 4)).long(), 6), 1)
    whole = torch.softmax(logits_for((course_tube() * min(code, 4)).long(), 6), 1)
    assert float(course_loss(broken, target)) == pytest.approx(4 / 22, abs=0.02)  # the skeleton ends before the tube
    assert float(course_loss(whole, target)) < 0.01


def test_a_vein_under_the_wrong_name_costs_its_whole_course() -> None:
    target = (course_tube() * 4).long()
    swapped = logits_for((course_tube() * 3).long(), 6)
    assert float(course_loss(torch.softmax(swapped, 1), target)) > 0.99
    assert float(LabelSetDiceCE(6, course_weight=1.0)(swapped, target) - LabelSetDiceCE(6)(swapped, target)) > 0.99


def test_no_vein_in_a_patch_costs_no_course() -> None:
    assert float(course_loss(torch.rand(1, 6, 8, 8, 8), torch.ones((1, 8, 8, 8), dtype=torch.long))) == 0.0

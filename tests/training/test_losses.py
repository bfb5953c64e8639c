"""The loss: exact labels, and labels that only say what a voxel may be."""

from __future__ import annotations

import pytest
import torch

from liverplan.training.losses import EITHER_VEIN, LIVER_OR_INSIDE, LabelSetDiceCE


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

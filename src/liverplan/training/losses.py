"""Dice and cross entropy that can learn from scans on which only some structures are labelled.

Targets hold codes. Codes below the number of classes are exact. The others say what a voxel may be:
a voxel of a real scan with a liver label only is "liver or anything inside it", and the probability that counts is the
sum over the classes allowed (Fidon et al., MICCAI 2021, label-set loss).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

LIVER_OR_INSIDE = 6
HEALTHY_OR_VESSEL = 7
NOT_LIVER = 8
NOT_LIVER_NOT_CAVA = 9
EITHER_VEIN = 10

_ALLOWED = {
    LIVER_OR_INSIDE: (1, 2, 3, 4),
    HEALTHY_OR_VESSEL: (1, 3, 4),
    NOT_LIVER: (0, 3, 4, 5),
    NOT_LIVER_NOT_CAVA: (0, 3, 4),
    EITHER_VEIN: (3, 4),
}
_VEINS = (3, 4)
_SKELETON_STEPS = 4
"""Erosions until a tube is a line: half the width, in voxels, of a portal trunk at 1.5 mm."""


def allowed_classes(n_classes: int) -> torch.Tensor:
    """(codes, classes) table of 0 and 1: which classes a code allows."""
    table = torch.zeros(max(_ALLOWED) + 1, n_classes)
    for code in range(min(n_classes, 6)):
        table[code, code] = 1.0
    for code, classes in _ALLOWED.items():
        table[code, [c for c in classes if c < n_classes]] = 1.0
    return table


class LabelSetDiceCE(torch.nn.Module):
    """Cross entropy over allowed classes plus soft Dice of the foreground over the exactly labelled voxels.

    centreline_weight: of `centreline_loss` over both vein systems as one. course_weight: of `course_loss` of each
    system. Either is added when positive.
    """

    def __init__(
        self,
        n_classes: int,
        class_weights: tuple[float, ...] | None = None,
        centreline_weight: float = 0.0,
        course_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.centreline_weight = centreline_weight if n_classes > 4 else 0.0
        self.course_weight = course_weight if n_classes > 4 else 0.0
        allowed = allowed_classes(n_classes)
        weights = torch.ones(len(allowed))
        weights[:n_classes] = torch.tensor(class_weights or (1.0,) * n_classes)
        if n_classes > 4:
            weights[EITHER_VEIN] = weights[3:5].mean()
        self.register_buffer("allowed", allowed)
        self.register_buffer("weights", weights)
        self.n_classes = n_classes

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """logits (B, C, i, j, k); target (B, i, j, k) int64 codes."""
        probabilities = torch.softmax(logits, dim=1)
        loss = self._cross_entropy(probabilities, target) + self._dice(probabilities, target)
        if self.centreline_weight > 0:
            loss = loss + self.centreline_weight * self._centreline(probabilities, target)
        if self.course_weight > 0:
            loss = loss + self.course_weight * course_loss(probabilities, target)
        return loss

    def _cross_entropy(self, probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        allowed = self.allowed[target].movedim(-1, 1)  # type: ignore[index]
        likely = (probabilities * allowed).sum(1).clamp_min(1e-6)
        weight = self.weights[target]  # type: ignore[index]
        return -(weight * likely.log()).sum() / weight.sum()

    def _dice(self, probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        exact = target < self.n_classes
        truth = torch.nn.functional.one_hot(target.where(exact, 0), self.n_classes).movedim(-1, 1).float()
        truth, guess = truth * exact[:, None], probabilities * exact[:, None]
        both = (truth * guess).sum((0, 2, 3, 4))
        size = truth.sum((0, 2, 3, 4)) + guess.sum((0, 2, 3, 4))
        present = truth.sum((0, 2, 3, 4)) > 0
        present[0] = False
        loss = 1.0 - (2 * both + 1.0) / (size + 1.0)
        return loss[present].mean() if bool(present.any()) else probabilities.sum() * 0.0

    def _centreline(self, probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Of both vein systems as one, where vein or not is known: which is which, the other terms say."""
        truth = torch.isin(target, torch.tensor((*_VEINS, EITHER_VEIN), device=target.device))
        known = (target < self.n_classes) | truth
        guess = probabilities[:, list(_VEINS)].sum(1) * known
        return centreline_loss(guess[:, None], truth[:, None].float())


def centreline_loss(guess: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 - clDice of soft skeletons (Shit et al., CVPR 2021), 0 without any truth; both (B, 1, i, j, k) in 0 to 1."""
    from monai.losses.cldice import soft_skel

    if not bool(truth.any()):
        return guess.sum() * 0.0
    with torch.no_grad():
        course = soft_skel(truth, _SKELETON_STEPS)
    own = soft_skel(guess, _SKELETON_STEPS)
    precise = ((own * truth).sum() + 1e-3) / (own.sum() + 1e-3)
    sensitive = ((course * guess).sum() + 1e-3) / (course.sum() + 1e-3)
    loss: torch.Tensor = 1.0 - 2.0 * precise * sensitive / (precise + sensitive)
    return loss


def course_loss(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Share of the veins' true courses that is not given to their own system, mean over the systems in `target`.

    The courses are skeletons of the labels, widened by a voxel (skeleton recall: Kirchhoff et al., ECCV 2024). Other
    than `centreline_loss` it tells portal from hepatic, and it needs no skeleton of the guess, which is what takes time
    there. It asks for every branch and does not punish what is too much: Dice does.
    probabilities: (B, C, i, j, k). target: (B, i, j, k) codes. 0 without veins.
    """
    codes, terms = target.cpu().numpy(), []
    for code, classes in (*((vein, [vein]) for vein in _VEINS), (EITHER_VEIN, list(_VEINS))):
        course = torch.from_numpy(np.stack([_course(item == code) for item in codes])).to(probabilities.device)
        if bool(course.any()):
            terms.append(1.0 - probabilities[:, classes].sum(1)[course].mean())
    return torch.stack(terms).mean() if terms else probabilities.sum() * 0.0


def _course(vein: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    from scipy import ndimage
    from skimage.morphology import skeletonize

    return np.asarray(ndimage.binary_dilation(skeletonize(vein), np.ones((3, 3, 3))) & vein)

"""Samples and scores from prepared cases: patches with codes for what is known, and Dice on held-out patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from liverplan.anatomy import Structure
from liverplan.errors import InputError
from liverplan.segmentation.cascade import MARGIN_MM
from liverplan.segmentation.intensity import scaled
from liverplan.segmentation.windows import class_scores, labels_of
from liverplan.training.anatomies import LabelArray
from liverplan.training.config import TrainingConfig
from liverplan.training.loop import Validate
from liverplan.training.losses import allowed_classes
from liverplan.training.preprocessed import EITHER_VESSEL, PreparedCase
from liverplan.training.real import RealScan, cut_real_patch
from liverplan.training.synthesis import LOCATE_CLASSES, SEGMENT_CLASSES, Patch, Recipe
from liverplan.training.validate import dice
from liverplan.volume import bounding_box

_CLASSES = {
    Structure.LESIONS: 2,
    Structure.PORTAL_VEIN: 3,
    Structure.HEPATIC_VEINS: 4,
    Structure.VENA_CAVA: 5,
}
WHOLE_LIVER = (1, 2, 3, 4, EITHER_VESSEL)
"""Values of the prepared labels, and classes of the network, that make up the organ with its vessels."""


class Source(Protocol):
    """Whatever draws the sample with a number, always the same one."""

    def draw(self, number: int) -> Patch: ...


@dataclass(frozen=True)
class FolderSource:
    """Patches cut from prepared cases, each case as often as the others."""

    config: TrainingConfig
    cases: Sequence[PreparedCase]

    @cached_property
    def scans(self) -> list[RealScan]:
        return [
            RealScan(case.name, case.image(), target_codes(case.labels(), case.labelled, self.config.n_classes))
            for case in self.cases
        ]

    @property
    def recipe(self) -> Recipe:
        locate = self.config.stage == "locate"
        classes = LOCATE_CLASSES if locate else SEGMENT_CLASSES
        return Recipe(self.config.patch, self.config.spacing_mm, classes, 0.7 if locate else 0.85)

    def draw(self, number: int) -> Patch:
        """The sample with this number."""
        rng = np.random.default_rng([self.config.seed, 1, number])
        return cut_real_patch(self.scans[int(rng.integers(len(self.scans)))], self.recipe, rng)


@dataclass(frozen=True)
class MixedSource:
    """A share of the samples from one's own scans, the rest synthetic."""

    own: Source
    synthetic: Source
    share: float
    seed: int

    def draw(self, number: int) -> Patch:
        """The sample with this number."""
        own = np.random.default_rng([self.seed, 2, number]).random() < self.share
        return (self.own if own else self.synthetic).draw(number)


@dataclass(frozen=True)
class Interleaved:
    """What process `rank` of `world` draws: every world-th sample."""

    source: Source
    rank: int
    world: int

    def draw(self, number: int) -> Patch:
        """The sample with this number among this process's own."""
        return self.source.draw(number * self.world + self.rank)


def target_codes(labels: LabelArray, labelled: frozenset[Structure], n_classes: int) -> LabelArray:
    """Prepared labels as the target codes of `losses`: what is not labelled in this scan stays open.

    Where no code says exactly what a voxel may be, the smallest one that allows all of it is taken.
    Raises InputError when there is none.
    """
    table = np.zeros(256, dtype=np.uint8)
    allowed = allowed_classes(n_classes).bool().numpy()
    for value in range(EITHER_VESSEL + 1):
        wanted = _possible(value, labelled) if n_classes > 2 else frozenset({min(value, 1)})
        fitting = [n for n, row in enumerate(allowed) if row.any() and all(row[c] for c in wanted)]
        if not fitting:
            raise InputError(
                "the labels leave too much open to learn from",
                got=f"masks of {', '.join(sorted(s.value for s in labelled))}",
                wanted="at least the liver",
                do="Add masks of the other structures, or train the network that locates the liver only.",
            )
        table[value] = min(fitting, key=lambda n: (int(allowed[n].sum()), n))
    return table[labels]


def _possible(value: int, labelled: frozenset[Structure]) -> frozenset[int]:
    """Classes that a voxel with this label may belong to, given which structures somebody looked for."""
    if value == EITHER_VESSEL:
        return frozenset({3, 4})
    if value > 1:
        return frozenset({value})
    open_to = {c for s, c in _CLASSES.items() if s not in labelled}
    if value == 1:
        vessels_drawn = Structure.LIVER_VESSELS in labelled
        return frozenset({1} | (open_to & ({2} if vessels_drawn else {2, 3, 4})))
    return frozenset({0} | (open_to & {3, 4, 5}))


def folder_validator(config: TrainingConfig, cases: Sequence[PreparedCase]) -> Validate:
    """A function of the network: Dice per structure, mean over the held-out cases that label it, and their mean.

    Each scan is cut to the liver's box and what the second network sees around it when it runs.
    """

    def validate(network: torch.nn.Module) -> dict[str, float]:
        device = str(next(network.parameters()).device)
        found: dict[str, list[float]] = {}
        for case in cases:
            for name, value in _case_scores(network, case, config, device).items():
                found.setdefault(name, []).append(value)
        scores = {f"held_out_{name}": float(np.mean(values)) for name, values in found.items()}
        return {**scores, "score": float(np.mean(list(scores.values())))}

    return validate


def _case_scores(
    network: torch.nn.Module, case: PreparedCase, config: TrainingConfig, device: str
) -> Mapping[str, float]:
    labels, image = case.labels(), case.image()
    if config.stage == "segment":
        margin = round(MARGIN_MM / config.spacing_mm)
        box = bounding_box(np.isin(labels, (1, 2)), (margin, margin, margin))
        labels, image = labels[box], image[box]
    guess = labels_of(class_scores(network, scaled(np.asarray(image)), config.patch, 0.25, device))
    scores = {"liver": dice(np.isin(guess, WHOLE_LIVER), np.isin(labels, WHOLE_LIVER))}
    if config.stage == "segment":
        for structure, value in _CLASSES.items():
            if structure in case.labelled and (labels == value).any():
                scores[structure.value] = dice(guess == value, labels == value)
    return scores

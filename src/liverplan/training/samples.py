"""Samples by number: the n-th sample of a seed is always the same, whoever draws it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from queue import Full
from typing import Any

import numpy as np

from liverplan.errors import InputError
from liverplan.training.config import TrainingConfig
from liverplan.training.phantoms import read_phantoms
from liverplan.training.real import RealScan, cut_real_patch, read_real_scans, read_whole_scan
from liverplan.training.synthesis import LOCATE_CLASSES, SEGMENT_CLASSES, Patch, Recipe, draw_patch

FOLDERS = {"locate": ("locate",), "segment": ("vessels", "real_veins")}
"""Folders of the label bank that each stage learns from."""
_WITH_LESIONS = 0.6
"""Share of the patches of real scans whose liver, where a reader drew only that, gets drawn lesions."""
_WHOLE_COUNTS = 4
"""How often the whole scan is drawn for each time that a slab or a crop is."""


@dataclass(frozen=True)
class SampleSource:
    """The label bank in memory, real scans beside it, and the recipe."""

    config: TrainingConfig
    maps: list[Any]
    scans: list[RealScan]

    @classmethod
    def load(cls, config: TrainingConfig, bank: Path, data: Path | None) -> SampleSource:
        """Raises InputError when the bank is empty."""
        paths = [path for folder in FOLDERS[config.stage] for path in sorted((bank / folder).glob("*.npz"))]
        if not paths:
            raise InputError(
                "the label bank is empty",
                got=str(bank / FOLDERS[config.stage][0]),
                wanted=".npz files written by the bank's preparation",
                do="Run `liverplan train CONFIG --data FOLDER`, which prepares the bank first.",
            )
        maps = [np.load(path)["labels"] for path in paths]
        scans = _scans(config, bank, data) if data and config.real_share > 0 else []
        return cls(config, maps, scans)

    @property
    def recipe(self) -> Recipe:
        patch, spacing_mm, modality = self.config.patch, self.config.spacing_mm, self.config.modality
        if self.config.stage == "locate":
            return Recipe(patch, spacing_mm, LOCATE_CLASSES, drawn_vessels=True, modality=modality)
        return Recipe(patch, spacing_mm, SEGMENT_CLASSES, 0.85, max_lesions=5, deformation_mm=5.0, modality=modality)

    def draw(self, number: int) -> Patch:
        """The sample with this number."""
        rng = np.random.default_rng([self.config.seed, number])
        if self.scans and rng.random() < self.config.real_share:
            scan = self.scans[int(rng.integers(len(self.scans)))]
            return cut_real_patch(scan, self.recipe, rng, _WITH_LESIONS)
        return draw_patch(self.maps[int(rng.integers(len(self.maps)))], self.recipe, rng)


def _scans(config: TrainingConfig, bank: Path, data: Path) -> list[RealScan]:
    """Real scans, all of them CT, and for the structures of a CT also the project's own phantoms."""
    own = config.stage == "segment" and config.modality == "CT"
    phantoms = read_phantoms(bank, config.spacing_mm) if own else []
    whole = [read_whole_scan(data, config.stage, config.spacing_mm)] * _WHOLE_COUNTS if config.whole_scan else []
    return read_real_scans(data, config.stage, config.spacing_mm) + phantoms + whole


def drawn_ahead(source: SampleSource, first: int, ahead: int = 6) -> Generator[Patch]:
    """Samples `first`, `first` + 1, ... drawn by one process of their own."""
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue(ahead)
    worker = context.Process(target=_fill, args=(source, first, queue), daemon=True)
    worker.start()
    try:
        while True:
            sample = queue.get(timeout=600)
            if isinstance(sample, Exception):
                raise sample
            yield sample
    finally:
        worker.kill()
        worker.join()


def _fill(source: SampleSource, first: int, queue: Any) -> None:
    # The fork inherits whatever the parent does on a signal, which would wait here for samples that nobody fetches.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    number, parent = first, os.getppid()
    while os.getppid() == parent:
        try:
            queue.put(source.draw(number), timeout=60)
        except Full:
            continue
        except Exception as error:
            queue.put(error)
            return
        number += 1
    queue.cancel_join_thread()

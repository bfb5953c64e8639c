"""Scans that may be trained on, and the one that may only validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liverplan.training import losses
from liverplan.training.bank import HELD_OUT
from liverplan.training.real import cut_real_patch, read_real_scans, read_validation, read_whole_scan
from liverplan.training.synthesis import SEGMENT_CLASSES, Recipe


@pytest.mark.shared
def test_only_licensed_scans_are_trained_on_and_the_validation_scan_is_not_among_them(shared_data: Path) -> None:
    scans = read_real_scans(shared_data, "segment", 3.0)
    names = " ".join(scan.name for scan in scans)
    assert len(scans) == 5
    assert not any(evaluate_only in names for evaluate_only in ("ircad", "tcga", "_mr", "lits0"))
    assert HELD_OUT == ("LiTS-000",)
    patch = cut_real_patch(scans[0], Recipe((32, 32, 32), 3.0, SEGMENT_CLASSES), np.random.default_rng(0))
    assert patch.image.min() >= -1.0
    assert patch.image.max() <= 1.0


@pytest.mark.shared
def test_the_validation_scan_keeps_its_volume_when_resampled(shared_data: Path) -> None:
    _, liver = read_validation(shared_data, 3.0)
    assert abs(liver.sum() * 0.027 - 1365.5) < 25


@pytest.mark.shared
def test_learnt_from_the_whole_scan_says_where_liver_is_and_not_what_lies_in_it(shared_data: Path) -> None:
    scan = read_whole_scan(shared_data, "segment", 3.0)
    assert set(np.unique(scan.codes)) == {losses.NOT_LIVER, losses.LIVER_OR_INSIDE}
    assert abs((scan.codes == losses.LIVER_OR_INSIDE).sum() * 0.027 - 1365.5) < 25
    assert set(np.unique(read_whole_scan(shared_data, "locate", 3.0).codes)) == {0, 1}

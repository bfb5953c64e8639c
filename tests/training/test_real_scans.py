"""Scans that may be trained on, and the one that may only validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from liverplan.training import losses
from liverplan.training.bank import HELD_OUT
from liverplan.training.real import RealScan, cut_real_patch, read_real_scans, read_validation, read_whole_scan
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


def test_a_real_patch_for_mr_hides_what_hounsfield_units_say_and_keeps_its_labels() -> None:
    """Liver and spleen of one CT: brighter or darker than each other by chance, at the same places as in the CT."""
    hounsfield = np.full((40, 40, 40), -1000.0, dtype=np.float32)
    hounsfield[4:20, 8:32, 8:32], hounsfield[20:36, 8:32, 8:32] = 110.0, 150.0
    codes = np.full(hounsfield.shape, losses.NOT_LIVER, dtype=np.uint8)
    codes[4:20, 8:32, 8:32] = losses.LIVER_OR_INSIDE
    scan = RealScan("made here", hounsfield, codes)
    brighter = []
    for seed in range(40):
        ct = cut_real_patch(scan, Recipe((24, 24, 24), 3.0, SEGMENT_CLASSES), np.random.default_rng(seed))
        mr = cut_real_patch(
            scan, Recipe((24, 24, 24), 3.0, SEGMENT_CLASSES, modality="MR"), np.random.default_rng(seed)
        )
        assert np.array_equal(ct.target, mr.target)
        liver, other = mr.target == losses.LIVER_OR_INSIDE, (mr.target == losses.NOT_LIVER) & (ct.image > 0.2)
        if min(liver.sum(), other.sum()) > 200:
            brighter.append(mr.image[liver].mean() > mr.image[other].mean())
    assert 0.2 < np.mean(brighter) < 0.8


def test_lesions_are_drawn_only_where_nobody_said_what_the_liver_is() -> None:
    hounsfield = np.full((40, 40, 40), 110.0, dtype=np.float32)
    codes = np.full(hounsfield.shape, losses.LIVER_OR_INSIDE, dtype=np.uint8)
    codes[:, :20] = 1
    scan, recipe = RealScan("made here", hounsfield, codes), Recipe((32, 32, 32), 3.0, SEGMENT_CLASSES)
    drawn = 0
    for seed in range(20):
        plain = cut_real_patch(scan, recipe, np.random.default_rng(seed))
        given = cut_real_patch(scan, recipe, np.random.default_rng(seed), with_lesions=1.0)
        lesions = given.target == 2
        assert not (plain.target == 2).any()
        assert (plain.target[lesions] == losses.LIVER_OR_INSIDE).all()
        drawn += bool(lesions.any())
    assert 8 < drawn <= 20


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

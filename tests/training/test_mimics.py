"""Neighbours, fissures and cysts: drawn where they may be, and never called lesion."""

from __future__ import annotations

import numpy as np
from abdomens import small_abdomen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverplan.training import anatomies as t
from liverplan.training.mimics import with_mimics
from liverplan.training.synthesis import LOCATE_CLASSES, SEGMENT_CLASSES


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6))
def test_only_liver_and_fat_change_and_nothing_becomes_liver(seed: int) -> None:
    before = small_abdomen()
    after = with_mimics(before.copy(), 3.0, np.random.default_rng(seed))
    changed = after != before
    assert np.isin(before[changed], (t.LIVER, t.FAT)).all()
    assert not (after[changed] == t.LIVER).any()
    assert set(np.unique(after[changed & (before == t.LIVER)])) <= {t.FAT, t.CYST}


def test_each_mimic_is_drawn_now_and_then_and_most_of_the_liver_stays() -> None:
    before = small_abdomen()
    fissures = cysts = touching = 0
    for seed in range(40):
        after = with_mimics(before.copy(), 3.0, np.random.default_rng(seed))
        liver = before == t.LIVER
        fissures += bool((after[liver] == t.FAT).any())
        cysts += bool((after[liver] == t.CYST).any())
        touching += bool((after[before == t.FAT] != t.FAT).any())
        assert (after[liver] == t.LIVER).mean() > 0.6
    assert 15 < fissures < 40
    assert 2 < cysts < 25
    assert 10 < touching < 40


def test_a_cyst_is_liver_to_both_networks_and_a_fissure_is_not() -> None:
    for classes in (LOCATE_CLASSES, SEGMENT_CLASSES):
        assert classes[t.CYST] == 1
        assert classes[t.FAT] == 0

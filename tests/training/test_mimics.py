"""Neighbours, fissures, cysts and the hilum: drawn where they may be, and never called lesion."""

from __future__ import annotations

import numpy as np
from abdomens import small_abdomen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverplan.training import anatomies as t
from liverplan.training.mimics import _fill_hilum, with_mimics
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


def test_the_hilum_is_filled_around_the_wide_portal_vein_where_it_enters_and_nowhere_else() -> None:
    before = small_abdomen((96, 84, 72))
    i, j, k = 36, 38, 36
    before[i - 3 : i + 4, j - 3 : j + 4, 4:k] = t.PORTAL
    before[i - 3 : i + 4, j - 3 : j + 4, k:60] = t.PORTAL_IN
    kinds: set[int] = set()
    filled = 0
    for seed in range(60):
        after = before.copy()
        _fill_hilum(after, 1.5, np.random.default_rng(seed))
        changed = after != before
        filled += bool(changed.any())
        assert (before[changed] == t.LIVER).all()
        kinds |= set(np.unique(after[changed]).tolist())
        places = np.argwhere(changed)
        if len(places):
            aside = np.abs(places[:, :2] - (i, j)).max(1)
            assert aside.max() * 1.5 < 30.0
            assert np.linalg.norm(places - (i, j, k), axis=1).max() * 1.5 < 60.0
    assert filled > 40
    assert kinds == {t.FAT, t.OTHER, t.CYST}


def test_without_a_portal_vein_that_enters_there_is_no_hilum() -> None:
    before = small_abdomen()
    before[20:24, 20:24, 20:24] = t.PORTAL_IN
    after = before.copy()
    _fill_hilum(after, 3.0, np.random.default_rng(1))
    assert np.array_equal(after, before)

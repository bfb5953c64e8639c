"""The slider: the rebuilt field gives report.json's numbers, and what is drawn is R(m)."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import LESIONS
from liverplan.margin import margin_region
from liverplan.viewer.frames import PLANES
from liverplan.viewer.margins import Margins, rebuild
from liverplan.viewer.opened import open_case
from liverplan.viewer.region import Region


@pytest.fixture(scope="module")
def case(planned):
    return open_case(planned)


@pytest.fixture(scope="module")
def rebuilt(case):
    return rebuild(case.segmentation)


def test_until_the_field_is_there_the_stored_rows_answer_and_nothing_in_between(case):
    stored = Margins(case.report["margin_curve"])
    assert stored.row(7.0) == case.report["margin_curve"][7]
    assert stored.row(7.5) is None


def test_the_rebuilt_field_gives_every_stored_row_to_the_last_digit(case, rebuilt):
    """Up to one of the last digit: a volume of whole voxels may lie between two roundings."""
    live = Margins(case.report["margin_curve"], rebuilt)
    for row in case.report["margin_curve"]:
        assert live.row(row["margin_mm"]) == pytest.approx(row, abs=1.01e-4)
    assert live.differs() == 0.0


def test_masks_that_were_changed_after_planning_are_noticed(case, rebuilt):
    changed = [{**row, "removed_ml": row["removed_ml"] + 0.2} for row in case.report["margin_curve"]]
    assert Margins(changed, rebuilt).differs() == pytest.approx(0.2)


def test_numbers_that_the_plan_did_not_know_stay_unknown(case, rebuilt):
    """A liver that the scan cuts off has no remnant in report.json: the slider must not invent one."""
    row = Margins([{**r, "remnant_ml": None} for r in case.report["margin_curve"]], rebuilt).row(7.5)
    assert row["removed_ml"] > 0
    assert {row[name] for name in row if "flr" in name or "remnant" in name} == {None}


def test_progress_is_told_from_nothing_to_done(case):
    told = []
    rebuild(case.segmentation, lambda fraction, _stage: told.append(fraction))
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)


@pytest.mark.parametrize("margin_mm", [2.0, 7.0, 12.5])
def test_the_shell_encloses_what_the_numbers_remove(case, rebuilt, margin_mm):
    shell = Region(rebuilt).surface(margin_mm)
    removed = Margins(case.report["margin_curve"], rebuilt).row(margin_mm)["removed_ml"]
    assert shell.volume_ml == pytest.approx(removed, rel=0.06)


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.name)
def test_the_ring_on_a_slice_is_the_slice_of_the_region(case, rebuilt, plane):
    """The oracle is R(m) of the whole liver, computed at once."""
    whole = margin_region(rebuilt.liver, rebuilt.lesions, rebuilt.grid, 7.0)
    start = np.rint(case.grid.to_index(rebuilt.grid.origin_lps_mm)).astype(int)
    at = np.rint(case.grid.to_index(LESIONS[0].centre)).astype(int)
    for offset in (-9, -3, 0, 4):
        index = int(at[plane.across]) + offset
        ring = Region(rebuilt).on_slice(case.grid, plane, index, 7.0)
        expected = np.take(whole, index - start[plane.across], axis=plane.across)
        found = np.zeros_like(expected) if ring is None else np.take(ring.mask, 0, axis=plane.across)
        assert (found == expected).all()
        if ring is not None:
            place = [int(n) for n in start]
            place[plane.across] = index
            assert ring.start == tuple(place)
            assert ring.lines(plane, index)


def test_away_from_the_liver_there_is_no_ring(case, rebuilt):
    assert Region(rebuilt).on_slice(case.grid, PLANES[0], 0, 7.0) is None
    assert Region(rebuilt).on_slice(case.grid, PLANES[0], 10_000, 7.0) is None

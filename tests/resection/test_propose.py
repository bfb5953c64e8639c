"""Candidates: each covers every lesion with its margin, can be taken out, and is unlike the others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hand_made import ALONE, HIGH_VEIN, LIMITS, TWO_BRANCHES, grid, hepatic_tree, portal_tree, workspace
from scipy import ndimage

from liverplan.margin import margin_region
from liverplan.naming import name_hepatic, name_portal
from liverplan.resection.given import GivenResection
from liverplan.resection.measure import measure
from liverplan.resection.propose import clusters, propose, target_of
from liverplan.resection.specimen import reaches_capsule
from liverplan.resection.table import resections_of
from liverplan.resection.workspace import Workspace
from simple_case import Ball

LESIONS = (Ball((-26.0, 2.0, 8.0), 5.0), Ball((22.0, -10.0, -8.0), 4.0), Ball((-2.0, -26.0, 3.0), 3.5))
MARGIN_MM = 7.0


def named(lesions) -> Workspace:
    bare = workspace(grid((1.5, 1.5, 1.5)), lesions, portal_tree(TWO_BRANCHES), hepatic_tree(HIGH_VEIN))
    cells, field = bare.field.cells, bare.field
    portal, hepatic = (
        name(tree.tree, cells.points_lps_mm, cells.volume_ml, tree.node)
        for name, tree in ((name_portal, field.portal), (name_hepatic, field.hepatic))
    )
    return Workspace(bare.grid, bare.liver, bare.lesion_labels, field, portal, hepatic, bare.error)


@pytest.fixture(scope="module")
def work():
    return named(LESIONS)


@pytest.fixture(scope="module")
def proposed(work):
    return propose(work, MARGIN_MM)


def test_several_ways_are_proposed_under_their_own_names(proposed):
    names = [c.name for c in proposed]
    assert "wedges" in names
    assert len(names) >= 2
    assert len(set(names)) == len(names)
    assert {c.kind for c in proposed} <= {"wedge", "segmental", "hepatectomy", "combined"}


def test_every_candidate_holds_the_margin_of_every_lesion(work, proposed):
    region = margin_region(work.liver, work.field.lesions, work.grid, MARGIN_MM)
    for candidate in proposed:
        assert not (region & ~candidate.specimen).any(), candidate.name


def test_the_low_end_of_every_measured_margin_reaches_what_was_asked(work, proposed):
    for candidate in proposed:
        found = measure(work, candidate.name, candidate.kind, candidate.specimen, LIMITS, ALONE)
        assert found.margin_mm.low_mm >= MARGIN_MM, candidate.name


def test_every_piece_can_be_reached_and_none_is_hollow(work, proposed):
    for candidate in proposed:
        assert reaches_capsule(work, candidate.specimen)
        shut_in = ndimage.binary_fill_holes(candidate.specimen) & work.liver & ~candidate.specimen
        assert not shut_in.any()
        assert not (candidate.specimen & ~work.liver).any()


def test_no_two_candidates_are_alike(proposed):
    for a, b in itertools.combinations(proposed, 2):
        both, either = (a.specimen & b.specimen).sum(), (a.specimen | b.specimen).sum()
        assert both < 0.99 * either, (a.name, b.name)


def test_a_wedge_takes_less_than_anything_that_follows_the_tree(proposed):
    by_name = {c.name: int(c.specimen.sum()) for c in proposed}
    assert by_name["wedges"] == min(by_name.values())


def test_a_wider_margin_takes_more(work):
    sizes = [next(iter(propose(work, m))).specimen.sum() for m in (3.0, 7.0, 11.0)]
    assert sizes == sorted(sizes)


def test_without_lesions_there_is_nothing_to_propose():
    assert propose(workspace(grid((2.0, 2.0, 2.0)), ()), MARGIN_MM) == ()


def test_without_a_portal_tree_only_wedges_are_proposed():
    found = propose(workspace(grid((2.0, 2.0, 2.0)), LESIONS[:1]), MARGIN_MM)
    assert [c.name for c in found] == ["wedge"]


def test_candidates_are_cut_wider_than_asked_by_the_intervals_half_width(work):
    target = target_of(work, MARGIN_MM)
    assert MARGIN_MM + work.field.half_width_mm < target.tight_mm < target.wide_mm


def test_lesions_are_grouped_by_the_gap_between_their_surfaces(work):
    def gap_mm(a: Ball, b: Ball) -> float:
        return float(np.linalg.norm(np.subtract(a.centre, b.centre))) - a.radius_mm - b.radius_mm

    gaps = {(a, b): gap_mm(LESIONS[a], LESIONS[b]) for a, b in itertools.combinations(range(3), 2)}
    nearest = min(gaps, key=lambda pair: gaps[pair])
    assert clusters(work, gaps[nearest] - 0.8) == [[0], [1], [2]]
    assert sorted(nearest) in clusters(work, gaps[nearest] + 0.8)
    assert clusters(work, 200.0) == [[0, 1, 2]]


def test_proposed_ones_and_the_surgeons_own_stand_in_one_table(work):
    mine = work.liver & (np.arange(work.grid.shape[0])[:, None, None] < work.grid.shape[0] // 3)
    given = [GivenResection("wedges", mine, "label map", ("drawn",))]
    found = resections_of(work, LIMITS, MARGIN_MM, ALONE, given)
    own = next(r for r in found if r.name == "wedges")
    assert (own.kind, own.notes) == ("given", ("label map", "drawn"))
    assert np.array_equal(own.specimen, mine)
    assert "proposed_wedges" in {r.name for r in found}

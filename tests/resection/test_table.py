"""The order of resections: by verdict, then what remains functional, then margin."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hand_made import HIGH_VEIN, TWO_BRANCHES, ball, grid, hepatic_tree, measured, portal_tree, workspace

from liverplan.quantity import Quantity, Unknown
from liverplan.resection.cut import CutMargin
from liverplan.resection.table import ranked
from simple_case import Ball


@pytest.fixture(scope="module")
def one():
    trees = portal_tree(TWO_BRANCHES), hepatic_tree(HIGH_VEIN)
    work = workspace(grid((2.0, 2.0, 2.0)), [Ball((-20.0, 0.0, 0.0), 4.0)], *trees)
    return measured(work, ball(work, (-20.0, 0.0, 0.0), 12.0))


def like(one, name, meets, functional_ml=100.0, margin_mm=8.0, **more):
    distance = dataclasses.replace(one.margin_mm, value_mm=margin_mm, low_mm=margin_mm - 1.0, high_mm=margin_mm + 1.0)
    remnant = functional_ml if isinstance(functional_ml, Unknown) else Quantity.exactly(functional_ml)
    changed = {"name": name, "meets": meets, "margins": (CutMargin(distance, "parenchyma"),), **more}
    return dataclasses.replace(one, functional_remnant_ml=remnant, **changed)


def test_what_meets_comes_first_then_what_is_open_then_what_fails(one):
    rows = [
        like(one, "fails", "not_met", 300.0, 20.0),
        like(one, "open", "undetermined", 200.0, 15.0),
        like(one, "meets", "met", 50.0, 7.9),
    ]
    for order in itertools.permutations(rows):
        assert [r.name for r in ranked(order)] == ["meets", "open", "fails"]


def test_among_equals_the_larger_functional_remnant_then_the_wider_margin_then_the_name_decides(one):
    rows = [
        like(one, "d", "met", 90.0, 20.0),
        like(one, "a", "met", 100.0, 7.5),
        like(one, "c", "met", 100.0, 9.0),
        like(one, "b", "met", 100.0, 9.0),
    ]
    for order in itertools.permutations(rows):
        assert [r.name for r in ranked(order)] == ["b", "c", "a", "d"]


def test_without_a_functional_remnant_the_plain_one_counts(one):
    unknown = Unknown("a vein is missing")
    rows = [
        like(one, "less", "undetermined", unknown, remnant_ml=80.0),
        like(one, "more", "undetermined", unknown, remnant_ml=90.0),
    ]
    assert [r.name for r in ranked(rows)] == ["more", "less"]


def test_an_unknown_margin_ranks_below_every_known_one(one):
    blind = dataclasses.replace(like(one, "a", "not_met"), margins=(CutMargin(Unknown("left behind"), "parenchyma"),))
    assert [r.name for r in ranked([blind, like(one, "b", "not_met", margin_mm=0.1)])] == ["b", "a"]

"""Liver volumes from body size, and remnants against them and against weight."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverplan.liver_volume import (
    DISCORDANT,
    FORMULAS,
    WEIGHT_RATIO_NOTE,
    BodySize,
    bsa_dubois_m2,
    bsa_mosteller_m2,
    discordant,
    remnant_to_weight_percent,
    standardised_flr_percent,
    standardised_volumes_ml,
)
from liverplan.quantity import Quantity, Unknown

ADULT = BodySize(170.0, 70.0)


def body_of(bsa_m2, height_cm=170.0):
    """A body with this surface by Mosteller's formula."""
    return BodySize(height_cm, 3600.0 * bsa_m2**2 / height_cm)


def test_mosteller_is_two_square_metres_at_200_cm_and_72_kg():
    assert bsa_mosteller_m2(BodySize(200.0, 72.0)) == pytest.approx(2.0)


def test_dubois_gives_the_textbook_surface_of_170_cm_and_70_kg():
    # 0.007184 * 6.0832 * 41.4213, by hand
    assert bsa_dubois_m2(ADULT) == pytest.approx(1.810, abs=0.001)


@given(st.floats(150.0, 190.0), st.floats(18.0, 30.0))
def test_the_two_surfaces_differ_by_about_three_percent_at_most_up_to_a_mass_index_of_30(height, mass_index):
    body = BodySize(height, mass_index * (height / 100.0) ** 2)
    assert bsa_mosteller_m2(body) == pytest.approx(bsa_dubois_m2(body), rel=0.035)


@pytest.mark.parametrize(("bsa_m2", "vauthey_ml", "feng_ml"), [(1.5, 1107, 1013), (1.7, 1360, 1165), (1.9, 1613, 1316)])
def test_vauthey_and_feng_reproduce_their_published_lines(bsa_m2, vauthey_ml, feng_ml):
    found = standardised_volumes_ml(body_of(bsa_m2))
    assert found["vauthey"].volume_ml == pytest.approx(vauthey_ml, abs=1.0)
    assert found["feng"].volume_ml == pytest.approx(feng_ml, abs=1.0)


def test_urata_reproduces_its_published_line_with_the_surface_by_dubois():
    found = standardised_volumes_ml(ADULT)["urata"]
    assert found.volume_ml == pytest.approx(706.2 * 1.810 + 2.4, abs=1.0)
    assert found.formula.bsa_title == "DuBois"


def test_every_formula_says_whom_it_was_made_on_and_where_it_was_published():
    assert list(standardised_volumes_ml(ADULT)) == ["feng", "vauthey", "urata"]
    assert "Chinese" in FORMULAS["feng"].population
    assert all(f.population and f.source and f.bsa_title for f in FORMULAS.values())


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (BodySize(None, 70.0), "height_cm is not recorded"),
        (BodySize(170.0, None), "weight_kg is not recorded"),
        (BodySize(None, None), "height_cm is not recorded; weight_kg is not recorded"),
    ],
)
def test_what_was_not_recorded_leaves_the_volume_unknown_and_is_named(body, missing):
    assert {v.volume_ml for v in standardised_volumes_ml(body).values()} == {Unknown(missing)}


@pytest.mark.parametrize("bad", [0.0, -70.0, math.nan, math.inf])
def test_a_number_that_is_no_bodys_leaves_the_volume_unknown(bad):
    for volume in standardised_volumes_ml(BodySize(170.0, bad)).values():
        assert isinstance(volume.volume_ml, Unknown)
        assert "weight_kg" in volume.volume_ml.reason


def test_a_body_too_small_for_a_formula_has_no_volume_instead_of_a_negative_one():
    found = standardised_volumes_ml(body_of(0.5, height_cm=85.0))
    assert isinstance(found["vauthey"].volume_ml, Unknown)
    assert "0.5 m^2" in found["vauthey"].volume_ml.reason
    assert found["feng"].volume_ml > 0.0


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_no_body_has_a_volume_of_zero_or_less(height, weight):
    volumes = [v.volume_ml for v in standardised_volumes_ml(BodySize(height, weight)).values()]
    assert all(isinstance(v, Unknown) or v > 0.0 for v in volumes)


def test_the_standardised_remnant_keeps_its_interval():
    standard = standardised_volumes_ml(body_of(1.7))["vauthey"]
    found = standardised_flr_percent(Quantity(standard.volume_ml * 0.3, standard.volume_ml * 0.27, 450.0), standard)
    assert (found.value, found.low) == pytest.approx((30.0, 27.0))
    assert found.high == pytest.approx(100.0 * 450.0 / standard.volume_ml)


def test_the_standardised_remnant_is_unknown_with_the_reason_of_what_is_missing():
    standard = standardised_volumes_ml(BodySize(None, 70.0))["feng"]
    assert standardised_flr_percent(Quantity.exactly(400.0), standard) == Unknown("height_cm is not recorded")
    cut_off = Unknown("the liver is cut off")
    assert standardised_flr_percent(cut_off, standardised_volumes_ml(ADULT)["feng"]) == cut_off


def test_350_ml_at_70_kg_are_half_a_percent_of_body_weight():
    found = remnant_to_weight_percent(Quantity(350.0, 315.0, 385.0), 70.0)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.45, 0.55))
    assert "0.5 %" in WEIGHT_RATIO_NOTE


def test_a_remnant_against_an_unknown_weight_is_unknown():
    assert remnant_to_weight_percent(Quantity.exactly(350.0), None) == Unknown("weight_kg is not recorded")
    assert isinstance(remnant_to_weight_percent(Quantity.exactly(350.0), 0.0), Unknown)
    assert remnant_to_weight_percent(Unknown("cut off"), 70.0) == Unknown("cut off")


@pytest.mark.parametrize(
    ("measured", "standardised", "disagree"),
    [(31.0, 29.0, True), (29.0, 31.0, True), (31.0, 35.0, False), (20.0, 29.9, False), (30.0, 29.9, True)],
)
def test_denominators_disagree_when_only_one_percentage_reaches_the_limit(measured, standardised, disagree):
    assert discordant(Quantity.around(measured, 1.5), Quantity.around(standardised, 1.5), 30.0) is disagree
    assert "clinician" in DISCORDANT


def test_a_percentage_that_is_unknown_cannot_agree():
    found = discordant(Unknown("the liver is cut off"), Unknown("height_cm is not recorded"), 30.0)
    assert found == Unknown("the liver is cut off; height_cm is not recorded")
    assert isinstance(discordant(Quantity.exactly(40.0), Unknown("height_cm is not recorded"), 30.0), Unknown)

"""The margin left on the fresh specimen, against a published simulation, drawn samples and closed forms."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from liverplan.errors import UnreadableInput
from liverplan.fresh_margin import load_cut_loss, planned_for_mm, predict
from liverplan.probability import Z_95
from liverplan.quantity import Quantity

MODEL = load_cut_loss()
CLOSE, LOOSE = MODEL, replace(MODEL, execution_sd_mm=3.0, segmentation_sd_mm=2.0)
DEVICES = st.sampled_from(sorted(MODEL.devices))
TEXT = (resources.files("liverplan") / "cut_loss.toml").read_text("utf-8")

# Planned margins in mm for P(fresh >= 7 mm) = 50, 80, 90, 95 %: a Monte-Carlo simulation of 200 000 draws on the same
# assumptions (execution / segmentation sd 1.5 / 1.0 and 3.0 / 2.0 mm), made independently of this code.
SIMULATED = [
    ("cusa", CLOSE, (10.6, 12.5, 13.5, 14.4)),
    ("cusa", LOOSE, (10.6, 13.8, 15.5, 16.9)),
    ("harmonic", CLOSE, (9.4, 11.0, 11.9, 12.7)),
    ("ligasure", CLOSE, (9.4, 11.0, 11.9, 12.7)),
    ("harmonic", LOOSE, (9.4, 12.5, 14.1, 15.5)),
    ("ligasure", LOOSE, (9.4, 12.5, 14.1, 15.5)),
]


# ------------------------------------------------------------------------------------------------ the model


@pytest.mark.parametrize(("device", "model", "planned"), SIMULATED)
def test_planned_margins_agree_with_the_simulation_within_0_15_mm(device, model, planned):
    found = [planned_for_mm(p, 7.0, model, device) for p in (0.5, 0.8, 0.9, 0.95)]
    assert found == pytest.approx(planned, abs=0.15)


@pytest.mark.parametrize(("device", "model", "planned"), SIMULATED)
def test_the_simulated_plans_reach_7_mm_as_often_as_simulated(device, model, planned):
    found = [predict(Quantity.exactly(mm), 7.0, model)[device].p_at_least for mm in planned]
    assert found == pytest.approx([0.5, 0.8, 0.9, 0.95], abs=0.03)


def test_a_plan_with_an_even_interval_agrees_with_drawn_specimens():
    rng = np.random.default_rng(3)
    cusa = MODEL.devices["cusa"]
    n = 400_000
    drawn = (
        rng.normal(10.0, 4.0 / Z_95, n)
        - MODEL.specimen_share * rng.normal(cusa.band_mm, cusa.band_sd_mm, n)
        + rng.normal(0.0, MODEL.execution_sd_mm, n)
    ).clip(min=0.0)
    found = predict(Quantity.around(10.0, 4.0), 7.0, MODEL)["cusa"]
    assert found.p_at_least == pytest.approx((drawn >= 7.0).mean(), abs=0.004)
    ends = np.quantile(drawn, (0.025, 0.5, 0.975))
    assert (found.margin_mm.low, found.margin_mm.value, found.margin_mm.high) == pytest.approx(ends, abs=0.03)


def test_a_plan_of_7_mm_is_less_than_7_mm_on_the_specimen_with_every_device():
    found = predict(Quantity.exactly(7.0), 7.0, MODEL)
    assert list(found) == ["cusa", "harmonic", "ligasure", "aquamantys"]
    assert all(f.margin_mm.value < 5.0 and f.p_at_least < 0.15 for f in found.values())
    assert found["cusa"].margin_mm.value == pytest.approx(7.0 - 7.16 / 2.0)


def test_segmentation_is_counted_once():
    bare = predict(Quantity.exactly(12.0), 7.0, MODEL)
    same = predict(Quantity.around(12.0, Z_95 * MODEL.segmentation_sd_mm), 7.0, MODEL)
    for device, found in bare.items():
        assert found.margin_mm.high == pytest.approx(same[device].margin_mm.high)
        assert found.p_at_least == pytest.approx(same[device].p_at_least)


def test_a_plan_whose_interval_is_wider_than_the_models_segmentation_replaces_it():
    wide = predict(Quantity.around(12.0, Z_95 * 3.0), 7.0, MODEL)["harmonic"]
    without = predict(Quantity.around(12.0, Z_95 * 3.0), 7.0, replace(MODEL, segmentation_sd_mm=0.0))["harmonic"]
    assert wide == without
    spread = (wide.margin_mm.high - wide.margin_mm.value) / Z_95
    assert spread == pytest.approx(np.sqrt(3.0**2 + 1.5**2 + (1.62 / 2.0) ** 2))


def test_an_uneven_interval_leaves_its_longer_side_longer():
    found = predict(Quantity(15.0, 14.0, 23.0), 7.0, MODEL)["cusa"].margin_mm
    assert found.high - found.value > 1.5 * (found.value - found.low)


@given(st.floats(-10.0, 40.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(-5.0, 20.0))
def test_no_margin_is_negative_and_every_probability_lies_between_0_and_1(value, below, above, limit):
    for found in predict(Quantity(value, value - below, value + above), limit, MODEL).values():
        assert 0.0 <= found.margin_mm.low <= found.margin_mm.value <= found.margin_mm.high
        assert 0.0 <= found.p_at_least <= 1.0


@given(st.floats(0.0, 30.0), st.floats(0.0, 5.0), st.floats(1.0, 15.0), DEVICES)
def test_the_probability_rises_with_the_plan_and_falls_with_the_limit(value, more, limit, device):
    def chance(planned, asked):
        return predict(Quantity.exactly(planned), asked, MODEL)[device].p_at_least

    assert chance(value + more, limit) >= chance(value, limit) >= chance(value, limit + more)


def test_a_cut_through_the_tumour_leaves_no_margin_but_meets_a_limit_of_zero():
    found = predict(Quantity.around(-20.0, 1.0), 0.0, MODEL)["cusa"]
    assert (found.margin_mm, found.p_at_least) == (Quantity.exactly(0.0), 1.0)
    assert predict(Quantity.around(-20.0, 1.0), 1.0, MODEL)["cusa"].p_at_least < 1e-6


@given(st.floats(0.01, 0.99), st.floats(0.5, 15.0), DEVICES)
def test_the_margin_to_plan_gives_the_probability_it_was_asked_for(probability, limit, device):
    planned = planned_for_mm(probability, limit, MODEL, device)
    assert predict(Quantity.exactly(planned), limit, MODEL)[device].p_at_least == pytest.approx(probability)


def test_without_any_spread_the_specimen_is_the_plan_minus_the_loss():
    still = {name: replace(device, band_sd_mm=0.0) for name, device in MODEL.devices.items()}
    model = replace(MODEL, execution_sd_mm=0.0, segmentation_sd_mm=0.0, specimen_share=0.25, devices=still)
    found = predict(Quantity.exactly(10.0), 8.21, model)["cusa"]
    assert found.margin_mm == Quantity.exactly(10.0 - 0.25 * 7.16)
    assert found.p_at_least == 1.0
    assert predict(Quantity.exactly(10.0), 8.22, model)["cusa"].p_at_least == 0.0


def test_the_losses_gaussian_is_negative_in_one_draw_of_eighty_at_most():
    shares = [stats.norm.cdf(0.0, d.band_mm, d.band_sd_mm) for d in MODEL.devices.values()]
    assert max(shares) < 1.0 / 80.0


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, float("nan")])
def test_a_probability_that_no_plan_reaches_is_refused(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        planned_for_mm(bad, 7.0, MODEL, "cusa")


# ------------------------------------------------------------------------------------------------ the file


def test_the_packages_numbers_are_hammonds_and_are_marked_illustrative():
    bands = {d.title: (d.band_mm, d.band_sd_mm) for d in MODEL.devices.values()}
    assert bands == {
        "CUSA": (7.16, 2.87),
        "Harmonic": (4.73, 1.62),
        "LigaSure": (4.55, 2.02),
        "Aquamantys": (4.75, 1.43),
    }
    assert MODEL.illustrative
    assert all(found.illustrative for found in predict(Quantity.exactly(10.0), 7.0, MODEL).values())


def test_a_centres_own_file_takes_the_place_of_the_packages(tmp_path):
    path = tmp_path / "ours.toml"
    path.write_text(
        TEXT.replace("band_mm = 7.16", "band_mm = 4").replace("illustrative = true", "illustrative = false")
    )
    model = load_cut_loss(path)
    assert model.devices["cusa"].band_mm == 4.0
    found = predict(Quantity.exactly(10.0), 7.0, model)["cusa"]
    assert (found.margin_mm.value, found.illustrative) == (8.0, False)


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "place", "got", "wanted"),
    [
        ("band_mm = 4.55", "band_mm = -4.55", "[device.ligasure] band_mm", "-4.55", "a number, 0 or more"),
        ("band_mm = 4.55", "band_mm = true", "[device.ligasure] band_mm", "True", "a number, 0 or more"),
        ("band_mm = 4.55", "band_mm = nan", "[device.ligasure] band_mm", "nan", "a number, 0 or more"),
        ("band_mm = 4.55", "band_mm = inf", "[device.ligasure] band_mm", "inf", "a number, 0 or more"),
        ("band_mm = 4.55", 'band_mm = "4.55"', "[device.ligasure] band_mm", "'4.55'", "a number, 0 or more"),
        ("specimen_share = 0.5", "specimen_share = 50", "[model] specimen_share", "50", "a number from 0 to 1"),
        ("illustrative = true", 'illustrative = "yes"', "[model] illustrative", "'yes'", "true or false"),
        ('title = "CUSA"', 'title = " "', "[device.cusa] title", "' '", "a text that is not empty"),
        ("execution_sd_mm", "execution_sd", "[model] execution_sd", "an unknown key", "execution_sd_mm"),
        ("band_sd_mm = 1.43", "width_mm = 1.43", "[device.aquamantys] width_mm", "an unknown key", "band_sd_mm"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_line(tmp_path, old, new, place, got, wanted):
    text = TEXT.replace(old, new)
    assert text != TEXT
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(UnreadableInput) as refused:
        load_cut_loss(path)
    assert f"ours.toml does not load: line {line_of(text, new)}, {place}" in refused.value.what
    assert refused.value.got == got
    assert wanted in refused.value.wanted


def test_a_key_that_is_missing_is_refused_with_the_line_of_its_table(tmp_path):
    path = tmp_path / "ours.toml"
    text = TEXT.replace("band_sd_mm = 1.43\n", "")
    path.write_text(text)
    with pytest.raises(UnreadableInput) as refused:
        load_cut_loss(path)
    assert f"line {line_of(text, '[device.aquamantys]')}, [device.aquamantys] band_sd_mm" in refused.value.what
    assert refused.value.got == "nothing"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "model"),
        ("model = 3\n", "line 1, model"),
        (TEXT[: TEXT.index("[device.")], "device"),
        (TEXT[: TEXT.index("[device.")] + "[device]\n", "device one or more tables [device.NAME]"),
        (TEXT + "[devices.saw]\n", "devices"),
    ],
)
def test_a_file_without_its_tables_is_refused(tmp_path, text, place):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(UnreadableInput) as refused:
        load_cut_loss(path)
    assert place in f"{refused.value.what} {refused.value.wanted}"


@pytest.mark.parametrize("content", [b"[model\n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, content):
    path = tmp_path / "ours.toml"
    path.write_bytes(content)
    with pytest.raises(UnreadableInput, match="wanted TOML in UTF-8"):
        load_cut_loss(path)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UnreadableInput, match=r"absent\.toml"):
        load_cut_loss(tmp_path / "absent.toml")

"""The story of a case, from masks to a decision."""

import itertools
import json

import numpy as np
import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, SegmentationRefused
from liverplan.margin import UpperBound
from liverplan.plan import Wishes, plan
from liverplan.protocol import load_protocol
from liverplan.quantity import Distance, Unknown
from liverplan.record import stated_confidence, to_record
from liverplan.resection.given import GivenResection
from liverplan.volume import Confidence, Grid, Segmentation, Volume
from simple_case import CAVA, HEPATIC, PORTAL, Ball, clearance_mm

MODEL = {"name": "m", "sha256": "0" * 64}

TUBES = {Structure.PORTAL_VEIN: PORTAL, Structure.HEPATIC_VEINS: HEPATIC, Structure.VENA_CAVA: CAVA}
LESIONS = (Ball((-22.0, 4.0, 36.0), 7.0), Ball((12.0, 3.0, -30.0), 6.0))
SPACING = (1.2, 1.2, 1.2)


def case(lesions=LESIONS, spacing=SPACING):
    drawn = simple_case.masks(simple_case.grid(spacing), lesions)
    return simple_case.image(drawn.grid, drawn), drawn


def without(drawn, *structures, **more):
    masks = {s: m for s, m in drawn.masks.items() if s not in structures}
    return Segmentation(drawn.grid, masks, **more)


@pytest.fixture(scope="module")
def planned():
    return plan(*case(), load_protocol())


@pytest.fixture(scope="module")
def record(planned):
    return to_record(planned)


def test_clearances_agree_with_the_shapes(planned):
    for finding, ball in zip(planned.findings, LESIONS, strict=True):
        for vessel in finding.vessels:
            assert isinstance(vessel.clearance, Distance)
            truth = clearance_mm(ball, TUBES[vessel.structure])
            assert vessel.clearance.value_mm == pytest.approx(truth, abs=0.5)
            assert vessel.clearance.low_mm <= truth <= vessel.clearance.high_mm


def test_lesions_are_numbered_by_size_and_measured(record):
    assert [lesion["id"] for lesion in record["lesions"]] == [1, 2]
    for lesion, ball in zip(record["lesions"], LESIONS, strict=True):
        assert lesion["volume_ml"] == pytest.approx(4 / 3 * np.pi * ball.radius_mm**3 / 1000, rel=0.05)
        assert lesion["longest_diameter_mm"] == pytest.approx(2 * ball.radius_mm, abs=0.6)
        depth = simple_case.LIVER_RADIUS_MM - np.linalg.norm(ball.centre) - ball.radius_mm
        assert lesion["capsule_distance_mm"] == pytest.approx(max(depth, 0.0), abs=0.7)
    gap = np.linalg.norm(np.subtract(LESIONS[0].centre, LESIONS[1].centre)) - 13.0
    assert record["lesions"][0]["nearest_lesion_mm"] == pytest.approx(gap, abs=0.4)


def test_the_same_case_gives_the_same_record_twice(planned, record):
    again = to_record(plan(*case(), load_protocol()))
    assert json.dumps(again, sort_keys=True) == json.dumps(record, sort_keys=True)


def test_the_record_holds_no_nan_and_no_infinity(record):
    json.dumps(record, allow_nan=False)


COARSE = (2.2, 2.2, 2.2)


def stored(image, drawn, order, flips):
    """The same patient with voxel axes permuted and flipped; every voxel keeps its place in the world."""
    flip = tuple(slice(None, None, -1 if f else 1) for f in flips)
    affine, corner = np.eye(4), np.zeros(3)
    for position, (axis, flipped) in enumerate(zip(order, flips, strict=True)):
        affine[:3, position] = drawn.grid.affine[:3, axis] * (-1 if flipped else 1)
        corner[axis] = drawn.grid.shape[axis] - 1 if flipped else 0
    affine[:3, 3] = drawn.grid.to_world(corner)
    grid = Grid(tuple(drawn.grid.shape[a] for a in order), affine)
    masks = {s: m.transpose(order)[flip].copy() for s, m in drawn.masks.items()}
    array = image.array.transpose(order)[flip].copy()
    return Volume(grid, array, "CT", image.facts), Segmentation(grid, masks)


@pytest.fixture(scope="module")
def coarse():
    image, drawn = case(spacing=COARSE)
    return image, drawn, to_record(plan(image, drawn, load_protocol()))


@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_all_48_storage_orders_give_the_same_millimetres_millilitres_and_verdicts(coarse, order, flips):
    image, drawn, base = coarse
    other = to_record(plan(*stored(image, drawn, order, flips), load_protocol()))
    for name in ("lesions", "margin_curve", "case", "eligibility", "liver"):
        assert other[name] == base[name]
    assert [(r["name"], r["meets_protocol"]) for r in other["resections"]] == [
        (r["name"], r["meets_protocol"]) for r in base["resections"]
    ]
    for one, two in zip(base["resections"], other["resections"], strict=True):
        assert two["remnant_ml"] == pytest.approx(one["remnant_ml"], rel=1e-4)
        assert two["volume_ml"]["value"] == pytest.approx(one["volume_ml"]["value"], rel=1e-4)
        assert two["flr_percent"]["value"] == pytest.approx(one["flr_percent"]["value"], abs=0.01)
        for margin, other_margin in zip(one["margin_mm"], two["margin_mm"], strict=True):
            assert other_margin["value"] == pytest.approx(margin["value"], abs=0.01)


def test_an_oblique_grid_gives_the_same_within_the_interval(planned):
    straight = simple_case.grid(SPACING)
    turn = np.array([[0.98, -0.19, 0.05], [0.19, 0.98, 0.03], [-0.055, -0.02, 0.998]])
    turn = np.linalg.qr(turn)[0] * np.sign(np.diag(np.linalg.qr(turn)[1]))
    affine = straight.affine.copy()
    middle = (np.array(straight.shape) - 1) / 2
    affine[:3, :3] = turn @ straight.affine[:3, :3]
    affine[:3, 3] = straight.to_world(middle) - affine[:3, :3] @ middle
    drawn = simple_case.masks(Grid(straight.shape, affine), LESIONS)
    other = plan(simple_case.image(drawn.grid, drawn), drawn, load_protocol())
    for finding, tilted in zip(planned.findings, other.findings, strict=True):
        for vessel, found in zip(finding.vessels, tilted.vessels, strict=True):
            assert vessel.clearance.low_mm <= found.clearance.value_mm <= vessel.clearance.high_mm
        assert finding.verdict.wide_margin == tilted.verdict.wide_margin
    assert other.decision.verdict is planned.decision.verdict


def test_the_bound_of_the_case_is_no_larger_than_what_stays_allows(planned):
    assert isinstance(planned.upper, UpperBound)
    to_cava = min(clearance_mm(ball, CAVA) for ball in LESIONS)
    assert planned.upper.margin_mm.value <= to_cava + 0.5


def test_no_lesion_is_a_valid_case_with_an_empty_list():
    record = to_record(plan(*case(()), load_protocol()))
    assert record["lesions"] == []
    assert record["case"]["margin_upper_mm"]["value"] is None
    assert record["case"]["wide_margin"] == "undetermined"
    assert record["margin_curve"][7]["removed_ml"] == 0.0
    assert record["margin_curve"][7]["flr_percent"] == pytest.approx(100.0)


@pytest.mark.parametrize("missing", [Structure.PORTAL_VEIN, Structure.HEPATIC_VEINS])
def test_a_missing_vein_leaves_the_geometric_curve_and_takes_the_functional_one(missing):
    image, drawn = case()
    record = to_record(plan(image, without(drawn, missing), load_protocol()))
    row = record["margin_curve"][7]
    assert row["flr_percent"] is None
    assert row["geometric_flr_percent"] > 80
    absent = [v for v in record["lesions"][0]["vessels"] if v["structure"] == missing.value]
    assert absent[0]["clearance_mm"]["value"] is None
    assert "not segmented" in absent[0]["clearance_mm"]["reason"]
    outcomes = {c["id"]: c["outcome"] for c in record["eligibility"]["criteria"]}
    assert outcomes["I7"] == "undetermined"
    assert outcomes["I8"] == "undetermined"


def test_masks_of_a_model_decide_nothing():
    image, drawn = case()
    unread = Segmentation(drawn.grid, drawn.masks, "model", MODEL)
    record = to_record(plan(image, unread, load_protocol()))
    assert record["case"]["wide_margin"] == "undetermined"
    assert {c["outcome"] for c in record["eligibility"]["criteria"]} == {"undetermined"}
    assert record["lesions"][0]["vessels"][0]["clearance_mm"]["value"] is not None, "the numbers are still shown"


def test_a_model_that_doubts_its_boundaries_widens_the_intervals_and_one_that_does_not_narrows_none():
    image, drawn = case()

    def half_width_mm(**stated_mm):
        said = {Structure[name]: Confidence(0.9, mm) for name, mm in stated_mm.items()}
        masks = Segmentation(drawn.grid, drawn.masks, "model", MODEL, confidence=said)
        distance = to_record(plan(image, masks, load_protocol()))["lesions"][0]["vessels"][0]["clearance_mm"]
        return (distance["high"] - distance["low"]) / 2

    plain = half_width_mm()
    assert half_width_mm(LESIONS=0.5, PORTAL_VEIN=0.5) == pytest.approx(plain)
    # Lesion and vessel contribute 3 mm each; here the lesion contributes 8.
    assert half_width_mm(LESIONS=8.0) ** 2 - plain**2 == pytest.approx(8.0**2 - 3.0**2, abs=0.05)
    assert half_width_mm(PORTAL_VEIN=8.0) ** 2 - plain**2 == pytest.approx(8.0**2 - 3.0**2, abs=0.05)


def test_what_a_model_said_of_its_masks_is_in_the_record_and_read_from_it_again():
    image, drawn = case()
    said = {Structure.LIVER: Confidence(0.96, 1.5), Structure.LESIONS: Confidence(0.5, 4.0)}
    masks = Segmentation(drawn.grid, drawn.masks, "model", MODEL, confidence=said)
    record = to_record(plan(image, masks, load_protocol()))
    assert stated_confidence(record) == said
    assert "confidence" not in record["segmentation"]["structures"]["portal_vein"]
    checks = {c["check"]: c["status"] for c in record["quality"]}
    assert (checks["confidence_liver"], checks["confidence_lesions"]) == ("ok", "warning")


def test_a_liver_cut_off_by_the_scan_has_no_remnant():
    image, drawn = case()
    part = (slice(None), slice(None), slice(40, None))
    box = tuple(slice(s.start or 0, n) for s, n in zip(part, drawn.grid.shape, strict=True))
    grid = drawn.grid.cropped(box)
    cut = Segmentation(grid, {s: m[part] for s, m in drawn.masks.items()})
    found = plan(Volume(grid, image.array[part], "CT"), cut, load_protocol())
    assert isinstance(found.upper, Unknown)
    assert to_record(found)["margin_curve"][7]["flr_percent"] is None


def test_masks_on_another_grid_are_refused():
    image, drawn = case()
    other = Grid(drawn.grid.shape, drawn.grid.affine @ np.diag([1.1, 1.0, 1.0, 1.0]))
    with pytest.raises(GeometryMismatch, match="not on the image's grid"):
        plan(image, Segmentation(other, drawn.masks), load_protocol())


def test_a_segmentation_without_a_liver_is_refused():
    image, drawn = case()
    with pytest.raises(SegmentationRefused, match="no liver"):
        plan(image, without(drawn, Structure.LIVER), load_protocol())


def test_contact_is_reported_and_is_not_invasion():
    touching = (Ball((-10.0, 3.0, 24.0), 5.0),)
    record = to_record(plan(*case(touching), load_protocol()))
    vein = next(v for v in record["lesions"][0]["vessels"] if v["structure"] == "hepatic_veins")
    assert vein["contact"] is True
    invasion = next(c for c in record["eligibility"]["criteria"] if c["id"] == "E4")
    assert invasion["outcome"] == "undetermined"


def test_each_lesion_of_the_result_carries_its_id_as_label(planned):
    labels = planned.segmentation.masks[Structure.LESIONS]
    index = np.rint(planned.segmentation.grid.to_index([ball.centre for ball in LESIONS])).astype(int)
    assert [int(labels[tuple(i)]) for i in index] == [1, 2]


def test_a_given_map_of_segments_names_the_lesions_segments_and_their_volumes():
    image, drawn = case()
    right = simple_case.voxels(drawn.grid)[..., 0] < 0
    couinaud = np.where(drawn.mask(Structure.LIVER), np.where(right, 8, 3), 0).astype(np.uint8)
    with_map = Segmentation(drawn.grid, {**drawn.masks, Structure.COUINAUD: couinaud})
    record = to_record(plan(image, with_map, load_protocol()))
    assert [lesion["segments"] for lesion in record["lesions"]] == [[8], [3]]
    volumes = record["liver"]["liver_segments"]
    assert volumes["8"] + volumes["3"] == pytest.approx(record["liver"]["volume_ml"], rel=1e-6)
    assert volumes["1"] == 0.0


def test_without_a_map_of_segments_they_are_unknown(record):
    assert record["lesions"][0]["segments"] is None
    assert record["liver"]["liver_segments"] is None


def own_resections(image, drawn):
    """A slab of voxels and a half space, both around the first lesion, in the image's storage order."""
    points = drawn.grid.to_world(np.stack(np.indices(drawn.grid.shape), axis=-1))
    liver = drawn.mask(Structure.LIVER)
    high = liver & (points[..., 2] >= 20.0)
    right = liver & (points[..., 0] <= -5.0)
    return GivenResection("high", high, "plane", ()), GivenResection("right", right, "label map", ())


def test_the_surgeons_own_resections_are_measured_in_the_images_own_storage_order():
    image, drawn = stored(*case(spacing=COARSE), (2, 0, 1), (True, False, True))
    mine = own_resections(image, drawn)
    found = plan(image, drawn, load_protocol(), wishes=Wishes(given=mine))
    by_name = {r.name: r for r in found.resections}
    for own in mine:
        assert by_name[own.name].kind == "given"
        assert np.array_equal(found.specimen_on_image(by_name[own.name]) > 0, own.specimen)
        taken_ml = own.specimen.sum() * drawn.grid.voxel_ml
        assert by_name[own.name].volume_ml.value == pytest.approx(taken_ml, rel=1e-9)
    # The cut at z = 20 leaves 16 mm below the first lesion's centre, and the second lesion behind.
    high = by_name["high"].margins
    assert high[0].distance.value_mm == pytest.approx(36.0 - 7.0 - 20.0, abs=1.2)
    assert isinstance(high[1].distance, Unknown)
    assert by_name["high"].meets == "not_met"


def test_specimen_and_remnant_are_the_liver_on_the_images_own_grid():
    image, drawn = stored(*case(spacing=COARSE), (1, 2, 0), (False, True, True))
    found = plan(image, drawn, load_protocol())
    liver = drawn.mask(Structure.LIVER) | (drawn.masks[Structure.LESIONS] > 0)
    assert found.resections
    for resection in found.resections:
        mask = found.specimen_on_image(resection)
        assert mask.shape == image.grid.shape
        assert not (mask[~liver]).any()
        stays_ml = np.count_nonzero(liver & (mask == 0)) * image.grid.voxel_ml
        assert resection.remnant_ml == pytest.approx(stays_ml, rel=1e-9)


def test_another_margin_is_what_plans_are_cut_for():
    image, drawn = case(LESIONS[:1], COARSE)
    narrow, wide = (plan(image, drawn, load_protocol(), wishes=Wishes(margin_mm=m)) for m in (3.0, 12.0))
    wedges = [next(r for r in found.resections if r.name == "wedge") for found in (narrow, wide)]
    assert wedges[0].margin_mm.low_mm >= 3.0
    assert wedges[1].margin_mm.low_mm >= 12.0
    assert wedges[0].remnant_ml > wedges[1].remnant_ml


def test_no_plan_has_a_wider_margin_than_the_bound(planned):
    assert isinstance(planned.upper, UpperBound)
    keeping = [r for r in planned.resections if r.flr_percent.value >= planned.protocol.limits.flr_percent]
    assert keeping
    assert all(r.margin_mm.value_mm <= planned.upper.margin_mm.high for r in keeping)

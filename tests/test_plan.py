"""The story of a case, from masks to a decision."""

import itertools
import json

import numpy as np
import pytest

import simple_case
from liverplan.anatomy import Structure
from liverplan.errors import GeometryMismatch, SegmentationRefused
from liverplan.margin import UpperBound
from liverplan.plan import plan
from liverplan.protocol import load_protocol
from liverplan.quantity import Distance, Unknown
from liverplan.record import to_record
from liverplan.volume import Grid, Segmentation, Volume
from simple_case import CAVA, HEPATIC, PORTAL, Ball, clearance_mm

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
    unread = Segmentation(drawn.grid, drawn.masks, "model", {"name": "m", "sha256": "0" * 64})
    record = to_record(plan(image, unread, load_protocol()))
    assert record["case"]["wide_margin"] == "undetermined"
    assert {c["outcome"] for c in record["eligibility"]["criteria"]} == {"undetermined"}
    assert record["lesions"][0]["vessels"][0]["clearance_mm"]["value"] is not None, "the numbers are still shown"


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

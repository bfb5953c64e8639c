"""The truth against an independent count over very fine voxels, on a patient simple enough to do that."""

import numpy as np
import pytest

from liverplan.phantom.patient import Phantom
from liverplan.phantom.shapes import Ellipsoid, Sphere
from liverplan.phantom.trees import Tree
from liverplan.phantom.truth import truth_of

LIVER_MM = 40.0


def chain(points: list[tuple[float, float, float]], radii: list[float], parent: list[int]) -> Tree:
    starts = np.array([points[0] if p < 0 else points[p + 1] for p in parent], dtype=float)
    return Tree(starts, np.array(points[1:], dtype=float), np.array(radii), np.array(parent, dtype=np.int32))


PORTAL = chain([(0, 0, -50), (0, 0, -10), (-28, 0, 6), (28, 0, 6)], [4.0, 3.0, 3.0], [-1, 0, 0])
HEPATIC = chain([(0, 14, 50), (0, 14, 16), (-24, 18, -12), (24, 18, -12)], [4.0, 2.5, 2.5], [-1, 0, 0])
CAVA = chain([(0, 60, -60), (0, 60, 60)], [10.0], [-1])


@pytest.fixture(scope="module")
def patient() -> Phantom:
    lesions = (Sphere((-18, -12, 14), 6.0), Ellipsoid((20, -16, -8), (7, 5, 4)))
    return Phantom(Sphere((0, 0, 0), LIVER_MM), PORTAL, HEPATIC, CAVA, lesions)


@pytest.fixture(scope="module")
def truth(patient: Phantom) -> dict:
    return truth_of(patient, log2_points=15)


def brute_force(patient: Phantom, spacing_mm: float) -> dict[str, np.ndarray]:
    """Every voxel's three losses with plain loops over finely cut vessels and a k-d tree for nothing but distance."""
    from scipy.spatial import cKDTree

    axis = np.arange(-LIVER_MM, LIVER_MM, spacing_mm) + spacing_mm / 2
    voxels = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    voxels = voxels[(voxels**2).sum(1) < LIVER_MM**2]
    found = {"removed": np.min([lesion.distance_mm(voxels) for lesion in patient.lesions], axis=0)}
    for name, tree in (("inflow", patient.portal), ("outflow", patient.hepatic)):
        places, least = [], []
        end_value: dict[int, float] = {}
        for segment in range(len(tree)):
            so_far = end_value.get(int(tree.parent[segment]), np.inf)
            for t in np.linspace(0, 1, 400):
                place = tree.start_mm[segment] * (1 - t) + tree.end_mm[segment] * t
                walls = [l.distance_mm(place[None])[0] - tree.radius_mm[segment] for l in patient.lesions]  # noqa: E741
                so_far = min(so_far, *walls)
                places.append(place)
                least.append(so_far)
            end_value[segment] = so_far
        found[name] = np.array(least)[cKDTree(np.array(places)).query(voxels)[1]]
    return found


def test_the_curve_agrees_with_very_fine_voxels(patient: Phantom, truth: dict) -> None:
    found = brute_force(patient, 0.8)
    total = found["removed"].size
    tumour = truth["liver"]["tumour_volume_ml"] / truth["liver"]["volume_ml"]
    for row in truth["margin_curve"]:
        margin = row["margin_mm"]
        lost = (found["removed"] <= margin) | (found["inflow"] <= margin) | (found["outflow"] <= margin)
        geometric = 100 * (found["removed"] > margin).mean() / (1 - tumour)
        assert row["geometric_flr_percent"] == pytest.approx(geometric, abs=0.4)
        # The two nearest-branch boundaries are cut by voxels, so the functional count is a little coarser.
        assert row["flr_percent"] == pytest.approx(100 * (~lost).mean() / (1 - tumour), abs=1.0)
        for name, key in (("inflow", "devascularised_ml"), ("outflow", "congested_ml")):
            share = ((found["removed"] > margin) & (found[name] <= margin)).mean()
            assert row[key] / truth["liver"]["volume_ml"] == pytest.approx(share, abs=0.01)
    assert total > 400_000


def test_the_largest_margin_is_where_the_curve_crosses_thirty_percent(truth: dict) -> None:
    upper = truth["case"]["margin_upper_mm"]
    for row in truth["margin_curve"]:
        if row["margin_mm"] < upper - 0.05:
            assert row["flr_percent"] >= 30
        if row["margin_mm"] > upper + 0.05:
            assert row["flr_percent"] < 30


def test_the_limiting_vessel_and_its_witness_are_named(patient: Phantom, truth: dict) -> None:
    limiting = truth["case"]["limiting"]
    assert limiting["kind"] == "vessel"
    lesion, wall = (np.array(w) for w in limiting["witness_lps_mm"])
    assert np.linalg.norm(lesion - wall) == pytest.approx(truth["case"]["margin_upper_mm"], abs=0.11)


def test_the_vena_cava_limits_when_it_is_nearest() -> None:
    near = Phantom(Sphere((0, 0, 0), LIVER_MM), PORTAL, HEPATIC, CAVA, (Sphere((0, 30, 0), 6.0),))
    found = truth_of(near, log2_points=13)
    clearance = found["lesions"][0]["vessels"][2]["clearance_mm"]
    assert clearance == pytest.approx(60 - 30 - 10 - 6, abs=1e-6)
    assert found["case"]["margin_upper_mm"] <= clearance


def test_volumes_are_those_of_the_formulae_within_the_stated_error(truth: dict) -> None:
    exact = 4 / 3 * np.pi * LIVER_MM**3 / 1000
    assert truth["liver"]["volume_ml"] == pytest.approx(exact, abs=5 * truth["liver"]["standard_error_ml"] + 0.05)
    assert truth["liver"]["standard_error_ml"] < 0.002 * exact
    assert truth["liver"]["tumour_volume_ml"] == pytest.approx(4 / 3 * np.pi * (216 + 140) / 1000, rel=1e-12)


def test_a_patient_without_lesions_has_no_margin_rather_than_an_endless_one() -> None:
    found = truth_of(Phantom(Sphere((0, 0, 0), LIVER_MM), PORTAL, HEPATIC, CAVA, ()), log2_points=12)
    assert found["case"]["margin_upper_mm"] is None
    assert found["lesions"] == []
    assert all(row["removed_ml"] == 0 and row["flr_percent"] == pytest.approx(100) for row in found["margin_curve"])


def test_a_divided_trunk_leaves_only_what_is_fed_before_the_cut() -> None:
    on_trunk = Phantom(Sphere((0, 0, 0), LIVER_MM), PORTAL, HEPATIC, CAVA, (Sphere((0, -12, -22), 6.0),))
    curve = truth_of(on_trunk, log2_points=12)["margin_curve"]
    trunk_gap = 12 - 6 - 4
    assert curve[trunk_gap - 1]["flr_percent"] > 50
    assert curve[trunk_gap + 1]["flr_percent"] < 10
    assert curve[trunk_gap + 1]["geometric_flr_percent"] > 80

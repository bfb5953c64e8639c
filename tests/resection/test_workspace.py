"""What every resection is drawn and measured on: the lattice of level sets, and what hangs on a divided vessel."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import grid, voxels
from hypothesis import given
from hypothesis import strategies as st

from liverplan.resection.workspace import Lattice, cut_off

PARENTS = st.integers(1, 24).flatmap(lambda n: st.tuples(*[st.integers(-1, max(node - 1, -1)) for node in range(n)]))
"""Any forest whose parents stand before their children."""


@given(st.data(), PARENTS)
def test_what_hangs_on_a_divided_vessel_is_found_as_by_walking_to_the_root(data, parents):
    divided = data.draw(st.lists(st.booleans(), min_size=len(parents), max_size=len(parents)))
    expected = []
    for start in range(len(parents)):
        node, lost = start, False
        while node >= 0:
            lost |= divided[node]
            node = parents[node]
        expected.append(lost)
    assert cut_off(np.array(parents), np.array(divided)).tolist() == expected


def test_many_divisions_at_once_are_the_same_as_one_by_one():
    parent = np.array([-1, 0, 1, 1, 0, 4, -1, 6])
    divided = np.eye(8, dtype=bool)
    together = cut_off(parent, divided)
    assert np.array_equal(together, [cut_off(parent, each) for each in divided])


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 2.5), (1.7, 1.3, 3.0)])
def test_a_plane_drawn_on_the_lattice_takes_the_voxels_on_its_side(spacing):
    on = grid(spacing)
    lattice = Lattice.over(on)
    normal = np.array([0.36, -0.48, 0.8])
    level = (lattice.points_lps_mm @ normal - 3.3).astype(np.float32)
    beside = voxels(on) @ normal - 3.3
    sure = np.abs(beside) > 1e-3
    assert np.array_equal(lattice.below_zero(level)[sure], (beside <= 0)[sure])


def test_a_ball_drawn_on_the_lattice_keeps_its_volume():
    on = grid((0.8, 0.8, 1.25))
    lattice = Lattice.over(on)
    level = (np.linalg.norm(lattice.points_lps_mm, axis=-1) - 20.0).astype(np.float32)
    assert lattice.below_zero(level).sum() * on.voxel_ml == pytest.approx(4 / 3 * np.pi * 8.0, rel=0.02)


def test_the_lattices_index_undoes_its_points():
    lattice = Lattice.over(grid((0.8, 0.8, 2.5)))
    assert np.allclose(lattice.index(lattice.points_lps_mm), np.moveaxis(np.indices(lattice.shape), 0, -1))


def test_nothing_below_zero_is_an_empty_specimen():
    lattice = Lattice.over(grid((2.0, 2.0, 2.0)))
    assert not lattice.below_zero(np.ones(lattice.shape, dtype=np.float32)).any()

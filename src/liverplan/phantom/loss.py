"""At which margin each point of the liver is lost, from the shapes alone.

For a point x and lesion i: d_i(x), the distance to the lesion's surface; and per tree the least wall clearance
c_i(u) = d_i(axis at u) - r(u) on the way from the root to the axis point nearest to x. These are the definitions of
the margin mathematics in docs; nothing here shares code with the software's own computation of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverplan.phantom.shapes import Blob, Shape, sobol_points, tight_box
from liverplan.phantom.trees import Tree
from liverplan.volume import FloatArray

_AXIS_STEP_MM = 0.1


@dataclass(frozen=True)
class LossField:
    """Losses at quasi-random points of the liver. Rows are lesions, columns points; infinity without lesions.

    removed, inflow, outflow: (L, P) mm. replicate: (P,) which independent scramble a point belongs to.
    weight_ml: what one point stands for.
    """

    removed: FloatArray
    inflow: FloatArray
    outflow: FloatArray
    replicate: FloatArray
    weight_ml: float
    n_replicates: int

    @property
    def loss(self) -> FloatArray:
        """(L, P): the margin at which a point is lost to each lesion, whatever the way."""
        return np.minimum(np.minimum(self.removed, self.inflow), self.outflow)


def loss_field(
    liver: Shape,
    portal: Tree,
    hepatic: Tree,
    lesions: Sequence[Blob],
    n_replicates: int = 8,
    log2_points: int = 17,
) -> LossField:
    """Losses at scrambled Sobol points (fixed seeds) of the liver's box that lie in the liver."""
    low, high = tight_box(liver)
    clouds = [sobol_points(low, high, log2_points, seed) for seed in range(n_replicates)]
    clouds = [cloud[liver.signed_mm(cloud) < 0] for cloud in clouds]
    points = np.concatenate(clouds)
    replicate = np.repeat(np.arange(n_replicates), [len(cloud) for cloud in clouds])
    weight_ml = float(np.prod(high - low)) / 1000.0 / (n_replicates * 2**log2_points)
    removed = np.array([lesion.distance_mm(points) for lesion in lesions]).reshape(len(lesions), len(points))
    inflow, outflow = (path_clearance(tree, lesions, points) for tree in (portal, hepatic))
    return LossField(removed, inflow, outflow, replicate.astype(np.float64), weight_ml, n_replicates)


def path_clearance(tree: Tree, lesions: Sequence[Blob], points: FloatArray) -> FloatArray:
    """(L, P): least wall clearance between the root and the axis point nearest to each point (P, 3)."""
    segment = tree.nearest_segment(points)
    along = tree.fraction_along(points, segment)
    axis, owner = tree.axis_points(_AXIS_STEP_MM)
    first = np.searchsorted(owner, np.arange(len(tree)))
    steps = np.diff(np.append(first, len(owner))) - 1
    reached = first[segment] + np.floor(along * steps[segment] + 1e-9).astype(int)
    foot = tree.start_mm[segment] + along[:, None] * (tree.end_mm - tree.start_mm)[segment]
    rows = []
    for lesion in lesions:
        clearance = lesion.distance_mm(axis) - tree.radius_mm[owner]
        so_far = _running_minimum(clearance, first, tree)
        rows.append(np.minimum(so_far[reached], lesion.distance_mm(foot) - tree.radius_mm[segment]))
    return np.array(rows).reshape(len(lesions), len(points))


def _running_minimum(clearance: FloatArray, first: npt.NDArray[np.intp], tree: Tree) -> FloatArray:
    """The least clearance from the root to each axis sample."""
    so_far = clearance.copy()
    ends = np.append(first[1:], len(clearance))
    for segment, (begin, end) in enumerate(zip(first, ends, strict=True)):
        parent = tree.parent[segment]
        if parent >= 0:
            so_far[begin] = min(so_far[begin], so_far[ends[parent] - 1])
        so_far[begin:end] = np.minimum.accumulate(so_far[begin:end])
    return so_far

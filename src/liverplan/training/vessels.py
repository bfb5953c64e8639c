"""Portal and hepatic trees grown inside the livers of the label bank, and rasterised into their label maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from liverplan.phantom.trees import Tree, disentangle, grow_tree
from liverplan.training import anatomies as t
from liverplan.training.anatomies import LabelArray
from liverplan.volume import bounding_box

FloatArray = npt.NDArray[np.float64]

_CLEARANCE_VOXELS = 2.0
"""Between the walls of portal and hepatic trees: voxels that touch by a corner are 1.73 apart. Trees that touch teach a
network that the two cannot be told apart."""
_REACH_MM = 36.0
_PAINT_MM = 0.3
"""A voxel belongs to a vessel when its centre is this close to the wall: keeps veins of a voxel's width connected."""


@dataclass(frozen=True)
class DistanceMap:
    """Signed distance in mm on a grid with its origin at 0, interpolated; positive far outside of the grid."""

    values: npt.NDArray[np.float32]
    spacing_mm: float

    @classmethod
    def to(cls, mask: npt.NDArray[np.bool_], spacing_mm: float) -> DistanceMap:
        """Negative inside `mask`; kept at twice its spacing, which is fine enough to grow in."""
        coarse = mask[::2, ::2, ::2]
        outside = ndimage.distance_transform_edt(~coarse) - ndimage.distance_transform_edt(coarse)
        return cls((outside * 2 * spacing_mm).astype(np.float32), 2 * spacing_mm)

    @classmethod
    def from_veins(cls, mask: npt.NDArray[np.bool_], spacing_mm: float) -> DistanceMap:
        """To the nearest voxel of `mask`; at its own spacing, because at twice it a thin vein would be lost."""
        return cls((ndimage.distance_transform_edt(~mask) * spacing_mm).astype(np.float32), spacing_mm)

    def __call__(self, points_mm: FloatArray) -> FloatArray:
        index = np.asarray(points_mm).T / self.spacing_mm
        limit = np.array(self.values.shape)[:, None] - 1.0
        beyond = np.linalg.norm(index - np.clip(index, 0, limit), axis=0) * self.spacing_mm
        return np.asarray(ndimage.map_coordinates(self.values, index, order=1, mode="nearest") + beyond)


def with_vessels(
    labels: LabelArray, segments: LabelArray | None, spacing_mm: float, rng: np.random.Generator
) -> LabelArray | None:
    """The map with portal and hepatic trees; None when the liver offers no hilum or no vena cava beside it."""
    margin = round(_REACH_MM / spacing_mm)
    box = bounding_box(labels == t.LIVER, (margin, margin, margin))
    grown = _grown(labels[box], None if segments is None else segments[box], spacing_mm, rng)
    if grown is None:
        return None
    out = labels.copy()
    out[box] = grown
    return out


def _grown(
    labels: LabelArray, segments: LabelArray | None, spacing_mm: float, rng: np.random.Generator
) -> LabelArray | None:
    liver = labels == t.LIVER
    cava = _confluence(labels, liver, spacing_mm, rng)
    hilum = _hilum(labels, liver, segments, spacing_mm)
    if cava is None or hilum is None:
        return None
    inside = DistanceMap.to(liver, spacing_mm)
    portal = _portal_tree(labels, inside, hilum, spacing_mm, rng)
    out = labels.copy()
    out[(labels == t.PORTAL) & ndimage.binary_erosion(liver | (labels == t.PORTAL), iterations=2)] = t.PORTAL_IN
    own = DistanceMap.from_veins(np.isin(out, (t.PORTAL_IN, t.PORTAL)), spacing_mm)
    hepatic = _hepatic_trees(liver, inside, own, portal, cava, spacing_mm, rng)
    if hepatic is None:
        return None
    portal, hepatic = disentangle(portal, hepatic, inside, _CLEARANCE_VOXELS * spacing_mm)
    _raster(out, portal, liver, t.PORTAL_IN, t.PORTAL, spacing_mm)
    _raster(out, hepatic, liver, t.HEPATIC, t.HEPATIC, spacing_mm)
    return out


def _hilum(
    labels: LabelArray, liver: npt.NDArray[np.bool_], segments: LabelArray | None, spacing_mm: float
) -> FloatArray | None:
    """Where the portal vein enters, mm: where caudate, segment 4 and the right lobe meet, or the portal label's end."""
    depth = ndimage.distance_transform_edt(liver) * spacing_mm
    if segments is not None and (segments == 1).any() and (segments == 4).any():
        coarse = segments[::2, ::2, ::2]
        right = np.isin(coarse, (5, 6, 7, 8))
        reach = [ndimage.distance_transform_edt(~m) for m in (coarse == 1, coarse == 4, right)]
        cost = np.max(reach, axis=0) * 2 * spacing_mm + np.abs(depth[::2, ::2, ::2] - 5.0)
        cost[~liver[::2, ::2, ::2]] = np.inf
        lowest = np.unravel_index(int(cost.argmin()), cost.shape)
        return np.asarray(np.array(lowest) * 2 * spacing_mm, dtype=np.float64)
    portal = np.argwhere(labels == t.PORTAL)
    if len(portal) < 20:
        return None
    middle = np.argwhere(liver).mean(0)
    return np.asarray(portal[np.linalg.norm(portal - middle, axis=1).argmin()] * spacing_mm)


def _portal_tree(
    labels: LabelArray, inside: DistanceMap, hilum: FloatArray, spacing_mm: float, rng: np.random.Generator
) -> Tree:
    """The extrahepatic trunk and what grows from its end into the whole liver."""
    radius = rng.uniform(4.8, 7.0)
    start = _trunk_start(labels, hilum, spacing_mm, rng)
    grown = grow_tree(inside, hilum, _unit(hilum - start), radius, int(rng.integers(45, 95)), rng, min_radius_mm=0.9)
    bend = (start + hilum) / 2 + rng.normal(0, 3, 3)
    points = np.array([start, (start + bend) / 2, bend, (bend + hilum) / 2, hilum])
    trunk = Tree(points[:-1], points[1:], np.full(4, radius), np.arange(-1, 3, dtype=np.int32))
    return trunk.followed_by(grown, 3)


def _trunk_start(labels: LabelArray, hilum: FloatArray, spacing_mm: float, rng: np.random.Generator) -> FloatArray:
    """The nearest piece of the host's own portal vein, or a place below and left of the hilum."""
    portal = np.argwhere(labels == t.PORTAL) * spacing_mm
    if len(portal):
        distance = np.linalg.norm(portal - hilum, axis=1)
        far = distance + np.where(distance < 12, 40, 0)
        if far.min() < 60:
            return np.asarray(portal[far.argmin()])
    return hilum + np.array([25.0, 5.0, -45.0]) * rng.uniform(0.7, 1.2)


def _confluence(
    labels: LabelArray, liver: npt.NDArray[np.bool_], spacing_mm: float, rng: np.random.Generator
) -> FloatArray | None:
    """Middle of the vena cava where the hepatic veins end: near the highest level at which it touches the liver."""
    cava = labels == t.VENA_CAVA
    touching = cava & ndimage.binary_dilation(liver, iterations=4)
    levels = np.flatnonzero(touching.sum((0, 1)) > 5)
    if len(levels) == 0:
        return None
    level = max(int(levels[-1] - rng.uniform(2, 10) / spacing_mm), int(levels[0]))
    here = np.argwhere(cava[:, :, level])
    if len(here) == 0:
        return None
    return np.asarray(np.array([*here.mean(0), level]) * spacing_mm, dtype=np.float64)


def _hepatic_trees(
    liver: npt.NDArray[np.bool_],
    inside: DistanceMap,
    own: DistanceMap,
    portal: Tree,
    cava: FloatArray,
    spacing_mm: float,
    rng: np.random.Generator,
) -> Tree | None:
    """Right, middle and left hepatic vein as one forest: each drains a sector around the vena cava.

    own: distance to the host's own portal vein. None when no sector is large enough.
    """
    walls = np.minimum(own.values, _tree_distance(portal, liver, spacing_mm))
    where = np.argwhere(liver) * spacing_mm - cava
    angle = np.degrees(np.arctan2(-where[:, 1], -where[:, 0]))
    angle = np.where(angle < -90, angle + 360, angle)
    first, second = 42 + rng.normal(0, 8), 100 + rng.normal(0, 10)
    forest: Tree | None = None
    for low, high, heading, radius in (
        (-91.0, first, (-1.0, -0.25, -0.3), 5.0),
        (first, second, (-0.45, -0.85, -0.35), 4.3),
        (second, 271.0, (0.6, -0.75, -0.1), 4.3),
    ):
        sector = np.zeros(liver.shape, dtype=bool)
        chosen = np.argwhere(liver)[(angle >= low) & (angle < high)]
        if len(chosen) * spacing_mm**3 < 40_000:
            continue
        sector[tuple(chosen.T)] = True
        avoid = DistanceMap(walls - np.float32(_CLEARANCE_VOXELS * spacing_mm), spacing_mm)
        tree = _sector_tree(DistanceMap.to(sector, spacing_mm), inside, avoid, cava, heading, radius, rng)
        if tree is not None:
            forest = tree if forest is None else forest.followed_by(tree)
            walls = np.minimum(walls, _tree_distance(tree, liver, spacing_mm))
    return forest


def _sector_tree(
    sector: DistanceMap,
    inside: DistanceMap,
    avoid: DistanceMap,
    root: FloatArray,
    heading: tuple[float, float, float],
    radius: float,
    rng: np.random.Generator,
) -> Tree | None:
    def domain(points: FloatArray) -> FloatArray:
        return np.maximum(inside(points), sector(points) - 3.0)

    direction = _unit(np.array(heading) + rng.normal(0, 0.12, 3))
    radius *= rng.uniform(0.8, 1.2)
    try:
        return grow_tree(domain, root, direction, radius, int(rng.integers(16, 36)), rng, 2.8, 0.9, avoid)
    except ValueError:
        return None


def _raster(
    out: LabelArray, tree: Tree, liver: npt.NDArray[np.bool_], within: int, beyond: int, spacing_mm: float
) -> None:
    """Paint `tree`: `within` inside the liver; `beyond` outside of it, over fat and soft organs only."""
    hit = _tree_distance(tree, liver, spacing_mm) < _PAINT_MM
    out[hit & (out == t.LIVER)] = within
    over = np.isin(out, (t.FAT, t.PANCREAS, t.DUODENUM, t.STOMACH, t.SMALL_BOWEL, t.COLON, t.LUNGS, t.GALLBLADDER))
    out[hit & over] = beyond


def _tree_distance(tree: Tree, liver: npt.NDArray[np.bool_], spacing_mm: float) -> npt.NDArray[np.float32]:
    """Distance to the walls, exact near the tree and large elsewhere."""
    axis = np.ones(liver.shape, dtype=bool)
    points, _ = tree.axis_points(spacing_mm / 2)
    index = np.clip(np.rint(points / spacing_mm).astype(int), 0, np.array(liver.shape) - 1)
    axis[tuple(index.T)] = False
    near = np.argwhere(ndimage.distance_transform_edt(axis) * spacing_mm < tree.radius_mm.max() + 3.0)
    distance = np.full(liver.shape, 50.0, dtype=np.float32)
    distance[tuple(near.T)] = tree.distance_mm(np.asarray(near * spacing_mm, dtype=np.float64))
    return distance


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))

"""One mask of vena cava and hepatic veins (3D-IRCADb's `venous_system`) split at the confluence.

The vena cava is followed slice by slice as the chain of large discs from the lowest to the highest slice (dynamic
programming over the maxima of the in-plane distance map). What is left inside the liver is hepatic veins; what is left
outside it and does not reach in (renal veins) stays with the vena cava.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from liverplan.io.completion import filled
from liverplan.volume import BoolArray, FloatArray, Grid, Reorientation, bounding_box

LEAST_CAVA_RADIUS_MM = 4.0
"""Inscribed radius (median of the chain) below which it is no vena cava; a collapsed one has 4 to 5 mm."""
LEAST_CAVA_LENGTH_MM = 30.0
SLACK = 1.2
"""The vena cava reaches this many times its half-width from its centre: it is neither quite oval nor centred."""
FLATTEST = 2.2
"""Largest ratio of the axes of its cross-section that is believed."""
NECK = 0.5
"""Side branches narrower than this share of the cava's diameter are cut off in the slice."""
SMOOTH_MM = 30.0
"""Length of the cava over which its radius is the median: longer than a confluence."""
STEP_MM = 2.0
"""The chain has a disc about every so many millimetres of height; slices in between share it."""
SHIFT_COST = 2.0
"""Millimetres of radius times millimetres of height that one millimetre of sideways jump must earn."""
LEAST_SHARE_INSIDE = 0.2
LEAST_BRANCH_ML = 0.05


@dataclass(frozen=True)
class VenousSplit:
    """Two disjoint masks whose union is the input; `found` is False when there is no vena cava in it."""

    vena_cava: BoolArray
    hepatic_veins: BoolArray
    found: bool
    note: str


@dataclass(frozen=True)
class _Disc:
    row: int
    column: int
    radius_mm: float


def split_venous_system(venous: BoolArray, liver: BoolArray, grid: Grid) -> VenousSplit:
    """Split `venous` (i, j, k on `grid`) into vena cava and hepatic veins; `liver` tells inside from outside.

    When no tube of a vena cava's size runs through it, `found` is False and all of it is in `hepatic_veins`.
    """
    if not venous.any():
        return VenousSplit(venous, venous.copy(), False, "it is empty.")
    turn = Reorientation.to_lps(grid)
    veins, organ, world = turn.apply(venous), turn.apply(liver), turn.grid(grid)
    box = bounding_box(veins, (1, 1, 0))
    part = np.asfortranarray(veins[box])
    chain = _follow(part, world.spacing_mm)
    radii_mm = [d.radius_mm for d in chain if d]
    length_mm, radius_mm = len(radii_mm) * world.spacing_mm[2], float(np.median(radii_mm or [0.0]))
    if length_mm < LEAST_CAVA_LENGTH_MM or radius_mm < LEAST_CAVA_RADIUS_MM:
        return VenousSplit(np.zeros_like(venous), venous.copy(), False, "no vena cava was found in it.")
    rest = np.zeros(world.shape, dtype=np.bool_, order="F")
    rest[box] = part & ~_tube(part, chain, world.spacing_mm)
    hepatic = np.zeros(world.shape, dtype=np.bool_, order="F")
    hepatic[box] = _inside_branches(rest[box], _outline(organ, rest)[box], grid.voxel_ml)
    veins_out = np.asfortranarray(turn.undo(hepatic))
    cava = np.asarray(venous & ~veins_out)
    note = (
        f"split at the confluence into vena cava ({cava.sum() * grid.voxel_ml:.1f} mL, with any tributaries outside "
        f"the liver) and hepatic veins ({veins_out.sum() * grid.voxel_ml:.1f} mL); check the split."
    )
    return VenousSplit(cava, veins_out, True, note)


def _follow(part: BoolArray, spacing_mm: Sequence[float]) -> list[_Disc | None]:
    """One disc per slice from the lowest to the highest: the chain with the largest radii and the least wandering.

    None where the chain has run out: no venous voxels, or discs much smaller than the cava's.
    """
    stride = max(1, round(STEP_MM / spacing_mm[2]))
    heights = (*spacing_mm[:2], stride * spacing_mm[2])
    candidates = [_discs(part[:, :, k], spacing_mm) or [None] for k in range(0, part.shape[2], stride)]
    scores = _gain(candidates[0], heights)
    origins: list[FloatArray] = []
    for before, here in itertools.pairwise(candidates):
        total = scores[:, None] - _shift_cost(before, here, heights)
        origins.append(total.argmax(axis=0))
        scores = total.max(axis=0) + _gain(here, heights)
    n = int(scores.argmax())
    chain = [candidates[-1][n]]
    for k in range(len(origins) - 1, -1, -1):
        n = int(origins[k][n])
        chain.append(candidates[k][n])
    return [disc for disc in _trimmed(chain[::-1]) for _ in range(stride)][: part.shape[2]]


def _trimmed(chain: list[_Disc | None]) -> list[_Disc | None]:
    """The chain without discs under half of the upper half's median: hepatic veins above or below the cava's end."""
    radii = np.array([d.radius_mm if d else 0.0 for d in chain])
    large = radii[radii >= np.median(radii)]
    return [d if d and d.radius_mm >= 0.5 * np.median(large) else None for d in chain]


def _gain(discs: Sequence[_Disc | None], spacing_mm: Sequence[float]) -> FloatArray:
    return np.array([d.radius_mm * spacing_mm[2] if d else 0.0 for d in discs])


def _shift_cost(
    before: Sequence[_Disc | None], here: Sequence[_Disc | None], spacing_mm: Sequence[float]
) -> FloatArray:
    """Cost of moving sideways by more than one mm per mm of height, (before, here)."""
    cost = np.zeros((len(before), len(here)))
    for a, one in enumerate(before):
        for b, other in enumerate(here):
            if one and other:
                shift = np.hypot((one.row - other.row) * spacing_mm[0], (one.column - other.column) * spacing_mm[1])
                cost[a, b] = SHIFT_COST * max(0.0, float(shift) - spacing_mm[2])
    return cost


def _discs(plane: BoolArray, spacing_mm: Sequence[float]) -> list[_Disc | None]:
    """Inscribed discs of a slice: local maxima of its distance map, at most the eight largest."""
    if not plane.any():
        return []
    depth = ndimage.distance_transform_edt(plane, sampling=spacing_mm[:2])
    size = [2 * round(3.0 / s) + 1 for s in spacing_mm[:2]]
    rows, columns = np.nonzero((depth == ndimage.maximum_filter(depth, size)) & plane)
    order = np.argsort(-depth[rows, columns], kind="stable")[:8]
    return [_Disc(int(rows[n]), int(columns[n]), float(depth[rows[n], columns[n]])) for n in order]


def _tube(part: BoolArray, chain: Sequence[_Disc | None], spacing_mm: Sequence[float]) -> BoolArray:
    """The vena cava along the chain: in each slice what is wide enough and near enough to the centre.

    Radii and flatness are medians along the chain, so that the confluence, where the section swells, does not widen it.
    """
    radii = np.array([d.radius_mm if d else np.nan for d in chain])
    reach = max(1, round(SMOOTH_MM / 2 / spacing_mm[2]))
    flatness = np.full(len(chain), np.nan)
    for k in range(0, len(chain), max(1, reach // 8)):
        if (disc := chain[k]) is not None:
            flatness[k] = _flatness(part[:, :, k], disc, spacing_mm)
    tube = np.zeros_like(part)
    for k, disc in enumerate(chain):
        if disc is not None:
            radius_mm = float(np.nanmedian(radii[max(0, k - reach) : k + reach + 1]))
            half_width_mm = radius_mm * float(np.nanmedian(flatness[max(0, k - 2 * reach) : k + 2 * reach + 1]))
            neck_mm = NECK * min(radius_mm, disc.radius_mm)
            tube[:, :, k] = _section(part[:, :, k], disc, SLACK * half_width_mm, neck_mm, spacing_mm)
    return tube


def _flatness(plane: BoolArray, disc: _Disc, spacing_mm: Sequence[float]) -> float:
    """Ratio of the axes of the oval that has the section's area around its inscribed disc: 1 for a circle."""
    section = _section(plane, disc, FLATTEST * disc.radius_mm, NECK * disc.radius_mm, spacing_mm)
    area_mm2 = float(section.sum()) * spacing_mm[0] * spacing_mm[1]
    return min(max(area_mm2 / (np.pi * disc.radius_mm**2), 1.0), FLATTEST)


def _section(plane: BoolArray, disc: _Disc, reach_mm: float, neck_mm: float, spacing_mm: Sequence[float]) -> BoolArray:
    """The cava's cross-section: `plane` within reach of the disc's centre, without branches narrower than its neck."""
    window = tuple(
        slice(max(0, c - int(1.5 * reach_mm / s)), c + int(1.5 * reach_mm / s) + 1)
        for c, s in zip((disc.row, disc.column), spacing_mm, strict=False)
    )
    part = plane[window]
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    down_mm = (rows + window[0].start - disc.row) * spacing_mm[0]
    across_mm = (columns + window[1].start - disc.column) * spacing_mm[1]
    near = part & (np.hypot(down_mm, across_mm) <= reach_mm)
    core = near & (ndimage.distance_transform_edt(part, sampling=spacing_mm[:2]) > neck_mm)
    back_mm = ndimage.distance_transform_edt(~core, sampling=spacing_mm[:2])
    section = np.zeros_like(plane)
    section[window] = near & (back_mm <= neck_mm + max(spacing_mm[:2]))
    return section


def _outline(liver: BoolArray, wanted: BoolArray) -> BoolArray:
    """The filled liver, as far as the voxels of `wanted` are concerned."""
    result = np.zeros(liver.shape, dtype=np.bool_, order="F")
    if liver.any():
        box = bounding_box(liver, (1, 1, 1))
        result[box] = filled(np.asfortranarray(liver[box]), wanted[box])
    return result


def _inside_branches(rest: BoolArray, outline: BoolArray, voxel_ml: float) -> BoolArray:
    """Pieces of `rest` that run inside the liver: hepatic veins; what only touches its edge is not."""
    labels, n = ndimage.label(rest.T, ndimage.generate_binary_structure(3, 3))
    total = np.bincount(labels[rest.T], minlength=n + 1)
    inside = np.bincount(labels[(rest & outline).T], minlength=n + 1)
    keep = (inside >= LEAST_SHARE_INSIDE * total) & (total * voxel_ml >= LEAST_BRANCH_ML)
    keep[0] = False
    return np.asarray(keep[labels].T)

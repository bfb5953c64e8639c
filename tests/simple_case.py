"""A liver that can be computed by hand: a ball with straight tubes for veins and balls for lesions.

World frame LPS mm. The liver is a ball of 55 mm around the origin. The portal vein runs straight from outside the liver
on the right (x = -80) to the left; the hepatic vein above it to the vena cava, a tube along z at x = 62. A place is
served by its foot on each tube, and whatever lies beyond a divided place is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from liverplan.anatomy import Structure
from liverplan.volume import FloatArray, Grid, Segmentation, Volume

LIVER_RADIUS_MM = 55.0
PORTAL = (np.array([-80.0, -7.0, -17.0]), np.array([40.0, 5.0, -8.0]), 4.0)
HEPATIC = (np.array([-40.0, 6.0, 19.0]), np.array([62.0, -3.0, 11.0]), 3.5)
CAVA = (np.array([62.0, 0.0, -70.0]), np.array([62.0, 0.0, 70.0]), 11.0)


@dataclass(frozen=True)
class Ball:
    """A lesion: centre (LPS mm) and radius in mm."""

    centre: tuple[float, float, float]
    radius_mm: float


def tube_distance_mm(points: FloatArray, tube: tuple[FloatArray, FloatArray, float]) -> FloatArray:
    """Signed distance of points (..., 3) to a capsule."""
    start, end, radius = tube
    along = end - start
    t = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
    return np.linalg.norm(points - start - t[..., None] * along, axis=-1) - radius


def grid(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Grid:
    half = np.array([90.0, 66.0, 76.0])
    shape = tuple(int(2 * h / s) + 1 for h, s in zip(half, spacing_mm, strict=True))
    # Off the lattice on purpose: no shape is centred on a voxel.
    return Grid.from_spacing((shape[0], shape[1], shape[2]), spacing_mm, tuple((-half + 0.37).tolist()))


def voxels(on: Grid) -> FloatArray:
    return on.to_world(np.stack(np.indices(on.shape), axis=-1))


def masks(on: Grid, lesions: tuple[Ball, ...]) -> Segmentation:
    """Voxel centres inside the shapes."""
    where = voxels(on)
    labels = np.zeros(on.shape, dtype=np.uint8)
    for number, ball in enumerate(lesions, start=1):
        labels[np.linalg.norm(where - np.array(ball.centre), axis=-1) <= ball.radius_mm] = number
    cava = tube_distance_mm(where, CAVA) <= 0
    inside = (np.linalg.norm(where, axis=-1) <= LIVER_RADIUS_MM) & ~cava
    drawn = {
        Structure.LIVER: inside,
        Structure.LESIONS: labels,
        Structure.PORTAL_VEIN: tube_distance_mm(where, PORTAL) <= 0,
        Structure.HEPATIC_VEINS: (tube_distance_mm(where, HEPATIC) <= 0) & ~cava,
        Structure.VENA_CAVA: cava,
    }
    return Segmentation(on, {s: m.astype(np.uint8) for s, m in drawn.items()})


def image(on: Grid, drawn: Segmentation) -> Volume:
    """A portal-phase CT without noise."""
    array = np.full(on.shape, -80, dtype=np.int16)
    for structure, value in (
        (Structure.LIVER, 110),
        (Structure.LESIONS, 60),
        (Structure.PORTAL_VEIN, 165),
        (Structure.HEPATIC_VEINS, 155),
        (Structure.VENA_CAVA, 140),
    ):
        array[drawn.mask(structure)] = value
    return Volume(on, array, "CT", {"sha256": "0" * 64})


def clearance_mm(ball: Ball, tube: tuple[FloatArray, FloatArray, float]) -> float:
    """Closed form: distance from the ball's surface to the tube's wall."""
    return float(tube_distance_mm(np.array(ball.centre), tube)) - ball.radius_mm


def truth(lesions: tuple[Ball, ...], margin_mm: float, pitch_mm: float = 0.5) -> dict[str, float]:
    """The definitions of docs/margins.md evaluated on the shapes at a fine lattice of points, not on masks."""
    half = LIVER_RADIUS_MM + 1.0
    line = np.arange(-half, half, pitch_mm)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[(np.linalg.norm(points, axis=1) <= LIVER_RADIUS_MM) & (tube_distance_mm(points, CAVA) > 0)]
    distance = np.min([np.linalg.norm(points - np.array(b.centre), axis=1) - b.radius_mm for b in lesions], axis=0)
    voxel_ml = pitch_mm**3 / 1000.0
    inflow = _reach(points, lesions, PORTAL, from_start=True, margin_mm=margin_mm)
    outflow = _reach(points, lesions, HEPATIC, from_start=False, margin_mm=margin_mm)
    kept = distance > margin_mm
    parenchyma = float((distance > 0).sum()) * voxel_ml
    return {
        "liver_ml": len(points) * voxel_ml,
        "tumour_ml": float((distance <= 0).sum()) * voxel_ml,
        "removed_ml": float((~kept).sum()) * voxel_ml,
        "devascularised_ml": float((kept & ~inflow).sum()) * voxel_ml,
        "congested_ml": float((kept & ~outflow).sum()) * voxel_ml,
        "geometric_flr_percent": 100.0 * float(kept.sum()) * voxel_ml / parenchyma,
        "flr_percent": 100.0 * float((kept & inflow & outflow).sum()) * voxel_ml / parenchyma,
    }


def _reach(
    points: FloatArray,
    lesions: tuple[Ball, ...],
    tube: tuple[FloatArray, FloatArray, float],
    from_start: bool,
    margin_mm: float,
) -> FloatArray:
    """Whether the tube still serves each point: no place between its root and the point's foot is within the margin."""
    start, end, radius = tube
    t = np.linspace(0.0, 1.0, 4001)
    axis = start + t[:, None] * (end - start)
    clearance = np.min(
        [np.linalg.norm(axis - np.array(b.centre), axis=1) - b.radius_mm - radius for b in lesions], axis=0
    )
    cut = t[clearance <= margin_mm]
    if len(cut) == 0:
        return np.ones(len(points), dtype=bool)
    foot = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0.0, 1.0)
    return foot < cut.min() if from_start else foot > cut.max()
